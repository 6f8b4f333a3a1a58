"""The command line of one worker, on the host or in a container: Python, or ``accelerate launch`` for a model."""

import os
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from kit.containers import FETCH_VARIABLES, MIRROR, PARTS, PROXY_VARIABLES, PYTHON, REPLIES, Containers, Request
from kit.containers.client import KEY_LABEL, STORE_LABEL, store_id
from kit.containers.command_line import command as container_command
from kit.errors import RequestError
from kit.run.asking import SERVER_VARIABLE, is_local, own_variables, passed_on, server_text
from kit.run.handover import Exchange
from kit.run.nodes import LAUNCH, Nodes, without_slurm
from kit.store import Job
from kit.training.checkpoints import VARIABLE
from kit.workers import Kind, kind_of


@dataclass(frozen=True, slots=True, kw_only=True)
class Shape:
    """Properties that jobs must have in common to share a worker."""

    kind: Kind
    environment: str
    world: int
    server: str = ""
    """The server that its jobs ask, as text; empty where they ask none."""

    @classmethod
    def of(cls, job: Job) -> "Shape":
        """Return the shape of the worker that one job needs.

        Raises:
            RequestError: the job's stage names no kind of worker that is known, or the job no server.
        """
        world = int(job.params.get("world", 1))
        return cls(kind=kind_of(job), environment=job.environment, world=world, server=server_text(job))

    def variables(self) -> tuple[str, ...]:
        """Return the variables that its container takes from this process, by name."""
        if self.kind.asks:
            return (*own_variables(self.server), *PROXY_VARIABLES)
        return FETCH_VARIABLES if self.kind.fetches else ()


@dataclass(frozen=True, slots=True, kw_only=True)
class Options:
    """Options that all workers of a run share: store, mirror, sandbox, containers."""

    store: Path
    """Absolute path of the store's folder: workers start in other folders."""
    mirror: Path | None = None
    """Absolute path of the folder with copies of pinned files, if there is one."""
    unsafe_exec: bool = False
    containers: Containers | None = None
    """The containers that workers run in; None where they run in this Python."""
    again: frozenset[str] = frozenset()
    """Keys of jobs that are done but gave their files back, and are made again."""
    request: Mapping[str, Any] = field(default_factory=dict)
    """Tables, scale and manifests that the command was asked for, which each artifact's provenance records."""
    nodes: Nodes | None = None
    """The nodes over which workers with a model spread; None on one machine."""

    def spread(self, shape: Shape) -> Nodes | None:
        """Return the nodes over which a worker spreads; None where it runs on this machine alone.

        Raises:
            RequestError: its nodes can't run as many processes each; or the runtime can't start containers on others.
        """
        if self.nodes is None or not shape.kind.accelerated:
            return None
        count = len(self.nodes.names)
        if shape.world % count:
            raise RequestError(
                f"Slurm job {self.nodes.job}: the plan asks for {shape.world} processes, which its {count} nodes can't "
                "share evenly; wanted nodes that --gpus-per-node tells of"
            )
        if self.containers and self.containers.runtime != "apptainer":
            raise RequestError(
                f"--runtime {self.containers.runtime}: a job over {count} nodes starts a container on each, which "
                "takes apptainer; take --runtime apptainer, or local"
            )
        return self.nodes


def command(shape: Shape, keys: Sequence[str], options: Options, *, cpu: bool) -> list[str]:
    """Return the command line of a worker that runs in this Python.

    Args:
        shape: the shape of the worker.
        keys: keys of its jobs, in order.
        options: options of the run.
        cpu: whether the environment computes on a CPU.
    """
    mirror = ["--mirror", str(options.mirror)] if options.mirror else []
    line = [sys.executable, *_python_arguments(shape, keys, options, ["--store", str(options.store), *mirror], cpu=cpu)]
    nodes = options.spread(shape)
    return nodes.step(line) if nodes else line


