"""``kit select``: the part of a file's rows that a score puts first."""

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

import typer

from kit.cli import app, path_option, say
from kit.cli.files import Format, Seed
from kit.cli.placing import check_out, place
from kit.errors import RequestError, one_line
from kit.reading.values import MOST_ROWS

if TYPE_CHECKING:
    from kit.files.rowfiles import RowFile

RANDOM = "random"
"""Value of ``--by`` that looks at no score."""
ENDS = ("highest", "lowest")
LACKING = ("refuse", "last")
"""Values of ``--missing``: rows without a number and without a reason are an error, or come after all others."""
SHARE = re.compile(r"(\d{1,3}(?:\.\d{1,9})?)\s*%")
MOST_GROUPS = 20
"""Groups that are printed; all of them are selected from."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Top:
    """Size of the part that is kept: a share of the rows, or a number of them."""

    text: str
    """Text of the option."""
    share: Fraction | None = None
    count: int = 0

    def of(self, rows: int) -> int:
        """Return how many of some rows are kept; a share is rounded half up, and keeps one row at least."""
        from kit.measures.ranking import kept_count

        return min(self.count, rows) if self.share is None else kept_count(self.share, rows)


@dataclass(frozen=True, slots=True, kw_only=True)
class Selection:
    """The rows that are kept of one group, or of the whole file."""

    group: str
    """Value of the group's field; empty for the whole file."""
    rows: Sequence[int]
    """Positions of the group's rows."""
    kept: Sequence[int]
    """Positions of those that are kept."""
    cut: float | None = None
    """Value of the last row that is kept; None where no value decides."""
    unscored: int = 0
    """Rows that are kept though they have no value, because the others are too few."""

    def line(self, by: str) -> str:
        """Return a sentence: how many of how many rows, and the value at the cut."""
        from kit.measures.ranking import cut_text

        name = f"{one_line(self.group, 60)}: " if self.group else ""
        parts = [f"{name}{len(self.kept):,} of {len(self.rows):,} rows"]
        parts += [f"cut at {by} {cut_text(self.cut)}"] if self.cut is not None else []
        parts += [f"{self.unscored:,} of them without a {by}, as the others are too few"] if self.unscored else []
        return ", ".join(parts)


@app.command()
def select(
    by: Annotated[
        str,
        typer.Option("--by", help="A field with numbers, such as ic_ifd or ifd as `kit score` writes them; or random"),
    ],
    top: Annotated[str, typer.Option("--top", help="10% (rounded half up, one row at least), or a number of rows")],
    data: Annotated[Path, path_option("--data", "Rows with scores: JSON, JSONL, CSV or Parquet")],
    out: Annotated[
        Path, path_option("--out", "File to write, in the format and container of --data; it must not be there yet")
    ],
    keep: Annotated[
        str,
        typer.Option(
            "--keep",
            help="highest or lowest; default for a number of kit score: highest for ifd and ic_ifd, lowest for "
            "instruction_ppl and instruction_length, ...; other fields have none",
        ),
    ] = "",
    group: Annotated[str, typer.Option("--group", help="A field: the top of each of its values' rows")] = "",
    missing: Annotated[
        str, typer.Option("--missing", help="Rows without a number: refuse, or last (kept if all others are too few)")
    ] = "refuse",
    format: Format = "auto",
    seed: Seed = 42,
) -> None:
    """Rows with scores -> the part with the highest or lowest, as it stands and in order; of equal ones the first."""
    from kit.files.formats import FORMATS, open_rows
    from kit.files.numbers import groups_of, numbers_of
    from kit.files.writing import write_back
    from kit.metrics import selecting_numbers
    from kit.plan.options import check_choice, check_seed

    asked = parse_top(top)
    if keep:
        check_choice("--keep", keep, ENDS)
    check_choice("--missing", missing, LACKING)
    check_choice("--format", format, FORMATS)
    check_seed(seed)
    if by == RANDOM and keep:
        raise RequestError(f"--keep {keep}: --by random looks at no value; leave it out")
    check_out(out, [data])
    origin = open_rows(data, format, any_table=True)
    check_room(origin, asked)
    metric = selecting_numbers().get(by, "")
    values = None if by == RANDOM else numbers_of(origin, by, missing=missing == "last", metric=metric)
    end = end_of(by, keep)
    groups = groups_of(origin, group) if group else [""] * len(origin.records)
    selections = list(selected(values, groups, asked, end, seed))
    kept = sorted(row for selection in selections for row in selection.kept)
    place(out, lambda path: write_back(kept, origin, path))
    for line in lines(selections, by, end, asked, seed):
        say(line)
    found = selections[0].line(by) if not group else f"{len(kept):,} of {len(origin.records):,} rows"
    say(f"{found}: {out}")


