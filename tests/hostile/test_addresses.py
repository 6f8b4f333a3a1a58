"""Hosts that redirect, answer without end or name files outside: a fetch accepts https and plain names only."""

import hashlib
import http.server
import io
import os
import threading
import urllib.request
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from kit.check.recorded import Expected
from kit.errors import KitError, RequestError
from kit.files import network
from kit.reading.places import file_name_fault, inner_path_fault
from kit.run.worker import JobContext
from kit.stages import fetch

HELLO = b"hello\n"
SHA256 = hashlib.sha256(HELLO).hexdigest()


def silent(kind: str, **fields: Any) -> None:
    """Ignore the worker's events, which these tests do not check."""


def context(source: dict[str, Any], mirror: Path | None = None) -> JobContext:
    found = JobContext(rank=0, world=1, mirror=mirror, unsafe_exec=False, emit=silent)
    found.source = source
    return found


LEADS = {
    "to a file": (
        "file:///etc/passwd",
        "HTTP Error 302: Found - Redirection to url 'file:///etc/passwd' is not allowed",
    ),
    "to ftp": ("ftp://a.example/x", "it leads on to ftp://a.example/x: wanted an address that begins with https://"),
    "to another host's http": (
        "http://192.0.2.1/x",
        "it leads on to http://192.0.2.1/x: wanted https://; http:// shows nobody",
    ),
    "with a password": (
        "https://user:secret@a.example/x",
        "it leads on to https://a.example/x: an address holds no user and no",
    ),
    "nowhere": ("https://[::1/x", "it leads on to what is no address: Invalid IPv6 URL"),
}


