"""AutoIF by ``kit evolve`` on one's own constraints and queries, by one evolver or by two; and what it refuses."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from kit.errors import RequestError
from kit.files.formats import query_format
from kit.files.seeds import read_instructions
from kit.plan.adhoc import Workbench
from kit.plan.planning import plan_manifest
from kit.records import Instruction, write_rows
from kit.store import Job, Store
from tests.test_bad_inputs import folder, kit, refused

__all__ = ["folder", "kit"]  # the fixtures: a folder with good files, and the command line

Kit = Callable[[str], tuple[int, str]]
ONE, OTHER = "smollm2-135m-instruct", "smollm2-36l"
START = f"evolve --scenario autoif --seeds rules.txt --evolver {ONE} --out one.json --scale smoke"


@pytest.fixture
def files(folder: Path) -> Path:
    """Write constraints and queries into the folder that the command line starts in."""
    (folder / "rules.txt").write_text("Use no digits\n\n  End with a full stop \n", encoding="utf-8")
    chats = [
        {"id": str(n), "conversations": [{"from": "human", "value": f"What is the number {n} good for?"}]}
        for n in range(20)
    ]
    (folder / "chats.json").write_text(json.dumps(chats, indent=1), encoding="utf-8")
    (folder / "lines.txt").write_text("Which of the two roads is the shorter one?\n", encoding="utf-8")
    return folder


def planned(kit: Kit, words: str, monkeypatch: pytest.MonkeyPatch, folder: Path) -> tuple[Workbench, list[str]]:
    """Return the workbench and the last lines of a command whose jobs all write one row."""
    found: list[Workbench] = []
    said: list[str] = []
    store = Store.open(folder / "fake-store")

    def made(bench: Workbench, keys: list[str], *_: object) -> list[Any]:
        found.append(bench)
        for key in keys:
            with store.scratch(key) as out:
                row = Instruction(id="a/0", instruction="rule", input=bench.plan.jobs[key].id)
                write_rows(out / "instructions.jsonl", [row])
                store.commit(bench.plan.jobs[key], out, rows=1, facts={"dropped": {"lost": 2}}, provenance={})
        return [store.get(key) for key in keys]

    monkeypatch.setattr("kit.cli.files.run_bench", made)
    monkeypatch.setattr("kit.cli.evolving.say", said.append)
    code, errors = kit(words)
    assert code == 0, errors
    return found[0], said


def step(bench: Workbench, name: str) -> list[Job]:
    return [job for job in bench.plan.jobs.values() if job.params.get("step") == name]


def test_two_evolvers_read_each_others_rows(files: Path, kit: Kit, monkeypatch: pytest.MonkeyPatch) -> None:
    words = f"{START} --evolver {OTHER} --out two.json --queries chats.json --set samples=3 --set threshold=0.5"
    bench, said = planned(kit, words, monkeypatch, files)
    assert [len(step(bench, name)) for name in ("constraints", "checks", "cross_check", "draw", "join")] == [2] * 5
    assert {job.params["options"]["samples"] for job in step(bench, "checks")} == {3}
    assert {job.params["options"]["threshold"] for job in step(bench, "cross_check")} == {0.5}
    kept = [job.key for job in step(bench, "cross_check")]
    assert [job.inputs for job in step(bench, "draw")] == [{"side-0": kept[0], "side-1": kept[1]}] * 2
    joins = step(bench, "join")
    assert [job.params["side"] for job in joins] == [0, 1]
    assert [job.params["data"]["queries"]["format"] for job in joins] == ["first-turns"] * 2
    written = [json.loads((files / name).read_text(encoding="utf-8"))[0]["input"] for name in ("one.json", "two.json")]
    assert written == [job.id for job in joins]
    note = "as Alpaca JSON (lines hold no line breaks and no answers)"
    assert said == [f"1 instructions, 10 left out: lost, {note}: {name}.json" for name in ("one", "two")]


def test_one_evolver_is_its_own_side(files: Path, kit: Kit, monkeypatch: pytest.MonkeyPatch) -> None:
    bench, _ = planned(kit, f"{START} --queries lines.txt --set queries=1", monkeypatch, files)
    (job,) = step(bench, "join")
    assert sorted(job.inputs) == ["data-queries", "side-0"]
    assert job.params["options"] == {"queries": 1, "equal_size": "constraints"}
    assert job.params["data"]["queries"]["format"] == "lines"


def test_seeds_in_a_file_called_queries_are_no_queries(files: Path, kit: Kit, monkeypatch: pytest.MonkeyPatch) -> None:
    (files / "rules.txt").rename(files / "queries.txt")
    words = f"{START} --queries chats.json".replace("rules.txt", "queries.txt")
    bench, _ = planned(kit, words, monkeypatch, files)
    (first,), (last,) = step(bench, "constraints"), step(bench, "join")
    assert first.inputs["seeds"] != last.inputs["data-queries"]
    assert (first.params["seeds"], first.params["format"]) == ("queries.txt", "lines")


def test_responses_are_asked_for_as_the_scenario_does(files: Path, kit: Kit, monkeypatch: pytest.MonkeyPatch) -> None:
    found: list[Any] = []

    def stop(bench: Workbench, keys: list[str], *_: object) -> list[Any]:
        found.extend(bench.plan.jobs[key] for key in keys)
        raise RequestError("enough")

    monkeypatch.setattr("kit.cli.files.run_bench", stop)
    rows = [{"instruction": "Use no digits.", "input": "What is a stone?"}]
    (files / "joined.json").write_text(json.dumps(rows), encoding="utf-8")
    words = f"respond --instructions joined.json --responder {ONE} --out pairs.json --scale smoke"
    assert refused(kit, f"{words} --scenario autoif") == "enough"
    assert refused(kit, words) == "enough"
    assert refused(kit, f"{words} --scenario autoiff") == "no scenario named 'autoiff'; did you mean 'autoif'?"
    assert [job.params.get("template") for job in found] == ["autoif.respond", None]


def test_constraint_and_query_in_one_turn_are_not_asked_for_apart(files: Path, kit: Kit) -> None:
    # a chat that kit evolve wrote holds both in one turn: they were shown as the constraint, beside an empty query
    chat = {"messages": [{"role": "user", "content": "Use no digits.\nWhat is a stone?"}]}
    (files / "joined.jsonl").write_text(json.dumps(chat) + "\n", encoding="utf-8")
    words = f"respond --instructions joined.jsonl --responder {ONE} --out pairs.jsonl --scale smoke --scenario autoif"
    assert refused(kit, words) == (
        "joined.jsonl: 1 of 1 rows have no input, first 'joined/0'; autoif shows instruction and input apart, a chat "
        "holds both in one turn: evolve from a file of lines or Alpaca's records, or leave --scenario out"
    )


REFUSED: dict[str, tuple[str, str]] = {
    "no queries": (
        START,
        "--queries: missing, and autoif joins what it writes with them; name a file of questions: a text on each line, "
        "ShareGPT's conversations, or records as --seeds reads them without --format",
    ),
    "queries for nothing": (
        f"evolve --seeds rules.txt --queries chats.json --evolver {ONE} --out one.json",
        "--queries chats.json: evol_instruct reads none; leave it out",
    ),
    "too few queries": (
        f"{START} --queries chats.json --set queries=21",
        "queries: 20 of 20 have 21 to 299 characters, and each constraint takes 21; give more queries, or lower the "
        "option queries",
    ),
    "no such option": (
        f"{START} --queries chats.json --set sample=3",
        "--set sample=3: autoif takes no option 'sample'; did you mean 'samples'?",
    ),
    "no value": (f"{START} --queries chats.json --set samples", "--set samples: wanted NAME=VALUE, such as samples=8"),
    "a value out of range": (
        f"{START} --queries chats.json --set threshold=1.5",
        "--set threshold=1.5: input should be less than or equal to 1",
    ),
    "a value of no kind": (
        f"{START} --queries chats.json --set equal_size=rows",
        "--set equal_size=rows: input should be 'constraints' or 'records'",
    ),
    "an option twice": (
        f"{START} --queries chats.json --set samples=3 --set samples=4",
        "--set samples: given twice, and it takes one value; leave the other out",
    ),
    "an option of nobody's": (
        f"evolve --seeds rules.txt --evolver {ONE} --out one.json --set samples=3",
        "--set samples=3: evol_instruct takes no option 'samples'; it takes none",
    ),
    "two rounds": (
        f"{START} --queries chats.json --rounds 2",
        "--rounds: autoif goes through 1 round; found round 2, wanted 1 at most",
    ),
    "an evolver twice": (
        f"{START} --queries chats.json --evolver {ONE} --out two.json",
        f"--evolver {ONE}: given twice; wanted models that differ",
    ),
    "a file for one evolver alone": (
        f"{START} --queries chats.json --evolver {OTHER}",
        "--evolver is given 2 times and --out 1 time; wanted a file for each evolver, in the same order",
    ),
    "one file for both": (
        f"{START} --queries chats.json --evolver {OTHER} --out ./one.json",
        "--out {folder}/one.json: given twice; wanted a file for each evolver",
    ),
}


@pytest.mark.parametrize(("words", "message"), REFUSED.values(), ids=list(REFUSED))
def test_what_is_refused_before_a_model_is_loaded(words: str, message: str, files: Path, kit: Kit) -> None:
    assert refused(kit, words) == message.format(folder=files.resolve())


MANIFEST = """schema = 1
title = "mine"
scale = "smoke"
datasets.rules = { file = "rules.txt", format = "lines", licence = "mine" }
datasets.asked = { file = "FILE", format = "auto", licence = "mine" }
seeds = { rules = { dataset = "rules" }, queries = { dataset = "asked"ROWS } }

