"""The files that a store keeps of jobs that are not committed: parts of their rows, and checkpoints of training.

All of it bears its job's key, so that it goes when the job is committed, and when nobody needs the job any more; and
what stands for the bytes of the job's inputs, so that nothing is taken that was made of others.
"""

import hashlib
import os
import re
from collections.abc import Iterable, Mapping
from contextlib import suppress

from kit.errors import KitError
from kit.store.job import KEY, Artifact, canonical
from kit.store.opening import Folder

CHECKPOINT = re.compile(r"([0-9a-f]{64}.*-checkpoint-\d{8})-.*\.(json|safetensors)")
"""Name of a file of a checkpoint: the job, its inputs and the step, and whether it is the index."""


def inputs_hash(inputs: Mapping[str, Artifact]) -> str:
    """Return 16 hex digits that stand for the bytes that a job reads: what it keeps bears them after its key.

    Args:
        inputs: role -> head of the artifact.
    """
    found = {role: {name: file["sha256"] for name, file in artifact.files.items()} for role, artifact in inputs.items()}
    return hashlib.sha256(canonical(found)).hexdigest()[:16]


def key_of(name: str) -> str:
    """Return the key of the job that a file of the folder ``parts`` belongs to; empty where it is none of the kit's."""
    key, dash, _ = name.removeprefix(".").partition("-")
    return key if dash and KEY.fullmatch(key) else ""


def names_of(parts: Folder, key: str) -> list[str]:
    """Return the names of all that is kept of a job, what a killed process left half-written among them."""
    return [name for name in parts.names() if key_of(name) == key]


def half_written(names: Iterable[str]) -> list[str]:
    """Return those names of a job's files that no run will read: drafts, files of a checkpoint without its index."""
    every = list(names)
    steps = {found[1] for name in every if (found := CHECKPOINT.fullmatch(name)) and found[2] == "json"}
    checkpoints = [name for name in every if (found := CHECKPOINT.fullmatch(name)) and found[1] not in steps]
    return [*(name for name in every if name.startswith(".")), *checkpoints]


def remove_kept(parts: Folder, names: Iterable[str]) -> list[str]:
    """Remove files of the folder ``parts``, and return a sentence for each that may not be removed."""
    faults = []
    for name in names:
        try:
            os.unlink(name, dir_fd=parts.descriptor)
        except FileNotFoundError:
            continue
        except OSError as error:
            faults.append(f"{parts.path / name}: can't be removed: {error.strerror}")
    return faults


def sizes(parts: Folder) -> dict[str, int]:
    """Return how many bytes are kept of each job, key -> bytes."""
    found: dict[str, int] = {}
    for name in parts.names():
        if key := key_of(name):
            with suppress(OSError, KitError):
                found[key] = found.get(key, 0) + parts.stat(name).st_size
    return dict(sorted(found.items()))
