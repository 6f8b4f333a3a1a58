"""How the bytes of a file are known: by their sha256, or by the id that git gives them in a repository."""

import hashlib
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

from kit.store import sha256_file

BLOCK = 1 << 20


@dataclass(frozen=True, slots=True, kw_only=True)
class FileHashes:
    """Both hashes of one file, hexadecimal."""

    sha256: str
    git_blob: str


def file_hashes(path: Path) -> FileHashes:
    """Return both hashes of a file."""
    return FileHashes(sha256=sha256_file(path), git_blob=git_blob_file(path))


def git_blob_file(path: Path) -> str:
    """Return a file's git blob id: the sha1 of ``blob <size>``, a zero byte, and the bytes.

    Source:
        https://git-scm.com/book/en/v2/Git-Internals-Git-Objects, "Object Storage".
    """
    digest = hashlib.sha1(f"blob {path.stat().st_size}\0".encode(), usedforsecurity=False)
    with path.open("rb") as file:
        while block := file.read(BLOCK):
            digest.update(block)
    return digest.hexdigest()


class Difference(NamedTuple):
    """A pinned hash that a file does not have."""

    name: str
    """``sha256`` or ``git blob id``."""
    found: str
    pinned: str


def difference(path: Path, *, sha256: str | None, git_blob: str | None) -> Difference | None:
    """Return the pinned hash that a file does not have; None if it has each that is known."""
    for name, pinned, compute in (("sha256", sha256, sha256_file), ("git blob id", git_blob, git_blob_file)):
        if pinned is not None and (found := compute(path)) != pinned:
            return Difference(name, found, pinned)
    return None
