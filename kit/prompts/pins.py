"""``manifests/prompts.toml``: where each prompt of others stands and how to know that it was read right; no wording."""

import hashlib
import tomllib
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path

from kit.errors import RequestError
from kit.registry import PACKAGE

MANIFEST = PACKAGE.parent / "manifests" / "prompts.toml"


@dataclass(frozen=True, slots=True, kw_only=True)
class Pin:
    """One prompt of a pinned source."""

    id: str
    """The template's id in the pack."""
    file: str
    """Path inside the source."""
    placeholders: tuple[str, ...]
    """What is filled in, in the order of the source's own arguments."""
    function: str = ""
    """The function that builds it, if one does."""
    name: str = ""
    """The module-level variable that holds it, if one does."""
    line: int = 0
    """The line where its string begins, if it is neither."""
    rendered_sha256: str = ""
    """sha256 of the UTF-8 text with ``<<placeholder>>`` filled in; empty where the file's own hash is all there is."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Pins:
    """All prompts of one source."""

    source: str
    """The repository, or the distribution."""
    revision: str
    """The commit, or the version."""
    url: str
    """Pattern of a file's address, with ``{file}``; empty for an installed distribution."""
    files: dict[str, str]
    """file -> sha256 of its bytes."""
    prompts: tuple[Pin, ...]
    """The prompts, in the manifest's order."""

    def text(self, path: Path, file: str) -> str:
        """The text of one file, after its sha256 was checked.

        Raises:
            RequestError: it is missing or differs.
        """
        try:
            content = path.read_bytes()
        except OSError as error:
            raise RequestError(f"{path}: {error.strerror}; wanted {file} of {self.source} {self.revision}") from error
        found = hashlib.sha256(content).hexdigest()
        if found != self.files[file]:
            raise RequestError(
                f"{path}: sha256 is {found[:12]}…, {MANIFEST.name} says {self.files[file][:12]}…;"
                f" the file is not that of {self.source} {self.revision}"
            )
        return content.decode()


@lru_cache(maxsize=4)
def read(source: str) -> Pins:
    """The pins of one source, ``paper`` or ``opencompass``.

    Raises:
        RequestError: the manifest is missing.
    """
    try:
        table = tomllib.loads(MANIFEST.read_text(encoding="utf-8"))[source]
    except OSError as error:
        raise RequestError(f"{MANIFEST}: {error.strerror}; run from a checkout of the project") from error
    prompts = tuple(Pin(**{**row, "placeholders": tuple(row["placeholders"])}) for row in table["prompt"])
    return Pins(
        source=table["source"],
        revision=table["revision"],
        url=table.get("url", ""),
        files={row["path"]: row["sha256"] for row in table["file"]},
        prompts=prompts,
    )
