"""The Makefile's targets in a copy of the checkout, with scripts named uname, nvidia-smi, uv and kit on the PATH."""

import hashlib
import os
import platform
import re
import shlex
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[1]
VERSION = platform.python_version()


class Checkout:
    """A copy of Makefile, locks and scales, with a PATH of its own."""

    def __init__(self, folder: Path) -> None:
        self.root = folder / "the checkout"  # a place with a blank in its name
        self.bin = folder / "bin"
        self.bin.mkdir()
        self.root.mkdir()
        shutil.copy(ROOT / "Makefile", self.root)
        shutil.copytree(ROOT / "requirements", self.root / "requirements")
        shutil.copytree(ROOT / "manifests" / "scales", self.root / "manifests" / "scales")
        for name in ("sh", "awk", "cat", "cut", "date", "df", "dirname", "flock", "getconf", "grep", "head", "make"):
            self.link(name)
        for name in ("mkdir", "rm", "sed", "sha256sum", "sort", "tail", "uname"):
            self.link(name)

    def link(self, name: str) -> None:
        """Put a program of this machine on the PATH."""
        if found := shutil.which(name):
            (self.bin / name).symlink_to(found)

    def fake(self, name: str, script: str) -> Path:
        """Put a script of the test on the PATH."""
        path = self.bin / name
        path.unlink(missing_ok=True)
        write_program(path, script)
        return path

    def finish(self, environment: str = "cpu", folder: str = ".venv", place: Path | None = None) -> None:
        """Write the files of a finished set-up: a Python, a kit that prints its arguments, and the stamp."""
        programs = self.root / folder / "bin"
        programs.mkdir(parents=True)
        (programs / "python").symlink_to(sys.executable)
        write_program(programs / "kit", f'printf "{folder}: %s\\n" "$*"')
        digest = hashlib.sha256((self.root / "requirements" / f"{environment}.txt").read_bytes()).hexdigest()
        (self.root / folder / f".kit-{environment}-{digest[:16]}").write_text(f"{place or self.root}\n")

    def make(self, *words: str, **environment: str) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            ["make", *words],
            cwd=self.root,
            env={"PATH": str(self.bin), "HOME": str(self.root), **environment},
            text=True,
            capture_output=True,
            check=False,
        )


def write_program(path: Path, script: str) -> None:
    path.write_text(f"#!/bin/sh\n{script}\n")
    path.chmod(0o755)


# A Python 3.11 whose venv module fails: far enough to see which Python is taken, and nothing is installed.
NO_VENV = (
    f'case "$*" in *"-m venv"*) echo "venv: made to fail" >&2; exit 1;; esac; exec {shlex.quote(sys.executable)} "$@"'
)


@pytest.fixture
def checkout(tmp_path: Path) -> Checkout:
    if sys.platform != "linux" or os.uname().machine != "x86_64":
        pytest.skip("set-up is for Linux x86_64")
    return Checkout(tmp_path)


def test_make_alone_lists_the_targets(checkout: Checkout) -> None:
    done = checkout.make()
    targets = re.findall(r"^  make (\w+)", done.stdout, flags=re.MULTILINE)
    wanted = ["help", "setup", "reproduce", "plan", "verify", "images", "doctor", "test", "lint", "lock"]
    assert targets == [*wanted, "clean"]


def test_reproduce_passes_its_variables_on_and_prints_nothing_of_its_own(checkout: Checkout) -> None:
    checkout.finish()
    done = checkout.make("reproduce", "TABLE=2 3", "SCALE=smoke", "MIRROR=a mirror", "STORE=s", "KEEP=results", "YES=1")
    assert (done.stdout, done.stderr) == (
        ".venv: reproduce 2 3 --scale smoke --mirror a mirror --store s --keep results --yes\n",
        "",
    )
    assert checkout.make("reproduce").stdout == ".venv: reproduce 2\n"


@pytest.mark.parametrize(
    ("words", "tables"),
    [
        (["FIGURE=4"], "figure-4"),
        (["FIGURE=4 5"], "figure-4 figure-5"),
        (["TABLE=2 5", "FIGURE=1"], "2 5 figure-1"),
        (["TABLE=figure-1"], "figure-1"),
    ],
    ids=["a figure", "two figures", "tables and a figure", "a figure's name"],
)
@pytest.mark.parametrize("target", ["reproduce", "plan", "verify"])
def test_figures_go_by_their_number(target: str, words: list[str], tables: str, checkout: Checkout) -> None:
    checkout.finish()
    assert checkout.make(target, *words).stdout == f".venv: {target} {tables}\n"


def test_jobs_in_images_are_planned_from_the_smallest_environment(checkout: Checkout) -> None:
    """Else a GPU machine would install the cuda lock beside the cuda image."""
    checkout.finish()
    checkout.fake("nvidia-smi", "echo 24564")
    done = checkout.make("reproduce", "SCALE=one-gpu", "RUNTIME=docker")
    assert (done.stdout, done.stderr) == (".venv: reproduce 2 --scale one-gpu --runtime docker\n", "")


