"""Reading a benchmark's JSONL file, choosing a protocol, refusing tests that can't run: what the benchmarks share."""

import ast
import functools
import sys
import warnings
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import TypeVar

from kit.errors import RequestError, did_you_mean
from kit.files.rowfiles import is_empty, objects
from kit.records import Problem
from kit.sandbox import Calls, Sandbox, packages

Choice = TypeVar("Choice")


def problems(path: Path, fields: Mapping[str, type], id_field: str) -> list[Problem]:
    """Return the problems of a file, one a record.

    Args:
        path: JSONL, a JSON list or CSV, plain or gzip, or Parquet.
        fields: the fields that each line must have, with their types; others are kept as they are.
        id_field: the field that holds the id; where a line lacks it, or has null, its position (from 0) is the id.

    Raises:
        RequestError: a field is missing or of another type, an id stands twice, or the file is empty.
    """
    rows: dict[str, Problem] = {}
    for where, value in [] if is_empty(path) else objects(path):
        for name, kind in fields.items():
            if not isinstance(value.get(name), kind):
                found = f"{type(value[name]).__name__}" if name in value else "nothing"
                raise RequestError(
                    f"{where}: field {name!r}: found {found}, wanted {kind.__name__}; is it another set?"
                )
        key = str(len(rows) if (id := value.get(id_field)) is None else id)
        if key in rows:
            raise RequestError(f"{where}: the id {key!r} stands twice; is the file two files joined?")
        rows[key] = Problem(id=key, data=value)
    if not rows:
        raise RequestError(f"{path}: no problem in it; is the file cut off?")
    return list(rows.values())


def choose(protocols: Mapping[str, Choice], name: str) -> Choice:
    """Return the protocol that has this name.

    Raises:
        RequestError: there is none.
    """
    if name not in protocols:
        raise RequestError(f"no protocol named {name!r}{did_you_mean(name, protocols)}")
    return protocols[name]


@functools.lru_cache(maxsize=4096)
def imports(code: str) -> tuple[str, ...]:
    """Return the modules that a program imports for sure, in order; those in a ``try`` may be missing.

    Raises:
        SyntaxError, ValueError: it is not Python.
    """
    found: dict[str, None] = {}
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        todo: list[ast.AST] = [ast.parse(code)]
    while todo:
        node = todo.pop()
        if isinstance(node, ast.Import):
            found |= dict.fromkeys(alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            found["." * node.level + (node.module or "")] = None
        elif not isinstance(node, ast.Try):
            todo.extend(reversed(list(ast.iter_child_nodes(node))))
    return tuple(found)


def check_imports(where: str, code: str) -> None:
    """Refuse a problem whose tests import what no sandbox of the kit has: no answer could pass them.

    Raises:
        RequestError: a module that is neither in the standard library nor in :data:`kit.sandbox.packages.NAMES`.
    """
    for module in imports(code):
        if module.partition(".")[0] not in sys.stdlib_module_names | set(packages.NAMES):
            raise RequestError(
                f"{where}: imports {module!r}; tests run with the standard library and {', '.join(packages.NAMES)} "
                "alone, so no answer could pass. Leave the problem out, or test without that package"
            )


def check_tests_run(tests: Sequence[tuple[str, str]], sandbox: Sandbox) -> None:
    """Try what the tests import in the sandbox, before any answer runs: a failure would count against the answers.

    Args:
        tests: the id and the tests of each problem.
        sandbox: where they will run.

    Raises:
        RequestError: a module cannot be imported there.
    """
    first: dict[str, str] = {}
    for id, code in tests:
        for module in imports(code):
            first.setdefault(module, id)
    for module, reason in _refused(list(first), sandbox):
        raise RequestError(
            f"task {first[module]}: its tests import {module!r}, which the sandbox ({sandbox.tier}) cannot: {reason}. "
            + (
                "Install it with the extra 'grade' of this package"
                if module.partition(".")[0] in packages.NAMES
                else "Leave the problem out, or grade where the kernel has Landlock, which lets modules be read"
            )
        )


def _refused(modules: Sequence[str], sandbox: Sandbox) -> Iterator[tuple[str, str]]:
    """Yield the modules that cannot be imported in the sandbox, each with why.

    One program imports them all. Only if it cannot, each is imported by a program of its own, which says why.
    """
    code = "def load(name):\n    __import__(name)\n"
    together = Calls(id="imports", code=code, name="load", arguments=tuple((name,) for name in modules), cpu_s=10)
    if not any(reply.error for reply in (sandbox.replies([together])[0] if modules else [])):
        return
    calls = [Calls(id=module, code=code, name="load", arguments=((module,),), cpu_s=10) for module in modules]
    for module, (reply,) in zip(modules, sandbox.replies(calls), strict=True):
        if reply.error:
            yield module, reply.error
