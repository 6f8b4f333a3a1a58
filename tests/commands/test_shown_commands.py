"""Every command line that README, docs/own-data.md and the Makefile's help show, typed as it stands in a fresh clone.

They are read out of the texts, so that tomorrow's is typed too. Models, runtimes and builders are stand-ins
(stand_ins.py); the last test types README's lines on containers with real ones, in half an hour.
"""

import json
import os
import re
import shlex
import shutil
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import pytest

ROOT = Path(__file__).resolve().parents[2]
STAND_INS = Path(__file__).parent / "stand_ins.py"
PROGRAMS = ("make", "kit", "nox", "python", "python3", "podman", "docker", "apptainer")
RUNTIMES = ("podman", "docker", "buildah", "apptainer")
PARTS = {"kit", "make", "nox"}
"""Words that are no command line when they stand alone."""
KIT = ("job", "store")
"""Commands that README also writes without the program's name: `store list`."""


# reading them out


def blocks(markdown: str) -> Iterator[list[str]]:
    """Yield each code block's lines, indented or fenced."""
    text = re.sub(
        r"^```.*\n([\s\S]*?)^```$", lambda found: re.sub("^", "    ", found[1], flags=re.M), markdown, flags=re.M
    )
    for found in re.findall(r"(?:^ {4}\S.*\n(?:^ *\n(?=^ {4}))?)+", text, flags=re.M):
        yield [line.strip() for line in found.splitlines() if line.strip()]


def in_blocks(markdown: str) -> list[str]:
    """Return the lines of code blocks that start with a program's name, without their comments."""
    lines = [line for block in blocks(markdown) for line in block]
    return [re.sub(r"\s+#.*", "", line) for line in lines if line.split()[0] in PROGRAMS]


def in_spans(markdown: str) -> list[str]:
    """Return the code spans that are command lines: `kit run mine.toml`; a program's name alone is none."""
    prose = re.sub(r"^ {4}.*$|^```[\s\S]*?^```$", "", markdown, flags=re.M)
    spans = [" ".join(span.split()) for span in re.findall(r"`([^`]+)`", prose)]
    spans = [f"kit {span}" if span.split()[0] in KIT and " " in span else span for span in spans]
    return [span for span in spans if span.split()[0] in PROGRAMS and span not in PARTS]


def in_help(text: str) -> list[str]:
    """Return what `make help` shows: each target, with the variables that it gives a value to; and nox sessions."""
    found = []
    for target, about in re.findall(r"^  make (\S+)\s+(.*)$", text, flags=re.M):
        values = re.findall(r"\b([A-Z]+=[^\s:;,)|=]+)(?=[:;,)| ]|$)", about)
        shown = about.partition("(")[0]
        found.append(" ".join(["make", target, *(value for value in values if value in shown)]))
        found += [f"make {target} {value}" for value in values if value not in shown]
        found += [f"nox -s {name}" for names in re.findall(r"nox -s ([\w ]+)", about) for name in names.split()]
    return found


def variants(line: str) -> list[str]:
    """Return every line that one with choices stands for: ``a|b`` is either, ``[--x]`` may be there or not."""
    if found := re.search(r"\s*\[([^\]]+)\]", line):
        before, after = line[: found.start()], line[found.end() :]
        return [*variants(before + after), *variants(f"{before} {found[1]}{after}")]
    if found := re.search(r"\S*\|\S*", line):
        return [way for word in found[0].split("|") for way in variants(line.replace(found[0], word))]
    return [line]


README = (ROOT / "README.md").read_text(encoding="utf-8")
HELP = "".join(
    f"  make {target} {about}\n"
    for target, about in re.findall(r"^([a-z-]+):.*## (.*)$", (ROOT / "Makefile").read_text("utf-8"), flags=re.M)
)
"""The text that `make help` prints."""
SHOWN = list(dict.fromkeys(way for line in [*in_blocks(README), *in_spans(README)] for way in variants(line)))
OWN_DATA = in_blocks((ROOT / "docs" / "own-data.md").read_text(encoding="utf-8"))
"""The six commands that lead from a file of one's own to a tuned model."""
SHOWN += [line for line in OWN_DATA if line not in SHOWN]
SHOWN += [line for line in in_help(HELP) if line not in SHOWN]
NAMES = {way for line in in_spans(README) for way in variants(line)} - set(in_blocks(README))
"""Shown commands that may be a command's name only: `kit grade` needs more arguments."""
LAST = "make clean"
"""It takes the environment away, and is typed when all else was."""


