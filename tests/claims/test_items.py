"""Influences of items on numbers: against a jackknife, by hand, of means over groups, and out of damaged files."""

import math
import random
import shutil
import statistics
from collections import Counter
from pathlib import Path

import pytest

from kit.benchmarks import mmlu
from kit.catalogue.claims import Average, Claim
from kit.claims import Judgement, on_results
from kit.claims.items import Items, error_of, item_influences, item_value
from kit.claims.numbers import Pair, grid_numbers
from kit.claims.results import paired_error
from kit.errors import KitError
from kit.measures import Kind
from kit.plan.planning import plan_tables
from kit.report import Grid, make_grid
from kit.store import Store
from tests.claims.filling import ITEMS, LARGE, SMALL, claim_on, commit, new_store, own_manifest, seeded


def jackknife(grid: Grid, items: Items) -> float:
    """Return the standard error of the mean difference over all cells, by leaving out an item at a time."""
    cells = list(grid_numbers(grid))
    weights = [(1 if one.at["evolver"] == SMALL else -1) / (len(cells) / 2) for one in cells]
    total = 0.0
    for benchmark in {one.items for one in cells}:
        own = [(one, weight) for one, weight in zip(cells, weights, strict=True) if one.items == benchmark]
        ids = [id for id, _, _ in items.of(own[0][0].cell.address.keys[0], own[0][0].source.id)]  # type: ignore[union-attr]
        values = []
        for left_out in ids:
            value = 0.0
            for one, weight in own:
                assert one.cell is not None and one.source is not None
                rows = [row for row in items.of(one.cell.address.keys[0], one.source.id) if row[0] != left_out]
                value += weight * 100 * sum(row[1] for row in rows) / sum(row[2] for row in rows)
            values.append(value)
        mean = statistics.fmean(values)
        total += (len(ids) - 1) / len(ids) * math.fsum((value - mean) ** 2 for value in values)
    return math.sqrt(total)


def test_the_error_over_items_is_the_jackknifes(ahead: tuple[dict[str, Judgement], list[Grid], Store]):
    # pairs, the columns of IFEval, the two instructions of a prompt and the six bases all at once
    found, (grid,), store = ahead
    numbers = grid_numbers(grid)
    better = [one for one in numbers if one.at["evolver"] == SMALL]
    worse = {(one.at["base"], one.column): one for one in numbers if one.at["evolver"] == LARGE}
    pairs = [(Pair(better=one, worse=worse[one.at["base"], one.column]), 1 / len(better)) for one in better]
    error = paired_error(pairs, Items(store))
    stderr, count = error.stderr, error.items
    assert stderr == pytest.approx(jackknife(grid, Items(store)), rel=1e-6)
    assert count == 5 * ITEMS
    assert f"paired over 300 items, SE {stderr:.2f}" in found["evol-instruct-llama"].why


def test_one_pair_of_cells_has_the_paired_error(tmp_path: Path):
    # d_i of 0/1 scores: sqrt(sum((d_i - mean)^2) / ((n - 1) n)); three gained, one lost, six alike
    small, large = [1, 1, 1, 0, 1, 1, 0, 0, 1, 1], [0, 0, 0, 1, 1, 1, 0, 0, 1, 1]
    differences = [a - b for a, b in zip(small, large, strict=True)]
    rows = [[(f"i{n}", float(score), 1.0) for n, score in enumerate(scores)] for scores in (small, large)]
    influences = {
        id: value - item_influences(rows[1], "share", {})[id]
        for id, value in item_influences(rows[0], "share", {}).items()
    }
    assert error_of({"b": influences}).stderr == pytest.approx(statistics.stdev(differences) / math.sqrt(10))


GROUPS = {"a": "x", "b": "x", "c": "y"}
INFLUENCES: dict[str, tuple[Kind, float, dict[str, float]]] = {
    # 1 of 1, 1 of 2, 3 of 4 units: 5/7; (t - p u) / 7
    "share": ("share", 5 / 7, {"a": (1 - 5 / 7) / 7, "b": (1 - 10 / 7) / 7, "c": (3 - 20 / 7) / 7}),
    "count": ("count", 5.0, {"a": 1 - 5 / 7, "b": 1 - 10 / 7, "c": 3 - 20 / 7}),
    # 1, 1/2, 3/4
    "mean": ("mean", 0.75, {"a": 0.25 / 3, "b": -0.25 / 3, "c": 0.0}),
    # x: 2 of 3, y: 3 of 4
    "mean over groups": (
        "mean over groups",
        (2 / 3 + 3 / 4) / 2,
        {"a": (1 - 2 / 3) / 3 / 2, "b": (1 - 4 / 3) / 3 / 2, "c": 0.0},
    ),
}


@pytest.mark.parametrize("kind, value, influences", INFLUENCES.values(), ids=list(INFLUENCES))
def test_influences(kind: Kind, value: float, influences: dict[str, float]):
    items = [("a", 1.0, 1.0), ("b", 1.0, 2.0), ("c", 3.0, 4.0)]
    assert item_value(items, kind, GROUPS) == pytest.approx(value)
    found = item_influences(items, kind, GROUPS)
    assert found == pytest.approx(influences)
    assert math.fsum(found.values()) == pytest.approx(0.0)


