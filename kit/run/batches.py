"""Batches of jobs: those that share a worker, in the order in which it does them."""

from collections.abc import Iterable, Mapping
from typing import Any

from kit.run.launch import Shape
from kit.store import Job, Store
from kit.workers import KINDS


def next_batch(pending: Mapping[str, Job], jobs: Mapping[str, Job], store: Store) -> tuple[Shape, list[str]] | None:
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
            if all(needed in batch or store.has(needed) for needed in job.inputs.values()):
                batch.append(key)
        for shape, keys in batches.items():
            if keys:
                return shape, order_by_model(keys, jobs)
    return None


def order_by_model(keys: Iterable[str], jobs: Mapping[str, Job]) -> list[str]:
    """Return the jobs in an order in which each follows its inputs and each model is opened as few times as possible.

    Jobs of the model that is open go first. The next is a model none of whose jobs waits for another's, if there is
    one, and of the same shape, if there is one: an engine may take its weights without a new start.
    """
    left = dict.fromkeys(keys)
    order: list[str] = []
    model: str | None = None

    def ready(key: str) -> bool:
        return not any(needed in left for needed in jobs[key].inputs.values())

    def model_of(key: str) -> str | None:
        return jobs[key].inputs.get("model")

    def shape_of(key: str) -> Any:
        return jobs[key].resources.get("shape")

    while left:
        now = [key for key in left if ready(key)]
        same = [key for key in now if model_of(key) == model]
        if not same:
            waiting = {model_of(key) for key in left if not ready(key)}
            free = [key for key in now if model_of(key) not in waiting] or now
            same_shape = [key for key in free if order and shape_of(key) == shape_of(order[-1])]
            model = model_of((same_shape or free)[0])
            same = [key for key in now if model_of(key) == model]
        order.append(same[0])
        del left[same[0]]
    return order
