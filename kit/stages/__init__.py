"""The stages of the pipeline: each is a file of this folder whose module satisfies :class:`Stage`."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

from kit.catalogue.experiments import SamplingSpec
from kit.catalogue.points import Point
from kit.catalogue.scales import BenchmarkRows, MetricRows, Scale
from kit.engines import Engine, EngineSettings, Request, Sampling, ScoredCompletion
from kit.errors import KitError, RequestError
from kit.files.formats import AUTO, SEED_FORMATS
from kit.files.network import Unreachable
from kit.files.parts import Parts
from kit.files.seeds import Reading, read_seeds, read_stored, read_training
from kit.judges.settings import ServerSettings
from kit.prompts import Pack
from kit.records import Completion, Instruction, Pair
from kit.sandbox import Sandbox

INSTRUCTIONS = "instructions.jsonl"
"""Name of the main file of a round of evolution."""
PAIRS = "pairs.jsonl"
"""Name of the main file of responses, and of a selected part of them."""
PROBES = "probes.jsonl"
"""Name of the file of an evolver's texts with the probabilities of their tokens."""
SCORES = "scores.jsonl"
"""Name of the file of a metric's scores."""
VERDICTS = "verdicts.jsonl"
"""Name of the file of a judge's verdicts."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Summary:
    """Size of a job's output, and facts about how it came about."""

    rows: int
    """Number of rows of the main file; for a model, number of its tensors."""
    facts: Mapping[str, Any]
    """Numbers and names that are recorded beside the rows, and are not in the key: tokens, seconds, losses."""


class Context(Protocol):
    """Everything that a running job may use beside its inputs."""

    rank: int
    """Rank of this process, 0 to ``world - 1``; only rank 0 writes the output."""
    world: int
    """Number of processes that share the job."""
    source: Mapping[str, Any]
    """Places from which a fetching job may take its files: address, mirror path, folder; or the server that an asking
    job asks (:class:`kit.judges.settings.ServerSettings`); not in the key."""
    mirror: Path | None
    """A folder with copies of pinned files."""
    replies: Path
    """Folder that outlives the jobs, in which servers' replies are kept."""

    @property
    def parts(self) -> Parts:
        """Return the parts of the job's rows, which outlive the process: see :func:`kit.files.parts.in_parts`."""
        ...

    unreachable: Unreachable
    """Hosts that fetching jobs of this worker could not reach; kept from job to job."""

    def engine(self, model: Path, settings: EngineSettings) -> Engine:
        """Return the engine of a model; it stays open until another is asked for, so jobs of one model share it."""
        ...

    def generate(self, requests: Sequence[Request], engine: Engine, sampling: Sampling) -> list[Completion]:
        """Let an engine continue chats, a part of them on each rank, and report the progress.

        Returns:
            One completion for each request, in the order of the requests; all of them on every rank.
        """
        ...

    def generate_with_probabilities(
        self, requests: Sequence[Request], engine: Engine, sampling: Sampling
    ) -> list[ScoredCompletion]:
        """Do as :meth:`generate`, and return the probability of each token too."""
        ...

    def pack(self, name: str, ids: Sequence[str], folder: Path | None = None) -> Pack:
        """Return the templates of a prompt pack whose hash is in the job's key.

        Args:
            name: name of the pack.
            ids: names of the templates.
            folder: artifact with the pack's source, if it has one.
        """
        ...

    def sandbox(self) -> Sandbox:
        """Return the sandbox, which is started at the first call."""
        ...

    def progress(self, done: int, total: int, tokens: int = 0) -> None:
        """Report how far the job is: rows or steps done and in all, and tokens written or trained on so far."""
        ...

    def phase(self, text: str) -> None:
        """Report what the job does while it has no counts: that something starts, or is waited for."""
        ...


@dataclass(frozen=True, slots=True, kw_only=True)
class Origin:
    """Instructions that a job starts from: those of a seed file, or those of an earlier round."""

    key: str
    """Key of the artifact that holds them."""
    params: Mapping[str, Any]
    """Parameters that tell how to read a seed file; empty for files that a stage wrote."""
    rows: int
    """Expected number of instructions."""

    @property
    def role(self) -> str:
        """Return the role that the artifact has among a job's inputs."""
        return "seeds" if self.params else "instructions"


