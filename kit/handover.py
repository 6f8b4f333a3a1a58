"""How a worker in a container leaves its results: it computes into a folder and says so, and the host commits them.

The container sees the store's artifacts read-only. For each job it fills ``out/<key>``, sends the event ``computed``
and waits until the artifact has appeared in the store, or a reason why not among what the host ``said``. The host's
commit renames the folder away, out of what the container can write.
"""

import shutil
import tempfile
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any

from kit.containers import UID
from kit.errors import KitError
from kit.store import Job, Store


class Handover(Store):
    """A store as seen from inside a container."""

    def __init__(self, root: Path, out: Path, said: Path, emit: Callable[..., None]) -> None:
        super().__init__(root)
        self.out = out
        self.said = said
        self._emit = emit

    @contextmanager
    def lock(self, key: str, *, wait: bool = False) -> Iterator[None]:  # noqa: ARG002
        """Nothing: the host holds the locks of every job that it gave to this container."""
        yield

    @contextmanager
    def scratch(self, key: str) -> Iterator[Path]:
        """An empty folder that the host sees."""
        folder = self.out / key
        shutil.rmtree(folder, ignore_errors=True)
        folder.mkdir()
        try:
            yield folder
        finally:
            shutil.rmtree(folder, ignore_errors=True)

    def commit(
        self,
        job: Job,
        folder: Path,  # noqa: ARG002
        *,
        rows: int,
        facts: Mapping[str, Any],
        provenance: Mapping[str, Any],
    ) -> None:
        """Say that the folder is filled, and wait for the host to commit it.

        Raises:
            KitError: the host could not; the reason is its own.
        """
        self._emit("computed", key=job.key, rows=rows, facts=dict(facts), provenance=dict(provenance))
        refusal = self.said / job.key
        while not self.has(job.key):
            if refusal.exists():
                raise KitError(refusal.read_text(encoding="utf-8"))
            time.sleep(0.02)

    def record_failure(self, job: Job, reason: str) -> None:
        """Nothing: the host keeps what the ``failed`` event says."""


class Exchange:
    """The host's side of one container: locks held, a folder to fill, a folder for what the host says."""

    def __init__(self, store: Store, folder: Path) -> None:
        self.store = store
        self.folder = folder
        """Where the runtime's client is started: podman leaves a file there when a container is out of memory."""
        self.out = folder / "out"
        self.said = folder / "said"

    def take(self, job: Job, event: Mapping[str, Any]) -> None:
        """Commit what a container has computed; where that fails, tell it why."""
        try:
            folder = self.out / job.key
            if folder.is_symlink() or not folder.is_dir():
                raise KitError(f"{job.id}: its container left no output folder")
            rows, facts, provenance = int(event["rows"]), dict(event["facts"]), dict(event["provenance"])
            self.store.commit(job, folder, rows=rows, facts=facts, provenance=provenance)
        except (KitError, KeyError, TypeError, ValueError) as error:
            refusal = self.said / f".{job.key}"
            refusal.write_text(str(error), encoding="utf-8")
            refusal.rename(self.said / job.key)


@contextmanager
def exchange(store: Store, keys: Sequence[str], *, as_root: bool) -> Iterator[Exchange]:
    """Hold the jobs' locks and make their folders; both are gone afterwards.

    Args:
        store: where to commit.
        keys: the container's jobs.
        as_root: whether the container's user is another than this process's, so that the folder must be given to it.
    """
    with ExitStack() as stack:
        for key in sorted(keys):  # in one order, or two runs could wait for each other
            stack.enter_context(store.lock(key, wait=True))
        folder = Path(tempfile.mkdtemp(prefix=f"{keys[0]}.", dir=store.root / "tmp"))
        stack.callback(shutil.rmtree, folder, ignore_errors=True)
        folder.chmod(0o755)
        found = Exchange(store, folder)
        for path in (found.out, found.said):
            path.mkdir(mode=0o755)
        if as_root:
            shutil.chown(found.out, UID, UID)
        yield found
