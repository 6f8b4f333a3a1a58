"""``manifests/prompts.toml``: where each prompt of others stands and how to know that it was read right; no wording."""

import hashlib
import json
from collections.abc import Sequence
from dataclasses import dataclass, field
from functools import lru_cache
from pathlib import Path

from kit.errors import RequestError, did_you_mean
from kit.reading.documents import read_table
from kit.reading.textfiles import read_bytes
from kit.registry import PACKAGE

MANIFEST = PACKAGE.parent / "manifests" / "prompts.toml"
MAX_BYTES = 16 * 2**20
"""The most that a file of prompts may hold; the longest has some 100 KB."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Pin:
    """One prompt of a pinned source."""

    id: str
    """The template's id in the pack."""
    file: str
    """Path inside the source."""
    placeholders: tuple[str, ...]
    """Names that are filled in, in the order of the source's own arguments."""
    function: str = ""
    """The function that builds it, if one does."""
    name: str = ""
    """The module-level variable that holds it, if one does."""
    line: int = 0
    """The line where its string begins, if it is neither."""
    template: str = "prompt_template"
    """The template of a module-level configuration that is read; ``ice_template`` is its worked example."""
    turns: int = 0
    """Number of the template's turns that are read; 0 for all."""
    loop: dict[str, str] = field(default_factory=dict)
    """Values for the variables of the loop that builds it, as ``{placeholders}``."""
    rendered_sha256: str = ""
    """sha256 of the UTF-8 text with ``<<placeholder>>`` filled in; empty where the file's own hash is all there is."""

    def markers(self) -> list[str]:
        """Return the texts that stand for the arguments when the prompt's hash is taken: ``<<name>>``."""
        return [f"<<{name}>>" for name in self.placeholders]


@dataclass(frozen=True, slots=True, kw_only=True)
class Pins:
    """The pinned prompts of one source."""

    source: str
    """The repository, or the distribution."""
    revision: str
    """The commit, or the version."""
    url: str
    """Pattern of a file's address, with ``{file}``; empty for an installed distribution."""
    files: dict[str, str]
    """file -> sha256 of its bytes; empty where it is not known, and each prompt's own hash is all there is."""
    prompts: tuple[Pin, ...]
    """The prompts, in the manifest's order."""

    def text(self, path: Path, file: str) -> str:
        """Return the text of one file, after its sha256 was checked, if it is known.

        Raises:
            RequestError: it is missing or differs.
        """
        try:
            content = read_bytes(path, max_bytes=MAX_BYTES)
        except RequestError as error:
            raise RequestError(f"{error}; wanted {file} of {self.source} {self.revision}") from error
        found = hashlib.sha256(content).hexdigest()
        if self.files[file] not in ("", found):
            raise RequestError(
                f"{path}: sha256 is {found[:12]}…, {MANIFEST.name} says {self.files[file][:12]}…;"
                f" the file is not that of {self.source} {self.revision}"
            )
        try:
            return content.decode()
        except UnicodeDecodeError as error:
            raise RequestError(f"{path}: not UTF-8; wanted {file} of {self.source} {self.revision}") from error


@lru_cache(maxsize=4)
def read(source: str) -> Pins:
    """Return the pins of one source: ``paper``, ``opencompass`` or ``followbench``.

    Raises:
        RequestError: the manifest is missing, or not what it should be.
    """
    try:
        table = read_table(MANIFEST)[source]
        prompts = tuple(Pin(**{**row, "placeholders": tuple(row["placeholders"])}) for row in table["prompt"])
        return Pins(
            source=table["source"],
            revision=table["revision"],
            url=table.get("url", ""),
            files={row["path"]: row.get("sha256", "") for row in table["file"]},
            prompts=prompts,
        )
    except (KeyError, TypeError, AttributeError) as error:
        raise RequestError(
            f"{MANIFEST.name}: {source}: not as the kit wrote it ({error}); take the checkout's"
        ) from error


def fingerprint(source: str, ids: Sequence[str]) -> str:
    """sha256 over what identifies some prompts of a source, known before anything is fetched.

    Raises:
        RequestError: the source has no such prompt.
    """
    known = {pin.id: pin for pin in read(source).prompts}
    if unknown := [id for id in ids if id not in known]:
        raise RequestError(f"prompt pack {source!r} has no template {unknown[0]!r}{did_you_mean(unknown[0], known)}")
    rows = [[id, list(known[id].placeholders), known[id].rendered_sha256] for id in sorted(ids)]
    return hashlib.sha256(json.dumps(rows, separators=(",", ":")).encode()).hexdigest()
