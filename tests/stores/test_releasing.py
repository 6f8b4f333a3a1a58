"""Files that an artifact gives back: the head counts as done, the files come again, and a kill leaves nothing half."""

import errno
import json
import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from kit.errors import KitError
from kit.store import Job, Store, exchanging, releasing
from kit.store.clearing import left_behind, release
from kit.store.releasing import Readers

pytestmark = pytest.mark.timeout(120)
Kit = Callable[..., tuple[int, str]]
Commit = Callable[[Store, Job], Path]
RULE = "--keep results"
STEPS = ("rename", "unlink", "rmdir", "replace", "fsync", "link", "open")
"""Functions of os by which a process changes a store; it is killed before each call."""


def files_in(folder: Path) -> list[str]:
    return sorted(str(path.relative_to(folder)) for path in folder.rglob("*") if path.is_file())


def test_an_artifact_gives_its_files_back_and_counts_as_done(store: Store, made: Job):
    folder = store.get(made.key).folder
    before = store.get(made.key)
    assert release(store, made.key, RULE) == 19  # two lines of 9 bytes, and a file of 1
    assert files_in(folder) == ["artifact.json", "artifact.released.json"]
    assert (store.has(made.key), store.holds(made.key), store.is_released(made.key)) == (True, False, True)
    after = store.get(made.key)
    assert after.released is not None
    assert (after.released.rule, after.files, after.job, after.facts) == (RULE, before.files, made, before.facts)
    assert (store.check(made.key), store.committed()) == ([], [made.key])
    assert release(store, made.key, RULE) == 0


def test_a_released_artifact_is_filled_again(store: Store, made: Job, commit: Commit):
    before = store.get(made.key).to_json()
    release(store, made.key, RULE)
    commit(store, made)
    assert (store.holds(made.key), store.check(made.key)) == (True, [])
    assert store.get(made.key).to_json() == before
    assert list((store.root / "tmp").iterdir()) == []


def damage(store: Store, key: str, text: str) -> None:
    (store.root / "artifacts" / key / "artifact.released.json").write_text(text)
    store.get(key)


def released_while_read(store: Store, key: str, *, remove: bool = False) -> None:
    readers = Readers(store)
    readers.hold([key])
    try:
        store.remove(key) if remove else release(store, key, RULE)
    finally:
        readers.close()


MESSAGES: dict[str, tuple[Callable[[Store, str], Any], str]] = {
    "its folder as an input": (
        lambda store, key: store.input_folder(key),
        "{folder}: its files were given back to the disk; `kit job {short}` makes them again",
    ),
    "one of its files": (
        lambda store, key: store.open_file(store.get(key), "rows.jsonl"),
        "{folder}: its files were given back to the disk; `kit job {short}` makes them again",
    ),
    "a mark that is no object": (
        lambda store, key: damage(store, key, "[]"),
        "store {root}: the head of {short} can't be read: artifact.released.json: found a list, wanted an object; "
        "remove {folder} and run again",
    ),
    "a mark without a time": (
        lambda store, key: damage(store, key, '{"rule": ""}'),
        "store {root}: the head of {short} can't be read: artifact.released.json.at: missing; wanted a text; "
        "remove {folder} and run again",
    ),
    "a file that is being read": (
        released_while_read,
        "artifact {short} is being read by another run",
    ),
    "removed while it is read": (
        lambda store, key: released_while_read(store, key, remove=True),
        "artifact {short} is being read by another run",
    ),
}


@pytest.mark.parametrize("call, message", MESSAGES.values(), ids=list(MESSAGES))
def test_messages_about_files_that_were_given_back(call: Any, message: str, store: Store, made: Job):
    if "being read" not in message:
        release(store, made.key, RULE)
    with pytest.raises(KitError) as caught:
        call(store, made.key)
    folder, short = store.root / "artifacts" / made.key, made.key[:12]
    assert str(caught.value) == message.format(folder=folder, root=store.root, short=short)


def test_two_readers_at_once_hold_one_artifact(store: Store, made: Job):
    first, second = Readers(store), Readers(store)
    first.hold([made.key])
    second.hold([made.key])
    first.drop(made.key)
    with pytest.raises(KitError, match="is being read"):
        release(store, made.key, RULE)
    second.close()
    assert release(store, made.key, RULE) == 19


def killed_at(step: int, call: Callable[[], object]) -> bool:
    """Run something in a child process that ends before its nth change of the disk; return whether it got so far."""
    child = os.fork()
    if child == 0:
        left = [step]

        def dying(real: Callable[..., Any]) -> Callable[..., Any]:
            def act(*args: Any, **kwargs: Any) -> Any:
                left[0] -= 1
                if left[0] < 0:
                    os._exit(9)
                return real(*args, **kwargs)

            return act

        for name in STEPS:
            setattr(os, name, dying(getattr(os, name)))
        try:
            call()
        finally:
            os._exit(0)
    return os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 9


