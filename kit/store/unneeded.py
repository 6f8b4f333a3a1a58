"""Jobs whose parts and checkpoints a store keeps, and which of them nobody needs any more."""

from collections.abc import Collection
from contextlib import suppress

from kit.errors import KitError, RequestError
from kit.store import BusyError, Store, kept

DONE = "its job is done"
UNKNOWN = "no plan knows its job"
UNNEEDED = "no table that stays needs its job"


def unneeded_parts(store: Store, needed: Collection[str] | None = None) -> dict[str, tuple[int, str]]:
    """Return which jobs' parts nobody needs any more: key -> bytes and why.

    A job that was planned and is not done may be run again by anybody, so that its parts stay; unless it is told which
    jobs are needed.

    Args:
        store: has them.
        needed: keys of the jobs that are needed; None where nobody says.
    """
    found: dict[str, tuple[int, str]] = {}
    with suppress(FileNotFoundError), store.inside("parts") as parts:
        for key, size in kept.sizes(parts).items():
            if store.holds(key):
                found[key] = (size, DONE)
            elif needed is not None and key not in needed:
                found[key] = (size, UNNEEDED)
            elif not _is_planned(store, key):
                found[key] = (size, UNKNOWN)
    return found


def kept_parts(store: Store) -> dict[str, int]:
    """Return how many bytes of parts and checkpoints are kept of each job, key -> bytes."""
    with suppress(FileNotFoundError), store.inside("parts") as parts:
        return kept.sizes(parts)
    return {}


def remove_parts(store: Store, key: str) -> list[str]:
    """Remove all parts of a job; return a sentence for each that stays, or one where a run is at work on the job."""
    try:
        with store.lock(key), store.inside("parts") as parts:
            return kept.remove_kept(parts, kept.names_of(parts, key))
    except (BusyError, OSError) as error:
        return [f"parts of {key[:10]} are left: {error}"]


def _is_planned(store: Store, key: str) -> bool:
    """Return whether the store has a job's file; one that can't be read counts, as a plan mends it."""
    try:
        store.job(key)
    except RequestError:
        return False
    except KitError:
        return True
    return True
