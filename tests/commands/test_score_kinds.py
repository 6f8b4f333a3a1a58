"""``kit score`` with metrics of every kind: of instructions, of rewrites, of a whole set at once; with options."""

import sys
from collections.abc import Callable, Sequence
from types import ModuleType, SimpleNamespace
from typing import Any

import pytest

from kit import registry
from kit.cli import scoring
from kit.measures import Measure
from kit.metrics import Rewrite
from kit.records import Instruction, Score
from tests.commands.conftest import Shell

ROWS = [{"instruction": word, "id": number} for number, word in enumerate(["one", "three", "", "seven"])]
BEFORE = [{"instruction": word} for word in ("o", "tree", "?", "seven")]
Values = Callable[[Sequence[Any], Any], list[float]]


def lengths(rows: Sequence[Instruction], settings: Any) -> list[float]:
    return [len(row.instruction) * settings.options["times"] for row in rows]


def grown(rows: Sequence[Rewrite], _: Any) -> list[float]:
    return [len(row.after.instruction) - len(row.before.instruction) for row in rows]


def ranks(rows: Sequence[Instruction], _: Any) -> list[float]:
    order = sorted(len(row.instruction) for row in rows)
    return [order.index(len(row.instruction)) for row in rows]


KINDS: dict[str, tuple[dict[str, Any], Values, list[str], list[float | None]]] = {
    "instructions": ({}, lengths, ["--set", "times=2"], [6.0, 10.0, None, 10.0]),
    "the metric's own option": ({}, lengths, [], [4.5, 7.5, None, 7.5]),
    "rewrites": ({"READS": "rewrites"}, grown, ["--before", "before.json"], [2.0, 1.0, None, 0.0]),
    "a whole set": ({"WHOLE": True}, ranks, [], [0.0, 1.0, None, 1.0]),
}


@pytest.fixture
def add_metric(monkeypatch: pytest.MonkeyPatch) -> Callable[[dict[str, Any], Values], None]:
    """Add a metric ``made_up`` that opens no model."""
    names = registry.names
    with_one = lambda kind: sorted([*names(kind), *["made_up"] * (kind == "metrics")])  # noqa: E731
    monkeypatch.setattr(registry, "names", with_one)
    monkeypatch.setattr(scoring, "names", with_one)

    def add(fields: dict[str, Any], values: Values) -> None:
        def opened(_: object, settings: Any) -> Any:
            def score(rows: Sequence[Any], _: object) -> list[Score]:
                found = zip(rows, values(rows, settings), strict=True)
                return [Score(id=row.id, values={"size": float(value)}) for row, value in found]

            return SimpleNamespace(score=score, fingerprint={})

        module = ModuleType("kit.metrics.made_up")
        measure = Measure(title="Size", unit="", kind="mean", counts="rows")
        own = {"VERSION": 1, "READS": "instructions", "ROLE": "", "WHOLE": False, "METRICS": {"size": measure}}
        vars(module).update(own, KEEPS={"size": "lowest"}, OPTIONS={"times": 1.5}, open=opened, **fields)
        monkeypatch.setitem(sys.modules, "kit.metrics.made_up", module)

    return add


@pytest.mark.parametrize("fields, values, words, wanted", KINDS.values(), ids=list(KINDS))
def test_a_metric_of_each_kind(
    fields: dict[str, Any], values: Values, words: list[str], wanted: list[float | None], shell: Shell, add_metric: Any
):
    add_metric(fields, values)
    shell.write("rows.json", ROWS)
    shell.write("before.json", BEFORE)
    code, out, err = shell.call(
        "score", "made_up", "--data", "rows.json", *words, "--out", "o.json", "--scale", "smoke"
    )
    assert (code, err) == (0, "")
    assert [row.get("size") for row in shell.read("o.json")] == wanted
    assert out.splitlines()[1:] == [
        "not scored: rows.json[2]: 'instruction' is empty; every record needs an instruction",
        "3 of 4 rows scored by made_up v1: o.json",
    ]
    code, out, _ = shell.call("select", "--data", "o.json", "--by", "size", "--top", "1", "--out", "s.json")
    assert (code, out.splitlines()[0]) == (0, "1 of all rows: the lowest size, of equal ones the first")


BAD: dict[str, tuple[dict[str, Any], list[str], str]] = {
    "nothing before": (
        {"READS": "rewrites"}, [],
        "--before: missing, and the metric compares each row with what it was before its rewrite",
    ),
    "too few before": (
        {"READS": "rewrites"}, ["--before", "few.json"],
        "--before few.json: 1 rows, and --data has 4; wanted one for each, in the same order",
    ),
    "a bad row before": (
        {"READS": "rewrites"}, ["--before", "bad.json"],
        "--before: bad.json[1]: 'instruction': found int, wanted text",
    ),
    "a model": ({}, ["--model", "m"], "--model m: made_up opens none; leave it out"),
    "no number": ({}, ["--set", "times=many"], "--set times: found 'many', wanted a number, such as 1.5"),
}  # fmt: skip


@pytest.mark.parametrize("fields, words, message", BAD.values(), ids=list(BAD))
def test_bad_requests(fields: dict[str, Any], words: list[str], message: str, shell: Shell, add_metric: Any):
    add_metric(fields, ranks)
    shell.write("rows.json", ROWS)
    shell.write("few.json", BEFORE[:1])
    shell.write("bad.json", [BEFORE[0], {"instruction": 3}, *BEFORE[2:]])
    found = shell.call("score", "made_up", "--data", "rows.json", *words, "--out", "o.json", "--scale", "smoke")
    assert found == (2, "", message)
