"""Every speed comparison in turn, and README's table of ratios at the end (nox -s perf).

    python perf                              all of them, with their own defaults
    python perf sft_vs_trl --repeats 1       some of them, shorter
    python perf gpu --device cpu             what is for a GPU, with tiny shapes

An option goes to the scripts that have it. What can't run here says so in a line, and is counted.
"""

import argparse
import subprocess
import sys
from collections import Counter
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
sys.path[0] = str(ROOT)  # this folder is no place to import from

from perf import speed  # noqa: E402

ROOMS = ("__main__.py", "gpu_bench.py", "gpu_tasks.py", "gpu_vllm.py", "speed.py")
"""Files of perf/ that are no scripts of their own: this one, the processes of gpu.py, and what scripts share."""
SHORTENED = {
    "readings_compared.py": ("--rows", "200"),
    "neighbours.py": ("--rows", "12000"),
    "published_selection.py": ("--rows", "100"),
    "verdicts.py": ("--repeats", "20", "--runs", "500"),
}
"""What a script is given where its own default takes too long for a comparison among others."""
OUTCOMES = {0: "ran", 2: "left out"}
"""Exit status -> what it means; any other has failed."""


def scripts() -> dict[str, Path]:
    """Return every script of perf/, by name without ``.py``."""
    found = sorted(path for path in Path(__file__).parent.glob("*.py") if path.name not in ROOMS)
    return {path.stem: path for path in found}


def options_for(script: Path, asked: dict[str, str | None]) -> list[str]:
    """Return the options to run a script with: those asked for that its ``--help`` has, and what shortens it."""
    shown = subprocess.run([sys.executable, str(script), "--help"], capture_output=True, text=True, check=True).stdout
    given = [*SHORTENED.get(script.name, ())]
    for name, value in asked.items():
        if value is not None and f"{name} " in shown:
            given += [name, value]
    return given


def run_script(script: Path, options: list[str]) -> tuple[int, list[speed.Row]]:
    """Run a script, show what it prints but its rows, and return its exit status with them."""
    print(f"\n## {script.name} {' '.join(options)}".rstrip(), flush=True)
    command = [sys.executable, "-u", str(script), *options]  # lines and errors in the order they were said
    rows = []
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, cwd=ROOT) as process:
        assert process.stdout is not None
        for line in process.stdout:
            rows += speed.rows_in([line])
            if not line.startswith(speed.MARK):
                print(line, end="", flush=True)
    return process.returncode, rows


def data_folder() -> str | None:
    """Return the carried sample where there is no reference data, for scripts that read ``../shared/data``."""
    return None if (ROOT.parent / "shared" / "data").is_dir() else str(speed.SAMPLE)


def main() -> None:
    """Run the scripts, print the table, and end with 1 where one failed."""
    known = scripts()
    parser = argparse.ArgumentParser(
        prog="python perf", description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("names", nargs="*", metavar="NAME", choices=[[], *known], help=f"any of: {', '.join(known)}")
    parser.add_argument("--repeats", metavar="N", help="how often each side is measured")
    parser.add_argument("--model", metavar="DIR", help="another model than the kit's own SmolLM2")
    parser.add_argument("--device", choices=["cuda", "cpu"], help="where gpu.py runs")
    chosen = parser.parse_args()
    asked = {"--repeats": chosen.repeats, "--model": chosen.model, "--device": chosen.device, "--data": data_folder()}
    rows, outcomes = [], {}
    for name in chosen.names or known:
        status, found = run_script(known[name], options_for(known[name], asked))
        outcomes[known[name].name] = OUTCOMES.get(status, f"failed with exit status {status}")
        rows += found
    print(f"\n{speed.markdown(rows)}\n" if rows else "\nno row for the table of ratios\n")
    print(summary(outcomes))
    sys.exit(any(outcome not in OUTCOMES.values() for outcome in outcomes.values()))


def summary(outcomes: dict[str, str]) -> str:
    """Return how many scripts ran, were left out and failed, and which: ``3 ran; 1 left out: gpu.py``."""
    counts = Counter(outcomes.values())
    parts = [f"{counts.pop('ran', 0)} ran"]
    for outcome, count in counts.items():
        parts.append(f"{count} {outcome}: {', '.join(name for name, found in outcomes.items() if found == outcome)}")
    return f"of {len(outcomes)} scripts {'; '.join(parts)}"


if __name__ == "__main__":
    main()
