"""The worker: the process that runs some jobs of one kind, one after the other, and commits each when it is done.

    python -m kit.run.worker --store DIR --world N KEY...

It writes its events to standard output, one a line (:mod:`kit.run.events`); everything else there is log.
"""

import argparse
import contextlib
import logging
import os
import sys
import threading
import time
import traceback
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Any, cast

from kit import registry
from kit.engines import Engine, EngineSettings, Progress, Request, Sampling, ScoredCompletion
from kit.errors import KitError
from kit.files.network import Unreachable
from kit.files.parts import Parts
from kit.machine.ranks import smallest
from kit.prompts import Pack
from kit.records import Completion
from kit.run import events, provenance
from kit.run.asking import SERVER_VARIABLE
from kit.run.failed_ranks import is_closed_connection
from kit.run.handover import Handover
from kit.run.texts import Generate, Text, in_parts
from kit.sandbox import Sandbox
from kit.stages import Stage
from kit.store import BusyError, Job, Store, kept
from kit.store.faults import disk_fault_text, job_disk_fault
from kit.workers import kind_of

Emit = Callable[..., None]
LAST_WORDS_S = 5.0
"""Seconds that a rank waits with an error that another rank's end may have caused: the launcher ends it meanwhile."""


@dataclass
class JobContext:
    """The worker's :class:`kit.stages.Context`, which a stage gets; engine and sandbox stay open from job to job."""

    rank: int
    world: int
    mirror: Path | None
    unsafe_exec: bool
    emit: Emit
    source: Mapping[str, Any] = field(default_factory=dict)
    key: str = ""
    replies: Path = Path("replies")
    parts_folder: Path | None = None
    """Folder of all jobs' parts; None: no part is kept."""
    inputs: str = ""
    """Digits that stand for the bytes of the job's inputs (:func:`kit.store.kept.inputs_hash`)."""
    resumed: bool = False
    """Whether the job went on from parts or a checkpoint of an earlier attempt."""
    again: frozenset[str] = frozenset()
    """Keys of jobs that are done but gave their files back, and are made again."""
    unreachable: Unreachable = field(default_factory=Unreachable)
    _engine: tuple[Path, EngineSettings, Engine] | None = None
    _sandbox: Sandbox | None = None
    _untrusted: bool = False
    """Whether the job's worker is held to limits for model-written code."""
    _reported_at: float = 0.0
    """Time of the last count that was reported."""
    _report_next: bool = True
    """Whether the next count is reported, however soon after the last one it comes."""

    def begin(self, job: Job) -> None:
        """Begin another job: take its key and source, and report what it starts."""
        kind = kind_of(job)
        self.key, self.source, self._report_next = job.key, job.resources.get("source", {}), True
        self.inputs, self.resumed = "", False
        self._untrusted = kind.untrusted
        if kind.asks:
            self.source = {"server": os.environ.get(SERVER_VARIABLE, "")}
        if started := kind.starting:
            self.phase(f"starting {started}")

    def engine(self, model: Path, settings: EngineSettings) -> Engine:
        """Return the engine of a model folder, opened once for all jobs in a row that ask for it."""
        if self._engine and self._engine[:2] == (model, settings):
            return self._engine[2]
        with self.starting(f"the engine {settings.name}"):
            if self._engine and self._engine[1] == settings and self._engine[2].swap(model):
                self._engine = (model, settings, self._engine[2])
                return self._engine[2]
            self.close_engine()
            engine: Engine = registry.load("engines", settings.name).open(model, settings)
        self._engine = (model, settings, engine)
        return engine

    def generate(self, requests: Sequence[Request], engine: Engine, sampling: Sampling) -> list[Completion]:
        """Have an engine continue chats, a part of them on each rank, and say how far it is."""

        def compute(part: Sequence[Request], progress: Progress) -> list[Completion]:
            return engine.generate(part, sampling, progress)

        return self._in_parts(requests, sampling, Completion, compute)

    def generate_with_probabilities(
        self, requests: Sequence[Request], engine: Engine, sampling: Sampling
    ) -> list[ScoredCompletion]:
        """Do as :meth:`generate`, and return the probability of each token too."""

        def compute(part: Sequence[Request], progress: Progress) -> list[ScoredCompletion]:
            return engine.generate_with_probabilities(part, sampling, progress)

        return self._in_parts(requests, sampling, ScoredCompletion, compute)

    def _in_parts(
        self, requests: Sequence[Request], sampling: Sampling, kind: type[Text], compute: Generate[Text]
    ) -> list[Text]:
        """Have texts written part by part, each of which outlives this process, and say how far it is."""
        settings = self._engine[1] if self._engine else EngineSettings()
        return in_parts(
            requests,
            sampling,
            kind,
            self.parts,
            compute,
            report=self.progress,
            max_num_seqs=settings.max_num_seqs,
            rank=self.rank,
            world=self.world,
        )

    def close(self) -> None:
        """Close the engine and the sandbox."""
        self.close_engine()
        if self._sandbox:
            self._sandbox.close()
            self._sandbox = None

    def close_engine(self) -> None:
        """Close the engine, if one is open, and free its memory."""
        if self._engine:
            self._engine[2].close()
            self._engine = None

    def pack(self, name: str, ids: Sequence[str], folder: Path | None = None) -> Pack:
        """Return the templates of a prompt pack that are in the job's key."""
        from kit import prompts

        return prompts.only(prompts.load(name, folder), ids)

    @property
    def parts(self) -> Parts:
        """Return the parts of the job at work."""
        agree = partial(smallest, world=self.world)
        return Parts(self.parts_folder, f"{self.key}-{self.inputs}", smallest=agree, went_on=self._note_resumed)

    def _note_resumed(self) -> None:
        self.resumed = True

    def sandbox(self) -> Sandbox:
        """Return the sandbox, which is started once for all jobs.

        Raises:
            KitError: this job's worker is not of an untrusted kind: nothing would hold model-written code here.
        """
        if not self._untrusted:
            raise KitError("the sandbox is for jobs whose kind of worker is untrusted; this one's is not")
        if self._sandbox is None:
            from kit.sandbox import open_sandbox

            with self.starting("the sandbox"):
                self._sandbox = open_sandbox(unsafe=self.unsafe_exec)
        return self._sandbox

    def progress(self, done: int, total: int, tokens: int = 0) -> None:
        """Report how far the job is, at most five times a second; the first count of a job, or of a phase, always."""
        now = time.monotonic()
        if self.rank == 0 and (done == total or self._report_next or now - self._reported_at > 0.2):
            self._reported_at, self._report_next = now, False
            self.emit("progress", key=self.key, done=done, total=total, tokens=tokens)

    @contextlib.contextmanager
    def starting(self, what: str) -> Iterator[None]:
        """Report that something starts, and afterwards that the job is at work."""
        self.phase(f"starting {what}")
        yield
        self.phase("at work")

    def phase(self, text: str) -> None:
        """Report the phase of a job that has no counts yet: an engine that starts, another run that is waited for."""
        if self.rank == 0:
            self._report_next = True
            self.emit("progress", key=self.key, done=0, total=0, tokens=0, phase=text)


