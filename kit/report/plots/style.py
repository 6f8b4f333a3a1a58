"""Colours, marks, strokes and hatches of pictures: told apart in black and white and by the colour-blind."""

import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass

COLOURS = ("#0072b2", "#d55e00", "#009e73", "#cc79a7", "#e69f00", "#56b4e9", "#000000")
"""Colours of lines, told apart by readers with any kind of colour vision: Okabe and Ito, Color Universal Design
(https://jfly.uni-koeln.de/color/), without their yellow, which is too faint for a line."""
STEPS = ("#fdea45", "#c8b866", "#8f8b75", "#575c6d", "#00204c")
"""Colours of the steps of a scale, whose lightness falls evenly: five places of cividis, made for the colour-blind by
Nunez, Anderton and Renslow (2018), https://doi.org/10.1371/journal.pone.0199239."""
OUTCOME_COLOURS = ("#0072b2", "#e8e8e8", "#e69f00")
"""Colours of win, tie and lose: a dark, a faint and a middle one."""
MARKS = ("o", "s", "^", "D", "v", "P", "X")
STROKES: tuple[str | tuple[int, tuple[float, ...]], ...] = (
    "-",
    (0, (5, 2)),
    (0, (1, 1.5)),
    (0, (6, 1.5, 1, 1.5)),
    (0, (3, 1, 1, 1, 1, 1)),
)
"""Strokes of curves, which have no marks to tell them apart."""
HATCHES = ("", "....", "////", "xxxx", "")
"""Hatches of the steps of a scale; the first and the last are told apart by their lightness."""
OUTCOME_HATCHES = ("", "", "////")
BIN_HATCHES = ("", "////", "....", "xxxx")
INK, GREY, FAINT = "#222222", "#666666", "#dddddd"
FONT_NAME = "DejaVu Sans"
FONT, SMALL, LARGE = 8.5, 7.5, 12.0
"""Sizes of letters, points."""
DASHED = (0, (4, 2.5))
"""Stroke of the paper's lines."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Look:
    """The look of one line of a figure, alike in all its panels."""

    colour: str
    mark: str
    stroke: str | tuple[int, tuple[float, ...]]
    hatch: str


def look_of(number: int) -> Look:
    """Return the look of a figure's line by its place in the legend; no two of the first 35 are alike."""
    return Look(
        colour=COLOURS[number % len(COLOURS)],
        mark=MARKS[number % len(MARKS)],
        stroke=STROKES[number % len(STROKES)],
        hatch=BIN_HATCHES[number % len(BIN_HATCHES)],
    )


@contextmanager
def own_style() -> Iterator[None]:
    """Draw by matplotlib's own settings and the kit's, whatever the user's matplotlibrc says."""
    from matplotlib import rc_context
    from matplotlib.style import context

    settings = {
        "axes.axisbelow": True,
        "axes.edgecolor": GREY,
        "axes.grid": False,
        "axes.labelcolor": INK,
        "axes.linewidth": 0.7,
        "axes.spines.right": False,
        "axes.spines.top": False,
        "axes.unicode_minus": True,
        "font.family": [FONT_NAME],
        "font.size": FONT,
        "hatch.color": INK,
        "hatch.linewidth": 0.5,
        "path.simplify": False,
        "svg.fonttype": "none",
        "text.color": INK,
        "text.parse_math": False,
        "text.usetex": False,
        "xtick.color": GREY,
        "ytick.color": GREY,
        "xtick.labelcolor": INK,
        "ytick.labelcolor": INK,
        "xtick.labelsize": SMALL,
        "ytick.labelsize": SMALL,
    }
    salt = rc_context({"svg.hashsalt": "kit"})  # no style may set it
    with context(["default", settings]), salt, warnings.catch_warnings():
        warnings.filterwarnings("ignore", message="Glyph .* missing from font")  # drawn as a box in a PNG
        yield
