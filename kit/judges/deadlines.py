"""A time by which an answer is there, whatever the server sends meanwhile: silence alone is what sockets time."""

import socket
import threading
from collections.abc import Mapping
from contextlib import suppress
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import httpx2

EXTENSION = "kit_deadline"
"""Name under which a request has its deadline."""


class Deadline:
    """Cuts the connection of one request when its time is over.

    A header, an early answer (1xx) or the size of a chunk may come byte for byte without end, and no part of it is
    ever handed on.
    """

    def __init__(self, seconds: float) -> None:
        self.passed = False
        """Whether the connection was cut."""
        self._streams: list[Any] = []
        self._timer = threading.Timer(0, self._cut)
        self.start(seconds)

    @classmethod
    def of(cls, request: "httpx2.Request", seconds: float) -> None:
        """Give a request a deadline, which begins now; its connection must be its own."""
        deadline = cls(seconds)
        request.extensions |= {EXTENSION: deadline, "trace": deadline._trace}

    def start(self, seconds: float) -> None:
        """Give the request so many seconds from now, in place of what was left."""
        self._timer.cancel()
        self._timer = threading.Timer(seconds, self._cut)
        self._timer.daemon = True
        self._timer.start()

    def stop(self) -> None:
        """End the watch: the answer is there, or there will be none."""
        self._timer.cancel()

    def _trace(self, event: str, info: Mapping[str, Any]) -> None:
        """Learn of a connection, or of its end; the client tells each step."""
        if event in ("connection.connect_tcp.complete", "connection.start_tls.complete"):
            self._streams.append(info["return_value"])
        elif event.endswith(".failed") and "send" not in event:  # a server may answer what it did not read whole
            self.stop()

    def _cut(self) -> None:
        self.passed = True
        for stream in self._streams:
            with suppress(OSError):  # closed already
                socket.socket.shutdown(stream.get_extra_info("socket"), socket.SHUT_RDWR)


def passed(request: "httpx2.Request") -> bool:
    """Return whether a request was cut off at its deadline."""
    deadline = request.extensions.get(EXTENSION)
    return isinstance(deadline, Deadline) and deadline.passed
