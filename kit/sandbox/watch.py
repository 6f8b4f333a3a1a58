"""Tell whether a program has used up its time, counted so that it does not matter what else the machine does.

A program is held to CPU seconds, and to seconds in which it and its tester both sleep of their own accord. Time in
which either of them could run but has to wait for a core counts for nothing: on a busy machine a loop meets its CPU
limit later, but it is the CPU limit that it meets, and a sleeper is not excused, nor a starved program taken for one.

The kernel says how long a process ran and how long it waited for a core; what is left since its start it slept:
https://docs.kernel.org/scheduler/sched-stats.html (``/proc/<pid>/schedstat``).
"""

import os
import time
from pathlib import Path

SHORTEST_WAIT_S = 0.02
"""Shortest time until a program that might reach a limit at once is looked at again."""
ASLEEP = "SZ"
"""The states (``man 5 proc_pid_stat``) of a process that waits for nothing that the machine owes it: asleep, ended."""


def cpu_of(pid: int) -> float:
    """Return the CPU seconds of a process of this machine, exact also while it runs and when it has ended.

    Raises:
        OSError: there is no such process any more.
    """
    return time.clock_gettime((~pid << 3) | 2)  # what clock_getcpuclockid(3) makes of a process id


def suspended_s() -> float:
    """Return the seconds that this machine has been suspended since it started."""
    return time.clock_gettime(time.CLOCK_BOOTTIME) - time.monotonic()


def started_and_state(pid: int) -> tuple[float, str]:
    """Return when a process started, in seconds since the machine did, and the letter of its state."""
    words = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return int(words[19]) / os.sysconf("SC_CLK_TCK"), words[0]


def waited_s(pid: int) -> float:
    """Return how long a process has waited for a core, the wait that goes on now left out.

    It is 0 where the kernel keeps no count: a program that starves there is taken for one that sleeps.
    """
    file = Path(f"/proc/{pid}/schedstat")
    if not file.exists() and not Path("/proc/self/schedstat").exists():
        return 0.0
    return int(file.read_text().split()[1]) / 1e9


class Watch:
    """The limits of one program, and how far it is from them.

    Args:
        server: process id of the fork server; its children are below.
        candidate: process id.
        tester: process id; 0 where there is none.
        cpu_s: CPU seconds that each of the two may take.
        sleep_s: seconds that they may both sleep.
    """

    def __init__(self, *, server: int, candidate: int, tester: int = 0, cpu_s: float, sleep_s: float) -> None:
        self.server = server
        self.pids = (candidate, tester) if tester else (candidate,)
        self.cpu_s = cpu_s
        self.sleep_s = sleep_s
        self.begun = time.monotonic()
        self.suspended_s = suspended_s()
        self.wait_s = min(cpu_s, sleep_s)
        """In how many seconds a limit could be reached at the earliest; nobody need look before."""

    def exceeded(self) -> str:
        """Return the limit that the program has reached, ``cpu limit`` or ``wall limit``; empty if it has not."""
        try:
            spent = max(map(cpu_of, self.pids))
            slept, asleep = self._slept()
        except OSError:  # ended just now: the server's report is on its way
            self.wait_s = SHORTEST_WAIT_S
            return ""
        if spent >= self.cpu_s:
            return "cpu limit"
        if slept >= self.sleep_s and asleep:
            return "wall limit"
        self.wait_s = max(SHORTEST_WAIT_S, min(self.cpu_s - spent, self.sleep_s - slept))
        return ""

    def _slept(self) -> tuple[float, bool]:
        """Return the least time for which both processes have slept, and whether both sleep now.

        The order counts: the clock first, then the states, then the waiting. All the waiting of a process that sleeps
        has been counted, so that what is subtracted is never less than what passed on the clock.
        """
        now = time.monotonic()
        if not Path(f"/proc/{self.server}").exists():  # other users' and locked processes may be hidden (hidepid)
            return now - self.begun - sum(map(cpu_of, self.pids)), True
        started, states = zip(*map(started_and_state, self.pids), strict=True)
        lived = now - (max(started) - self.suspended_s)
        busy = sum(cpu_of(pid) + waited_s(pid) for pid in self.pids)
        return lived - busy, all(state in ASLEEP for state in states)
