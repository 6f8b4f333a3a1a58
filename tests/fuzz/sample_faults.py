"""A target of which every case shows a fault: what the harness is tried on."""

import os
import signal
import subprocess
import sys
from pathlib import Path
from random import Random
from typing import Any

from kit.errors import RequestError
from tests.fuzz import outcomes

CPU_S = 2.0
ASLEEP_S = 3.0


def spec(rng: Random, number: int) -> dict[str, Any]:
    """Return one case; a number that is no case's raises."""
    return {"does": ("returns", "refuses")[number]}


def group(case: dict[str, Any]) -> str:
    """Return what a case is counted under."""
    return "sample"


def run(case: dict[str, Any], folder: Path) -> dict[str, Any]:
    """Run the function that the case names."""
    ended = outcomes.call(lambda: globals()[f"_{case['does']}"](folder))
    return {"end": outcomes.REFUSED if ended.refused else outcomes.ACCEPTED}


def _returns(folder: Path) -> None:
    print("All is well.")


def _refuses(folder: Path) -> None:
    raise RequestError("file.json: found a list, wanted an object; is it another file?")


def _raises(folder: Path) -> None:
    raise KeyError("rows")


def _mumbles(folder: Path) -> None:
    raise RequestError("KeyError: 'rows'")


def _repeats(folder: Path) -> None:
    raise RequestError(f"file.json: found {'x' * 100_000}, wanted a name")


def _prints(folder: Path) -> None:
    print("a\x1b]0;title\x07b")


def _waits(folder: Path) -> None:
    os.mkfifo(folder / "pipe")
    (folder / "pipe").read_text(encoding="utf-8")


def _waits_for_a_child(folder: Path) -> None:
    subprocess.run([sys.executable, "-c", "import time; time.sleep(600)"], check=True)


def _computes(folder: Path) -> None:
    while True:
        pass


def _has_a_child_compute(folder: Path) -> None:
    subprocess.run([sys.executable, "-c", "while True: pass"], check=True)


def _dies(folder: Path) -> None:
    os.kill(os.getpid(), signal.SIGSEGV)


def _eats(folder: Path) -> None:
    bytearray(1 << 50)
