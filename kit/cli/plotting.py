"""``kit plot``: pictures of the scores in a user's own files."""

import os
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from kit.cli import app, own_path, path_option, say
from kit.cli.placing import check_out, place
from kit.cli.selecting import ENDS, Top, end_of, parse_top
from kit.errors import RequestError, listed, one_line

if TYPE_CHECKING:
    from kit.files.rowfiles import RowFile
    from kit.report.scores import Cut, Scores

FORMS = ("auto", "histogram", "densities")
MOST_FILES = 10
"""Files of one picture; more lines could not be told apart."""
NESTED = ("values", "scores")
"""Fields with scores in them, as the rows of a store's ``scores.jsonl`` have them."""


@app.command()
def plot(
    files: Annotated[
        list[Path],
        typer.Argument(help="Rows with scores: JSON, JSONL, CSV or Parquet", parser=own_path, metavar="SCORES..."),
    ],
    by: Annotated[str, typer.Option("--by", help="A field with numbers, such as ic_ifd or ifd as kit score writes it")],
    out: Annotated[
        Path,
        path_option("--out", "Picture to write, .svg or .png; its numbers beside it as .csv; neither is there yet"),
    ],
    against: Annotated[str, typer.Option("--against", help="Another such field: a dot a row at its two scores")] = "",
    top: Annotated[
        str, typer.Option("--top", help="10%, or a number of rows: show what kit select would keep of one file")
    ] = "",
    keep: Annotated[str, typer.Option("--keep", help="With --top: highest or lowest; default as for kit select")] = "",
    form: Annotated[
        str, typer.Option("--as", help="histogram, densities; auto: a histogram of one file, densities of several")
    ] = "auto",
    title: Annotated[str, typer.Option("--title", help="Heading of the picture")] = "",
) -> None:
    """Rows with scores -> a picture: histogram, densities, two scores against each other, the cut of a selection."""
    from kit.plan.options import check_choice
    from kit.report import scores
    from kit.report.plots import boxes_note, picture

    numbers = check_outputs(out, files)
    check_choice("--as", form, FORMS)
    asked = check_top(top, keep, files)
    check_form(form, against, files)
    sets = [read_scores(path, name, by, against) for path, name in named(files)]
    quantity = scores.quantity_of(by)
    cut = find_cut(sets[0], asked, end_of(by, keep)) if asked else None
    names = f"{quantity.title} and {scores.quantity_of(against).title}" if against else quantity.title
    heading = title or f"{names} of {listed([one.name for one in sets], 4)}"
    if against:
        figure = scores.scatter(sets, quantity, scores.quantity_of(against), cut, heading)
    elif form == "densities" or (form == "auto" and len(sets) > 1):
        figure = scores.densities(sets, quantity, cut, heading)
    else:
        figure = scores.histogram(sets[0], quantity, cut, heading)
    as_png = out.suffix.lower() == ".png"
    content = picture(figure, "png" if as_png else "svg")
    place(out, lambda path: path.write_bytes(content))
    place(numbers, lambda path: path.write_text(scores.numbers_csv(figure), encoding="utf-8"))
    for note in [*figure.notes, *([boxes] if as_png and (boxes := boxes_note(figure)) else [])]:
        say(note)
    for panel in figure.panels:
        for rule in getattr(panel, "rules", ()):
            say(rule.text)
    say(f"wrote {out}, its numbers: {numbers}")


def check_outputs(out: Path, files: list[Path]) -> Path:
    """Check the picture's path before the work, and return the path of its numbers.

    Raises:
        RequestError: it ends in no format of pictures, one of the files is there already, or it can't be made.
    """
    if out.suffix.lower() not in (".svg", ".png"):
        raise RequestError(f"--out {one_line(str(out))}: wanted a name that ends in .svg or .png")
    numbers = out.with_suffix(".csv")
    check_out(out, files)
    if os.path.lexists(numbers):
        raise RequestError(
            f"--out {one_line(str(out))}: the picture's numbers would go to {one_line(str(numbers))}, which is "
            "there already; give --out another name"
        )
    check_out(numbers)
    return numbers


