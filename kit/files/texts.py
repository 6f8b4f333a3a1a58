"""Characters that no text should hold: half characters and byte-order marks, mended and counted."""

import re
from collections.abc import Callable, Iterable
from dataclasses import dataclass, replace
from typing import TypeVar

from kit.reading.jsonlines import BYTE_ORDER_MARK
from kit.records import ChatRow

HALF = re.compile("[\ud800-\udfff]")
"""One half of a character that UTF-16 writes in two. JSON can hold it (``"\\ud83d"``), UTF-8 and tokenizers can't."""
REPLACEMENT = "\ufffd"
"""Character that stands for a lost one in every Unicode text."""

Kind = TypeVar("Kind", bound=ChatRow)


@dataclass(kw_only=True)
class Mended:
    """Counts of what was mended so far."""

    half_characters: int = 0
    """Half characters replaced by U+FFFD."""
    byte_order_marks: int = 0
    """Texts that began with a byte-order mark, which was dropped."""

    def text(self, text: str) -> str:
        """Return the text of a user's file without byte-order mark in front and half characters inside."""
        bare = text.lstrip(BYTE_ORDER_MARK)
        self.byte_order_marks += bare != text
        return self.whole(bare)

    def whole(self, text: str) -> str:
        """Return the text with U+FFFD for each half character; every other character stays, control characters too."""
        mended, count = HALF.subn(REPLACEMENT, text)
        self.half_characters += count
        return mended

    def file_rows(self, rows: Iterable[Kind]) -> list[Kind]:
        """Return the rows of a user's file, each text mended by :meth:`text`."""
        return [_each_text(row, self.text) for row in rows]

    def stored_rows(self, rows: Iterable[Kind]) -> list[Kind]:
        """Return the rows that a model wrote and the kit stored: half characters replaced, all else as it was."""
        return [_each_text(row, self.whole) for row in rows]


def _each_text(row: Kind, mend: Callable[[str], str]) -> Kind:
    """Return the row with each of its texts mended; the same row where nothing changes."""
    texts = {name: getattr(row, name) for name in ("system", "instruction", "input", "output")}
    mended = {name: mend(text) for name, text in texts.items()}
    history = tuple((mend(prompt), mend(response)) for prompt, response in row.history)
    return row if mended == texts and history == row.history else replace(row, history=history, **mended)


def broken(text: str) -> bool:
    """Return whether a model's text holds a character that was lost: half of one, or U+FFFD for bytes that are none."""
    return REPLACEMENT in text or HALF.search(text) is not None
