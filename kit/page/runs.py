"""Machines, commits, images and versions that jobs ran with, their cost, and the commands that run them again."""

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from kit.page.texts import clean, clean_all
from kit.report.statuspage import duration
from kit.store import Artifact, Job, Store

NOT_RECORDED = "not recorded"
SHOWN_PACKAGES = 24
"""Most packages of a setting that the page lists."""


@dataclass(slots=True, kw_only=True)
class Setting:
    """Machine, commit, image and versions that some jobs ran with, and how many did."""

    facts: tuple[tuple[str, str], ...]
    """Name and value of each: commit, image, machine, Python, packages."""
    jobs: int = 0
    seconds: float = 0.0
    """Sum of the jobs' wall-clock times."""

    @property
    def took(self) -> str:
        """The sum of the jobs' times, in words."""
        return duration(self.seconds)


@dataclass(slots=True, kw_only=True)
class Cost:
    """Cost of the jobs of one stage."""

    stage: str
    jobs: int = 0
    rows: int = 0
    seconds: float = 0.0
    """Sum of the jobs' wall-clock times."""
    gpu_seconds: float = 0.0
    """GPUs held, times the seconds that they were."""

    @property
    def took(self) -> str:
        """The sum of the jobs' times, in words."""
        return duration(self.seconds)

    @property
    def gpu_hours(self) -> str:
        """GPU-hours with one digit; a dash where no GPU was held."""
        return f"{self.gpu_seconds / 3600:,.1f}" if self.gpu_seconds else "-"


@dataclass(slots=True, kw_only=True)
class Runs:
    """All that is told of the jobs behind a page's numbers."""

    settings: list[Setting] = field(default_factory=list)
    """Settings that jobs ran with, the one of most jobs first."""
    costs: list[Cost] = field(default_factory=list)
    """Costs by stage, in the order of the pipeline."""
    total: Cost = field(default_factory=lambda: Cost(stage="all"))


def runs_of(jobs: Mapping[str, Job], store: Store) -> Runs:
    """Return the settings and the cost of jobs, each counted once.

    Args:
        jobs: key -> job; those that the store lacks are left out.
        store: where their heads are.
    """
    settings: dict[tuple[tuple[str, str], ...], Setting] = {}
    costs: dict[str, Cost] = {}
    found = Runs()
    for artifact in (store.get(key) for key in jobs if store.has(key)):
        seconds, gpu = _number(artifact, "wall_s"), _number(artifact, "gpu_held_s")
        facts = setting_facts(artifact)
        setting = settings.setdefault(facts, Setting(facts=facts))
        setting.jobs, setting.seconds = setting.jobs + 1, setting.seconds + seconds
        stage = artifact.job.stage
        for cost in (costs.setdefault(stage, Cost(stage=stage)), found.total):
            cost.jobs, cost.rows = cost.jobs + 1, cost.rows + artifact.rows
            cost.seconds, cost.gpu_seconds = cost.seconds + seconds, cost.gpu_seconds + gpu
    found.settings = sorted(settings.values(), key=lambda one: (-one.jobs, one.facts))
    found.costs = sorted(costs.values(), key=lambda one: (-one.seconds, one.stage))
    return found


def setting_facts(artifact: Artifact) -> tuple[tuple[str, str], ...]:
    """Return where and with what a job ran: commit, image, machine, Python, packages, each as a name and a text."""
    known = artifact.provenance
    packages = known.get("packages")
    versions = sorted(packages.items()) if isinstance(packages, Mapping) else []
    listed = ", ".join(f"{name} {version}" for name, version in versions[:SHOWN_PACKAGES])
    facts = {
        "commit": commit_text(known),
        "image": str(known.get("image") or "none: it ran without a container"),
        "machine": machine_text(known.get("machine")),
        "Python": str(known.get("python") or NOT_RECORDED),
        "environment": str(known.get("environment") or artifact.job.environment),
        "packages": listed or NOT_RECORDED,
    }
    return tuple((name, clean(text)) for name, text in facts.items())


def commit_text(provenance: Mapping[str, Any]) -> str:
    """Return the commit of the kit that ran a job, and whether its files had been changed since."""
    commit = provenance.get("commit")
    changed = ", with changes that are in no commit" if provenance.get("dirty") else ""
    return f"{commit}{changed}" if commit else NOT_RECORDED


def machine_text(machine: Any) -> str:
    """Return a machine as a text: its GPUs, its processor, cores and memory, its system."""
    if not isinstance(machine, Mapping):
        return NOT_RECORDED
    gpus = Counter(map(_gpu_name, machine.get("gpus") or ()))
    parts = [f"{count} x {name}" for name, count in gpus.items()]
    parts += [str(machine[name]) for name in ("cpu",) if machine.get(name)]
    parts += [f"{machine['cores']} cores"] if machine.get("cores") else []
    memory = machine.get("memory_bytes")
    parts += [f"{memory / 2**30:,.0f} GiB of memory"] if isinstance(memory, int) else []
    parts += [f"driver {machine['driver']}"] if machine.get("driver") else []
    return ", ".join([*parts, str(machine.get("system", ""))]).strip(", ")


def job_json(job: Job, artifact: Artifact | None) -> dict[str, Any]:
    """Return a job as the page's explorer shows it: parameters, inputs, and what is known of its run."""
    facts: list[tuple[str, str]] = []
    if artifact is not None:
        facts = [*setting_facts(artifact), ("started", str(artifact.provenance.get("started_at") or NOT_RECORDED))]
        facts += [("took", duration(_number(artifact, "wall_s"))), ("rows", f"{artifact.rows:,}")]
        facts += [("files", "given back to the disk (--keep)")] if artifact.released else []
    known = {
        "id": job.id,
        "stage": job.stage,
        "inputs": dict(job.inputs),
        "params": job.params,
        "facts": [list(fact) for fact in (*facts, ("version", job.version), ("lock", job.lock or "none"))],
        "command": f"kit store show {job.key[:12]}",
    }
    return {name: clean_all(value) for name, value in known.items()}


def again(names: Sequence[str], scale: str) -> tuple[str, ...]:
    """Return the commands that compute some tables again and check them."""
    tables = [name.removeprefix("table-") for name in names]
    asked = " ".join(tables)
    return (f"kit reproduce {asked} --scale {scale}", f"kit verify {asked} --scale {scale}")


def _gpu_name(gpu: Any) -> str:
    return str(gpu.get("name", "GPU")) if isinstance(gpu, Mapping) else str(gpu)


def _number(artifact: Artifact, name: str) -> float:
    """Return a number of a head's provenance; 0 where it is not recorded."""
    value = artifact.provenance.get(name)
    return float(value) if type(value) in (int, float) else 0.0  # type: ignore[arg-type]
