"""The harness sees what it is there to see: each kind of fault, and nothing where all is well."""

import json
from collections.abc import Iterator
from pathlib import Path
from random import Random

import pytest

from tests.fuzz import graders, manifests, stores, texts
from tests.fuzz.session import Session
from tests.fuzz.watching import Worker

FAULTS = {
    "raises": ("traceback", "KeyError: 'rows'"),
    "mumbles": ("no sentence", "KeyError: 'rows'"),
    "prints": ("control characters", "'\\x1b'"),
    "repeats": ("long message", "100,"),
    "eats": ("traceback", "MemoryError"),
    "waits": ("hangs", "asleep for 3 s without using the CPU"),
    "waits_for_a_child": ("hangs", "asleep for 3 s"),
    "computes": ("CPU", "s of CPU time"),
    "has_a_child_compute": ("CPU", "s of CPU time"),
    "dies": ("died", "exit code -11"),
    "no_such_thing": ("traceback", "KeyError: '_no_such_thing'"),
}


@pytest.fixture(scope="module")
def worker() -> Iterator[Worker]:
    with Worker() as found:
        yield found


@pytest.mark.parametrize("does", FAULTS)
def test_a_fault_is_seen_written_down_and_played_back(does: str, worker: Worker, tmp_path: Path) -> None:
    """A process that hangs or dies is replaced: the case after it runs."""
    lines: list[str] = []
    session = Session(worker, lines.append, tmp_path)
    ended = session.run("sample_faults", {"case": {"does": does}})
    fault, seen = FAULTS[does]
    assert ended["fault"] == fault
    assert seen in ended["seen"]
    (failure,) = session.failures
    assert lines == [f"FAULT {failure}"]
    assert f"--replay {failure.file}" in lines[0]
    kept = json.loads(failure.file.read_text(encoding="utf-8"))
    assert (kept["target"], kept["case"], kept["fault"]) == ("sample_faults", {"does": does}, fault)
    assert session.run("sample_faults", {"case": {"does": "returns"}})["end"] == "accepted"
    assert session.summary()[-1] == f"2 cases, 0 of them kept from before: 1 {fault}"


def test_what_is_well_is_no_fault(worker: Worker, tmp_path: Path) -> None:
    session = Session(worker, pytest.fail, tmp_path)
    session.some("sample_faults", 2, seed=1)
    assert session.failures == []
    assert dict(session.counts["sample"].ends) == {"accepted": 1, "refused": 1}
    assert list(tmp_path.iterdir()) == []


def test_a_case_that_cannot_be_made_is_a_fault(worker: Worker, tmp_path: Path) -> None:
    session = Session(worker, lambda _: None, tmp_path)
    session.one("sample_faults", 7, seed=1)
    assert [failure.fault for failure in session.failures] == ["no case"]


def test_the_same_seed_makes_the_same_cases() -> None:
    made = [[module.spec(Random("1"), 3) for module in (graders, manifests)] for _ in range(2)]
    assert made[0] == made[1]
    assert graders.spec(Random("2"), 3) != made[0][0]


def test_every_benchmark_takes_its_turn_in_both_protocols() -> None:
    """A new file of kit/benchmarks is among them, and is told here if the kit has no problems to try it on."""
    pairs = graders.pairs()
    assert {benchmark for benchmark, _ in pairs} == set(graders.names())
    drawn = [graders.spec(Random(str(number)), number) for number in range(len(pairs))]
    assert [(case["benchmark"], case["protocol"]) for case in drawn] == pairs


RECIPES = {
    "joined": (["a", "b"], "ab"),
    "again": ({"of": ["a", {"field": "x"}], "times": 2}, "aXaX"),
    "cut off": ({"of": {"of": "abc", "times": 9}, "until": 4}, "abca"),
    "no such field": ({"field": "y"}, ""),
    "as long as may be": ({"of": "ab", "times": 10**9}, "ab" * (texts.MOST_CHARACTERS // 2)),
}


@pytest.mark.parametrize("made, wanted", RECIPES.values(), ids=list(RECIPES))
def test_recipes(made: texts.Recipe, wanted: str) -> None:
    assert texts.text(made, {"x": "X"}) == wanted


HEADS = {
    "rows is a text": {"rows": "4"},
    "rows is true": {"rows": True},
    "a file outside": {"files": {"../x": {"sha256": "0" * 64, "size_bytes": 1}}},
    "no hash": {"files": {"x": {"sha256": "0", "size_bytes": 1}}},
    "another job": {"job": {"stage": "sft"}},
    "no facts": {"facts": None},
    "another layout": {"format": 2},
}


@pytest.mark.parametrize("change", HEADS.values(), ids=list(HEADS))
def test_a_head_that_must_be_refused(change: dict[str, object]) -> None:
    """The oracle itself: a sound head is sound, and each of these is not."""
    job = {
        "id": "grade/x",
        "stage": "grade",
        "version": "grade-1",
        "environment": "grade",
        "lock": "",
        "params": {},
        "inputs": {},
        "resources": {},
    }
    key = stores.Job(**job).key
    head = {"format": 1, "key": key, "job": job, "files": {}, "rows": 4, "facts": {}, "provenance": {}}
    assert stores.sound_head(head, key)
    changed = head | change
    if isinstance(change.get("job"), dict):
        changed["job"] = job | change["job"]
    assert not stores.sound_head(changed, key)


def test_differences_of_manifests() -> None:
    before = {"a": [1, {"b": 2}], "c": 1}
    assert list(manifests.differences(before, {"a": [1, {"b": True}], "c": 1.0, "d": 0})) == [
        ("a", 1, "b"),
        ("c",),
        ("d",),
    ]
    assert list(manifests.differences(before, before)) == []
