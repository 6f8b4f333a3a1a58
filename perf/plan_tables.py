"""What planning costs, and what sharing jobs between tables saves.

    python perf/plan_tables.py [--scale paper] [--repeats 5]

Plans every table and figure at once, as `kit plan all --json` does, in new processes, and prints their CPU seconds;
then each table by itself, in jobs and GPU-hours, beside all of them with shared jobs once. There is no peer to run
beside it.
"""

import argparse
import json
import resource
import statistics
import subprocess
import sys
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parents[1]
sys.path[0] = str(ROOT)  # this script's folder is no place to import from

from kit.errors import RequestError  # noqa: E402
from perf import speed  # noqa: E402


def planned(table: str, scale: str) -> tuple[float, dict[str, Any]]:
    """Return the CPU seconds of ``kit plan`` in a process of its own, and what it printed."""
    before = _children_s()
    code = "from kit.cli import main; main()"
    command = [sys.executable, "-c", code, "plan", table, "--scale", scale, "--json"]
    done = subprocess.run(command, check=False, text=True, capture_output=True, cwd=ROOT)
    if done.returncode == RequestError.exit_code:
        raise RequestError(done.stderr.strip().removeprefix("error: "))
    if done.returncode:
        sys.exit(f"kit plan {table} --scale {scale}: exit status {done.returncode}\n{done.stderr}")
    found: dict[str, Any] = json.loads(done.stdout)
    return _children_s() - before, found


def _children_s() -> float:
    """Return the CPU seconds of the child processes that have ended."""
    used = resource.getrusage(resource.RUSAGE_CHILDREN)
    return used.ru_utime + used.ru_stime


def main() -> None:
    """Time the plan of all tables, and print what each would cost alone."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--scale", default="paper")
    parser.add_argument("--repeats", type=int, default=5)
    options = parser.parse_args()
    runs = [planned("all", options.scale) for _ in range(options.repeats)]
    seconds, whole = [run[0] for run in runs], runs[0][1]
    alone = {name: planned(name, options.scale)[1] for name in whole["tables"]}
    print(f"{'':10} {'jobs':>6} {'GPU-hours':>10}")
    for name, plan in [*alone.items(), ("all", whole)]:
        print(f"{name:10} {len(plan['jobs']):6,} {plan['totals']['gpu_hours']:10,.0f}")
    jobs = sum(len(plan["jobs"]) for plan in alone.values())
    hours = sum(plan["totals"]["gpu_hours"] for plan in alone.values())
    saved = f"{jobs - len(whole['jobs']):,} of {jobs:,} jobs"
    if hours:
        saved += f" and {hours - whole['totals']['gpu_hours']:,.0f} of {hours:,.0f} GPU-hours"
    print(f"sharing saves {saved}")
    cpu = f"{statistics.median(seconds):.2f} s of CPU"
    print(f"kit plan all: median {cpu} ({speed.spread(seconds, 2)}, {len(runs)} runs)")
    what = f"the plan of every table, {len(whole['jobs']):,} jobs, `perf/plan_tables.py`"
    speed.add_row(speed.Row(what=what, here=f"{cpu}; sharing saves {saved}"))


if __name__ == "__main__":
    speed.run(main)
