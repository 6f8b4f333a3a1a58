"""The disk that a plan's artifacts take while its jobs run: its peak, and an order of the jobs that keeps it low.

A run starts jobs of one kind together: all trainings, then all answers. Where files are given back, that order may need
more disk than there is. Then the jobs run in waves: some results with all that they need, to the end, then the next.
"""

import shutil
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping
from dataclasses import dataclass

from kit.run.batches import next_batch
from kit.run.needs import Needs, to_run
from kit.stages._keeping import gives_back
from kit.store import Job, Store


@dataclass(frozen=True, slots=True, kw_only=True)
class Task:
    """The jobs of a plan that have to run, with the sizes of all that takes disk."""

    jobs: Mapping[str, Job]
    unfinished: tuple[str, ...]
    """Keys of the jobs that have to run, in the plan's order."""
    held: frozenset[str]
    """Keys of the artifacts whose files are there."""
    sizes: Mapping[str, int]
    """key -> bytes, of files that are there or estimated; artifacts that take none are left out."""
    wanted: frozenset[str]
    """Keys whose files stay in any case."""
    goes: Callable[[Job], bool]
    """Tells whether a job's artifact gives its files back when nobody needs it."""


def task_of(jobs: Mapping[str, Job], store: Store | None, rule: str, wanted: Collection[str] = ()) -> Task:
    """Return the jobs of a plan that have to run on a store, or on an empty one.

    Args:
        jobs: the plan's, each after its inputs.
        store: the store; None for an empty one.
        rule: value of ``--keep``.
        wanted: keys whose files the caller reads.
    """
    unfinished = tuple(to_run(jobs, store, wanted)) if store else tuple(jobs)
    goes, held, sizes = gives_back(rule), set[str](), dict[str, int]()
    for key, job in jobs.items():
        sizes[key] = int(job.resources.get("disk_bytes", 0))
        if store and store.has(key):
            if store.holds(key):
                held.add(key)
            if goes(job):  # heads are read of these alone
                sizes[key] = store.get(key).size_bytes
    return Task(
        jobs=jobs,
        unfinished=unfinished,
        held=frozenset(held),
        sizes={key: size for key, size in sizes.items() if size},
        wanted=frozenset(wanted),
        goes=goes,
    )


class Shelf:
    """An imagined store, on which jobs end in the order in which a run would start them."""

    def __init__(self, task: Task) -> None:
        self.task = task
        self.held = set(task.held)
        self.needs = Needs(task.jobs, task.unfinished, task.wanted, task.goes)
        self.used = 0
        """Bytes more than at the beginning; below 0 where more was given back."""
        self.peak = 0
        for key in self.needs.unneeded():
            self._drop(key)

    def holds(self, key: str) -> bool:
        """Return whether an artifact's files are there; those of other plans are."""
        return key in self.held or key not in self.task.jobs

    def run(self, keys: Iterable[str]) -> None:
        """Run jobs to their end, in the order of :func:`kit.run.batches.next_batch`."""
        pending = {key: self.task.jobs[key] for key in keys if key in self.needs.unfinished}
        while batch := next_batch(pending, self.task.jobs, self):
            for key in batch[1]:
                del pending[key]
                self._finish(key)

    def _finish(self, key: str) -> None:
        """Put a job's artifact on the shelf, then give back what nobody needs any more."""
        if key not in self.held:
            self.held.add(key)
            self.used += self.task.sizes.get(key, 0)
            self.peak = max(self.peak, self.used)
        for one in self.needs.finish(key):
            self._drop(one)

    def _drop(self, key: str) -> None:
        if key in self.held:
            self.held.remove(key)
            self.used -= self.task.sizes.get(key, 0)


def peak_bytes(task: Task, keys: Iterable[str] | None = None) -> int:
    """Return the most bytes that a run takes at a time beyond what is there now.

    Args:
        task: the jobs.
        keys: those that run; all that have to, in the order of a run with room enough, by default.
    """
    if not gives_any(task):
        wanted = set(task.unfinished if keys is None else keys) - task.held
        return sum(size for key, size in task.sizes.items() if key in wanted)
    shelf = Shelf(task)
    shelf.run(task.unfinished if keys is None else keys)
    return shelf.peak


