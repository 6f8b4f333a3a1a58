"""What a table costs that is already computed: ``kit reproduce`` on a store that has every artifact.

    python perf/cached_table.py [--store store] [--table 2] [--scale smoke] [--repeats 7]

Without --store, the store is made up here: every job of the table's plan is committed, with invented results, since
finding, reading and printing them is all that is timed. Prints the wall time of the whole command, of `kit --help`
(what starting Python and the command line costs), and their difference: planning, looking up every job, reading the
results and printing the table.
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

from kit.errors import RequestError  # noqa: E402
from perf import speed  # noqa: E402


def wall_s(*arguments: str) -> tuple[float, str]:
    """Seconds that a command takes, and what it printed."""
    started = time.perf_counter()
    code = "from kit.cli import main; main()"
    command = [sys.executable, "-c", code, *arguments]
    done = subprocess.run(command, check=False, text=True, capture_output=True, cwd=ROOT)
    if done.returncode == RequestError.exit_code:
        raise RequestError(done.stderr.strip().removeprefix("error: "))
    if done.returncode:  # not for want of anything: a failure
        sys.exit(f"kit {' '.join(arguments)}: exit status {done.returncode}\n{done.stderr}")
    return time.perf_counter() - started, done.stdout


def fill(folder: Path, table: str, scale: str) -> None:
    """Commit every job of a table with invented results."""
    from kit import registry
    from kit.plan.planning import plan_tables
    from kit.records import Result, write_rows
    from kit.store import Store

    store = Store.open(folder)
    for job in plan_tables([table], scale).jobs.values():
        store.plan(job)
        with store.scratch(job.key) as out:
            if job.stage == "grade":
                metrics = registry.load("benchmarks", job.params["benchmark"]).METRICS
                units = {name: measure.counts for name, measure in metrics.items()}
                rows = [Result(metric=name, value=0.5, stderr=0.1, n=16, unit=unit) for name, unit in units.items()]
                write_rows(out / "results.jsonl", rows)
            store.commit(job, out, rows=1, facts={}, provenance={"started_at": "invented"})


def compare(store: Path, options: argparse.Namespace) -> None:
    """Time both commands in turns, and print what they take."""
    command = ["reproduce", options.table, "--scale", options.scale, "--store", str(store)]
    _, said = wall_s(*command)
    jobs = said.splitlines()[-1]
    if " 0 jobs done" not in f" {jobs}":
        raise RequestError(f"the store {store} did not hold the whole table; it does now, run this again")
    whole, start = [], []
    for _ in range(options.repeats):
        whole.append(wall_s(*command)[0])
        start.append(wall_s("--help")[0])
    print(jobs)
    for name, times in (("kit reproduce, all cached", whole), ("kit --help", start)):
        runs = f"({speed.spread(times, 2)}, {len(times)} runs)"
        print(f"{name:28} median {statistics.median(times):.2f} s {runs}")
    plan = statistics.median(whole) - statistics.median(start)
    print(f"{'overhead of the plan':28} {plan:.2f} s")
    here = f"{statistics.median(whole):.2f} s, {plan:.2f} s of it the plan"
    speed.add_row(speed.Row(what="a table that is computed already, `perf/cached_table.py`", here=here))


def main() -> None:
    """Measure on the store that is named, or on one made up."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--store", type=Path, help="a store that holds the table; without it, one is made up")
    parser.add_argument("--table", default="2")
    parser.add_argument("--scale", default="smoke")
    parser.add_argument("--repeats", type=int, default=7)
    options = parser.parse_args()
    if options.store:
        compare(speed.need_file(options.store.resolve(), "--store"), options)
        return
    with tempfile.TemporaryDirectory(prefix="kit-cached-") as folder:
        fill(Path(folder), options.table, options.scale)
        compare(Path(folder), options)


if __name__ == "__main__":
    speed.run(main)
