"""Take artifacts of another store: with the bytes of their heads, or as heads alone."""

import errno
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

from kit.errors import KitError
from kit.store import Artifact, Store
from kit.store.contents import head_bytes, seal
from kit.store.faults import cure_of
from kit.store.job import MARK
from kit.store.opening import open_root

THERE = "it is there already"
"""Reason why an artifact was not taken that another process put there, or made there, in the meantime."""


def adopt(store: Store, artifact: Artifact, folder: Path, *, mark: bytes | None = None) -> None:
    """Take an artifact of another store; its head stays as it is.

    Args:
        store: the store that takes it; the caller holds the job's lock.
        artifact: its head there.
        folder: folder in ``tmp`` with its files; empty where its head comes alone.
        mark: the mark of an artifact whose files did not come along; None where they are here.

    Raises:
        KitError: the bytes are not those of the head, it is there already, the disk is full, or a permission is gone.
    """
    try:
        with open_root(folder, follow_links=False) as inside:
            if wrong := _differing(seal(artifact.job, inside), artifact.files if mark is None else {}):
                raise KitError(
                    f"{wrong[0]}: the bytes that came are not those of its head; nothing of it was "
                    "kept: `kit store check` on the store that they came from tells whether they are damaged there"
                )
            if mark is not None:
                inside.write(MARK, mark)
            store.place(inside, artifact.key, head_bytes(replace(artifact, folder=folder)))
    except OSError as error:
        if error.errno in (errno.EEXIST, errno.ENOTEMPTY):
            raise KitError(THERE) from error
        raise KitError(
            f"it could not be stored in {store.root}: {error.strerror}; nothing of it was kept; {cure_of(error)}"
        ) from error


def _differing(found: Mapping[str, Any], wanted: Mapping[str, Any]) -> list[str]:
    """Return the names of the files that are missing, added or of other bytes, sorted."""
    empty: dict[str, Any] = {}
    return sorted(
        name
        for name in found.keys() | wanted
        if found.get(name, empty).get("sha256") != wanted.get(name, empty).get("sha256")
    )
