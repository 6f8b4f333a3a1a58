"""A user's own files and options made to stall or to mislead: a sentence each, at once, and no worker is started."""

import json
import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from kit.errors import KitError, RequestError, did_you_mean, one_line, shown
from kit.files.completions import read_completions
from kit.files.seeds import read_instructions
from kit.records import Problem
from kit.run import launch, processes
from tests.test_bad_inputs import STARTS, folder, kit, refused, with_option

__all__ = ["folder", "kit"]  # the fixtures: a folder with good files, and the command line

Kit = Callable[[str], tuple[int, str]]
DEEP = "lists or objects nested too deep to read; wanted records of texts"
K = 57 * "k" + "..."
IDS = (
    "an id (task_id, id, key, question_id, problem_id, custom_id, sample_id, name, idx, index, doc_id) or the "
    "problem's text (prompt, question, problem, instruction, text, query, input)"
)
# Text of seeds.json -> what follows its name; the first eleven were read in silence or ended in tracebacks.
ROWS = {
    "101 brackets": (f'[{{"instruction": "a", "x": {99 * "["}{99 * "]"}}}]', f": {DEEP}"),
    "many open brackets": (100_000 * '[{"a":', f": {DEEP}"),
    "many open brackets, JSONL": (100_000 * '{"a":[', f":1: {DEEP}"),
    "NaN": ('[{"instruction": "a", "x": NaN}]', ": NaN is no number of JSON; wanted null, or the value as text"),
    "Infinity, JSONL": (
        '{"instruction": "a"}\n{"instruction": "a", "x": -Infinity}',
        ":2: -Infinity is no number of JSON; wanted null, or the value as text",
    ),
    "a number beyond floats": (
        '[{"instruction": "a", "x": 1e999}]',
        ": 1e999 is too large a number; wanted it as text",
    ),
    "a name twice": (
        '[{"instruction": "a", "instruction": "b"}]',
        ": an object has the name 'instruction' twice; wanted each name once",
    ),
    "a name twice, deeper": (
        '{"instruction": "a", "x": {"y": 1, "y": 2}}\n',
        ":1: an object has the name 'y' twice; wanted each name once",
    ),
    "an id that is a list": (
        '[{"instruction": "a", "id": [1]}]',
        "[0]: 'id': found list, wanted text or a number",
    ),
    "zero bytes": (1000 * "\0", ": nothing but zero bytes; was it copied whole?"),
    "a zero byte": (
        '[{"instruction": "a\0"}]',
        ": not JSON: Invalid control character at: line 1 column 20; is the file cut off?",
    ),
    # the message repeated the megabyte
    "a name of a megabyte": (
        f'[{{"{10**6 * "k"}": "x"}}]',
        f"[0]: no 'instruction'; found {K}, wanted instruction, input, output",
    ),
    "an id of a megabyte": (
        json.dumps(2 * [{"instruction": "a", "id": 10**6 * "i"}]),
        f"[1]: id '{117 * 'i'}...' stands twice, first at seeds.json[0]; ids must differ",
    ),
    "a list of a long name": (
        f'{{"{10**6 * "k"}": [{{"a": 1}}]}}',
        f": one JSON object, whose '{117 * 'k'}...' holds a list of 1 objects; wanted the list alone, or JSONL",
    ),
    "names that turn the terminal around": (
        '[{"\\u202e\\n\\u001b[31mx": "y"}]',
        "[0]: no 'instruction'; found \\u202e\\n\\x1b[31mx, wanted instruction, input, output",
    ),
    "half a character twice": (
        '[{"instruction": "a", "id": "\\ud800"}, {"instruction": "b", "id": "\\ud800"}]',
        "[1]: id '\\ud800' stands twice, first at seeds.json[0]; ids must differ",
    ),
    "a million blank lines": (10**6 * "\n", ": empty; wanted a JSON list or JSONL of records"),
    "a million blank lines before the fault": (
        10**6 * "\n" + "x",
        ":1000001: found 'x', wanted a JSON list of records, or a JSON object on each line",
    ),
    "a line of ten megabytes": (
        f'{{"instruction": "{10**7 * "a"}"}}\n{{"x',
        ":2: not JSON: Unterminated string starting at: column 2; is the file cut off?",
    ),
}


