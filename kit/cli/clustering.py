"""``kit export snakemake`` and ``--cluster``: the jobs of tables for Snakemake, on one machine, Slurm or Kubernetes."""

import os
import shlex
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from kit.cli import (
    DEFAULT_STORE,
    MirrorDir,
    RuntimeName,
    ScaleName,
    StoreDir,
    Tables,
    UnsafeExec,
    app,
    check_mirror,
    path_option,
    say,
    store_to_plan,
)
from kit.cli.completing import complete_cluster
from kit.cli.repeats import CommandGroup
from kit.errors import RequestError, did_you_mean, one_line

if TYPE_CHECKING:
    from kit.cluster.folder import Handover
    from kit.cluster.program import Snakemake
    from kit.plan import Plan
    from kit.store import Job, Store

ClusterName = Annotated[
    str,
    typer.Option(
        "--cluster",
        help="Have Snakemake start the jobs: slurm, kubernetes, local (docs/cluster.md)",
        autocompletion=complete_cluster,
    ),
]
ProfileName = Annotated[
    str, typer.Option("--profile", help="With --cluster: the lab's own profile of Snakemake, a folder or a name")
]
GpusPerNode = Annotated[
    int, typer.Option("--gpus-per-node", min=1, help="GPUs of one node; a job that needs more spreads over nodes")
]
GroupHours = Annotated[
    float,
    typer.Option(
        "--group-hours", min=0, help="Expected hours of jobs with one model that one cluster job does in a row"
    ),
]
GPUS_PER_NODE, GROUP_HOURS = 8, 2.0

export = typer.Typer(cls=CommandGroup, no_args_is_help=True, help="Write plans as other tools read them.")
app.add_typer(export, name="export")


@dataclass(frozen=True, slots=True, kw_only=True)
class ClusterOptions:
    """Options of ``--cluster``, as they were given."""

    scheduler: str = ""
    """Empty: jobs run here."""
    profile: str = ""
    gpus_per_node: int = GPUS_PER_NODE
    group_hours: float = GROUP_HOURS

    def check(self, *, auto: bool) -> None:
        """Check that the options go together, before anything is planned.

        Args:
            auto: whether this machine chooses the scale.

        Raises:
            RequestError: they don't.
        """
        if not self.scheduler:
            if self.profile:
                raise RequestError(
                    f"--profile {one_line(self.profile)}: goes with --cluster; add --cluster slurm, or leave it out"
                )
            return
        from kit.cluster import SCHEDULERS

        if self.scheduler not in SCHEDULERS:
            cure = did_you_mean(self.scheduler, SCHEDULERS)
            raise RequestError(f"--cluster {one_line(self.scheduler)}: no such way to start jobs{cure}")
        if auto:
            check_scale_is_named(f"--cluster {one_line(self.scheduler)}")


def check_scale_is_named(option: str) -> None:
    """Refuse a scale that this machine would choose, for jobs that run on others.

    Raises:
        RequestError: always.
    """
    from kit.cli.completing import files

    raise RequestError(
        f"{option}: the scale auto is what this machine holds, and the jobs run on others; name it with --scale: "
        f"{', '.join(files('scales'))}"
    )


def make_handover(
    plan: "Plan", store: "Store", options: ClusterOptions, mirror: Path | None, runtime: str, *, unsafe: bool
) -> "Handover":
    """Return what a cluster needs to know of a plan.

    Raises:
        RequestError: there is no such runtime.
    """
    from kit.cluster import Settings
    from kit.cluster.folder import Handover
    from kit.containers import RUNTIMES
    from kit.plan.options import check_choice

    check_choice("--runtime", runtime, RUNTIMES)
    return Handover(
        jobs=plan.jobs,
        hardware=plan.hardware,
        store=store.root,
        settings=Settings(gpus_per_node=options.gpus_per_node, group_hours=options.group_hours),
        mirror=mirror,
        runtime=runtime,
        unsafe=unsafe,
        request=plan.request(),
    )


def find_engine(options: ClusterOptions, missing: "list[Job]") -> "Snakemake":
    """Return Snakemake with the lab's profile; where no job is missing, none is looked for.

    Raises:
        RequestError: there is no such profile, or no Snakemake.
    """
    from kit.cluster.program import Snakemake, find_snakemake

    if not missing:
        return Snakemake(program=Path(), scheduler=options.scheduler)
    return find_snakemake(options.scheduler, options.profile, os.environ)


@export.command()
def snakemake(
    tables: Tables,
    scale: ScaleName = "auto",
    out: Annotated[Path, path_option("--out", "The folder to write; it must not be there yet")] = Path("snakemake"),
    store: StoreDir = DEFAULT_STORE,
    mirror: MirrorDir = None,
    unsafe_exec: UnsafeExec = False,
    runtime: RuntimeName = "local",
    gpus_per_node: GpusPerNode = GPUS_PER_NODE,
    group_hours: GroupHours = GROUP_HOURS,
) -> None:
    """Write the jobs of tables that the store lacks into a folder that Snakemake runs, on one machine or a cluster.

    The folder holds the plan, one Snakefile for every plan, and a profile each for one machine, Slurm and Kubernetes.
    """
    from kit.cli.listing import machine_chooses_scale
    from kit.cli.placing import check_out
    from kit.cluster.folder import write_folder
    from kit.plan.planning import plan_tables
    from kit.run.needs import to_run

    if machine_chooses_scale(tables, scale):
        check_scale_is_named("kit export snakemake")
    check_mirror(mirror)
    check_out(out)
    plan = plan_tables(tables, scale)
    opened = store_to_plan(store)
    options = ClusterOptions(gpus_per_node=gpus_per_node, group_hours=group_hours)
    plan.jobs = {key: plan.jobs[key] for key in to_run(plan.jobs, opened)}
    units = write_folder(out, make_handover(plan, opened, options, mirror, runtime, unsafe=unsafe_exec))
    say(f"{one_line(str(out))}: {len(plan.jobs)} jobs in {len(units)} units; their store: {opened.root}")
    if not units:
        say("nothing to run: that store has every job of these tables")
        return
    place = shlex.quote(one_line(str(out)))
    say(f"cd {place} && snakemake --profile profiles/slurm     # or profiles/local, profiles/kubernetes")
