"""Output of a worker in a container, committed by the host: whatever the worker leaves, the store stays sound."""

import os
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from kit.errors import KitError
from kit.run import handover
from kit.run.handover import Exchange, Handover, exchange
from kit.store import BusyError, Job, Store
from kit.store.clearing import release
from kit.store.provenance import provenance_faults

JOB = Job(id="a job", stage="grade", version="grade-1", environment="grade", lock="", params={}, inputs={})

PROVENANCE = {
    "started_at": "2026-11-22T00:00:00+00:00",
    "wall_s": 1.0,
    "python": "3.11.2",
    "packages": {},
    "machine": {},
}


@pytest.fixture
def store(tmp_path: Path) -> Store:
    return Store.open(tmp_path / "store")


def worker(store: Store, host: Exchange, fill: Callable[[Path], Any]) -> list[str]:
    """Run the worker's side of one job in a thread and the host's in this one; return the reasons of failures."""
    events: list[dict[str, Any]] = []
    computed, failures = threading.Event(), []

    def emit(kind: str, **fields: Any) -> None:
        events.append({"event": kind, **fields})
        computed.set()

    def work() -> None:
        seen = Handover(store.root, host.out, host.refusals, emit)
        try:
            with seen.lock(JOB.key), seen.scratch(JOB.key) as out:
                fill(out)
                seen.commit(JOB, out, rows=1, facts={"tokens": 2}, provenance=PROVENANCE | {"image": "a lie"})
        except KitError as error:
            failures.append(str(error))

    thread = threading.Thread(target=work)
    thread.start()
    assert computed.wait(10)
    host.take(JOB, events[0])
    thread.join(10)
    assert not thread.is_alive()
    return failures


def test_the_host_fills_an_artifact_that_gave_its_files_back(store: Store) -> None:
    # the container saw the head, took its job for committed, and removed its output before the host had taken it
    def fill(out: Path) -> None:
        (out / "rows.jsonl").write_text("{}\n")

    for copies in (True, False):
        with exchange(store, [JOB.key], other_user=False, copies=copies) as host:
            assert worker(store, host, fill) == []
        assert (store.holds(JOB.key), store.check(JOB.key)) == (True, [])
        assert release(store, JOB.key, "--keep results") == 3
        assert (store.has(JOB.key), store.holds(JOB.key)) == (True, False)


def test_what_a_killed_container_left_half_goes_before_and_after(store: Store) -> None:
    # a checkpoint without its index stayed: the host had no lock for it, and no worker removed it
    sha = "0" * 64
    names = {
        "part": f"{JOB.key}-{'1' * 16}-000000-256-{sha}.jsonl",
        "tensors": f"{JOB.key}-{'1' * 16}-checkpoint-00000003-0000-{sha}.safetensors",
        "draft": f".{JOB.key}-{'1' * 16}-checkpoint-0000.12ab34cd",
    }
    found = []

    def leave() -> None:
        found.append(sorted(path.name for path in (store.root / "parts").iterdir()))
        for name in names.values():
            (store.root / "parts" / name).write_text("")

    leave()
    with exchange(store, [JOB.key], other_user=False):
        leave()
    leave()
    assert found == [[], [names["part"]], [names["part"]]]


# what the container says of a job that went on -> field of the head, or the reason for which it is refused
RESUMED: dict[str, tuple[dict[str, Any], Any, str]] = {
    "an older image's": ({}, None, ""),
    "a job that went on": ({"resumed": True}, True, ""),
    "no truth": (
        {"resumed": "yes"}, None,
        "a job: a malformed event: ValueError(\"provenance.resumed: found 'yes', wanted a truth\")",
    ),
}  # fmt: skip


@pytest.mark.parametrize("told, field, reason", RESUMED.values(), ids=list(RESUMED))
def test_the_container_says_whether_its_job_went_on(
    told: dict[str, Any], field: Any, reason: str, store: Store
) -> None:
    event = {"event": "computed", "rows": 1, "facts": {}, "provenance": PROVENANCE | told}
    with exchange(store, [JOB.key], other_user=False) as host:
        (host.out / JOB.key).mkdir()
        host.take(JOB, event)
        refusal = host.refusals / JOB.key
        assert (refusal.read_text() if refusal.exists() else "") == reason
    if not reason:
        assert store.get(JOB.key).provenance.get("resumed") is field


