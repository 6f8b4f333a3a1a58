"""Two processes that make one artifact at once, as where a lease was lost: one whole artifact, whatever the order."""

import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from kit.errors import KitError
from kit.store import Artifact, Job, Store, exchanging
from kit.store.adopting import adopt
from kit.store.clearing import left_behind, release
from kit.store.job import HEAD, MARK
from kit.store.releasing import mark_bytes

pytestmark = pytest.mark.timeout(120)
RULE = "--keep results"
STEPS = ("rename", "unlink", "rmdir", "replace", "fsync", "link", "open", "fchmod")
"""Functions of os by which a process changes a store; another process comes before each call."""


@pytest.fixture(params=[True, False], ids=["in one step", "by way of tmp"])
def released(request: pytest.FixtureRequest, store: Store, made: Job, monkeypatch: pytest.MonkeyPatch) -> Job:
    """The job of an artifact that gave its files back, on a disk that exchanges folders and on one that does not."""
    if not request.param:
        monkeypatch.setattr(exchanging, "exchange", lambda *_: False)
    release(store, made.key, RULE)
    return made


def filled(store: Store, made: Job, name: str = "first") -> Path:
    """Return a scratch folder with the output of a job; nobody holds its lock, as where a lease was lost."""
    folder = store.make_scratch(made.key)
    (folder / "rows.jsonl").write_text(name)
    (folder / "deep").mkdir()
    (folder / "deep" / "b.txt").write_text("b")
    return folder


def commit(store: Store, made: Job, folder: Path) -> None:
    store.commit(made, folder, rows=1, facts={}, provenance={})


def met_at(step: int, call: Callable[[], object], other: Callable[[], object]) -> bool:
    """Run something, and something else before its nth change of the disk; return whether it got so far."""
    left = [step]

    def meeting(real: Callable[..., Any]) -> Callable[..., Any]:
        def act(*args: Any, **kwargs: Any) -> Any:
            left[0] -= 1
            if left[0] == -1:
                other()
            return real(*args, **kwargs)

        return act

    with pytest.MonkeyPatch.context() as patch:
        for name in STEPS:
            patch.setattr(os, name, meeting(getattr(os, name)))
        call()
    return left[0] < 0


def made_and_given_back(store: Store, made: Job) -> None:
    commit(store, made, filled(store, made, "second"))
    release(store, made.key, RULE)


OTHERS: dict[str, Callable[[Store, Job], object]] = {
    "makes it too": lambda store, made: commit(store, made, filled(store, made, "second")),
    "makes it and gives it back": made_and_given_back,
    "removes what is left over": lambda store, made: left_behind(store, remove=True, faults=[]),
}


@pytest.mark.parametrize("other", OTHERS.values(), ids=list(OTHERS))
def test_an_artifact_that_is_made_again_is_whole_or_marked(
    other: Callable[[Store, Job], object], store: Store, released: Job
):
    step, key = 0, released.key
    while met_at(step, lambda: commit(store, released, filled(store, released)), lambda: other(store, released)):
        assert (store.has(key), store.check(key)) == (True, [])
        release(store, key, RULE)
        store.half_written(remove=True)
        assert (store.is_released(key), list((store.root / "tmp").iterdir())) == (True, [])
        step += 1
    assert step > 10


def test_the_first_to_be_done_counts(store: Store, released: Job):
    # its files were removed once the mark was gone, and those of the second came in their stead, or did not
    real = exchanging.refill

    def late(*words: Any) -> None:
        patch.undo()
        commit(store, released, first)
        real(*words)

    first, second = filled(store, released, "first"), filled(store, released, "second")
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("kit.store.refill", late)
        commit(store, released, second)
    folder = store.get(released.key).folder
    assert (store.check(released.key), (folder / "rows.jsonl").read_text()) == ([], "first")


def test_gc_leaves_a_model_alone_that_was_made_again_meanwhile(store: Store, released: Job):
    # it wrote a new mark, and removed the files
    step, key = 0, released.key
    leftover = store.get(key).folder / "rows.jsonl"
    leftover.write_text("left")
    faults: list[str] = []

    def remake() -> None:
        commit(store, released, filled(store, released))

    while met_at(step, lambda: left_behind(store, remove=True, faults=faults), remake):
        assert (store.holds(key), store.check(key), faults) == (True, [], [])
        release(store, key, RULE)
        leftover.write_text("left")
        step += 1
    assert step > 5


def test_a_folder_that_was_moved_aside_comes_back_unless_its_place_is_taken(store: Store, made: Job):
    release(store, made.key, RULE)
    aside = store.root / "tmp" / f"{made.key}.former.12ab34cd"
    store.get(made.key).folder.rename(aside)
    assert store.half_written(remove=True).keys() == {made.key}
    assert (store.is_released(made.key), store.check(made.key), aside.exists()) == (True, [], False)
    store.get(made.key).folder.rename(aside)
    commit(store, made, filled(store, made))
    store.half_written(remove=True)
    assert (store.holds(made.key), store.check(made.key), aside.exists()) == (True, [], False)
    aside.mkdir()
    (aside / "rows.jsonl").write_text("of one that is being removed, its head first")
    store.remove(made.key)
    store.half_written(remove=True)
    assert (store.has(made.key), aside.exists()) == (False, False)


@pytest.mark.parametrize("given_back", [True, False])
def test_a_head_alone_does_not_take_the_place_of_an_artifact(given_back: bool, store: Store, made: Job):
    # the bare head took the mark of a released artifact away: it looked whole, without files
    artifact: Artifact = store.get(made.key)
    if given_back:
        release(store, made.key, RULE)
    folder = store.make_scratch(made.key)
    with pytest.raises(KitError, match=r"^it is there already$"):
        adopt(store, artifact, folder, mark=mark_bytes("--files results"))
    assert (store.is_released(made.key), store.check(made.key)) == (given_back, [])
    assert (artifact.folder / MARK).exists() == given_back
    assert (artifact.folder / HEAD).exists()