@pytest.mark.parametrize("text, message", ROWS.values(), ids=list(ROWS))
def test_rows(text: str, message: str, folder: Path, kit: Kit):
    (folder / "seeds.json").write_text(text)
    assert refused(kit, STARTS["evolve"]) == f"seeds.json{message}"


COMPLETIONS = {
    "101 brackets": (f'{{"id": 0, "output": {100 * "["}"1"{100 * "]"}}}', f":1: {DEEP}"),
    "NaN": ('{"id": 0, "output": "1"}\n{"id": NaN}', ":2: NaN is no number of JSON; wanted null, or the value as text"),
    "a text twice": (
        '{"id": 0, "output": "1", "output": "2"}',
        ":1: an object has the name 'output' twice; wanted each name once",
    ),
    "many names": (
        json.dumps([{f"k{n:05}": 1 for n in range(60)}]),
        f"[0]: found {', '.join(f'k{n:05}' for n in range(50))}, 10 more; wanted {IDS}",
    ),
    # was a ValueError: int() takes no more than 4,300 digits
    "a position of 5,000 digits": (
        json.dumps({5000 * "9": {"prediction": "1"}}),
        ": 1 predictions, and none is numbered 0; wanted 0 to 0, as a finished run has them",
    ),
    # "00" took the place of "0", whose text was lost
    "a position twice": (
        json.dumps({"0": {"prediction": "1"}, "00": {"prediction": "2"}, "2": {"prediction": "3"}}),
        ": 3 predictions, and none is numbered 1; wanted 0 to 2, as a finished run has them",
    ),
}


@pytest.mark.parametrize("text, message", COMPLETIONS.values(), ids=list(COMPLETIONS))
def test_completions(text: str, message: str, folder: Path, kit: Kit):
    (folder / "c.jsonl").write_text(text)
    assert refused(kit, "grade gsm8k --completions c.jsonl --data problems.jsonl") == f"c.jsonl{message}"


COMMANDS = {
    "evolve": ("evolve --seeds {name} --evolver smollm2-135m-instruct --out o.json", ""),
    "respond": ("respond --instructions {name} --responder smollm2-135m-instruct --out o.json", ""),
    "sft": ("sft --pairs {name} --base smollm2-29l --out tuned", ""),
    "completions": ("grade gsm8k --completions {name} --data problems.jsonl", ""),
    "data": ("grade gsm8k --completions seeds.json --data {name}", ""),
    "answer": ("answer gsm8k --model smollm2-135m-instruct --data {name} --out o.jsonl", ""),
    "manifest": ("run {name}", ""),
    "template": (
        "sft --pairs pairs.json --base smollm2-29l --out tuned --chat-template {name}",
        "; wanted a text file in Jinja",
    ),
}
NO_MANIFEST = (
    "no such file; wanted the path of a manifest, which ends in .toml; `kit reproduce` computes tables of the paper"
)
# A pipe without a writer was waited for, and a device read until the memory was full.
ODD = {
    "pipe": "pipe: a pipe, wanted a plain file",
    "/dev/zero": "/dev/zero: a device, wanted a plain file",
    "zero": "zero: a device, wanted a plain file",
    "socket": "socket: No such device or address",
    "circle": "circle: Too many levels of symbolic links",
    "nothing": "nothing: No such file or directory",
    "vast": "vast: more than {most} bytes, which no such file has; is it the right one?",
    300 * "x": 300 * "x" + ": File name too long",
}
MOST = {"manifest": "1,048,576", "template": "1,048,576"}


@pytest.mark.parametrize("name", ODD)
@pytest.mark.parametrize("command", COMMANDS)
def test_inputs_that_are_not_plain_files_are_refused(command: str, name: str, folder: Path, kit: Kit):
    import socket

    (folder / "pairs.json").write_text(json.dumps([{"instruction": "a", "output": "b"}]))
    os.mkfifo(folder / "pipe")
    (folder / "zero").symlink_to("/dev/zero")
    (folder / "circle").symlink_to("circle")
    with (folder / "vast").open("wb") as file:
        file.truncate(20 * 2**30)  # a hole: it takes no disk
    with socket.socket(socket.AF_UNIX) as opened:
        opened.bind("socket")
        words, wanted = COMMANDS[command]
        printed = refused(kit, words.format(name=name))
    message = ODD[name].format(most=MOST.get(command, "4,294,967,296")) + wanted
    if command == "manifest" and not os.path.lexists(name):
        message = f"{name}: {NO_MANIFEST}"
    assert printed == (f"--chat-template {message}" if command == "template" else message)


