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

    A last turn by the assistant (``mbpp``) is there to be continued.

    Raises:
        RequestError: the wheel is not installed, is not the pinned one, or does not read as expected.
    """
    pinned = pins.read("opencompass")
    try:
        wheel = distribution(pinned.source)
    except PackageNotFoundError as error:
        raise RequestError(
            f"prompt pack 'opencompass': the wheel {pinned.source}=={pinned.revision} is not installed;"
            " install one of the locks under requirements/"
        ) from error
    templates = {}
    for pin in pinned.prompts:
        path = Path(str(wheel.locate_file(pin.file)))
        templates[pin.id] = turns(Source(pinned.text(path, pin.file), str(path)), pin.name)
    return templates


def turns(source: Source, name: str) -> tuple[Turn, ...]:
    """Return the chat in ``name = dict(prompt_template=dict(template=dict(round=[dict(role=..., prompt=...), ...])))``.

    Raises:
        RequestError: the source has another shape.
    """
    rounds = source.keyword(source.assigned(name), "prompt_template", "template", "round")
    if not isinstance(rounds, ast.List):
        raise RequestError(f"{source.where}:{rounds.lineno}: wanted a list of rounds")
    chat = []
    for item in rounds.elts:
        role = source.text(source.keyword(item, "role"), {})
        if role not in ROLES:
            raise RequestError(f"{source.where}:{item.lineno}: role {role!r}; wanted one of {', '.join(ROLES)}")
        chat.append(Turn(role=ROLES[role], content=source.text(source.keyword(item, "prompt"), {})))
    return tuple(chat)
