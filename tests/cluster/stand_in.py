"""Stands in for kit where a test hands jobs to Snakemake: its jobs wait for files and write a line, in kit's own store.

    stand_in.py job KEY... --plan FILE --store DIR ...      as `kit job`
    stand_in.py head STORE SCHEDULER PROFILE JOBS           as `kit reproduce --cluster`, for jobs of a JSON file

A job's parameters say what it does: ``gate`` names a file that it waits for, ``failures`` how often it fails first.
Each start adds a file to ``starts`` beside the store: ``<key>.<number of the Slurm job>.<random>``, with the GPUs that
it sees.
"""

import argparse
import json
import os
import secrets
import sys
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from kit.catalogue.scales import Hardware
from kit.cli.jobs import exported_jobs
from kit.cluster import Settings, folder
from kit.cluster.folder import Handover
from kit.cluster.following import run_on_cluster
from kit.cluster.program import Snakemake
from kit.errors import KitError
from kit.run.elsewhere import BUSY, at_work, missing_inputs, wait_for_inputs
from kit.run.execute import Outcome
from kit.stages._keeping import ALL
from kit.store import Job, Store

COMMAND = [sys.executable, str(Path(__file__).resolve())]
HARDWARE = Hardware(gpus=2, gpu_memory_gib=1, memory_gib=2, machine="none")
"""Hardware of the plan's scale: a job with a model asks for two GPUs."""


def make_job(name: str, stage: str = "convert", inputs: Mapping[str, str] | None = None, **params: Any) -> Job:
    """Return a job that this file runs."""
    return Job(
        id=f"{stage}/{name}",
        stage=stage,
        version=f"{stage}-1",
        environment="cpu",
        lock="",
        params={"name": name, **params},
        inputs=dict(inputs or {}),
        resources={"wall_s": 1.0},
    )


def run(job: Job, store: Store) -> None:
    """Do what a job's parameters say, and commit it.

    Raises:
        KitError: it is to fail this time.
    """
    starts = store.root.parent / "starts"
    starts.mkdir(exist_ok=True)
    with store.lock(job.key, wait=True), store.scratch(job.key) as out:
        place = starts / f"{job.key}.{os.environ.get('SLURM_JOB_ID', '')}.{secrets.token_hex(4)}"
        place.write_text(os.environ.get("CUDA_VISIBLE_DEVICES", ""), encoding="utf-8")
        if len(list(starts.glob(f"{job.key}.*"))) <= job.params.get("failures", 0):
            raise KitError(f"{job.id} fails as it was told to")
        while (gate := job.params.get("gate")) and not (store.root.parent / gate).exists():
            time.sleep(0.2)
        (out / "line.txt").write_text(f"{job.id}\n", encoding="utf-8")
        store.commit(job, out, rows=1, facts={}, provenance={})


def run_jobs(arguments: list[str]) -> int:
    """Run jobs of a plan as ``kit job`` does; return its exit code."""
    parser = argparse.ArgumentParser()
    parser.add_argument("keys", nargs="+")
    parser.add_argument("--plan", type=Path)
    parser.add_argument("--store", type=Path)
    parser.add_argument("--wait", type=float)
    options = parser.parse_args(arguments)
    store = Store.open(options.store)
    jobs, _ = exported_jobs(options.keys, options.plan, store)
    wait_for_inputs(jobs, store, options.wait)
    if at_work(jobs, store):
        return BUSY
    failures = 0
    for key, job in jobs.items():
        if not store.holds(key) and not missing_inputs({key: job}, store):
            try:
                run(job, store)
            except KitError as error:
                store.append_log(key, f"{error}\n")
                store.record_failure(job, str(error))
        failures += not store.holds(key)
    return min(failures, 1)


def head(
    jobs: Mapping[str, Job],
    store: Store,
    scheduler: str,
    profile: Path | None,
    events: list[Any] | None = None,
    *,
    keep: str = ALL,
    sleep: Callable[[float], None] = time.sleep,
) -> Outcome:
    """Run jobs on a cluster by this file, with the Snakemake that the variable ``KIT_SNAKEMAKE`` names."""

    def listen(event: str, job: Job, fields: Mapping[str, Any]) -> None:
        if events is not None:
            events.append((event, job.id, dict(fields)))

    folder.kit_command = lambda: COMMAND
    handover = Handover(
        jobs=jobs,
        hardware=HARDWARE,
        store=store.root,
        settings=Settings(gpus_per_node=4, group_hours=2.0),
        request={"tables": ["table-2"]},
    )
    snakemake = Snakemake(program=Path(os.environ["KIT_SNAKEMAKE"]), scheduler=scheduler, profile=profile)
    return run_on_cluster(handover, store, snakemake, listen, keep=keep, sleep=sleep)


def main() -> int:
    """Run jobs, or hand jobs to a cluster."""
    action, *rest = sys.argv[1:]
    if action == "job":
        return run_jobs(rest)
    root, scheduler, profile, file = rest
    jobs = [Job.from_json(value) for value in json.loads(Path(file).read_text(encoding="utf-8"))]
    outcome = head({job.key: job for job in jobs}, Store.open(Path(root)), scheduler, Path(profile))
    print(json.dumps({"done": len(outcome.done), "failed": outcome.failed, "blocked": outcome.blocked}))
    return min(1, len(outcome.failed) + len(outcome.blocked))


if __name__ == "__main__":
    sys.exit(main())
