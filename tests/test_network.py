"""Errors of a request: whether a network reached the host, and which other requests are given up."""

import errno
import socket
import ssl
import urllib.error
from email.message import Message

import pytest

from kit.files.network import Unreachable, UnreachableError, host_of, network_fault


class ClientError(Exception):
    """A replacement for httpx's error, which is no OSError."""


def caused(by: BaseException) -> Exception:
    """Return a client's error with another error as the cause of its cause."""
    middle, outer = ClientError("middle"), ClientError("outer")
    middle.__cause__, outer.__context__ = by, middle
    return outer


def answered(code: int) -> urllib.error.HTTPError:
    return urllib.error.HTTPError("https://a.example/x", code, "no", Message(), None)


def after(error: Exception, earlier: Exception) -> Exception:
    """Return an error that was raised while an earlier one was handled."""
    error.__context__ = earlier
    return error


NO_NAME = socket.gaierror(socket.EAI_NONAME, "Name or service not known")
NO_SERVER = socket.gaierror(socket.EAI_AGAIN, "Temporary failure in name resolution")
REFUSED = ConnectionRefusedError(errno.ECONNREFUSED, "Connection refused")
NO_ROUTE = OSError(errno.ENETUNREACH, "Network is unreachable")
# Error, the fault in it, whether it speaks for every host at once.
UNREACHABLE = {
    "name not known": (urllib.error.URLError(NO_NAME), NO_NAME, False),
    "no name server": (urllib.error.URLError(NO_SERVER), NO_SERVER, True),
    "refused": (urllib.error.URLError(REFUSED), REFUSED, False),
    "no route at all": (urllib.error.URLError(NO_ROUTE), NO_ROUTE, True),
    "host down": (urllib.error.URLError(down := OSError(errno.EHOSTUNREACH, "No route to host")), down, False),
    "a firewall": (urllib.error.URLError(shut := PermissionError(errno.EACCES, "Permission denied")), shut, False),
    "silent while connecting": (urllib.error.URLError(slow := TimeoutError("timed out")), slow, False),
    "the hub's client, by a cause": (caused(NO_NAME), NO_NAME, False),
    "the hub's client, no name server": (caused(NO_SERVER), NO_SERVER, True),
}


@pytest.mark.parametrize("error, fault, everywhere", UNREACHABLE.values(), ids=list(UNREACHABLE))
def test_errors_of_a_host_that_no_network_reaches(error: Exception, fault: OSError, everywhere: bool):
    assert network_fault(error) is fault
    found = Unreachable()
    with pytest.raises(UnreachableError) as raised:
        found.note("https://a.example/x", error)
    assert str(raised.value) == f"no network reaches a.example ({fault})"
    assert (found.hosts, found.everywhere) == ({"a.example": str(fault)}, everywhere)


# The host itself said so, or the trouble came after it was reached: another fetch may well succeed.
REACHED = {
    "not found": answered(404),
    "not found, after a first try that was refused": after(answered(404), REFUSED),
    "forbidden": answered(403),
    "a server in trouble": answered(503),
    "a proxy that forbids": urllib.error.URLError(OSError("Tunnel connection failed: 403 Forbidden")),
    "a certificate": urllib.error.URLError(ssl.SSLCertVerificationError(1, "certificate verify failed")),
    "slow to answer": TimeoutError("timed out"),
    "broke off": ConnectionResetError(errno.ECONNRESET, "Connection reset by peer"),
    "the disk is full": OSError(errno.ENOSPC, "No space left on device"),
    "asked to stay offline": caused(ConnectionError("offline mode is enabled")),
}


@pytest.mark.parametrize("error", REACHED.values(), ids=list(REACHED))
def test_errors_of_a_host_that_was_reached(error: Exception):
    found = Unreachable()
    found.note("https://a.example/x", error)
    found.check("https://a.example/y")
    assert (network_fault(error), found) == (None, Unreachable())


def refusal(found: Unreachable, url: str) -> str:
    """Return the reason why an address is not requested; empty if it is."""
    try:
        found.check(url)
    except UnreachableError as error:
        return str(error)
    return ""


def fail(found: Unreachable, url: str, error: OSError) -> None:
    with pytest.raises(UnreachableError):
        found.note(url, urllib.error.URLError(error))


def test_one_unreachable_host_ends_its_own_requests_and_two_end_all():
    # each fetch found out for itself: 120 s for fourteen
    found = Unreachable()
    assert refusal(found, "https://a.example/1") == ""
    fail(found, "https://a.example/1", REFUSED)
    assert refusal(found, "https://a.example/2") == (
        "no network reaches a.example, as an earlier fetch of this run found ([Errno 111] Connection refused)"
    )
    assert refusal(found, "https://b.example/1") == ""  # a firewall may forbid one host
    fail(found, "https://b.example/1", NO_NAME)
    assert refusal(found, "https://c.example/1") == (
        "there is no network, as earlier fetches of this run found "
        "(a.example: [Errno 111] Connection refused; b.example: [Errno -2] Name or service not known)"
    )


@pytest.mark.parametrize("error", [NO_SERVER, NO_ROUTE], ids=["no name server", "no route"])
def test_a_machine_without_a_network_ends_all_requests_at_once(error: OSError):
    found = Unreachable()
    fail(found, "https://a.example/1", error)
    assert refusal(found, "https://b.example/1") == (
        f"there is no network, as earlier fetches of this run found (a.example: {error})"
    )


HOSTS = {
    "https://a.example/b/c": "a.example",
    "http://127.0.0.1:9/x": "127.0.0.1:9",
    "https://user:secret@a.example:8443/x": "a.example:8443",
}


@pytest.mark.parametrize("url, host", HOSTS.items())
def test_host(url: str, host: str):
    assert host_of(url) == host