def check_top(top: str, keep: str, files: list[Path]) -> Top | None:
    """Return the part that ``--top`` asks for; None where it is not given.

    Raises:
        RequestError: it is no such part, ``--keep`` stands alone, or there are several files.
    """
    from kit.plan.options import check_choice

    if not top:
        if keep:
            raise RequestError(f"--keep {one_line(keep, 60)}: goes with --top, which says how many rows are kept")
        return None
    if keep:
        check_choice("--keep", keep, ENDS)
    if len(files) > 1:
        raise RequestError(f"--top {one_line(top, 60)}: shows the cut of one file, found {len(files)}; name one")
    return parse_top(top)


def check_form(form: str, against: str, files: list[Path]) -> None:
    """Check that the form of the picture fits what is drawn.

    Raises:
        RequestError: a histogram of several files, a form of two scores, or more files than a picture can show.
    """
    if len(files) > MOST_FILES:
        raise RequestError(f"{len(files)} files; wanted {MOST_FILES} at most, lines of more could not be told apart")
    if against and form != "auto":
        raise RequestError(f"--as {form}: --against draws a dot a row; leave one of them out")
    if form == "histogram" and len(files) > 1:
        raise RequestError(f"--as histogram: is of one file, found {len(files)}; densities draw several")


def named(files: list[Path]) -> list[tuple[Path, str]]:
    """Return each file with a name for the legend: the shortest end of its path that no other has.

    Raises:
        RequestError: a file is given twice.
    """
    for path in files:
        if sum(other.resolve() == path.resolve() for other in files) > 1:
            raise RequestError(f"{one_line(str(path))}: is given twice; leave one out")
    found = []
    for path in files:
        depth = 1
        while sum(other.parts[-depth:] == path.parts[-depth:] for other in files) > 1 and depth < len(path.parts):
            depth += 1
        found.append((path, str(Path(*path.parts[-depth:]))))
    return found


def read_scores(path: Path, name: str, by: str, against: str) -> "Scores":
    """Return the scores of a file's rows; a row that lacks one of two is left out.

    Raises:
        RequestError: it can't be read, has no such field, or fewer than two numbers in it, or one that is too large.
    """
    from kit.files.numbers import numbers_of
    from kit.files.rowfiles import open_container
    from kit.report.scores import LARGEST, Scores

    file = with_nested(open_container(path, lines=False, any_table=True))
    columns = [numbers_of(file, field, missing=True) for field in (by, against) if field]
    rows = [row for row in zip(*columns, strict=True) if None not in row]
    if len(rows) < 2:
        both = f"{by!r} and {against!r}" if against else repr(by)
        raise RequestError(f"{file.name}: {len(rows)} row has a number in {both}; wanted two rows at least")
    if large := [value for row in rows for value in row if value is not None and abs(value) > LARGEST]:
        raise RequestError(f"{file.name}: {large[0]:g} is too large to draw; wanted {LARGEST:g} at most")
    drawn = [tuple(float(value) for value in column if value is not None) for column in zip(*rows, strict=True)]
    return Scores(name=name, by=drawn[0], against=drawn[1] if against else (), left_out=len(columns[0]) - len(rows))


def with_nested(file: "RowFile") -> "RowFile":
    """Return a file whose rows have the numbers as fields that stand in ``values`` or ``scores`` in them."""
    from dataclasses import replace

    def flat(record: dict[str, Any]) -> dict[str, Any]:
        inner = [record[name] for name in NESTED if isinstance(record.get(name), dict)]
        return {name: value for one in inner for name, value in one.items()} | record

    return replace(file, records=[(where, flat(record)) for where, record in file.records])


def find_cut(scores: "Scores", top: Top, end: str) -> "Cut":
    """Return the rows that ``kit select`` would keep of the rows that have a score.

    Raises:
        RequestError: more rows are asked for than there are.
    """
    from kit.measures.ranking import kept_rows
    from kit.report.scores import Cut

    if top.count > len(scores.by):
        raise RequestError(f"--top {top.text}: {scores.name} has {len(scores.by):,} rows with a number; wanted as many")
    count = top.of(len(scores.by) + scores.left_out)
    kept = [scores.by[row] for row in kept_rows(scores.by, count, "lowest" if end == "lowest" else "highest")]
    text = top.text if top.share is not None else f"{top.text} rows"
    last = max(kept) if end == "lowest" else min(kept)
    return Cut(text=text, end=end, value=last, kept=tuple(kept))
