"""A real HTTP server on this machine that answers as an OpenAI-compatible one does, or misbehaves as it is told to.

    python serving.py            prints its port; answers every chat, and writes what it answered to standard output

Each question's last turn is a text that the server's script looks up: how the first, second, ... time that it is asked
ends. After the script's end, and without one, it is answered.
"""

import json
import socket
import threading
import time
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from email.utils import formatdate
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

Misdeed = Callable[["Handler", str], None]


@dataclass
class Record:
    """All that a server was asked, and what it would charge for."""

    asked: Counter[str] = field(default_factory=Counter)
    """Question -> how often it was asked."""
    answered: Counter[str] = field(default_factory=Counter)
    """Question -> how often a whole answer was sent."""
    charged: int = 0
    """Tokens of all that was computed, whether or not the answer arrived."""
    headers: list[dict[str, str]] = field(default_factory=list)
    paths: list[str] = field(default_factory=list)
    bodies: list[dict[str, Any]] = field(default_factory=list)
    times: list[float] = field(default_factory=list)
    most_in_flight: int = 0
    in_flight: int = 0
    lock: threading.Lock = field(default_factory=threading.Lock)


class Server(ThreadingHTTPServer):
    """The server, with its script and its record."""

    daemon_threads = True
    request_queue_size = 64

    def __init__(self, script: Mapping[str, Sequence[Misdeed]] | None = None, always: Misdeed | None = None) -> None:
        super().__init__(("127.0.0.1", 0), Handler)
        self.script = dict(script or {})
        self.always = always
        self.record = Record()
        self.released = threading.Event()
        self.on_answer: Callable[[str], None] = lambda question: None

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.server_address[1]}/v1"

    def handle_error(self, request: Any, client_address: Any) -> None:
        """Stay silent about clients that went away."""

    def __enter__(self) -> "Server":
        threading.Thread(target=self.serve_forever, kwargs={"poll_interval": 0.01}, daemon=True).start()
        return self

    def __exit__(self, *_: object) -> None:
        self.released.set()
        self.shutdown()
        self.server_close()


class Handler(BaseHTTPRequestHandler):
    """One connection of a client, which may ask several questions."""

    protocol_version = "HTTP/1.1"
    server: Server

    def log_message(self, format: str, *args: object) -> None:
        """Print nothing about requests on standard error."""

    def do_POST(self) -> None:
        record = self.server.record
        body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
        question = body["messages"][-1]["content"]
        with record.lock:
            times = record.asked[question]
            record.asked[question] += 1
            record.headers.append({name.lower(): value for name, value in self.headers.items()})
            record.paths.append(self.path)
            record.bodies.append(body)
            record.times.append(time.monotonic())
            record.in_flight += 1
            record.most_in_flight = max(record.most_in_flight, record.in_flight)
        try:
            script = self.server.script.get(question, ())
            misdeed = script[times] if times < len(script) else self.server.always or answer
            misdeed(self, question)
        finally:
            with record.lock:
                record.in_flight -= 1

    def send(self, status: int, body: bytes, **headers: str) -> None:
        """Send a whole answer with its length."""
        self.send_response(status)
        for name, value in {"Content-Type": "application/json", **headers}.items():
            self.send_header(name.replace("_", "-"), value)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def charge(self, tokens: int) -> None:
        with self.server.record.lock:
            self.server.record.charged += tokens


def reply(question: str, **changes: Any) -> dict[str, Any]:
    """Return the answer to a question as the API has it; ``changes`` replace its parts, None removes one."""
    value = {
        "id": "x",
        "object": "chat.completion",
        "created": 1,
        "model": "served-2024",
        "choices": [
            {"index": 0, "finish_reason": "stop", "message": {"role": "assistant", "content": f"re: {question}"}}
        ],
        "usage": {"prompt_tokens": 10, "completion_tokens": 5, "total_tokens": 15},
    } | changes
    return {name: part for name, part in value.items() if part is not None}