@pytest.fixture
def site() -> Iterator[str]:
    """A web server that redirects ``/<number>`` to that address of LEADS, and ``/local`` to ``/hello``."""
    addresses = [address for address, _ in LEADS.values()]

    class Handler(http.server.BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            name = self.path[1:]
            self.send_response(200 if name == "hello" else 302)
            if name != "hello":
                self.send_header("Location", addresses[int(name)] if name.isdigit() else "/hello")
            self.end_headers()
            self.wfile.write(HELLO)

        def log_message(self, *_: Any) -> None:
            """Print no line for a request."""

    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        yield f"http://127.0.0.1:{server.server_port}"
        server.shutdown()
        thread.join()


@pytest.mark.parametrize("lead", LEADS)
def test_redirects_that_are_refused(lead: str, site: str, tmp_path: Path):
    """Redirects to ftp and to plain http of any host were followed, with the password."""
    url = f"{site}/{list(LEADS).index(lead)}"
    with pytest.raises(KitError) as error:
        params = {"kind": "file", "name": "x", "sha256": SHA256}
        fetch.run(params, {}, tmp_path, context({"url": url, "mirror": None}))
    assert str(error.value).startswith(f"{url}: could not be fetched: {LEADS[lead][1]}")
    assert "secret" not in str(error.value)


def test_redirects_that_are_followed(site: str, tmp_path: Path):
    params = {"kind": "file", "name": "x", "sha256": SHA256}
    assert fetch.run(params, {}, tmp_path, context({"url": f"{site}/local", "mirror": None})).rows == 1


def test_https_redirects_to_https_only():
    """A host that was asked by https could redirect to this machine's own servers by plain http."""
    asked = urllib.request.Request("https://a.example/x")  # nothing is asked
    with pytest.raises(urllib.error.URLError, match=r"http://127.0.0.1/x: https leads on to https alone"):
        network._Redirects().redirect_request(asked, io.BytesIO(), 302, "Found", {}, "http://127.0.0.1/x")
    onward = network._Redirects().redirect_request(asked, io.BytesIO(), 302, "Found", {}, "https://b.example/x")
    assert onward is not None
    assert onward.full_url == "https://b.example/x"


@pytest.mark.parametrize(
    "url", ["file:///etc/passwd", "http://192.0.2.1/x", "data:,x", "//x", "https://u:p@a.example/"]
)
def test_a_planted_job_reads_no_other_address(url: str, tmp_path: Path):
    """The worker read any address in a job's file, also files of this machine."""
    with pytest.raises(KitError, match=r"wanted (an address that begins with )?https://|no user and no password"):
        params = {"kind": "file", "name": "x", "sha256": None, "url": url}
        fetch.run(params, {}, tmp_path, context({"url": url, "mirror": None}))
    assert list(tmp_path.iterdir()) == []


def test_an_endless_answer_is_cut_off(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    """An endless answer was written until the disk was full."""

    class Endless(io.RawIOBase):
        def read(self, size: int = -1) -> bytes:
            return size * b"x"

    with (tmp_path / "x").open("wb") as file, pytest.raises(KitError) as error:
        network.copy_answer(Endless(), file, 5 * network.BLOCK)
    assert str(error.value) == "more than 5,242,880 bytes came, which no data file has; is it the right address?"
    assert (tmp_path / "x").stat().st_size == 5 * network.BLOCK


OUTSIDE = {
    "../x": "'../x': wanted a path inside the folder: that is no file's name",
    "/tmp/x": "'/tmp/x': wanted a path inside the folder, without a slash in front",
    "a/../../x": "'a/../../x': wanted a path inside the folder: that is no file's name",
    "": "'': wanted a path inside the folder, without a slash in front",
    "artifact.json": "'artifact.json': wanted a path inside the folder: "
    "the name artifact.json is the store's own; give the file another",
    "a\0b": "'a\\x00b': wanted a path inside the folder: a file's name holds no slash and no zero byte",
}


@pytest.mark.parametrize("name", OUTSIDE)
@pytest.mark.parametrize("kind", ["file", "prompts", "folder"])
def test_a_job_writes_inside_its_folder(kind: str, name: str, tmp_path: Path):
    """A planted job could write its file into any folder by its name."""
    (tmp_path / "from").mkdir()
    (tmp_path / "out" / "put").mkdir(parents=True)
    source = {"path": str(tmp_path / "from"), "url": "https://a.example/{file}", "mirror": "a"}
    params = {"kind": kind, "name": name, "sha256": SHA256, "files": {name: SHA256}}
    with pytest.raises(KitError) as error:
        fetch.run(params, {}, tmp_path / "out" / "put", context(source))
    assert str(error.value) == OUTSIDE[name]
    assert sorted(path.name for path in tmp_path.rglob("*")) == ["from", "out", "put"]


def test_a_mirror_path_must_be_inside_the_mirror(tmp_path: Path):
    (tmp_path / "mirror").mkdir()
    (tmp_path / "secret").write_bytes(HELLO)
    source = {"url": "https://a.example/x", "mirror": "../secret"}
    with pytest.raises(KitError, match=r"^'../secret': wanted a path inside the folder"):
        params = {"kind": "file", "name": "x", "sha256": SHA256}
        fetch.run(params, {}, tmp_path, context(source, tmp_path / "mirror"))


@pytest.mark.parametrize("kind", ["pipe", "device", "folder"])
def test_a_mirror_entry_that_is_not_a_file_is_reported(kind: str, tmp_path: Path):
    """A pipe in the mirror was skipped silently, and the network was used."""
    (tmp_path / "mirror").mkdir()
    (tmp_path / "out").mkdir()
    place = tmp_path / "mirror" / "x"
    {"pipe": os.mkfifo, "device": lambda path: path.symlink_to("/dev/zero"), "folder": Path.mkdir}[kind](place)
    with pytest.raises(RequestError) as error:
        params = {"kind": "file", "name": "x", "sha256": SHA256}
        source = {"url": "https://a.example/x", "mirror": "x"}
        fetch.run(params, {}, tmp_path / "out", context(source, tmp_path / "mirror"))
    assert str(error.value) == f"{place}: a {kind}, wanted a plain file"


def test_names_and_paths_that_are_accepted():
    assert [file_name_fault(name) for name in ("x", "x.json?download=true", ".x", "-x", "con", 255 * "x", "é")] == 7 * [
        None
    ]
    assert file_name_fault(128 * "é") == "a file's name has 255 bytes at most, this one 256"
    assert [inner_path_fault(path) for path in ("a/b/c.json", "*.json", "a b/c")] == 3 * [None]


PLACE = 'at = { base = "b" }, column = "c"'
EXPECTED = {
    "by names joined with slashes": (
        "schema = 1\n[cells]\n'a/b/c' = { percent = 1.0, n = 1 }",
        "expected/x/y.toml: cells: recorded by an earlier version of the kit; `kit verify --record` writes the file "
        "anew",
    ),
    "no cells": ("schema = 1\n", "expected/x/y.toml: cells: missing; it has no default"),
    "no number": (
        f'schema = 1\ncells = [{{ {PLACE}, percent = "x", n = 1 }}]',
        "expected/x/y.toml: cells[0].percent: input should be a valid number, found 'x'",
    ),
    "below percent": (
        f"schema = 1\ncells = [{{ {PLACE}, percent = -1.0, n = 1 }}]",
        "expected/x/y.toml: cells[0].percent: input should be greater than or equal to 0, found -1.0",
    ),
    "endless percent": (
        f"schema = 1\ncells = [{{ {PLACE}, percent = inf, n = 1 }}]",
        "expected/x/y.toml: cells[0].percent: input should be a finite number, found inf",
    ),
    "no units": (
        f"schema = 1\ncells = [{{ {PLACE}, percent = 1.0, n = 0 }}]",
        "expected/x/y.toml: cells[0].n: input should be greater than 0, found 0",
    ),
    "no TOML": (
        "schema = 1\n[cells",
        "expected/x/y.toml: not TOML: Expected ']' at the end of a table declaration (at end of document)",
    ),
}


@pytest.mark.parametrize("text, message", EXPECTED.values(), ids=list(EXPECTED))
def test_changed_recorded_values_are_reported(text: str, message: str):
    """`kit verify` ended in a KeyError or a TypeError on such values."""
    from kit.reading.documents import parse

    with pytest.raises(RequestError) as error:
        parse(Expected, text, "expected/x/y.toml")
    assert str(error.value) == message


@pytest.mark.parametrize(
    "name, text, message",
    [
        ("images.toml", "x = 1\n", "images.toml: base: found None, wanted a table"),
        ("images.toml", "base = 3\n", "images.toml: base: found 3, wanted a table"),
        ("debs.toml", '[cpu]\na = "1"\n', "debs.toml: cpu.a: found '1', wanted its version and its sha256"),
        (
            "debs.toml",
            "[cpu]\na = { version = 1 }\n",
            "debs.toml: cpu.a: found {'version': 1}, wanted its version and its sha256",
        ),
    ],
)
def test_changed_pins_are_reported(name: str, text: str, message: str, tmp_path: Path):
    """`kit pin` and `kit doctor` ended in a KeyError or a TypeError on such pins."""
    import shutil

    from kit.catalogue import ROOT
    from kit.check import pins

    shutil.copytree(ROOT / "manifests", tmp_path / "manifests")
    shutil.copytree(ROOT / "docker", tmp_path / "docker")
    (tmp_path / "docker" / name).write_text(text)
    with pytest.raises(RequestError) as error:
        pins.pins(tmp_path)
    assert str(error.value) == message