@pytest.mark.parametrize(
    ("system", "machine"), [("Darwin", "arm64"), ("Linux", "aarch64")], ids=["a Mac", "Linux on Arm"]
)
def test_other_systems_are_referred_to_the_container(checkout: Checkout, system: str, machine: str) -> None:
    checkout.fake("uname", f'[ "$1" = -s ] && echo {system} || echo {machine}')
    done = checkout.make("reproduce")
    assert done.returncode == 2
    assert done.stderr.startswith(
        f"set-up failed: this is {system} on {machine}; the locks are for Linux x86_64. "
        "Use the container: docker/cpu.Dockerfile\n"
    )
    assert done.stdout == ""


@pytest.mark.parametrize(
    ("gpu_mib", "scale", "venv"),
    [
        pytest.param("", "auto", ".venv", id="no GPU"),
        pytest.param("", "paper", ".venv", id="no GPU, to plan what needs one"),
        pytest.param("81559", "auto", ".venv-cuda", id="80 GB"),
        pytest.param("81559\n81559", "paper", ".venv-cuda", id="two of 80 GB"),
        pytest.param("81559", "smoke", ".venv", id="80 GB, the CPU's scale"),
        pytest.param("8188", "auto", ".venv", id="8 GB: no GPU scale fits"),
        pytest.param("[N/A]", "auto", ".venv", id="a driver that does not say"),
    ],
)
def test_the_environment_that_make_sets_up(checkout: Checkout, gpu_mib: str, scale: str, venv: str) -> None:
    if gpu_mib:
        checkout.fake("nvidia-smi", f'echo "{gpu_mib}"')
    done = subprocess.run(
        ["sh", "requirements/setup.sh", "--where", scale],
        cwd=checkout.root,
        env={"PATH": str(checkout.bin)},
        text=True,
        capture_output=True,
        check=True,
    )
    assert done.stdout == f"{venv}\n"


@pytest.mark.parametrize("state", ["interrupted", "another lock", "moved", "broken Python", "not ours"])
def test_an_unfinished_environment_is_made_again(checkout: Checkout, state: str) -> None:
    checkout.finish(place=Path("/elsewhere") if state == "moved" else None)
    venv = checkout.root / ".venv"
    if state in ("interrupted", "not ours"):
        next(venv.glob(".kit-*")).unlink()
    if state == "another lock":
        with (checkout.root / "requirements" / "cpu.txt").open("a") as lock:
            lock.write("# relocked\n")
    if state == "broken Python":
        (venv / "bin" / "python").unlink()
        (venv / "bin" / "python").symlink_to("/no/such/python3.11")
    python = checkout.fake("python3.11", NO_VENV)
    done = checkout.make("reproduce")
    assert done.stdout.splitlines() == [
        "set-up: .venv is unfinished, of another lock or of another place: making it anew",
        f"set-up: Python {VERSION} ({python}) -> .venv",
    ]
    assert done.stderr.splitlines()[:2] == [
        "venv: made to fail",
        "set-up failed: python -m venv (whole log: .cache/setup.log)",
    ]
    assert not venv.exists()


def test_another_python_fetches_3_11_with_uv(checkout: Checkout) -> None:
    checkout.fake("python3", "exit 1")
    fetched = checkout.root / ".cache" / "python" / "cpython-3.11.9-linux" / "bin" / "python3.11"
    script = checkout.root / "fetched"
    write_program(script, NO_VENV)
    checkout.fake(
        "uv",
        f'echo "$*" >uv.log; [ "$UV_PYTHON_INSTALL_DIR" = "$PWD/.cache/python" ] || exit 1\n'
        f'mkdir -p "{fetched.parent}"; cat "{script}" >"{fetched}"; {shutil.which("chmod")} +x "{fetched}"',
    )
    done = checkout.make("setup")
    assert (checkout.root / "uv.log").read_text() == "python install 3.11\n"
    assert done.stdout.splitlines() == [
        "set-up: the locks are for Python 3.11, and there is none with venv here; "
        "fetching it with uv into .cache/python",
        f"set-up: Python {VERSION} (.cache/python/cpython-3.11.9-linux/bin/python3.11) -> .venv",
    ]


def test_without_any_python_the_message_says_what_to_install(checkout: Checkout) -> None:
    python = checkout.fake("python3", 'echo "Python 3.12.1"; exit 1')
    done = checkout.make("setup")
    assert (
        f"set-up failed: Python 3.12.1 ({python}) has neither pip nor venv (whole log: .cache/setup.log). Install "
        "Python 3.11 with venv (Debian 12: apt-get install -y python3-venv), or name one: "
        "KIT_PYTHON=/path/to/python3.11\n"
    ) in done.stderr
