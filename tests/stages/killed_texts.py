"""Not a test: a worker whose jobs ask a made-up engine and kill themselves; test_killed_texts.py starts it.

python -m tests.stages.killed_texts STORE SEED TIMES KEY...
    prints a JSON line a job: how often it was killed, and rows computed

Each attempt is a process of its own (a fork), so that nothing but the store is left of it.
"""

import json
import os
import random
import signal
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

from kit import prompts
from kit.engines import fake
from kit.judges import local
from kit.run import worker
from kit.scenarios import evol_instruct
from kit.stages import answer, evolve, judge, probe, respond
from tests import dying
from tests.stages.killed_scores import void
from tests.word_chat import WordChat

LAST = 450
"""An attempt ends at one of its first so many events: parts of 256 rows, and what is opened beside them."""


def counted(name: str, count: Callable[[], None]) -> None:
    """Let the fake engine count each call of one of its methods, which may be the last."""
    method = getattr(fake.FakeEngine, name)

    def counting(self: Any, *arguments: Any) -> Any:
        sys.audit("test.row")
        count()
        return method(self, *arguments)

    setattr(fake.FakeEngine, name, counting)


def attempt(store: str, key: str, last_event: int | None, rows_file: Path) -> int:
    """Run the job in a fork, which kills itself at an event; return its exit code, below 0 for a signal."""

    def work() -> int:
        descriptor = os.open(rows_file, os.O_WRONLY | os.O_CREAT | os.O_APPEND)
        for name in ("_completion", "loglikelihood"):
            counted(name, lambda: void(os.write(descriptor, b".")))
        local.open_chat = lambda *_: WordChat()  # type: ignore[assignment,return-value]
        return worker.main(["--store", store, "--world", "1", key])

    return dying.attempt(work, last_event)


def main(store: str, seed: str, times: str, *keys: str) -> None:
    """Kill attempts at random events, then let one end; for each job."""
    assert all((answer, evolve, judge, probe, respond, evol_instruct, prompts))  # imported once, before the forks
    for key in keys:
        chance, killed, rows_file = random.Random(int(seed)), 0, Path(store) / f"rows-{key[:8]}"
        for _ in range(int(times)):
            killed += attempt(store, key, chance.randint(1, LAST), rows_file) == -signal.SIGKILL
        code = attempt(store, key, None, rows_file)
        print(json.dumps({"killed": killed, "code": code, "rows": rows_file.stat().st_size}))


if __name__ == "__main__":
    main(*sys.argv[1:])