def main(arguments: list[str] | None = None) -> int:
    """Run the jobs; return 0 if all are committed, 1 if one failed."""
    parser = argparse.ArgumentParser(prog="kit.run.worker")
    parser.add_argument("keys", nargs="+")
    parser.add_argument("--store", type=Path, required=True)
    parser.add_argument("--world", type=int, required=True)
    parser.add_argument("--mirror", type=Path)
    parser.add_argument("--unsafe-exec", action="store_true")
    parser.add_argument("--out", type=Path, help="compute into this folder; whoever started this worker commits")
    parser.add_argument("--replies", type=Path, help="folder of servers' replies, by default the store's")
    parser.add_argument("--parts", type=Path, help="folder of parts of jobs, by default the store's")
    parser.add_argument("--refusals", type=Path, help="folder in which it writes the reason, if it could not")
    parser.add_argument("--again", action="append", default=[], help="a key that is done, and made again")
    parser.add_argument("--lifeline", action="store_true", help="end when standard input closes")
    options = parser.parse_args(arguments)
    _close_stdin(lifeline=options.lifeline)
    _log_causes()
    rank, world = int(os.environ.get("RANK", "0")), int(os.environ.get("WORLD_SIZE", "1"))
    emit = events.sender(sys.stdout) if rank == 0 else _failures_alone(events.sender(sys.stdout))
    if world != options.world:
        emit("failed", key=options.keys[0], reason=f"the plan asks for {options.world} processes, {world} were started")
        return 1
    context = JobContext(
        rank=rank,
        world=world,
        mirror=options.mirror,
        unsafe_exec=options.unsafe_exec,
        emit=emit,
        replies=options.replies or options.store / "replies",
        parts_folder=options.parts or options.store / "parts",
        again=frozenset(options.again),
    )
    store = (
        Store(options.store) if options.out is None else Handover(options.store, options.out, options.refusals, emit)
    )
    failures = 0
    for key in options.keys:
        failures += not (_run_on_ranks if world > 1 else run_job)(store, key, context)
    context.close()
    return min(failures, 1)


def run_job(store: Store, key: str, context: JobContext) -> bool:
    """Run one job in this process alone and commit it; return whether it is committed."""
    emit = context.emit
    if (job := read_job(store, key, context)) is None:
        return False
    try:
        with store.lock(key, wait=True):
            if is_made(store, key, context):
                store.clear_parts(key, made=True)  # of an attempt that was killed after its commit
                emit("done", key=key, rows=store.get(key).rows, seconds=0.0, shared=True)
                return True
            if not all(store.holds(needed) for needed in job.inputs.values()):
                emit("blocked", key=key)
                return False
            emit("start", key=key)
            with store.scratch(key) as out:
                _compute_and_commit(store, job, out, context)
    except Exception as error:
        if isinstance(error, BusyError):
            raise
        _report_failure(store, job, error, context)
        return False
    return True


