"""AutoIF's cross-check of AutoIF's own records: their scores, what is kept of them, and the script that measures."""

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from kit.sandbox import Sandbox
from kit.scenarios._cross_check import Rule, cross_check
from tests.autoif.conftest import text_of

ROOT = Path(__file__).resolve().parents[2]


def records(shared: Path, name: str) -> list[dict[str, Any]]:
    lines = (shared / "data" / "autoif" / "sample_data" / name).read_text(encoding="utf-8").splitlines()
    return [json.loads(line) for line in lines]


@pytest.mark.shared
@pytest.mark.parametrize(("name", "count"), [("back_trans.jsonl", 5), ("query_rft.jsonl", 20)])
def test_scores_of_autoifs_own_records(name: str, count: int, shared: Path, sandbox: Sandbox) -> None:
    rows = records(shared, name)
    samples = [[text_of(code, {}) for code, _ in row["eval_func"]] for row in rows]
    for row, texts in zip(rows, samples, strict=True):
        texts[0] = text_of(row["eval_func"][0][0], dict(row["cases"]))
    found = cross_check(samples, sandbox, Rule())
    assert len(rows) == count
    assert [checked.scores for checked in found] == [dict(row["eval_func"]) for row in rows]
    assert [len(checked.cases) for checked in found if any(checked.scores.values())] == [
        len(row["cases"]) for row in rows if any(score for _, score in row["eval_func"])
    ]


@pytest.mark.shared
@pytest.mark.parametrize("rule", [Rule(), Rule(minimum_functions=3, minimum_cases=10), Rule(by_type=True)])
def test_what_is_kept_of_autoifs_own_texts(rule: Rule, shared: Path, sandbox: Sandbox) -> None:
    found = cross_check([row["gpt-answer"] for row in records(shared, "eval_func_rft.jsonl")], sandbox, rule)
    assert [(len(checked.functions), len(checked.cases)) for checked in found] == [
        (2, 16),
        (3, 13),
        (0, 21),
        (5, 13),
        (7, 10),
    ]
    assert [checked.reason for checked in found] == ["", "", "no function that reaches the threshold", "", ""]


MEASURED = {
    "no record": ("", [], "error: {records}: found no text with a function, wanted replies as AutoIF's file has them"),
    "no function": (
        '{"gpt-answer": ["x"]}\n',
        [],
        "error: {records}: found no text with a function, wanted replies as AutoIF's file has them",
    ),
    "no copy": ("", ["--copies", "0"], "cross_check.py: error: argument --copies: invalid times value: '0'"),
    "no repeat": ("", ["--repeats", "-1"], "cross_check.py: error: argument --repeats: invalid times value: '-1'"),
}


@pytest.mark.parametrize("name", MEASURED)
def test_nothing_to_measure(name: str, tmp_path: Path) -> None:
    # A traceback: division by zero.
    text, options, message = MEASURED[name]
    records = tmp_path / "records.jsonl"
    records.write_text(text)
    command = [sys.executable, "perf/cross_check.py", "--records", str(records), *options]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
    assert done.returncode != 0
    assert done.stderr.splitlines()[-1] == message.format(records=records)


@pytest.mark.shared
def test_a_bare_loop_keeps_the_same(shared: Path) -> None:
    command = [sys.executable, "perf/cross_check.py", "--copies", "1", "--repeats", "1"]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
    assert done.stderr == ""
    assert "\nall 5 records: the same functions and cases kept\n" in done.stdout
