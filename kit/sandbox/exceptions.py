"""Exceptions on the wire: their nearest built-in type and their arguments.

Classes do not cross, so that an exception of a class of the other side's own is raised here as its built-in base. What
it says of itself crosses with it: a test may look at the text.
"""

import builtins
import contextlib
from collections.abc import Callable
from typing import Any

ARGUMENTS: Callable[[BaseException], tuple[Any, ...]] = vars(BaseException)["args"].__get__
"""The arguments of an exception, whatever its class makes of the name."""


class CandidateError(Exception):
    """The other side raised something that has no built-in name, or left the protocol."""


def name_of(error: BaseException) -> str:
    """Return the type of an exception, by the nearest built-in name."""
    for kind in type(error).__mro__:
        if getattr(builtins, kind.__name__, None) is kind:
            return str(kind.__name__)
    return "Exception"


def error_of(error: BaseException, encode: Callable[[Any], Any]) -> dict[str, Any]:
    """Return an exception for the wire: its nearest built-in name, and its arguments, or what it says of itself.

    Args:
        error: what was raised.
        encode: turns its arguments into JSON; where it cannot, the name goes alone.
    """
    name = name_of(error)
    try:
        arguments = ARGUMENTS(error)
        if type(error).__str__ is not getattr(builtins, name).__str__:
            arguments = (str(error),)
        return {"error": name, "args": encode(arguments)}
    except BaseException:
        return {"error": name}


def raised(reply: dict[str, Any], decode: Callable[[Any], Any]) -> Exception:
    """Return the exception to raise for one that the other side sent, by its name and its arguments."""
    name = reply["error"]
    kind = getattr(builtins, name, None) if isinstance(name, str) else None
    if not (isinstance(kind, type) and issubclass(kind, Exception)):
        return CandidateError()
    try:
        error = kind()
    except TypeError:  # a few want arguments
        return CandidateError()
    arguments = decode(reply["args"]) if "args" in reply else ()
    if isinstance(arguments, tuple) and arguments:
        error.args = arguments
        with contextlib.suppress(TypeError):
            made = kind(*arguments)
            error = made if type(made) is kind else error  # OSError(2, "") is a FileNotFoundError
    return error
