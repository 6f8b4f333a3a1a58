"""Whether Snakemake has forgotten its jobs: it runs, and nothing of what was handed over is queued or at work.

Snakemake's plugin for Slurm drops the jobs that it follows where Slurm answers none of its questions, as while the
controller is started again, and then waits for ever for jobs that have ended long ago.
"""

from collections.abc import Callable, Collection
from dataclasses import dataclass
from pathlib import Path

from kit.cluster.queue import leased, slurm_queue
from kit.errors import KitError
from kit.store import Store

LOOK_S = 30.0
"""Seconds between two looks into the queue."""
FORGOTTEN_S = 300.0
"""Seconds without a job in the queue, at work or newly done, after which Snakemake is started again. It may rest for
three minutes between two looks at its own jobs, and wait one more for their files."""


@dataclass(slots=True, kw_only=True)
class Watch:
    """Looks after one hand-over to Slurm."""

    folder: Path
    """The folder of the hand-over."""
    store: Store
    sleep: Callable[[float], None]
    idle_s: float = 0.0
    """Seconds since something was last seen in the queue, at work or newly done."""
    pending: int = -1
    """Jobs that were pending at the last look."""
    waited_s: float = 0.0
    """Seconds since the last look."""

    def forgotten(self, pending: Collection[str], seconds: float) -> bool:
        """Return whether nothing has happened for so long that Snakemake must have forgotten its jobs.

        Args:
            pending: keys of the jobs that are pending.
            seconds: since the last call.
        """
        self.waited_s += seconds
        if self.waited_s < LOOK_S:
            return False
        alone = len(pending) == self.pending and not self._busy(pending)
        self.idle_s = self.idle_s + self.waited_s if alone else 0.0
        self.pending, self.waited_s = len(pending), 0.0
        return self.idle_s >= FORGOTTEN_S

    def _busy(self, pending: Collection[str]) -> bool:
        """Return whether a job is queued or at work; one of which nobody can tell may be."""
        try:
            queued = any(one.folder == self.folder for one in slurm_queue(self.store.root, self.sleep))
            return queued or bool(leased(pending, self.store))
        except (OSError, KitError):
            return True
