"""Plans of self-tests, and the floor that their counts give; worked out by hand."""

import dataclasses
import json
from pathlib import Path
from typing import Any

import pytest

from kit.errors import KitError, RequestError
from kit.measures import Measure
from kit.plan.adhoc import Workbench
from kit.plan.rerun import Rerun, answering_point, plan_rerun, row_count, settings
from kit.records import Turned, write_rows
from kit.report.reruns import floor_json, floor_of, metric_lines, pooled, rerun_of, reruns
from kit.store import Job, Store

MODEL = "smollm2-135m-instruct"


def planned(benchmark: str, judge: str = "", **fields: Any) -> tuple[Workbench, Rerun]:
    """Plan a self-test of a benchmark at scale smoke; nothing runs."""
    bench = Workbench("smoke")
    names = {"judge": judge, "judge_by": "labels", "judge_max_tokens": 16} if judge else {}
    bench.problems(benchmark, None, rows=5, max_tokens=8, **names, **fields)
    if judge:
        bench.judge(judge, "labels")
    return bench, plan_rerun(bench, benchmark, answering_point(bench, benchmark, MODEL, "", 42), 7)


@pytest.mark.parametrize(("benchmark", "judge"), [("gsm8k", ""), ("humaneval", ""), ("alpacafarm", MODEL)])
def test_the_order_is_in_the_keys_of_the_second_run_alone(benchmark: str, judge: str):
    bench, keys = planned(benchmark, judge)
    plain = Workbench("smoke")
    plain.problems(benchmark, None, rows=5, max_tokens=8)
    assert plain.answer(benchmark, MODEL, "", 42) == keys.answers
    jobs, again = bench.plan.jobs, {"answer": keys.answers_again, "grade": keys.grades_again}
    assert jobs[keys.answers_again].params == {**jobs[keys.answers].params, "order": 7}
    assert [key for key, job in jobs.items() if "order" in job.params] == [keys.answers_again]
    judges = [key for key, job in jobs.items() if job.stage == "judge"]
    assert len(judges) == (2 if judge else 0)
    if judge:
        first, second = judges
        assert (jobs[first].inputs["completions"], jobs[second].inputs["completions"]) == (
            keys.answers,
            keys.answers_again,
        )
        assert (jobs[keys.grades].inputs["verdicts"], jobs[keys.grades_again].inputs["verdicts"]) == (first, second)
    assert jobs[keys.grades_again].inputs["completions"] == again["answer"]
    assert jobs[keys.compared].inputs == {
        "completions": keys.answers,
        "completions_again": keys.answers_again,
        "grades": keys.grades,
        "grades_again": keys.grades_again,
    }
    assert (jobs[keys.answers_again].id, jobs[keys.compared].id) == (
        f"answer/{benchmark}/order-7",
        f"compare/{benchmark}/order-7",
    )
    seen: set[str] = set()
    for key, job in jobs.items():  # each after its inputs
        assert job.key == key and set(job.inputs.values()) <= seen
        seen.add(key)


SMOKE = Workbench("smoke")


def test_settings_are_the_scales_unless_they_are_given():
    entry = SMOKE.catalogue.scale("smoke").benchmarks["gsm8k"]
    found = settings(SMOKE, "gsm8k", {"prompts": None, "max_tokens": 9}, own_data=False)
    assert found == {
        "dataset": entry.dataset,
        "prompts": entry.prompts,
        "protocol": entry.protocol,
        "rows": entry.rows,
        "max_tokens": 9,
    }
    own = settings(SMOKE, "gsm8k", {}, own_data=True)
    assert ("dataset" in own, own["rows"], own["prompts"]) == (False, None, entry.prompts)


def test_a_benchmark_that_the_scale_lacks_has_the_defaults(monkeypatch: pytest.MonkeyPatch):
    lacking = Workbench("smoke")
    scale = lacking.catalogue.scale("smoke").model_copy(update={"benchmarks": {}})
    monkeypatch.setattr(type(lacking.catalogue), "scale", lambda *_: scale)
    assert settings(lacking, "gsm8k", {}, own_data=False) == {
        "prompts": "kit",
        "protocol": "default",
        "max_tokens": 512,
        "rows": None,
    }