@pytest.mark.parametrize("copies", [True, False])
def test_the_host_commits_what_the_worker_computed(store: Store, copies: bool) -> None:
    def fill(out: Path) -> None:
        (out / "rows.jsonl").write_text("{}\n")
        (out / "deep").mkdir(mode=0o700)
        (out / "deep" / "b").write_bytes(b"b" * 100_000)
        (out / "rows.jsonl").chmod(0o600)

    observed = {"image": "sha256:1", "commit": "abc", "dirty": None}
    with exchange(store, [JOB.key], other_user=False, copies=copies, observed=observed) as host:
        assert worker(store, host, fill) == []
        assert list(host.out.iterdir()) == []  # out of the worker's reach
    artifact = store.get(JOB.key)
    assert (artifact.rows, artifact.facts) == (1, {"tokens": 2})
    # the image, and with it the commit, was what the container said it was
    told = {"schema": 2, "environment": "grade", "seed": None, "gpus_held": 0, "gpu_held_s": 0.0, "request": {}}
    assert artifact.provenance == PROVENANCE | observed | told | {"cpu_s": None, "memory": None}
    assert provenance_faults(artifact.provenance, artifact.job) == []
    assert {name: file["size_bytes"] for name, file in artifact.files.items()} == {"rows.jsonl": 3, "deep/b": 100_000}
    assert store.check(JOB.key) == []
    paths = [artifact.folder, *artifact.folder.rglob("*")]
    assert {path.stat().st_uid for path in paths} == {os.geteuid()}
    assert {oct(path.stat().st_mode & 0o777) for path in paths} == {"0o644", "0o755"}
    assert list((store.root / "tmp").iterdir()) == []


def replace_by_link(out: Path) -> None:
    out.rmdir()
    out.symlink_to("/etc")


def name_twice(out: Path) -> None:
    (out / "rows").write_text("good")
    os.link(out / "rows", out.parent / "spare")


def nest(out: Path) -> None:
    (out / "/".join("d" * 20)).mkdir(parents=True)


def misspell(out: Path) -> None:
    (out / "r\udcffws").write_text("")


PLAIN = "is no plain file with one name; an artifact holds nothing else"


@pytest.mark.parametrize("copies", [True, False])
@pytest.mark.parametrize(
    ("fill", "reason"),
    [
        (lambda out: (out / "link").symlink_to("/etc/passwd"), "a job: link is a link; an artifact holds plain files"),
        (lambda out: (out / "artifact.json").write_text("{}"), "a job: the name artifact.json is the head's; "),
        (replace_by_link, "a job: its container left no output folder"),
        (lambda out: out.rmdir(), "a job: its container left no output folder"),
        (lambda out: os.mkfifo(out / "pipe"), f"a job: pipe {PLAIN}"),
        (name_twice, f"a job: rows {PLAIN}"),
        (nest, "a job: more than 16 folders in each other"),
        (misspell, "a job: a malformed event: UnicodeEncodeError("),  # ended the run
    ],
    ids=[
        "a link",
        "a head of its own",
        "the folder is a link",
        "no folder",
        "a pipe",
        "a hard link",
        "a deep folder",
        "a name that is no text",
    ],
)
def test_refused_output_is_reported_and_not_committed(
    store: Store, fill: Callable[[Path], Any], reason: str, copies: bool
) -> None:
    with exchange(store, [JOB.key], other_user=False, copies=copies) as host:
        (refusal,) = worker(store, host, fill)
    assert refusal.startswith(reason)
    assert not store.has(JOB.key)


@pytest.mark.parametrize(
    ("fields", "reason"),
    [
        ({}, "a job: a malformed event: KeyError('provenance')"),
        ({"provenance": {}}, "a job: a malformed event: KeyError('started_at')"),
        ({"provenance": PROVENANCE | {"started_at": "\x1b[2J"}}, "a job: a malformed event: ValueError("),
        (
            {"provenance": PROVENANCE | {"cpu_s": -1}},
            "a job: a malformed event: ValueError('provenance.cpu_s: found -1, wanted seconds or null')",
        ),
        (
            {"provenance": PROVENANCE | {"memory": {"worker_peak_bytes": "all"}}},
            "a job: a malformed event: ValueError(\"provenance.memory: found {'worker_peak_bytes': 'all'}, wanted an ",
        ),
    ],
    ids=["nothing", "no time", "no time but an escape", "time that was given back", "memory that is no number"],
)
def test_an_event_that_lacks_a_field_is_refused(store: Store, fields: dict[str, Any], reason: str) -> None:
    with exchange(store, [JOB.key], other_user=False) as host:
        (host.out / JOB.key).mkdir()
        host.take(JOB, {"event": "computed", "key": JOB.key, "rows": 1, "facts": {}} | fields)
        assert (host.refusals / JOB.key).read_text().startswith(reason)
    assert not store.has(JOB.key)


