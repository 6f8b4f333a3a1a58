"""Not a test: a worker that scores made-up rows and kills itself; test_score.py starts it.

python -m tests.stages.killed_scores STORE KEY SEED TIMES
    prints a JSON line: keys it was killed at, and rows it scored in all

Each attempt is a process of its own (a fork), so that nothing but the store is left of it.
"""

import json
import os
import random
import signal
import sys
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from types import ModuleType
from typing import Any

from kit import metrics
from kit.measures import Measure
from kit.records import Pair, Score
from kit.run import worker
from kit.stages import score
from tests import dying

NAME = "made_up"
ROWS = 3000
"""Rows that are scored: 12 parts."""


class MadeUp:
    """Scores a row by its length; each one that is begun can be the last."""

    def __init__(self, count: Callable[[], None]) -> None:
        self.fingerprint: Mapping[str, Any] = {}
        self._count = count

    def score(self, rows: Sequence[Pair], progress: Callable[[int], None]) -> list[Score]:
        found = []
        for row in rows:
            sys.audit("test.row")
            self._count()
            if row.output:
                found.append(Score(id=row.id, values={"ratio": len(row.output) / 7}))
            else:
                found.append(Score(id=row.id, skipped="no answer"))
            progress(len(found))
        return found


def made_up(count: Callable[[], None]) -> ModuleType:
    """Return the module of a metric that scores by length."""
    module = ModuleType(f"kit.metrics.{NAME}")
    vars(module).update(
        VERSION=1, READS="pairs", ROLE="", WHOLE=False, KEEPS={"ratio": "highest"}, OPTIONS={},
        METRICS={"ratio": Measure(title="Ratio", unit="", kind="mean", counts="rows")},
        open=lambda model, settings: MadeUp(count),
    )  # fmt: skip
    return module


def attempt(store: str, key: str, last_event: int | None, rows_file: Path) -> int:
    """Run the job in a fork, which kills itself at an event; return its exit code, below 0 for a signal."""

    def work() -> int:
        descriptor = os.open(rows_file, os.O_WRONLY | os.O_CREAT | os.O_APPEND)
        sys.modules[f"kit.metrics.{NAME}"] = made_up(lambda: void(os.write(descriptor, b".")))
        return worker.main(["--store", store, "--world", "1", key])

    return dying.attempt(work, last_event)


def void(_: object) -> None:
    """Return nothing, whatever it is given."""


def main(store: str, key: str, seed: str, times: str) -> None:
    """Kill attempts at random events, then let one end."""
    assert metrics.load, score.run  # imported once, before the forks
    chance, killed, rows_file = random.Random(int(seed)), [], Path(store) / "rows"
    for _ in range(int(times)):
        last = chance.randint(1, 400)
        if attempt(store, key, last, rows_file) == -signal.SIGKILL:
            killed.append(last)
    code = attempt(store, key, None, rows_file)
    print(json.dumps({"killed": len(killed), "code": code, "rows": rows_file.stat().st_size}))


if __name__ == "__main__":
    main(*sys.argv[1:])
