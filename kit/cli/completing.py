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

ALL = "all"
"""Word that stands for all tables; :mod:`kit.plan.planning`, which has it too, is slow to import."""
Completer = Callable[[str], list[str]]
"""Function from the text typed so far to the names that begin with it."""


def shell_asks() -> bool:
    """Return whether a shell asks for completions: its script sets this variable."""
    return "_KIT_COMPLETE" in os.environ


def leave_rich_out() -> None:
    """Keep typer from importing rich, which takes half of the time: no command's help has markup."""
    sys.modules["rich"] = None  # type: ignore[assignment]  # so `import rich` finds no such module


def completer(names: Callable[[], Iterable[str]]) -> Completer:
    """Return the completer for one kind of name; it finds nothing where the names can't be read."""

    def complete(incomplete: str) -> list[str]:
        try:
            return [name for name in names() if name.startswith(incomplete)]
        except (KitError, OSError, ValueError, RecursionError):
            return []

    return complete


def manifests() -> Path:
    """Return :func:`kit.catalogue.manifests_folder` without importing the type of every manifest."""
    folders = (registry.PACKAGE.parent / "manifests", registry.PACKAGE / "manifests")
    return next((folder for folder in folders if folder.is_dir()), folders[0])


def files(kind: str) -> list[str]:
    """Return the file names in ``scales`` or ``tables``, without the ending."""
    return sorted(path.stem for path in (manifests() / kind).glob("*.toml"))


def model_names() -> list[str]:
    """Return the names of the models in ``models.toml``."""
    models = tomllib.loads((manifests() / "models.toml").read_text(encoding="utf-8")).get("models")
    return list(models) if isinstance(models, dict) else []


def table_names() -> list[str]:
    """Return the tables by number, in order, then by name, then the word for all: ``1``, ``table-1``, ``all``."""
    return [*with_numbers(files("tables")), ALL]


def with_numbers(names: list[str]) -> list[str]:
    """Return the numbers of tables, in order, before the names."""
    numbers = [name.removeprefix("table-") for name in names if name.removeprefix("table-").isdigit()]
    return [*sorted(numbers, key=int), *names]


def checkable_names() -> list[str]:
    """Return the tables that ``kit verify`` takes: those that jobs compute, and those that print settings."""
    return [*with_numbers(sorted([*files("tables"), *settings_tables()])), ALL]


def printed_names() -> list[str]:
    """Return the tables and figures whose printed numbers the kit has, which ``kit audit`` takes."""
    return sorted(path.stem for path in (manifests() / "paper").glob("*-*.toml"))


def settings_tables() -> list[str]:
    """Return the names for which :attr:`kit.catalogue.paper.PaperTable.prints_settings` holds."""
    found = []
    for path in (manifests() / "paper").glob("table-*.toml"):
        table = tomllib.loads(path.read_text(encoding="utf-8"))
        sizes = [column.get("id") for column in table.get("column", [])] == ["n_items"]
        rows = table.get("row", [])
        if rows and all("parameter" in row or (sizes and "dataset" in row) for row in rows):
            found.append(path.stem)
    return found


def scale_names() -> list[str]:
    """Return ``auto`` and the names of the scales."""
    return ["auto", *files("scales")]


def runtime_names() -> Iterable[str]:
    """Return the names of the runtimes that jobs can run in."""
    from kit.containers import RUNTIMES

    return RUNTIMES


def cluster_names() -> Iterable[str]:
    """Return the names of the ways in which Snakemake starts jobs."""
    from kit.cluster import SCHEDULERS

    return SCHEDULERS


def keep_names() -> Iterable[str]:
    """Return the rules that ``--keep`` takes."""
    return ("results", "weights", "all")


def format_names() -> Iterable[str]:
    """Return the names of the formats of instructions and pairs."""
    from kit.files.formats import FORMATS

    return FORMATS


def plugins(kind: str) -> Callable[[], list[str]]:
    """Return a function that lists the plug-ins of a kind."""
    return lambda: registry.names(kind)


complete_model = completer(model_names)
complete_table = completer(table_names)
complete_checkable = completer(checkable_names)
complete_printed = completer(lambda: [*with_numbers(printed_names()), ALL])
complete_scale = completer(scale_names)
complete_runtime = completer(runtime_names)
complete_cluster = completer(cluster_names)
complete_keep = completer(keep_names)
complete_format = completer(format_names)
complete_benchmark = completer(plugins("benchmarks"))
complete_scenario = completer(plugins("scenarios"))
complete_metric = completer(plugins("metrics"))
