"""The control group that holds this process: how much memory it may use, and who was killed for more."""

import os
from pathlib import Path

CGROUPS = Path("/sys/fs/cgroup")
KIT_BYTES = 1 << 30
"""Kept for the process that grades, and for what it reads."""
PROGRAM_BYTES = 3 << 29
"""Kept for each program that the sandbox runs at a time: all that its two processes may hold, and what they share."""


def hybrid_cgroups() -> bool:
    """Whether both control-group trees are mounted, and this process may unmount one for itself."""
    return os.geteuid() == 0 and (CGROUPS / "unified").is_mount()


def memory_limit() -> int | None:
    """Bytes that the control group of this process may use; None where it is held to nothing, or nobody says.

    A group is held to what any group above it is held to.
    """
    found = []
    for folder in _memory_groups():
        for name in ("memory.max", "memory.limit_in_bytes"):
            text = _read(folder / name).strip()
            if text.isdigit() and int(text) < 1 << 60:
                found.append(int(text))
    return min(found, default=None)


def free_memory() -> int | None:
    """Bytes that the machine could give to new processes without swapping; None where the kernel does not say."""
    for line in _read(Path("/proc/meminfo")).splitlines():
        if line.startswith("MemAvailable:"):
            return int(line.split()[1]) << 10
    return None


def programs_within(memory_bytes: int) -> int:
    """Return how many programs the sandbox may run at a time in so much memory; it may be less than one."""
    return (memory_bytes - KIT_BYTES) // PROGRAM_BYTES


def memory_for(programs: int) -> int:
    """Return the bytes that so many programs at a time need, and the kit beside them."""
    return KIT_BYTES + programs * PROGRAM_BYTES


def memory_bytes() -> int:
    """Memory of the machine, or what this process's group may use if that is less."""
    total = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
    return min(total, memory_limit() or total)


def memory_kills() -> int:
    """How many processes of a group that is held to some memory were killed for it so far."""
    if memory_limit() is None:
        return 0
    for folder in _memory_groups():
        for name in ("memory.events", "memory.oom_control"):
            for line in _read(folder / name).splitlines():
                if line.startswith("oom_kill "):
                    return int(line.split()[1])
    return 0


def _memory_groups() -> list[Path]:
    """Where this process's group and those above it may be seen, down from itself; v2, then v1.

    In a container it may be seen at the root alone, its path being the host's.
    """
    found = []
    for line in _read(Path("/proc/self/cgroup")).splitlines():
        _, kinds, path = line.split(":", 2)
        if not kinds or "memory" in kinds.split(","):
            tree = CGROUPS / kinds
            own = tree / path.lstrip("/")
            found += [folder for folder in (own, *own.parents) if folder.is_relative_to(tree)]
    return found


def _read(path: Path) -> str:
    """A kernel file's text; empty if it is not there."""
    try:
        return path.read_text(encoding="utf-8")
    except OSError:
        return ""
