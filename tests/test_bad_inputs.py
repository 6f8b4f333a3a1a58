"""Bad requests: each is told by its whole message (where, what was found, what was wanted) and runs nothing."""

import json
import re
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from kit.catalogue import manifests_folder
from kit.cli import main
from kit.plan.options import chat_format
from kit.run import processes

MANIFEST = (Path(__file__).parent / "data" / "mine.toml").read_text(encoding="utf-8")
TWO_SEEDS = [{"instruction": "Name a colour."}, {"instruction": "Count to three."}]
PROBLEMS = [{"question": f"What is {n} + 1?", "answer": f"#### {n + 1}"} for n in range(3)]
SHA = "a41c1a8a" + 56 * "0"
TABLES = ", ".join(sorted(path.stem for path in (manifests_folder() / "tables").glob("*.toml")))


def lines(rows: list[dict[str, Any]]) -> str:
    return "".join(json.dumps(row) + "\n" for row in rows)


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder to work in, with good files; nothing may start a worker."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("KIT_STORE", raising=False)
    (tmp_path / "seeds.json").write_text(json.dumps(TWO_SEEDS), encoding="utf-8")
    (tmp_path / "my.toml").write_text(MANIFEST, encoding="utf-8")
    (tmp_path / "problems.jsonl").write_text(lines(PROBLEMS), encoding="utf-8")
    (tmp_path / "done.txt").write_text("", encoding="utf-8")
    (tmp_path / "base").mkdir()
    monkeypatch.setattr(processes, "command", lambda *_, **__: pytest.fail("a worker was started"))
    return tmp_path


