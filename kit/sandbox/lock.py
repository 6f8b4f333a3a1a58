"""How a process gives up what it could do: capabilities, privileges, limits, files, system calls.

Nothing here can be taken back by the process that called it, and its children inherit all of it. Plain ``ctypes``:
the standard library has none of these calls.
"""

import ctypes
import functools
import os
import platform
import resource
import sysconfig
from collections.abc import Collection, Iterable, Iterator
from fnmatch import fnmatch
from pathlib import Path
from typing import Any

MEMORY_BYTES = 1 << 30
"""Of address space: what a candidate may hold."""
TESTER_BYTES = 448 << 20
"""What a tester may hold, of which 120 MiB are what it has from the fork server."""
BESIDE_BYTES = 64 << 20
"""What one program takes beside the two: its fork servers, page tables, pipes and sockets. All three together are
the room that :data:`kit.machine.cgroups.PROGRAM_BYTES` keeps for a program."""
OPEN_FILES = 64
PR_SET_PDEATHSIG, PR_SET_DUMPABLE, PR_SET_SECCOMP, PR_SET_NO_NEW_PRIVS = 1, 4, 22, 38
SECCOMP_MODE_FILTER = 2
LANDLOCK_CREATE_RULESET, LANDLOCK_ADD_RULE, LANDLOCK_RESTRICT_SELF = 444, 445, 446
"""The numbers are the same on every architecture."""
READ_FILE, READ_DIR = 1 << 2, 1 << 3
FILE_RIGHTS_BY_ABI = {1: (1 << 13) - 1, 2: (1 << 14) - 1, 3: (1 << 15) - 1, 4: (1 << 15) - 1, 5: (1 << 16) - 1}
"""All rights on files that an ABI knows; ABI 2 added REFER, 3 TRUNCATE, 5 IOCTL_DEV."""
LOCAL_LIBRARIES = Path("/usr/local/lib")


class LockError(Exception):
    """The kernel refused one of the locks."""


class _Filter(ctypes.Structure):
    _fields_ = (("length", ctypes.c_ushort), ("instructions", ctypes.c_void_p))


class _Ruleset(ctypes.Structure):
    _fields_ = (("fs", ctypes.c_uint64), ("net", ctypes.c_uint64), ("scoped", ctypes.c_uint64))


class _PathRule(ctypes.Structure):
    _pack_ = 1
    _fields_ = (("rights", ctypes.c_uint64), ("fd", ctypes.c_int32))


@functools.cache
def libc() -> ctypes.CDLL:
    """The C library of this very process. It is kept: opening it anew takes half a millisecond of each program."""
    return ctypes.CDLL(None, use_errno=True)


@functools.cache
def _fork() -> Any:
    return ctypes.PyDLL(None, use_errno=True).fork  # PyDLL: the interpreter's lock is held, in the child too


def fork() -> int:
    """``fork(2)`` of a process with one thread, without what ``os.fork`` has Python do in the child.

    It would make locks and threads anew, of which there are none, and random numbers, which a program gets its own: a
    fifth of the time that a short program takes.

    Raises:
        OSError: refused.
    """
    pid = int(_fork()())
    if pid < 0:
        raise OSError(ctypes.get_errno(), os.strerror(ctypes.get_errno()))
    return pid


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


def limit() -> None:
    """Lower a fork server's limits, which its children inherit."""
    _lower(resource.RLIMIT_AS, MEMORY_BYTES)
    _lower(resource.RLIMIT_NOFILE, OPEN_FILES)
    for kind in (resource.RLIMIT_FSIZE, resource.RLIMIT_CORE, resource.RLIMIT_MEMLOCK):
        _lower(kind, 0)


def limit_child(cpu_s: int, memory_bytes: int) -> None:
    """Lower a child's own limits: CPU seconds, and bytes of address space, those it was forked with counted in."""
    _lower(resource.RLIMIT_CPU, cpu_s)
    _lower(resource.RLIMIT_AS, memory_bytes)


def _lower(kind: int, value: int) -> None:
    hard = resource.getrlimit(kind)[1]
    lowest = value if hard == resource.RLIM_INFINITY else min(value, hard)
    resource.setrlimit(kind, (lowest, lowest))


def landlock_abi() -> int:
    """The kernel's Landlock version; 0 where there is none, or it is switched off."""
    version_flag = ctypes.c_uint32(1)
    return max(0, int(libc().syscall(LANDLOCK_CREATE_RULESET, None, ctypes.c_size_t(0), version_flag)))


def stdlib_folders() -> list[Path]:
    """Return the folders of the standard library, which may be one, links followed."""
    return [*dict.fromkeys(Path(sysconfig.get_path(name)).resolve() for name in ("stdlib", "platstdlib"))]


def entries(folder: Path, closed: Collection[str] = ()) -> Iterator[tuple[Path, int]]:
    """What lies in a folder, with the right to read it; a link only if it leads to an entry of this very folder.

    A rule is made for what a path leads to, so that for a link it would open whatever that is: another folder, the
    folder itself, or what is closed in it. Debian has such a link too, sitecustomize.py into /etc: no program needs it.

    Args:
        folder: no link itself.
        closed: names in it that are left out.
    """
    for entry in folder.iterdir():
        target = Path(os.path.realpath(entry))  # Path.resolve has an error for a link in a circle
        inside = target.relative_to(folder).parts if target.is_relative_to(folder) else ()
        if inside and inside[0] not in closed and entry.name not in closed and target.exists():
            yield target, READ_FILE | READ_DIR if target.is_dir() else READ_FILE


def readable() -> Iterator[tuple[Path, int]]:
    """What a candidate may read, with the rights: the standard library, what it links to, time zones, random bytes.

    ``site-packages`` is left out, save for the names of the folders in it; see :mod:`kit.sandbox.packages`.
    """
    for stdlib in stdlib_folders():
        yield stdlib, READ_DIR
        yield from entries(stdlib, ("site-packages", "dist-packages"))
    triplet = f"{platform.machine()}-linux-gnu"
    for folder in ("/lib64", f"/lib/{triplet}", f"/usr/lib/{triplet}", "/usr/share/zoneinfo"):
        yield Path(folder), READ_FILE | READ_DIR
    for path, rights in entries(LOCAL_LIBRARIES.resolve()) if LOCAL_LIBRARIES.is_dir() else ():
        if rights == READ_FILE and fnmatch(path.name, "lib*.so*"):
            yield path, rights
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
