"""What a table costs that is already computed: ``kit reproduce`` on a store that has every artifact.

    python perf/cached_table.py --store store [--table 2] [--scale smoke] [--repeats 7]

Prints the wall time of the whole command, of `kit --help` (what starting Python and the command line costs), and their
difference: planning, looking up every job, reading the results and printing the table.
"""

import argparse
import statistics
import subprocess
import sys
import time


def wall_s(*arguments: str) -> tuple[float, str]:
    """Seconds that a command takes, and what it printed."""
    started = time.perf_counter()
    code = "from kit.cli import main; main()"
    done = subprocess.run([sys.executable, "-c", code, *arguments], check=True, text=True, capture_output=True)
    return time.perf_counter() - started, done.stdout


def main() -> None:
    """Time both commands in turns."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--store", required=True)
    parser.add_argument("--table", default="2")
    parser.add_argument("--scale", default="smoke")
    parser.add_argument("--repeats", type=int, default=7)
    options = parser.parse_args()
    command = ["reproduce", options.table, "--scale", options.scale, "--store", options.store]
    _, said = wall_s(*command)
    if " 0 jobs done" not in f" {said.splitlines()[-1]}":
        sys.exit(f"the store {options.store} did not hold the whole table; it does now, run this again")
    whole, start = [], []
    for _ in range(options.repeats):
        whole.append(wall_s(*command)[0])
        start.append(wall_s("--help")[0])
    jobs = said.splitlines()[-1]
    print(f"{jobs}")
    for name, times in (("kit reproduce, all cached", whole), ("kit --help", start)):
        spread = f"{min(times):.2f} to {max(times):.2f}"
        print(f"{name:28} median {statistics.median(times):.2f} s ({spread}, {len(times)} runs)")
    print(f"{'overhead of the plan':28} {statistics.median(whole) - statistics.median(start):.2f} s")


if __name__ == "__main__":
    main()
