"""A run of a small plan whose stages only write files; tests kill it, and the workers that it starts.

    python faults_driver.py run STORE        a run: prints one line an event
    python faults_driver.py worker ...       what the run starts in place of `python -m kit.run.worker`

Each job that computes adds a line to STORE/computed as its last step before the commit.
"""

import json
import os
import sys
import time
from collections.abc import Mapping
from functools import partial
from pathlib import Path
from types import ModuleType
from typing import Any

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

from kit import registry
from kit.run import execute as run
from kit.run import launch, processes, worker
from kit.stages import Context, Summary
from kit.store import Job, Store

STEPS = 5
NAMES = ("a", "b", "c", "d")


def jobs(fail: str = "") -> dict[str, Job]:
    """Return four chains of a fetch, a convert and a grade, and one more grade that needs all four."""
    found: dict[str, Job] = {}

    def add(stage: str, name: str, inputs: dict[str, str]) -> str:
        params = {"name": name, "fails": f"{stage}/{name}" == fail}
        made = Job(
            id=f"{stage}/{name}",
            stage=stage,
            version=f"{stage}-0",
            environment="grade",
            lock="",
            params=params,
            inputs=inputs,
        )
        found[made.key] = made
        return made.key

    ends = {}
    for name in NAMES:
        key = add("fetch", name, {})
        key = add("convert", name, {"model": key})
        ends[name] = add("grade", name, {"model": key})
    add("grade", "all", ends)
    return found


def step(stage: str, params: Mapping[str, Any], inputs: Mapping[str, Path], out: Path, context: Context) -> Summary:
    """Write a few lines, slowly, with the texts of the inputs after them."""
    if params["fails"]:
        raise ValueError("this one fails")
    size = int(os.environ.get("FAULTS_BYTES", "0"))
    text = "".join(path.joinpath("rows.jsonl").read_text() for _, path in sorted(inputs.items()))
    with (out / "rows.jsonl").open("w") as file:
        for number in range(STEPS):
            file.write(json.dumps({"job": params["name"], "row": number}) + "\n")
            file.flush()
            context.progress(number + 1, STEPS)
            time.sleep(float(os.environ.get("FAULTS_PAUSE_S", "0.01")))
            while os.environ.get("FAULTS_HOLD") == f"{stage}/{params['name']}":  # until this process is ended
                time.sleep(0.1)
        file.write(text + "x" * size)
    with (out.parent.parent / "computed").open("a") as file:
        file.write(f"{params['name']} {os.getpid()}\n")
    return Summary(rows=STEPS, facts={})


def stage(kind: str, name: str) -> ModuleType:
    """Return a module that replaces a stage's file."""
    del kind
    module = ModuleType(name)
    vars(module).update(VERSION=0, WORKER="cpu", run=partial(step, name))
    return module


def command(shape: launch.Shape, keys: list[str], options: launch.Options, *, cpu: bool) -> list[str]:
    """Return the command line of a worker, with this file in place of the kit's worker."""
    del cpu
    again = [word for key in keys if key in options.again for word in ("--again", key)]
    words = ["--store", str(options.store), "--world", str(shape.world), "--lifeline", *again, *keys]
    return [sys.executable, "-u", __file__, "worker", *words]


def say(event: str, job: Job, fields: Mapping[str, Any]) -> None:
    """Print one line for each event."""
    reason = fields.get("reason") or fields.get("by") or ("shared" if fields.get("shared") else "")
    sys.stdout.write(f"{event} {job.id} {reason}".rstrip() + "\n")
    sys.stdout.flush()


def main(words: list[str]) -> int:
    """Run the plan, or run as a worker."""
    if words[0] == "worker":
        registry.load = stage
        return worker.main(words[1:])
    vars(processes)["command"] = command
    root = Path(words[1])
    planned = jobs(os.environ.get("FAULTS_FAIL", ""))
    keep = os.environ.get("FAULTS_KEEP", "all")
    outcome = run.execute(planned, Store.open(root), launch.Options(store=root.resolve()), say, keep=keep)
    for key in outcome.interrupted:
        say("interrupted", planned[key], {})
    for key in outcome.freed:
        say("freed", planned[key], {})
    for key, names in outcome.changed.items():
        say("changed", planned[key], {"reason": " ".join(names)})
    return 1 if outcome.failed or outcome.blocked else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
