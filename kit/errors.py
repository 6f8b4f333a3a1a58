"""The two ways a request can end badly, and the sentence each one owes its reader; how values stand in sentences."""

import reprlib
from collections.abc import Iterable
from difflib import get_close_matches

LONGEST_NAME = 60
"""Characters of a name that a message shows."""
LONGEST_VALUE = 120
"""Characters of a value that a message shows; a file may hold one of 100 MB."""
MOST_NAMES = 50
"""Names that a message lists."""


class KitError(Exception):
    """A job or a check failed; the message says where, what was found, what was wanted and the likely cure."""

    exit_code = 1


class RequestError(KitError):
    """The request itself is wrong (a manifest, a file, a name, an option); nothing expensive has run yet."""

    exit_code = 2


def did_you_mean(name: str, known: Iterable[str]) -> str:
    """The tail of an unknown-name message: ``"; did you mean 'x'?"``, or the known names when none is close.

    Capital letters count as small ones. Names longer than :data:`LONGEST_NAME` are not compared: the time for it grows
    with the square of their length.
    """
    names = sorted(known)
    short = [other for other in names if len(other) <= LONGEST_NAME] if len(name) <= LONGEST_NAME else []
    plain = {other.casefold(): other for other in short}
    if close := get_close_matches(name.casefold(), plain, n=1):
        return f"; did you mean {plain[close[0]]!r}?"
    return f"; known: {listed(names)}" if names else "; none is known"


def one_line(text: str, longest: int | None = None) -> str:
    r"""Return text fit for the middle of a message: line breaks and what can't be seen as ``\n``, ``\x1b``.

    Args:
        text: a file's name, a key, or what somebody else wrote.
        longest: characters to show; all by default.
    """
    if longest is not None and len(text) > longest:
        text = text[: longest - 3] + "..."
    if text.isprintable():
        return text
    return "".join(c if c.isprintable() else c.encode("unicode_escape").decode() for c in text)


def listed(names: Iterable[str], most: int = MOST_NAMES) -> str:
    """Return names as ``a, b, c``; of many, and of long ones, the beginnings."""
    found = list(names)
    more = [f"{len(found) - most:,} more"] if len(found) > most else []
    return ", ".join([one_line(name, LONGEST_NAME) for name in found[:most]] + more)


def shown(value: object) -> str:
    """Return a value as Python writes it, cut where it is long: 400 characters at most, however deep or large it is."""
    text = _SHORT.repr(value)
    return text if len(text) <= 400 else text[:397] + "..."


class _Short(reprlib.Repr):
    """Texts cut at their end and not in their middle, whole numbers of thousands of digits by their size."""

    def __init__(self) -> None:
        super().__init__()
        self.maxlevel, self.maxlist, self.maxdict, self.maxstring, self.maxother = 4, 8, 8, LONGEST_VALUE, LONGEST_VALUE

    def repr_str(self, x: str, level: int) -> str:  # noqa: ARG002  # reprlib's own
        """Return a text in quotes, cut at its end."""
        return repr(x if len(x) <= self.maxstring else x[: self.maxstring - 3] + "...")

    def repr_int(self, x: int, level: int) -> str:  # noqa: ARG002  # reprlib's own
        """Return a whole number; Python refuses to write one of more than 4,300 digits."""
        digits = x.bit_length() * 30103 // 100000 + 1
        return repr(x) if digits <= 40 else f"a whole number of about {digits:,} digits"


_SHORT = _Short()
