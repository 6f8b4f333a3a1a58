"""The control group that holds this process: how much memory it may use, and who was killed for more."""

import os
from pathlib import Path

CGROUPS = Path("/sys/fs/cgroup")


def hybrid_cgroups() -> bool:
    """Whether both control-group trees are mounted, and this process may unmount one for itself."""
    return os.geteuid() == 0 and (CGROUPS / "unified").is_mount()


def memory_limit() -> int | None:
    """Bytes that the control group of this process may use; None where it is held to nothing, or nobody says."""
    for folder in _memory_groups():
        for name in ("memory.max", "memory.limit_in_bytes"):
            text = _read(folder / name).strip()
            if text.isdigit() and int(text) < 1 << 60:
                return int(text)
    return None


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
    """Where this process's group may be seen: at its own path, or at the root in a container; v2, then v1."""
    found = []
    for line in _read(Path("/proc/self/cgroup")).splitlines():
        _, kinds, path = line.split(":", 2)
        if not kinds or "memory" in kinds.split(","):
            tree = CGROUPS / kinds
            found += [tree / path.lstrip("/"), tree]
    return found


def _read(path: Path) -> str:
    """A kernel file's text; empty if it is not there."""
    try:
        return path.read_text(encoding="utf-8")
    except OSError:
        return ""
