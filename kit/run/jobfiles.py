"""A job that was read from a store's file, which another user may have put there: checked before it runs."""

from typing import Any

from kit import registry
from kit.catalogue import ROOT, lock_hash
from kit.errors import RequestError, did_you_mean
from kit.store import Job
from kit.workers import kind_of

AGAIN = "plan it again: kit plan TABLE --write"
MOST_PROCESSES = 4096
"""Processes that may share a job; no machine here has more GPUs."""


def check_words(job: Job) -> None:
    """Refuse a job that no plan names so: its stage, kind of worker, environment, readable name or processes.

    Raises:
        RequestError: one is none that the kit knows.
    """
    where = f"job {job.key[:12]}"
    if job.stage not in (stages := registry.names("stages")):
        raise RequestError(f"{where}: no stage named {job.stage!r:.100}{did_you_mean(job.stage, stages)}")
    kind_of(job)
    environments = sorted(path.stem for path in (ROOT / "requirements").glob("*.txt"))
    if job.environment not in environments:
        raise RequestError(
            f"{where}: no environment named {job.environment!r:.100}{did_you_mean(job.environment, environments)}"
        )
    if ".." in job.id.split("/") or "\0" in job.id:
        raise RequestError(f"{where}: its name {job.id!r:.100} leads out of a folder; {AGAIN}")
    world = job.params.get("world", 1)
    if type(world) is not int or not 1 <= world <= MOST_PROCESSES:
        raise RequestError(f"{where}: params.world: found {world!r:.100}, wanted 1 to {MOST_PROCESSES:,} processes")
    source = job.resources.get("source", {})
    if type(source) is not dict or not all(type(value) in (str, bool, type(None)) for value in source.values()):
        raise RequestError(f"{where}: resources.source: wanted texts by name; {AGAIN}")


def check_versions(job: Job) -> None:
    """Refuse a job of another lock or another code than this checkout's: its key would name what did not run.

    Raises:
        RequestError: its lock is not the one of its environment, or a version is not of this kit.
    """
    where = f"job {job.key[:12]} ({job.id})"
    lock = "" if kind_of(job).fetches else lock_hash(job.environment)
    if job.lock != lock:
        raise RequestError(
            f"{where}: planned for another requirements/{job.environment}.txt ({job.lock[:12] or 'none'}) than this "
            f"checkout's ({lock[:12] or 'none, as fetching computes nothing'}); {AGAIN}"
        )
    first, *plugins = job.version.split(".")
    ours = f"{job.stage}-{registry.load('stages', job.stage).VERSION}"
    if first != ours:
        raise RequestError(f"{where}: planned for {first:.60}, this kit runs {ours}; {AGAIN}")
    for plugin in plugins:
        name, _, version = plugin.rpartition("-")
        if version not in _versions(name):
            raise RequestError(f"{where}: planned for {plugin:.60}, which this kit does not run; {AGAIN}")


def _versions(name: str) -> set[str]:
    """Return every version that a plug-in, or a scenario's step, of this name states; none where there is none."""
    found: set[Any] = set()
    scenario, _, step = name.partition("/")
    if step and scenario in registry.names("scenarios"):
        steps = registry.load("scenarios", scenario).STEPS
        return {str(steps[step].version)} if step in steps else set()
    for kind in ("benchmarks", "engines", "scenarios"):
        if name in registry.names(kind):
            module = registry.load(kind, name)
            found |= {getattr(module, field, None) for field in ("VERSION", "ASKS")}
    return {str(version) for version in found if version is not None}