@pytest.mark.parametrize("command", ["evolve", "respond", "sft"])
def test_a_folder_in_place_of_a_file(command: str, folder: Path, kit: Kit):
    assert refused(kit, COMMANDS[command][0].format(name="base")) == "base: a folder, wanted a plain file"


def test_a_file_name_that_is_not_utf8(folder: Path, kit: Kit):
    """Such a name ended in a traceback: pydantic and JSON take only whole characters."""
    name = os.fsdecode(b"caf\xe9.json")
    (folder / name).write_text('[{"instruction": "a"}]')
    printed = refused(kit, f"evolve --seeds {name} --evolver smollm2-135m-instruct --out o.json")
    assert printed == "caf\\udce9.json: a file's name is UTF-8 text; rename the file"


def test_a_file_name_with_terminal_escapes(folder: Path):
    path = folder / "a\n\x1b[31m\u202eb.json"
    path.write_text("[1]")
    with pytest.raises(RequestError) as error:
        read_instructions(path, "alpaca", "x")
    assert str(error.value) == f"{folder}/a\\n\\x1b[31m\\u202eb.json[0]: found int, wanted an object"


OPTIONS = {
    "rounds": ("evolve", "--rounds 1000000000", "--rounds 1000000000: wanted 1 to 100"),
    "tokens": (
        "respond",
        f"--max-tokens 1{50 * '0'}",
        "--max-tokens a whole number of about 51 digits: wanted 1 to 100,000,000",
    ),
    "seed below 0": ("evolve", "--seed -1", "--seed -1: wanted 0 to 4,294,967,295, which is what numpy takes"),
    "seed": ("sft", "--seed 4294967296", "--seed 4294967296: wanted 0 to 4,294,967,295, which is what numpy takes"),
    "epochs": ("sft", "--epochs 1000000", "--epochs 1000000: wanted 1 to 1,000"),
    "batch": ("sft", "--global-batch-size 9999999", "--global-batch-size 9999999: wanted 1 to 1,000,000"),
    "length": ("sft", "--max-length 999999999", "--max-length 999999999: wanted 1 to 100,000,000"),
    "rank": ("sft", "--lora-rank 65537", "--lora-rank 65537: wanted 0 (tunes every weight) to 65,536"),
    "rate": ("sft", "--learning-rate 1e400", "--learning-rate inf: wanted above 0, up to 1"),
    "warm-up": ("sft", "--warmup-ratio nan", "--warmup-ratio nan: wanted 0, or more and below 1"),
    "scale": (
        "evolve",
        f"--scale {9999 * 'x'}",
        f"no scale named '{117 * 'x'}...'; known: mini, one-80gb, one-gpu, paper, smoke",
    ),
    "scenario": (
        "evolve",
        "--scenario ../evol_instruct",
        "no scenario named '../evol_instruct'; did you mean 'evol_instruct'?",
    ),
    "out is a device": ("evolve", "--out /dev/null", "--out /dev/null: is there already; name another, or remove it"),
    "out is a pipe": ("evolve", "--out pipe", "--out pipe: is there already; name another, or remove it"),
    "out is a link to nothing": (
        "evolve",
        "--out dangling",
        "--out dangling: is there already; name another, or remove it",
    ),
    "out is in a circle": (
        "evolve",
        "--out circle/o.json",
        "--out circle/o.json: its links lead in a circle; name the folder itself",
    ),
    "out is in a file": ("evolve", "--out seeds.json/o", "--out seeds.json/o: no folder {folder}/seeds.json"),
    "out is too long": (
        "evolve",
        f"--out {250 * 'x'}",
        f"--out {250 * 'x'}: File name too long; name one that can be written",
    ),
    "field of many steps": (
        "grade",
        f"--field {200 * 'a.'}a",
        f"--field {58 * 'a.'}a...: wanted 100 steps and 4,000 characters at most",
    ),
}


