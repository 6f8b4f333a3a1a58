"""Files from a mirror folder, an address or nowhere: checked by the known hash, refused with where they belong."""

import errno
import hashlib
import http.client
import http.server
import io
import socket
import ssl
import threading
import urllib.error
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from kit.catalogue.entries import Dataset
from kit.errors import KitError
from kit.files import network
from kit.plan import Plan
from kit.plan.planning import plan_tables
from kit.plan.sources import data_source
from kit.run.worker import JobContext, run_job
from kit.stages import Summary, fetch
from kit.store import Job, Store

HELLO = b"hello\n"
SHA256 = "5891b5b522d5df086d0ff0b110fbd9d21bb4fc7163af34d08286a2e846f6be03"
BLOB = "ce013625030ba8dba906f756967f9e9ca394464a"
REFUSED = ConnectionRefusedError(errno.ECONNREFUSED, "Connection refused")
NO_SERVER = socket.gaierror(socket.EAI_AGAIN, "Temporary failure in name resolution")


def silent(kind: str, **fields: Any) -> None:
    """Ignore the worker's events, which these tests do not check."""


def context(mirror: Path | None = None) -> JobContext:
    return JobContext(rank=0, world=1, mirror=mirror, unsafe_exec=False, emit=silent)


def dataset(**fields: Any) -> Dataset:
    given = {"url": "https://a.example/c/seeds.json", "mirror": "a/seeds.json"} | fields
    return Dataset(format="alpaca", licence="mine", **given)


def get(data: Dataset, out: Path, where: JobContext) -> Summary:
    """Run the fetch job of a data set, as a plan has it."""
    params, where.source = data_source(data, None)
    out.mkdir(exist_ok=True)
    return fetch.run(params, {}, out, where)


@pytest.fixture
def mirror(tmp_path: Path) -> Path:
    (tmp_path / "mirror" / "a").mkdir(parents=True)
    (tmp_path / "mirror" / "a" / "seeds.json").write_bytes(HELLO)
    return tmp_path / "mirror"


KNOWN = {
    "by its sha256": ({"sha256": SHA256}, {"sha256_was_pinned": True}),
    # no hash was checked, and none is known to compare a later copy with
    "by its git blob": ({"git_blob": BLOB}, {"sha256_was_pinned": False, "git_blob": BLOB}),
    "by both": ({"sha256": SHA256, "git_blob": BLOB}, {"sha256_was_pinned": True}),
    "by its address alone": ({}, {"sha256_was_pinned": False}),
}


@pytest.mark.parametrize("fields, facts", KNOWN.values(), ids=list(KNOWN))
def test_a_copy_is_checked_and_its_sha256_is_noted(
    fields: dict[str, str], facts: dict[str, Any], mirror: Path, tmp_path: Path
):
    summary = get(dataset(**fields), tmp_path / "out", context(mirror))
    assert (tmp_path / "out" / "seeds.json").read_bytes() == HELLO
    assert summary == Summary(rows=1, facts={"from": "mirror:a/seeds.json", "sha256": SHA256, **facts})


DAMAGE = {
    "cut off": b"hell",
    "one byte changed": b"hellO\n",
    "line breaks of Windows": b"hello\r\n",
    "a byte-order mark": b"\xef\xbb\xbfhello\n",
    "empty": b"",
    "a page of a proxy": b"<html>Sign in</html>",
}


@pytest.mark.parametrize("content", DAMAGE.values(), ids=list(DAMAGE))
@pytest.mark.parametrize("name, pinned", [("sha256", SHA256), ("git_blob", BLOB)])
def test_a_damaged_copy_is_refused(name: str, pinned: str, content: bytes, mirror: Path, tmp_path: Path):
    # of Alpaca and Code Alpaca whatever came was taken, cut off or not
    (mirror / "a" / "seeds.json").write_bytes(content)
    found = {
        "sha256": hashlib.sha256(content).hexdigest(),
        "git_blob": hashlib.sha1(b"blob %d\0%s" % (len(content), content)).hexdigest(),
    }
    with pytest.raises(KitError) as error:
        get(dataset(**{name: pinned}), tmp_path / "out", context(mirror))
    shown = {"sha256": "sha256", "git_blob": "git blob id"}[name]
    assert str(error.value) == (
        f"seeds.json from mirror:a/seeds.json: {shown} is {found[name]}, the manifest pins {pinned}; "
        "the file is damaged or is not the pinned revision"
    )


