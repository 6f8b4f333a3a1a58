"""Prompt packs: the kit's own wording, the paper's, OpenCompass's. A pack's hash is part of the key of each job that uses it."""

from collections.abc import Mapping, Sequence
from typing import Protocol

from kit.records import Turn


class Pack(Protocol):
    """A set of chat templates by id (``evol_instruct.deepen``, ``respond.with_input``, ``gsm8k``)."""

    name: str
    """``kit``, ``paper`` or ``opencompass``."""
    hash: str
    """sha256 over every template of the pack, hex."""

    def chat(self, id: str) -> tuple[Turn, ...]:
        """The turns of one template, ``{placeholders}`` in place.

        Raises:
            RequestError: the pack has no such template.
        """
        ...


def fill(turns: Sequence[Turn], values: Mapping[str, str]) -> tuple[Turn, ...]:
    """Put the values in place of their ``{placeholders}``: in one pass, so that a value may hold braces of its own."""
    raise NotImplementedError
