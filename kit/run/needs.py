"""The jobs of a plan that have to run, and the artifacts that the jobs to come still need."""

from collections import Counter
from collections.abc import Callable, Collection, Iterable, Mapping

from kit.store import Job, Store


def to_run(jobs: Mapping[str, Job], store: Store, wanted: Collection[str] = ()) -> list[str]:
    """Return the keys of the jobs that have to run, in the plan's order.

    These are the jobs that the store lacks, and those that gave their files back and are needed by one of these: their
    heads count as done, but a job can't read a head.

    Args:
        jobs: the plan's, each after its inputs.
        store: the store.
        wanted: keys whose files the caller reads.
    """
    found = {key for key in jobs if not store.has(key)}
    found |= {key for key in wanted if key in jobs and not store.holds(key)}
    for key in reversed(list(jobs)):
        if key in found:
            inputs = jobs[key].inputs.values()
            found |= {needed for needed in inputs if needed in jobs and not store.holds(needed)}
    return [key for key in jobs if key in found]


class Needs:
    """The artifacts that jobs of a plan still need, while these jobs end one after the other."""

    def __init__(
        self, jobs: Mapping[str, Job], unfinished: Iterable[str], wanted: Collection[str], goes: Callable[[Job], bool]
    ) -> None:
        """Begin with the jobs that have not run yet.

        Args:
            jobs: the plan's.
            unfinished: keys of the jobs that have to run.
            wanted: keys whose files stay in any case.
            goes: tells whether a job's artifact gives its files back when nobody needs it.
        """
        self.jobs = jobs
        self.wanted = wanted
        self.goes = goes
        self.unfinished: set[str] = set()
        self._readers: Counter[str] = Counter()
        for key in unfinished:
            self.add(key)

    def add(self, key: str) -> None:
        """Count another job that has to run."""
        if key not in self.unfinished:
            self.unfinished.add(key)
            self._readers.update(set(self.jobs[key].inputs.values()))

    def finish(self, key: str) -> list[str]:
        """Count a job as done; return what nobody needs any more of its inputs and its own artifact, in a fixed order.

        A job that failed is not done: the next attempt reads its inputs.
        """
        if key not in self.unfinished:
            return []
        self.unfinished.discard(key)
        inputs = sorted(set(self.jobs[key].inputs.values()))
        self._readers.subtract(inputs)
        return [one for one in (*inputs, key) if self.is_unneeded(one)]

    def is_unneeded(self, key: str) -> bool:
        """Return whether an artifact of the plan may give its files back now."""
        return (
            key in self.jobs
            and key not in self.unfinished
            and key not in self.wanted
            and self._readers[key] <= 0
            and self.goes(self.jobs[key])
        )

    def unneeded(self) -> list[str]:
        """Return all artifacts of the plan that may give their files back now, in its order."""
        return [key for key in self.jobs if self.is_unneeded(key)]
