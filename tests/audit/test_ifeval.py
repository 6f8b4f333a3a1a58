"""IFEval's bounds: against every answer that there can be, on a small benchmark, and by hand on the whole one."""

import json
from itertools import product
from pathlib import Path

import pytest

from kit.audit.counts import Number
from kit.audit.facts import Prompts, facts
from kit.audit.ifeval import ROLES, Counts, counts_of, violations

SMALL = Prompts(prompts_with=[2, 1, 1], source="made up")


def outcomes(size: int) -> set[tuple[int, int, int, int]]:
    """Return what one prompt of so many instructions can add to the four counts."""
    found = set()
    for strict, loose in product(product((0, 1), repeat=size), repeat=2):
        if all(one <= other for one, other in zip(strict, loose, strict=True)):
            found.add((int(all(strict)), sum(strict), int(all(loose)), sum(loose)))
    return found


def test_the_bounds_are_all_that_there_are():
    sums = {(0, 0, 0, 0)}
    for size, count in enumerate(SMALL.prompts_with, 1):
        for _ in range(count):
            sums = {tuple(map(sum, zip(one, more, strict=True))) for one in sums for more in outcomes(size)}  # type: ignore[misc]
    n, m = SMALL.prompts, SMALL.instructions
    for quadruple in product(range(n + 1), range(m + 1), range(n + 1), range(m + 1)):
        found = Counts({role: range(count, count + 1) for role, count in zip(ROLES, quadruple, strict=True)})
        assert (not list(violations(found, SMALL))) == (quadruple in sums), quadruple


@pytest.mark.parametrize(("prompts", "wanted"), [(0, 0), (305, 305), (306, 307), (484, 663), (485, 666), (541, 834)])
def test_fewest_instructions_of_right_prompts(prompts: int, wanted: int):
    assert facts().ifeval.fewest_instructions(prompts) == wanted


def quadruple(*texts: str) -> dict[str, Number]:
    return {role: Number(int(text.replace(".", "")), 2) for role, text in zip(ROLES, texts, strict=True)}


@pytest.mark.parametrize(
    ("cells", "wanted"),
    [
        pytest.param(("40.11", "50.84", "43.81", "54.43"), [], id="table-1"),
        pytest.param(
            ("43.81", "50.84", "40.11", "54.43"),
            ["237 prompts right under strict reading, 217 under loose, which asks less"],
            id="strict-above-loose",
        ),
        pytest.param(
            ("50.63", "68.43", "57.12", "70.98"),
            [
                "267 wrong prompts have one wrong instruction each at least, so 567 of 834 can be right, and at least "
                "570 are (strict)",
                "loose reading finds 35 more prompts right and only 22 more instructions; each of these prompts needs "
                "one more at least",
            ],
            id="table-11-largest",
        ),
        pytest.param(
            ("60.07", "30.94", "60.07", "40.05"),
            [
                "325 right prompts have 345 instructions or more, and at most 258 are right (strict)",
                "325 right prompts have 345 instructions or more, and at most 334 are right (loose)",
            ],
            id="too-few-instructions",
        ),
    ],
)
def test_bounds_of_the_whole_benchmark(cells: tuple[str, ...], wanted: list[str]):
    columns = {role: role for role in ROLES}
    found = counts_of(quadruple(*cells), columns, facts().ifeval)
    assert [why for _, why in violations(found, facts().ifeval)] == wanted


@pytest.mark.parametrize(
    ("cells", "wanted"),
    [
        (("50.63", "68.43", "57.12", "70.98"), {"prompt strict": (287, 309), "instruction strict": (273, 557)}),
        (("52.79", "72.56", "61.25", "73.27"), {"prompt strict": (325, 332), "instruction strict": (285, 566)}),
    ],
    ids=["llm", "slm"],
)
def test_the_one_cell_that_repairs_a_row_of_table_11(cells: tuple[str, ...], wanted: dict[str, tuple[int, int]]):
    fixed = facts().ifeval
    found = counts_of(quadruple(*cells), {role: role for role in ROLES}, fixed)
    repairing = {}
    for role in ROLES:
        whole = fixed.prompts if role.startswith("prompt") else fixed.instructions
        one = [k for k in range(whole + 1) if not list(violations(Counts({**found.of, role: range(k, k + 1)}), fixed))]
        if one:
            repairing[role] = (one[0], one[-1])
    assert repairing == wanted


def test_a_missing_column_leaves_the_other_bounds():
    cells = quadruple("43.81", "50.84", "40.11", "54.43")
    del cells["instruction loose"]
    found = counts_of(cells, {role: role for role in ROLES}, facts().ifeval)
    assert [roles for roles, _ in violations(found, facts().ifeval)] == [("prompt strict", "prompt loose")]


def test_the_facts_add_up():
    assert (facts().ifeval.prompts, facts().ifeval.instructions) == (541, 834)
    groups = facts().of("followbench")
    assert groups is not None
    assert sum(groups.groups) == groups.sizes["one level"] == 164


@pytest.mark.shared
@pytest.mark.parametrize("name", ["input_data.jsonl", "input_data_before_2024-06-11.jsonl"])
def test_instructions_a_prompt_counted_again(name: str, shared: Path):
    lines = (shared / "data/ifeval" / name).read_text(encoding="utf-8").splitlines()
    sizes = [len(json.loads(line)["instruction_id_list"]) for line in lines]
    assert [sizes.count(size) for size in range(1, max(sizes) + 1)] == facts().ifeval.prompts_with


@pytest.mark.shared
@pytest.mark.parametrize(
    ("kind", "place"),
    [(kind, place) for place, kind in enumerate(("content", "situation", "style", "format", "example", "mixed"))],
)
def test_followbenchs_groups_counted_again(kind: str, place: int, shared: Path):
    rows = json.loads((shared / f"data/followbench/{kind}_constraints.json").read_text(encoding="utf-8"))
    groups = facts().of("followbench")
    assert groups is not None
    for level in range(1, 6):
        assert sum(row["level"] == level for row in rows) == groups.groups[place]
