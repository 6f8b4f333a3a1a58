"""Results of anybody's from a CSV file: benchmark, n and value, and names of rows and tables if there are any.

    table,row,benchmark,n,value
    main,ours,gsm8k,1319,33.50

A value is a percentage and keeps its decimals: 33.50 has two, 33.5 has one. Nothing is guessed: what a spreadsheet
makes of a number (a decimal comma, a percent sign, thousands separators) is refused with the line and the cure.
"""

import re
from collections.abc import Mapping, Sequence
from pathlib import Path

from kit.audit.counts import Number
from kit.audit.facts import CountsFile
from kit.audit.ifeval import ROLES
from kit.audit.sheets import Column, Line, Sheet
from kit.errors import RequestError, did_you_mean, listed, one_line, shown
from kit.files import csvrows
from kit.reading.textfiles import decode, read_bytes, unpack

WANTED = ("benchmark", "n", "value")
OPTIONAL = ("row", "table")
MOST_BYTES = 16 * 2**20
MOST_CELLS = 10_000
MOST_ROWS = 500
"""Most rows of several cells, as each is compared with every other."""
MOST_COLUMNS = 500
"""Most benchmarks of one table, for the same reason."""
LARGEST_N = 10_000_000
MOST_DECIMALS = 8
PLAIN = re.compile(rf"[0-9]{{1,3}}(?:\.[0-9]{{1,{MOST_DECIMALS}}})?", re.ASCII)
WHOLE = re.compile(r"[1-9][0-9]*", re.ASCII)
ROLE_OF = {f"ifeval_{role.replace(' ', '_')}": role for role in ROLES}
"""Names of IFEval's columns -> what they count."""
Cell = tuple[str, str, str, int, Number]
"""Table, row, benchmark, n and value of one line."""


def read_results(path: Path, facts: CountsFile) -> list[Sheet]:
    """Return the tables of a CSV file; without row names each line stands by itself.

    Raises:
        RequestError: it is no such file; the message has the line, what was found and the cure.
    """
    name = one_line(str(path))
    data = unpack(read_bytes(path, max_bytes=MOST_BYTES), name)
    text = decode(data, name)
    csvrows.check_no_note(text, name)
    if not text.strip():
        raise RequestError(
            f"{name}: nothing in it; wanted a header with {', '.join(WANTED)}, and a line for each value"
        )
    delimiter = csvrows.delimiter_of(text, name, frozenset((*WANTED, *OPTIONAL))) or ","
    table = csvrows.read(text, name, delimiter, marked=False)
    _check_columns(table.columns, name)
    if not table.rows:
        raise RequestError(f"{name}: a header and no line below it; wanted a line for each value")
    if len(table.rows) > MOST_CELLS:
        raise RequestError(f"{name}: {len(table.rows):,} lines; wanted {MOST_CELLS:,} at most, so split the file")
    cells = [_cell(row, number, path.stem) for number, row in enumerate(table.rows, 1)]
    _check_percent(cells, name)
    return _sheets(cells, table.rows, facts)


def _check_columns(columns: Sequence[str], name: str) -> None:
    """Check that a header has every column that is needed and none that is not known.

    Raises:
        RequestError: it does not.
    """
    known = (*WANTED, *OPTIONAL)
    for wanted in WANTED:
        if wanted not in columns:
            likely = next((one for one in columns if one.strip().casefold() == wanted), "")
            cure = f"; write {shown(likely)} as {shown(wanted)}" if likely else ""
            raise RequestError(
                f"{name}: no column {wanted!r}; found {listed(columns)}, wanted {', '.join(WANTED)}{cure}"
            )
    for column in columns:
        if column not in known:
            raise RequestError(f"{name}: a column {shown(column)} that is not read{did_you_mean(column, known)}")


def _cell(row: csvrows.TableRow, number: int, stem: str) -> Cell:
    """Return one line as a cell; a line without a row's name is a row of its own."""
    texts = {column: str(value).strip() for column, value in row.fields.items()}
    for column in WANTED:
        if not texts[column]:
            raise RequestError(f"{row.where}: {column}: empty; wanted a value, or the line left out")
    line = texts.get("row") or f"value {number}"
    return (
        texts.get("table") or stem,
        line,
        texts["benchmark"],
        _n(texts["n"], row.where),
        _value(texts["value"], row.where),
    )


