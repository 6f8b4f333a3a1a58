"""The process in which cases run, one after the other; whoever started it watches it and may end it.

    python -m tests.fuzz.worker FOLDER

Reads one order a line: a case, ``{"target": "texts", "case": {...}}``, or the number of one that is to be made,
``{"target": "texts", "number": 7, "seed": 1}``. Answers with two: the case, and how it ended, which may be a fault.
"""

import json
import os
import resource
import sys
import time
from importlib import import_module
from pathlib import Path
from random import Random
from types import ModuleType
from typing import Any, TextIO

from tests.fuzz.changes import fresh
from tests.fuzz.outcomes import FaultError, traced

TARGETS = {"texts": "graders", "stores": "stores", "manifests": "manifests", "models": "models", "files": "files"}
"""Name of a target -> its module here."""
MEMORY_BYTES = 12 * 2**30
"""Memory that the process may hold; a case that wants more gets a MemoryError, which is a fault, and the machine lives
on."""


def target(name: str) -> ModuleType:
    """Return the module of a target."""
    return import_module(f"tests.fuzz.{TARGETS.get(name, name)}")


def case_of(order: dict[str, Any]) -> dict[str, Any]:
    """Return the case of an order; a new one depends on target, number and seed alone."""
    if "case" in order:
        return dict(order["case"])
    name, number, seed = order["target"], order["number"], order["seed"]
    made: dict[str, Any] = target(name).spec(Random(f"{seed}/{name}/{number}"), number)
    return made


def answer(name: str, case: dict[str, Any], folder: Path) -> dict[str, Any]:
    """Run one case and say how it ended."""
    started = time.process_time()
    try:
        ended: dict[str, Any] = target(name).run(case, fresh(folder / "case"))
    except FaultError as fault:
        return {"fault": fault.kind, "seen": fault.seen}
    except Exception as error:  # of the harness itself: it must be seen too
        return {"fault": "the test itself failed", "seen": traced(error)}
    return {"cpu_ms": round(1_000 * (time.process_time() - started)), **ended}


def serve(folder: Path, orders: TextIO, answers: TextIO) -> None:
    """Answer every line until there is none."""
    for line in orders:
        order = json.loads(line)
        try:
            case = case_of(order)
        except Exception as error:
            print(
                json.dumps(order),
                json.dumps({"fault": "no case", "seen": traced(error)}),
                sep="\n",
                file=answers,
                flush=True,
            )
            continue
        print(json.dumps(case), file=answers, flush=True)
        print(json.dumps(answer(order["target"], case, folder)), file=answers, flush=True)


def main() -> None:
    """Keep the pipe of the answers for them alone, and serve."""
    answers = os.fdopen(os.dup(1), "w", encoding="utf-8")
    os.dup2(os.open(os.devnull, os.O_WRONLY), 1)
    hard = resource.getrlimit(resource.RLIMIT_DATA)[1]
    most = MEMORY_BYTES if hard == resource.RLIM_INFINITY else min(hard, MEMORY_BYTES)
    resource.setrlimit(resource.RLIMIT_DATA, (most, hard))
    folder = Path(sys.argv[1])
    os.chdir(fresh(folder / "here"))
    serve(folder, sys.stdin, answers)


if __name__ == "__main__":
    main()
