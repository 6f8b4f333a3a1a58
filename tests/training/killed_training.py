"""Not a test: a worker that tunes a tiny model and kills itself at a step; test_checkpoints.py starts it.

python -m tests.training.killed_training STORE SEED TIMES KEY...
    prints a JSON line a job: how often it was killed, steps it began

Each attempt is a process of its own (a fork), so that nothing but the store is left of it. Before the first, this one
trains each model without a stop, into STORE/whole/KEY: what that imports, no attempt imports anew.
"""

import json
import os
import random
import signal
import sys
from pathlib import Path
from typing import Any

from kit.run import worker
from kit.stages import sft
from kit.store import Store
from kit.training import checkpoints, trainer
from tests import dying
from tests.stages.killed_scores import void
from tests.training.conftest import Recorder

LAST = 40
"""An attempt ends at one of its first so many events: a step has some eight, most of them of its checkpoint."""


def attempt(store: str, key: str, last_event: int | None, steps_file: Path) -> int:
    """Run the job in a fork, which kills itself at an event; return its exit code, below 0 for a signal."""

    def work() -> int:
        descriptor = os.open(steps_file, os.O_WRONLY | os.O_CREAT | os.O_APPEND)
        accumulate = trainer.accumulate

        def counted(*arguments: Any, **options: Any) -> Any:
            sys.audit("test.row")
            void(os.write(descriptor, b"."))
            return accumulate(*arguments, **options)

        trainer.accumulate = counted
        checkpoints.WRITING_SHARE = 0  # writing takes longer than a step of this model
        os.environ[checkpoints.VARIABLE] = "1e-9"
        return worker.main(["--store", store, "--world", "1", key])

    return dying.attempt(work, last_event, after="test.row")


def main(store: str, seed: str, times: str, *keys: str) -> None:
    """Kill attempts at random events, then let one end; for each job."""
    made = Store.existing(Path(store))
    for job in map(made.job, keys):
        (whole := made.root / "whole" / job.key).mkdir(parents=True)
        inputs = {role: made.input_folder(needed) for role, needed in job.inputs.items()}
        sft.run(job.params, inputs, whole, Recorder())  # type: ignore[arg-type]
    for key in keys:
        chance, killed, steps_file = random.Random(int(seed)), 0, Path(store) / f"steps-{key[:8]}"
        for _ in range(int(times)):
            killed += attempt(store, key, chance.randint(1, LAST), steps_file) == -signal.SIGKILL
        code = attempt(store, key, None, steps_file)
        print(json.dumps({"killed": killed, "code": code, "steps": steps_file.stat().st_size}))


if __name__ == "__main__":
    main(*sys.argv[1:])
