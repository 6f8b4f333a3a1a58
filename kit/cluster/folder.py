"""A folder that Snakemake runs: the plan, one Snakefile for every plan, and a profile for each way to start jobs."""

import json
import shutil
import sys
import sysconfig
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from kit.catalogue.scales import Hardware
from kit.cluster import SCHEDULERS, Settings
from kit.cluster.units import Unit, make_units
from kit.errors import KitError, RequestError, one_line
from kit.reading.jsonfiles import read_object
from kit.store import Job
from kit.workers import KINDS

WORKFLOW = Path(__file__).resolve().parent / "workflow"
"""The Snakefile and the profiles that every folder gets."""
PLAN = "plan.json"
SCHEMA = 1
WAIT_S = 60
"""Seconds that a job waits for inputs that another host has just committed: disks of clusters show them late."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Handover:
    """Jobs that are handed to a cluster, and how each is run there."""

    jobs: Mapping[str, Job]
    """key -> job, each after its inputs; inputs that are not among them are in the store."""
    hardware: Hardware
    """Hardware of the plan's scale."""
    store: Path
    """Absolute path of the store, the same on every host."""
    settings: Settings = field(default_factory=Settings)
    mirror: Path | None = None
    runtime: str = "local"
    unsafe: bool = False
    """Whether model-written code may run without a sandbox where none is to be had."""
    request: Mapping[str, Any] = field(default_factory=dict)
    """Tables and scale that were asked for, which provenance records."""
    again: Mapping[str, Sequence[str]] = field(default_factory=dict)
    """Key of a job that gave its files back and is made again -> keys of those of its readers that are not among these
    jobs."""

    def options(self) -> list[str]:
        """Return the options of ``kit job``, beside plan and store."""
        found = ["--wait", str(WAIT_S)]
        found += ["--mirror", str(self.mirror)] if self.mirror else []
        found += ["--runtime", self.runtime] if self.runtime != "local" else []
        return found + ["--unsafe-exec"] * self.unsafe

    def to_json(self, units: Sequence[Unit]) -> dict[str, Any]:
        """Return the document that ``plan.json`` holds: units, jobs and the command of each."""
        return {
            "schema": SCHEMA,
            "store": str(self.store),
            "command": kit_command(),
            "options": self.options(),
            "here": [kind.name for kind in KINDS.values() if kind.network],
            "units": {unit.name: unit.to_json() for unit in units},
            "request": dict(self.request),
            "again": {key: list(readers) for key, readers in self.again.items()},
            "jobs": {key: job.to_json() for key, job in self.jobs.items()},
        }


def kit_command() -> list[str]:
    """Return the command line of this kit: the program beside this Python, or this Python itself."""
    program = Path(sysconfig.get_path("scripts")) / "kit"
    return [str(program)] if program.exists() else [sys.executable, "-c", "from kit.cli import main; main()"]


def write_folder(folder: Path, handover: Handover) -> list[Unit]:
    """Write plan, Snakefile and profiles into a new folder, which this user alone may write; return the plan's units.

    Raises:
        RequestError: a job can't be spread over the cluster's nodes.
        OSError: the folder can't be made, or the disk is full.
    """
    units = make_units(handover.jobs, handover.hardware, handover.settings)
    folder.parent.mkdir(parents=True, exist_ok=True)
    folder.mkdir(mode=0o700)
    (folder / PLAN).write_text(json.dumps(handover.to_json(units), indent=1), encoding="utf-8")
    shutil.copyfile(WORKFLOW / "Snakefile", folder / "Snakefile")
    for name in SCHEDULERS:
        text = (WORKFLOW / "profiles" / name / "config.yaml").read_text(encoding="utf-8")
        for mark, value in _values(folder, handover).items():
            text = text.replace(mark, value)
        (folder / "profiles" / name).mkdir(parents=True)
        (folder / "profiles" / name / "config.yaml").write_text(text, encoding="utf-8")
    for path in (*folder.rglob("*"), folder):  # whatever the umask: the cluster runs what is written here
        path.chmod(0o755 if path.is_dir() else 0o644)
    return units


def _values(folder: Path, handover: Handover) -> dict[str, str]:
    """Return what stands in a profile in the place of its marks; what only the lab knows stays one."""
    here = json.dumps(str(folder.absolute()))[1:-1]  # between YAML's double quotes, which read JSON's escapes
    return {"@GPUS@": str(handover.hardware.gpus), "@PLAN@": f"{here}/{PLAN}", "@FOLDER@": here}


@dataclass(frozen=True, slots=True, kw_only=True)
class ReadPlan:
    """Jobs of a ``plan.json``, with the request that they were planned for."""

    jobs: dict[str, Job]
    """key -> job, each after its inputs."""
    request: dict[str, Any]
    """Tables and scale that the plan was made for."""
    again: dict[str, list[str]]
    """Key of a job that gave its files back -> keys of jobs that read it and are in no unit of this plan."""


def read_plan(path: Path) -> ReadPlan:
    """Return the jobs of a ``plan.json``.

    Raises:
        RequestError: it can't be read, or holds no jobs, or a job of another key.
    """
    try:
        document = read_object(path)
    except RequestError as error:
        raise RequestError(f"--plan: {error}") from error
    found, request, again = document.get("jobs"), document.get("request"), document.get("again", {})
    fits = document.get("schema") == SCHEMA
    if not fits or type(found) is not dict or type(request) is not dict or type(again) is not dict:
        raise RequestError(
            f"--plan {one_line(str(path))}: found no plan of schema {SCHEMA}; wanted the {PLAN} that `kit export "
            "snakemake` wrote"
        )
    jobs = {}
    for key, value in found.items():
        try:
            job = Job.from_json(value)
        except KitError as error:
            raise RequestError(f"--plan {one_line(str(path))}: jobs.{key[:12]}: {error}; export it again") from error
        if job.key != key:
            fault = f"its job hashes to {job.key[:12]}"
            raise RequestError(f"--plan {one_line(str(path))}: jobs.{key[:12]}: {fault}; export it again")
        jobs[key] = job
    for readers in again.values():
        if type(readers) is not list or any(type(one) is not str for one in readers):
            raise RequestError(f"--plan {one_line(str(path))}: again: wanted lists of keys; export it again")
    return ReadPlan(jobs=jobs, request=request, again=again)
