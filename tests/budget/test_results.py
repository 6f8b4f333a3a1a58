"""Results of steps out of a store, and the order that it keeps."""

import json
from pathlib import Path

import pytest

from kit.budget.grades import observe
from kit.budget.kept import keep_order, read_order
from kit.budget.steps import Step
from kit.claims.items import Items
from kit.errors import KitError
from kit.plan import Plan
from kit.store import Store
from tests.budget.making import study
from tests.claims.filling import Scores, commit

SMALL = "qwen-2-7b-instruct"


def graded(step: Step, plan: Plan, store: Store, better: dict[str, Scores], worse: dict[str, Scores]) -> None:
    """Commit the gradings of a step's first benchmark: item -> metric -> units right and judged."""
    pair = step.cells[0]
    commit(store, plan.jobs[pair.better_key], pair.benchmark, better)
    commit(store, plan.jobs[pair.worse_key], pair.benchmark, worse)


def right(value: float) -> Scores:
    return {"gsm8k": (value, 1.0)}


def of_ifeval(prompt: float, instructions: float) -> Scores:
    """Return the scores of a prompt with two instructions."""
    found = {f"ifeval_prompt_{mode}": (prompt, 1.0) for mode in ("strict", "loose")}
    return found | {f"ifeval_instruction_{mode}": (instructions, 2.0) for mode in ("strict", "loose")}


def test_a_step_of_one_metric(tmp_path: Path):
    found, store = study("evol-instruct-mathematics", "smoke", tmp_path)
    step = next(step for step in found.steps if step.cells[0].column == "gsm8k")
    only = Step(name="s", part="p", replicate="r", seed=0, cells=step.cells[:1])
    graded(
        only,
        found.plan,
        store,
        {"a": right(1), "b": right(1), "c": right(0)},
        {"a": right(0), "b": right(1), "c": right(0)},
    )
    seen = observe(only, Items(store))
    assert seen.difference == pytest.approx(100 / 3)
    assert seen.items == {"gsm8k": {"a": 1.0, "b": 0.0, "c": 0.0}}
    assert (seen.replicate, seen.weight) == ("r", 1)


def test_metrics_of_one_benchmark_are_one_difference_of_an_item(tmp_path: Path):
    found, store = study("evol-instruct-following", "smoke", tmp_path)
    step = found.steps[0]
    better = {"a": of_ifeval(1, 2), "b": of_ifeval(0, 1)}
    worse = {"a": of_ifeval(0, 1), "b": of_ifeval(0, 2)}
    graded(step, found.plan, store, better, worse)
    seen = observe(step, Items(store))
    # prompts: 1/2 against 0; instructions: 3/4 against 3/4
    assert seen.difference == pytest.approx(25.0)
    assert seen.items == {"ifeval": {"a": pytest.approx(0.75), "b": pytest.approx(-0.25)}}


def test_both_sides_have_the_same_items(tmp_path: Path):
    found, store = study("evol-instruct-following", "smoke", tmp_path)
    step = found.steps[0]
    graded(step, found.plan, store, {"a": of_ifeval(1, 2)}, {"b": of_ifeval(1, 2)})
    with pytest.raises(KitError) as error:
        observe(step, Items(store))
    pair = step.cells[0]
    assert str(error.value) == (
        f"{pair.better.name()}: gradings {pair.better_key[:12]} and {pair.worse_key[:12]} have different items; run "
        "their jobs again"
    )


def test_an_order_is_kept_and_followed_whatever_is_done_by_then(tmp_path: Path):
    found, store = study("evol-instruct-qwen", "smoke", tmp_path)
    assert read_order(store, "evol-instruct-qwen", "smoke") == []
    turned = found.blocks[::-1]
    keep_order(store, "evol-instruct-qwen", "smoke", turned)
    again, _ = study("evol-instruct-qwen", "smoke", tmp_path)
    assert [block.steps for block in again.blocks] == [block.steps for block in turned]
    other, _ = study("evol-instruct-qwen", "paper", tmp_path)  # another scale has its own
    assert read_order(store, "evol-instruct-qwen", "paper") == []
    assert len(other.blocks) == 6


def test_fewer_seeds_leave_the_order_of_more(tmp_path: Path):
    # a call with fewer seeds cut the order off, and the next one with more made the rest of it anew, after results
    found, store = study("evol-instruct-qwen", "smoke", tmp_path)
    keep_order(store, "evol-instruct-qwen", "smoke", found.blocks)
    kept = read_order(store, "evol-instruct-qwen", "smoke")
    keep_order(store, "evol-instruct-qwen", "smoke", found.blocks[:2])
    assert read_order(store, "evol-instruct-qwen", "smoke") == kept
    keep_order(store, "evol-instruct-qwen", "smoke", found.blocks[::-1])
    assert read_order(store, "evol-instruct-qwen", "smoke") == kept[::-1]


ANEW = "remove it to begin anew"
DAMAGED = {
    "no JSON": (
        b"[1",
        "an earlier order can't be read: c.smoke.json: not JSON: Expecting ',' delimiter: line 1 column 3 (char 2); is "
        f"the file cut off?; {ANEW}",
    ),
    "no text": (
        b"\xff",
        "an earlier order can't be read: 'utf-8' codec can't decode byte 0xff in position 0: invalid start byte; "
        + ANEW,
    ),
    "another layout": (b'{"schema":2}', f"found {{'schema': 2}}, wanted the order of an earlier call; {ANEW}"),
    "no list": (b"[]", f"found [], wanted the order of an earlier call; {ANEW}"),
}


@pytest.mark.parametrize("data, message", DAMAGED.values(), ids=list(DAMAGED))
def test_a_damaged_order_is_told_with_its_path(data: bytes, message: str, tmp_path: Path):
    store = Store.open(tmp_path / "store")
    keep_order(store, "c", "smoke", [])
    path = store.root / "budgets" / "c.smoke.json"
    assert json.loads(path.read_text(encoding="utf-8")) == {"schema": 1, "blocks": []}
    path.write_bytes(data)
    with pytest.raises(KitError) as error:
        read_order(store, "c", "smoke")
    assert str(error.value) == f"{path}: {message}"