def test_what_the_texts_show_is_found() -> None:
    """Or a change of their layout would leave nothing to be typed."""
    assert {"make reproduce TABLE=2", "make reproduce TABLE=2 RUNTIME=podman", "make images", "make test"} <= set(SHOWN)
    assert {"kit plan 2 --scale paper", "kit run examples/two-evolvers.toml", "nox -s verify", "kit store gc"} <= set(
        SHOWN
    )
    assert {"kit new mine.toml", "kit run mine.toml", "kit schema"} <= set(SHOWN)
    assert {"make plan TABLE=2 SCALE=paper", "make images IMAGES=cuda", "make reproduce YES=1"} <= set(SHOWN)
    assert len(SHOWN) > 30
    assert [line.split()[1] for line in OWN_DATA] == ["score", "score", "plot", "select", "sft", "answer"]


@pytest.mark.parametrize(
    ("text", "lines"),
    [
        ("    make x   # why\n    seeds ──> evolve\n", ["make x"]),
        ("```sh\nkit plan 2\n```\n", ["kit plan 2"]),
        ("- say `kit\n  plan 2` or `plan`, `kit` and `make -x`\n", ["kit plan 2", "make -x"]),
        ("    kit grade b [--protocol paper] [--json]\n", ["kit grade b", "kit grade b --json",
         "kit grade b --protocol paper", "kit grade b --protocol paper --json"]),
        ("`kit store list|gc`", ["kit store list", "kit store gc"]),
        ("no `code` here\n\n    {'kit': 1}\n", []),
    ],
    ids=["a block and its comment", "a fence", "spans, over a line's end", "may be there", "either", "nothing"],
)  # fmt: skip
def test_command_lines_are_found(text: str, lines: list[str]) -> None:
    assert [way for line in [*in_blocks(text), *in_spans(text)] for way in variants(line)] == lines


@pytest.mark.parametrize(
    ("text", "lines"),
    [
        ("  make x          do it (nox -s a b)\n", ["make x", "nox -s a", "nox -s b"]),
        ("  make x          TABLE=2 SCALE=paper: list\n", ["make x TABLE=2 SCALE=paper"]),
        ("  make x          build (A=b: that one; C=d|e|f)\n", ["make x", "make x A=b", "make x C=d"]),
        ("  make x          T=2: do it (SCALE= YES=1)\n", ["make x T=2", "make x YES=1"]),
    ],
)
def test_the_makefiles_help_is_read(text: str, lines: list[str]) -> None:
    assert in_help(text) == lines


# typing them


@dataclass(frozen=True)
class Clone:
    """A fresh clone, its environment set up, beside a folder of stand-ins."""

    root: Path
    state: Path

    def type(self, line: str, folder: Path | None = None, **variables: str) -> subprocess.CompletedProcess[str]:
        """Type a line into a shell in the clone."""
        environment = {
            "PATH": f"{self.state / 'bin'}:{os.environ['PATH']}",
            "HOME": str(self.state / "home"),
            "PYTHONPATH": str(self.root),
            "STAND_INS": str(self.state),
            **({"DOCKER_ANSWERS": "yes"} if "docker" in line else {}),
            **variables,
        }
        return subprocess.run(
            ["sh", "-c", line],
            cwd=folder or self.root,
            env=environment,
            text=True,
            capture_output=True,
            stdin=subprocess.DEVNULL,
            check=False,
        )

    def runs(self) -> list[dict[str, Any]]:
        """Return the command lines that the runtimes got so far."""
        path = self.state / "runs.jsonl"
        return [json.loads(line) for line in path.read_text("utf-8").splitlines()] if path.exists() else []