def gives_any(task: Task) -> bool:
    """Return whether anything that takes disk gives it back at some time."""
    return any(task.goes(task.jobs[key]) for key in task.sizes)


def least_bytes(task: Task) -> int:
    """Return the bytes with which a run gets by where the disk has no more: one result after the other."""
    if not gives_any(task):
        return peak_bytes(task)
    shelf = Shelf(task)
    for wave in Waves(task).in_order():
        shelf.run(wave)
    return min(shelf.peak, peak_bytes(task))


def free_bytes(store: Store) -> int:
    """Return the bytes that are free on a store's disk for this user."""
    return shutil.disk_usage(store.root).free


def next_wave(task: Task, room: int) -> list[str]:
    """Return the keys of the jobs to run next: all, if the disk has room, else as many results as it has room for.

    Args:
        task: the jobs that have to run still.
        room: free bytes.
    """
    if peak_bytes(task) <= room:
        return list(task.unfinished)
    waves = list(Waves(task).in_order())
    if not waves:
        return list(task.unfinished)
    low, high = 1, len(waves)  # the first wave is tried in any case: sizes are estimates
    while low < high:
        middle = (low + high + 1) // 2
        if peak_bytes(task, [key for wave in waves[:middle] for key in wave]) <= room:
            low = middle
        else:
            high = middle - 1
    chosen = {key for wave in waves[:low] for key in wave}
    return [key for key in task.unfinished if key in chosen]


class Waves:
    """Groups of jobs that end in results: those that read the same models are one group."""

    def __init__(self, task: Task) -> None:
        self.task = task
        unfinished = set(task.unfinished)
        self.heavy = {key for key in task.sizes if task.goes(task.jobs[key])}
        """Keys of the artifacts that take disk and give it back."""
        self.readers: dict[str, set[str]] = {}
        """Key of a heavy artifact -> keys of the jobs that have to run and read it."""
        models: dict[str, frozenset[str]] = {}
        read = set[str]()
        for key in task.unfinished:  # each after its inputs
            inputs = task.jobs[key].inputs.values()
            read |= set(inputs)
            for needed in self.heavy.intersection(inputs):
                self.readers.setdefault(needed, set()).add(key)
            above = [models[needed] for needed in inputs if needed in unfinished]
            models[key] = frozenset(self.heavy.intersection((*inputs, key))).union(*above)
        groups: dict[frozenset[str], list[str]] = {}
        for key in task.unfinished:
            if key not in read:
                groups.setdefault(models[key], []).append(key)
        self.groups = [self._with_inputs(ends, unfinished) for ends in groups.values()]

    def _with_inputs(self, ends: list[str], unfinished: set[str]) -> list[str]:
        """Return some jobs and all that have to run before them, in the plan's order."""
        found, waiting = set[str](), list(ends)
        while waiting:
            key = waiting.pop()
            if key in unfinished and key not in found:
                found.add(key)
                waiting.extend(self.task.jobs[key].inputs.values())
        return [key for key in self.task.unfinished if key in found]

    def in_order(self) -> Iterator[list[str]]:
        """Yield the groups: always the one after which the least stays on the disk, without jobs that ran before it."""
        held, done, left = set(self.task.held), set[str](), list(self.groups)
        while left:
            best = min(left, key=lambda group: self._added(group, held, done))
            left.remove(best)
            wave = [key for key in best if key not in done]
            touched = self._touched(wave)
            done.update(wave)
            held = (held | touched) - {key for key in touched if not self.readers.get(key, set()) - done}
            if wave:
                yield wave

    def _touched(self, wave: Iterable[str]) -> set[str]:
        """Return the heavy artifacts that some jobs make or read."""
        keys = {one for key in wave for one in (key, *self.task.jobs[key].inputs.values())}
        return keys & self.heavy

    def _added(self, group: list[str], held: set[str], done: set[str]) -> int:
        """Return the bytes by which the disk is fuller after a group than before it."""
        wave = {key for key in group if key not in done}
        added = 0
        for key in self._touched(wave):
            after = bool(self.readers.get(key, set()) - done - wave)
            added += self.task.sizes[key] * (after - (key in held))
        return added
