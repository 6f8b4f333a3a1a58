"""Tell one process of one machine apart from every other, so that somebody else can see whether it still runs."""

import os
import socket
from dataclasses import dataclass
from pathlib import Path

PROC = Path("/proc")


@dataclass(frozen=True, slots=True, kw_only=True)
class Identity:
    """A process, told apart from every other one: also from one that gets its number later."""

    host: str
    """Name of the machine, for people."""
    place: str
    """The machine's start and the space of process numbers (a container has its own); empty where nobody tells."""
    pid: int
    born: str
    """Time at which the process began, as the kernel counts it; empty where nobody tells."""


def own_identity() -> Identity:
    """Return the identity of this process."""
    return Identity(host=socket.gethostname(), place=own_place(), pid=os.getpid(), born=born(os.getpid()))


def own_place() -> str:
    """Return the machine's start and this process's space of process numbers; empty where the kernel does not tell."""
    try:
        boot = (PROC / "sys/kernel/random/boot_id").read_text(encoding="ascii").strip()
        return f"{boot} {(PROC / 'self/ns/pid').readlink()}"
    except (OSError, ValueError):
        return ""


def born(pid: int) -> str:
    """Return the time at which a process began, in the kernel's ticks; empty where it is gone or hidden."""
    try:
        text = (PROC / str(pid) / "stat").read_text(encoding="utf-8", errors="replace")
        return text.rpartition(")")[2].split()[19]  # its name, in brackets, may hold blanks and brackets
    except (OSError, IndexError):
        return ""


def still_runs(identity: Identity) -> bool | None:
    """Return whether a process still runs; None where that can't be told from here, as on another machine."""
    if not identity.place or not identity.born or identity.place != own_place():
        return None
    return born(identity.pid) == identity.born