class Planning(Protocol):
    """Interface of the planner, as the ``plan`` of a stage uses it.

    Every method may raise :class:`~kit.errors.RequestError`, whose message names the manifest and the key.
    """

    @property
    def scale(self) -> Scale:
        """Return the scale, with its prompt packs and its limits."""
        ...

    def need(self, stage: str, point: Point) -> str:
        """Return the key of a stage's output at a point; its job is planned now, unless its artifact was given."""
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
        """Add a job to the plan, unless it is there already, and return its key.

        Args:
            stage: name of a file in ``kit/stages``.
            name: part of the job's id after the stage; for people, not in the key.
            params: parameters that the output depends on, beside the inputs.
            inputs: role -> key.
            plugins: name of a plug-in that takes part in the job -> its version.
            resources: estimated cost; not in the key.
            rows: number of rows that the job is expected to write; not in the key.
        """
        ...

    def expected_rows(self, key: str) -> int:
        """Return how many rows a job of the plan is expected to write; 0 where this is not known."""
        ...

    def job_name(self, point: Point, *fields: str) -> str:
        """Return a point's values in some fields, for the ids of its jobs: ``alpaca/qwen-2-7b/round-1``."""
        ...

    def player(self, role: str) -> str:
        """Return the model that plays a model of the paper at this scale."""
        ...

    def model(self, name: str, *, chat: bool = False) -> str:
        """Return the key of a plain model folder; with ``chat``, of one that has a chat template."""
        ...

    def data(self, name: str) -> str:
        """Return the key of the file of a data set."""
        ...

    def instructions(self, point: Point) -> Origin:
        """Return the instructions that evolution leaves after the point's round; after round 0 these are the seeds."""
        ...

    def row_count(self, dataset: str, rows: int | None) -> int:
        """Return how many rows of a data set are used, of the first ``rows`` or of all; 0 where this is not known."""
        ...

    def pairs(self, point: Point) -> Origin:
        """Return the pairs that the point's model is tuned on: a selected part, all responses, or the seeds' own."""
        ...

    def metric(self, point: Point) -> MetricRows:
        """Return the settings that the scale has for the point's metric, with a value for each of its options."""
        ...

    def seeds(self, name: str) -> Origin:
        """Return the instructions of the seed set that has this name at the scale."""
        ...

    def problems(self, point: Point) -> BenchmarkRows:
        """Return the problems that the scale has for the point's benchmark, with their prompts and grading protocol."""
        ...

    def judge(self, point: Point) -> str | None:
        """Return the model that judges for the point's benchmark or metric; None where no model does."""
        ...

    def prompts(self, pack: str, ids: Sequence[str]) -> tuple[dict[str, Any], dict[str, str]]:
        """Return the parameters and the inputs of a job that uses these templates of a prompt pack."""
        ...

    def engine_params(self, model: str, lora_rank: int | None = None) -> dict[str, Any]:
        """Return the parameters of a job in which a model writes text.

        Args:
            model: name of the model.
            lora_rank: largest rank of an adapter that the engine loads; None without an adapter.
        """
        ...

    def engine_version(self) -> dict[str, int]:
        """Return the engine's name and version, for the ``plugins`` of a job that it takes part in."""
        ...

    def training_params(self) -> dict[str, Any]:
        """Return the parameters of a training job that the scale decides: the hardware's settings, the chat format."""
        ...

    def capped(self, field: str, value: int, limit: int | None) -> int:
        """Return the value of a setting's field, or the scale's limit if that is less."""
        ...

    def generation_cost(self, model: str, rows: int, max_tokens: int) -> dict[str, Any]:
        """Return the estimated cost of a job in which a model writes one text a row."""
        ...

    def scoring_cost(self, model: str, rows: int) -> dict[str, Any]:
        """Return the estimated cost of a job in which a model reads rows with their answers and writes nothing."""
        ...

    def server(self, name: str) -> ServerSettings | None:
        """Return the server that answers for a model; None for a model with weights."""
        ...

    def asking_cost(self, server: ServerSettings, rows: int, max_tokens: int) -> dict[str, Any]:
        """Return the estimated cost of a job that asks a server so many questions."""
        ...

    def tuning_cost(self, model: str, rows: int, params: Mapping[str, Any]) -> dict[str, Any]:
        """Return the estimated cost of a job that tunes a base model on some rows."""
        ...