@pytest.mark.parametrize(
    ("benchmark", "items", "there", "rows"),
    [("gsm8k", 200, 1319, 200), ("gsm8k", 200, 8, 8), ("gsm8k", 2, 8, 2), ("followbench", 203, 820, 200)],
    ids=["as asked", "all", "two", "whole items"],
)
def test_rows_that_are_answered_twice(benchmark: str, items: int, there: int, rows: int):
    assert row_count(benchmark, items, there, benchmark) == rows


def test_one_problem_has_no_other_order():
    with pytest.raises(RequestError) as caught:
        row_count("gsm8k", 200, 1, "mine.jsonl")
    assert str(caught.value) == (
        "mine.jsonl: 1 problem to answer, which has no other order; wanted 2 or more (--items, --data)"
    )


# floors


def test_the_floor_of_ten_percent_is_that_of_the_literature():
    # d = 10 %: 0.87 points of GSM8K's 1,319 items, 1.36 of IFEval's 541, 2.47 of HumanEval's 164
    turned = Turned(metric="m", n=200, turned=20, gained=10, lost=10, rms=0.1**0.5)
    found = [round(100 * floor_of(turned, items).stderr, 2) for items in (1319, 541, 164)]
    assert found == [0.87, 1.36, 2.47]
    # Wilson at 95 % for 20 of 200: (0.1 + 1.9208/200 + 1.96 sqrt(0.09/200 + 0.9604/200^2)) / (1 + 3.8416/200) = 0.1494
    assert floor_of(turned, 1319).highest == pytest.approx((0.14938 / 1319) ** 0.5, rel=1e-3)
    assert floor_of(turned, 1319).smallest == pytest.approx(2.8 * (0.1 / 1319) ** 0.5, rel=2e-3)


def test_a_count_grows_with_the_items():
    turned = Turned(metric="m", n=100, turned=25, gained=10, lost=15, rms=0.5)
    assert floor_of(turned, 400, "count").stderr == pytest.approx(400 * 0.5 / 20)
    assert floor_json(floor_of(turned, 400), Measure())["stderr"] == pytest.approx(2.5)
    assert floor_json(floor_of(turned, 400, "count"), Measure(unit="wins", kind="count"))["unit"] == "wins"


def test_items_of_several_units_turn_by_their_size():
    # half of the items turn, each by half: rms^2 = 1/8
    turned = Turned(metric="m", n=8, turned=4, gained=2, lost=2, rms=(1 / 8) ** 0.5)
    found, upper = floor_of(turned, 8), 0.7848  # Wilson at 95 % for 4 of 8: 21.5 to 78.5
    assert found.stderr == pytest.approx(0.125)
    assert found.highest == pytest.approx(0.5 * (upper / 8) ** 0.5, rel=1e-3)


def test_where_nothing_turned_the_upper_end_is_told():
    turned = Turned(metric="m", n=200, turned=0)
    assert floor_of(turned, 200).stderr == 0.0
    assert floor_of(turned, 200).highest == pytest.approx((0.018845 / 200) ** 0.5, rel=1e-3)
    assert list(metric_lines(turned, Measure(), floor_of(turned, 200)))[1].endswith(
        "SE 0.00 points (0.97 at most): none turned, so that the upper end alone tells something"
    )


def test_counts_are_pooled():
    one = Turned(metric="m", n=100, turned=10, gained=4, lost=6, rms=0.3)
    other = Turned(metric="m", n=300, turned=6, gained=6, lost=0, rms=0.1)
    assert pooled([]) is None
    found = pooled([one, other])
    assert found == Turned(metric="m", n=400, turned=16, gained=10, lost=6, rms=found.rms if found else 0)
    assert found is not None and found.rms == pytest.approx(((100 * 0.09 + 300 * 0.01) / 400) ** 0.5)