def is_made(store: Store, key: str, context: JobContext) -> bool:
    """Return whether there is nothing to do: the artifact is there, with its files or for a reader of its head."""
    return store.holds(key) or (store.has(key) and key not in context.again)


def read_job(store: Store, key: str, context: JobContext) -> Job | None:
    """Return the job of a key; where its file can't be read as this job, report a failure and return None."""
    try:
        return store.job(key)
    except KitError as error:
        context.emit("failed", key=key, reason=str(error))
        return None


def _compute_and_commit(store: Store, job: Job, out: Path, context: JobContext) -> None:
    begun = provenance.begin(context.world)
    context.begin(job)
    inputs = {role: store.input_folder(needed) for role, needed in job.inputs.items()}
    context.inputs = kept.inputs_hash({role: store.get(needed) for role, needed in job.inputs.items()})
    params = {name: value for name, value in job.params.items() if name != "world"}  # world is the launcher's
    summary = cast(Stage, registry.load("stages", job.stage)).run(params, inputs, out, context)
    if context.rank:
        return
    seconds = begun.seconds()
    recorded = provenance.record(job, begun, seconds, resumed=context.resumed)
    store.commit(job, out, rows=summary.rows, facts=summary.facts, provenance=recorded)
    context.emit("done", key=job.key, rows=summary.rows, seconds=seconds, tokens=summary.facts.get("tokens", 0))


def _run_on_ranks(store: Store, key: str, context: JobContext) -> bool:
    """Run one job on all ranks: rank 0 holds the lock and commits; a rank that fails ends the launch."""
    from accelerate import PartialState
    from accelerate.utils import broadcast_object_list

    # Made without being told that it is on a CPU, it would join no group, and each rank would be alone without a word.
    PartialState(cpu=os.environ.get("ACCELERATE_USE_CPU") == "true")
    if (job := read_job(store, key, context)) is None:
        return False
    with contextlib.ExitStack() as stack:
        state: list[Any] = [None]
        if context.rank == 0:
            stack.enter_context(store.lock(key, wait=True))
            if made := is_made(store, key, context):
                store.clear_parts(key, made=True)
            state = ["" if made else str(stack.enter_context(store.scratch(key)))]
        broadcast_object_list(state)
        if not state[0]:
            context.emit("done", key=key, rows=0, seconds=0.0, shared=True)
            return True
        context.emit("start", key=key)
        try:
            _compute_and_commit(store, job, Path(state[0]), context)
        except Exception as error:
            _end_rank(store, job, error, context)
    return True


def _end_rank(store: Store, job: Job, error: Exception, context: JobContext) -> None:
    """End this process, with its error as the job's failure unless it only says that another rank is gone."""
    if context.rank or not isinstance(error, KitError):
        # If another rank ended first, the launcher ends this one, and says which it was.
        time.sleep(LAST_WORDS_S)
    if not isinstance(error, KitError) and is_closed_connection(error):  # however slow the launcher is
        context.close_engine()
        traceback.print_exception(error, file=sys.stderr)
        sys.stderr.flush()
    else:
        _report_failure(store, job, error, context)
    sys.stdout.flush()
    os._exit(1)


def _report_failure(store: Store, job: Job, error: Exception, context: JobContext) -> None:
    """Record the failure of a job: traceback in the log, reason in the store, event ``failed``."""
    context.close_engine()
    expected = isinstance(error, KitError)
    if not expected:
        traceback.print_exc(file=sys.stderr)
        sys.stderr.flush()
    reason = str(error) if expected else f"{type(error).__name__}: {error}"
    if not expected and (fault := job_disk_fault(error, store.job_folder)):
        reason = f"{job.id}: {disk_fault_text(fault)}"
    if context.rank:
        reason = f"rank {context.rank}: {reason}"
    store.record_failure(job, reason)
    context.emit("failed", key=job.key, reason=reason)


def _failures_alone(emit: Emit) -> Emit:
    """Return a function that sends no event but a failure: on all ranks but 0, which sends them."""

    def send(kind: str, **fields: Any) -> None:
        if kind == "failed":
            emit(kind, **fields)

    return send


def _close_stdin(*, lifeline: bool) -> None:
    """Replace standard input by an empty one, so that no library waits for an answer to a question.

    Args:
        lifeline: whether this worker ends when its former standard input closes, as it does when its parent ends.
    """
    if lifeline:
        threading.Thread(target=_end_with_parent, args=(os.dup(0),), daemon=True).start()
    empty = os.open(os.devnull, os.O_RDONLY)
    os.dup2(empty, 0)
    os.close(empty)


def _end_with_parent(stream: int) -> None:
    """Wait until the parent process is gone, then end at once: no orphan goes on computing."""
    with contextlib.suppress(OSError):
        while os.read(stream, 1):
            pass
    os._exit(137)


def _log_causes() -> None:
    """Let the log show the error of a library that is behind an error of the kit."""
    logger = logging.getLogger("kit")
    logger.setLevel(logging.INFO)
    if not logger.handlers:
        logger.addHandler(logging.StreamHandler(sys.stderr))


if __name__ == "__main__":
    sys.exit(main())
