"""The boxes of the pipeline. A stage is a file of this folder that satisfies :class:`Stage`."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

from kit.engines import Engine, EngineSettings
from kit.errors import KitError
from kit.files.network import Unreachable
from kit.prompts import Pack
from kit.sandbox import Sandbox


@dataclass(frozen=True, slots=True, kw_only=True)
class Summary:
    """What a job says of its output."""

    rows: int
    """Rows of the main file; for a model, its tensors."""
    facts: Mapping[str, Any]
    """Recorded beside the rows and not in the key: tokens, seconds, losses, tiers."""


class Context(Protocol):
    """What a running job may use beside its inputs."""

    rank: int
    """This process, 0 to ``world - 1``; rank 0 alone writes the output."""
    world: int
    """Processes that share the job."""
    source: Mapping[str, Any]
    """Where a fetching job may look: address, mirror path, folder; not in the key."""
    mirror: Path | None
    """A folder with copies of pinned files."""
    unreachable: Unreachable
    """The hosts that this worker's fetching jobs could not reach; kept from job to job."""

    def engine(self, model: Path, settings: EngineSettings) -> Engine:
        """The engine of one model; kept open until another is asked for, so jobs of one model share a start."""
        ...

    def pack(self, name: str, ids: Sequence[str], folder: Path | None = None) -> Pack:
        """Those templates of a pack that the job's key holds.

        Args:
            name: the pack's.
            ids: the templates that the job may use.
            folder: the artifact with the pack's source, where it has one.
        """
        ...

    def sandbox(self) -> Sandbox:
        """The sandbox, started at the first call."""
        ...

    def progress(self, done: int, total: int, tokens: int = 0) -> None:
        """Say how far the job is: rows or steps done of all, and tokens written or trained on so far."""
        ...


Run = Callable[[Mapping[str, Any], Mapping[str, Path], Path, Context], Summary]


class Stage(Protocol):
    """Interface of a file in ``kit/stages``: the names that its module must define."""

    VERSION: int
    """Raised when the same inputs give another output; part of the key."""
    WORKER: str
    """The kind of worker that runs it, a name of :data:`kit.workers.KINDS`; not in the key."""

    def run(self, params: Mapping[str, Any], inputs: Mapping[str, Path], out: Path, context: Context) -> Summary:
        """Compute one artifact.

        Args:
            params: the job's parameters, JSON values; output depends on these and the inputs alone.
            inputs: role (``model``, ``seeds``, ``pairs``, ...) -> folder of a committed artifact, read-only.
            out: the folder to write; empty, and the only place where a job writes.
            context: ranks, engines, prompts, sandbox, progress.
        """
        ...


def only_file(folder: Path) -> Path:
    """The one file of a fetched artifact, beside its head.

    Raises:
        KitError: there is none, or more than one.
    """
    files = [path for path in sorted(folder.iterdir()) if path.name != "artifact.json"]
    if len(files) != 1:
        raise KitError(f"{folder.name[:12]}: wanted one file, found {', '.join(path.name for path in files) or 'none'}")
    return files[0]
