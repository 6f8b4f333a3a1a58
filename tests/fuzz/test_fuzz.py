"""About a minute of CPU time of hostile texts, stores, manifests, model folders and files: the same ones every time.

The number of cases is fixed and so is the seed. `nox -s fuzz -- --minutes 60` goes on with others.
"""

import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from tests.fuzz.session import CORPUS, Session
from tests.fuzz.watching import ROOT, Worker
from tests.fuzz.worker import TARGETS

SEED = 9
CASES = {"texts": 20, "stores": 120, "manifests": 150, "models": 90, "files": 150}
"""Target -> new cases; one of ``texts`` is a batch."""
TORCH = ("models",)
"""Targets that import torch."""


@pytest.fixture(scope="module")
def worker() -> Iterator[Worker]:
    with Worker() as found:
        yield found


@pytest.mark.parametrize("name", TARGETS)
def test_every_case_ends_with_success_or_a_sentence(
    name: str, worker: Worker, capsys: pytest.CaptureFixture[str]
) -> None:
    if name in TORCH:
        pytest.importorskip("torch")
    session = Session(worker, lambda _: None)
    session.corpus([name])
    session.some(name, CASES[name], SEED)
    with capsys.disabled():
        print("", *session.summary(), sep="\n    ")
    assert not session.failures, "\n".join(map(str, session.failures))
    assert sum(counts.cases for counts in session.counts.values()) == session.kept + CASES[name]


def test_each_target_has_kept_cases() -> None:
    assert {path.name.partition("-")[0] for path in CORPUS.glob("*.json")} == set(TARGETS)
    assert all(path.stat().st_size < 20_000 for path in CORPUS.iterdir())


@pytest.fixture
def kit(tmp_path: Path) -> Callable[..., subprocess.CompletedProcess[str]]:
    """The real command, in a process of its own."""

    def run(*words: str) -> subprocess.CompletedProcess[str]:
        code = "from kit.cli import main; main()"
        environment = {"PYTHONPATH": str(ROOT), "PATH": "/usr/bin:/bin", "HOME": str(tmp_path)}
        return subprocess.run(
            [sys.executable, "-c", code, *words],
            cwd=tmp_path,
            env=environment,
            capture_output=True,
            text=True,
            check=False,
        )

    return run


REAL = {
    "a store whose format is a device": (lambda here: _store(here, "/dev/zero"), "store list --store store"),
    "a manifest that is a folder": (lambda here: (here / "my.toml").mkdir(), "plan my.toml"),
    "a manifest of brackets": (lambda here: (here / "my.toml").write_text("x = " + "[" * 9_000), "run my.toml"),
    "completions of zero bytes": (lambda here: (here / "c").write_bytes(b"\0" * 9_000), "grade gsm8k --completions c"),
}


@pytest.mark.parametrize("make, words", REAL.values(), ids=list(REAL))
def test_real_commands(
    make: Callable[[Path], object], words: str, tmp_path: Path, kit: Callable[..., subprocess.CompletedProcess[str]]
) -> None:
    make(tmp_path)
    ended = kit(*words.split())
    assert (ended.returncode, ended.stdout) == (2, "")
    assert ended.stderr.startswith("error: ")
    assert "Traceback" not in ended.stderr
    assert all(character.isprintable() or character == "\n" for character in ended.stderr)


def _store(here: Path, mark: str) -> None:
    """A store whose layout's mark is a link."""
    (here / "store" / "artifacts").mkdir(parents=True)
    (here / "store" / "format").symlink_to(mark)
