"""Completion in bash, zsh and fish through typer: fast, and silent where a manifest is broken."""

import json
import os
import re
import shlex
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from kit import registry
from kit.catalogue import Catalogue, manifests_folder, paper
from kit.cli import completing, main
from kit.containers import RUNTIMES
from kit.files.formats import FORMATS
from kit.plan import planning

ROOT = Path(__file__).resolve().parent.parent
CATALOGUE = Catalogue(manifests_folder())
SHELLS = ("bash", "zsh", "fish")
Complete = Callable[[str, str], list[str]]


def variables(shell: str, line: str, *, action: str = "get-args") -> dict[str, str]:
    """Return the variables that a shell's script sets when the tab key is pressed at the end of a line."""
    words = shlex.split(line) + [""] * line.endswith(" ")
    if shell == "bash":
        return {"_KIT_COMPLETE": "complete_bash", "COMP_WORDS": "\n".join(words), "COMP_CWORD": str(len(words) - 1)}
    asked = {"_KIT_COMPLETE": f"complete_{shell}", "_TYPER_COMPLETE_ARGS": line}
    return asked | ({"_TYPER_COMPLETE_FISH_ACTION": action} if shell == "fish" else {})


def words_in(shell: str, out: str) -> list[str]:
    """Return the words that a shell finds in the answer; without any, zsh is told to complete files."""
    if shell == "zsh":
        return re.findall(r'^(?:_arguments \'\*: :\(\()?"([^"]*)"', out, flags=re.M)
    return [line.partition("\t")[0] for line in out.splitlines() if line]


