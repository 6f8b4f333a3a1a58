"""Below a table stands who judged, and how many verdicts could not be read, whatever a store's files say."""

import dataclasses
import io
from pathlib import Path
from typing import Any

import pytest
from rich.console import Console

from kit.catalogue.views import Table
from kit.report import Grid, terminal
from kit.report.formats import as_json, markdown
from kit.report.judging import Judging, judgings
from kit.store import Job, Store


def job(stage: str, inputs: dict[str, str], number: int, benchmark: str = "followbench", by: str = "text") -> Job:
    return Job(
        id=f"{stage}/{number}",
        stage=stage,
        version=f"{stage}-1",
        environment="cpu",
        lock="",
        params={"benchmark": benchmark, "number": number, "judge_by": by},
        inputs=inputs,
        resources={"judge": "mine"} if stage == "judge" else {},
        worker="",
    )


def stored(
    folder: Path, *facts: dict[str, Any], rows: int = 10, by: str = "text"
) -> tuple[Store, dict[str, Job], list[str]]:
    """Return a store with a verdict job for each facts, the plan's jobs, and the keys of their gradings."""
    store, jobs, keys = Store.open(folder), {}, []
    for number, fact in enumerate(facts):
        said = job("judge", {}, number, by=by)
        grade = job("grade", {"verdicts": said.key}, number)
        jobs |= {said.key: said, grade.key: grade}
        keys.append(grade.key)
        with store.lock(said.key, wait=True), store.scratch(said.key) as out:
            (out / "verdicts.jsonl").write_text("{}\n", encoding="utf-8")
            store.commit(said, out, rows=rows, facts=fact, provenance={})
    return store, jobs, keys


LOCAL = {"unreadable": 2, "thoughts": 0, "tokens": 100, "prompt_tokens": 900, "cut_at_limit": 1, "models": {}}
SERVED = LOCAL | {"models": {"mine-0613": 8}, "thoughts": 3, "too_long": 1, "money": 0.125}
LINES = {
    "a local model": ([LOCAL], "10 questions, 2 without a verdict that could be read, 1 replies cut at the limit."),
    "two jobs": (
        [LOCAL, LOCAL],
        "20 questions, 4 without a verdict that could be read, 2 replies cut at the limit.",
    ),
    "none unreadable": ([{"unreadable": 0}], "10 questions, 0 without a verdict that could be read."),
    "facts of somebody else's": (
        [{"unreadable": "many", "thoughts": -1, "models": [1], "money": "x", "too_long": True}],
        "10 questions, 0 without a verdict that could be read.",
    ),
    "little money": (  # it said 0.00 of money
        [{"money": 0.001}],
        "10 questions, 0 without a verdict that could be read, less than 0.01 of money.",
    ),
}


@pytest.mark.parametrize(("facts", "line"), LINES.values(), ids=list(LINES))
def test_the_line_of_a_judge(facts: list[dict[str, Any]], line: str, tmp_path: Path):
    store, jobs, keys = stored(tmp_path / "store", *facts)
    (found,) = judgings([*keys, *keys], jobs, store)  # a job that several cells share counts once
    assert found.line() == f"followbench: judged by mine: {line}"


def test_the_line_of_a_served_judge(tmp_path: Path):
    store, jobs, keys = stored(tmp_path / "store", SERVED)
    (found,) = judgings(keys, jobs, store)
    assert found.line() == (
        "followbench: judged by mine (the server reports mine-0613): 10 questions, 2 without a verdict that could be "
        "read, 1 replies cut at the limit, 1 questions too long to be asked, 3 thoughts taken off, 1,000 tokens, 0.12 "
        "of money."
    )


def test_a_judge_that_is_asked_for_labels_alone_is_told_so(tmp_path: Path):
    # it looked like a judge that writes replies
    store, jobs, keys = stored(tmp_path / "store", LOCAL, by="labels")
    (found,) = judgings(keys, jobs, store)
    assert found.line().startswith(
        "followbench: judged by mine (the label whose likelihood is highest above its mean): 10 questions, "
    )
    assert found.to_json()["judge_by"] == "labels"


def test_of_many_models_that_a_server_reports_some_are_named(tmp_path: Path):
    # a server that reports another name with each reply made the line as long as the file
    store, jobs, keys = stored(tmp_path / "store", {"models": {f"m{n:03}": 1 for n in range(500)}})
    (found,) = judgings(keys, jobs, store)
    assert "(the server reports m000, m001, m002, m003, m004, m005, m006, m007, 492 more): " in found.line()


def test_verdicts_that_are_not_there_are_not_told(tmp_path: Path):
    store, jobs, keys = stored(tmp_path / "store", LOCAL)
    assert judgings(keys, jobs, Store.open(tmp_path / "other")) == []
    assert judgings(["0" * 64], jobs, store) == []  # a given artifact has no job in the plan
    rule = job("grade", {}, 7)
    assert judgings([rule.key], {rule.key: rule}, store) == []


def test_it_stands_below_the_table():
    judging = Judging(benchmark="followbench", judge="[bold]x\x1b[31m", questions=3)
    judging.counts["unreadable"] = 1
    table = Table(title="t", paper=None, axes=(), rows=(), columns=())
    plain = Grid(name="t", table=table, scale="smoke", cast={}, lines=())
    shown = dataclasses.replace(plain, judgings=(judging,))
    line = "followbench: judged by [bold]x\\x1b[31m: 3 questions, 1 without a verdict that could be read."
    out = io.StringIO()
    Console(file=out, width=200).print(terminal.grid_table(shown, 200))
    assert line in out.getvalue()
    assert "- followbench: judged by " in markdown(shown) and "\x1b" not in markdown(shown)
    assert as_json([shown])["tables"][0]["judges"] == [judging.to_json()]
    assert "judges" not in as_json([plain])["tables"][0] and "judged" not in markdown(plain)
    assert judging.to_json() | {"judge": ""} == {
        "benchmark": "followbench",
        "judge": "",
        "judge_by": "text",
        "models": {},
        "questions": 3,
        "unreadable": 1,
        **dict.fromkeys(("thoughts", "cut_at_limit", "too_long", "tokens", "prompt_tokens"), 0),
        "money": 0.0,
    }
