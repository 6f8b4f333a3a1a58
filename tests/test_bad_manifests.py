"""Bad manifests: each fault is told with the file, the path of the key and what was wanted, and nothing is run."""

import hashlib
import json
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from kit.cli import main
from kit.run import processes

MANIFEST = (Path(__file__).parent / "data" / "mine.toml").read_text(encoding="utf-8")
SEEDS = json.dumps([{"instruction": "Name a colour."}])
SHA = hashlib.sha256(SEEDS.encode()).hexdigest()
BLOB = hashlib.sha1(f"blob {len(SEEDS)}\0{SEEDS}".encode()).hexdigest()


@pytest.fixture
def refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> Callable[[str | bytes], str]:
    """The message that `kit run my.toml` ends with, for a text of my.toml."""
    monkeypatch.chdir(tmp_path)
    (tmp_path / "seeds.json").write_text(SEEDS, encoding="utf-8")
    monkeypatch.setattr(processes, "command", lambda *_, **__: pytest.fail("a worker was started"))
    monkeypatch.setattr(sys, "argv", ["kit", "run", "my.toml", "--store", "store"])

    def call(text: str | bytes) -> str:
        (tmp_path / "my.toml").write_bytes(text.encode() if isinstance(text, str) else text)
        with pytest.raises(SystemExit) as ended:
            main()
        assert ended.value.code == 2
        assert not (tmp_path / "store").exists()
        return capsys.readouterr().err.removeprefix("error: ").removesuffix("\n")

    return call