def with_message(**message: Any) -> dict[str, Any]:
    """Return choices whose message has these parts; ``finish_reason`` is the choice's."""
    finish = message.pop("finish_reason", "stop")
    return {"choices": [{"index": 0, "finish_reason": finish, "message": {"role": "assistant", **message}}]}


def answer(handler: Handler, question: str, **changes: Any) -> None:
    """Answer a question as a server should."""
    value = reply(question, **changes)
    handler.charge(15)
    with handler.server.record.lock:
        handler.server.record.answered[question] += 1
    handler.send(200, json.dumps(value).encode())
    handler.server.on_answer(question)


def answering(**changes: Any) -> Misdeed:
    """Return the deed that answers with changed parts."""
    return lambda handler, question: answer(handler, question, **changes)


def body(text: bytes | str, status: int = 200, charges: int = 15, **headers: str) -> Misdeed:
    """Return the deed that sends some bytes."""

    def send(handler: Handler, question: str) -> None:
        handler.charge(charges)
        handler.send(status, text.encode() if isinstance(text, str) else text, **headers)

    return send


def status(number: int, message: str = "no", **headers: str) -> Misdeed:
    """Return the deed that refuses with a status; what may have been computed is charged."""
    charges = 15 if number >= 500 and number != 503 else 0
    return body(json.dumps({"error": {"message": message}}), number, charges, **headers)


def later_by_date(seconds: float) -> Misdeed:
    """Return the deed that answers 429 with a Retry-After that is a date."""

    def refuse(handler: Handler, question: str) -> None:
        status(429, Retry_After=formatdate(time.time() + seconds, usegmt=True))(handler, question)

    return refuse


def hang(handler: Handler, question: str) -> None:
    """Compute, charge, and say nothing until the server is released."""
    handler.charge(15)
    handler.server.released.wait(60)
    handler.close_connection = True


def drop(handler: Handler, question: str) -> None:
    """Break off in the middle of the body."""
    handler.charge(15)
    text = json.dumps(reply(question)).encode()
    handler.send_response(200)
    handler.send_header("Content-Type", "application/json")
    handler.send_header("Content-Length", str(len(text)))
    handler.end_headers()
    handler.wfile.write(text[: len(text) // 2])
    handler.wfile.flush()
    handler.connection.shutdown(socket.SHUT_RDWR)
    handler.close_connection = True


def drop_at_once(handler: Handler, question: str) -> None:
    """Close the connection instead of an answer."""
    handler.charge(15)
    handler.connection.shutdown(socket.SHUT_RDWR)
    handler.close_connection = True


def drip(handler: Handler, question: str) -> None:
    """Send a blank now and then, without end, so that the connection is never silent for long."""
    handler.charge(15)
    handler.send_response(200)
    handler.send_header("Content-Length", "1000000")
    handler.end_headers()
    try:
        while not handler.server.released.wait(0.02):
            handler.wfile.write(b" ")
    finally:
        handler.close_connection = True


def drip_of(start: bytes, block: bytes) -> Misdeed:
    """Return the deed that begins an answer and goes on with a block now and then, without end."""

    def send(handler: Handler, question: str) -> None:
        handler.charge(15)
        handler.close_connection = True
        handler.wfile.write(start)
        while not handler.server.released.wait(0.02):
            handler.wfile.write(block)

    return send


def huge(handler: Handler, question: str) -> None:
    """Send more than any reply has."""
    handler.charge(15)
    handler.send_response(200)
    handler.send_header("Content-Length", str(1 << 34))
    handler.end_headers()
    handler.close_connection = True
    block = b" " * (1 << 20)
    while True:
        handler.wfile.write(block)


def slowly(seconds: float) -> Misdeed:
    """Return the deed that answers after a while."""

    def wait(handler: Handler, question: str) -> None:
        handler.server.released.wait(seconds)
        answer(handler, question)

    return wait