Run = Callable[[Mapping[str, Any], Mapping[str, Path], Path, Context], Summary]
"""Type of a stage's function ``run``."""


class Stage(Protocol):
    """Interface of a file in ``kit/stages``: the names that its module must define."""

    VERSION: int
    """Version of the stage, part of the key; raised when the same inputs give another output."""
    WORKER: str
    """Kind of worker that runs the stage, a name of :data:`kit.workers.KINDS`; not in the key. A stage whose jobs need
    several kinds of worker also has a function ``worker(params)``, which returns the kind for one job.

    A stage that writes models says whose: ``MODEL``, or a function ``model(params)`` (:mod:`kit.stages._keeping`)."""

    def plan(self, point: Point, planner: Planning) -> str:
        """Plan the stage's job at a point, after the jobs whose artifacts it reads.

        ``fetch`` and ``convert`` have no ``plan``: their jobs depend on the name of a model or data set alone. Nor has
        ``compare``: no table needs it.

        Args:
            point: the point, whose setting has one value in every field.
            planner: adds jobs to the plan.

        Returns:
            The key of the job.
        """
        ...

    def run(self, params: Mapping[str, Any], inputs: Mapping[str, Path], out: Path, context: Context) -> Summary:
        """Compute one artifact and write it into a folder.

        Args:
            params: parameters of the job, JSON values; the output depends on these and on the inputs alone.
            inputs: role (``model``, ``seeds``, ``pairs``, ...) -> folder of a committed artifact, read-only.
            out: an empty folder, the only place where a job may write.
            context: ranks, engines, prompts, sandbox, progress.
        """
        ...


def given_sampling(sampling: SamplingSpec | None) -> SamplingSpec:
    """Return a setting's sampling, which a setting with a round after 0 always has."""
    assert sampling is not None
    return sampling


def input_instructions(
    params: Mapping[str, Any], inputs: Mapping[str, Path], row_type: type[Instruction] = Instruction
) -> Reading[Instruction]:
    """Return the instructions that a job starts from: those of an earlier stage, or a seed file's first ``rows``.

    Args:
        params: parameters of the job.
        inputs: inputs of the job.
        row_type: type of the rows that the earlier stage wrote; a scenario's step may write rows with further fields.
    """
    if "instructions" in inputs:
        return read_stored(inputs["instructions"] / INSTRUCTIONS, row_type)
    return read_seeds(only_file(inputs["seeds"]), params["format"], params["seeds"], params["rows"])


def input_pairs(params: Mapping[str, Any], folder: Path, stage: str) -> Reading[Pair]:
    """Return the pairs of a job's input: those of an earlier stage, or of a file of seeds or of the user's own.

    Args:
        params: parameters of the job; ``format``, ``seeds`` and ``rows`` tell how to read a file.
        folder: the artifact with the pairs.
        stage: the job's stage, for the message.

    Raises:
        RequestError: the parameters ask for more pairs than there are.
    """
    path = folder / PAIRS
    if not path.exists():
        path = only_file(folder)
    if path.name == PAIRS:
        reading = read_stored(path, Pair)
    else:
        named = path.name.partition(".")[0]  # a copy of the user's own file is named by its format
        format = params.get("format") or (named if named in SEED_FORMATS else AUTO)
        reading = read_training(path, format, params.get("seeds"))
    rows = params.get("rows")
    if rows is not None and rows > len(reading.rows):
        raise RequestError(
            f"{stage}.rows: {rows:,} asked for, {path} has {len(reading.rows):,}; lower it or make more pairs"
        )
    return Reading(rows=reading.rows[:rows], unread=reading.unread, mended=reading.mended)


def only_file(folder: Path) -> Path:
    """Return the only file of a fetched artifact, apart from its head.

    Raises:
        KitError: there is no file, or more than one.
    """
    files = [path for path in sorted(folder.iterdir()) if path.name != "artifact.json"]
    if len(files) != 1:
        raise KitError(f"{folder.name[:12]}: wanted one file, found {', '.join(path.name for path in files) or 'none'}")
    return files[0]


def data_path(folder: Path) -> Path:
    """Return the only file of a fetched data set, or the folder itself where it has several.

    Raises:
        KitError: there is no file.
    """
    files = [path for path in folder.iterdir() if path.name != "artifact.json"]
    return folder if len(files) > 1 else only_file(folder)
