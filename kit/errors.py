"""The two ways a request can end badly, and the sentence each one owes its reader."""

from collections.abc import Iterable
from difflib import get_close_matches


class KitError(Exception):
    """A job or a check failed; the message says where, what was found, what was wanted and the likely cure."""

    exit_code = 1


class RequestError(KitError):
    """What was asked for is wrong (a manifest, a file, a name, an option); nothing expensive has run yet."""

    exit_code = 2


def did_you_mean(name: str, known: Iterable[str]) -> str:
    """The tail of an unknown-name message: ``"; did you mean 'x'?"``, or the known names when none is close."""
    names = sorted(known)
    close = get_close_matches(name, names, n=1)
    if close:
        return f"; did you mean {close[0]!r}?"
    return f"; known: {', '.join(names)}" if names else "; none is known"