def _n(text: str, where: str) -> int:
    """Return a number of items that is written without separators.

    Raises:
        RequestError: it is no whole number from 1 on, or a larger one than any benchmark has.
    """
    if WHOLE.fullmatch(text):
        if len(text) > len(str(LARGEST_N)) or int(text) > LARGEST_N:
            raise RequestError(f"{where}: n: found {shown(text)}, wanted {LARGEST_N:,} items at most")
        return int(text)
    bare = re.sub(r"[,.' \u00a0\u202f](?=[0-9]{3}\b)", "", text)
    plain = re.sub(r"\.0+$", "", bare)
    cure = f"; write {plain}" if plain != text and WHOLE.fullmatch(plain) else ""
    raise RequestError(f"{where}: n: found {shown(text)}, wanted a whole number of items from 1 on{cure}")


def _value(text: str, where: str) -> Number:
    """Return a percentage with the decimals that it is written with.

    Raises:
        RequestError: it is no plain decimal number from 0 to 100.
    """
    if PLAIN.fullmatch(text):
        whole, _, part = text.partition(".")
        found = Number(int(whole + part), len(part))
        if found.digits > 100 * found.unit:
            raise RequestError(f"{where}: value: found {shown(text)}, wanted a percentage from 0 to 100")
        return found
    bare = text.removesuffix("%").rstrip()
    pointed = bare.replace(",", ".")
    if bare != text and PLAIN.fullmatch(pointed):
        cure = f"; leave the percent sign out: {pointed}"
    elif PLAIN.fullmatch(pointed):
        cure = f"; write a decimal point: {pointed}"
    else:
        cure = ", with digits and one point, such as 33.50"
    raise RequestError(f"{where}: value: found {shown(text)}, wanted a percentage from 0 to 100{cure}")


def _check_percent(cells: Sequence[Cell], name: str) -> None:
    """Check that the values are percentages and not shares.

    Raises:
        RequestError: none is above 1, and some have decimals.
    """
    values = [value for *_, value in cells]
    if max(one.value for one in values) <= 1 and any(one.decimals and one.digits for one in values):
        raise RequestError(f"{name}: no value is above 1; wanted percentages: 33.50 and not 0.3350")


def _sheets(cells: Sequence[Cell], rows: Sequence[csvrows.TableRow], facts: CountsFile) -> list[Sheet]:
    """Return the cells as tables, in the order in which their names first occur.

    Raises:
        RequestError: one cell is there twice, or there are too many rows or benchmarks to compare.
    """
    sizes: dict[str, set[int]] = {}
    for _, _, benchmark, n, _ in cells:
        sizes.setdefault(benchmark, set()).add(n)
    tables: dict[str, dict[str, dict[str, Number]]] = {}
    columns: dict[str, dict[str, Column]] = {}
    for (table, row, benchmark, n, value), place in zip(cells, rows, strict=True):
        column = _column(benchmark, n, facts, alone=len(sizes[benchmark]) == 1)
        line = tables.setdefault(table, {}).setdefault(row, {})
        if column.id in line:
            raise RequestError(f"{place.where}: {shown(row)} has {shown(benchmark)} twice; wanted each once in a row")
        line[column.id] = value
        columns.setdefault(table, {})[column.id] = column
    several = sum(len(line) > 1 for lines in tables.values() for line in lines.values())
    most = max(len(one) for one in columns.values())
    for count, limit, what in ((several, MOST_ROWS, "rows of several cells"), (most, MOST_COLUMNS, "benchmarks")):
        if count > limit:
            name = rows[0].where.rpartition(":")[0]
            raise RequestError(
                f"{name}: {count:,} {what}; wanted {limit:,} at most, as each is compared with every other; split the "
                "file"
            )
    return [_sheet(name, list(columns[name].values()), lines) for name, lines in tables.items()]


def _sheet(name: str, columns: Sequence[Column], lines: Mapping[str, Mapping[str, Number]]) -> Sheet:
    """Return one table of rows that are named."""
    return Sheet(name=name, columns=columns, lines=[Line(name=row, cells=cells) for row, cells in lines.items()])


def _column(benchmark: str, n: int, facts: CountsFile, *, alone: bool) -> Column:
    """Return the column of a benchmark with so many items."""
    role = ROLE_OF.get(benchmark, "")
    known = "ifeval" if role else benchmark if facts.of(benchmark) else ""
    return Column(id=benchmark if alone else f"{benchmark} (n = {n})", benchmark=known, role=role, n=n, units=n)