def parse_top(text: str) -> Top:
    """Return the size that ``--top`` asks for.

    Raises:
        RequestError: it is no share above 0 up to 100 %, and no number of rows.
    """
    if match := SHARE.fullmatch(text.strip()):
        share = Fraction(match[1]) / 100
        if not 0 < share <= 1:
            raise RequestError(f"--top {one_line(text, 60)}: wanted a share above 0% and up to 100%")
        return Top(text=text.strip(), share=share)
    if re.fullmatch(r"\d{1,12}", text.strip()):
        if not 1 <= int(text) <= MOST_ROWS:
            raise RequestError(f"--top {one_line(text, 60)}: wanted 1 row to {MOST_ROWS:,}, or a share such as 10%")
        return Top(text=text.strip(), count=int(text))
    raise RequestError(f"--top {one_line(text, 60)}: wanted a share of the rows such as 10%, or a number of rows")


def check_room(origin: "RowFile", top: Top) -> None:
    """Check that a file has as many rows as are asked for.

    Raises:
        RequestError: it has fewer, or none.
    """
    rows = len(origin.records)
    if not rows:
        raise RequestError(f"{origin.name}: no record; wanted rows with scores")
    if top.count > rows:
        raise RequestError(f"--top {top.text}: {origin.name} has {rows:,} rows; wanted {rows:,} at most")


def end_of(by: str, keep: str) -> Literal["highest", "lowest"]:
    """Return the end of the order that is kept: what is asked for, or what the metric of that number has.

    Raises:
        RequestError: none is asked for, and no metric has that number.
    """
    from kit import metrics, registry

    if keep:
        return "lowest" if keep == "lowest" else "highest"
    known = {number: end for name in registry.names("metrics") for number, end in metrics.load(name).KEEPS.items()}
    if by not in known and by != RANDOM:
        raise RequestError(
            f"--by {one_line(by, 60)}: no metric says which end of it is kept; give --keep highest or --keep lowest"
        )
    return known.get(by, "highest")


def selected(
    values: Sequence[float | None] | None, groups: Sequence[str], top: Top, end: Literal["highest", "lowest"], seed: int
) -> Iterator[Selection]:
    """Yield the rows that are kept of each group, in the order in which the groups begin.

    Args:
        values: the number of each row; None where rows are drawn at random.
        groups: the group of each row.
        top: how many are kept of a group.
        end: end of the order that is kept.
        seed: seed of the draw; each group has a draw of its own.
    """
    from kit.measures.ranking import by_group, cut_of, kept_rows, random_rows

    for group, rows in by_group(groups).items():
        count = top.of(len(rows))
        if values is None:
            kept = random_rows(len(rows), count, f"{seed}/{group}" if group else seed)
            yield Selection(group=group, rows=rows, kept=[rows[position] for position in kept])
            continue
        own = [values[row] for row in rows]
        kept = kept_rows(own, count, end)
        yield Selection(
            group=group,
            rows=rows,
            kept=[rows[position] for position in kept],
            cut=cut_of(own, kept, end),
            unscored=sum(own[position] is None for position in kept),
        )


def lines(selections: Sequence[Selection], by: str, end: str, top: Top, seed: int) -> Iterator[str]:
    """Yield the printed lines: the rule, and each group's rows and cut where there are groups."""
    grouped = bool(selections[0].group)
    of = "of each group" if grouped else "of all rows"
    rounded = " (rounded half up, one row at least)" if top.share is not None else ""
    order = f"at random, seed {seed}" if by == RANDOM else f"the {end} {by}, of equal ones the first"
    yield f"{top.text} {of}{rounded}: {order}"
    for selection in selections[:MOST_GROUPS] if grouped else ():
        yield selection.line(by)
    if len(selections) > MOST_GROUPS:
        yield f"{len(selections) - MOST_GROUPS:,} more groups"