CHANGES = {
    "unknown key": (
        "learning_rate = 2e-5",
        "learning_rat = 2e-5",
        "my.toml: experiment[0].sft.learning_rate: missing; it has no default\n"
        "my.toml: experiment[0].sft.learning_rat: no such key; did you mean 'learning_rate'?",
    ),
    "unknown key of a table": (
        "[seeds]",
        "[seed]",
        "my.toml: seed: no such key; did you mean 'seeds'?",
    ),
    "unknown key of a data set": (
        'licence = "mine"',
        'licence = "mine"\nsha = "0"',
        "my.toml: datasets.mine.sha: no such key; did you mean 'sha256'?",
    ),
    "wrong type": (
        "epochs = 1",
        'epochs = "1"',
        "my.toml: experiment[0].sft.epochs: input should be a valid integer, found '1'",
    ),
    "yes for a number": (
        "seed = 42",
        "seed = true",
        "my.toml: experiment[0].seed: input should be a valid integer, found True",
    ),
    "a table for a list": (
        'base = ["smollm2-29l"]',
        'base = { a = "smollm2-29l" }',
        "my.toml: experiment[0].base: input should be a valid string",
    ),
    "a value twice": (
        'base = ["smollm2-29l"]',
        'base = ["smollm2-29l", "smollm2-29l"]',
        "my.toml: experiment[0]: base: 'smollm2-29l' stands twice",
    ),
    "one value of several out of range": (
        "temperature = 0.7",
        "temperature = [0, 0.7, 7.0]",
        "my.toml: experiment[0].evolve.temperature[2]: input should be less than or equal to 2, found 7.0",
    ),
    "missing key": ("seed = 42\n", "", "my.toml: experiment[0].seed: missing; it has no default"),
    "no evolver": (
        'evolver = ["smollm2-135m-instruct"]',
        "evolver = []",
        "my.toml: experiment[0].evolver: list should have at least 1 item after validation, not 0, found []",
    ),
    "out of range": (
        "temperature = 0.7",
        "temperature = 7.0",
        "my.toml: experiment[0].evolve.temperature: input should be less than or equal to 2, found 7.0",
    ),
    # went into the plan, and the job's key could not be computed
    "no number": (
        "learning_rate = 2e-5",
        "learning_rate = inf",
        "my.toml: experiment[0].sft.learning_rate: input should be a finite number, found inf",
    ),
    "not TOML": (
        'title = "mine"',
        'title = "mine',
        "my.toml: not TOML: Illegal character '\\n' (at line 2, column 14)",
    ),
    "another schema": ("schema = 1", "schema = 2", "my.toml: schema: found 2, this kit reads schema = 1"),
    "no schema": ("schema = 1\n", "", "my.toml: schema: found None, this kit reads schema = 1"),
    "the name that a round had": (
        "round = 2",
        "rounds = 2",
        "my.toml: experiment[0]: rounds is called round now: the round that is trained on, or a list of rounds; those "
        "before it are planned by themselves",
    ),
    "a round without an evolver": (
        'evolver = ["smollm2-135m-instruct"]\n',
        "",
        "my.toml: experiment[0]: evolver is missing; it may be left out where round = 0 alone, the seed data",
    ),
    "no benchmark": (
        'benchmarks = ["gsm8k"]\n',
        "",
        "my.toml: experiment[0].benchmarks: missing; without a view they are the table's columns",
    ),
    "by no axis": (
        "[experiment.sft]",
        "[experiment.by.bases.smollm2-29l]\nseed = 1\n\n[experiment.sft]",
        "my.toml: experiment[0]: by.bases: no such axis; did you mean 'base'?",
    ),
    "by no value": (
        "[experiment.sft]",
        "[experiment.by.base.smollm2-30l]\nseed = 1\n\n[experiment.sft]",
        "my.toml: experiment[0]: by.base: the axis has no value 'smollm2-30l'; did you mean 'smollm2-29l'?",
    ),
    "by what brings an axis along": (
        "[experiment.sft]",
        "[experiment.by.base.smollm2-29l]\nevolver = 'x'\n\n[experiment.sft]",
        "my.toml: experiment[0]: by.base.smollm2-29l: evolver is given twice: it is an axis, or brought along by one, "
        "evolver",
    ),
    "by an unknown key": (
        "[experiment.sft]",
        "[experiment.by.base.smollm2-29l]\nsft.learning_rat = 1e-5\n\n[experiment.sft]",
        "my.toml: experiment[0].by.base.smollm2-29l.sft.learning_rat: no such key; did you mean 'learning_rate'?",
    ),
    # told without the key, or as a fault of the cast
    "by a misspelt model": (
        "[experiment.sft]",
        "[experiment.by.base.smollm2-29l]\nresponder = 'smolm2-36l'\n\n[experiment.sft]",
        "my.toml: experiment[0].by.base.smollm2-29l.responder: no model named 'smolm2-36l'; did you mean "
        "'smollm2-36l'?",
    ),
    "by a misspelt scenario": (
        "[experiment.sft]",
        "[experiment.by.base.smollm2-29l]\nscenario = 'evol-instruct'\n\n[experiment.sft]",
        "my.toml: experiment[0].by.base.smollm2-29l.scenario: no scenario named 'evol-instruct'; did you mean "
        "'evol_instruct'?",
    ),
    # "no such key", with the keys that there are and no word of the right place
    "a key of an inner table": (
        "seed = 42",
        "seed = 42\nlearning_rat = 1\nepochs = 2\ntemperature = [0, 1]",
        "my.toml: experiment[0].learning_rat: no such key; known: against, base, benchmarks, breadth, by, embedder, "
        "evolve, evolver, id, judge, kept_fraction, options, respond, responder, rewarder, round, scenario, scorer, "
        "seed, seeds, selection, sft\n"
        "my.toml: experiment[0].epochs: no such key; did you mean sft.epochs?\n"
        "my.toml: experiment[0].temperature: no such key; did you mean evolve.temperature or respond.temperature?",
    ),
    "a key below another header": (
        "max_length_tokens = 256",
        "max_length_tokens = 256\nbreadth = true",
        "my.toml: experiment[0].sft.breadth: no such key; did you mean experiment[0].breadth? A key below a table's "
        "header belongs to that table; write it above",
    ),
    "a list of tables": (
        "evolve = { temperature = 0.7, max_tokens = 8 }",
        "evolve = [{ temperature = 0.7, max_tokens = 8 }]",
        "my.toml: experiment[0].evolve: wanted one table; the lists stand in its fields, found [{'max_tokens': 8, "
        "'temperature': 0.7}]",
    ),
    "one pair of brackets": (
        "[[experiment]]",
        "[view]\ncolumns = []\n[[experiment]]",
        "my.toml: view: wanted a list of tables, found one table; its header has two brackets, [[view]]",
    ),
    "one pair of brackets in another table": (
        "[experiment.sft]",
        "[[view]]\n[view.columns]\nmeasures = ['gsm8k']\n\n[experiment.sft]",
        "my.toml: view[0].columns: wanted a list of tables, found one table; its header has two brackets, "
        "[[view.columns]]",
    ),
    # "input should be a valid list"
    "an axis without quotation marks": (
        "[experiment.sft]",
        "[[view]]\nrows.respond.temperature = [0]\ncolumns = [{ measures = ['gsm8k'] }]\n\n[experiment.sft]",
        'my.toml: view[0].rows: a name with a dot stands in quotation marks, "respond.temperature"',
    ),
    # taken, and not looked at
    "a claim of the paper": (
        "[experiment.sft]",
        "[[view]]\nclaim = []\ncolumns = [{ measures = ['gsm8k'] }]\n\n[experiment.sft]",
        "my.toml: view[0].claim: no such key; known: at, columns, draw, experiment, id, rows, title",
    ),
    # told by the worker, after the models were fetched
    "another benchmark's problems": (
        "[seeds]",
        "[datasets.mini-gsm8k]\nfile = 'seeds.json'\nformat = 'alpaca'\nlicence = 'x'\n\n[seeds]",
        "my.toml: benchmarks.gsm8k.dataset: mini-gsm8k has the format 'alpaca'; wanted a data set with the format "
        "'gsm8k'",
    ),
    "problems that can't be read": (
        "[seeds]",
        "[datasets.mini-gsm8k]\nfile = 'seeds.json'\nformat = 'gsm8k'\nlicence = 'x'\n\n[seeds]",
        "my.toml: datasets.mini-gsm8k: {folder}/seeds.json[0]: no 'question'; found instruction, wanted question, "
        "answer",
    ),
    "by what does not fit": (
        "[experiment.sft]",
        "[experiment.by.base.smollm2-29l]\nsft.tuning = 'lora'\n\n[experiment.sft]",
        "my.toml: experiment[0].sft: tuning = 'lora' and the table lora belong together",
    ),
    "a view without a column": (
        "[experiment.sft]",
        "[[view]]\nrows.base = ['smollm2-29l']\ncolumns = []\n\n[experiment.sft]",
        "my.toml: view[0].columns: list should have at least 1 item after validation, not 0, found []",
    ),
    "lora without tuning": (
        "epochs = 1",
        "epochs = 1\nlora = { rank = 8, alpha = 8 }",
        "my.toml: experiment[0].sft: tuning = 'lora' and the table lora belong together",
    ),
    "negative rows": (
        'mine = { dataset = "mine" }',
        'mine = { dataset = "mine", rows = -1 }',
        "my.toml: seeds.mine.rows: input should be greater than 0, found -1",
    ),
    "two sources": (
        'file = "seeds.json"',
        'file = "seeds.json"\nbundled = "mini-alpaca.json"',
        "my.toml: datasets.mine: wanted one of bundled, url, file; found bundled and file",
    ),
    "an id that is no name": (
        'id = "one"',
        'id = "../one"',
        "my.toml: experiment[0].id: string should match pattern '^[a-z0-9][a-z0-9._-]*$', found '../one'",
    ),
    # was looked up among the scale's cast, and told as a fault of smoke.toml
    "misspelt evolver": (
        'evolver = ["smollm2-135m-instruct"]',
        'evolver = ["smollm2-135m-instrct"]',
        "my.toml: experiment[0].evolver[0]: no model named 'smollm2-135m-instrct'; "
        "did you mean 'smollm2-135m-instruct'?",
    ),
    # was left out of the table, with a note
    "misspelt base": (
        'base = ["smollm2-29l"]',
        'base = ["smollm2-31l", "smolm2-29l"]',
        "my.toml: experiment[0].base[1]: no model named 'smolm2-29l'; did you mean 'smollm2-29l'?",
    ),
    # the name alone was told, not the file and the key where it stands
    "misspelt benchmark": (
        'benchmarks = ["gsm8k"]',
        'benchmarks = ["gsm8k", "humanevl"]',
        "my.toml: experiment[0].benchmarks[1]: no benchmark named 'humanevl'; did you mean 'humaneval'?",
    ),
    "misspelt scenario": (
        'scenario = "evol_instruct"',
        'scenario = "evol-instruct"',
        "my.toml: experiment[0].scenario: no scenario named 'evol-instruct'; did you mean 'evol_instruct'?",
    ),
    "misspelt data set": (
        'mine = { dataset = "mine" }',
        'mine = { dataset = "mini" }',
        "my.toml: seeds.mine: no data set named 'mini'; did you mean 'mine'?",
    ),
    "misspelt seed set": (
        'seeds = "mine"',
        'seeds = "mines"',
        "my.toml: experiment[0].seeds: no seed set named 'mines'; did you mean 'mine'?",
    ),
    "misspelt scale": (
        'scale = "smoke"',
        'scale = "smoky"',
        "my.toml: scale: no scale named 'smoky'; did you mean 'smoke'?",
    ),
    "neither a scale nor a name of one": (
        'scale = "smoke"',
        "scale = 3",
        "my.toml: scale: wanted a table, or the name of a scale, found 3",
    ),
    "text for a table": (
        'mine = { dataset = "mine" }',
        'mine = "mine"',
        "my.toml: seeds.mine: wanted a table, found 'mine'",
    ),
    "data file that is not there": (
        'file = "seeds.json"',
        'file = "seed.json"',
        "my.toml: datasets.mine: data file {folder}/seed.json: No such file or directory",
    ),
    "data file of another sha256": (
        'file = "seeds.json"',
        f'file = "seeds.json"\nsha256 = "{"0" * 64}"',
        f"my.toml: datasets.mine: {{folder}}/seeds.json: sha256 is {SHA}, the manifest says {'0' * 64}; another file?",
    ),
    "data file of another git blob": (
        'file = "seeds.json"',
        f'file = "seeds.json"\ngit_blob = "{"1" * 40}"',
        f"my.toml: datasets.mine: {{folder}}/seeds.json: git blob id is {BLOB}, "
        f"the manifest says {'1' * 40}; another file?",
    ),
    # it was taken, and the right file called damaged after it had been fetched
    "half a sha256": (
        'file = "seeds.json"',
        'file = "seeds.json"\nsha256 = "dbb217"',
        "my.toml: datasets.mine.sha256: string should match pattern '^[0-9a-f]{64}$', found 'dbb217'",
    ),
    "a sha256 for a git blob": (
        'file = "seeds.json"',
        f'file = "seeds.json"\ngit_blob = "{SHA}"',
        f"my.toml: datasets.mine.git_blob: string should match pattern '^[0-9a-f]{{40}}$', found '{SHA}'",
    ),
}


