"""Reasons why jobs of a hand-over failed, as the store and the scheduler's logs tell them."""

import contextlib
import os
from collections.abc import Iterable
from pathlib import Path

from kit.cluster.program import LOG, last_lines
from kit.cluster.units import Unit
from kit.errors import KitError
from kit.store import Artifact, Store


def failed_at(store: Store, key: str) -> int | None:
    """Return when a job's failure was recorded, in nanoseconds by the disk's clock; None where none is."""
    with contextlib.suppress(OSError, KitError), store.inside("failed") as folder:
        return folder.stat(f"{key}.json").st_mtime_ns
    return None


def failure_reason(store: Store, key: str) -> str:
    """Return the reason that a failed job left in the store."""
    try:
        return store.failure(key) or "it failed, and its reason is gone"
    except KitError as error:
        return str(error)


def logs_of(unit: Unit, folder: Path) -> list[Path]:
    """Return the scheduler's logs of a unit's attempts, oldest first; none where it was not started, or keeps no logs.

    Args:
        unit: the unit.
        folder: folder of its hand-over.
    """
    return sorted((folder / "logs").glob(f"rule_{unit.kind}/{unit.name}/*.log"), key=os.path.getmtime)


def lost_reason(unit: Unit, folder: Path, code: int | None) -> str:
    """Return why a job counts as lost: its unit ended without a word, or was never started.

    Args:
        unit: the job's unit.
        folder: folder of the hand-over.
        code: Snakemake's exit code; None where it was ended, because it did nothing any more.
    """
    if logs := logs_of(unit, folder):
        return (
            "its cluster job ended without a word: out of memory or time, its node lost, or cancelled by hand; "
            f"{last_lines(logs[-1])} (log: {logs[-1]})"
        )
    log = folder / LOG
    if code is None:
        return f"snakemake neither queued it nor ended: {last_lines(log)} (log: {log})"
    if code == 0:
        return f"snakemake ended well, and the store has no artifact of it: {last_lines(log)} (log: {log})"
    return f"it was not started: snakemake ended with exit code {code}: {last_lines(log)} (log: {log})"


def gone_reason(store: Store, roles: Iterable[tuple[str, str]]) -> str:
    """Return why a job can't run whose inputs are gone again and again.

    Args:
        store: the store.
        roles: each such input's role and key.
    """
    texts = []
    for role, key in roles:
        if store.is_released(key):
            texts.append(f"{role}: {store.released_text(key)}")
        else:
            texts.append(f"{role}: {store.root / 'artifacts' / key} was removed; `kit job {key[:12]}` makes it again")
    return "; ".join(texts)


def changed_files(former: Artifact, now: Artifact) -> list[str]:
    """Return the names of the files in which an artifact that was made again differs from what it was."""
    names = former.files.keys() | now.files.keys()
    return sorted(name for name in names if former.files.get(name) != now.files.get(name))
