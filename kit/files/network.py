"""Addresses asked by https alone, and whether a host can be reached at all: one fetch that can't speaks for all."""

import errno
import socket
import ssl
import urllib.error
import urllib.request
from dataclasses import dataclass, field
from typing import IO, Any
from urllib.parse import urlsplit

from kit.errors import KitError, one_line
from kit.reading.places import address_fault
from kit.reading.textfiles import MAX_FILE_BYTES

BLOCK = 1 << 20

HOST_ERRORS = frozenset(
    (errno.ECONNREFUSED, errno.EHOSTUNREACH, errno.EHOSTDOWN, errno.ETIMEDOUT, errno.EACCES, errno.EPERM)
)
"""Nothing answers at this host, or a firewall forbids it; another may answer."""
MACHINE_ERRORS = frozenset((errno.ENETUNREACH, errno.ENETDOWN, errno.EADDRNOTAVAIL))
"""This machine has no way out, to whatever host."""


class UnreachableError(KitError):
    """No network reaches the host that was asked."""


@dataclass(slots=True)
class Unreachable:
    """The hosts that no network reaches, as the fetches of one run have found them.

    A name that does not resolve, or a refused connection, may be one host's own trouble: another host is asked once
    more. After the second, or where the machine itself has no way out, no host is asked any more.
    """

    hosts: dict[str, str] = field(default_factory=dict)
    """host -> reason."""
    everywhere: bool = False

    def check(self, url: str) -> None:
        """Refuse an address that an earlier fetch has shown to be out of reach.

        Raises:
            UnreachableError: its host, or every host, is.
        """
        host = host_of(url)
        if host in self.hosts:
            raise UnreachableError(
                f"no network reaches {host}, as an earlier fetch of this run found ({self.hosts[host]})"
            )
        if self.everywhere:
            found = "; ".join(f"{other}: {reason}" for other, reason in self.hosts.items())
            raise UnreachableError(f"there is no network, as earlier fetches of this run found ({found})")

    def note(self, url: str, error: BaseException) -> None:
        """Remember the host of an address, if the error says that no network reaches it.

        Raises:
            UnreachableError: it does.
        """
        cause = network_fault(error)
        if cause is None:
            return
        self.hosts[host_of(url)] = str(cause)
        self.everywhere = self.everywhere or len(self.hosts) > 1 or is_the_machines(cause)
        raise UnreachableError(f"no network reaches {host_of(url)} ({cause})") from error


def open_address(url: str, timeout: float) -> Any:
    """Return the answer of a host, which is read like a file and closed by ``with``.

    Args:
        url: https, or http of this machine.
        timeout: seconds that the host may be silent.

    Raises:
        KitError: the address is of another kind; what a host leads on to counts too, and may not be less safe.
        OSError, http.client.HTTPException: the host was not reached, or answered with an error.
    """
    if fault := address_fault(url):
        raise KitError(f"{shown_address(url)}: {fault}")
    return urllib.request.build_opener(_Redirects).open(url, timeout=timeout)


class _Redirects(urllib.request.HTTPRedirectHandler):
    """Follows a host's answer "it is elsewhere" where that is an address that the kit would ask itself."""

    def http_error_302(self, req: urllib.request.Request, fp: IO[bytes], code: int, msg: str, headers: Any) -> Any:
        """The answer of the address that a host leads on to.

        Raises:
            URLError: it is none that the kit asks.
        """
        try:
            return super().http_error_302(req, fp, code, msg, headers)
        except ValueError as error:
            fp.close()
            raise urllib.error.URLError(f"it leads on to what is no address: {error}") from error

    http_error_301 = http_error_303 = http_error_307 = http_error_308 = http_error_302

    def redirect_request(  # noqa: PLR0917  # urllib's own
        self, req: urllib.request.Request, fp: IO[bytes], code: int, msg: str, headers: Any, newurl: str
    ) -> urllib.request.Request | None:
        """The next request.

        Raises:
            URLError: it would be no https, or would go from https to http.
        """
        fault = address_fault(newurl)
        if not fault and urlsplit(req.full_url).scheme == "https" != urlsplit(newurl).scheme:
            fault = "https leads on to https alone"
        if fault:
            fp.close()
            raise urllib.error.URLError(f"it leads on to {shown_address(newurl)}: {fault}")
        return super().redirect_request(req, fp, code, msg, headers, newurl)


def shown_address(url: str) -> str:
    """Return an address for a message: without what stands before its host, and cut where it is long."""
    before, mark, after = url.partition("//")
    host, slash, path = after.partition("/")
    return one_line(before + mark + host.rpartition("@")[2] + slash + path, 200)


def copy_answer(answer: Any, file: IO[bytes], most: int = MAX_FILE_BYTES) -> None:
    """Write a host's answer into a file.

    Raises:
        KitError: it is larger than any data file; a host may answer without end.
        OSError, http.client.HTTPException: it broke off, or the disk is full.
    """
    size = 0
    while block := answer.read(BLOCK):
        size += len(block)
        if size > most:
            raise KitError(f"more than {most:,} bytes came, which no data file has; is it the right address?")
        file.write(block)


def host_of(url: str) -> str:
    """Return the host of an address, with its port where one stands."""
    return urlsplit(url).netloc.rpartition("@")[2]


def network_fault(error: BaseException) -> OSError | None:
    """Return the error behind an error that says that the host can't be reached; None if the host itself answered.

    A host that accepts a connection and is slow or breaks off afterwards was reached: a bare timeout is none.
    """
    if isinstance(error, urllib.error.HTTPError):
        return None
    seen: list[BaseException] = []
    current: BaseException | None = error
    while current is not None and current not in seen:
        seen.append(current)
        if isinstance(current, OSError) and _says_unreachable(current, wrapped=len(seen) > 1):
            return current
        reason = getattr(current, "reason", None)  # a URLError's
        current = reason if isinstance(reason, BaseException) else current.__cause__ or current.__context__
    return None


def is_the_machines(error: OSError) -> bool:
    """Return whether it is the machine that has no network, whatever the host: no name server answers, or no route."""
    if isinstance(error, socket.gaierror):
        return error.errno == socket.EAI_AGAIN
    return error.errno in MACHINE_ERRORS


def _says_unreachable(error: OSError, *, wrapped: bool) -> bool:
    if isinstance(error, ssl.SSLError):  # its numbers are its own: 1 is no EPERM
        return False
    if isinstance(error, socket.gaierror) or error.errno in HOST_ERRORS | MACHINE_ERRORS:
        return True
    return wrapped and isinstance(error, TimeoutError)