@pytest.mark.parametrize("command, option, message", OPTIONS.values(), ids=list(OPTIONS))
def test_options(command: str, option: str, message: str, folder: Path, kit: Kit):
    os.mkfifo(folder / "pipe")
    (folder / "dangling").symlink_to("nowhere")
    (folder / "circle").symlink_to("circle")
    assert refused(kit, with_option(STARTS[command], option)) == message.replace("{folder}", str(folder))


def test_a_half_written_file_that_is_a_link_is_removed_and_not_followed(folder: Path):
    from kit.cli.placing import check_out

    (folder / "there").mkdir()
    (folder / "there" / "kept").write_text("x")
    (folder / ".o.json.partial").symlink_to("there")
    check_out(folder / "o.json")
    assert ((folder / "there" / "kept").read_text(), (folder / ".o.json.partial").is_symlink()) == ("x", False)


def test_an_output_that_appears_during_the_run_is_not_overwritten(folder: Path):
    """The other output was replaced; where it was a folder, the computed result was lost."""
    from kit.cli.placing import place

    out = folder / "o.json"

    def write(path: Path) -> None:
        path.write_text("computed")
        out.write_text("somebody's")

    with pytest.raises(KitError) as error:
        place(out, write)
    assert str(error.value) == (
        f"--out {out}: came to be there while the command ran, and was left alone; what was computed is in "
        f"{folder}/.o.json.partial"
    )
    assert (out.read_text(), (folder / ".o.json.partial").read_text()) == ("somebody's", "computed")


def test_numbers_are_printed_before_the_file_that_cannot_be_written(
    folder: Path, kit: Kit, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
):
    """The grades were lost with the file, after an hour of work in the sandbox."""
    (folder / "c.jsonl").write_text("".join(json.dumps({"id": n, "output": f"{n + 1}"}) + "\n" for n in range(3)))
    printed = list[str]()

    def full(out: Path, write: Any) -> None:
        printed.append(capsys.readouterr().out)
        raise KitError(f"--out {out}: No space left on device; nothing was written there")

    monkeypatch.setattr(processes, "command", launch.command)
    monkeypatch.setattr("kit.cli.grading.place", full)
    code, message = kit("grade gsm8k --completions c.jsonl --data problems.jsonl --out g.jsonl")
    assert (code, message) == (1, "error: --out g.jsonl: No space left on device; nothing was written there\n")
    assert printed[0].startswith("gsm8k                             3 of 3 items")


def message(path: Path) -> str:
    """Return the reason why a file of completions can't be read."""
    problems = [Problem(id="0", data={"question": "1 + 1?"})]
    with pytest.raises(RequestError) as error:
        read_completions(path, problems)
    return str(error.value)


SHOWN = {
    "a text": (300 * "x", f"'{117 * 'x'}...'"),
    "a list": (list(range(20)), "[0, 1, 2, 3, 4, 5, 6, 7, ...]"),
    "a number": (10**5000, "a whole number of about 5,001 digits"),
    "a number in a list": ([-(10**5000)], "[a whole number of about 5,001 digits]"),
    "small things": ([1, "a", None, 2.5, {"b": True}], "[1, 'a', None, 2.5, {'b': True}]"),
    "a control character": ("a\x1b\u202e", "'a\\x1b\\u202e'"),
}


@pytest.mark.parametrize("value, text", SHOWN.values(), ids=list(SHOWN))
def test_values_in_messages(value: object, text: str):
    assert shown(value) == text


def test_a_value_as_deep_as_python_goes_is_shown():
    """The function repr() raises a RecursionError on such a value."""
    deep: list[Any] = []
    for _ in range(100_000):
        deep = [deep]
    assert (shown(deep), len(shown([[60 * "x"] * 8] * 8))) == ("[[[[[...]]]]]", 400)


def test_names_in_messages():
    assert one_line("a\nb\u202e\x1b[31m\ud800") == "a\\nb\\u202e\\x1b[31m\\ud800"
    assert one_line(100 * "x", 10) == "xxxxxxx..."
    assert did_you_mean("x" * 61, ["x" * 60]) == f"; known: {60 * 'x'}"
    assert did_you_mean("zz", [f"a{n:02}" for n in range(60)]).endswith("a48, a49, 10 more")
