"""Pictures of figures by matplotlib, as SVG and PNG: the same figure gives the same bytes.

matplotlib is imported where something is drawn, and nowhere else. No state of pyplot is used: neither a window nor a
user's matplotlibrc has a say.
"""

import io
import re
from html import escape
from importlib.util import find_spec
from typing import Literal, TypeAlias

from kit.errors import KitError
from kit.report.drawn import Figure
from kit.report.escapes import plain

Format: TypeAlias = Literal["svg", "png"]
FORMATS: tuple[Format, ...] = ("svg", "png")
"""Formats of a picture, which are also the endings of its file."""
DOTS_PER_INCH = 160
"""Resolution of a PNG."""
MOST_CHARACTERS = 8
"""Characters without a form that a message shows."""


def picture(figure: Figure, format: Format) -> bytes:
    """Return a figure as the bytes of a picture.

    Raises:
        KitError: matplotlib is not installed.
    """
    if find_spec("matplotlib") is None:
        raise KitError("matplotlib is not installed, which draws figures; `make setup` installs it")
    from kit.report.plots.page import page
    from kit.report.plots.style import own_style

    out = io.BytesIO()
    with own_style():
        if format == "png":
            page(figure).savefig(out, format="png", dpi=DOTS_PER_INCH, metadata={"Software": None})
            return out.getvalue()
        nothing = dict.fromkeys(("Date", "Creator", "Format", "Type"))
        page(figure).savefig(out, format="svg", metadata={"Title": safe(figure.title), **nothing})
    return _described(out.getvalue().decode("utf-8"), figure)


def characters_not_drawn(figure: Figure) -> str:
    """Return the characters of a figure's texts that the pictures' font lacks, each once, in order.

    A PNG has a box for each of them; an SVG is drawn by the fonts of who looks at it.
    """
    from matplotlib.font_manager import findfont, get_font

    from kit.report.plots.style import FONT_NAME

    texts = safe("".join([figure.title, *figure.notes, *figure.names(), figure.description()]))
    known = get_font(findfont(FONT_NAME)).get_charmap()
    return "".join(dict.fromkeys(sign for sign in texts if ord(sign) not in known))


def boxes_note(figure: Figure) -> str:
    """Return a sentence about the characters that a PNG of a figure lacks; empty where it lacks none."""
    lacking = characters_not_drawn(figure)
    if not lacking:
        return ""
    some = lacking if len(lacking) <= MOST_CHARACTERS else f"{lacking[:MOST_CHARACTERS]}..."
    return (
        f"note: the pictures' font lacks {len(lacking):,} characters ({some}): a PNG has boxes in their places, an SVG "
        "shows them"
    )


def safe(text: str) -> str:
    """Return a text as one line without control characters, which would be no XML and can't be drawn."""
    return plain(text).replace("\n", " ")


def _described(document: str, figure: Figure) -> bytes:
    """Return an SVG with a description for readers who can't see it, in ASCII, and without the address of its DTD."""
    name = re.sub(r"[^a-z0-9]+", "-", figure.name.lower()).strip("-") or "figure"
    document = re.sub(r"<!DOCTYPE[^>]*>\n?", "", document, count=1)
    document = document.replace("<svg ", f'<svg role="img" aria-labelledby="{name}-title {name}-desc" ', 1)
    words = escape(safe(figure.description()), quote=False)
    document = document.replace("<title>", f'<title id="{name}-title">', 1)
    document = document.replace("</title>", f'</title>\n <desc id="{name}-desc">{words}</desc>', 1)
    return document.encode("ascii", "xmlcharrefreplace")
