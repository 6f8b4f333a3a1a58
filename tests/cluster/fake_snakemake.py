"""Does what Snakemake does with a folder of kit's, one unit after the other: commands, retries, its exit code."""

import json
import os
import subprocess
import sys
import time
from pathlib import Path

RETRIES = int(os.environ.get("FAKE_RETRIES", "0"))
FORGETS = os.environ.get("FAKE_FORGETS", "")
"""A file; while it is there, the first unit is done, the file is removed, and then nothing happens."""


def main() -> int:
    """Run the units of ``plan.json`` in this folder; a unit that waits for a failed one is left out."""
    if os.environ.get("FAKE_REFUSAL"):
        print(os.environ["FAKE_REFUSAL"])
        return 1
    if os.environ.get("FAKE_SLEEPS"):
        time.sleep(3600)
    plan = json.loads(Path("plan.json").read_text(encoding="utf-8"))
    done: set[str] = set()
    for name, unit in plan["units"].items():
        if not set(unit["after"]) <= done:
            continue
        options = ["--plan", str(Path("plan.json").absolute()), "--store", plan["store"], *plan["options"]]
        for _ in range(RETRIES + 1):
            if subprocess.run([*plan["command"], "job", *unit["keys"], *options], check=False).returncode == 0:
                done.add(name)
                break
        if FORGETS and Path(FORGETS).exists():
            Path(FORGETS).unlink()
            time.sleep(3600)
    print("Exiting because a job execution failed" if len(done) < len(plan["units"]) else "all is done")
    return int(len(done) < len(plan["units"]))


if __name__ == "__main__":
    sys.exit(main())
