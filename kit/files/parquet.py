"""Parquet files where pyarrow is installed, read and written by a process of their own that has limits."""

import tempfile
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from importlib.util import find_spec
from pathlib import Path
from typing import Any

from kit.errors import KitError, RequestError, one_line
from kit.reading.child import Child
from kit.reading.textfiles import BOMB_BYTES, BOMB_FOLD, MAX_UNPACKED_BYTES

MAGIC = b"PAR1"
SCRIPT = Path(__file__).with_name("_parquet_child.py")
ADDRESS_SPACE_BYTES = 4 << 30
"""Address space of the process, of which pyarrow itself takes a part, beside the file's size many times."""
SIZES = 16
"""Sizes of the file that the process may take besides: columns are unpacked, then made rows."""
CPU_S = 300
"""Seconds of the processor's time; a million rows take some ten."""


def read(path: Path, size: int, name: str) -> tuple[list[str], list[dict[str, Any]]]:
    """Return the columns and the rows of a Parquet file; lists and structs become lists and objects.

    Args:
        path: the file.
        size: its size, bytes.
        name: its name in messages.

    Raises:
        RequestError: pyarrow is not installed, the file is cut off or damaged, or unpacks to more than rows do.
    """
    if find_spec("pyarrow") is None:
        raise RequestError(
            f"{name}: a Parquet file, and pyarrow, which reads it, is not installed; install pyarrow, or write the "
            "rows as JSONL"
        )
    rows: list[dict[str, Any]] = []
    columns: list[str] = []
    held = 0
    with _child() as child:
        child.send(_limits(size) | {"path": str(path.resolve())})
        for answer in _answers(child, name):
            columns = answer.get("columns", columns)
            batch = answer.get("rows", [])
            held += sum(_size(row) for row in batch)
            if held > MAX_UNPACKED_BYTES:
                raise RequestError(f"{name}: unpacks to more than {MAX_UNPACKED_BYTES:,} bytes; split it")
            if held > BOMB_BYTES and held > BOMB_FOLD * size:
                raise RequestError(f"{name}: unpacks to more than {BOMB_FOLD} times its {size:,} bytes; no rows do")
            rows += batch
    if not rows:
        raise RequestError(f"{name}: no row; wanted a Parquet file of records")
    return columns, rows


def write(
    data: bytes,
    out: Path,
    positions: Sequence[int | None],
    changes: Mapping[str, Sequence[tuple[int, Any]]],
    in_front: Sequence[str] = (),
) -> None:
    """Write rows of a Parquet file to another one; what is not changed keeps its type and its value.

    Args:
        data: the file's bytes.
        out: the file to write.
        positions: for each row to write, the row that it is made of, or None for a new one.
        changes: column -> row to write and its new value; a column that is not there yet becomes one of texts.
        in_front: new columns that stand before the others.

    Raises:
        KitError: the values don't fit the columns' types.
    """
    with tempfile.TemporaryDirectory(prefix="kit-parquet-") as folder, _child() as child:
        source = Path(folder) / "source.parquet"
        source.write_bytes(data)
        request = {
            **_limits(len(data) + (64 << 20)),
            "path": str(source),
            "out": str(out.resolve()),
            "positions": list(positions),
            "changes": {name: [list(change) for change in made] for name, made in changes.items()},
            "in_front": list(in_front),
        }
        child.send(request)
        try:
            list(_answers(child, one_line(str(out))))
        except RequestError as error:
            raise KitError(str(error)) from error


def _limits(size: int) -> dict[str, int]:
    """Return the limits of a request for a file of this size."""
    return {"most_bytes": ADDRESS_SPACE_BYTES + SIZES * size, "cpu_s": CPU_S}


@contextmanager
def _child() -> Iterator[Child]:
    """Start the process, and end it whatever happens."""
    child = Child(SCRIPT, quiet=True, environment={"ARROW_DEFAULT_MEMORY_POOL": "system", "OMP_NUM_THREADS": "1"})
    try:
        yield child
    finally:
        child.kill()


def _answers(child: Child, name: str) -> Iterator[dict[str, Any]]:
    """Give the answers to one request up to its end.

    Raises:
        RequestError: the file is refused, or brought the process down.
    """
    while True:
        answer = child.receive()
        if answer is None:
            raise RequestError(f"{name}: its reader came to an end on it (pyarrow); is the file damaged, or too large?")
        if refused := answer.get("refused"):
            raise RequestError(f"{name}: {one_line(refused)}")
        if "end" in answer:
            return
        yield answer


def _size(value: Any) -> int:
    """Return how many characters a row's texts and names have, about."""
    if isinstance(value, str):
        return len(value)
    if isinstance(value, dict):
        return sum(len(name) + _size(inner) for name, inner in value.items())
    return sum(map(_size, value)) if isinstance(value, list) else 8
