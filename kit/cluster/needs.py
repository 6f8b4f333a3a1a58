"""Resources that a unit asks a cluster for: GPUs and nodes from the plan's hardware, memory, cores and time."""

import math
from collections.abc import Sequence
from dataclasses import asdict, dataclass

from kit.catalogue.scales import Hardware
from kit.cluster import Settings
from kit.errors import RequestError
from kit.machine.cgroups import memory_for
from kit.store import Job
from kit.workers import Kind, kind_of

CORES_PER_GPU = 4
"""Cores beside each GPU: they tokenise, lay out batches and start kernels."""
CORES = 4
"""Cores of a job that computes without a GPU, or runs programs in the sandbox."""
GIB_ALONE = 4
"""Memory of a job in which no model is at work, GiB, beside weights that it holds."""
SLACK = 3
"""Times the expected time that is asked for: lengths of texts are not known before they are written."""
START_MIN = 30
"""Minutes beside the expected time: for queues of disks, and for models and engines to open."""
UNKNOWN_MIN = 480
"""Minutes for a job with a model whose time nobody can estimate: a model of the user's without sizes."""
PLAIN_MIN = 60
"""Minutes for a job in which no model is at work."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Needs:
    """Resources that one cluster job asks for."""

    gpus: int
    """GPUs on each of its nodes."""
    nodes: int
    cores: int
    """Cores on each of its nodes."""
    mem_mb: int
    """Memory on each of its nodes, MiB."""
    runtime_min: int

    def to_json(self) -> dict[str, int]:
        """Return the resources by their names in ``plan.json``."""
        return asdict(self)


def needs(jobs: Sequence[Job], hardware: Hardware, settings: Settings) -> Needs:
    """Return the resources for jobs of one kind that are done one after the other.

    Args:
        jobs: the jobs, at least one.
        hardware: hardware of the plan's scale.
        settings: properties of the cluster.

    Raises:
        RequestError: their processes or GPUs can't be spread evenly over nodes.
    """
    kind = kind_of(jobs[0])
    gpus = max(gpus_of(job) for job in jobs) if kind.accelerated and hardware.gpus else 0
    nodes = max(1, math.ceil(gpus / settings.gpus_per_node))
    for job in jobs:
        check_spread(job, gpus, nodes)
    on_node = gpus // nodes
    return Needs(
        gpus=on_node,
        nodes=nodes,
        cores=max(CORES, CORES_PER_GPU * on_node) if kind.accelerated or kind.untrusted else 1,
        mem_mb=memory_mib(jobs, kind, hardware, gpus) // nodes,
        runtime_min=sum(minutes(job, kind) for job in jobs) + START_MIN,
    )


def gpus_of(job: Job) -> int:
    """Return the GPUs that a job with a model computes on: those of one process, times its processes."""
    engine = job.params.get("engine") or {}
    return int(job.params.get("world", 1)) * int(engine.get("tensor_parallel", 1))


def check_spread(job: Job, gpus: int, nodes: int) -> None:
    """Check that each node gets as many GPUs and processes of a job as every other.

    Raises:
        RequestError: it can't.
    """
    world = int(job.params.get("world", 1))
    if gpus % nodes or world % nodes:
        processes = f"{world} process{'es' * (world > 1)}"
        raise RequestError(
            f"--gpus-per-node: {job.id} runs as {processes} on {gpus} GPUs, which {nodes} nodes can't share evenly; "
            f"wanted nodes of {gpus} GPUs, or a number that divides both"
        )


def memory_mib(jobs: Sequence[Job], kind: Kind, hardware: Hardware, gpus: int) -> int:
    """Return the memory of jobs that run one after the other, MiB, over all their nodes.

    A job with a model gets the share of its GPUs in the memory of the plan's machine.
    """
    if kind.accelerated:
        return int(hardware.memory_gib * 1024 * (gpus / hardware.gpus if gpus else 1))
    if kind.untrusted:
        return memory_for(CORES) >> 20
    weights = max(int(job.resources.get("disk_bytes", 0)) for job in jobs) >> 20  # of a model that is converted
    return GIB_ALONE * 1024 + weights


def minutes(job: Job, kind: Kind) -> int:
    """Return the minutes that are asked for one job."""
    if not kind.accelerated:
        return PLAIN_MIN
    wall_s = float(job.resources.get("wall_s", 0))
    return math.ceil(SLACK * wall_s / 60) if wall_s else UNKNOWN_MIN
