"""CPU time and peak memory of a job, as the kernel tells them of the worker's process and of those below it.

Measuring reads files of the kernel before and after a job, and changes nothing of it: no thread, no signal, no order.

- CPU time is the user and system time that the processes of the tree took in between, those that ended and were waited
  for among them (``/proc/PID/stat``, hundredths of a second). A process that left the tree, as a daemon does, is not
  counted.
- Peak memory is resident memory (``VmHWM`` of ``/proc/PID/status``). The worker's own peak is set back when a job
  begins (5 into ``/proc/self/clear_refs``), so that it is the job's; where the kernel refuses that, it is the
  worker's since its start, and the record says so. The peaks of other processes are theirs since they began: nobody
  sets them back, as a process may measure itself by it.
- On a GPU, torch tells the most that this process had allocated on one device. An engine that computes in a process of
  its own is not seen by that.
"""

import os
import re
import resource
import sys
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

PROC = Path("/proc")
TICKS = os.sysconf("SC_CLK_TCK")
"""Units of the kernel's CPU times in a second."""
SET_BACK = "5"
"""The number that sets ``VmHWM`` back to the memory that is resident now (proc(5), clear_refs)."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Times:
    """The parent of a process, and the CPU time of it and of its children that ended."""

    parent: int
    cpu_s: float


@dataclass(frozen=True, slots=True, kw_only=True)
class Measurement:
    """A measurement that has begun; :meth:`end` gives what the processes took since."""

    root: int
    """The process whose tree is measured."""
    cpu_s: float | None
    """CPU time of the tree so far; None where the kernel does not tell."""
    own_peak: bool
    """Whether the worker's own peak was set back."""

    @classmethod
    def begin(cls, world: int = 1) -> "Measurement":
        """Begin to measure this process and all below it.

        Args:
            world: number of ranks that share the job; where there are several, they are children of one launcher,
                whose tree is measured.
        """
        root = os.getpid() if world == 1 else os.getppid()
        if (torch := _cuda()) is not None:
            for device in range(torch.cuda.device_count()):
                torch.cuda.reset_peak_memory_stats(device)
        return cls(root=root, cpu_s=cpu_seconds(tree(root)), own_peak=_set_peak_back())

    def end(self) -> dict[str, Any]:
        """Return the fields ``cpu_s`` and ``memory`` of a provenance, see :mod:`kit.store.provenance`."""
        processes = tree(self.root)
        after, cpu_s = cpu_seconds(processes), None
        if self.cpu_s is not None and after is not None:
            cpu_s = round(max(0.0, after - self.cpu_s), 2)
        others = [peak for pid in processes if pid != os.getpid() and (peak := peak_bytes(pid)) is not None]
        return {
            "cpu_s": cpu_s,
            "memory": {
                "worker_peak_bytes": peak_bytes(os.getpid()),
                "worker_peak_since": "job" if self.own_peak else "process",
                "others_peak_bytes": sum(others),
                "ended_child_peak_bytes": resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss << 10,
                "gpu_peak_bytes": _gpu_peak_bytes(),
            },
        }


def tree(root: int) -> dict[int, Times]:
    """Return a process and all processes below it, by their ids; none where the kernel does not tell."""
    found, children = dict[int, Times](), dict[int, list[int]]()
    with suppress(OSError):
        for pid in (int(path.name) for path in PROC.iterdir() if path.name.isdigit()):
            if (times := _times(pid)) is not None:
                found[pid] = times
                children.setdefault(times.parent, []).append(pid)
    waiting, below = [root], dict[int, Times]()
    while waiting:
        pid = waiting.pop()
        if pid in found and pid not in below:
            below[pid] = found[pid]
            waiting += children.get(pid, [])
    return below


def _times(pid: int) -> Times | None:
    """Return parent and CPU time of a process; None where it is gone or hidden."""
    try:
        text = (PROC / str(pid) / "stat").read_text(encoding="utf-8", errors="replace")
        fields = text.rpartition(")")[2].split()  # its name, in brackets, may hold blanks and brackets
        return Times(parent=int(fields[1]), cpu_s=sum(map(int, fields[11:15])) / TICKS)
    except (OSError, ValueError, IndexError):
        return None


def cpu_seconds(processes: dict[int, Times]) -> float | None:
    """Return the CPU time of some processes; None where there are none to be seen."""
    return sum(times.cpu_s for times in processes.values()) if processes else None


def peak_bytes(pid: int) -> int | None:
    """Return the most memory that a process had resident; None where the kernel does not tell."""
    try:
        text = (PROC / str(pid) / "status").read_text(encoding="utf-8", errors="replace")
    except OSError:
        return None
    found = re.search(r"(?m)^VmHWM:\s*(\d+) kB$", text)
    return int(found[1]) << 10 if found else None


def _set_peak_back() -> bool:
    """Set this process's peak memory back to what is resident now; return whether the kernel did it."""
    try:
        (PROC / "self" / "clear_refs").write_text(SET_BACK, encoding="ascii")
    except OSError:
        return False
    return True


def _cuda() -> Any:
    """Return torch where it is loaded and at work on a GPU; nothing is loaded or started for that."""
    torch = sys.modules.get("torch")
    at_work = torch is not None and torch.cuda.is_available() and torch.cuda.is_initialized()
    return torch if at_work else None


def _gpu_peak_bytes() -> int | None:
    """Return the most that this process had allocated on one GPU; None where it had nothing."""
    if (torch := _cuda()) is None:
        return None
    peaks = [int(torch.cuda.max_memory_allocated(device)) for device in range(torch.cuda.device_count())]
    return max(peaks, default=0) or None
