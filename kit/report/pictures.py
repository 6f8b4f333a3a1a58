"""Files of a figure: its picture as SVG and PNG, and the numbers behind it as CSV; in a folder, or in the store."""

from pathlib import Path

from kit.errors import KitError, RequestError, one_line
from kit.report import Grid
from kit.report.figures import make_figure
from kit.report.formats import as_csv
from kit.report.plots import FORMATS, Format, picture
from kit.store import Store

FOLDER = "figures"
"""Folder of a store that holds the pictures of what was reproduced; they are drawn anew each time."""


def write_figure(grid: Grid, out: Path, format: Format) -> list[Path]:
    """Write a figure's picture and its numbers into a folder; return their paths.

    Raises:
        RequestError: the folder can't be made or written.
    """
    paths = [out / f"{grid.name}.{ending}" for ending in (format, "csv")]
    contents = [picture(make_figure(grid), format), as_csv([grid]).encode()]
    try:
        out.mkdir(parents=True, exist_ok=True)
        for path, content in zip(paths, contents, strict=True):
            path.write_bytes(content)
    except OSError as error:
        raise RequestError(f"--out {one_line(str(out))}: {error.strerror}; name a folder to write to") from error
    return paths


def keep_figure(grid: Grid, store: Store) -> str:
    """Draw a figure into the store's folder ``figures``, and return a sentence that says where it lies, or why not."""
    name = f"{grid.name}.{grid.scale}"
    cure = f"`kit report {grid.name} --format svg --out FOLDER` draws it"
    try:
        figure = make_figure(grid)
        contents = {f"{name}.{format}": picture(figure, format) for format in FORMATS}
        contents[f"{name}.csv"] = as_csv([grid]).encode()
        (store.root / FOLDER).mkdir(exist_ok=True)
        with store.inside(FOLDER) as folder:
            for file, content in contents.items():
                folder.write(file, content)
    except (KitError, OSError) as error:
        reason = error.strerror if isinstance(error, OSError) else error
        return f"{grid.name}: its picture is not in the store: {reason}; {cure}"
    first = store.root / FOLDER / f"{name}.{FORMATS[0]}"
    return f"{grid.name}: drawn in {first} and as .png; the numbers behind it: .csv"
