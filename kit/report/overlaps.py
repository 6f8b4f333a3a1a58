"""Overlap of a table's training sets with its benchmarks: counted from the store, once, and kept there.

Both evolvers may have seen the tests, so a table says for each set that a model was trained on how many rows repeat
more than half of a test item. A count is kept in the store's folder ``overlaps``, under the hash of all that it depends
on.
"""

import functools
import hashlib
import json
from collections.abc import Callable, Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass, replace
from importlib.util import find_spec
from typing import TYPE_CHECKING, Any, TypeAlias

from kit import registry
from kit.catalogue.axes import Coordinates
from kit.catalogue.experiments import AXES
from kit.errors import KitError
from kit.files.seeds import read_stored, read_training
from kit.overlap import VERSION
from kit.plan import Plan
from kit.records import Pair
from kit.report import Grid, Overlap
from kit.stages import data_path, only_file
from kit.store import Job, Store

if TYPE_CHECKING:
    from kit.overlap.index import Index

_Items: TypeAlias = "tuple[Index, list[str]]"
"""Test items, and the benchmark of each."""
FOLDER = "overlaps"
"""Folder of the store that keeps counts."""
MAX_BYTES = 10_000
"""Most bytes of one count."""


@dataclass(frozen=True, slots=True, kw_only=True)
class _Test:
    """A benchmark's questions, as far as a table asks them."""

    benchmark: str
    key: str
    rows: int | None


def with_overlaps(grids: Sequence[Grid], plan: Plan, store: Store) -> list[Grid]:
    """Return tables with the overlap of each training set that the store has, as far as it can be counted here."""
    return [replace(grid, overlaps=tuple(_overlaps(grid, plan, store))) for grid in grids]


def _overlaps(grid: Grid, plan: Plan, store: Store) -> Iterator[Overlap]:
    """Yield the overlap of each training set of a table with the table's benchmarks."""
    cells = [(address.at, plan.jobs[key]) for address in grid.addresses() for key in address.keys]
    tests = {
        _Test(benchmark=job.params["benchmark"], key=job.inputs["data"], rows=job.params.get("rows")): None
        for _, job in cells
        if "benchmark" in job.params and "data" in job.inputs
    }
    asked = [test for test in tests if store.has(test.key)]
    if len(asked) < len(tests):  # a share of some of the tests would be another number tomorrow
        return
    index = functools.cache(lambda: _index(store, asked))
    seen = set()
    for at, job in cells:
        sft = _tuning(job, plan)
        if sft is None or (name := _identity(sft)) in seen or not store.has(sft.inputs["pairs"]):
            continue
        seen.add(name)
        with suppress(KitError):  # a set that was damaged is told by `kit verify`
            yield _kept(store, sft, asked, _of_set(at), index)


def _of_set(at: Coordinates) -> Coordinates:
    """Return the coordinates that tell training sets apart: not those of what is tuned on them, and how."""
    return {axis: at[axis] for axis in at if AXES[axis][0] not in ("base", "sft")}


def _tuning(job: Job, plan: Plan) -> Job | None:
    """Return the job that tuned the model whose answers a job grades; None where no such job is in the plan."""
    answer = plan.jobs.get(job.inputs.get("completions", ""))
    model = plan.jobs.get((answer.inputs.get("adapter") or answer.inputs.get("model", "")) if answer else "")
    return model if model and model.stage == "sft" and "pairs" in model.inputs else None


def _identity(sft: Job) -> tuple[Any, ...]:
    """Return what says which rows a job trains on: the file, and how and how far it is read."""
    return (sft.inputs["pairs"], *(sft.params.get(name) for name in ("format", "seeds", "rows")))


def _kept(store: Store, sft: Job, tests: Sequence[_Test], at: Coordinates, index: Callable[[], _Items]) -> Overlap:
    """Return a training set's overlap, from the store where it has been counted before; ``index`` is made if not."""
    asked = sorted(((test.benchmark, test.key, test.rows) for test in tests), key=str)
    name = hashlib.sha256(json.dumps([VERSION, _identity(sft), asked]).encode()).hexdigest() + ".json"
    with (
        suppress(OSError, KitError, ValueError, TypeError, LookupError, AttributeError, RecursionError),
        store.inside(FOLDER) as folder,
    ):
        found = json.loads(folder.read(name, MAX_BYTES))
        overlap = Overlap(at=at, key=sft.inputs["pairs"], rows=found["rows"], by=found["by"], any=found["any"])
        names = [test.benchmark for test in tests]
        if overlap.is_sound(names):
            return replace(overlap, by={name: overlap.by[name] for name in names})  # in the order of a new count
    overlap = _count(store, sft, at, *index())
    text = json.dumps({"rows": overlap.rows, "any": overlap.any, "by": overlap.by}, sort_keys=True) + "\n"
    with suppress(OSError, KitError):  # a store that may only be read
        with suppress(FileExistsError):
            (store.root / FOLDER).mkdir()
        with store.inside(FOLDER) as folder:
            folder.write(name, text.encode())
    return overlap


def _index(store: Store, tests: Sequence[_Test]) -> _Items:
    """Return the items of a table's benchmarks, with the benchmark of each.

    Raises:
        KitError: a benchmark's file can't be read as what it is, or numpy is not installed.
    """
    from kit.overlap.index import Index
    from kit.overlap.items import items_of

    if find_spec("numpy") is None:
        raise KitError("numpy is not installed, with which rows are compared")
    items = []
    for test in tests:
        problems = registry.load("benchmarks", test.benchmark).read(data_path(store.get(test.key).folder))
        items += items_of(test.benchmark, problems[: test.rows])
    return Index([item.text for item in items]), [item.test for item in items]


def _count(store: Store, sft: Job, at: Coordinates, index: "Index", benchmarks: Sequence[str]) -> Overlap:
    """Count the rows of a training set that repeat test items.

    Args:
        store: where the set is.
        sft: the job that trains on it.
        at: its coordinates.
        index: the test items.
        benchmarks: the benchmark of each item.

    Raises:
        KitError: the set can't be read as what it is.
    """
    from kit.overlap.words import texts_of

    rows = _pairs(store, sft)
    found = {(match.row, benchmarks[match.item]) for match in index.find([texts_of(row.to_json()) for row in rows])}
    by = {name: sum(test == name for _, test in found) for name in dict.fromkeys(benchmarks)}
    return Overlap(at=at, key=sft.inputs["pairs"], rows=len(rows), any=len({row for row, _ in found}), by=by)


def _pairs(store: Store, sft: Job) -> list[Pair]:
    """Return the pairs that a job trains on, as it reads them."""
    folder = store.get(sft.inputs["pairs"]).folder
    if (path := folder / "pairs.jsonl").exists():
        found = read_stored(path, Pair)
    else:
        found = read_training(only_file(folder), sft.params.get("format") or "alpaca", sft.params.get("seeds"))
    return found.rows[: sft.params.get("rows")]
