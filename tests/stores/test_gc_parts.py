"""`kit store gc` removes parts and checkpoints of jobs that nobody needs any more, and keeps those of the others."""

from collections.abc import Callable
from pathlib import Path

import pytest

from kit.files.parts import Parts
from kit.records import Completion
from kit.store import Job, Store, kept
from tests.stores.conftest import make_job

Kit = Callable[..., tuple[int, str]]
ROW = Completion(id="a", text="b")


def keep(store: Store, made: Job, *, planned: bool = True) -> int:
    """Keep a part of a job, and return its bytes."""
    if planned:
        store.plan(made)
    Parts(store.root / "parts", made.key).keep(0, [ROW])
    return sum(path.stat().st_size for path in (store.root / "parts").iterdir() if path.name.startswith(made.key))


def kept_of(store: Store, made: Job) -> int:
    return sum(path.name.lstrip(".").startswith(made.key) for path in (store.root / "parts").iterdir())


def test_parts_of_done_and_unknown_jobs_go_and_those_of_a_planned_one_stay(store: Store, made: Job, kit: Kit):
    # they stayed for ever once a key had moved
    planned, unknown = make_job("planned"), make_job("unknown")
    size = keep(store, made)
    assert {keep(store, planned), keep(store, unknown, planned=False)} == {size}
    (store.root / "parts" / "notes").write_text("mine")
    lines = [
        f"parts of {key[:10]}  {size} bytes: {why}\n"
        for key, why in sorted([(made.key, "its job is done"), (unknown.key, "no plan knows its job")])
    ]
    stays = (
        f"kept parts of 1 unfinished jobs, {size} bytes: the run that goes on needs them; with --keep, those go that "
        "its tables don't need\n"
    )
    assert kit("store", "gc", "--dry-run") == (0, "".join(f"would remove {line}" for line in lines) + stays)
    assert kept_of(store, made) == kept_of(store, unknown) == 1
    assert kit("store", "gc") == (0, "".join(f"removed {line}" for line in lines) + stays)
    assert (kept_of(store, made), kept_of(store, unknown), kept_of(store, planned)) == (0, 0, 1)
    assert (store.root / "parts" / "notes").exists()


def test_with_tables_to_keep_the_parts_that_none_needs_are_asked_for(store: Store, made: Job, kit: Kit):
    planned = make_job("planned")
    size = keep(store, planned)
    words = ("store", "gc", "--keep", "2", "--scale", "smoke")
    code, output = kit(*words)
    assert (code, kept_of(store, planned)) == (2, 1)
    total = f"1 artifacts, 19 bytes and parts of 1 unfinished jobs, {size} bytes"
    assert output.endswith(f"store {store.root}: {total} to remove, for good; say --yes to do it\n")
    code, output = kit(*words, "--yes")
    assert (code, kept_of(store, planned)) == (0, 0)
    assert f"to remove {planned.key[:10]}  {f'{size} bytes':>12}  parts: no table that stays needs its job\n" in output
    assert output.endswith("removed 1 artifacts, 19 bytes and parts of unfinished jobs\n")


def test_parts_that_a_run_is_at_work_on_stay(store: Store, made: Job, kit: Kit):
    unknown = make_job("unknown")
    keep(store, unknown, planned=False)
    with store.lock(unknown.key):
        code, output = kit("store", "gc")
    assert (code, kept_of(store, unknown)) == (1, 1)
    reason = f"job {unknown.key[:12]} is being worked on by another run"
    assert output.endswith(f"parts of {unknown.key[:10]} are left: {reason}\n")


K, SHA = "a" * 64, "0" * 64
HALF: dict[str, tuple[list[str], list[str]]] = {
    # files of a job -> those that are half
    "parts alone": ([f"{K}-000000-256-{SHA}.jsonl", f"{K}-{'b' * 16}-000000-256-{SHA}.jsonl"], []),
    "a draft": ([f".{K}-000000-256-{SHA}.jsonl.12ab34cd"], [f".{K}-000000-256-{SHA}.jsonl.12ab34cd"]),
    "a whole checkpoint": (
        [f"{K}-checkpoint-00000012-0000-{SHA}.safetensors", f"{K}-checkpoint-00000012-{SHA}.json"],
        [],
    ),
    "one without its index": (
        [f"{K}-checkpoint-00000012-{SHA}.json", f"{K}-checkpoint-00000013-0001-{SHA}.safetensors"],
        [f"{K}-checkpoint-00000013-0001-{SHA}.safetensors"],
    ),
}


@pytest.mark.parametrize("names, wanted", HALF.values(), ids=list(HALF))
def test_files_that_no_run_will_read(names: list[str], wanted: list[str]):
    assert kept.half_written(names) == wanted


@pytest.mark.parametrize("name", ["notes", K, f"{K}.x", f"{'A' * 64}-0", f"{K[:-1]}-0", ".nfs00000000a1", f"..{K}-0"])
def test_other_names_belong_to_no_job(name: str):
    assert kept.key_of(name) == ""


def test_what_a_killed_attempt_left_half_goes_before_the_next(store: Store, made: Job):
    made = make_job("planned")
    keep(store, made)
    for name in (f".{made.key}-checkpoint-0001.12ab34cd", f"{made.key}-checkpoint-00000003-0001-{SHA}.safetensors"):
        Path(store.root / "parts" / name).write_text("half")
    with store.lock(made.key), store.scratch(made.key):
        assert kept_of(store, made) == 1  # the part, which is whole
