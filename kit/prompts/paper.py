"""The paper's wording, read from the authors' own files at the pinned commit; nothing of it is in this tree."""

import ast
import hashlib
from collections.abc import Mapping
from pathlib import Path

from kit.errors import RequestError
from kit.prompts import pins
from kit.prompts.literals import Source
from kit.records import Turn


def files() -> dict[str, tuple[str, str]]:
    """Return the files to fetch: path in the repository -> (address, sha256)."""
    pinned = pins.read("paper")
    return {
        path: (pinned.url.replace("{revision}", pinned.revision).replace("{file}", path), sha256)
        for path, sha256 in pinned.files.items()
    }


def read(folder: Path) -> Mapping[str, tuple[Turn, ...]]:
    """Return every prompt of the paper: id -> one user turn with ``{placeholders}``.

    Args:
        folder: holds the files by their paths in the repository (``Evol_Instruct/depth.py``).

    Raises:
        RequestError: a file is missing or differs, or a prompt reads otherwise than pinned.
    """
    pinned = pins.read("paper")
    sources = {file: Source(pinned.text(folder / file, file), str(folder / file)) for file in pinned.files}
    return {pin.id: (Turn(role="user", content=template(sources[pin.file], pin)),) for pin in pinned.prompts}


def template(source: Source, pin: pins.Pin) -> str:
    """Return one prompt with its ``{placeholders}``.

    Raises:
        RequestError: its text, with the markers filled in, does not have the pinned sha256.
    """
    return checked(source, pin, render(source, pin, pin.markers()))


def checked(source: Source, pin: pins.Pin, rendered: str) -> str:
    """Return a prompt with ``{placeholders}`` for the markers that were filled in.

    Raises:
        RequestError: the text does not have the pinned sha256.
    """
    found = hashlib.sha256(rendered.encode()).hexdigest()
    if found != pin.rendered_sha256:
        raise RequestError(
            f"{source.where}: prompt {pin.id!r} reads as sha256 {found[:12]}…, {pins.MANIFEST.name} says"
            f" {pin.rendered_sha256[:12]}…; the reader and the file disagree"
        )
    for name, marker in zip(pin.placeholders, pin.markers(), strict=True):
        rendered = rendered.replace(marker, f"{{{name}}}")
    return rendered


def render(source: Source, pin: pins.Pin, markers: list[str]) -> str:
    """Return the prompt with each argument replaced by its marker, joined as the file's own code joins it.

    Raises:
        RequestError: the place that the pin names does not hold a string.
    """
    if pin.function:
        return source.call(pin.function, markers)
    node = source.string_at(pin.line) if pin.line else source.assigned(pin.name)
    if isinstance(node, ast.JoinedStr):
        return _fill_in(source, node, markers)
    return source.text(node, {}).format(*markers, **dict(zip(pin.placeholders, markers, strict=True)))


def _fill_in(source: Source, node: ast.JoinedStr, markers: list[str]) -> str:
    """Return an f-string, its values replaced by the markers in order, whatever expressions they are."""
    rest = list(markers)
    parts = [rest.pop(0) if isinstance(part, ast.FormattedValue) and rest else part for part in node.values]
    if rest:
        raise RequestError(f"{source.where}:{node.lineno}: {len(rest)} values fewer than pinned")
    return "".join(part if isinstance(part, str) else source.text(part, {}) for part in parts)