@pytest.mark.parametrize(
    ("fields", "sound"),
    [
        ({}, True),
        ({"n": 0}, False),
        ({"turned": 11}, False),
        ({"gained": 3}, False),
        ({"turned": True}, False),
        ({"rms": -0.1}, False),
        ({"rms": float("nan")}, False),
        ({"rms": "0"}, False),
        ({"metric": None}, False),
    ],
    ids=str,
)
def test_counts_that_no_comparison_writes(fields: dict[str, Any], sound: bool):
    whole = {"metric": "m", "n": 10, "turned": 4, "gained": 2, "lost": 2, "rms": 0.5}
    assert Turned(**{**whole, **fields}).is_sound() is sound


# what the store has


@pytest.fixture
def stored(tmp_path: Path) -> tuple[Store, Rerun]:
    """A store with a self-test of gsm8k, of which the counts and the heads of its inputs are there."""
    bench, keys = planned("gsm8k")
    store = Store.open(tmp_path / "store")
    for key in (keys.answers, keys.answers_again, keys.grades, keys.grades_again, keys.compared):
        job: Job = bench.plan.jobs[key]
        with store.scratch(key) as out:
            rows = [Turned(metric="texts", n=5, turned=2), Turned(metric="gsm8k", n=5, turned=1, lost=1, rms=0.2**0.5)]
            write_rows(out / "turned.jsonl", rows if key == keys.compared else [])
            store.commit(job, out, rows=2, facts={}, provenance={})
    return store, keys


def test_self_tests_are_found(stored: tuple[Store, Rerun]):
    store, keys = stored
    (found,) = reruns(store, "gsm8k")
    assert (found.key, found.order, found.benchmark, found.turned["gsm8k"].lost) == (keys.compared, 7, "gsm8k", 1)
    other = dataclasses.replace(found.answers, version="answer-1.gsm8k-1.vllm-99")
    assert (found.matches(found.answers, "default"), found.matches(other, "default")) == (True, False)
    assert reruns(store, "mbpp") == []


def test_damaged_self_tests_are_told_and_left_out(stored: tuple[Store, Rerun]):
    store, keys = stored
    artifact = store.get(keys.compared)
    path = artifact.folder / "turned.jsonl"
    path.write_text(path.read_text().replace('"n":5', '"n":6'), encoding="utf-8")
    with pytest.raises(KitError) as caught:
        rerun_of(artifact, store)
    assert str(caught.value) == (f"{path}: changed (sha256 differs from the head's); remove the folder and run again")
    assert reruns(store, "gsm8k") == []


@pytest.mark.parametrize(
    ("row", "message"),
    [
        (
            {"metric": "gsm8k", "n": 0, "turned": 0},
            "{path}:2: no counts of a comparison; remove {folder} and run again",
        ),
        (None, "{path}: no counts of a self-test; remove {folder} and run again"),
    ],
    ids=["of no item", "without texts"],
)
def test_counts_that_others_wrote_are_refused(
    row: dict[str, Any] | None, message: str, tmp_path: Path, stored: tuple[Store, Rerun]
):
    store, keys = stored
    job = store.get(keys.compared).job
    other = Store.open(tmp_path / "other")
    for key in (keys.answers, keys.answers_again, keys.grades):
        with other.scratch(key) as out:
            other.commit(store.get(key).job, out, rows=0, facts={}, provenance={})
    with other.scratch(job.key) as out:
        texts = {"metric": "texts" if row else "other", "n": 5, "turned": 2}
        lines = [json.dumps(one) for one in (texts, row) if one]
        (out / "turned.jsonl").write_text("\n".join(lines) + "\n", encoding="utf-8")
        other.commit(job, out, rows=1, facts={}, provenance={})
    artifact = other.get(job.key)
    with pytest.raises(KitError) as caught:
        rerun_of(artifact, other)
    assert str(caught.value) == message.format(path=artifact.folder / "turned.jsonl", folder=artifact.folder)
