"""CSV tables with a header: cells between commas, semicolons, tabs or bars, quoted as spreadsheets and pandas do."""

import csv
import io
import json
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from collections.abc import Set as AbstractSet
from dataclasses import dataclass, field
from typing import Any

from kit.errors import RequestError, listed, shown
from kit.files.fields import CHATS, MOST_FIELDS
from kit.reading.jsonfiles import BeyondError, load_json
from kit.reading.jsonlines import BYTE_ORDER_MARK, beyond_json

DELIMITERS = (",", ";", "\t", "|")
NAMES = (".csv", ".tsv", ".csv.gz", ".tsv.gz")
"""Endings of names that say CSV, for a table that its first line does not give away."""
LISTS = (*CHATS, "history")
"""Columns whose cells hold JSON."""
HEADER_CHARACTERS = 1 << 16
"""Characters in which a header ends."""


@dataclass(frozen=True, slots=True, kw_only=True)
class TableRow:
    """Row of a table, as cells and as fields."""

    where: str
    """File and line, for messages."""
    cells: Sequence[str]
    """The cells as they stand."""
    fields: Mapping[str, Any]
    """Column -> cell; a list where the column holds JSON, None where such a cell is empty."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Table:
    """A CSV file's rows, and how they were written."""

    columns: Sequence[str]
    delimiter: str
    line_end: str
    """End of each line: ``\\r\\n`` or ``\\n``."""
    quote_all: bool
    """Whether every cell is quoted."""
    marked: bool
    """Whether the file begins with a byte-order mark, by which spreadsheets know UTF-8."""
    rows: Sequence[TableRow] = field(repr=False)


def check_no_note(text: str, name: str) -> None:
    """Check that a text does not begin with a line that tells Excel the delimiter and is no header.

    Raises:
        RequestError: it does.
    """
    line = text[:8].partition("\n")[0].strip()
    if line.lower().startswith("sep=") and len(line) <= len("sep=;"):
        raise RequestError(
            f"{name}: the first line is Excel's note of the delimiter ({shown(line)}); leave it out, so that the "
            "header stands first"
        )


def delimiter_of(text: str, name: str, known: AbstractSet[str]) -> str:
    """Return what separates the cells of a table, or an empty text for what is no table.

    Args:
        text: the file's text.
        name: the file's name, which decides on a text whose first line names no field.
        known: fields of which a header names one at least.
    """
    headers = {delimiter: _first_row(text, delimiter) for delimiter in DELIMITERS}
    said = name.lower().endswith(NAMES)
    fitting = [one for one, cells in headers.items() if known & set(cells) and (said or len(cells) > 1)]
    best = max(fitting, key=lambda one: len(headers[one]), default="")
    return best or (max(DELIMITERS, key=lambda one: len(headers[one])) if said else "")


def _first_row(text: str, delimiter: str) -> list[str]:
    """Return the cells of the first row; none where the text is no table of that delimiter."""
    try:
        return next(csv.reader(io.StringIO(text[:HEADER_CHARACTERS], newline=""), delimiter=delimiter, strict=True), [])
    except csv.Error:
        return []


def read(text: str, name: str, delimiter: str, *, marked: bool) -> Table:
    """Return the rows of a table.

    Raises:
        RequestError: quotes or zero bytes stand where none may, a row has more or fewer cells than the header, or a
            cell that should hold JSON does not.
    """
    if "\0" in text:
        line = text.count("\n", 0, text.index("\0")) + 1
        raise RequestError(f"{name}:{line}: a zero byte in it; wanted CSV as UTF-8 text")
    (_, columns), *body = _rows(text, name, delimiter)
    if len(columns) > MOST_FIELDS:
        raise RequestError(f"{name}: {len(columns):,} columns; wanted {MOST_FIELDS:,} at most")
    twice = [column for column, count in Counter(columns).items() if count > 1 and column.strip()]
    if twice:
        raise RequestError(f"{name}: the header has the column {shown(twice[0])} twice; wanted each name once")
    made = []
    for line, cells in body:
        where = f"{name}:{line}"
        if len(cells) != len(columns):
            raise RequestError(
                f"{where}: found {len(cells):,} cells, the header has {len(columns):,}; is a text with "
                f"{shown(delimiter)} or a line break in it not quoted?"
            )
        made.append(TableRow(where=where, cells=cells, fields=_fields(columns, cells, where)))
    line_end = "\r\n" if "\r\n" in text[: text.find("\n") + 1] else "\n"
    quote_all = text.startswith('"')
    return Table(columns=columns, delimiter=delimiter, line_end=line_end, quote_all=quote_all, marked=marked, rows=made)


