# ruff: noqa: E501 (a case a line)
"""Tests that can't run here are an error of the request; they used to count as failures of the model."""

import contextlib
import json
from pathlib import Path
from typing import Any

import pytest

from kit.benchmarks import _files, humaneval, mbpp
from kit.errors import RequestError
from kit.records import Problem
from kit.sandbox import Sandbox, open_sandbox

HUMANEVAL = {
    "task_id": "HumanEval/0",
    "prompt": 'def twice(x):\n    """Twice x."""\n',
    "entry_point": "twice",
    "test": "def check(candidate):\n    assert candidate(3) == 6\n",
}
MBPP = {"task_id": 1, "text": "Double it.", "test_list": ["assert twice(3) == 6"]}
CURE = (
    "; tests run with the standard library and numpy alone, so no answer could pass. Leave the problem out, or test "
    "without that package"
)


def written(folder: Path, row: dict[str, Any]) -> Path:
    path = folder / "data.jsonl"
    path.write_text(json.dumps(row) + "\n")
    return path


@pytest.mark.parametrize(
    ("module", "row", "said"),
    [
        (humaneval, {"test": "import pandas as pd\n" + HUMANEVAL["test"]}, "test: imports 'pandas'" + CURE),
        (humaneval, {"test": "from sklearn.metrics import f1_score\n" + HUMANEVAL["test"]}, "test: imports 'sklearn.metrics'" + CURE),
        (humaneval, {"test": HUMANEVAL["test"] + "    import scipy.stats\n"}, "test: imports 'scipy.stats'" + CURE),
        (humaneval, {"prompt": "import torch\n" + HUMANEVAL["prompt"]}, "prompt: imports 'torch'" + CURE),
        (humaneval, {"test": "from .there import x\n" + HUMANEVAL["test"]}, "test: imports '.there'" + CURE),
        (humaneval, {"test": "def check(candidate):\n    assert (\n"}, "test: not Python ('(' was never closed (<unknown>, line 2)), so nothing could pass"),
        (humaneval, {"prompt": "def twice(x:\n"}, "prompt: not Python ('(' was never closed (<unknown>, line 1)), so nothing could pass"),
        (mbpp, {"test_setup_code": "import pandas"}, "test_list: imports 'pandas'" + CURE),
        (mbpp, {"test_imports": ["import sympy"]}, "test_list: imports 'sympy'" + CURE),
        (mbpp, {"test_list": ["import requests\nassert twice(3) == 6"]}, "test_list: imports 'requests'" + CURE),
    ],
)  # fmt: skip
def test_a_package_that_no_sandbox_has(module: Any, row: dict[str, Any], said: str, tmp_path: Path) -> None:
    first = HUMANEVAL if module is humaneval else MBPP
    path = written(tmp_path, first | row)
    with pytest.raises(RequestError) as error:
        module.read(path)
    assert str(error.value) == f"{path}: task {first['task_id']}: {said}"


@pytest.mark.parametrize(
    ("module", "row", "text"),
    [
        (humaneval, {"test": "import numpy as np\ndef check(c):\n    assert np.array_equal(c(np.ones(2)), [2, 2])\n"}, "    return 2 * x\n"),
        (humaneval, {"test": "import math, sys\n" + HUMANEVAL["test"]}, "    return 2 * x\n"),
        (humaneval, {"test": "try:\n    import pandas\nexcept ImportError:\n    pandas = None\n" + HUMANEVAL["test"]}, "    return 2 * x\n"),
        # The tester could not read a signature without a docstring: no answer passed.
        (humaneval, {"prompt": "def twice(x):\n"}, "    return 2 * x\n"),
        (humaneval, {"prompt": "def half(x):\n    return x / 2\n\ndef twice(x):\n    # Twice x.\n"}, "    return 2 * x\n"),
        (mbpp, {"test_imports": ["import numpy as np"], "test_list": ["assert np.isclose(twice(0.5), 1)"]}, "def twice(x): return 2 * x"),
        (mbpp, {"test_setup_code": "from math import isclose", "test_list": ["assert isclose(twice(0.5), 1)"]}, "def twice(x): return 2 * x"),
        (mbpp, {"test_list": ["assert twice(3) == 6"]}, "import numpy as np\ndef twice(x): return np.int64(2) * x"),
        (mbpp, {"test_list": ["assert (twice(np.ones(2)) == [2, 2]).all()"]}, "import numpy as np\ndef twice(x): return 2 * x"),
    ],
)  # fmt: skip
@pytest.mark.parametrize("protocol", ["paper", "default"])
def test_what_the_sandbox_has(
    module: Any, row: dict[str, Any], text: str, protocol: str, tmp_path: Path, two: Sandbox
) -> None:
    problems = module.read(written(tmp_path, (HUMANEVAL if module is humaneval else MBPP) | row))
    (grade,) = module.grade(problems, [text], protocol, two)
    assert grade.reason == ""


@pytest.fixture(scope="module")
def two() -> Any:
    with open_sandbox(workers=1, force_tier=2) as sandbox:
        yield sandbox


@pytest.mark.parametrize("module", [humaneval, mbpp], ids=["humaneval", "mbpp"])
def test_a_module_that_this_tier_cannot_read(module: Any, two: Sandbox) -> None:
    # Tier 2 has the modules that were imported before the lock.
    if module is humaneval:
        problem = Problem(id="7", data=HUMANEVAL | {"test": "import sqlite3\n" + HUMANEVAL["test"]})
    else:
        problem = Problem(id="7", data=MBPP | {"test_setup_code": "import sqlite3"})
    with pytest.raises(RequestError) as error:
        module.grade([problem], ["def twice(x): return 2 * x"], "default", two)
    assert str(error.value) == (
        "task 7: its tests import 'sqlite3', which the sandbox (seccomp) cannot: failed: PermissionError. Leave the "
        "problem out, or grade where the kernel has Landlock, which lets modules be read"
    )


@pytest.mark.parametrize(
    ("code", "modules"),
    [
        ("import a, b.c as d\nfrom e.f import g", ["a", "b.c", "e.f"]),
        ("def f():\n    if x:\n        import a\nimport a", ["a"]),
        ("try:\n    import a\nexcept ImportError:\n    pass", []),
        ("from . import a", ["."]),
        ("'\\d'", []),
    ],
)
def test_imports(code: str, modules: list[str]) -> None:
    assert list(_files.imports(code)) == modules


@pytest.mark.parametrize(
    ("modules", "programs"),
    [
        (["math", "re", "json"], [3]),  # were three programs
        (["math", "numpy.linalg", "unittest.mock"], [3]),
        (["math", "sqlite3", "re"], [3, 1, 1, 1]),  # each its own reason
        ([], []),
    ],
)
def test_one_program_tries_all_modules(modules: list[str], programs: list[int], two: Any) -> None:
    tried: list[int] = []

    class Counting:
        tier = "seccomp"

        def replies(self, calls: Any) -> Any:
            tried.extend(len(call.arguments) for call in calls)
            return two.replies(calls)

    sandbox: Any = Counting()
    with pytest.raises(RequestError, match="sqlite3") if "sqlite3" in modules else contextlib.nullcontext():
        _files.check_tests_run([(module, f"import {module}") for module in modules], sandbox)
    assert tried == programs