@pytest.fixture
def complete(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Complete:
    """Complete a line in this process; nothing may be printed on standard error."""

    def call(shell: str, line: str) -> list[str]:
        for name, value in variables(shell, line).items():
            monkeypatch.setenv(name, value)
        monkeypatch.setattr(sys, "argv", ["kit"])
        monkeypatch.setitem(sys.modules, "rich", sys.modules.get("rich"))  # what is left out is there again afterwards
        with pytest.raises(SystemExit):
            main()
        out, err = capsys.readouterr()
        assert err == ""
        return words_in(shell, out)

    return call


MODELS = sorted(CATALOGUE.models)
SCALES = ["auto", *CATALOGUE.names("scales")]
NAMES = CATALOGUE.names("tables")
TABLES = [*dict.fromkeys([*(name.removeprefix("table-") for name in NAMES), *NAMES, planning.ALL])]
SETTINGS = [name for name in paper.names() if name.startswith("table-") and paper.table(name).prints_settings]
NAMED_TABLES = [name for name in NAMES if name.startswith("table-")]
LINES = {
    "a command": ("kit repr", ["reproduce"]),
    "tables by number": ("kit plan ", TABLES),
    "tables by name": ("kit report table-", NAMED_TABLES),
    "all tables": ("kit reproduce a", ["all"]),
    "tables to check": ("kit verify ta", [*NAMED_TABLES, *SETTINGS]),
    "tables of settings": ("kit verify 6", ["6"]),
    "tables to keep": ("kit store gc --keep t", [*NAMED_TABLES, "trajectories"]),
    "scales": ("kit reproduce 2 --scale ", SCALES),
    "a scale": ("kit plan 2 --scale one", ["one-80gb", "one-gpu"]),
    "the scale of one's own files": ("kit sft --scale sm", ["smoke"]),
    "the scale of a new manifest": ("kit new mine.toml --scale pa", ["paper"]),
    "runtimes": ("kit run mine.toml --runtime ", list(RUNTIMES)),
    "a runtime of one job": ("kit job abc --runtime pod", ["podman"]),
    "models": ("kit sft --base ", MODELS),
    "evolvers": ("kit evolve --evolver smollm2-36", [name for name in MODELS if name.startswith("smollm2-36")]),
    "responders": ("kit respond --responder qwen-2-", [name for name in MODELS if name.startswith("qwen-2-")]),
    "models that answer": ("kit answer gsm8k --model lla", [name for name in MODELS if name.startswith("lla")]),
    "scenarios": ("kit evolve --scenario ", registry.names("scenarios")),
    "formats": ("kit evolve --format ", list(FORMATS)),
    "a format": ("kit sft --format sh", ["sharegpt"]),
    "benchmarks": ("kit answer ", registry.names("benchmarks")),
    "a benchmark": ("kit grade hu", ["humaneval"]),
    "kinds of manifests": ("kit schema ex", ["experiments"]),
    "nothing that begins so": ("kit plan 2 --scale x", []),
}


@pytest.mark.parametrize("shell", SHELLS)
@pytest.mark.parametrize(("line", "wanted"), LINES.values(), ids=list(LINES))
def test_names_that_are_completed(shell: str, line: str, wanted: list[str], complete: Complete):
    assert sorted(complete(shell, line)) == sorted(wanted)


@pytest.mark.parametrize("shell", SHELLS)
def test_file_names_are_completed_by_the_shell(shell: str, complete: Complete):
    # a manifest of one's own stands where a table does
    for line in ("kit run mi", "kit plan ./mi", "kit sft --base ./tu"):
        assert complete(shell, line) == []


def broken(folder: Path, text: str) -> None:
    shutil.copytree(ROOT / "manifests", folder)
    for name in ("models.toml", "scales/smoke.toml"):
        (folder / name).write_text(text, encoding="utf-8", errors="surrogatepass")


BROKEN = {
    "no TOML": "[models\n",
    "no table": "models = 3\n",
    "brackets": "a = " + "[" * 5000,
    "no models": "schema = 1\n",
    "no UTF-8": "a = '\ud800'\n",
}


@pytest.mark.parametrize("text", BROKEN.values(), ids=list(BROKEN))
def test_a_broken_manifest_gives_no_names_and_no_message(
    text: str, complete: Complete, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    broken(tmp_path / "manifests", text)
    monkeypatch.setattr(completing, "manifests", lambda: tmp_path / "manifests")
    for shell in SHELLS:
        assert complete(shell, "kit sft --base sm") == []
        assert complete(shell, "kit plan 2 --scale sm") == ["smoke"]  # by the file's name


def test_no_manifests_at_all(complete: Complete, tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(completing, "manifests", lambda: tmp_path)
    for line in ("kit sft --base ", "kit plan t", "kit grade gsm8k x "):
        assert complete("bash", line) == []


def test_the_folder_is_the_catalogues():
    assert completing.manifests() == manifests_folder()


@pytest.mark.parametrize(
    ("shell", "line", "word"),
    [
        ("bash", "kit sft --base smollm2-36l", "smollm2-36l"),
        ("zsh", "kit repr", "reproduce"),
        ("fish", "kit do", "doctor"),
    ],
)
def test_nothing_slow_is_imported(shell: str, line: str, word: str):
    # the shell asks at every press of the tab key
    code = (
        "import atexit, json, sys; from kit.cli import main; sys.argv = ['kit']; "
        "imported = lambda: json.dumps([name for name in sys.modules if sys.modules[name]]); "
        "atexit.register(lambda: print(imported(), file=sys.stderr)); main()"
    )
    environment = {**os.environ, "PYTHONPATH": str(ROOT), **variables(shell, line)}
    words = [sys.executable, "-c", code]
    done = subprocess.run(words, env=environment, text=True, capture_output=True, check=True)
    assert words_in(shell, done.stdout) == [word]
    slow = {
        "torch",
        "transformers",
        "vllm",
        "numpy",
        "rich",
        "kit.catalogue.manifest",
        "kit.reading.documents",
        "kit.plan.planning",
    }
    assert slow & set(json.loads(done.stderr)) == set()


# the scripts


@pytest.fixture(params=SHELLS)
def shell(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> str:
    """The shell that `kit` is typed in, with a home folder of its own."""
    monkeypatch.setattr("shellingham.detect_shell", lambda: (request.param, f"/bin/{request.param}"))
    monkeypatch.setenv("HOME", str(tmp_path))
    return str(request.param)


SCRIPT = {"bash": "complete -o default -F", "zsh": "#compdef kit", "fish": "complete --command kit"}
PLACES = {"bash": ".bash_completions/kit.sh", "zsh": ".zfunc/_kit", "fish": ".config/fish/completions/kit.fish"}


def run_main(word: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "argv", ["kit", word])
    with pytest.raises(SystemExit) as ended:
        main()
    assert not ended.value.code


def test_the_script_is_shown(shell: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]):
    run_main("--show-completion", monkeypatch)
    out = capsys.readouterr().out
    assert SCRIPT[shell] in out
    assert f"_KIT_COMPLETE=complete_{shell}" in out


def test_the_script_is_installed(
    shell: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
):
    run_main("--install-completion", monkeypatch)
    assert f"{shell} completion installed in {tmp_path / PLACES[shell]}" in capsys.readouterr().out
    assert SCRIPT[shell] in (tmp_path / PLACES[shell]).read_text(encoding="utf-8")


def test_in_a_real_bash(tmp_path: Path):
    bash = shutil.which("bash")
    if bash is None:
        pytest.skip("no bash: its script was not run")
    program = tmp_path / "kit"
    program.write_text(
        f"#!{sys.executable}\nimport sys\nsys.path.insert(0, {str(ROOT)!r})\nsys.argv[0] = 'kit'\n"
        "from kit.cli import main\nmain()\n"
    )
    program.chmod(0o755)
    lines = (
        'eval "$(kit --show-completion)"',
        'press() { COMP_WORDS=("$@"); COMP_CWORD=$(($# - 1)); _kit_completion kit; echo "${COMPREPLY[*]}"; }',
        'press kit plan 2 --scale ""',
        "press kit grade hu",
    )
    environment = {**os.environ, "PATH": f"{tmp_path}:{os.environ['PATH']}"}
    words = [bash, "--norc", "-c", "\n".join(lines)]
    done = subprocess.run(words, env=environment, text=True, capture_output=True, check=True)
    assert (done.stdout.splitlines(), done.stderr) == ([" ".join(SCALES), "humaneval"], "")
