"""A server's key and address out of the environment, checked before anything is asked; no message holds a key."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from urllib.parse import quote

from kit.errors import RequestError
from kit.judges.settings import ServerSettings

SHORTEST_KEY = 8
"""Characters of a key at least: a shorter one may be a word of a reply, and would be taken out of it."""
HIDDEN = "[key]"
"""Text in the place of a key that a text held."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Access:
    """The address of a server, and the key that opens it."""

    address: str
    key: str = field(default="", repr=False)

    def without_key(self, text: str) -> str:
        """Return a text without the key, in case it holds it: a server may repeat what it was sent."""
        if self.key:
            for form in (self.key, quote(self.key, safe="")):
                text = text.replace(form, HIDDEN)
        return text


def read_access(server: ServerSettings, environment: Mapping[str, str]) -> Access:
    """Return a server's address and key.

    Args:
        server: the server, which names the variables.
        environment: the variables.

    Raises:
        RequestError: one is not set, or holds no address or key.
    """
    entry, where = server.entry, f"served.{server.name}"
    address = entry.base_url or environment.get(entry.base_url_from, "")
    if not address:
        raise RequestError(
            f"{where}: base_url_from: the environment has no {entry.base_url_from}; set it to the server's address: "
            f"export {entry.base_url_from}=https://..."
        )
    if fault := entry.fault_of_address(address):
        raise RequestError(f"{where}: base_url_from: {entry.base_url_from}: {fault}")
    if not entry.key_from:
        return Access(address=address)
    if not (key := environment.get(entry.key_from, "")):
        raise RequestError(
            f"{where}: key_from: the environment has no {entry.key_from}; set it to the server's key, or leave "
            "key_from out where the server wants none"
        )
    if len(key) < SHORTEST_KEY:
        raise RequestError(
            f"{where}: key_from: {entry.key_from} has {len(key)} characters, wanted a key of {SHORTEST_KEY} or more; "
            "leave key_from out where the server wants none"
        )
    if not key.isascii() or not key.isprintable() or " " in key:
        raise RequestError(
            f"{where}: key_from: {entry.key_from} holds a blank, a line break, or what is not ASCII, which no key has; "
            "was it copied whole, and nothing else?"
        )
    return Access(address=address, key=key)
