"""The boxes of the pipeline. A stage is a file of this folder that satisfies :class:`Stage`."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

from kit.catalogue.manifest import BenchmarkRows, SamplingSpec, Scale
from kit.catalogue.points import Point
from kit.engines import Engine, EngineSettings, Request, Sampling
from kit.errors import KitError
from kit.files.network import Unreachable
from kit.files.seeds import Reading, read_seeds, read_stored
from kit.prompts import Pack
from kit.records import Completion, Instruction
from kit.sandbox import Sandbox

INSTRUCTIONS = "instructions.jsonl"
"""The main file of what a round of evolution leaves."""


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

    def generate(self, requests: Sequence[Request], engine: Engine, sampling: Sampling) -> list[Completion]:
        """Have an engine continue chats, a part of them on each rank, and say how far it is.

        Returns:
            One completion a request, in their order, all of them on every rank.
        """
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


@dataclass(frozen=True, slots=True, kw_only=True)
class Origin:
    """Instructions that a job starts from: a seed file's, or those that an earlier round evolved."""

    key: str
    """Job whose artifact holds them."""
    params: Mapping[str, Any]
    """Parameters that say how to read them; none where a stage of the kit wrote them."""
    rows: int
    """Expected number of them."""

    @property
    def role(self) -> str:
        """Return the role of the artifact among a job's inputs."""
        return "seeds" if self.params else "instructions"


class Planning(Protocol):
    """Interface of the planner, as a stage's ``plan`` uses it.

    Every method gives an answer or raises :class:`~kit.errors.RequestError`, which names the manifest and the key.
    """

    @property
    def scale(self) -> Scale:
        """Return the scale: its wording, its limits."""
        ...

    def need(self, stage: str, at: Point) -> str:
        """Return the key of what a stage makes at a point: an artifact that was given, or a job that is planned now."""
        ...

    def job(
        self,
        stage: str,
        name: str,
        params: Mapping[str, Any],
        inputs: Mapping[str, str],
        *,
        plugins: Mapping[str, int] | None = None,
        resources: Mapping[str, Any] | None = None,
        rows: int = 0,
    ) -> str:
        """Put a job into the plan, if it is not there yet, and return its key.

        Args:
            stage: a file of ``kit/stages``.
            name: how the job's id goes on after the stage; for people, not in the key.
            params: what its output depends on, beside the inputs.
            inputs: role -> key.
            plugins: plug-in -> version, of those at work beside the stage.
            resources: its estimated cost; not in the key.
            rows: how many rows it is expected to write; not in the key.
        """
        ...

    def rows(self, key: str) -> int:
        """Return how many rows a job of the plan is expected to write; 0 where nobody knows."""
        ...

    def name(self, at: Point, *fields: str) -> str:
        """Return a point's values in some fields, as the ids of its jobs have them: ``alpaca/qwen-2-7b/round-1``."""
        ...

    def player(self, role: str) -> str:
        """Return the model that plays a model of the paper at this scale."""
        ...

    def model(self, name: str, *, chat: bool = False) -> str:
        """Return the key of a plain model folder; ``chat``: it has to have a chat template."""
        ...

    def data(self, name: str) -> str:
        """Return the key of a data set's file."""
        ...

    def instructions(self, at: Point) -> Origin:
        """Return what evolution has made after the point's round; after round 0 that is the seed file."""
        ...

    def count(self, dataset: str, rows: int | None) -> int:
        """Return how many rows of a data set are used, of the first ``rows`` or of all; 0 where nobody knows."""
        ...

    def seeds(self, name: str) -> Origin:
        """Return the instructions of a seed set."""
        ...

    def problems(self, at: Point) -> BenchmarkRows:
        """Return which problems play the point's benchmark, and how they are asked and graded."""
        ...

    def wording(self, pack: str, ids: Sequence[str]) -> tuple[dict[str, Any], dict[str, str]]:
        """Return what a job's parameters and inputs say of the templates of a pack that it may use."""
        ...

    def engine(self, model: str, lora_rank: int | None = None) -> dict[str, Any]:
        """Return the parameters of a job in which a model writes text.

        Args:
            model: its name.
            lora_rank: room for the adapter that it answers with; None where it has none.
        """
        ...

    def engine_version(self) -> dict[str, int]:
        """Return the engine's name and version, a plug-in of every job that it is at work in."""
        ...

    def training(self) -> dict[str, Any]:
        """Return the parameters of a training job that the scale decides: its hardware's, and the chat format."""
        ...

    def capped(self, field: str, value: int, limit: int | None) -> int:
        """Return what a setting asks for, or the scale's limit where that is less."""
        ...

    def writing(self, model: str, rows: int, max_tokens: int) -> dict[str, Any]:
        """Return what it costs that a model writes a text a row."""
        ...

    def tuning(self, model: str, rows: int, params: Mapping[str, Any]) -> dict[str, Any]:
        """Return what it costs to tune a base model on some rows."""
        ...


Run = Callable[[Mapping[str, Any], Mapping[str, Path], Path, Context], Summary]


class Stage(Protocol):
    """Interface of a file in ``kit/stages``: the names that its module must define."""

    VERSION: int
    """Raised when the same inputs give another output; part of the key."""
    WORKER: str
    """The kind of worker that runs it, a name of :data:`kit.workers.KINDS`; not in the key. A stage whose jobs are of
    several kinds has a function ``worker(params)`` beside it, which names the kind of one job."""

    def plan(self, at: Point, kit: Planning) -> str:
        """Plan the stage's job at a point, after the jobs whose artifacts it reads.

        ``fetch`` and ``convert`` have none: their jobs go by the name of a model or data set.

        Args:
            at: where every field of the setting has one value.
            kit: what the jobs of a plan share.

        Returns:
            The job's key.
        """
        ...

    def run(self, params: Mapping[str, Any], inputs: Mapping[str, Path], out: Path, context: Context) -> Summary:
        """Compute one artifact.

        Args:
            params: the job's parameters, JSON values; output depends on these and the inputs alone.
            inputs: role (``model``, ``seeds``, ``pairs``, ...) -> folder of a committed artifact, read-only.
            out: the folder to write; empty, and the only place where a job writes.
            context: ranks, engines, prompts, sandbox, progress.
        """
        ...


def decided(sampling: SamplingSpec | None) -> SamplingSpec:
    """Return what a setting says of sampling, which one with a round after 0 always does."""
    assert sampling is not None
    return sampling


def incoming(
    params: Mapping[str, Any], inputs: Mapping[str, Path], kind: type[Instruction] = Instruction
) -> Reading[Instruction]:
    """Return the instructions that a job starts from: those that evolution left, or a seed file's first ``rows``.

    Args:
        params: the job's.
        inputs: the job's.
        kind: type of the rows that evolution left; a step between two others may have fields of its own.
    """
    if "instructions" in inputs:
        return read_stored(inputs["instructions"] / INSTRUCTIONS, kind)
    return read_seeds(only_file(inputs["seeds"]), params["format"], params["seeds"], params["rows"])


def only_file(folder: Path) -> Path:
    """The one file of a fetched artifact, beside its head.

    Raises:
        KitError: there is none, or more than one.
    """
    files = [path for path in sorted(folder.iterdir()) if path.name != "artifact.json"]
    if len(files) != 1:
        raise KitError(f"{folder.name[:12]}: wanted one file, found {', '.join(path.name for path in files) or 'none'}")
    return files[0]
