"""Rows that a step of evolution kept on the way to a number of a table, found along the inputs of stored jobs."""

from kit.claims.numbers import Number
from kit.store import Store


def kept_rows(number: Number, step: str, store: Store) -> int | None:
    """Return how many rows a step kept on the way to a number; None where it is not there, or a job on the way is not.

    The data sets of two sides may be made from each other's rows; a job that read both has a side of its own, and the
    way goes on along that side.

    Raises:
        KitError: the head of a job on the way can't be read.
    """
    assert number.cell is not None
    waiting, seen = list(number.cell.address.keys[:1]), set[str]()
    while waiting:
        key = waiting.pop()
        if key in seen or not store.has(key):
            continue
        seen.add(key)
        artifact = store.get(key)
        job = artifact.job
        if job.stage == "evolve" and job.params.get("step") == step:
            return artifact.rows
        side = f"side-{job.params['side']}" if "side" in job.params else None
        waiting += [
            key for name, key in job.inputs.items() if side is None or name == side or not name.startswith("side-")
        ]
    return None
