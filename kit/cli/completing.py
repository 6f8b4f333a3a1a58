"""Names that a shell completes: models, tables, scales, benchmarks, scenarios, runtimes.

A shell asks at every press of the tab key, so nothing here imports the manifests' types, and a manifest that can't be
read gives no names: a message would be printed into the line that somebody types. The command itself says what is
wrong.
"""

import os
import sys
import tomllib
from collections.abc import Callable, Iterable
from pathlib import Path

from kit import registry
from kit.errors import KitError

Completer = Callable[[str], list[str]]
"""From what is typed so far to the words that begin with it."""


def asked() -> bool:
    """Whether a shell asks for completions, as its script says by this variable."""
    return "_KIT_COMPLETE" in os.environ


def leave_rich_out() -> None:
    """Keep typer from importing rich, half of the time, for markup that no command's help has."""
    sys.modules["rich"] = None  # type: ignore[assignment]  # so `import rich` finds no such module


def completer(names: Callable[[], Iterable[str]]) -> Completer:
    """Return the completion of one kind of name; it is silent where the names can't be read."""

    def complete(incomplete: str) -> list[str]:
        try:
            return [name for name in names() if name.startswith(incomplete)]
        except (KitError, OSError, ValueError, RecursionError):
            return []

    return complete


def manifests() -> Path:
    """The folder that :func:`kit.catalogue.manifests_folder` names, without the import of every manifest's type."""
    folders = (registry.PACKAGE.parent / "manifests", registry.PACKAGE / "manifests")
    return next((folder for folder in folders if folder.is_dir()), folders[0])


def files(kind: str) -> list[str]:
    """File names of ``scales`` or ``tables``, without the ending."""
    return sorted(path.stem for path in (manifests() / kind).glob("*.toml"))


def model_names() -> list[str]:
    """The models of ``models.toml``."""
    models = tomllib.loads((manifests() / "models.toml").read_text(encoding="utf-8")).get("models")
    return list(models) if isinstance(models, dict) else []


def table_names() -> list[str]:
    """The tables by number, in order, then by name: ``1``, ``2``, ``table-1``, ``table-2``."""
    names = files("tables")
    numbers = [name.removeprefix("table-") for name in names if name.removeprefix("table-").isdigit()]
    return [*sorted(numbers, key=int), *names]


def scale_names() -> list[str]:
    """``auto``, and the scales."""
    return ["auto", *files("scales")]


def runtime_names() -> Iterable[str]:
    """Where jobs can run."""
    from kit.containers import RUNTIMES

    return RUNTIMES


def plugins(kind: str) -> Callable[[], list[str]]:
    """Return what lists the plug-ins of a kind."""
    return lambda: registry.names(kind)


complete_model = completer(model_names)
complete_table = completer(table_names)
complete_scale = completer(scale_names)
complete_runtime = completer(runtime_names)
complete_benchmark = completer(plugins("benchmarks"))
complete_scenario = completer(plugins("scenarios"))
