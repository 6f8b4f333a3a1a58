"""One worker -> one command: plain Python, or ``accelerate launch`` where a model is at work."""

import os
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from kit.store import Job

GROUPS = {
    "fetch": "fetch",
    "convert": "convert",
    "evolve": "text",
    "respond": "text",
    "answer": "text",
    "sft": "train",
    "grade": "grade",
}
"""Stage -> what shares a worker: stages of one group may use one engine start."""
ACCELERATED = ("text", "train")


@dataclass(frozen=True, slots=True, kw_only=True)
class Shape:
    """What the jobs of one worker have in common."""

    group: str
    environment: str
    world: int

    @classmethod
    def of(cls, job: Job) -> "Shape":
        """The shape of one job's worker."""
        return cls(
            group=GROUPS.get(job.stage, job.stage),
            environment=job.environment,
            world=int(job.params.get("world", 1)),
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class Options:
    """How this run's workers are started."""

    store: Path
    mirror: Path | None = None
    unsafe_exec: bool = False


def command(shape: Shape, keys: Sequence[str], options: Options, *, cpu: bool) -> list[str]:
    """The worker's command line.

    Args:
        shape: what its jobs have in common.
        keys: the jobs, in order.
        options: of the run.
        cpu: whether the environment computes on a CPU.
    """
    worker = ["-m", "kit.worker", "--store", str(options.store), "--world", str(shape.world), "--lifeline"]
    if options.mirror:
        worker += ["--mirror", str(options.mirror)]
    if options.unsafe_exec:
        worker += ["--unsafe-exec"]
    worker += keys
    if shape.group not in ACCELERATED:
        return [sys.executable, "-u", *worker]
    return [sys.executable, "-u", "-m", "accelerate.commands.launch", *_accelerate(shape, cpu=cpu), *worker]


def _accelerate(shape: Shape, *, cpu: bool) -> list[str]:
    """Options of ``accelerate launch``: all given, so that no config file has a say; sharding is the Trainer's."""
    words = ["--num_machines", "1", "--num_processes", str(shape.world), "--dynamo_backend", "no"]
    words += ["--mixed_precision", "no", "--main_process_port", "0" if shape.world > 1 else "29500"]
    if shape.world > 1:
        # `--cpu --num_processes 2` starts one process, in silence; this starts two (on a CPU: over gloo).
        return [*words, "--multi_gpu"]
    return [*words, "--cpu"] if cpu else words


def environment(shape: Shape, *, cpu: bool) -> dict[str, str]:
    """The worker's environment: this process's, with what keeps it offline, quiet and the same everywhere."""
    found = dict(os.environ)
    found |= {
        "PYTHONHASHSEED": "0",
        "TOKENIZERS_PARALLELISM": "false",
        "HF_HUB_DISABLE_TELEMETRY": "1",
        "VLLM_NO_USAGE_STATS": "1",
        "DO_NOT_TRACK": "1",
    }
    if shape.group != "fetch":
        found |= {"HF_HUB_OFFLINE": "1", "TRANSFORMERS_OFFLINE": "1"}
    if cpu and shape.group in ACCELERATED:
        cores = len(os.sched_getaffinity(0))
        found |= {
            "ACCELERATE_USE_CPU": "true",
            "OMP_NUM_THREADS": str(max(1, cores // shape.world)),
            # Threads that wait by spinning slow each other down eightfold as soon as anything else runs.
            "OMP_WAIT_POLICY": "passive",
            "VLLM_ENABLE_V1_MULTIPROCESSING": "0",
            "VLLM_CPU_OMP_THREADS_BIND": "nobind",
        }
    return found
