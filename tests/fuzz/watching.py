"""Runs cases in a process of their own and ends it where one hangs: by the CPU time it used, or by its not using any.

No verdict is by the clock alone. A case that computes is measured by the CPU time of its process and of all that this
started; one that waits for what never comes (a pipe that nobody writes to) is known by sleeping: every process of the
case asleep, and none of them given a tick of CPU time, at each of many looks. A machine that is busy makes neither.
"""

import json
import os
import select
import subprocess
import sys
import tempfile
import time
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import Any, Self

import psutil

ROOT = Path(__file__).resolve().parents[2]
LOOK_S = 0.2
"""Seconds between two looks at the process."""
CASES = 400
"""Cases after which a process is replaced, so that what they leave in its memory does not add up."""


@dataclass(frozen=True, slots=True)
class Look:
    """CPU time and sleep of a case's processes, at one moment."""

    cpu_s: float
    """CPU seconds of all of them so far."""
    asleep: bool
    """Whether each is asleep."""


def look(process: psutil.Process) -> Look:
    """Look at a process and all that it started."""
    cpu_s, asleep = 0.0, True
    for one in [process, *process.children(recursive=True)]:
        try:
            with one.oneshot():
                times = one.cpu_times()
                state = one.status()
        except psutil.NoSuchProcess:  # it ended just now
            continue
        cpu_s += times.user + times.system + times.children_user + times.children_system
        asleep &= state in (psutil.STATUS_SLEEPING, psutil.STATUS_IDLE, psutil.STATUS_ZOMBIE)
    return Look(cpu_s, asleep)


class Worker:
    """The process of the cases, started when the first one comes and after one that ended it."""

    def __init__(self, folder: Path | None = None) -> None:
        self._made = tempfile.TemporaryDirectory(prefix="kit-fuzz-") if folder is None else None
        self.folder = Path(self._made.name) if self._made else folder or Path()
        self._process: subprocess.Popen[bytes] | None = None
        self._cases = 0

    def run(self, order: dict[str, Any], *, cpu_s: float, asleep_s: float) -> tuple[dict[str, Any], dict[str, Any]]:
        """Return a case, and how it ended or the fault that it shows.

        Args:
            order: as :mod:`tests.fuzz.worker` takes them.
            cpu_s: CPU seconds that the case may take.
            asleep_s: seconds for which it may wait without using the CPU.
        """
        if self._process and self._cases >= CASES:
            self.close()
        process = self._process or self._start()
        self._cases += 1
        assert process.stdin
        try:
            process.stdin.write(json.dumps(order).encode() + b"\n")
            process.stdin.flush()
            received, fault = self._attend(process, cpu_s, asleep_s)
        except BrokenPipeError:
            received, fault = b"", self._died(process)
        lines = received.splitlines()
        case = json.loads(lines[0]) if received.count(b"\n") else order.get("case", order)
        return case, fault or json.loads(lines[1])

    def _attend(
        self, process: "subprocess.Popen[bytes]", cpu_s: float, asleep_s: float
    ) -> tuple[bytes, dict[str, Any]]:
        """Wait for the two lines of the answer and look at the process meanwhile; what came, and a fault if any."""
        assert process.stdout
        watched = psutil.Process(process.pid)
        first = last = look(watched)
        quiet_since = time.monotonic()
        received = b""
        while received.count(b"\n") < 2:
            if select.select([process.stdout], [], [], LOOK_S)[0]:
                piece = os.read(process.stdout.fileno(), 1 << 20)
                if not piece:
                    return received, self._died(process)
                received += piece
                continue
            now = look(watched)
            if not now.asleep or now.cpu_s > last.cpu_s:
                quiet_since = time.monotonic()
            last = now
            if now.cpu_s - first.cpu_s > cpu_s:
                self.close()
                return received, {"fault": "CPU", "seen": f"not done after {now.cpu_s - first.cpu_s:.0f} s of CPU time"}
            if time.monotonic() - quiet_since > asleep_s:
                where = _waits_for(process.pid)
                self.close()
                seen = f"asleep for {asleep_s:.0f} s without using the CPU ({where})"
                return received, {"fault": "hangs", "seen": seen}
        return received, {}

    def _start(self) -> "subprocess.Popen[bytes]":
        variables = {name: value for name, value in os.environ.items() if not name.startswith("KIT_")}
        offline = {"HF_HUB_OFFLINE": "1", "TRANSFORMERS_VERBOSITY": "error", "NO_COLOR": "1", "PYTHONHASHSEED": "0"}
        self._process = subprocess.Popen(
            [sys.executable, "-P", "-m", "tests.fuzz.worker", str(self.folder)],
            cwd=ROOT,
            env={**variables, **offline, "PYTHONPATH": str(ROOT), "OMP_NUM_THREADS": "1"},
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
        )
        self._cases = 0
        return self._process

    def _died(self, process: "subprocess.Popen[bytes]") -> dict[str, Any]:
        """Return the fault of a process that ended by itself."""
        with process:
            code = process.wait()
        self._process = None
        return {"fault": "died", "seen": f"the process ended with exit code {code}"}

    def close(self) -> None:
        """End the process, and what it started."""
        if self._process is None:
            return
        process, self._process = self._process, None
        try:
            started = psutil.Process(process.pid).children(recursive=True)
        except psutil.NoSuchProcess:
            started = []
        process.kill()
        for one in started:
            if one.is_running():
                one.kill()
        with process:
            process.wait()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()
        if self._made:
            self._made.cleanup()


def _waits_for(pid: int) -> str:
    """The kernel's name of what a process waits for; empty where it does not say."""
    try:
        return Path(f"/proc/{pid}/wchan").read_text(encoding="ascii")
    except OSError:
        return ""
