"""OpenCompass's wording and worked examples, read from the files of its installed wheel; the package is never imported.

OpenCompass fills a template by plain replacement and not by ``str.format``, so doubled braces (its MATH examples are
full of them) reach the model doubled, and here too:
https://github.com/open-compass/opencompass/blob/0.3.3/opencompass/utils/prompt.py#L11-L35
"""

import ast
from collections.abc import Mapping
from importlib.metadata import PackageNotFoundError, distribution
from pathlib import Path

from kit.errors import RequestError
from kit.prompts import pins
from kit.prompts.literals import Source
from kit.records import Turn

ROLES = {"HUMAN": "user", "BOT": "assistant", "SYSTEM": "system"}


def read() -> Mapping[str, tuple[Turn, ...]]:
    """Return every benchmark's chat: id -> the worked examples and the question, with ``{placeholders}``.

    A last turn by the assistant (``mbpp``) is there to be continued. Where the examples are the data set's own, the
    template of one stands under ``<id>.example``.

    Raises:
        RequestError: the wheel is not installed, is not the pinned one, or does not read as expected.
    """
    return {pin.id: turns(source(pin.file, pin.loop), pin) for pin in pins.read("opencompass").prompts}


def source(file: str, loop: Mapping[str, str] | None = None) -> Source:
    """Return a pinned file of the wheel, parsed; ``loop`` as for :class:`~kit.prompts.literals.Source`.

    Raises:
        RequestError: the wheel is not installed, or the file is not the pinned one.
    """
    pinned = pins.read("opencompass")
    try:
        wheel = distribution(pinned.source)
    except PackageNotFoundError as error:
        raise RequestError(
            f"prompt pack 'opencompass': the wheel {pinned.source}=={pinned.revision} is not installed;"
            " install one of the locks under requirements/"
        ) from error
    path = Path(str(wheel.locate_file(file)))
    return Source(pinned.text(path, file), str(path), loop)


def turns(source: Source, pin: pins.Pin) -> tuple[Turn, ...]:
    """Return the chat in ``name = dict(prompt_template=dict(template=dict(round=[dict(role=..., prompt=...), ...])))``.

    Raises:
        RequestError: the source has another shape.
    """
    rounds = source.keyword(source.assigned(pin.name), pin.template, "template", "round")
    if not isinstance(rounds, ast.List):
        raise RequestError(f"{source.where}:{rounds.lineno}: wanted a list of rounds")
    chat = []
    for item in rounds.elts[: pin.turns or None]:
        role = source.text(source.keyword(item, "role"), {})
        if role not in ROLES:
            raise RequestError(f"{source.where}:{item.lineno}: role {role!r}; wanted one of {', '.join(ROLES)}")
        chat.append(Turn(role=ROLES[role], content=source.text(source.keyword(item, "prompt"), {})))
    return tuple(chat)


def option_patterns(options: str) -> list[str]:
    """Return the regular expressions by which OpenCompass finds the letter of an option in a text, in its order.

    Args:
        options: the letters, as in ``ABCD``.

    Raises:
        RequestError: as :func:`source`, or the file does not read as expected.
    """
    file = source("opencompass/utils/text_postprocessors.py")
    names = {"options": options}
    return [
        pattern
        for name in ("patterns", "cushion_patterns")
        for pattern in file.strings_in("first_option_postprocess", name, names)
    ]
