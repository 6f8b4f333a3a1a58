"""A plug-in is a file: ``load("benchmarks", "gsm8k")`` imports ``kit/benchmarks/gsm8k.py`` and nothing else."""

import sys
from importlib import import_module
from pathlib import Path
from types import ModuleType

from kit.errors import RequestError, did_you_mean, shown

PACKAGE = Path(__file__).resolve().parent


def names(kind: str) -> list[str]:
    """The plug-ins of a kind (``benchmarks``, ``scenarios``, ``engines``, ``stages``), by file name, sorted."""
    found = []
    for path in (PACKAGE / kind).iterdir():
        if path.name.startswith(("_", ".")):
            continue
        if path.suffix == ".py" or (path / "__init__.py").exists():
            found.append(path.stem)
    return sorted(found)


def load(kind: str, name: str) -> ModuleType:
    """Import the module of one plug-in.

    Raises:
        RequestError: there is no such file.
    """
    if (module := sys.modules.get(f"kit.{kind}.{name}")) is not None:
        return module
    known = names(kind)
    if name not in known:
        raise RequestError(f"no {kind.removesuffix('s')} named {shown(name)}{did_you_mean(name, known)}")
    return import_module(f"kit.{kind}.{name}")