def write_program(path: Path, name: str) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(f'#!/bin/sh\nexec {shlex.quote(sys.executable)} {shlex.quote(str(STAND_INS))} {name} "$@"\n')
    path.chmod(0o755)


def clone(folder: Path) -> Clone:
    """Clone this checkout with what is changed in it, and set it up with stand-ins."""
    found = Clone(root=folder / "a clone", state=folder / "stand-ins")
    git = ["git", "-c", "user.name=x", "-c", "user.email=x@example.org"]
    subprocess.run([*git, "clone", "--quiet", str(ROOT), str(found.root)], check=True)
    listed = ["git", "-C", str(ROOT), "ls-files", "-z", "--cached", "--others", "--exclude-standard"]
    for name in subprocess.run(listed, text=True, capture_output=True, check=True).stdout.split("\0")[:-1]:
        if (ROOT / name).is_file():
            (found.root / name).parent.mkdir(parents=True, exist_ok=True)
            shutil.copy(ROOT / name, found.root / name)
        else:
            (found.root / name).unlink(missing_ok=True)
    subprocess.run([*git, "-C", str(found.root), "add", "--all"], check=True)
    subprocess.run([*git, "-C", str(found.root), "commit", "--quiet", "--allow-empty", "-m", "as it is"], check=True)
    venv = found.root / ".venv"
    for name in ("kit", "python"):
        write_program(venv / "bin" / name, name)
    (found.state / "bin").mkdir(parents=True)
    (found.state / "home").mkdir()
    for name in (*RUNTIMES, "python3"):
        write_program(found.state / "bin" / name, name)
    (found.state / "bin" / "kit").symlink_to(venv / "bin" / "kit")  # README: both are in .venv/bin
    (found.state / "bin" / "nox").write_text(f'#!/bin/sh\nexec {shlex.quote(str(venv))}/bin/python -m nox "$@"\n')
    (found.state / "bin" / "nox").chmod(0o755)
    (found.state / "bin" / "nvidia-smi").write_text("#!/bin/sh\nexit 9\n")  # no GPU, whatever this machine has
    (found.state / "bin" / "nvidia-smi").chmod(0o755)
    for name in ("cpu", "dev"):
        digest = subprocess.run(
            ["sha256sum", str(found.root / "requirements" / f"{name}.txt")], text=True, capture_output=True, check=True
        ).stdout[:16]
        (venv / f".kit-{name}-{digest}").write_text(f"{found.root}\n")
    return found


def prepare(made: Clone) -> None:
    """Lay out what README's lines read of a user's own: seeds, a model, apptainer's images."""
    words = [sys.executable, str(ROOT / "tests" / "tiny_model.py"), "save", str(made.state / "model")]
    subprocess.run(words, check=True, capture_output=True)
    shutil.copytree(made.state / "model", made.root / "MODEL")
    seeds = [{"instruction": f"Name {count} rivers.", "output": "The Elbe."} for count in (1, 2, 3)]
    (made.root / "my.json").write_text(json.dumps(seeds), encoding="utf-8")
    (made.root / "images").mkdir()
    for name in ("cpu", "grade"):
        (made.root / "images" / f"{name}.sif").write_text("an image\n")


Typed = dict[str, subprocess.CompletedProcess[str]]


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Clone:
    """The clone that everything is typed in."""
    if sys.platform != "linux" or os.uname().machine != "x86_64":
        pytest.skip("set-up is for Linux x86_64")
    if not (ROOT / ".git").exists():
        pytest.skip("no git checkout: nothing to clone")
    found = clone(tmp_path_factory.mktemp("fresh"))
    prepare(found)
    return found


@pytest.fixture(scope="module")
def typed(made: Clone) -> Typed:
    """Every line, typed in the order of the texts: images are built before jobs run in them, as README has it."""
    found: Typed = {}
    for line in SHOWN:
        if "RUNTIME=" in line:  # or its jobs would be cached: the runs before it have the same keys
            (made.root / "store").rename(made.root / "store of the runs before")
        if line != LAST:
            found[line] = made.type(with_key(made, line))
    return found