def _rows(text: str, name: str, delimiter: str) -> list[tuple[int, list[str]]]:
    """Return the line and the cells of each row; rows without a text, as spreadsheets write below a table, left out."""
    longest = csv.field_size_limit()
    reader = csv.reader(io.StringIO(text, newline=""), delimiter=delimiter, strict=True)
    found: list[tuple[int, list[str]]] = []
    line = 1
    try:
        csv.field_size_limit(max(longest, len(text) + 1))  # for the whole process, and so it is put back
        for cells in reader:
            if any(map(str.strip, cells)) or (cells and not found):
                found.append((line, cells))
            line = reader.line_num + 1
    except csv.Error as error:
        fault = "a quote that is opened and not closed" if "end of data" in str(error) else str(error)
        raise RequestError(f"{name}:{line}: not CSV: {fault}; wanted quotes inside of quotes doubled") from error
    finally:
        csv.field_size_limit(longest)
    return found


def check_header(table: Table, name: str, known: AbstractSet[str]) -> None:
    """Check that the first line of a table names its columns.

    Raises:
        RequestError: it names no field that is read.
    """
    if not known & {column.lstrip(BYTE_ORDER_MARK) for column in table.columns}:
        likely = next((column for column in table.columns if column.strip().casefold() in known), "")
        cure = (
            f"write {shown(likely)} as {shown(likely.strip().casefold())}"
            if likely
            else "does the file lack its header?"
        )
        raise RequestError(
            f"{name}: the first line names no field that is read; found {listed(table.columns)}, wanted one of "
            f"{', '.join(sorted(known))}; {cure}"
        )


def _fields(columns: Sequence[str], cells: Sequence[str], where: str) -> dict[str, Any]:
    """Return the cells by their columns, those that hold JSON decoded."""
    found: dict[str, Any] = {}
    for column, cell in zip(columns, cells, strict=True):
        found[column] = cell or found.get(column, "")  # only columns without a name may have the same one
    for name in LISTS:
        if name in found:
            found[name] = _decoded(found[name], f"{where}: {name!r}")
    return found


def _decoded(cell: str, where: str) -> Any:
    """Return the list of a cell that holds JSON; other text as it is, None for none.

    Raises:
        RequestError: the cell holds a list in another way, as pandas writes it.
    """
    if not cell.strip():
        return None
    if cell.lstrip()[0] not in "[{":
        return cell
    try:
        return load_json(cell, unique_names=True)
    except json.JSONDecodeError as error:
        raise RequestError(
            f"{where}: not JSON: {error.msg}: column {error.pos + 1}; wanted the list as JSON (json.dumps), not as "
            "Python or pandas print it"
        ) from error
    except BeyondError as error:
        raise RequestError(f"{where}: {beyond_json(error)}") from error


def dumped(table: Table, columns: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    """Return the text of a table, written as another one is: the same delimiter, line ends and quoting."""
    lines = [table.delimiter.join(_cell(cell, table) for cell in cells) + table.line_end for cells in (columns, *rows)]
    return BYTE_ORDER_MARK * table.marked + "".join(lines)


def _cell(cell: str, table: Table) -> str:
    r"""Return a cell, quoted where it must be or every cell is; csv's own writer leaves a lone ``\r`` bare."""
    if table.quote_all or not cell or any(sign in cell for sign in (table.delimiter, '"', "\r", "\n")):
        quoted = cell.replace('"', '""')
        return f'"{quoted}"' if cell or table.quote_all or len(table.columns) == 1 else ""
    return cell


def cell_of(value: Any) -> str:
    """Return a value as the text of a cell: nothing for None, JSON for a list, a text as it is."""
    if value is None:
        return ""
    return value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)
