"""Batches of jobs: those that share a worker, in the order in which it does them."""

from collections.abc import Iterable, Mapping
from typing import Any, Protocol

from kit.run.launch import Shape
from kit.store import Job, canonical
from kit.workers import KINDS


class Holdings(Protocol):
    """Interface of a store, or of an imagined one, that tells which artifacts a job could read now."""

    def holds(self, key: str) -> bool:
        """Return whether the artifact is committed and its files are there."""
        ...


def next_batch(pending: Mapping[str, Job], jobs: Mapping[str, Job], store: Holdings) -> tuple[Shape, list[str]] | None:
    """Return the shape and jobs of the next worker: jobs of one kind whose inputs are done or among them; None if none.

    Kinds come in their fixed order, so that jobs of a later kind wait until more of them can share a worker.
    """
    shape_of = {key: Shape.of(job) for key, job in pending.items()}
    for kind in KINDS.values():
        batches: dict[Shape, list[str]] = {}
        for key, job in pending.items():
            shape = shape_of[key]
            if shape.kind != kind:
                continue
            batch = batches.setdefault(shape, [])
            if all(needed in batch or store.holds(needed) for needed in job.inputs.values()):
                batch.append(key)
        for shape, keys in batches.items():
            if keys:
                return shape, order_by_model(keys, jobs)
    return None


def order_by_model(keys: Iterable[str], jobs: Mapping[str, Job]) -> list[str]:
    """Return the jobs in an order in which each follows its inputs and as few engines as possible are started.

    An engine is a model with its settings: one with room for adapters of rank 8 is another than one for rank 16. Jobs
    of the engine that is open go first. The next is one none of whose jobs waits for another's, if there is one, with
    the same settings and a model of the same shape, if there is one: it may take its weights without a new start.
    """
    left = dict.fromkeys(keys)
    settings = {key: canonical(jobs[key].params.get("engine")) for key in left}
    order: list[str] = []
    engine: Any = None

    def ready(key: str) -> bool:
        return not any(needed in left for needed in jobs[key].inputs.values())

    def engine_of(key: str) -> Any:
        return jobs[key].inputs.get("model"), settings[key]

    def shape_of(key: str) -> Any:
        return jobs[key].resources.get("shape"), settings[key]

    while left:
        now = [key for key in left if ready(key)]
        same = [key for key in now if engine_of(key) == engine]
        if not same:
            waiting = {engine_of(key) for key in left if not ready(key)}
            free = [key for key in now if engine_of(key) not in waiting] or now
            same_shape = [key for key in free if order and shape_of(key) == shape_of(order[-1])]
            engine = engine_of((same_shape or free)[0])
            same = [key for key in now if engine_of(key) == engine]
        order.append(same[0])
        del left[same[0]]
    return order
