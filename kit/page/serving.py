"""Serves a page to browsers on this machine alone: its rows are sent when they are opened, whatever their size."""

import gzip
from collections.abc import Mapping
from functools import partial
from http import HTTPStatus
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

from kit.errors import RequestError
from kit.page import Page
from kit.page.writing import html, policy_of

LOOPBACK = "127.0.0.1"
HEADERS = {
    "Cache-Control": "no-store",
    "Referrer-Policy": "no-referrer",
    "X-Content-Type-Options": "nosniff",
    "X-Frame-Options": "DENY",
    "Cross-Origin-Resource-Policy": "same-origin",
}
"""Headers of every reply."""
JSON, HTML = "application/json", "text/html; charset=utf-8"


def make_server(page: Page, port: int = 0) -> ThreadingHTTPServer:
    """Return a server of a page on the loopback address, which its caller starts with ``serve_forever``.

    Args:
        page: a page that was made to be served.
        port: port to listen at; 0 takes one that is free.

    Raises:
        RequestError: the port is taken, or may not be listened at.
    """
    bodies: dict[str, tuple[str, bytes]] = {"/": (HTML, gzip.compress(html(page).encode(), mtime=0))}
    for id, block in page.blocks.items():
        bodies[f"/blocks/{id}.json"] = (JSON, gzip.compress(block, mtime=0))
    policy = f"{policy_of(served=True)}; frame-ancestors 'none'"
    try:
        return ThreadingHTTPServer((LOOPBACK, port), partial(_Handler, bodies, policy))
    except (OSError, OverflowError) as error:
        reason = getattr(error, "strerror", None) or "no such port"
        raise RequestError(f"--port {port}: {reason}; name another, or leave it out") from error


class _Handler(BaseHTTPRequestHandler):
    """Answers one connection out of bodies that are ready."""

    server_version, sys_version = "kit", ""

    def __init__(self, bodies: Mapping[str, tuple[str, bytes]], policy: str, *args: Any) -> None:
        self._bodies, self._policy = bodies, policy
        super().__init__(*args)

    def do_GET(self) -> None:
        """Send the page or one of its blocks."""
        self._reply(with_body=True)

    def do_HEAD(self) -> None:
        """Send the headers of the page or of a block, without its bytes."""
        self._reply(with_body=False)

    def log_message(self, format: str, *args: Any) -> None:
        """Print nothing: requests are a browser's own."""

    def _reply(self, *, with_body: bool) -> None:
        """Send what is asked for; refuse a request for another host's name, which a page elsewhere may have made."""
        assert isinstance(self.server, ThreadingHTTPServer)
        port = self.server.server_port
        if self.headers.get("Host") not in (f"{LOOPBACK}:{port}", f"localhost:{port}"):
            self._send(HTTPStatus.FORBIDDEN, "text/plain", b"this page is for this machine's own browsers\n", with_body)
        elif found := self._bodies.get(self.path.partition("?")[0]):
            self._send(HTTPStatus.OK, *found, with_body)
        else:
            self._send(HTTPStatus.NOT_FOUND, "text/plain", b"not found\n", with_body)

    def _send(self, status: HTTPStatus, kind: str, body: bytes, with_body: bool) -> None:
        self.send_response(status)
        for name, value in HEADERS.items():
            self.send_header(name, value)
        self.send_header("Content-Security-Policy", self._policy)
        self.send_header("Content-Type", kind)
        self.send_header("Content-Length", str(len(body)))
        if status is HTTPStatus.OK:
            self.send_header("Content-Encoding", "gzip")
        self.end_headers()
        if with_body:
            self.wfile.write(body)
