"""One sandbox a tier for the whole run, a place with things worth attacking, and calls of one function."""

import os
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

from kit.sandbox import Function, Sandbox, functions, lock, open_sandbox

INPUTS = ("a", "b", "c", "d", "e")
CPU_S = 0.1
"""Seconds of a call, few: a function that never ends takes four times that."""
AFTER = "def evaluate(x): return x == 'b'"


@dataclass(frozen=True)
class Targets:
    """Files and folders that the attacks try to read or to change."""

    secret: Path
    """A file of mode 0600 in a folder of its own."""
    grader: Path
    """A file that must stay as it is."""
    folder: Path
    """A folder in which nothing may be written."""

    def place(self, code: str) -> str:
        """The attack, with the places it needs."""
        names = {"SECRET": self.secret, "GRADER": self.grader, "FOLDER": self.folder, "PYTEST": pytest.__file__}
        for name, path in names.items():
            code = code.replace(f"<{name}>", str(path))
        return code.replace("<KIT>", str(os.getpid()))


@pytest.fixture
def targets(tmp_path: Path) -> Targets:
    secret, grader, folder = tmp_path / "private" / "key", tmp_path / "grader.py", tmp_path / "folder"
    secret.parent.mkdir()
    folder.mkdir()
    secret.write_text("secret")
    secret.chmod(0o600)
    grader.write_text("grader")
    return Targets(secret, grader, folder)


@pytest.fixture(scope="session", params=[1, 2], ids=["tier1", "tier2"])
def sandbox(request: pytest.FixtureRequest) -> Iterator[Sandbox]:
    if request.param == 1 and not lock.landlock_abi():
        pytest.skip("this kernel has no Landlock")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("KIT_SANDBOX_SECRET", "secret")
        with open_sandbox(force_tier=request.param) as opened:
            yield opened


def body(text: str) -> str:
    return f"def evaluate(x):\n    {text}\n"


def call(sandbox: Sandbox, code: str) -> functions.Returned:
    """Call one function, and another after it in each worker, which must not notice."""
    wanted = [Function(id=code, code=code, name="evaluate", inputs=INPUTS, cpu_s=CPU_S)]
    wanted += [Function(id="after", code=f"{AFTER}\nn = {n}", name="evaluate", inputs=INPUTS) for n in range(2)]
    returned, *others = sandbox.call_functions(wanted)
    assert [[reply.value for reply in other.replies] for other in others] == [[each == "b" for each in INPUTS]] * 2
    return returned
