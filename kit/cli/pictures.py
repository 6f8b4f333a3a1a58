"""Pictures of figures, for ``kit report`` with ``--format svg`` or ``png``: printed, or written into a folder."""

import sys
from pathlib import Path
from typing import TYPE_CHECKING

from kit.cli import say
from kit.errors import RequestError, one_line

if TYPE_CHECKING:
    from kit.report import Grid
    from kit.report.plots import Format


def draw_figures(grids: "list[Grid]", format: "Format", out: Path | None) -> None:
    """Print one figure, or write each into a folder with its numbers; tables whose views have no ``draw`` are left out.

    Raises:
        RequestError: there is none, there are several and no folder, the folder can't be written, or a PNG would be
            printed on a terminal.
    """
    from kit.report.figures import make_figure
    from kit.report.pictures import write_figure
    from kit.report.plots import picture

    drawn = {grid.name: grid for grid in grids if grid.table.draw}
    if not drawn:
        names = ", ".join(one_line(grid.name) for grid in grids)
        raise RequestError(
            f"--format {format}: {names}: no view has draw, which makes a table a figure; figure-1 has one"
        )
    if out is None and len(drawn) > 1:
        names = ", ".join(map(one_line, drawn))
        raise RequestError(
            f"--format {format}: {len(drawn)} figures ({names}); name one, or a folder for all: --out FOLDER"
        )
    if out is None and format == "png" and sys.stdout.isatty():
        raise RequestError("--format png: a PNG is no text for a terminal; name a folder (--out FOLDER), or > FILE")
    for grid in drawn.values():
        if out is None:
            sys.stdout.flush()
            sys.stdout.buffer.write(picture(make_figure(grid), format))
            sys.stdout.buffer.flush()
            continue
        picture_path, numbers_path = write_figure(grid, out, format)
        say(f"wrote {picture_path}, its numbers: {numbers_path}")