def test_a_folder_that_is_replaced_by_a_link_during_the_copy_is_not_followed(store: Store, tmp_path: Path) -> None:
    # a link in place of the folder, put there while files were hashed: what it led to was chmodded, renamed, written to
    outside = tmp_path / "victim"
    outside.mkdir(mode=0o700)
    (outside / "zz").write_text("theirs")
    real = handover._copy

    def swap(source: int, size_bytes: int, target: Path) -> None:
        if target.name == "a":
            folder = host.out / JOB.key
            folder.rename(host.out / "aside")
            folder.symlink_to(outside)
        real(source, size_bytes, target)

    with exchange(store, [JOB.key], other_user=False) as host, pytest.MonkeyPatch.context() as patch:
        patch.setattr(handover, "_copy", swap)
        (host.out / JOB.key).mkdir()
        (host.out / JOB.key / "a").write_text("a")
        (host.out / JOB.key / "zz").write_text("ours")
        host.take(JOB, {"event": "computed", "key": JOB.key, "rows": 1, "facts": {}, "provenance": PROVENANCE})
    folder = store.get(JOB.key).folder
    assert ((folder / "zz").read_text(), folder.is_symlink()) == ("ours", False)
    assert ([path.name for path in outside.iterdir()], oct(outside.stat().st_mode & 0o777)) == (["zz"], "0o700")


def test_output_of_model_written_code_can_not_be_changed_after_the_copy(store: Store) -> None:
    # a held descriptor of the folder put another head into the artifact, one of a file another text
    with exchange(store, [JOB.key], other_user=False) as host:
        out = host.out / JOB.key
        out.mkdir()
        (out / "rows").write_text("good")
        folder, file = os.open(out, os.O_RDONLY), os.open(out / "rows", os.O_WRONLY)
        try:
            host.take(JOB, {"event": "computed", "key": JOB.key, "rows": 1, "facts": {}, "provenance": PROVENANCE})
            os.write(file, b"forged")
            os.close(os.open("artifact.json", os.O_CREAT | os.O_WRONLY, dir_fd=folder))
        finally:
            os.close(folder)
            os.close(file)
    assert (store.get(JOB.key).folder / "rows").read_text() == "good"
    assert store.check(JOB.key) == []


def test_a_job_whose_process_was_killed_for_memory_fails(store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    # the worker lived, and wrote "no verdict" for the program that was killed
    counts = iter((3, 5))
    monkeypatch.setattr(handover, "memory_kills", lambda: next(counts))
    monkeypatch.setattr(handover, "memory_limit", lambda: 4 << 30)
    seen = Handover(store.root, store.root, store.root, lambda *_, **__: pytest.fail("it was handed over"))
    with pytest.raises(
        KitError, match=r"^a job: the kernel killed 2 of its processes: its container is held to 4\.0 GiB"
    ):
        seen.commit(JOB, store.root, rows=1, facts={}, provenance={})


def test_another_user_may_read_under_any_umask(store: Store) -> None:
    # umask 077 closed every folder that the container was to read
    if os.geteuid() != 0:
        pytest.skip("root alone gives folders away")
    before = os.umask(0o077)
    try:
        with exchange(store, [JOB.key], other_user=True) as host:
            opened = (host.folder, host.refusals, store.root / "artifacts", store.root / "jobs")
            assert {oct(path.stat().st_mode & 0o777) for path in opened} == {"0o755"}
            host.take(JOB, {"event": "computed", "key": JOB.key})
            assert oct((host.refusals / JOB.key).stat().st_mode & 0o777) == "0o644"
    finally:
        os.umask(before)


def test_the_host_holds_the_locks_while_the_container_runs(store: Store) -> None:
    with exchange(store, [JOB.key], other_user=False):
        with pytest.raises(BusyError), store.lock(JOB.key):
            pass
        assert store.half_written(remove=True) == {}  # another run leaves the folder alone
    with store.lock(JOB.key):
        pass
