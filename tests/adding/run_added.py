"""Not a test: runs the added parts in the copy of the tree that holds them, and prints one JSON object.

    python run_added.py MANIFEST STORE MIRROR

Every job is run by the worker's own code, but those that need a model's weights: what fetches, converts or trains one
is committed as an empty folder, since the added engine reads none.
"""

import json
import sys
from pathlib import Path
from typing import Any

import kit
from kit import registry
from kit.catalogue import Catalogue, manifests_folder
from kit.catalogue.manifest import UserManifest
from kit.catalogue.points import make_point
from kit.plan.planner import Planner
from kit.plan.planning import locks, plan_tables
from kit.reading.documents import read
from kit.run.worker import JobContext, run_job
from kit.store import Job, Store


def main(manifest: str, store_path: str, mirror: str) -> None:
    """Run the manifest's jobs in order, and one of the added stage on what the scenario wrote."""
    store = Store.open(Path(store_path))
    said: list[tuple[str, dict[str, Any]]] = []
    context = JobContext(
        rank=0, world=1, mirror=Path(mirror), unsafe_exec=False, emit=lambda kind, **fields: said.append((kind, fields))
    )
    jobs = list(plan_tables([manifest], "auto").jobs.values())
    counted = planned_count(Path(manifest))
    for job in (*jobs, counted):
        store.plan(job)
        if job.stage in ("convert", "sft") or job.params.get("kind") == "hub":
            with store.scratch(job.key) as out:
                (out / "weights").write_text("none\n", encoding="utf-8")
                store.commit(job, out, rows=1, facts={}, provenance={})
        elif not run_job(store, job.key, context):
            raise SystemExit(f"{job.id}: {said[-1]}")
    context.close()
    print(json.dumps(found(store, jobs, counted)))


def planned_count(path: Path) -> Job:
    """Return the added stage's job at the experiment's first point, as the stage itself plans it."""
    catalogue = Catalogue(manifests_folder(), read(UserManifest, path), path.parent, path.name)
    assert catalogue.user is not None
    experiment = catalogue.user.experiment[0]
    planner = Planner(catalogue, catalogue.scale("own"), "own", locks())
    at = {axis: experiment.values(axis)[0] for axis in experiment.axes()}
    return planner.plan.jobs[planner.need("count", make_point(experiment, at))]


def found(store: Store, jobs: list[Job], counted: Job) -> dict[str, Any]:
    """Return the artifacts of the jobs: rows, facts and keys."""

    def lines(stage: str, name: str) -> list[Any]:
        key = next(job.key for job in jobs if job.stage == stage)
        text = (store.get(key).folder / name).read_text(encoding="utf-8")
        return [json.loads(line) for line in text.splitlines()]

    return {
        "kit": str(Path(kit.__file__).parent),
        "stages": registry.names("stages"),
        "versions": {job.stage: job.version for job in jobs},
        "revisions": [job.params["revision"] for job in jobs if job.params.get("kind") == "hub"],
        "evolved": [row["instruction"] for row in lines("evolve", "instructions.jsonl")],
        "engine": next(store.get(job.key).facts["engine"] for job in jobs if job.stage == "answer"),
        "results": lines("grade", "results.jsonl"),
        "count": (store.get(counted.key).folder / "count.txt").read_text(encoding="utf-8"),
    }


if __name__ == "__main__":
    sys.path.pop(0)  # this script's folder is no place to import from
    main(*sys.argv[1:])
