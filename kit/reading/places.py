"""Names, paths and addresses that somebody else wrote: what is wrong with one, in words, before anything is opened."""

import ipaddress
from pathlib import PurePosixPath
from urllib.parse import urlsplit

LONGEST_NAME = 100
"""Characters of a model's, a data set's or an experiment's name; it is a part of job names and table rows."""
LONGEST_PART = 255
"""Bytes of one part of a path; Linux takes no more."""
LONGEST_ADDRESS = 2000
"""Characters of an address; servers take little more."""
HEAD = "artifact.json"
"""The store's own file in every artifact."""
MARK = "artifact.released.json"
"""The store's own file in an artifact whose files were given back."""


def name_fault(name: str) -> str | None:
    """Return what is wrong with the name of a model, a data set or a role; None if nothing is.

    Names are parts of job names, which are shown and divided by slashes.
    """
    if not name or len(name) > LONGEST_NAME:
        return f"a name has 1 to {LONGEST_NAME} characters, this one {len(name):,}"
    if not name[0].isalnum():
        return "a name begins with a letter or a digit"
    if not name.isprintable() or set(name) & set("/\\\"'"):
        return "a name holds no slash, no quotation mark, and nothing that can't be seen"
    return None


def file_name_fault(name: str) -> str | None:
    """Return what is wrong with the name of a file in an artifact; None if nothing is."""
    if name in ("", ".", ".."):
        return "that is no file's name"
    if "/" in name or "\0" in name or "\\" in name:
        return "a file's name holds no slash and no zero byte"
    if name in (HEAD, MARK):
        return f"the name {name} is the store's own; give the file another"
    try:
        size = len(name.encode())
    except UnicodeEncodeError:
        return "a file's name is UTF-8 text; rename the file"
    return None if size <= LONGEST_PART else f"a file's name has {LONGEST_PART} bytes at most, this one {size:,}"


def inner_path_fault(path: str) -> str | None:
    """Return what is wrong with a path that must stay inside a folder; None if nothing is."""
    if not path or path.startswith("/"):
        return "wanted a path inside the folder, without a slash in front"
    for part in path.split("/"):
        if fault := file_name_fault(part):
            return f"wanted a path inside the folder: {fault}"
    return None


def address_fault(url: str) -> str | None:
    """Return what is wrong with the address of a file; None if nothing is.

    https alone is taken, which shows that the host is who it says it is; http from this machine alone, where a mirror
    may run. A password in an address would end in the store, in logs and in every table's provenance.
    """
    if len(url) > LONGEST_ADDRESS:
        return f"an address has {LONGEST_ADDRESS:,} characters at most, this one {len(url):,}"
    if not url.isascii() or not url.isprintable() or set(url) & set(' \\"<>'):
        return "an address is of plain ASCII; write all else by its percent codes, a blank as %20"
    try:
        parts = urlsplit(url)
        host, _ = parts.hostname or "", parts.port
    except ValueError as error:
        return f"that is no address: {error}"
    if "@" in parts.netloc:
        return "an address holds no user and no password here: they would be stored and shown"
    return _scheme_fault(parts.scheme, host)


def server_address_fault(url: str) -> str | None:
    """Return what is wrong with the address of a server's API; None if nothing is.

    No message holds a part of the address: somebody may have written a key into it.
    """
    if len(url) > LONGEST_ADDRESS:
        return f"an address has {LONGEST_ADDRESS:,} characters at most, this one {len(url):,}"
    if not url.isascii() or not url.isprintable() or set(url) & set(' \\"<>'):
        return "an address is of plain ASCII; write all else by its percent codes, a blank as %20"
    try:
        parts = urlsplit(url)
        host, _ = parts.hostname, parts.port
    except ValueError:
        return "that is no address; wanted one such as https://api.openai.com/v1"
    if parts.scheme not in ("https", "http") or not host:
        return "wanted an address that begins with https://, or http:// for a server of one's own"
    if "@" in parts.netloc or parts.query or parts.fragment or "?" in url or "#" in url:
        return "wanted an address without user, password, ? and #; a key goes into the environment (key_from)"
    return None


def _scheme_fault(scheme: str, host: str) -> str | None:
    """Return what is wrong with how a host is asked."""
    if scheme not in ("https", "http"):
        return "wanted an address that begins with https://; a file of this machine is named by file = ..."
    if not host:
        return "that is no address: it has no host"
    if scheme == "http" and not is_this_machine(host):
        return "wanted https://; http:// shows nobody who answers, and is taken from this machine alone"
    return None


def data_address_fault(url: str) -> str | None:
    """Return what is wrong with an address whose last part names the file in the store; None if nothing is."""
    name = url.rpartition("/")[2]
    if fault := address_fault(url) or ("#" in url and "an address of a file has no #"):
        return fault
    if PurePosixPath(urlsplit(url).path).name in ("", ".", ".."):
        return "wanted an address that ends in a file's name"
    return file_name_fault(name)


def is_this_machine(host: str) -> bool:
    """Tell whether a host's name or number is this machine's own, as it stands: no name server is asked."""
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"
