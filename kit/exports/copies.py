"""Copies of an artifact's head and rows, each with its size, hash and format, checked by hash while they are made."""

import os
import shutil
from dataclasses import dataclass
from pathlib import Path, PurePosixPath

from kit.store import HEAD, Artifact, Store, sha256_file

RESULT_FILES = ("results.jsonl", "grades.jsonl", "curves.jsonl")
"""Files that are copied always, where a job has them."""
FORMATS = {".json": "application/json", ".jsonl": "application/x-ndjson", ".csv": "text/csv"}
"""Ending of a file's name -> its media type."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Copy:
    """A file that stands in an export."""

    name: str
    """Its path below the folder of the export."""
    size_bytes: int
    sha256: str
    format: str
    """Its media type."""


def copy_artifact(store: Store, head: Artifact, out: Path, *, data: bool) -> list[Copy]:
    """Copy the head of an artifact and files of it into ``artifacts/<key>/`` of a folder.

    Args:
        store: has the artifact.
        head: its head.
        out: the folder.
        data: whether all files of rows are copied, and not results, grades and curves alone. What was fetched is not
            copied: it has an address and a licence of its own.

    Raises:
        KitError: a file is missing or was changed.
    """
    inside = f"artifacts/{head.key}"
    (out / inside).mkdir(parents=True)
    with store.inside("artifacts", head.key) as folder, os.fdopen(folder.open(HEAD), "rb") as file:
        (out / inside / HEAD).write_bytes(file.read())
    names = [HEAD, *(sorted(_wanted(head, data=data)) if not head.released else [])]
    for name in names[1:]:
        target = out / inside / name
        target.parent.mkdir(parents=True, exist_ok=True)
        with os.fdopen(store.open_file(head, name, checked=True), "rb") as source, target.open("wb") as copy:
            shutil.copyfileobj(source, copy)
    return [described(out / inside / name, f"{inside}/{name}") for name in names]


def described(path: Path, name: str) -> Copy:
    """Return the size, the hash and the media type of a file.

    Args:
        path: the file.
        name: its path below the folder of the export.
    """
    ending = PurePosixPath(name).suffix
    media = FORMATS.get(ending, "application/octet-stream")
    return Copy(name=name, size_bytes=path.stat().st_size, sha256=sha256_file(path), format=media)


def _wanted(head: Artifact, *, data: bool) -> list[str]:
    """Return the names of the files of an artifact that are copied."""
    rows = [name for name in head.files if name.endswith(".jsonl") and head.job.stage != "fetch"]
    return rows if data else [name for name in rows if name in RESULT_FILES]
