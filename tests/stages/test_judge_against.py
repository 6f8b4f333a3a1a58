"""Stage ``judge`` where another model's answers stand in the place of the file's own."""

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest

from kit.benchmarks import Pairwise, alpacafarm, followbench, ifeval
from kit.errors import KitError
from kit.stages import grade, judge
from tests.stages.test_judge import BETTER, EQUAL, PARAMS, WORSE, Context, inputs, verdicts


def with_other(folder: Path, texts: Sequence[str], ids: Sequence[str] = ("0", "1")) -> dict[str, Path]:
    """Return a job's inputs: the answers ``one`` and ``two``, and another model's."""
    found = inputs(folder, ["one", "two"])
    (folder / "other").mkdir()
    rows = [{"id": id, "text": text} for id, text in zip(ids, texts, strict=True)]
    (folder / "other" / "completions.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows), "utf-8")
    return found | {"against": folder / "other"}


def test_the_other_models_answers_are_compared_with(tmp_path: Path):
    context = Context([BETTER, WORSE, WORSE, EQUAL])
    given = with_other(tmp_path, ["uno \ud83d", "dos"])
    judge.run(PARAMS, given, tmp_path / "out", context)  # type: ignore[arg-type]
    asked = [request.turns[0].content for request in context.asked]
    assert "Reply 1:\n\none\n\nReply 2:\n\nuno \ufffd\n" in asked[0]  # halves of characters are replaced there too
    assert "Reply 1:\n\ndos\n\nReply 2:\n\ntwo\n" in asked[3]
    assert not any("No 1." in text for text in asked)  # the file's own
    assert verdicts(tmp_path) == {"0#first": BETTER, "1#first": WORSE, "0#second": WORSE, "1#second": EQUAL}
    # grading reads the verdicts alone: they are on the first model's answers
    given = {name: given[name] for name in ("data", "completions")} | {"verdicts": tmp_path / "out"}
    (tmp_path / "graded").mkdir()
    wanted = {"benchmark": "alpacafarm", "protocol": "default", "rows": 2}
    grade.run(wanted, given, tmp_path / "graded", Context())  # type: ignore[arg-type]
    lines = (tmp_path / "graded/results.jsonl").read_text(encoding="utf-8").splitlines()
    found = {row["metric"]: row["value"] for row in map(json.loads, lines)}
    assert [found[f"alpacafarm_{name}"] for name in ("win", "tie", "lose")] == [1, 1, 0]


def test_answers_to_other_problems_are_refused(tmp_path: Path):
    with pytest.raises(KitError) as caught:
        judge.run(PARAMS, with_other(tmp_path, ["uno"], ["0"]), tmp_path / "out", Context())  # type: ignore[arg-type]
    assert str(caught.value) == "alpacafarm: 1 completions don't go with 2 problems in order"


def test_who_compares(tmp_path: Path):
    modules: list[Any] = [alpacafarm, followbench, ifeval]
    assert [isinstance(module, Pairwise) for module in modules] == [True, False, False]
    path = tmp_path / "problems.json"
    path.write_text(json.dumps([{"instruction": "Name a river.", "output": "The Danube.", "dataset": "d"}]), "utf-8")
    problems = alpacafarm.read(path)
    (other,) = alpacafarm.against(problems, ["The Rhine."])
    assert (other.id, other.data) == ("0", {**problems[0].data, "output": "The Rhine."})
    assert problems[0].data["output"] == "The Danube."
