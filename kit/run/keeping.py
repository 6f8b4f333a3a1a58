"""Give back the files of artifacts during a run, as soon as no job to come needs them."""

from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass, field

from kit.errors import KitError
from kit.run.needs import Needs
from kit.stages._keeping import ALL, gives_back
from kit.store import BusyError, Job, Store
from kit.store.clearing import release
from kit.store.releasing import Readers


@dataclass(slots=True)
class Keeping:
    """Rule by which a run keeps files, with what it gave back so far."""

    store: Store
    rule: str
    """Value of ``--keep``."""
    needs: Needs
    readers: Readers
    """Locks on what the worker at work reads."""
    freed: dict[str, int] = field(default_factory=dict)
    """key -> bytes that are free again."""
    left: dict[str, str] = field(default_factory=dict)
    """key -> reason why its files could not be given back."""

    @classmethod
    def begin(
        cls, jobs: Mapping[str, Job], store: Store, rule: str, unfinished: Iterable[str], wanted: Collection[str]
    ) -> "Keeping":
        """Begin a run: give back what none of its jobs needs.

        Args:
            jobs: the plan's, each after its inputs.
            store: the store.
            rule: value of ``--keep``.
            unfinished: keys of the jobs that have to run.
            wanted: keys whose files the caller reads.
        """
        needs = Needs(jobs, unfinished, wanted, gives_back(rule))
        found = cls(store=store, rule=rule, needs=needs, readers=Readers(store))
        found.give_back(needs.unneeded())
        return found

    def hold(self, keys: Iterable[str]) -> None:
        """Lock what a worker is going to read, so that no other run gives its files back."""
        self.readers.hold(keys)

    def let_go(self) -> None:
        """Unlock all that a worker read, and give back what could not be while it was read."""
        self.readers.close()
        self.give_back(self.needs.unneeded())

    def finish(self, key: str) -> None:
        """Count a job as done, and give back what nobody needs any more."""
        self.give_back(self.needs.finish(key))

    def give_back(self, keys: Iterable[str]) -> None:
        """Give back the files of artifacts; one that another run reads is left to it."""
        if self.rule == ALL:
            return
        for key in keys:
            if not self.store.holds(key):
                continue
            self.readers.drop(key)
            try:
                self.freed[key] = self.freed.get(key, 0) + release(self.store, key, f"--keep {self.rule}")
                self.left.pop(key, None)
            except BusyError as error:
                self.left[key] = str(error)
            except (KitError, OSError) as error:  # another user's artifact, for instance
                self.left[key] = str(error)
