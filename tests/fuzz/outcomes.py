"""Run a call and tell how it ends: with success, with a sentence, or with something that must not be."""

import contextlib
import io
import re
import sys
import traceback
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

from kit.errors import KitError

LONGEST = 5_000
"""Characters of a message; a longer one repeats what somebody put into a file."""
BARE = re.compile(r"^\W*(?:\w+\.)*\w*(?:Error|Exception|Warning)\b[^\n]{0,60}$|^\W*$|^\W*\S+\W*$")
"""Pattern of a text that is no sentence: nothing, one word, or the name of an exception with little behind it."""
ACCEPTED, EQUAL, REFUSED = "accepted", "accepted as equal", "refused"


class FaultError(Exception):
    """Something that must not be; its kind in the first argument, what was seen in the second."""

    @property
    def kind(self) -> str:
        """For instance ``traceback`` or ``silent acceptance``."""
        return str(self.args[0])

    @property
    def seen(self) -> str:
        """Evidence of the fault, as it was seen."""
        return str(self.args[1])


@dataclass(kw_only=True)
class Ended:
    """The end of a call: whether it was refused, its output, value and exit code."""

    refused: bool
    """Whether it was refused; the sentence is in ``output``."""
    output: str = ""
    """Text that was printed or raised."""
    value: Any = None
    """Value that came back."""
    code: int = 0
    """Exit code of a command."""


def call(function: Callable[[], Any]) -> Ended:
    """Call a function of the kit; it may return, or raise a KitError whose text is a sentence.

    What a command would print of it goes through ``kit.report.escapes.plain``, as :func:`command` sees.

    Raises:
        FaultError: a traceback, no sentence, a control character.
    """
    with captured() as (out, err):
        try:
            value = function()
        except KitError as error:
            check_sentence(str(error))
            return Ended(refused=True, output=str(error))
        except Exception as error:
            raise FaultError("traceback", traced(error)) from error
    output = out.getvalue() + err.getvalue()
    check_printed(output)
    return Ended(refused=False, output=output, value=value)


def command(words: list[str]) -> Ended:
    """Run a ``kit`` command in this process as the shell would; a sentence goes with every exit code but 0.

    Raises:
        FaultError: a traceback, no sentence, a control character, an exit code that the kit does not have.
    """
    from kit.cli import main

    before, code = sys.argv, 0
    sys.argv = ["kit", *words]
    try:
        with captured() as (out, err):
            try:
                main()
            except SystemExit as ended:
                code = ended.code if isinstance(ended.code, int) else 1
            except Exception as error:
                raise FaultError("traceback", traced(error)) from error
    finally:
        sys.argv = before
    output = out.getvalue() + err.getvalue()
    check_printed(output)
    if "Traceback (most recent call last)" in output:
        raise FaultError("traceback", output[-LONGEST:])
    if code not in (0, 1, 2):
        raise FaultError("exit code", f"{code}: {output[-LONGEST:]}")
    if code:
        check_sentence(err.getvalue().removeprefix("error: ") or out.getvalue())
    return Ended(refused=code != 0, output=output, code=code)


@contextlib.contextmanager
def captured() -> Iterator[tuple[io.StringIO, io.StringIO]]:
    """Take what is written to standard output and error."""
    out, err = io.StringIO(), io.StringIO()
    with contextlib.redirect_stdout(out), contextlib.redirect_stderr(err):
        yield out, err


def check_sentence(text: str) -> None:
    """Refuse a message that is no sentence, or repeats a whole file."""
    if BARE.match(text.strip()) or len(text.split()) < 4:
        raise FaultError("no sentence", text[:LONGEST])
    if len(text) > LONGEST:
        raise FaultError("long message", f"{len(text):,} characters: {text[:300]} ... {text[-300:]}")


def check_printed(text: str) -> None:
    """Refuse text for a terminal that holds a character which a terminal obeys, or half a character."""
    if bad := [
        character for character in text if not character.isprintable() and character not in "\n\N{NO-BREAK SPACE}"
    ]:
        place = text.index(bad[0])
        raise FaultError("control characters", f"{bad[0]!a} in {text[max(0, place - 80) : place + 40]!a}")


def traced(error: BaseException) -> str:
    """The end of a traceback: where it was raised, and as what."""
    lines = "".join(traceback.format_exception(error)).splitlines()
    return "\n".join(lines[-14:])[-LONGEST:]