@pytest.fixture
def site() -> Iterator[str]:
    """A web server that has one file, ``/seeds.json``, and says 403 of ``/secret`` and 404 of all else."""

    class Handler(http.server.BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            code = {"/seeds.json": 200, "/secret": 403}.get(self.path, 404)
            self.send_response(code)
            self.end_headers()
            self.wfile.write(HELLO if code == 200 else b"no")

        def log_message(self, *_: Any) -> None:
            """Print no line for a request."""

    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        yield f"http://127.0.0.1:{server.server_port}"
        server.shutdown()
        thread.join()


def test_what_a_host_refuses_speaks_for_no_other_file(site: str, tmp_path: Path):
    where = context()
    for name, reason in (("gone", "HTTP Error 404: Not Found"), ("secret", "HTTP Error 403: Forbidden")):
        with pytest.raises(KitError) as error:
            get(dataset(url=f"{site}/{name}"), tmp_path / name, where)
        assert str(error.value) == (
            f"{site}/{name}: could not be fetched: {reason}; "
            "put it at a/seeds.json in a folder, and name that folder with --mirror (make: MIRROR=)"
        )
    summary = get(dataset(url=f"{site}/seeds.json", git_blob=BLOB), tmp_path / "out", where)
    assert summary.facts["from"] == f"{site}/seeds.json"


class Asked:
    """In place of open_address: raises, and keeps what was asked."""

    def __init__(self, error: OSError) -> None:
        self.error, self.urls = error, list[str]()

    def __call__(self, url: str, timeout: float) -> Any:
        self.urls.append(url)
        raise urllib.error.URLError(self.error)


def asked(error: OSError, monkeypatch: pytest.MonkeyPatch) -> Asked:
    found = Asked(error)
    monkeypatch.setattr(network, "open_address", found)
    return found


PLACES = {
    "no mirror folder": (
        {"mirror": "a/b/seeds.json"},
        False,
        "put it at a/b/seeds.json in a folder, and name that folder with --mirror (make: MIRROR=)",
    ),
    "a mirror folder without it": (
        {"mirror": "a/b/seeds.json"},
        True,
        "the mirror folder (--mirror; make: MIRROR=) lacks it; put it there at a/b/seeds.json",
    ),
    "no place in a mirror folder": (
        {"mirror": None},
        True,
        "its data set names no place in a mirror folder; give its entry one (mirror), or name a copy (file)",
    ),
}


@pytest.mark.parametrize("fields, mirrored, cure", PLACES.values(), ids=list(PLACES))
def test_the_message_says_where_the_file_belongs(
    fields: dict[str, Any], mirrored: bool, cure: str, mirror: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    asked(REFUSED, monkeypatch)
    with pytest.raises(KitError) as error:
        get(dataset(**fields), tmp_path / "out", context(mirror if mirrored else None))
    assert str(error.value) == (
        "https://a.example/c/seeds.json: could not be fetched: no network reaches a.example "
        f"([Errno 111] Connection refused); {cure}"
    )


def test_the_place_that_the_message_names_is_where_it_is_looked_for(
    mirror: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    asked(REFUSED, monkeypatch)
    with pytest.raises(KitError) as error:
        get(dataset(mirror="deep/er/x.json", git_blob=BLOB), tmp_path / "out", context(mirror))
    place = mirror / str(error.value).rpartition(" at ")[2]
    place.parent.mkdir(parents=True)
    place.write_bytes(HELLO)
    assert get(dataset(mirror="deep/er/x.json", git_blob=BLOB), tmp_path / "out", context(mirror)).rows == 1


def test_all_files_that_a_job_lacks_are_named(mirror: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    asked(REFUSED, monkeypatch)
    where, out = context(mirror), tmp_path / "out"
    out.mkdir()
    where.source = {"url": "https://a.example/c/{file}", "mirror": "a"}
    params = {"kind": "prompts", "files": {"seeds.json": SHA256, "x/1.py": SHA256, "x/2.py": SHA256}}
    with pytest.raises(KitError) as error:
        fetch.run(params, {}, out, where)
    assert str(error.value) == (
        "https://a.example/c/x/1.py: could not be fetched: no network reaches a.example ([Errno 111] Connection "
        "refused); the mirror folder (--mirror; make: MIRROR=) lacks them; put them there at a/x/1.py, a/x/2.py"
    )


def fetch_all(plan: Plan, store: Store) -> dict[str, str]:
    """Run a plan's fetches as one worker does; id -> why it failed."""
    jobs: list[Job] = [job for job in plan.jobs.values() if job.stage == "fetch"]
    where = context()
    for job in jobs:
        store.plan(job)
        assert not run_job(store, job.key, where)
    return {job.id.removeprefix("fetch/"): str(store.failure(job.key)) for job in jobs}


class Hub:
    """In place of the hub's client: a session that raises, and counts."""

    def __init__(self, error: OSError) -> None:
        self.error, self.count = error, 0

    def head(self, url: str, timeout: float) -> Any:
        self.count += 1
        raise RuntimeError("the client's own error") from self.error


def without_network(error: OSError, monkeypatch: pytest.MonkeyPatch) -> tuple[Asked, Hub]:
    import huggingface_hub

    def no_download(*_: Any, **__: Any) -> None:
        pytest.fail("the hub's client was let try six times")

    hub = Hub(error)
    monkeypatch.setattr(huggingface_hub, "get_session", lambda: hub)
    monkeypatch.setattr(huggingface_hub, "snapshot_download", no_download)
    return asked(error, monkeypatch), hub


@pytest.mark.parametrize("error, requests", [(NO_SERVER, 1), (REFUSED, 2)], ids=["no name server", "refused"])
def test_the_first_without_a_network_speaks_for_all(
    error: OSError, requests: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    # every fetch of the paper's scale waited for itself: two minutes and more
    files, hub = without_network(error, monkeypatch)
    plan = plan_tables(["2"], "paper")
    failures = fetch_all(plan, Store.open(tmp_path / "store"))
    assert len(failures) == 18
    assert len(files.urls) + hub.count == requests  # a host each at most, and there are two
    assert all("network" in reason for reason in failures.values())
    for name, reason in failures.items():
        data, model = planned(name), name in plan.models
        assert model or name == "paper-prompts" or f"; put it at {data} in a folder" in reason
        assert not model or reason.endswith("with a network, and bring that store here")


def planned(name: str) -> str | None:
    """A data set's place in a mirror folder, as its manifest has it."""
    from kit.catalogue import Catalogue, manifests_folder

    found = Catalogue(manifests_folder()).datasets.get(name)
    return found.mirror if found else None


def test_trouble_of_the_hub_itself_is_its_clients_to_tell(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    import huggingface_hub

    monkeypatch.setattr(huggingface_hub, "get_session", lambda: Hub(ssl.SSLError(1, "certificate verify failed")))

    def refuse(*_: Any, **__: Any) -> None:
        raise OSError("certificate verify failed\nand more")

    monkeypatch.setattr(huggingface_hub, "snapshot_download", refuse)
    params = {"kind": "hub", "repo": "a/b", "revision": "c" * 40, "files": ["*.json"]}
    where = context()
    with pytest.raises(KitError) as error:
        fetch.run(params, {}, tmp_path, where)
    assert str(error.value) == f"a/b@{'c' * 12}: could not be fetched: certificate verify failed"
    assert where.unreachable.hosts == {}


def test_an_answer_cut_off_is_no_network(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    # ended in "IncompleteRead: ...", as a fault of the kit's, with a trace in the log
    class Response(io.BytesIO):
        def read(self, size: int | None = -1) -> bytes:
            raise http.client.IncompleteRead(b"he", 4)

    monkeypatch.setattr(network, "open_address", lambda url, timeout: Response())
    where = context()
    with pytest.raises(KitError) as error:
        get(dataset(), tmp_path / "out", where)
    assert str(error.value) == (
        "https://a.example/c/seeds.json: could not be fetched: IncompleteRead(2 bytes read, 4 more expected); "
        "put it at a/seeds.json in a folder, and name that folder with --mirror (make: MIRROR=)"
    )
    assert where.unreachable.hosts == {}