[[experiment]]
id = "one"
scenario = "autoif"
seeds = "rules"
evolver = ["smollm2-135m-instruct", "smollm2-36l"]
responder = "smollm2-135m-instruct"
base = "smollm2-29l"
seed = 42
evolve = { temperature = 0.7, max_tokens = 8 }
respond = { temperature = 0.0, max_tokens = 8 }
sft = { learning_rate = 1e-5, epochs = 1, global_batch_size = 4, warmup_ratio = 0.0, max_length_tokens = 64 }
benchmarks = ["gsm8k"]
"""
TOO_FEW = (
    "my.toml: seeds.queries: {found} have 21 to 299 characters, and each constraint takes 2; give more queries, or "
    "lower the option queries"
)
"""The smoke scale takes two queries a constraint."""
SHORT = {
    "one line": ("lines.txt", "", "1 of 1"),
    "the first row of many": ("rules.txt", ", rows = 1", "0 of 1"),
    "all too short": ("seeds.json", "", "0 of 2"),
}


@pytest.mark.parametrize(("file", "rows", "found"), SHORT.values(), ids=list(SHORT))
def test_a_manifest_with_too_few_queries_is_refused_before_a_model_is_loaded(
    file: str, rows: str, found: str, files: Path, kit: Kit
) -> None:
    # the step that joins found it, after both evolvers had written all constraints and checks
    text = MANIFEST.replace("FILE", file).replace("ROWS", rows)
    (files / "my.toml").write_text(text, encoding="utf-8")
    assert refused(kit, "run my.toml") == TOO_FEW.format(found=found)


def test_a_manifest_with_enough_queries_is_planned(files: Path, kit: Kit) -> None:
    with (files / "lines.txt").open("a", encoding="utf-8") as file:
        file.write("Which of the two roads is the longer one?\n")
    (files / "my.toml").write_text(MANIFEST.replace("FILE", "lines.txt").replace("ROWS", ""), encoding="utf-8")
    assert kit("plan my.toml") == (0, "")


REPLACED = {
    "none given": ("", []),
    "as the scale has them": ("options = { times = 1, queries = 2 }", []),
    "one of them": ("options = { times = 1, queries = 16 }", ["options.queries: 16 asked for, scale smoke takes 2"]),
    # an axis of two values, of which both rows were the same job's
    "an axis": ("options = { queries = [1, 2, 3] }", ["options.queries: 1, 3 asked for, scale smoke takes 2"]),
    "of one evolver": (
        "by.evolver.smollm2-36l.options.samples = 8",
        ["options.samples: 8 asked for, scale smoke takes 3"],
    ),
}


@pytest.mark.parametrize(("line", "notes"), REPLACED.values(), ids=list(REPLACED))
def test_options_that_the_scale_replaces_are_noted(line: str, notes: list[str], files: Path) -> None:
    text = MANIFEST.replace("FILE", "chats.json").replace("ROWS", "").replace('"auto"', '"first-turns"')
    (files / "my.toml").write_text(text.replace("benchmarks =", f"{line}\nbenchmarks ="), encoding="utf-8")
    temperature = "evolve.temperature: 0.7 asked for, scale smoke takes 0.2"
    assert plan_manifest(files / "my.toml").notes == [
        f"experiment[0].{note} for autoif" for note in [*notes, temperature]
    ]


CHAT = {"from": "human", "value": "And you?"}
FORMATS: dict[str, tuple[str, str, list[str]]] = {
    "lines": ("a\r\n\n b \n", "lines", ["a", "b"]),
    "a line in brackets": ("[Answer] in English\n{x}\n", "lines", ["[Answer] in English", "{x}"]),
    "Alpaca": ('[{"instruction": "a"}]', "alpaca", ["a"]),
    "Alpaca over several lines": ('[\n {\n  "instruction": "a"\n }\n]', "alpaca", ["a"]),
    "Alpaca that speaks of conversations": (
        '[{"instruction": "say \\"conversations\\""}]',
        "alpaca",
        ['say "conversations"'],
    ),
    # these three were refused: no 'instruction', no 'conversations', or not JSON
    "OpenAI's messages": (
        '[{"messages": [{"role": "user", "content": "a"}, {"role": "assistant", "content": "b"}]}]',
        "first-turns",
        ["a"],
    ),
    "a table that speaks of conversations": (
        'instruction,input\n"say ""conversations""",\n',
        "alpaca",
        ['say "conversations"'],
    ),
    "lines in a file without .txt": ("What is a?\nWhat is b?\n", "lines", ["What is a?", "What is b?"]),
    "ShareGPT": (json.dumps([{"id": "a", "conversations": [CHAT, CHAT]}]), "first-turns", ["And you?"]),
    "ShareGPT in lines": ('{"conversations": [{"from": "user", "value": "a"}]}\n' * 2, "first-turns", ["a", "a"]),
    "both texts in a turn": ('[{"conversation": [{"human": "a", "assistant": "b"}]}]', "first-turns", ["a"]),
    "OpenAI's roles": ('[{"conversations": [{"role": "user", "content": "a"}]}]', "first-turns", ["a"]),
    # was read as Alpaca's and refused
    "OpenAI's messages with a system turn": (
        json.dumps({"messages": [{"role": r, "content": r} for r in ("system", "user", "assistant")]}),
        "first-turns",
        ["user"],
    ),
    "a table": ("id,instruction\n1,a\n", "alpaca", ["a"]),
    "one that begins with an answer": (
        json.dumps(
            [{"conversations": [{"from": "gpt", "value": "b"}, CHAT]}, {"conversations": []}, {"conversations": [CHAT]}]
        ),
        "first-turns",
        ["And you?"],
    ),
}


