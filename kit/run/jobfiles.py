"""Checks of a job from a store's file before it runs: another user may have written the file."""

from typing import Any

from kit import registry
from kit.catalogue import ROOT, lock_hash
from kit.errors import RequestError, did_you_mean
from kit.run.asking import check_stored_server
from kit.scenarios import steps_of
from kit.store import Job
from kit.workers import kind_of

PLAN_AGAIN = "plan it again: kit plan TABLE --write"
MOST_PROCESSES = 4096
"""Most processes that may share a job; no known machine has more GPUs."""


def check_fields(job: Job) -> None:
    """Check that a plan could have made a job's fields: stage, kind of worker, environment, id, processes, source.

    Raises:
        RequestError: a field has a value that no plan gives it.
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
        raise RequestError(f"{where}: its name {job.id!r:.100} leads out of a folder; {PLAN_AGAIN}")
    world = job.params.get("world", 1)
    if type(world) is not int or not 1 <= world <= MOST_PROCESSES:
        raise RequestError(f"{where}: params.world: found {world!r:.100}, wanted 1 to {MOST_PROCESSES:,} processes")
    source = job.resources.get("source", {})
    if type(source) is not dict or not all(type(value) in (str, bool, type(None)) for value in source.values()):
        raise RequestError(f"{where}: resources.source: wanted texts by name; {PLAN_AGAIN}")
    check_stored_server(job)


def check_versions(job: Job) -> None:
    """Check that a job was planned for this checkout's lock and code: else its key would stand for what did not run.

    Raises:
        RequestError: its lock is not the one of its environment, or this kit has another version of its code.
    """
    where = f"job {job.key[:12]} ({job.id})"
    lock = "" if kind_of(job).fetches else lock_hash(job.environment)
    if job.lock != lock:
        raise RequestError(
            f"{where}: planned for another requirements/{job.environment}.txt ({job.lock[:12] or 'none'}) than this "
            f"checkout's ({lock[:12] or 'none, as fetching computes nothing'}); {PLAN_AGAIN}"
        )
    first, *plugins = job.version.split(".")
    current = f"{job.stage}-{registry.load('stages', job.stage).VERSION}"
    if first != current:
        raise RequestError(f"{where}: planned for {first:.60}, this kit runs {current}; {PLAN_AGAIN}")
    for plugin in plugins:
        name, _, version = plugin.rpartition("-")
        if version not in _versions(name):
            raise RequestError(f"{where}: planned for {plugin:.60}, which this kit does not run; {PLAN_AGAIN}")


def _versions(name: str) -> set[str]:
    """Return every version that plug-ins, or a scenario's step, of this name state; empty where there are none."""
    found: set[Any] = set()
    scenario, _, step = name.partition("/")
    if step and scenario in registry.names("scenarios"):
        steps = steps_of(scenario)
        return {str(steps[step].version)} if step in steps else set()
    for kind in ("benchmarks", "engines", "metrics", "scenarios"):
        if name in registry.names(kind):
            module = registry.load(kind, name)
            found |= {getattr(module, field, None) for field in ("VERSION", "ASKS", "JUDGE_ASKS")}
    return {str(version) for version in found if version is not None}
