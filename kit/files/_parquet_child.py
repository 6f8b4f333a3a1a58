"""The process that reads and writes Parquet: a request a line in, rows as JSON out.

:mod:`kit.files.parquet` starts it as a script of its own: a Parquet file of some kilobytes can unpack to any size, and
one that is damaged on purpose may bring its reader down. The kernel ends the process where it wants too much.
"""

import datetime
import decimal
import json
import math
import os
import resource
import sys
from collections import Counter
from collections.abc import Iterator
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

BATCH_ROWS = 64
DEEPEST = 100
"""Lists and structs in each other; as in :mod:`kit.reading.jsonfiles`, which this script does not import."""
MOST_COLUMNS = 10_000

READING = ("read", "is the file cut off?")
"""Verb and likely cure of a message about a file that is read; one that is written has others."""


class RefusedError(Exception):
    """The file holds what is not read; the message is for people."""


def plain(value: Any, depth: int = 0) -> Any:
    """Return a value as JSON has it: dates and decimals as text, what is no number as null, bytes as an object."""
    if depth > DEEPEST:
        raise RefusedError("lists or structs nested too deep to read; wanted records of texts")
    if value is None or isinstance(value, str | bool | int):
        return value
    if isinstance(value, float):
        return value if math.isfinite(value) else None
    if isinstance(value, dict):
        return {str(name): plain(inner, depth + 1) for name, inner in value.items()}
    if isinstance(value, list | tuple):
        return [plain(inner, depth + 1) for inner in value]
    if isinstance(value, datetime.date | datetime.time | datetime.timedelta | decimal.Decimal):
        return str(value)
    return {"type": type(value).__name__}


def opened(path: str) -> pq.ParquetFile:
    """Open a file and check its columns."""
    file = pq.ParquetFile(path)
    names = file.schema_arrow.names
    if len(names) > MOST_COLUMNS:
        raise RefusedError(f"{len(names):,} columns; wanted {MOST_COLUMNS:,} at most")
    if twice := [name for name, count in Counter(names).items() if count > 1]:
        raise RefusedError(f"it has the column {twice[0][:60]!r} twice; wanted each name once")
    return file


def batches(file: pq.ParquetFile) -> Iterator[list[Any]]:
    """Give the rows, some at a time."""
    for batch in file.iter_batches(batch_size=BATCH_ROWS, use_threads=False):
        yield [plain(row) for row in batch.to_pylist()]


def fitted(values: list[Any], kind: pa.Field) -> tuple[pa.Field, pa.Array]:
    """Return a column of new values, of texts where its type has no place for them: an empty one, an id of numbers."""
    try:
        if not pa.types.is_null(kind.type) or all(value is None for value in values):
            return kind, pa.array(values, kind.type)
    except (pa.ArrowInvalid, pa.ArrowTypeError):
        if pa.types.is_nested(kind.type):
            raise
    texts = [value if value is None or isinstance(value, str) else str(plain(value)) for value in values]
    return kind.with_type(pa.string()), pa.array(texts, pa.string())


def new_type(values: list[Any]) -> pa.DataType:
    """Return the type of a new column: numbers, or lists of numbers or of texts, where all values are; else texts."""
    plain_lists = all(
        type(item) in (float, str, type(None)) for value in values if isinstance(value, list) for item in value
    )
    scores = all(type(value) in (float, list, type(None)) for value in values)
    if not (scores and plain_lists and any(value is not None for value in values)):
        return pa.string()
    try:
        return pa.infer_type(values)
    except pa.ArrowException:
        return pa.string()


def written(request: dict[str, Any]) -> None:
    """Write some rows of a file: those that are kept as they are, others with new values, and new ones.

    Every column keeps its type, unless that has no place for a new value, and what is not changed its value; the file
    keeps its metadata and its compression.
    """
    file = opened(request["path"])
    table = file.read(use_threads=False).take(pa.array(request["positions"], pa.int64()))
    for name, changes in request["changes"].items():
        place = table.schema.get_field_index(name)
        kind = table.schema.field(place) if place >= 0 else pa.field(name, new_type([value for _, value in changes]))
        values = table.column(place).to_pylist() if place >= 0 else [None] * table.num_rows
        for row, value in changes:
            values[row] = value
        kind, array = fitted(values, kind)
        column = pa.chunked_array([array])
        if place >= 0:
            table = table.set_column(place, kind, column)
        elif name in request["in_front"]:
            table = table.add_column(0, kind, column)
        else:
            table = table.append_column(kind, column)
    packed = file.metadata.row_group(0).column(0).compression if file.metadata.num_row_groups else "SNAPPY"
    compression = "NONE" if packed == "UNCOMPRESSED" else packed
    pq.write_table(table, request["out"], compression=compression)


def answers() -> Iterator[dict[str, Any]]:
    """Give the answer to each request on stdin."""
    for line in sys.stdin:
        request = json.loads(line)
        size = request["most_bytes"]
        resource.setrlimit(resource.RLIMIT_AS, (size, resource.getrlimit(resource.RLIMIT_AS)[1]))
        resource.setrlimit(resource.RLIMIT_CPU, (request["cpu_s"], resource.getrlimit(resource.RLIMIT_CPU)[1]))
        try:
            if "out" in request:
                written(request)
                yield {"end": True}
                continue
            file = opened(request["path"])
            yield {"columns": file.schema_arrow.names}
            for rows in batches(file):
                yield {"rows": rows}
            yield {"end": True}
        except (MemoryError, pa.ArrowMemoryError):
            yield {"refused": "it wants more memory than its size allows; no rows do"}
        except RefusedError as error:
            yield {"refused": str(error)}
        except UnicodeDecodeError:
            yield {"refused": "a text in it is not UTF-8; write its texts as UTF-8"}
        except (pa.ArrowException, OSError, ValueError, TypeError, OverflowError, KeyError) as error:
            reason = (str(error).splitlines() or [type(error).__name__])[0]
            done, cure = ("written", "do its columns fit the new values?") if "out" in request else READING
            yield {"refused": f"cannot be {done} as Parquet ({reason[:160]}); {cure}"}


def main() -> None:
    """Answer until stdin ends; nothing but answers goes to stdout."""
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    stream = os.fdopen(os.dup(1), "w", encoding="utf-8", errors="surrogatepass", newline="\n")
    os.dup2(2, 1)
    for answer in answers():
        stream.write(json.dumps(answer, ensure_ascii=False) + "\n")
        stream.flush()


main()
