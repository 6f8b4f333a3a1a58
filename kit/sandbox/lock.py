"""How a process gives up what it could do: capabilities, privileges, limits, files, system calls.

Nothing here can be taken back by the process that called it, and its children inherit all of it. Plain ``ctypes``:
the standard library has none of these calls.
"""

import ctypes
import os
import platform
import resource
import sysconfig
from collections.abc import Iterable, Iterator
from pathlib import Path

MEMORY_BYTES = 1 << 30
OPEN_FILES = 64
PR_SET_PDEATHSIG, PR_SET_DUMPABLE, PR_SET_SECCOMP, PR_SET_NO_NEW_PRIVS = 1, 4, 22, 38
SECCOMP_MODE_FILTER = 2
LANDLOCK_CREATE_RULESET, LANDLOCK_ADD_RULE, LANDLOCK_RESTRICT_SELF = 444, 445, 446
"""The numbers are the same on every architecture."""
READ_FILE, READ_DIR = 1 << 2, 1 << 3
FILE_RIGHTS_BY_ABI = {1: (1 << 13) - 1, 2: (1 << 14) - 1, 3: (1 << 15) - 1, 4: (1 << 15) - 1, 5: (1 << 16) - 1}
"""All rights on files that an ABI knows; ABI 2 added REFER, 3 TRUNCATE, 5 IOCTL_DEV."""


class LockError(Exception):
    """The kernel refused one of the locks."""


class _Filter(ctypes.Structure):
    _fields_ = (("length", ctypes.c_ushort), ("instructions", ctypes.c_void_p))


class _Ruleset(ctypes.Structure):
    _fields_ = (("fs", ctypes.c_uint64), ("net", ctypes.c_uint64), ("scoped", ctypes.c_uint64))


class _PathRule(ctypes.Structure):
    _pack_ = 1
    _fields_ = (("rights", ctypes.c_uint64), ("fd", ctypes.c_int32))


def libc() -> ctypes.CDLL:
    """The C library of this very process."""
    return ctypes.CDLL(None, use_errno=True)


def _checked(result: int, what: str) -> int:
    if result < 0:
        raise LockError(f"{what}: {os.strerror(ctypes.get_errno())}")
    return result


def prctl(option: int, value: int, pointer: int = 0) -> None:
    """``prctl(2)``.

    Raises:
        LockError: refused.
    """
    arguments = (ctypes.c_ulong(x) for x in (value, pointer, 0, 0))
    _checked(libc().prctl(option, *arguments), f"prctl {option}")


def install_filter(program: bytes) -> None:
    """Put a compiled seccomp filter over this process, on top of those it has."""
    buffer = ctypes.create_string_buffer(program, len(program))
    head = _Filter(len(program) // 8, ctypes.addressof(buffer))
    prctl(PR_SET_SECCOMP, SECCOMP_MODE_FILTER, ctypes.addressof(head))


def drop_capabilities() -> None:
    """Root in name only."""
    version_3 = 0x20080522
    header = (ctypes.c_uint32 * 2)(version_3, 0)
    _checked(libc().capset(header, (ctypes.c_uint32 * 6)()), "capset")


def limit(cpu_s: int | None = None) -> None:
    """Lower the limits for good: the server's for itself and its children, or a child's own CPU seconds."""
    wanted = (
        {resource.RLIMIT_CPU: cpu_s}
        if cpu_s is not None
        else {
            resource.RLIMIT_AS: MEMORY_BYTES,
            resource.RLIMIT_NOFILE: OPEN_FILES,
            resource.RLIMIT_FSIZE: 0,
            resource.RLIMIT_CORE: 0,
            resource.RLIMIT_MEMLOCK: 0,
        }
    )
    for kind, value in wanted.items():
        hard = resource.getrlimit(kind)[1]
        lowest = value if hard == resource.RLIM_INFINITY else min(value, hard)
        resource.setrlimit(kind, (lowest, lowest))


def landlock_abi() -> int:
    """The kernel's Landlock version; 0 where there is none, or it is switched off."""
    version_flag = ctypes.c_uint32(1)
    return max(0, int(libc().syscall(LANDLOCK_CREATE_RULESET, None, ctypes.c_size_t(0), version_flag)))


def readable() -> Iterator[tuple[Path, int]]:
    """What a candidate may read, with the rights: the standard library, what it links to, time zones, random bytes.

    ``site-packages`` is left out, save for the names of the folders in it; see :mod:`kit.sandbox.packages`.
    """
    for stdlib in {Path(sysconfig.get_path("stdlib")), Path(sysconfig.get_path("platstdlib"))}:
        yield stdlib, READ_DIR
        for entry in stdlib.iterdir():
            if entry.name not in ("site-packages", "dist-packages"):
                yield entry, READ_FILE | READ_DIR if entry.is_dir() else READ_FILE
    triplet = f"{platform.machine()}-linux-gnu"
    for folder in ("/lib64", f"/lib/{triplet}", f"/usr/lib/{triplet}", "/usr/share/zoneinfo"):
        yield Path(folder), READ_FILE | READ_DIR
    for library in Path("/usr/local/lib").glob("lib*.so*"):
        yield library, READ_FILE
    for file in ("/etc/ld.so.cache", "/dev/urandom"):
        yield Path(file), READ_FILE


def restrict_files(abi: int, folders: Iterable[Path] = ()) -> None:
    """Landlock: no right to any file, but for reading those of :func:`readable`; no TCP, no signals to outside.

    Args:
        abi: the kernel's version of Landlock.
        folders: what may be read besides, with all in it.

    Raises:
        LockError: refused.
    """
    c = libc()
    ruleset = _Ruleset(FILE_RIGHTS_BY_ABI[min(abi, 5)], 3 if abi >= 4 else 0, 3 if abi >= 6 else 0)
    size = 8 if abi < 4 else 16 if abi < 6 else 24
    head = ctypes.c_size_t(size)
    fd = _checked(c.syscall(LANDLOCK_CREATE_RULESET, ctypes.byref(ruleset), head, ctypes.c_uint32(0)), "landlock")
    try:
        for path, rights in (*readable(), *((folder, READ_FILE | READ_DIR) for folder in folders)):
            try:
                path_fd = os.open(path, os.O_PATH | os.O_CLOEXEC)
            except OSError:  # not on this machine
                continue
            rule = _PathRule(rights, path_fd)
            added = c.syscall(LANDLOCK_ADD_RULE, fd, 1, ctypes.byref(rule), ctypes.c_uint32(0))
            os.close(path_fd)
            _checked(added, f"landlock: {path}")
        _checked(c.syscall(LANDLOCK_RESTRICT_SELF, fd, ctypes.c_uint32(0)), "landlock_restrict_self")
    finally:
        os.close(fd)