def command_in_container(
    shape: Shape, keys: Sequence[str], options: Options, containers: Containers, exchange: Exchange, *, cpu: bool
) -> list[str]:
    """Return the command line of a worker in a container: it reads the store and writes to a folder of its own.

    Args:
        shape: the shape of the worker.
        keys: keys of its jobs, in order.
        options: options of the run.
        containers: runtime and images.
        exchange: the folders that the container shares with the host.
        cpu: whether the environment computes on a CPU.
    """
    image, nodes = containers.image(shape.kind, shape.environment), options.spread(shape)
    folders = ["--store", "/store", "--out", "/out", "--refusals", "/refusals"]
    readable = [(str(options.store / name), f"/store/{name}") for name in ("artifacts", "jobs")]
    readable += [(str(exchange.refusals), "/refusals")]
    writable = [(str(exchange.out), "/out")]
    if shape.kind.asks:
        folders += ["--replies", REPLIES]
        writable += [(str(options.store / "replies"), REPLIES)]
    if shape.kind.parts:
        folders += ["--parts", PARTS]
        writable += [(str(options.store / "parts"), PARTS)]
    if shape.kind.fetches:
        readable += containers.mounts
        if options.mirror:
            folders += ["--mirror", MIRROR]
            readable += [(str(options.mirror), MIRROR)]
    request = Request(
        kind=shape.kind,
        image=image,
        command=[PYTHON, *_python_arguments(shape, keys, options, folders, cpu=cpu)],
        readable=readable,
        writable=writable,
        variables=shape.variables(),
        host_network=is_local(shape.server) or nodes is not None,
        environment=settings(shape, cpu=cpu) | {"KIT_IMAGE_DIGEST": image.digest, "KIT_COMMIT": image.revision},
        gpu=not cpu and shape.kind.accelerated,
        memory_cap=containers.memory_cap,
        name=exchange.name,
        labels={STORE_LABEL: store_id(exchange.store), KEY_LABEL: keys[0]},
        workdir=str(exchange.workdir),
        rootless=containers.rootless,
    )
    line = container_command(containers.runtime, request)
    return nodes.step(line, container=True) if nodes else line


def check_folders(options: Options) -> None:
    """Check that every folder that a container reads or writes can be named on its runtime's command line.

    Raises:
        RequestError: a path is relative, or has a character that separates two folders there.
    """
    if options.containers is None:
        return
    runtime = options.containers.runtime
    separator = "colon or a comma" if runtime == "apptainer" else "colon"
    for folder in (options.store, options.mirror, *(path for path, _ in options.containers.mounts)):
        if folder is not None and not Path(folder).is_absolute():
            raise RequestError(
                f"--runtime {runtime}: {folder}: to it a relative path is the name of a volume; give the whole path"
            )
        if ":" in str(folder) or (runtime == "apptainer" and "," in str(folder)):
            raise RequestError(
                f"--runtime {runtime}: {folder}: a path with a {separator} can't be given to a container; "
                "take another folder (--store, --mirror), or --runtime local"
            )


def _python_arguments(
    shape: Shape, keys: Sequence[str], options: Options, folders: Sequence[str], *, cpu: bool
) -> list[str]:
    """Return Python's arguments: the worker's module with its options, under accelerate where a model is at work."""
    worker = ["-m", "kit.run.worker", *folders, "--world", str(shape.world), "--lifeline"]
    if options.unsafe_exec:
        worker += ["--unsafe-exec"]
    for key in keys:
        if key in options.again:
            worker += ["--again", key]
    worker += keys
    if not shape.kind.accelerated:
        return ["-u", *worker]
    launch = [*_accelerate_options(shape, cpu=cpu), *worker]
    if nodes := options.spread(shape):
        return nodes.arguments(launch)
    port = "0" if shape.world > 1 else "29500"
    return ["-u", "-m", LAUNCH, "--num_machines", "1", "--main_process_port", port, *launch]


def _accelerate_options(shape: Shape, *, cpu: bool) -> list[str]:
    """Return the options of ``accelerate launch`` beside those that say which machines there are.

    They are all of them, so that no config file sets one; the Trainer decides on sharding.
    """
    chosen = ["--num_processes", str(shape.world), "--dynamo_backend", "no", "--mixed_precision", "no"]
    if shape.world > 1:
        # `--cpu --num_processes 2` starts one process, in silence; this starts two (on a CPU: over gloo).
        return [*chosen, "--multi_gpu"]
    return [*chosen, "--cpu"] if cpu else chosen


def environment(shape: Shape, *, cpu: bool, nodes: Nodes | None = None) -> dict[str, str]:
    """Return the environment of a worker on the host: this process's without keys, and :func:`settings`.

    A worker that asks a server gets the key of that one; one that spreads over nodes, nothing of this step of its job.
    """
    own = passed_on(os.environ, shape.server)
    return (without_slurm(own) if nodes else own) | settings(shape, cpu=cpu)


def settings(shape: Shape, *, cpu: bool) -> dict[str, str]:
    """Return the environment variables that every worker gets: offline, no telemetry, the same on every machine."""
    found = {
        "PYTHONHASHSEED": "0",
        # Else `-m` would search the user's folder for modules first: a model's, with a torch.py in it, for instance.
        "PYTHONSAFEPATH": "1",
        "TOKENIZERS_PARALLELISM": "false",
        "HF_HUB_DISABLE_TELEMETRY": "1",
        "VLLM_NO_USAGE_STATS": "1",
        "DO_NOT_TRACK": "1",
    }
    if shape.kind.asks:
        found |= {SERVER_VARIABLE: shape.server}
    if shape.kind.parts and (minutes := os.environ.get(VARIABLE)):
        found |= {VARIABLE: minutes}
    if not shape.kind.fetches:
        found |= {"HF_HUB_OFFLINE": "1", "TRANSFORMERS_OFFLINE": "1"}
    if cpu and shape.kind.accelerated:
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
