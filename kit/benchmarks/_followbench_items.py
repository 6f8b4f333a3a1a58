"""FollowBench's files: six lists, one for each kind of constraint, with the instructions of an item on its levels.

    {"example_id": 1, "category": "style", "source": "quora", "level": 2,
     "instruction": "Explain rain to a child, in two sentences.", "target": ""}

An item is an instruction that grows: level 0 has no constraint, level n has n. A problem is one of its levels 1 to 5;
level 0 is asked of nobody, but a judge is shown how the instruction grew from it. The kind ``example`` has no level 0.
The problems stand in such an order that the first 30 are one item of each kind on all its levels.
"""

from collections.abc import Mapping, Sequence
from itertools import zip_longest
from pathlib import Path
from typing import Any

from kit.benchmarks._followbench_rules import rule_of, target_fault
from kit.errors import RequestError, one_line
from kit.files.rowfiles import objects
from kit.records import Problem

KINDS = ("content", "situation", "style", "format", "example", "mixed")
"""Kinds of constraints, in the official order; each has a file."""
LEVELS = (1, 2, 3, 4, 5)
"""Levels that are asked; their number is that of the constraints."""
FIELDS: Mapping[str, type] = {
    "example_id": int,
    "category": str,
    "source": str,
    "level": int,
    "instruction": str,
    "target": str,
}
"""Fields of a record, with their types; others are kept as they are."""


def file_name(kind: str) -> str:
    """Return the name of a kind's file."""
    return f"{kind}_constraints.json"


def read(path: Path) -> list[Problem]:
    """Read the problems of a folder with the six files, or of one of these files.

    Returns:
        The problems, with the kind of their file and the path of instructions that leads to each: ids such as
        ``style/1/2`` (kind, example_id, level).

    Raises:
        RequestError: a file is missing or damaged, a level of an item is missing or stands twice, or a target that a
            rule asks for can't be met.
    """
    if not path.is_dir():
        found = [kind for kind in KINDS if path.name == file_name(kind)]
        if not found:
            names = ", ".join(map(file_name, KINDS))
            raise RequestError(
                f"{one_line(str(path))}: its name tells no kind of constraints; wanted {names}, or their folder"
            )
        return [problem for item in _items(path, found[0]) for problem in item]
    if missing := [file_name(kind) for kind in KINDS if not (path / file_name(kind)).is_file()]:
        raise RequestError(
            f"{one_line(str(path))}: no {', '.join(missing)} in the folder; wanted the six files of FollowBench's data"
        )
    turns = zip_longest(*(_items(path / file_name(kind), kind) for kind in KINDS), fillvalue=())
    return [problem for turn in turns for item in turn for problem in item]


def _items(path: Path, kind: str) -> list[tuple[Problem, ...]]:
    """Return the items of a kind's file, in its order: for each its problems, by level."""
    levels: dict[int, dict[int, dict[str, Any]]] = {}
    for where, row in objects(path):
        _check(where, row, kind)
        item = levels.setdefault(row["example_id"], {})
        if row["level"] in item:
            raise RequestError(
                f"{where}: example_id {row['example_id']} has level {row['level']} twice; is the file two files joined?"
            )
        item[row["level"]] = row
    if not levels:
        raise RequestError(f"{one_line(str(path))}: no record in it; is the file cut off?")
    wanted = LEVELS if kind == "example" else (0, *LEVELS)
    for example_id, item in levels.items():
        if sorted(item) != list(wanted):
            raise RequestError(
                f"{one_line(str(path))}: example_id {example_id} has the levels {', '.join(map(str, sorted(item)))}; "
                f"wanted {wanted[0]} to {wanted[-1]}, each once"
            )
    return [tuple(_problem(kind, item, level) for level in LEVELS) for item in levels.values()]


def _check(where: str, row: Mapping[str, Any], kind: str) -> None:
    """Refuse a record that is none of FollowBench's, or whose rule no text could meet."""
    for name, wanted in FIELDS.items():
        if type(row.get(name)) is not wanted:
            found = type(row[name]).__name__ if name in row else "nothing"
            raise RequestError(f"{where}: field {name!r}: found {found}, wanted {wanted.__name__}; is it another set?")
    level, item = row["level"], f"example_id {row['example_id']}"
    if level not in (0, *LEVELS):
        raise RequestError(f"{where}: {item}: found level {level}, wanted 0 to {LEVELS[-1]}")
    if level == 0:
        return
    if not row["instruction"].strip():
        raise RequestError(f"{where}: {item}, level {level}: an empty instruction; level 0 alone may have one")
    if fault := target_fault(kind, row["source"], row["target"]):
        raise RequestError(f"{where}: {item}, level {level}: field 'target': {fault}; a rule compares answers with it")


def _problem(kind: str, item: Mapping[int, Mapping[str, Any]], level: int) -> Problem:
    """Return one level of an item, with its kind and the instructions that lead to it, level 0 first."""
    row = item[level]
    path = [item[step]["instruction"] for step in sorted(item) if step <= level]
    return Problem(id=f"{kind}/{row['example_id']}/{level}", data={**row, "kind": kind, "path": path})


def item_of(problem: Problem) -> str:
    """Return the id of a problem's item, for instance ``style/1``."""
    return problem.id.rpartition("/")[0]


def by_item(problems: Sequence[Problem]) -> dict[str, list[Problem]]:
    """Return the problems of each item, by level.

    Raises:
        RequestError: an item lacks a level: what counts levels in a row needs them all.
    """
    items: dict[str, list[Problem]] = {}
    for problem in problems:
        items.setdefault(item_of(problem), []).append(problem)
    for item, levels in items.items():
        found = sorted(problem.data["level"] for problem in levels)
        if found != list(LEVELS):
            raise RequestError(
                f"followbench: item {item} has the levels {', '.join(map(str, found))} of {LEVELS[0]} to {LEVELS[-1]}; "
                f"take whole items: a number of rows that is a multiple of {len(LEVELS)}"
            )
        levels.sort(key=lambda problem: int(problem.data["level"]))
    return items


def has_rule(problem: Problem) -> bool:
    """Return whether a rule decides a problem, and no judge."""
    data = problem.data
    return rule_of(data["kind"], data["source"], data["example_id"]) is not None
