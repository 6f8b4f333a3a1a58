"""A worker's process: started here or in a container, held to limits, and ended."""

import contextlib
import os
import signal
import subprocess
import threading
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any

from kit.containers import Containers
from kit.containers.client import client_environment, end_container
from kit.run.handover import Exchange, exchange
from kit.run.launch import Options, Shape, command, command_in_container, environment
from kit.run.nodes import without_slurm
from kit.run.provenance import request_variable
from kit.store import Job, Store

START_S, ROW_S = 900.0, 120.0
"""Seconds that a container with model-written code may take: for each job to start, and for each completion (twice the
time limit of a program)."""


@dataclass(slots=True, kw_only=True)
class Limits:
    """Memory and time limits of one worker; none unless it runs model-written code in a container."""

    memory: str = ""
    """Memory limit as the runtime writes it, ``4g``; empty: no limit."""
    wall_s: float = 0.0
    """Most seconds of wall-clock time; 0: no limit."""
    rows: int = 0
    """Number of completions by which the time was set."""
    timed_out: threading.Event = field(default_factory=threading.Event)
    """Set once the worker was ended because its time was up."""

    @classmethod
    def for_worker(cls, shape: Shape, jobs: Iterable[Job], options: Options, store: Store) -> "Limits":
        """Return memory and wall-clock limits of one worker: :data:`START_S` a job and :data:`ROW_S` a completion."""
        if options.containers is None or not shape.kind.untrusted:
            return cls()
        counts = [[store.get(key).rows for key in job.inputs.values() if store.has(key)] for job in jobs]
        rows = sum(max(inputs, default=0) for inputs in counts)
        wall_s = min(START_S * len(counts) + ROW_S * rows, threading.TIMEOUT_MAX)
        return cls(memory=options.containers.memory_cap, wall_s=wall_s, rows=rows)


def open_exchange(
    shape: Shape, keys: list[str], containers: Containers, store: Store, request: Mapping[str, Any]
) -> contextlib.AbstractContextManager[Exchange]:
    """Return the folders by which a worker in a container gives its output to the host; they hold its jobs' locks."""
    image = containers.image(shape.kind, shape.environment)
    commit = "" if image.revision == "unknown" else image.revision
    # `make images` builds from `git archive COMMIT`, so no change of a checkout is in an image that names a commit
    known = {"image": image.digest, "commit": commit or None, "dirty": False if commit else None}
    return exchange(
        store,
        keys,
        other_user=os.geteuid() == 0 and not containers.rootless,
        copies=shape.kind.untrusted,
        shares=[*["replies"] * shape.kind.asks, *["parts"] * shape.kind.parts],
        observed={**known, "request": dict(request)},
    )


def start_timer(limits: Limits, process: subprocess.Popen[str], runtime: str, name: str) -> threading.Timer:
    """Start a timer that ends a worker's container when its time is up, and return it."""

    def stop() -> None:
        limits.timed_out.set()
        end_container(runtime, name)
        if runtime == "apptainer":
            _kill(process)

    timer = threading.Timer(limits.wall_s, stop)
    timer.daemon = True
    timer.start()
    return timer


def end_process(process: subprocess.Popen[str], runtime: str, name: str) -> None:
    """Wait for a container's client to end, or end client and container: the container's folder is removed next."""
    with contextlib.suppress(subprocess.TimeoutExpired):
        process.wait(timeout=10)
    if process.returncode != 0:  # the client may be gone, or hang, and the container still run
        end_container(runtime, name)
    if process.returncode is None:
        _kill(process)
        process.wait()


def _kill(process: subprocess.Popen[str]) -> None:
    """Kill a process and all processes of its group."""
    with contextlib.suppress(ProcessLookupError):
        os.killpg(process.pid, signal.SIGKILL)


def start_process(shape: Shape, keys: list[str], options: Options, folders: Exchange | None) -> subprocess.Popen[str]:
    """Start the worker's process: Python on the host, or the runtime's client with Python in a container."""
    cpu = shape.environment != "cuda"
    if options.containers and folders:
        arguments = command_in_container(shape, keys, options, options.containers, folders, cpu=cpu)
        variables = client_environment(options.containers.runtime, shape.variables())
        variables = without_slurm(variables) if options.spread(shape) else variables
    else:
        arguments = command(shape, keys, options, cpu=cpu)
        variables = environment(shape, cpu=cpu, nodes=options.spread(shape)) | request_variable(options.request)
    return subprocess.Popen(
        arguments,
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        errors="replace",
        env=variables,
        cwd=folders.folder if folders else None,
        start_new_session=True,
    )
