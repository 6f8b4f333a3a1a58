"""The contents of a store are shown as plain text, and read from its own files alone."""

import json
import re
from collections.abc import Callable
from pathlib import Path

import pytest

from kit.cli import stores
from kit.errors import KitError
from kit.plan.planning import plan_tables
from kit.records import Result, write_rows
from kit.report import stored_results
from kit.report.escapes import plain_json
from kit.store import Job, Store

Kit = Callable[..., tuple[int, str]]
ESCAPES = ["\x1b[2J", "\x9b31m", "\u202egpj", "\x07", "\r", "\ud7ff\u2028"]


@pytest.mark.parametrize("escape", ESCAPES)
def test_control_characters_of_a_store_are_not_printed(
    escape: str, store: Store, kit: Kit, new_job: Callable[..., Job]
):
    # the time, and the names of files and of what lies in tmp, went to the terminal as they were
    job = new_job(f"two{escape}")
    store.plan(job)
    with store.scratch(job.key) as out:
        (out / f"rows{escape}.jsonl").write_text(f'{{"text": "{escape}"}}\n', encoding="utf-8")
        store.commit(job, out, rows=1, facts={escape: escape}, provenance={"started_at": f"now{escape}"})
    folder = store.get(job.key).folder
    (store.root / "tmp" / f"mine{escape}").mkdir()
    (folder / f"more{escape}").write_text("")
    codes = []
    for words in (
        ["list"],
        ["list", "--json"],
        ["show", job.key, "--rows", "1"],
        ["check"],
        ["gc", "--dry-run"],
        ["gc", "--keep", "2", "--scale", "smoke", "--dry-run"],
    ):
        code, output = kit("store", *words)
        codes.append(code)
        assert output
        assert all(character.isprintable() or character == "\n" for character in output), words
    assert codes == [0, 0, 0, 1, 0, 0]
    (folder / "artifact.json").write_text(f'{{"{escape}": 1')
    for words in (["list"], ["check"], ["show", job.key]):
        _, output = kit("store", *words)
        assert all(character.isprintable() or character == "\n" for character in output), words


@pytest.mark.parametrize("value", ["\x1b\x9b\u202e\U000e0041", "\ud800", {"a\x00": ["\x7f", "é 漢"]}])
def test_shown_json_reads_back(value: object):
    text = plain_json(value)
    assert json.loads(text) == value
    assert all(character.isprintable() or character == "\n" for character in text)


def test_the_store_commands_print_through_one_function():
    # each caller had to remember; four forgot
    folder = Path(stores.__file__).parent
    for name in ("stores.py", "jobs.py", "listing.py"):
        text = (folder / name).read_text(encoding="utf-8")
        raw = [line.strip() for line in text.splitlines() if re.search(r"typer\.echo\(|\bprint\(f", line)]
        allowed = ("typer.echo(json.dumps(document, indent=1))", "typer.echo(count +", 'typer.echo("every pin')
        assert [line for line in raw if not line.startswith(allowed)] == []


def graded(store: Store, rows: list[dict[str, object]]) -> tuple[str, Path]:
    """Commit results of the first grading of a table."""
    job = next(job for job in plan_tables(["2"], "smoke").jobs.values() if job.stage == "grade")
    with store.scratch(job.key) as out:
        (out / "results.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
        store.commit(job, out, rows=1, facts={}, provenance={})
    return job.key, store.get(job.key).folder


SOUND = {"metric": "m", "value": 0.5, "stderr": 0.1, "n": 2, "unit": "items", "failures": {}}
RESULTS = {
    "a value that is a text": {**SOUND, "value": "0.5"},
    "a value that is null": {**SOUND, "value": None},
    "a value above one": {**SOUND, "value": 1e9},
    "a spread that is true": {**SOUND, "stderr": True},
    "no units": {**SOUND, "n": 0},
    "half a unit": {**SOUND, "n": 1.5},
    "a metric that is a list": {**SOUND, "metric": []},
    "a field of its own": {**SOUND, "colour": "red"},
    "a field too few": {"metric": "m"},
}


@pytest.mark.parametrize("row", RESULTS.values(), ids=list(RESULTS))
@pytest.mark.parametrize("command", ["report", "verify"])
def test_results_that_no_grading_writes_are_refused(row: dict[str, object], command: str, store: Store, kit: Kit):
    # a TypeError in the middle of a table
    _, folder = graded(store, [row])
    code, output = kit(command, "2", "--scale", "smoke")
    assert (code in (1, 2), f"{folder / 'results.jsonl'}:1: " in output.replace("\n", "")) == (True, True)


def test_results_must_be_those_that_the_head_names(store: Store, tmp_path: Path, kit: Kit):
    # a table was made from whatever file lay there
    key, folder = graded(store, [SOUND])
    assert stored_results(store, key)["m"].value == 0.5
    write_rows(folder / "results.jsonl", [Result(metric="m", value=1.0, stderr=0.0, n=2, unit="items")])
    with pytest.raises(KitError, match=r"results\.jsonl: changed \(sha256 differs from the head's\)"):
        stored_results(store, key)
    (tmp_path / "forged").write_bytes((folder / "results.jsonl").read_bytes())
    (folder / "results.jsonl").unlink()
    (folder / "results.jsonl").symlink_to(tmp_path / "forged")
    with pytest.raises(KitError, match=r"results\.jsonl: a link, wanted a plain file"):
        stored_results(store, key)
    (folder / "results.jsonl").unlink()
    code, output = kit("report", "2", "--scale", "smoke")
    assert (code, "results.jsonl: No such file or directory; remove the folder and run again" in output) == (1, True)


def test_a_long_line_is_cut(store: Store, kit: Kit, new_job: Callable[..., Job]):
    job = new_job("two")
    store.plan(job)
    with store.scratch(job.key) as out:
        (out / "a.jsonl").write_text("x" * (3 << 20) + "\nnext\n")
        (out / "b.jsonl").write_bytes(b"\xff\n\n")
        store.commit(job, out, rows=1, facts={}, provenance={})
    code, output = kit("store", "show", job.key, "--rows", "2")
    assert (code, len(output) < 2 << 20, "x ...\n--- b.jsonl\n\\xff\n" in output) == (0, True, True)
