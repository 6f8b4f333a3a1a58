"""Prompt packs: the kit's own wording, the paper's, OpenCompass's, FollowBench's.

The hash of the templates that a job may use is part of its key: a new word in one moves the jobs that say it, no other.
"""

import hashlib
import json
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from importlib import import_module
from pathlib import Path
from typing import Protocol

from kit.errors import RequestError, did_you_mean
from kit.records import Turn

PACKS = ("kit", "opencompass", "paper", "followbench")
"""The packs there are."""
FETCHED = ("paper", "followbench")
"""Packs whose files are fetched, and not shipped with the kit or a wheel."""

OPENED = "\n--- assistant ---\n"
"""Line of the kit's own templates after which the assistant's turn begins, which the model continues."""

PLACEHOLDERS = frozenset(
    (
        *("instruction", "input", "query", "constraint", "seed_instructions"),
        *("user_query", "assistant1", "assistant2"),
        *("prompt", "entry_point", "text", "test_list", "question", "problem"),
    )
)
"""Names in braces that have to be given a value; all other braces (LaTeX, JSON, Python) are text."""


class Pack(Protocol):
    """A set of chat templates by id (``evol_instruct.deepen``, ``respond.with_input``, ``gsm8k``)."""

    @property
    def name(self) -> str:
        """Name of the pack, one of :data:`PACKS`."""
        ...

    def chat(self, id: str) -> tuple[Turn, ...]:
        """Return the turns of one template, ``{placeholders}`` in place.

        Raises:
            RequestError: the pack has no such template.
        """
        ...


@dataclass(frozen=True, kw_only=True)
class Templates:
    """A prompt pack that is in memory."""

    name: str
    """Name of the pack, one of :data:`PACKS`."""
    templates: Mapping[str, tuple[Turn, ...]]
    """Id of a template -> its turns."""

    def chat(self, id: str) -> tuple[Turn, ...]:
        """Return the turns of one template, ``{placeholders}`` in place.

        Raises:
            RequestError: the pack has no such template.
        """
        if id not in self.templates:
            raise RequestError(
                f"prompt pack {self.name!r} has no template {id!r}{did_you_mean(id, self.templates)};"
                " a manifest may name another pack for this job"
            )
        return self.templates[id]


def hash_of(templates: Mapping[str, Sequence[Turn]]) -> str:
    """Return the sha256 of the sorted (id, turns), as canonical JSON."""
    rows = [[key, [[turn.role, turn.content] for turn in templates[key]]] for key in sorted(templates)]
    return hashlib.sha256(json.dumps(rows, ensure_ascii=False, separators=(",", ":")).encode()).hexdigest()


def fingerprint(name: str, ids: Sequence[str]) -> str | None:
    """Return the hash of the templates that a job may use, which its key holds; None if it uses none.

    Templates that are fetched need not be there: their pinned hashes stand for them.

    Raises:
        RequestError: no such pack, or it has no such template.
    """
    if not ids:
        return None
    if name not in FETCHED:
        pack = load(name)
        return hash_of({id: pack.chat(id) for id in ids})
    return import_module("kit.prompts.pins").fingerprint(name, ids)  # type: ignore[no-any-return]


def only(pack: Pack, ids: Sequence[str]) -> Pack:
    """Return the pack with nothing but the templates that the job's key holds.

    Raises:
        RequestError: it lacks one.
    """
    return Templates(name=pack.name, templates={id: pack.chat(id) for id in ids})


def load(name: str, cache: Path | None = None) -> Pack:
    """Load the prompt pack that has this name.

    Args:
        name: one of :data:`PACKS`.
        cache: the folder that holds the fetched files of the pack's repository, by their paths there; for those of
            :data:`FETCHED`.

    Raises:
        RequestError: no such pack, or its source is missing or is not the pinned one.
    """
    if name not in PACKS:
        raise RequestError(f"no prompt pack named {name!r}{did_you_mean(name, PACKS)}")
    if name == "kit":
        folder = Path(__file__).resolve().parent
        return Templates(name=name, templates={path.stem: _own(path) for path in sorted(folder.glob("*.txt"))})
    if name == "paper" and cache is None:
        raise RequestError(
            "prompt pack 'paper': its files are fetched, not shipped (the authors' repository has no licence);"
            " fetch them first, or choose the pack 'kit'"
        )
    if name == "followbench" and cache is None:
        raise RequestError(
            "prompt pack 'followbench': its file is fetched, not shipped; fetch it first, or choose the pack 'kit'"
        )
    templates: Mapping[str, tuple[Turn, ...]] = import_module(f"kit.prompts.{name}").read(*([cache] if cache else []))
    return Templates(name=name, templates=templates)


def _own(path: Path) -> tuple[Turn, ...]:
    """Return one of the kit's own templates: a user turn, and an opened turn of the assistant if the file has one.

    The line :data:`OPENED` stands between the two. The file's last line break belongs to neither.
    """
    asked, line, opened = path.read_text(encoding="utf-8").removesuffix("\n").partition(OPENED)
    turns = (Turn(role="user", content=asked),)
    return (*turns, Turn(role="assistant", content=opened)) if line else turns


def fill(turns: Sequence[Turn], values: Mapping[str, str]) -> tuple[Turn, ...]:
    """Put the values in place of their ``{placeholders}``: in one pass, so that a value may hold braces of its own.

    Args:
        turns: a template.
        values: placeholder -> text; one that the template does not use is left out. A benchmark may bring new names.

    Raises:
        RequestError: the template has a placeholder without a value.
    """
    pattern = re.compile("{(" + "|".join(map(re.escape, sorted(PLACEHOLDERS | set(values)))) + ")}")

    def value(match: re.Match[str]) -> str:
        if match[1] not in values:
            raise RequestError(
                f"a prompt has the placeholder {match[0]} and no value for it;"
                f" given: {', '.join(sorted(values)) or 'nothing'}"
            )
        return values[match[1]]

    return tuple(Turn(role=turn.role, content=pattern.sub(value, turn.content)) for turn in turns)