@pytest.mark.parametrize(("text", "format", "texts"), FORMATS.values(), ids=list(FORMATS))
def test_files_are_told_apart_by_content(text: str, format: str, texts: list[str], tmp_path: Path) -> None:
    (path := tmp_path / ("f.txt" if format == "lines" else "f")).write_text(text, encoding="utf-8", newline="")
    assert query_format(path) == format
    assert [row.instruction for row in read_instructions(path, format, "q")] == texts


UNREADABLE: dict[str, tuple[str, str, str]] = {
    "no text": ("\n \n", "lines", "{path}: no record; the seed set is empty"),
    "JSON": ('{"a": 1}\n', "lines", "{path}:1: found JSON, wanted a text on each line"),
    "no conversation": (
        '[{"chat": []}]',
        "first-turns",
        "{path}[0]: no 'conversations'; found ['chat'], wanted ShareGPT's layout",
    ),
    "no list": (
        '[{"conversations": "a"}]',
        "first-turns",
        "{path}[0]: 'conversations': found str, wanted a list of turns",
    ),
    "no turn": (
        '[{"conversations": [{"from": "human"}]}]',
        "first-turns",
        "{path}[0]: 'conversations'[0]: found {{'from': 'human'}}, wanted an object with the texts 'from' and 'value'",
    ),
    "nothing by a user": (
        '[{"conversations": []}]',
        "first-turns",
        "{path}: none of 1 conversations begins with a user's text",
    ),
}


@pytest.mark.parametrize(("text", "format", "message"), UNREADABLE.values(), ids=list(UNREADABLE))
def test_files_that_hold_something_else(text: str, format: str, message: str, tmp_path: Path) -> None:
    (path := tmp_path / "f").write_text(text, encoding="utf-8")
    with pytest.raises(RequestError) as caught:
        read_instructions(path, format, "q")
    assert str(caught.value) == message.format(path=path)