@pytest.mark.parametrize("good, bad, message", CHANGES.values(), ids=list(CHANGES))
def test_manifests(good: str, bad: str, message: str, refused: Callable[[str | bytes], str], tmp_path: Path):
    assert good in MANIFEST
    assert refused(MANIFEST.replace(good, bad, 1)) == message.replace("{folder}", str(tmp_path))


def test_a_manifest_that_is_not_utf8(refused: Callable[[str | bytes], str]):
    text = MANIFEST.replace("mine", "caf\xe9", 1).encode("latin-1")
    assert refused(text) == "my.toml: line 2: byte 12 (0xe9) is not UTF-8; save the file as UTF-8"


def test_seeds_that_can_not_be_read(refused: Callable[[str | bytes], str], tmp_path: Path):
    # told by the worker, after the models were fetched
    (tmp_path / "bad.json").write_text('[{"instruction": "a"}, {"text": "b"}]', encoding="utf-8")
    text = MANIFEST.replace('file = "seeds.json"', 'file = "bad.json"')
    assert refused(text) == (
        f"my.toml: datasets.mine: {tmp_path}/bad.json[1]: no 'instruction'; found text, wanted instruction, input, "
        "output"
    )


def test_an_experiment_twice(refused: Callable[[str | bytes], str]):
    # the second one took the first one's place without a word
    text = MANIFEST + MANIFEST[MANIFEST.index("[[experiment]]") :]
    assert refused(text) == "my.toml: experiment: the id 'one' stands twice; ids must differ"


def test_a_fault_in_a_scale_within_a_manifest(refused: Callable[[str | bytes], str]):
    # a second line said that the scale should be a string
    scale = (Path(__file__).parent.parent / "manifests" / "scales" / "smoke.toml").read_text(encoding="utf-8")
    body = "".join(f"[scale.{line[1:]}" if line.startswith("[") else line for line in scale.splitlines(keepends=True))
    text = MANIFEST.replace('scale = "smoke"\n', "") + "\n[scale]\n" + body.replace("max_num_seqs", "max_num_seq")
    assert refused(text) == "my.toml: scale.engine.max_num_seq: no such key; did you mean 'max_num_seqs'?"
