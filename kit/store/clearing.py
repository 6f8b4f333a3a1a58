"""Give back the files of a store's artifacts, and remove what is left of those that were given back."""

from collections.abc import Iterator
from contextlib import contextmanager

from kit.errors import KitError
from kit.store import BusyError, Store
from kit.store.contents import leftovers
from kit.store.faults import cure_of
from kit.store.job import MARK
from kit.store.opening import Folder
from kit.store.releasing import clear, give_back, unread


def release(store: Store, key: str, rule: str) -> int:
    """Give back the files of an artifact, whose head stays; returns the bytes that are free again.

    Args:
        store: the store that has it.
        key: of the artifact; of one that has given its files back already, what is left of them goes.
        rule: option by which they go: ``--keep results``.

    Raises:
        BusyError: a run makes it or reads it.
        KitError: its head or its lock can't be read, or its folder may not be written.
    """
    artifact = store.get(key)
    try:
        with _alone(store, key) as folder, store.inside("tmp") as tmp:
            return give_back(folder, tmp, rule)
    except OSError as error:
        raise KitError(
            f"{artifact.folder}: its files can't be given back: {error.strerror}; {cure_of(error)}"
        ) from error


@contextmanager
def _alone(store: Store, key: str) -> Iterator[Folder]:
    """Open an artifact's folder while nobody makes or reads it."""
    with store.lock(key), unread(store, key), store.inside("artifacts", key) as folder:
        yield folder


def left_behind(store: Store, *, remove: bool, faults: list[str]) -> dict[str, int]:
    """List what is left of files that artifacts gave back, key -> bytes: a process was killed as it removed them.

    Args:
        store: the store.
        remove: whether it is removed.
        faults: takes a sentence for each that could not be.
    """
    found: dict[str, int] = {}
    for key in filter(store.is_released, store.committed()):
        try:
            with store.inside("artifacts", key) as folder:
                there = list(leftovers(folder))
            if there and remove:
                with _alone(store, key) as folder:
                    if not folder.has(MARK):  # it was made again meanwhile, and nothing of it is left over
                        continue
                    clear(folder)
            if there:
                found[key] = sum(one.size_bytes for one in there)
        except BusyError:  # a run makes it again
            continue
        except (KitError, OSError) as error:
            faults.append(f"{key[:10]}  is left: {error}")
    return found
