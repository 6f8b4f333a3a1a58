"""Hands a plan's jobs to Snakemake, which runs them on one machine, on Slurm or on Kubernetes.

``units`` makes cluster jobs out of the plan's, ``needs`` says what each asks the cluster for, ``folder`` writes plan,
Snakefile and profiles, ``program`` starts Snakemake, ``queue`` knows what an earlier hand-over left running, and
``following`` goes on until every job is done or has failed. The kit schedules nothing here: docs/cluster.md.
"""

from dataclasses import dataclass

SCHEDULERS = ("local", "slurm", "kubernetes")
"""Names of the profiles that the kit brings, one for each way in which Snakemake starts jobs."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Settings:
    """Properties of the cluster that a plan does not know."""

    gpus_per_node: int = 8
    """GPUs that a node has; a job that needs more is spread over nodes."""
    group_hours: float = 2.0
    """Expected hours of jobs that one cluster job does in a row, because they share a model; a longer job is alone."""