@pytest.fixture
def kit(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Callable[[str], tuple[int, str]]:
    """Run the command line: exit code and standard error."""

    def call(words: str) -> tuple[int, str]:
        monkeypatch.setattr(sys, "argv", ["kit", *words.split()])
        with pytest.raises(SystemExit) as ended:
            main()
        return int(ended.value.code or 0), capsys.readouterr().err

    return call


def refused(kit: Callable[[str], tuple[int, str]], words: str) -> str:
    """The message of a request that is refused before anything is run or written."""
    code, text = kit(words)
    assert code == 2
    assert not (Path.cwd() / "store" / "artifacts").exists()
    return text.removeprefix("error: ").removesuffix("\n")


NAMES = {
    "table": ("plan tabel-2", "no table named 'tabel-2'; did you mean 'table-2'?"),
    "table, far off": (
        "plan results",
        f"no table named 'results'; known: all, {TABLES}",
    ),
    "table by a number that is none of the paper's": ("verify 99", f"no table named '99'; known: all, {TABLES}"),
    "all tables": ("reproduce ALL", "no table named 'ALL'; did you mean 'all'?"),
    "tables with a comma": (
        "plan 2,9",
        f"no table named '2,9'; known: all, {TABLES}; several tables are named one by one, with blanks between",
    ),
    "a table's own file": (  # six keys of it were called wrong
        "plan {manifests}/tables/table-2.toml",
        "{manifests}/tables/table-2.toml: a table of the kit, no manifest of your own; name it without folder: table-2",
    ),
    "scale": ("reproduce 2 --scale smok", "no scale named 'smok'; did you mean 'smoke'?"),
    "mirror": ("reproduce 2 --scale smoke --mirror nowhere", "--mirror {folder}/nowhere: no such folder"),
    "mirror of a single job": ("job abc --mirror nowhere", "--mirror {folder}/nowhere: no such folder"),
    "store that is a file": (
        "reproduce 2 --scale smoke --store done.txt",
        "store {folder}/done.txt: something else is there; name a store, or a new folder, with --store",
    ),
    "store to look at": (
        "store list --store nowhere",
        "store {folder}/nowhere: no store there; name the folder that a run wrote with --store",
    ),
    "model": (
        "evolve --seeds seeds.json --evolver smollm2-135m-instrct --out o.json",
        "'smollm2-135m-instrct' is no folder: no model named 'smollm2-135m-instrct'; did you mean "
        "'smollm2-135m-instruct'?",
    ),
    "model folder": (
        "sft --pairs pairs.json --base base --out tuned",
        "base: no config.json in the folder, wanted a model in the Hugging Face layout",
    ),
    "scenario": (
        "evolve --scenario evol_instuct --seeds seeds.json --evolver smollm2-135m-instruct --out o.json",
        "no scenario named 'evol_instuct'; did you mean 'evol_instruct'?",
    ),
    "benchmark": (
        "grade gsm9k --completions done.txt",
        "no benchmark named 'gsm9k'; did you mean 'gsm8k'?",
    ),
    "benchmark as papers write it": (  # no name was close to it
        "grade GSM8K --completions done.txt",
        "no benchmark named 'GSM8K'; did you mean 'gsm8k'?",
    ),
    "protocol": (
        "grade gsm8k --completions done.txt --protocol papper",
        "--protocol papper: known: paper, default",
    ),
    "prompts": (
        "answer gsm8k --model smollm2-135m-instruct --prompts opencompas --out o.jsonl",
        "--prompts opencompas: known: kit, opencompass, paper, followbench",
    ),
    # IFEval's prompts need no pack: any name was taken, and `paper` waited for a network
    "prompts of a benchmark that needs none": (
        "answer ifeval --model smollm2-135m-instruct --prompts paper --out o.jsonl",
        "--prompts paper: known: kit, opencompass",
    ),
    "model folder that is not there": (
        "answer ifeval --model models/nix --out o.jsonl",
        "'models/nix': no such folder; wanted a model's, or a name of manifests/models.toml",
    ),
    "report format": ("report 2 --format html", "--format html: known: terminal, markdown, csv, json, svg, png"),
    "manifest that is not there": (
        "run mine.toml",
        "mine.toml: No such file or directory",
    ),
    "a table as a manifest": (
        "run 2",
        "2: no such file; wanted the path of a manifest, which ends in .toml; `kit reproduce` computes tables of the "
        "paper",
    ),
}


@pytest.mark.parametrize("words, message", NAMES.values(), ids=list(NAMES))
def test_names(words: str, message: str, folder: Path, kit: Callable[[str], tuple[int, str]]):
    (folder / "pairs.json").write_text(json.dumps([{"instruction": "a", "output": "b"}]), encoding="utf-8")
    places = {"{folder}": str(folder), "{manifests}": str(manifests_folder())}
    for name, place in places.items():
        words, message = words.replace(name, place), message.replace(name, place)
    assert refused(kit, words) == message


OPTIONS = {
    "too hot": ("respond", "--temperature 3", "--temperature 3.0: wanted 0 (greedy) to 2"),
    "no number": ("respond", "--temperature nan", "--temperature nan: wanted 0 (greedy) to 2"),
    "no nucleus": ("respond", "--top-p 0", "--top-p 0.0: wanted above 0, up to 1"),
    "no token": ("respond", "--max-tokens 0", "--max-tokens 0: wanted 1 to 100,000,000"),
    "no round": ("evolve", "--rounds 0", "--rounds 0: wanted 1 to 100"),
    "out is there": ("respond", "--out done.txt", "--out done.txt: is there already; name another, or remove it"),
    "out has no folder": ("respond", "--out no/o.json", "--out no/o.json: no folder {folder}/no"),
    "no step": ("sft", "--learning-rate 0", "--learning-rate 0.0: wanted above 0, up to 1"),
    # nan is not <= 0 either: it went into the plan, and the job's key could not be computed
    "step of nan": ("sft", "--learning-rate nan", "--learning-rate nan: wanted above 0, up to 1"),
    "no epoch": ("sft", "--epochs 0", "--epochs 0: wanted 1 to 1,000"),
    "warm-up for ever": ("sft", "--warmup-ratio 1", "--warmup-ratio 1.0: wanted 0, or more and below 1"),
    # was taken for LoRA of rank -2, and failed in the trainer after the model was loaded
    "rank below 0": ("sft", "--lora-rank -2", "--lora-rank -2: wanted 0 (tunes every weight) to 65,536"),
    "nothing to merge": (
        "sft",
        "--merge",
        "--merge: without --lora-rank the tuned model is whole already; leave it out",
    ),
    "a base for a whole model": (
        "answer",
        "--base smollm2-29l",
        "--base smollm2-29l: --model smollm2-135m-instruct is no adapter's folder",
    ),
    # grades of an earlier run were overwritten without a word
    "grades are there": ("grade", "--out done.txt", "--out done.txt: is there already; name another, or remove it"),
}
STARTS = {
    "respond": "respond --instructions seeds.json --responder smollm2-135m-instruct --out o.json",
    "evolve": "evolve --seeds seeds.json --evolver smollm2-135m-instruct --out o.json",
    "sft": "sft --pairs seeds.json --base smollm2-29l --out tuned",
    "answer": "answer gsm8k --model smollm2-135m-instruct --data problems.jsonl --out o.jsonl",
    "grade": "grade gsm8k --completions seeds.json --data problems.jsonl",
}


@pytest.mark.parametrize("command, option, message", OPTIONS.values(), ids=list(OPTIONS))
def test_options(command: str, option: str, message: str, folder: Path, kit: Callable[[str], tuple[int, str]]):
    assert refused(kit, with_option(STARTS[command], option)) == message.format(folder=folder)


def with_option(words: str, option: str) -> str:
    """Return a command line with one more option, or with another value of an option that it has."""
    name, _, _ = option.partition(" ")
    return f"{re.sub(f' {name} [^ ]+', '', words)} {option}"


def test_rows_below_one(folder: Path, kit: Callable[[str], tuple[int, str]]):
    # `answer --rows -1` left out the last problem, `evolve --rows -1` called the seed set empty
    text = refused(kit, "answer gsm8k --model smollm2-135m-instruct --out o.jsonl --rows -1")
    assert "Invalid value for '--rows'" in text


SEEDS = {
    "cut off, JSON": (
        b'[{"instruction": "Name a col',
        "seeds.json: not JSON: Unterminated string starting at: line 1 column 18; is the file cut off?",
    ),
    "cut off, JSONL": (
        b'{"instruction": "a"}\n{"instruction": "b',
        "seeds.json:2: not JSON: Unterminated string starting at: column 17; is the file cut off?",
    ),
    "id twice": (
        b'[{"id": "x", "instruction": "a"}, {"id": "x", "instruction": "b"}]',
        "seeds.json[1]: id 'x' stands twice, first at seeds.json[0]; ids must differ",
    ),
    "empty file": (b"\n", "seeds.json: empty; wanted a JSON list or JSONL of records"),
    "no record": (b"[]", "seeds.json: no record; the seed set is empty"),
    "no instruction": (
        b'[{"prompt": "a"}]',
        "seeds.json[0]: no 'instruction'; found prompt, wanted instruction, input, output; is 'prompt' the "
        "instruction? Then rename it",
    ),
    "instruction is blank": (
        b'[{"instruction": " "}]',
        "seeds.json[0]: 'instruction' is empty; every record needs an instruction",
    ),
    "input is a number": (
        b'[{"instruction": "a", "input": 7}]',
        "seeds.json[0]: 'input': found int, wanted text",
    ),
    "list of texts": (b'["a"]', "seeds.json[0]: found str, wanted an object"),
    "not UTF-8, JSON": (
        b'[{"instruction": "caf\xe9"}]',
        "seeds.json: line 1: byte 21 (0xe9) is not UTF-8; save the file as UTF-8",
    ),
    "not UTF-8, JSONL": (
        b'{"instruction": "caf\xe9"}',
        "seeds.json: line 1: byte 20 (0xe9) is not UTF-8; save the file as UTF-8",
    ),
    "several lines at fault": (
        b'{"instruction": "a"}\n{"instruction": "b"\n\n{"instruction": "c"}\n[]\n',
        "seeds.json:2: not JSON: Expecting ',' delimiter: column 20; is the file cut off? "
        "(line 5 can't be read either)",
    ),
    "many lines at fault": (
        b'{"instruction": NaN}\n' * 7 + b'{"instruction": "c"}\n',
        "seeds.json:1: NaN is no number of JSON; wanted null, or the value as text (6 more lines can't be read either: "
        "2, 3, 4, 5, 6 and 1 more)",
    ),
    "one object over many lines": (
        b'{\n"instruction": "a"\n}\n',
        "seeds.json: one JSON object over several lines; wanted a JSON list of records, or JSONL",
    ),
    "a list inside an object": (
        b'{"results": [{"instruction": "a"}, {"instruction": "b"}]}',
        "seeds.json: one JSON object, whose 'results' holds a list of 2 objects; wanted the list alone, or JSONL",
    ),
    # ended in tracebacks
    "a number too long": (
        b'[{"instruction": "a", "n": ' + 5000 * b"9" + b"}]",
        "seeds.json: a whole number of more than 4,300 digits; wanted it as text, or rounded",
    ),
    "a number too long, JSONL": (
        b'{"instruction": "a"}\n{"instruction": "a", "n": ' + 5000 * b"9" + b"}",
        "seeds.json:2: a whole number of more than 4,300 digits; wanted it as text, or rounded",
    ),
    "nested too deep": (
        100_000 * b"[" + 100_000 * b"]",
        "seeds.json: lists or objects nested too deep to read; wanted records of texts",
    ),
    "nested too deep, JSONL": (
        b'{"a":' * 100_000 + b"1" + b"}" * 100_000,
        "seeds.json:1: lists or objects nested too deep to read; wanted records of texts",
    ),
}


@pytest.mark.parametrize("data, message", SEEDS.values(), ids=list(SEEDS))
def test_seeds(data: bytes, message: str, folder: Path, kit: Callable[[str], tuple[int, str]]):
    (folder / "seeds.json").write_bytes(data)
    assert refused(kit, STARTS["evolve"]) == message


def test_a_missing_mirror_is_reported_even_if_it_is_not_needed(folder: Path, kit: Callable[[str], tuple[int, str]]):
    # passed where the data were at hand
    (folder / "c.jsonl").write_text(lines([{"id": 0, "output": "1"}]), encoding="utf-8")
    words = "grade gsm8k --completions c.jsonl --data problems.jsonl --mirror nope"
    assert refused(kit, words) == f"--mirror {folder}/nope: no such folder"


TEMPLATES = {
    # the base was loaded and the job failed
    "does not compile": ("{% for m in messages %}{{ m.content }", "line 1: unexpected '}'"),
    "refuses a chat": ("{{ raise_exception('only system turns') }}", "only system turns"),
}


@pytest.mark.parametrize("template, message", TEMPLATES.values(), ids=list(TEMPLATES))
def test_chat_templates(template: str, message: str, folder: Path, kit: Callable[[str], tuple[int, str]]):
    (folder / "pairs.json").write_text(json.dumps([{"instruction": "a", "output": "b"}]), encoding="utf-8")
    (folder / "t.jinja").write_text(template, encoding="utf-8")
    assert refused(kit, "sft --pairs pairs.json --base smollm2-29l --out tuned --chat-template t.jinja") == (
        f"--chat-template t.jinja: {message}; wanted a Jinja template that renders a user's and an assistant's turn"
    )


ROWS = {
    "sft": ("tools", [{}]),
    "respond": ("images", ["a.png"]),
    "evolve": ("messages", [{"role": "user", "content": "a"}]),
}


@pytest.mark.parametrize("command", ROWS)
def test_rows_that_would_be_changed_silently_are_refused(
    command: str, folder: Path, kit: Callable[[str], tuple[int, str]]
):
    # exit code 0, and nobody was told
    name, value = ROWS[command]
    rows = [{"instruction": "a", "output": "b"}, {"instruction": "a", "output": "b", name: value}]
    (folder / "seeds.json").write_text(json.dumps(rows), encoding="utf-8")
    assert refused(kit, STARTS[command]).startswith(f"seeds.json[1]: {name!r} ")


def test_an_empty_chat_template(folder: Path, kit: Callable[[str], tuple[int, str]]):
    (folder / "pairs.json").write_text(json.dumps([{"instruction": "a", "output": "b"}]), encoding="utf-8")
    (folder / "t.jinja").write_text("\ufeff\n", encoding="utf-8")
    text = refused(kit, "sft --pairs pairs.json --base smollm2-29l --out tuned --chat-template t.jinja")
    assert text == "--chat-template t.jinja: empty; wanted a Jinja template"


@pytest.mark.parametrize("marks", ["", "\ufeff", "\ufeff\ufeff"], ids=["none", "one", "two"])
def test_a_byte_order_mark_of_a_chat_template_is_dropped(marks: str, tmp_path: Path):
    # it stood in every prompt, and was saved with the model
    (tmp_path / "t.jinja").write_text(marks + "{{ messages }}\ufeff", encoding="utf-8")
    assert chat_format(tmp_path / "t.jinja", "<|end|>") == {
        "chat_template": "{{ messages }}\ufeff",
        "end_of_turn": "<|end|>",
    }


def test_a_manifest_may_begin_with_a_byte_order_mark(folder: Path, kit: Callable[[str], tuple[int, str]]):
    # "not TOML: Invalid statement (at line 1, column 1)"
    (folder / "my.toml").write_text("\ufeff" + MANIFEST.replace("schema", "shcema", 1), encoding="utf-8")
    assert refused(kit, "run my.toml") == "my.toml: schema: found None, this kit reads schema = 1"


def test_an_out_that_cannot_be_made(folder: Path, kit: Callable[[str], tuple[int, str]]):
    # told after the job, with exit code 1 and the name of a hidden file
    name = 252 * "o"
    text = refused(kit, f"respond --instructions seeds.json --responder smollm2-135m-instruct --out {name}")
    assert text == f"--out {name}: File name too long; name one that can be written"
    (folder / "link.json").symlink_to("nowhere")
    text = refused(kit, "respond --instructions seeds.json --responder smollm2-135m-instruct --out link.json")
    assert text == "--out link.json: is there already; name another, or remove it"


STORES = {
    # each was taken for an empty store
    "report of a store that is not there": "report 2 --scale smoke --store stroe",
    "verify of a store that is not there": "verify 2 --scale smoke --store stroe",
    "report of a file": "report 2 --scale smoke --store done.txt",
    "plan into a file": "plan 2 --scale smoke --store done.txt",
    "plan into another folder": "plan 2 --scale smoke --store base",
    "dry run into another folder": "reproduce 2 --scale smoke --dry-run --store base",
}


@pytest.mark.parametrize("words", STORES.values(), ids=list(STORES))
def test_folders_that_are_not_stores_are_refused(words: str, folder: Path, kit: Callable[[str], tuple[int, str]]):
    (folder / "base" / "config.json").write_text("{}")
    name = folder / words.rpartition(" ")[2]
    messages = {
        True: f"store {name}: no store there; name the folder that a run wrote with --store",
        False: f"store {name}: something else is there; name a store, or a new folder, with --store",
    }
    assert refused(kit, words) == messages[words.startswith(("report", "verify"))]