def test_a_kill_at_any_step_of_giving_back_leaves_a_whole_or_a_marked_artifact(
    store: Store, commit: Commit, new_job: Any
):
    made, states = new_job(), set()
    commit(store, made)
    step = 0
    while killed_at(step, lambda: release(store, made.key, RULE)):
        assert store.has(made.key)
        whole = store.holds(made.key)
        states.add(whole)
        if whole:
            assert store.check(made.key) == []  # every file is there still
        faults: list[str] = []
        left_behind(store, remove=True, faults=faults)
        assert (faults, store.check(made.key)) == ([], [])
        commit(store, made) if not whole else None
        assert (store.holds(made.key), store.check(made.key)) == (True, [])
        step += 1
    assert step > 10
    assert states == {True, False}


@pytest.mark.parametrize("in_one_step", [True, False], ids=["in one step", "by way of tmp"])
def test_a_kill_at_any_step_of_filling_leaves_a_marked_or_a_whole_artifact(
    in_one_step: bool, store: Store, commit: Commit, new_job: Any, monkeypatch: pytest.MonkeyPatch
):
    if not in_one_step:  # as on NFS
        monkeypatch.setattr(exchanging, "exchange", lambda *_: False)
    made, states = new_job(), set()
    commit(store, made)
    release(store, made.key, RULE)
    step = 0
    while killed_at(step, lambda: commit(store, made)):
        if not in_one_step:  # what was moved aside comes back with the next run
            store.half_written(remove=True)
        assert store.has(made.key)
        whole = store.holds(made.key)
        states.add(whole)
        if whole:
            assert store.check(made.key) == []
            release(store, made.key, RULE)
        left_behind(store, remove=True, faults=[])
        assert (store.is_released(made.key), store.check(made.key)) == (True, [])
        step += 1
    assert step > 20
    assert states == {True, False}
    assert (store.holds(made.key), store.check(made.key)) == (True, [])


def test_files_are_given_back_on_a_full_disk(store: Store, made: Job, monkeypatch: pytest.MonkeyPatch):
    # the mark is a second name of the head, which takes no block, until the files are gone
    real, full = releasing._write_mark, [True]

    def write(*words: Any) -> None:
        if full.pop() if full else False:
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        real(*words)

    monkeypatch.setattr(releasing, "_write_mark", write)
    assert release(store, made.key, RULE) == 19
    released = store.get(made.key).released
    assert released is not None
    assert (released.rule, store.check(made.key)) == (RULE, [])
    assert (store.get(made.key).folder / "artifact.json").stat().st_nlink == 1


def test_a_mark_that_is_a_copy_of_the_head_says_neither_time_nor_rule(store: Store, made: Job, kit: Kit):
    folder = store.get(made.key).folder
    os.link(folder / "artifact.json", folder / "artifact.released.json")
    left_behind(store, remove=True, faults=[])
    assert (store.is_released(made.key), store.check(made.key)) == (True, [])
    line = (
        "files          given back: 2 files of 19 bytes; a run whose jobs need them makes them again, as does `kit job "
    )
    assert f"{line}{made.key[:10]}`\n" in kit("store", "show", made.key)[1]


def test_the_command_line_shows_checks_and_clears_what_was_given_back(store: Store, made: Job, kit: Kit):
    release(store, made.key, RULE)
    mark = json.loads((store.get(made.key).folder / "artifact.released.json").read_text())
    code, output = kit("store", "show", made.key[:12], "--rows", "1")
    assert code == 0
    assert f"given back at {mark['at']} by --keep results: 2 files of 19 bytes; " in output
    assert "former files\n  deep/b.txt   1 bytes, sha256 3e23e8" in output
    assert json.loads(kit("store", "show", made.key, "--json")[1])["released"] == mark
    assert json.loads(kit("store", "list", "--json")[1]) == {
        "key": made.key, "id": made.id, "rows": 2, "size_bytes": 0, "released": True
    }  # fmt: skip
    assert kit("store", "list")[1].endswith("  fetch/one  (files given back)\n")
    assert kit("store", "check") == (0, "1 artifacts checked, 0 faults\n")
    (store.get(made.key).folder / "deep").mkdir()
    (store.get(made.key).folder / "deep" / "b.txt").write_text("b")
    code, output = kit("store", "check")
    fault = "still there, and its files were given back; `kit store gc` removes it"
    assert (code, output.count(fault)) == (1, 2)
    assert kit("store", "gc") == (0, f"removed what was left of files that {made.key[:10]} gave back  1 bytes\n")
    assert kit("store", "check") == (0, "1 artifacts checked, 0 faults\n")


def test_a_stage_can_not_write_the_mark_itself(store: Store, made: Job, new_job: Any):
    other = new_job("two")
    with pytest.raises(KitError) as caught, store.lock(other.key), store.scratch(other.key) as out:
        (out / "artifact.released.json").write_text("{}")
        store.commit(other, out, rows=0, facts={}, provenance={})
    assert str(caught.value) == (
        "fetch/two: the name artifact.released.json is the store's own; give the file another name"
    )