def with_key(made: Clone, line: str) -> str:
    """Replace the placeholder KEY by the key of a job that is done."""
    if "KEY" not in line.split():
        return line
    heads = sorted((made.root / "store" / "artifacts").glob("*/artifact.json"))
    return line.replace("KEY", heads[0].parent.name)


@pytest.mark.parametrize("line", [line for line in SHOWN if line != LAST])
def test_it_does_what_it_says(line: str, made: Clone, typed: Typed) -> None:
    # `make reproduce TABLE=2 RUNTIME=podman` failed in every job: the default store was a volume's name to podman.
    done = typed[line]
    if line.startswith("kit plot") and not find_spec("matplotlib"):
        pytest.skip("matplotlib is not installed: no picture was drawn")
    if line in NAMES and done.returncode == 2 and "Missing " in done.stderr:
        done = made.type(f"{line} --help")
    said = f"{done.stdout[-3000:]}\n{done.stderr[-3000:]}"
    assert "Traceback" not in done.stderr, said
    if line.startswith("make verify"):  # random answers give other numbers than those that it knows of smoke
        assert "ok           stored    table-2: 20 graded" in done.stdout, said
        return
    if "wants a machine with a network" in done.stderr:
        assert (line, done.returncode) == ("kit pin", 1), said
        return
    assert done.returncode == 0, said
    if "reproduce" in line:
        assert "Qwen-2 evolvers, six base models" in done.stdout, said
        assert "missing" not in done.stdout, said


def test_jobs_in_containers_see_whole_paths_that_are_there(typed: Typed, made: Clone) -> None:
    runs = made.runs()
    groups = {word for run in runs for word in run["words"] if word.startswith("--memory=") or word == "--network=none"}
    assert len(runs) >= 5, "fetch, convert, text, train and grade have a container each"
    assert len(groups) == 2
    assert [here for run in runs for here, _ in run["volumes"] if not here.startswith("/")] == []


FOLDERS = {
    "a relative store": ("RUNTIME=podman STORE=results", "results"),
    "a blank, and a slash at the end": ("RUNTIME=podman STORE='my results/'", "my results"),
    "a store beside the clone": ("RUNTIME=podman STORE=../beside/results", "../beside/results"),
    "down and up again": ("RUNTIME=podman STORE=docs/../results", "results"),
    "at home": ("RUNTIME=podman STORE='~/results'", "../stand-ins/home/results"),
    "a link": ("RUNTIME=podman STORE=link", "link"),
    "below a link": ("RUNTIME=podman STORE=link/../results", "../elsewhere/results"),
    "a relative mirror": ("RUNTIME=podman MIRROR=copies", "store"),
    "a mirror at home": ("RUNTIME=podman MIRROR='~/copies'", "store"),
    "a mirror that is a link, beside": ("RUNTIME=podman MIRROR=docs/../link", "store"),
    "docker": ("RUNTIME=docker", "store"),
    "docker, relative": ("RUNTIME=docker STORE=results MIRROR=copies", "results"),
    "apptainer": ("RUNTIME=apptainer", "store"),
    "apptainer, relative": ("RUNTIME=apptainer STORE=results MIRROR=copies", "results"),
    "no runtime": ("STORE='~/results' MIRROR=copies", "../stand-ins/home/results"),
    "by options": ("reproduce 2 --runtime=podman --store=~/results --mirror=./copies/", "../stand-ins/home/results"),
    "by options, another command": ("fetch 2 --store=docs/../results --mirror='~/copies'", "results"),
}
"""Variables of the Makefile, or words of the command line, and where the store is then."""
MINI_SETS = {
    f"fetch/mini-{name}"
    for name in ("alpaca", "code-alpaca", "gsm8k-train", "gsm8k", "humaneval", "ifeval", "math", "mbpp")
}
"""Names of the files that Table 2 reads."""


def fetched(store: Path) -> set[str]:
    """The ids of a store's fetched files."""
    heads = (store / "artifacts").glob("*/artifact.json")
    return {json.loads(head.read_text(encoding="utf-8"))["job"]["id"] for head in heads}


