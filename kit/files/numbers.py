"""Numbers in the fields of a user's rows: scores that ``kit score`` wrote, or any others."""

import json
import math
import re
from collections.abc import Mapping, Sequence
from typing import Any

from kit.errors import RequestError, did_you_mean, shown
from kit.files.fields import is_nothing
from kit.files.rowfiles import RowFile

SKIPPED = "_skipped"
"""End of the name of the field with the reason why a metric could not score a row: ``ifd_skipped``."""
WHOLE = re.compile(r"[+-]?\d{1,400}", re.ASCII)
"""A table's text of a whole number."""
MOST_PLACES = 3
"""Places that a message names."""


def numbers_of(file: RowFile, name: str, *, missing: bool, metric: str = "") -> list[float | None]:
    """Return the number that each row has in a field; None for a row without one.

    A table's cells and Parquet's texts are read as numbers. A row without a number that says why, in a field like
    ``ifd_skipped``, is one that ``kit score`` could not score.

    Args:
        file: the rows.
        name: the field.
        missing: whether rows may lack it without a reason.
        metric: the metric that gives this number, whose reason alone counts; any metric's where none is known to.

    Returns:
        Whole numbers as they are, since neighbours of 2^53 are one as floats.

    Raises:
        RequestError: no row has the field, some lack it without a reason, or it holds something else than finite
            numbers.
    """
    records = file.records
    if not any(name in record for _, record in records):
        known = sorted({field for _, record in records for field, value in record.items() if _is_number(value)})
        none = "" if known else "; no field of it holds a number (kit score writes some)"
        raise RequestError(
            f"{file.name}: no row has a field {shown(name)}{did_you_mean(name, known) if known else none}"
        )
    found = [_number(record.get(name), f"{where}: {name!r}") for where, record in records]
    lacking = [
        where
        for (where, record), value in zip(records, found, strict=True)
        if value is None and not is_skipped(record, metric)
    ]
    if len(lacking) == len(records):
        raise RequestError(f"{file.name}: {name!r} is empty in all {len(records):,} rows; wanted a number in each")
    if lacking and not missing:
        raise RequestError(
            f"{file.name}: {len(lacking):,} of {len(records):,} rows have no {name!r}: {_places(lacking)}; score them "
            "(kit score), or take them after all others (--missing last)"
        )
    if all(value is None for value in found):
        raise RequestError(f"{file.name}: no row has a {name!r}, none could be scored; why: the fields *{SKIPPED}")
    return found


def groups_of(file: RowFile, name: str) -> list[str]:
    """Return the value that each row has in a field, as text.

    Raises:
        RequestError: no row has the field, some lack it, one holds no text, number or truth, or a number stands there
            in one row and the same digits as a text in another.
    """
    records = file.records
    lacking = [where for where, record in records if is_nothing(record.get(name))]
    if len(lacking) == len(records):
        known = sorted({field for _, record in records for field in record})
        raise RequestError(f"--group: {file.name}: no row has a field {shown(name)}{did_you_mean(name, known)}")
    if lacking:
        raise RequestError(
            f"--group: {file.name}: {len(lacking):,} of {len(records):,} rows have no {name!r}: {_places(lacking)}; "
            "give each row its group"
        )
    found: list[str] = []
    first: dict[str, tuple[bool, str]] = {}
    for where, record in records:
        value = record[name]
        if not isinstance(value, str | int | float):
            raise RequestError(f"--group: {where}: {name!r}: found {shown(value)}, wanted a text or a number")
        text = value if isinstance(value, str) else json.dumps(_whole(value))
        written, earlier = first.setdefault(text, (isinstance(value, str), where))
        if written != isinstance(value, str):
            raise RequestError(
                f"--group: {name!r} is the text {text!r} in {earlier if written else where}, and no text in "
                f"{where if written else earlier}; write it in one way"
            )
        found.append(text)
    return found


def is_skipped(record: Mapping[str, Any], metric: str = "") -> bool:
    """Return whether a row says why a metric could not score it; any metric, where none is named."""
    reasons = [record.get(metric + SKIPPED)] if metric else [record[name] for name in record if name.endswith(SKIPPED)]
    return any(isinstance(reason, str) and not is_nothing(reason) for reason in reasons)


def _whole(value: float) -> float:
    """Return a float without a fraction as the whole number that it is; any other value as it stands."""
    return int(value) if isinstance(value, float) and value.is_integer() else value


def _number(value: Any, where: str) -> float | None:
    """Return a value as a number; None where nothing stands there."""
    if is_nothing(value):
        return None
    if isinstance(value, str):
        text = value.strip()
        try:
            value = int(text) if WHOLE.fullmatch(text) else float(text.replace("_", "?"))  # 1_0 is Python's alone
        except ValueError:
            raise RequestError(f"{where}: found {shown(value)}, wanted a number") from None
    if type(value) not in (int, float):
        cure = "; --by NAME takes the whole chat's" if where.endswith("_turns'") else ""
        raise RequestError(f"{where}: found {type(value).__name__}, wanted a number{cure}")
    try:
        finite = math.isfinite(value)
    except OverflowError:
        finite = False
    if not finite:
        raise RequestError(f"{where}: found {shown(value)}, wanted a finite number; leave the row out, or the field")
    number: float = value
    return number


def _is_number(value: Any) -> bool:
    """Return whether a field's value is a number, or a table's text of one."""
    try:
        return _number(value, "") is not None
    except RequestError:
        return False


def _places(where: Sequence[str]) -> str:
    """Return the first places of some rows."""
    more = f" and {len(where) - MOST_PLACES:,} more" if len(where) > MOST_PLACES else ""
    return ", ".join(where[:MOST_PLACES]) + more
