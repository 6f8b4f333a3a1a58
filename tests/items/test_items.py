"""Items behind a grading, and the way of each row from its seed instruction, out of a store with made-up rows."""

from collections.abc import Mapping
from pathlib import Path

import pytest

from kit.errors import KitError
from kit.items import graded_items, model_of, state_of, verdicts_by_row
from kit.items.lineage import scored_rows, training_rows
from kit.measures import Measure
from kit.plan import Plan
from kit.plan.planning import plan_tables
from kit.records import Grade
from kit.store import Job, Store
from tests.page.made_run import fill


@pytest.fixture(scope="module")
def plan() -> Plan:
    return plan_tables(["2", "3", "5", "13", "figure-5"], "smoke")


@pytest.fixture(scope="module")
def store(tmp_path_factory: pytest.TempPathFactory, plan: Plan) -> Store:
    store = Store.open(tmp_path_factory.mktemp("items") / "store")
    fill(store, plan, hostile=False)
    return store


def jobs(plan: Plan, stage: str, start: str = "") -> list[Job]:
    found = [job for job in plan.jobs.values() if job.stage == stage and job.id.startswith(f"{stage}/{start}")]
    assert found
    return found


def test_an_item_is_what_was_asked_answered_and_read(store: Store, plan: Plan):
    for job in jobs(plan, "grade"):
        graded = graded_items(store, job.key)
        assert (graded.benchmark, graded.note) == (job.params["benchmark"], "")
        assert len(graded.items) == store.get(job.key).rows
        for place, item in enumerate(graded.items):
            assert item.text == f"An answer number {place}"
            assert item.prompt[-1].role == "user"
            assert (item.answer, bool(item.reason)) == (f"read number {place}", item.state == "wrong")
            assert set(item.scores) == set(graded.metrics)


def test_an_items_verdicts_are_the_judges_about_it(store: Store, plan: Plan):
    (job, *_) = [job for job in jobs(plan, "grade") if "verdicts" in job.inputs]
    items = graded_items(store, job.key).items
    assert [[verdict.id for verdict in item.verdicts] for item in items] == [[f"{item.id}#1"] for item in items]
    (other, *_) = [job for job in jobs(plan, "grade") if "verdicts" not in job.inputs]
    assert verdicts_by_row(store, other, ()) == {}


def test_a_trained_pair_comes_from_a_seed_through_its_rounds(store: Store, plan: Plan):
    (job,) = jobs(plan, "sft", "alpaca/smollm2-36l/smollm2-29l/round-1")
    ways = training_rows(store, job.key)
    assert len(ways) == 8
    for id, way in ways.items():
        assert id.startswith("alpaca/")
        assert [step.label for step in way] == ["seed instruction", "round 1, deepen", "response"]
        assert [step.by for step in way] == ["", "smollm2-36l", model_of(store, jobs(plan, "respond")[0])]
        assert "but harder" in way[1].text and way[2].text.startswith("A response")


def test_a_selected_pair_keeps_its_way(store: Store, plan: Plan):
    selected = [job for job in jobs(plan, "sft") if store.get(job.inputs["pairs"]).job.stage == "select"]
    way = next(iter(training_rows(store, selected[0].key).values()))
    rounds = [step.label for step in way if step.label.startswith("round")]
    assert (way[0].label, way[-1].label, rounds) == (
        "seed instruction",
        "response",
        [f"round {number}, deepen" for number in (1, 2, 3)],
    )


def test_every_training_and_scoring_of_five_tables_can_be_read(store: Store, plan: Plan):
    for job in jobs(plan, "sft"):
        assert all(way for way in training_rows(store, job.key).values())
    for job in jobs(plan, "score"):
        rows = scored_rows(store, job.key)
        assert len(rows) == store.get(job.key).rows
        assert all(row.steps and row.values for row in rows)


def test_a_grading_alone_has_items(store: Store, plan: Plan):
    (job, *_) = jobs(plan, "respond")
    message = "found a job of stage respond, wanted one of stage grade; only those have items"
    with pytest.raises(KitError, match=message):
        graded_items(store, job.key)


def test_changed_rows_are_no_items(store: Store, plan: Plan):
    (job, *_) = jobs(plan, "grade", "gsm8k")
    path: Path = store.get(job.key).folder / "grades.jsonl"
    kept = path.read_bytes()
    try:
        path.write_bytes(kept.replace(b"read number 0", b"read number 9", 1))
        with pytest.raises(KitError, match="sha256 differs from the head's"):
            graded_items(store, job.key)
    finally:
        path.write_bytes(kept)


PLAIN = {"accuracy": Measure()}
COUNTED = {
    "win": Measure(unit="prompts", counts="prompts", kind="count"),
    "win_rate": Measure(counts="prompts", kind="mean", lowest=0.0, highest=1.0),
}
STATES: Mapping[str, tuple[Mapping[str, Measure], Grade, str]] = {
    "right": (PLAIN, Grade(id="1", scores={"accuracy": [1, 1]}), "right"),
    "wrong": (PLAIN, Grade(id="1", scores={"accuracy": [0, 1]}), "wrong"),
    "two of three": (PLAIN, Grade(id="1", scores={"accuracy": [2, 3]}), "partly"),
    "nothing judged": (PLAIN, Grade(id="1", scores={"accuracy": [0, 0]}), "unread"),
    "no metric": (PLAIN, Grade(id="1", scores={}), "unread"),
    "no verdict": (PLAIN, Grade(id="1", scores={"accuracy": [0, 1]}, reason="no verdict could be read"), "unread"),
    "a win": (COUNTED, Grade(id="1", scores={"win": [1, 1], "win_rate": [1, 1]}), "right"),
    "a tie": (COUNTED, Grade(id="1", scores={"win": [0, 1], "win_rate": [0.5, 1]}), "partly"),
    "a loss": (COUNTED, Grade(id="1", scores={"win": [0, 1], "win_rate": [0, 1]}), "wrong"),
}


@pytest.mark.parametrize("name", STATES)
def test_the_outcome_of_an_item(name: str):
    measures, grade, state = STATES[name]
    assert state_of(grade, measures) == state