@pytest.fixture
def folders(made: Clone, typed: Typed, tmp_path: Path) -> Iterator[Path]:
    """A finished store to begin from, folders for mirrors, and a link; all is as it was afterwards."""
    before = {path.name for path in made.root.iterdir()}
    (made.root.parent / "elsewhere" / "folder").mkdir(parents=True)
    (made.root / "link").symlink_to(made.root.parent / "elsewhere" / "folder")
    for copies in (made.root / "copies", made.state / "home" / "copies"):
        copies.mkdir()
    done = tmp_path / "done"
    (made.root / "store").rename(done)
    for head in (done / "artifacts").glob("*/artifact.json"):
        if json.loads(head.read_text(encoding="utf-8"))["job"]["id"].startswith("fetch/"):
            shutil.rmtree(head.parent)  # what is to be run again
    yield done
    for path in made.root.iterdir():
        if path.name not in before or path.name == "store":
            path.unlink() if path.is_symlink() or path.is_file() else shutil.rmtree(path)
    done.rename(made.root / "store")
    for name in ("elsewhere", "beside"):
        shutil.rmtree(made.root.parent / name, ignore_errors=True)
    shutil.rmtree(made.state / "home")
    (made.state / "home").mkdir()


@pytest.mark.parametrize(("words", "where"), FOLDERS.values(), ids=list(FOLDERS))
def test_folders_are_found_however_they_are_written(words: str, where: str, made: Clone, folders: Path) -> None:
    store = made.root / where
    shutil.copytree(folders, store, dirs_exist_ok=True)
    before = len(made.runs())
    done = made.type(f"make reproduce TABLE=2 {words}" if "STORE" in words or "RUNTIME" in words else f"kit {words}")
    assert done.returncode == 0, f"{done.stdout[-3000:]}\n{done.stderr[-3000:]}"
    assert "missing" not in done.stdout
    assert len(made.runs()) - before == ("runtime" in words.lower()), "one container fetches"
    assert fetched(store) >= MINI_SETS
    assert not list(made.root.glob("~*"))


def test_a_relative_store_in_the_environment(made: Clone, folders: Path) -> None:
    shutil.copytree(folders, made.root / "results")
    done = made.type("make reproduce TABLE=2 RUNTIME=podman", KIT_STORE="results")
    assert done.returncode == 0, f"{done.stdout[-3000:]}\n{done.stderr[-3000:]}"
    assert not (made.root / "store").exists()


def test_clean_leaves_the_results(made: Clone, typed: Typed) -> None:
    assert LAST in SHOWN
    kept = made.root.parent / "kept"
    shutil.copytree(made.root, kept, symlinks=True)
    done = made.type(LAST, kept)
    assert (done.returncode, done.stdout, done.stderr) == (0, "", "")
    assert not (kept / ".venv").exists()
    assert (kept / "store" / "artifacts").is_dir()


@pytest.mark.slow
def test_readmes_lines_on_containers_with_real_images(tmp_path: Path) -> None:
    """Set-up, images and Table 2 in them, in a clone of the last commit and nothing beside it."""
    if not shutil.which("podman"):
        pytest.skip("no podman: README's lines on containers were not typed with real images")
    found = tmp_path / "clone"
    subprocess.run(["git", "clone", "--quiet", str(ROOT), str(found)], check=True)
    left_out = ("KIT_STORE", "PYTHONPATH", "VIRTUAL_ENV")
    environment = {name: value for name, value in os.environ.items() if name not in left_out}
    for line in [line for line in in_blocks(README) if line == "make images" or "RUNTIME=podman" in line]:
        done = subprocess.run(
            ["sh", "-c", line], cwd=found, env=environment, text=True, capture_output=True, check=False
        )
        assert done.returncode == 0, f"{line}\n{done.stdout[-3000:]}\n{done.stderr[-3000:]}"
    assert "Qwen-2 evolvers, six base models" in done.stdout
    assert "missing" not in done.stdout