def test_means_over_groups_are_paired_within_them(tmp_path: Path):
    # MMLU's mini set has two subjects; the influences of an item are its own subject's, halved
    plan, store = plan_tables(["3"], "smoke"), new_store(tmp_path)
    chance = random.Random(3)
    subjects: dict[str, str] = {}
    scores: dict[str, dict[str, float]] = {}
    for address in plan.cells["table-3"]:
        (key,) = address.keys
        if address.column != "mmlu" or store.has(key):
            continue
        job = plan.jobs[key]
        source = Path(str(plan.jobs[job.inputs["data"]].resources["source"]["path"]))
        if not store.has(job.inputs["data"]):
            with store.lock(job.inputs["data"]), store.scratch(job.inputs["data"]) as out:
                shutil.copy(source, out / source.name)
                store.commit(plan.jobs[job.inputs["data"]], out, rows=1, facts={}, provenance={})
        subjects = {one.id: mmlu.group(one) for one in mmlu.read(source)}
        items = {id: {"mmlu": (float(chance.random() < 0.5), 1.0)} for id in subjects}
        commit(store, job, "mmlu", items, subjects)
        scores[str(address.at["evolver"]) + str(address.at["base"])] = {id: one["mmlu"][0] for id, one in items.items()}
    side = {"table": "table-3", "better": {"evolver": SMALL}, "worse": {"evolver": LARGE}}
    average = Average.model_validate({"of": [side], "columns": ["mmlu"], "over": ["base"]})
    claim = Claim(id="own", says="It is so.", where="1", known_from="text", family="scenarios", average=average)
    (found,) = on_results([claim], [make_grid("table-3", plan, store)], store, [])
    bases = sorted({name.removeprefix(SMALL) for name in scores if name.startswith(SMALL)})
    mean = {
        id: statistics.fmean(scores[SMALL + base][id] - scores[LARGE + base][id] for base in bases) for id in subjects
    }
    sizes = Counter(subjects.values())
    by_subject = {name: statistics.fmean(mean[id] for id in mean if subjects[id] == name) for name in sizes}
    squares = [((mean[id] - by_subject[subjects[id]]) / sizes[subjects[id]] / len(sizes)) ** 2 for id in mean]
    expected = 100 * math.sqrt(len(mean) / (len(mean) - 1) * math.fsum(squares))
    assert len(sizes) > 1
    assert found.value == pytest.approx(100 * statistics.fmean(by_subject.values()))
    assert f"paired over {len(mean)} items, SE {expected:.2f}" in found.why


BAD_ROWS = {
    "no number": '{"answer":"","id":"a","reason":"","scores":{"gsm8k":["x",1]}}\n',
    "no pair": '{"answer":"","id":"a","reason":"","scores":{"gsm8k":[1]}}\n',
    "a text for a number": '{"answer":"","id":"a","reason":"","scores":{"gsm8k":["1",1]}}\n',
    "units below 0": '{"answer":"","id":"a","reason":"","scores":{"gsm8k":[1,-1]}}\n',
    "no id": '{"answer":"","id":3,"reason":"","scores":{"gsm8k":[1,1]}}\n',
    "no scores": '{"answer":"","id":"a","reason":"","scores":7}\n',
}


@pytest.mark.parametrize("row", BAD_ROWS.values(), ids=list(BAD_ROWS))
def test_items_that_no_grading_writes_are_refused(row: str, tmp_path: Path):
    plan, store = own_manifest(tmp_path, "42"), new_store(tmp_path)
    (name,) = plan.cells
    job = plan.jobs[plan.cells[name][0].keys[0]]
    with store.lock(job.key), store.scratch(job.key) as out:
        (out / "grades.jsonl").write_text(row, encoding="utf-8")
        store.commit(job, out, rows=1, facts={}, provenance={})
    with pytest.raises(KitError) as refused:
        Items(store).of(job.key, "gsm8k")
    folder = store.get(job.key).folder
    assert str(refused.value) == f"{folder}/grades.jsonl: a row is none of a grading; remove {folder} and run again"


def test_an_item_without_a_group_is_refused():
    with pytest.raises(KitError) as refused:
        item_value([("d", 1.0, 1.0)], "mean over groups", GROUPS)
    assert str(refused.value) == "item 'd' is no problem of the data set that was graded; run its job again"


def test_items_that_were_changed_are_refused(tmp_path: Path):
    plan, store = own_manifest(tmp_path, "42"), new_store(tmp_path)
    seeded(plan, store, {SMALL: [[90], [90]], LARGE: [[10], [10]]})
    (name,) = plan.tables
    grid = make_grid(name, plan, store)
    path = store.get(plan.cells[name][0].keys[0]).folder / "grades.jsonl"
    path.chmod(0o644)
    path.write_text(path.read_text(encoding="utf-8") + "\n", encoding="utf-8")
    with pytest.raises(KitError) as refused:
        on_results([claim_on(name, ["base"])], [grid], store, [])
    assert str(refused.value) == f"{path}: changed (sha256 differs from the head's); remove the folder and run again"
