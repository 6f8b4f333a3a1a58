"""Copies beside which runs, other copies and other users are at work: nothing half is taken, nothing whole is lost."""

import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from kit.errors import KitError
from kit.store import Store
from kit.store.clearing import release
from kit.transfers import LostError, Move, together_or_alone
from kit.transfers.folders import FolderSource, FolderTarget
from kit.transfers.ssh import RemoteStore
from tests.stores.conftest import make_job, put
from tests.transfers.conftest import MODEL, Kit, contents, stand_in_for_ssh

pytestmark = pytest.mark.timeout(120)
ROWS, WEIGHTS = make_job(), make_job("model", **MODEL)


@pytest.fixture
def host(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> str:
    """Return how another store on a host behind a stand-in for ssh is named."""
    for program in ("rsync", "flock"):
        if shutil.which(program) is None:
            pytest.skip(f"needs {program}, which is not here")
    stand_in_for_ssh(tmp_path, monkeypatch)
    return f"ssh://host{tmp_path}/other"


def before(patch: pytest.MonkeyPatch, owner: type, name: str, act: Callable[[], object]) -> None:
    """Have something happen once, before the next call of a method."""
    real: Any = getattr(owner, name)

    def acting(*args: Any) -> Any:
        patch.setattr(owner, name, real)
        act()
        return real(*args)

    patch.setattr(owner, name, acting)


def batch_of(tmp_path: Path) -> Path:
    (found,) = (tmp_path / "other" / "tmp").iterdir()
    return found


# what runs do to the store that artifacts go to


@pytest.mark.parametrize("given_back", [True, False])
def test_a_head_alone_leaves_what_was_made_meanwhile(
    given_back: bool, there: str, store: Store, kit: Kit, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    # it took the mark of a model that a run had made and given back: unmarked, without files
    other = Store.open(tmp_path / "other")

    def run() -> None:
        put(other, WEIGHTS)
        if given_back:
            release(other, WEIGHTS.key, "--keep results")

    for target in (FolderTarget, RemoteStore):
        before(monkeypatch, target, "take", run)
    code, output = kit("store", "push", there, "--files", "results")
    assert code == 1
    assert f"{WEIGHTS.key[:10]}  convert/model was not taken: it is there already\n" in output
    assert [other.check(key) for key in other.committed()] == [[], [], []]
    assert other.is_released(WEIGHTS.key) == given_back


def test_a_run_and_gc_leave_a_batch_that_is_being_copied(
    host: str, store: Store, kit: Kit, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    other = Store.open(tmp_path / "other")
    found: list[dict[str, int]] = []
    before(monkeypatch, RemoteStore, "_settle", lambda: found.append(other.half_written(remove=True, copies=True)))
    assert (kit("store", "push", host)[0], found) == (0, [{}])
    assert contents(other.root) == contents(store.root)


def test_a_run_leaves_the_batch_of_an_interrupted_copy_and_gc_removes_it(store: Store, kit: Kit):
    batch = store.root / "tmp" / f"{ROWS.key}.copy"
    batch.mkdir()
    assert (store.half_written(remove=True), batch.exists()) == ({}, True)
    with store.lock(ROWS.key), store.scratch(ROWS.key):
        assert batch.exists()
    assert kit("store", "gc") == (0, f"removed a half-written {ROWS.key[:10]}  0 bytes\n")
    assert not batch.exists()


def remove_batch(batch: Path, key: str) -> None:
    del key
    shutil.rmtree(batch)


def remove_list(batch: Path, key: str) -> None:
    (batch / f"{key}.sums").unlink()
    (batch / key / "rows.jsonl").write_text("bytes that nobody hashed")


def remove_file(batch: Path, key: str) -> None:
    (batch / key / "deep" / "b.txt").unlink()


def add_draft(batch: Path, key: str) -> None:
    (batch / key / ".rows.jsonl.Ab12Cd").write_text("half")


def add_mark(batch: Path, key: str) -> None:
    (batch / key / "artifact.released.json").write_text("{}")


def add_link(batch: Path, key: str) -> None:
    (batch / key / "deep" / "b.txt").unlink()
    (batch / "b").write_text("b")
    (batch / key / "deep" / "b.txt").symlink_to("../../b")


GONE = "the copy there was removed before it was whole, as by `kit store gc`; push it again"
BYTES = (
    "the bytes that came are not those of its head; `kit store check` on this store tells whether they are damaged here"
)
DISTURBED: dict[str, tuple[Callable[[Path, str], None], str]] = {
    "the batch is removed": (remove_batch, GONE),
    "the list of hashes is removed": (remove_list, GONE),  # none was hashed, and all were taken
    "a file is removed": (remove_file, BYTES),
    "a draft lies there": (add_draft, BYTES),  # it was taken with the others
    "a mark lies there": (add_mark, BYTES),
    "a link for a file": (add_link, BYTES),
}


@pytest.mark.parametrize("disturb, message", DISTURBED.values(), ids=list(DISTURBED))
def test_a_batch_that_is_not_whole_is_not_taken(
    disturb: Callable[[Path, str], None],
    message: str,
    host: str,
    store: Store,
    kit: Kit,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
):
    before(monkeypatch, RemoteStore, "_settle", lambda: disturb(batch_of(tmp_path), ROWS.key))
    code, output = kit("store", "push", host, ROWS.key)
    assert (code, Store(tmp_path / "other").committed()) == (1, [])
    assert f"{ROWS.key[:10]}  fetch/one was not taken: {message}\n" in output
    assert kit("store", "push", host, ROWS.key)[0] == 0
    assert Store(tmp_path / "other").check(ROWS.key) == []


@pytest.mark.parametrize("rules", [("results", "all"), ("all", "results")], ids=" then ".join)
def test_what_an_interrupted_copy_left_is_no_part_of_the_next(
    rules: tuple[str, str], there: str, store: Store, kit: Kit, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    # a mark came with the files, or the files with a mark
    def stop(*_: Any) -> Any:
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(RemoteStore, "_settle", stop)
        patch.setattr(Store, "place", stop)
        assert kit("store", "push", there, WEIGHTS.key, "--files", rules[0])[0] == 130
    assert (batch_of(tmp_path) / WEIGHTS.key).is_dir()
    code, output = kit("store", "push", there, WEIGHTS.key, "--files", rules[1])
    assert (code, output.splitlines()[-1].startswith("pushed 1 artifacts")) == (0, True)
    other = Store(tmp_path / "other")
    assert (other.is_released(WEIGHTS.key), other.check(WEIGHTS.key)) == (rules[1] == "results", [])
    assert list((other.root / "tmp").iterdir()) == []


def test_another_host_fills_what_gave_its_files_back(there: str, store: Store, kit: Kit, tmp_path: Path):
    other = Store.open(tmp_path / "other")
    put(other, WEIGHTS)
    release(other, WEIGHTS.key, "--keep results")
    (other.get(WEIGHTS.key).folder / "left").write_text("of one that was killed as it gave back")
    assert kit("store", "push", there, WEIGHTS.key)[0] == 0
    assert (other.holds(WEIGHTS.key), other.check(WEIGHTS.key)) == (True, [])
    assert list((other.root / "tmp").iterdir()) == []


# what runs do to the store that artifacts come from


def test_one_bad_artifact_does_not_keep_its_batch_back(there: str, store: Store, kit: Kit, tmp_path: Path):
    (store.get(ROWS.key).folder / "rows.jsonl").unlink()
    code, output = kit("store", "push", there)
    assert (code, output.splitlines()[-1].startswith(f"{ROWS.key[:10]}  fetch/one was not taken: ")) == (1, True)
    assert "pushed 2 artifacts, 19 bytes; 0 were there already, 1 faults\n" in output
    other = Store(tmp_path / "other")
    assert (ROWS.key in other.committed(), [other.check(key) for key in other.committed()]) == (False, [[], []])
    code, output = kit("store", "pull", str(store.root), "--store", "third")
    assert (code, len(Store(tmp_path / "third").committed())) == (1, 2)


def test_one_that_gave_its_files_back_meanwhile_is_told_so(
    there: str, store: Store, kit: Kit, monkeypatch: pytest.MonkeyPatch
):
    # the cure was to remove its folder
    for target in (FolderTarget, RemoteStore):
        before(monkeypatch, target, "take", lambda: release(store, WEIGHTS.key, "--keep results"))
    code, output = kit("store", "push", there)
    assert code == 1
    assert (
        f"{WEIGHTS.key[:10]}  convert/model was not taken: HERE/store/artifacts/{WEIGHTS.key}: its files were given "
        f"back to the disk; `kit job {WEIGHTS.key[:12]}` makes them again\n"
    ) in output
    assert "pushed 2 artifacts" in output


def test_a_run_can_not_take_the_files_away_that_are_being_sent(
    host: str, store: Store, kit: Kit, monkeypatch: pytest.MonkeyPatch
):
    def run() -> None:
        with pytest.raises(KitError, match="is being read by another run"):
            release(store, WEIGHTS.key, "--keep results")

    before(monkeypatch, RemoteStore, "_send", run)
    assert kit("store", "push", host)[0] == 0
    assert store.holds(WEIGHTS.key)


ERRORS: dict[str, tuple[dict[str, Exception], dict[str, str], int]] = {
    # key whose move fails -> error; key -> reason; attempts
    "none": ({}, {"a": "", "b": "", "c": ""}, 1),
    "one of three": ({"b": KitError("bad")}, {"a": "", "b": "bad", "c": ""}, 4),
    "a lost connection": ({"b": LostError("lost")}, {"a": "lost", "b": "lost", "c": "lost"}, 1),
    "one, then the connection": (
        {"a": KitError("bad"), "b": LostError("lost")},
        {"a": "bad", "b": "lost", "c": "lost"},
        3,
    ),
    "a full disk": (
        {"b": OSError(28, "full")},
        {
            "a": "",
            "b": "full; make room (`kit store gc`, `--keep results`), or name a store on another disk with --store",
            "c": "",
        },
        4,
    ),
}


@pytest.mark.parametrize("errors, wanted, attempts", ERRORS.values(), ids=list(ERRORS))
def test_moves_are_tried_together_and_then_alone(
    errors: dict[str, Exception], wanted: dict[str, str], attempts: int, store: Store
):
    from dataclasses import replace

    made, tried = store.get(ROWS.key), list[str]()

    def attempt(some: list[Move]) -> dict[str, str]:
        names = [move.artifact.key for move in some]
        tried.append("".join(names))
        for name in names:
            if name in errors:
                raise errors[name]
        return dict.fromkeys(names, "")

    found = [Move(artifact=replace(made, key=key), bare=False) for key in "abc"]
    assert (together_or_alone(found, attempt), len(tried)) == (wanted, attempts)


# what other users do


def open_to_others(batch: Path, outside: Path) -> None:
    (batch / ROWS.key).mkdir(parents=True)
    batch.chmod(0o770)
    (batch / ROWS.key / "rows.jsonl").symlink_to(outside)


def link(batch: Path, outside: Path) -> None:
    batch.symlink_to(outside.parent)


def link_inside(batch: Path, outside: Path) -> None:
    (batch / ROWS.key).mkdir(parents=True)
    batch.chmod(0o700)
    (batch / ROWS.key / "rows.jsonl").symlink_to(outside)


@pytest.mark.parametrize("plant", [open_to_others, link, link_inside], ids=lambda plant: plant.__name__)
def test_nothing_is_written_through_what_others_left(
    plant: Callable[[Path, Path], None], there: str, store: Store, kit: Kit, tmp_path: Path
):
    other, outside = Store.open(tmp_path / "other"), tmp_path / "mine" / "rows.jsonl"
    outside.parent.mkdir()
    outside.write_text("mine")
    plant(other.root / "tmp" / f"{ROWS.key}.copy", outside)
    assert kit("store", "push", there, ROWS.key)[0] == 0
    assert (outside.read_text(), other.check(ROWS.key)) == ("mine", [])
    assert [path.name for path in outside.parent.iterdir()] == ["rows.jsonl"]


def test_a_source_that_is_a_folder_holds_what_it_copies(store: Store):
    source = FolderSource(store, print)
    with source.held([store.get(WEIGHTS.key)]) as gone:
        assert gone == {}
        with pytest.raises(KitError, match="is being read by another run"):
            release(store, WEIGHTS.key, "--keep results")
