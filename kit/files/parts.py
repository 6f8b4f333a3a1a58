"""Parts of a long job's rows, each kept in a file of its own, so that a killed job goes on from the last one.

parts/<key>-<inputs>-<first row>-<rows>-<sha256>.jsonl          rows of one job, as :func:`kit.records.write_rows`
                                                                writes them
parts/<key>-<inputs>-<asked>-<first row>-<rows>-<sha256>.jsonl  those of one call of a model (:mod:`kit.run.texts`)

``<inputs>`` stands for the bytes of the job's inputs (:func:`kit.store.kept.inputs_hash`): an input that was made again
may have others under the same key, and no part of the one goes with parts of the other.
The folder outlives the jobs, as that of servers' replies does. A part is written beside its place, put on the disk and
renamed, and is taken only where its bytes have the hash of its name: it is there whole or not at all. The parts of a
job are removed when its artifact is committed (:meth:`kit.store.Store.commit`).
"""

import hashlib
import json
import os
import re
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import TypeVar

from kit.errors import KitError
from kit.records import Row, dump_line
from kit.store.opening import Folder, open_root

PART_ROWS = 256
"""Rows of a part. Rows of one part are computed together, and in another part their numbers may differ in the last
digit: who changes this raises the version of each stage that computes in parts."""
MAX_BYTES = 1 << 30
"""Most bytes of a part."""
NAME = re.compile(r".*-(\d{1,12})-(\d{1,12})-([0-9a-f]{64})\.jsonl")

In = TypeVar("In")
Out = TypeVar("Out", bound=Row)


def _untold() -> None:
    """Tell nobody that a job goes on."""


@dataclass(frozen=True, slots=True)
class Parts:
    """The parts of one job, which it reads and adds to."""

    path: Path | None
    """The folder that outlives the jobs; None: nothing is read and nothing is kept."""
    key: str
    """Key of the job, what stands for its inputs, and what tells apart several lists of rows that it keeps."""
    smallest: Callable[[int], int] = int
    """Returns the smallest of the numbers that the ranks of the job call it with; a lone process's is its own."""
    went_on: Callable[[], None] = _untold
    """Called where the job goes on from what was kept."""

    def read(self, kind: type[Out], rows: int, size: int = PART_ROWS) -> list[Out]:
        """Return the rows of the parts that every rank finds whole: from the first to one that is missing or damaged.

        All ranks call it. What one of them does not see yet, as NFS shows a folder late, no rank takes.

        Args:
            kind: type of the rows.
            rows: number of rows of the whole job.
            size: rows of a part.
        """
        if self.path is None:
            return []
        own = self._own(kind, rows, size)
        found = own[: self.smallest(len(own))]
        if found:
            self.went_on()
        return found

    def _own(self, kind: type[Out], rows: int, size: int) -> list[Out]:
        """Return the rows of the parts that this rank finds whole, in order."""
        found: list[Out] = []
        assert self.path is not None
        try:
            with open_root(self.path.absolute()) as folder:
                names = [name for name in folder.names() if name.startswith(f"{self.key}-")]
                while len(found) < rows:
                    wanted = min(size, rows - len(found))
                    part = self._part(folder, names, kind, len(found), wanted)
                    if part is None:
                        break
                    found += part
        except OSError:  # no folder, so no part
            return found
        return found

    def _part(self, folder: Folder, names: Sequence[str], kind: type[Out], first: int, rows: int) -> list[Out] | None:
        """Return the part that begins at a row; None where there is none that is whole."""
        for name in names:
            match = NAME.fullmatch(name)
            if match and (int(match[1]), int(match[2])) == (first, rows):
                with suppress(OSError, KitError, ValueError, RecursionError):
                    data = folder.read(name, MAX_BYTES)
                    if hashlib.sha256(data).hexdigest() != match[3]:
                        continue
                    found = [kind.from_json(json.loads(line), name) for line in data.splitlines()]
                    if len(found) == rows:
                        return found
        return None

    def keep(self, first: int, rows: Sequence[Row]) -> None:
        """Write a part; when this returns it is on the disk.

        Args:
            first: position of its first row among those of the job.
            rows: its rows.

        Raises:
            KitError: a row can't be written as JSON, the disk is full, or a permission is missing.
        """
        if self.path is None:
            return
        try:
            data = "".join(dump_line(row.to_json()) for row in rows).encode("utf-8", "backslashreplace")
        except ValueError as error:
            raise KitError(f"rows {first:,} to {first + len(rows):,}: {error}; wanted finite numbers") from error
        name = f"{self.key}-{first:06}-{len(rows)}-{hashlib.sha256(data).hexdigest()}.jsonl"
        try:
            self.path.mkdir(parents=True, exist_ok=True)
            with open_root(self.path.absolute()) as folder:
                folder.write(name, data)
                os.fsync(folder.descriptor)
        except OSError as error:
            raise KitError(
                f"{self.path}: rows {first:,} to {first + len(rows):,} can't be kept: {error.strerror}; what is kept "
                "stays, and the same command goes on from there"
            ) from error


def in_parts(
    rows: Sequence[In],
    kind: type[Out],
    parts: Parts,
    compute: Callable[[int, Sequence[In]], Sequence[Out]],
    *,
    writes: bool,
    size: int = PART_ROWS,
) -> list[Out]:
    """Compute a row for each row, part by part; parts that an earlier run kept are read and not computed.

    All ranks begin with the same part: with what :meth:`Parts.read` gives to each.

    Args:
        rows: the same on every rank.
        kind: type of the rows that are computed.
        parts: the job's parts.
        compute: returns one row for each of a part's rows, all of them on every rank; its first argument is the
            position of the part's first row.
        writes: whether this process keeps the parts; one rank does.
        size: rows of a part.

    Raises:
        KitError: ``compute`` gives another number of rows than it got, or a part can't be kept.
    """
    found = parts.read(kind, len(rows), size)
    for first in range(len(found), len(rows), size):
        part = rows[first : first + size]
        made = list(compute(first, part))
        if len(made) != len(part):
            raise KitError(f"rows {first:,} to {first + len(part):,}: {len(made):,} came back of {len(part):,}")
        if writes:
            parts.keep(first, made)
        found += made
    return found
