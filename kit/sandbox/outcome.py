"""Find the reason of a program's verdict, from what its tester wrote and how its two processes ended.

The same program gets the same reason on a quiet machine and on a busy one: nothing here depends on which of two things
was seen first.
"""

import signal
from dataclasses import dataclass
from typing import Any

from kit.sandbox import lock, wire

MUCH_MEMORY_BYTES = lock.MEMORY_BYTES // 4
"""A program that holds this much when it is ended is out of memory. Which of its limits such a program meets first
depends on how fast the machine gives out pages, so it gets one reason whichever that is."""
CANDIDATE_DIED = "candidate died"
NO_MEMORY = "failed: MemoryError"
TOO_LONG = f"longer than {wire.LIMIT_BYTES >> 20} MiB"


@dataclass(frozen=True, slots=True, kw_only=True)
class Outcome:
    """End of one program: its tester's messages, the limit it met, its CPU time."""

    frames: list[dict[str, Any]]
    """Messages of the tester; the first says that it read its tests."""
    limit: str = ""
    """The limit that the program met, if any: it is the reason, whatever the tester said."""
    cpu_s: float = 0.0
    """CPU seconds the candidate took."""
    killed: bool = False
    """Whether something outside the kit killed one of its processes."""
    wants_package: bool = False
    """Whether one of its processes ended since it asked for a package that its fork server has not."""

    def reason(self, verdict: dict[str, Any]) -> str:
        """Return why the program did not pass; ``verdict`` is the tester's, or empty."""
        return self.limit or str(verdict.get("reason", "no verdict"))


def frames_of(data: bytes) -> list[dict[str, Any]]:
    """Return the whole frames at the head of what a tester wrote."""
    frames = []
    while len(data) >= wire.HEAD.size:
        size = wire.HEAD.unpack(data[: wire.HEAD.size])[0] + wire.HEAD.size
        if len(data) < size:
            break
        frames.append(wire.unpacked(data[wire.HEAD.size : size]))
        data = data[size:]
    return frames


def outcome_of(report: dict[str, Any], written: bytes, *, stopped: str, cpu_s: float) -> Outcome:
    """Return what became of a program.

    Args:
        report: the fork server's, on the candidate and the tester: exit status, CPU seconds, memory at its highest.
        written: what the tester wrote.
        stopped: the limit for which the kit had the program stopped, or nothing.
        cpu_s: the CPU seconds that each process had. What it took in the end is what counts, so that it makes no
            difference when the kit came to look.
    """
    processes = (report["candidate"], report["tester"])
    exits = [process["exit"] for process in processes]
    limit = "cpu limit" if any(process["cpu_s"] >= cpu_s for process in processes) else stopped
    frames = frames_of(written[: wire.LIMIT_BYTES])
    last = frames[-1] if frames else {}
    answered = last.get("passed") is True or last.get("reason", CANDIDATE_DIED) != CANDIDATE_DIED
    out_of_memory = wire.EXIT_NO_MEMORY in exits or any(
        process["peak_bytes"] >= MUCH_MEMORY_BYTES for process in processes
    )
    if out_of_memory and (limit == "cpu limit" or not (limit or answered)):
        limit = NO_MEMORY
    if len(written) > wire.LIMIT_BYTES:
        limit = TOO_LONG
    wants_package = wire.EXIT_WANTS_PACKAGE in exits
    killed = not (answered or limit or wants_package) and -signal.SIGKILL in exits
    taken_s = round(report["candidate"]["cpu_s"], 3)
    return Outcome(frames=frames, limit=limit, cpu_s=taken_s, killed=killed, wants_package=wants_package)
