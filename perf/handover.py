"""What handing every table's jobs to a cluster costs: the export, Snakemake's dry run, and a call with nothing to do.

    python perf/handover.py [--scale paper] [--repeats 3]

Each is timed in a process of its own. For the last one a store gets a tiny artifact for each job: the plan is made, the
store asked for each job, and no Snakemake started.
"""

import argparse
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
sys.path[0] = str(ROOT)  # this script's folder is no place to import from

from kit.cluster.program import OWN_ENVIRONMENT  # noqa: E402
from kit.errors import RequestError  # noqa: E402
from kit.plan.planning import plan_tables  # noqa: E402
from kit.store import Store  # noqa: E402
from perf import speed  # noqa: E402

SNAKEMAKE = ROOT / OWN_ENVIRONMENT / "bin" / "snakemake"


def seconds(command: list[str], folder: Path) -> float:
    """Return the wall seconds of a command; end where it fails."""
    began = time.perf_counter()
    done = subprocess.run(command, check=False, text=True, capture_output=True, cwd=folder)
    if done.returncode:
        sys.exit(f"{' '.join(command)}: exit status {done.returncode}\n{done.stdout[-2000:]}{done.stderr[-2000:]}")
    return time.perf_counter() - began


def export(scale: str, store: Path, out: Path) -> list[str]:
    """Return the command that exports every table's jobs."""
    code = "from kit.cli import main; main()"
    words = ["export", "snakemake", "all", "--scale", scale, "--store", str(store), "--out", str(out)]
    return [sys.executable, "-c", code, *words]


def fill(store: Store, scale: str) -> int:
    """Commit a tiny artifact for each job of every table; return how many jobs there are."""
    jobs = plan_tables(["all"], scale).jobs
    for job in jobs.values():
        out = store.make_scratch(job.key)
        store.commit(job, out, rows=0, facts={}, provenance={})
    return len(jobs)


def main() -> None:
    """Time the three, and print them."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--scale", default="paper")
    parser.add_argument("--repeats", type=int, default=3)
    options = parser.parse_args()
    if not SNAKEMAKE.exists():
        raise RequestError(f"no {SNAKEMAKE.relative_to(ROOT)}; install it: sh requirements/cluster.sh")
    exported, dry, nothing = [], [], []
    with tempfile.TemporaryDirectory(prefix="kit-handover-") as name:
        folder = Path(name)
        for number in range(options.repeats):
            exported.append(seconds(export(options.scale, folder / "empty", folder / f"run-{number}"), ROOT))
            command = [str(SNAKEMAKE), "--profile", "profiles/local", "--dry-run", "--quiet", "all"]
            dry.append(seconds(command, folder / f"run-{number}"))
        jobs = fill(Store.open(folder / "full"), options.scale)
        for number in range(options.repeats):
            nothing.append(seconds(export(options.scale, folder / "full", folder / f"none-{number}"), ROOT))
    for what, found in {"export": exported, "snakemake --dry-run": dry, "nothing to do": nothing}.items():
        print(f"{what:20} median {statistics.median(found):6.2f} s ({speed.spread(found, 2)}, {len(found)} runs)")
    here = f"dry run {statistics.median(dry):.1f} s, nothing to do {statistics.median(nothing):.1f} s"
    speed.add_row(speed.Row(what=f"{jobs:,} jobs handed to Snakemake, `perf/handover.py`", here=here))


if __name__ == "__main__":
    speed.run(main)
