"""Name the system calls that a compute-only process may make: an allow-list, compiled through libseccomp.

Rules are added by name and unknown names are skipped, since ``open`` or ``poll`` do not exist on every architecture.
"""

import errno
import os
import socket
from collections.abc import Iterable
from typing import Any

from kit.errors import RequestError

ALLOWED = (
    "access alarm arch_prctl brk clock_getres clock_gettime clock_nanosleep close close_range dup dup2 dup3",
    "epoll_create1 epoll_ctl epoll_pwait epoll_wait eventfd2 exit exit_group faccessat faccessat2 fstat futex",
    "getcwd getdents64 getegid geteuid getgid getgroups getitimer getpgid getpgrp getpid getppid getrandom",
    "getresgid getresuid getrlimit getrusage getsid gettid gettimeofday getuid lseek lstat madvise mmap mprotect",
    "mremap munmap nanosleep newfstatat pause pipe pipe2 poll ppoll pread64 preadv pselect6 read readv recvfrom",
    "restart_syscall rseq rt_sigaction rt_sigpending rt_sigprocmask rt_sigreturn rt_sigsuspend rt_sigtimedwait",
    "sched_getaffinity sched_yield select set_robust_list set_tid_address setitimer shutdown sigaltstack stat",
    "statx sysinfo time times umask uname write writev",
)
"""Allowed with any arguments. Not here, among others: anything that changes a file or a process, ``sendmsg`` and
``recvmsg`` (they can pass descriptors), ``readlink``."""
SERVER_ONLY = ("kill", "prctl", "prlimit64", "setrlimit", "wait4", "waitid")
"""System calls that the fork server needs on top, with ``clone``; its children give them up."""
UNKNOWN_CALL = ("clone3", "openat2")
"""Answered with ENOSYS, so that the C library falls back to the calls whose flags a filter can see."""
OPEN_TO_WRITE = os.O_WRONLY | os.O_RDWR | os.O_CREAT | os.O_TRUNC | os.O_APPEND | (os.O_TMPFILE & ~os.O_DIRECTORY)
IOCTLS = (0x5401, 0x5421, 0x541B, 0x5451)
"""TCGETS, FIONBIO, FIONREAD, FIOCLEX: what ``isatty``, sockets and pipes ask for."""
FCNTLS = (0, 1, 2, 3, 4, 1030)
"""F_DUPFD, F_GETFD, F_SETFD, F_GETFL, F_SETFL, F_DUPFD_CLOEXEC. Not F_SETOWN, which makes the kernel send signals."""
CLONE_NOT_A_FORK = 0x00000100 | 0x00010000 | 0x7E020000
"""CLONE_VM, CLONE_THREAD and every namespace flag: with one of them a clone is no plain fork."""
MISSING = (
    "the sandbox needs {what}; {cure}. --unsafe-exec runs model-written code without a sandbox, with limits on "
    "memory and time only, and marks the scores 'unsafe'"
)


def library() -> Any:
    """Import the pyseccomp module and return it.

    Raises:
        RequestError: it, or libseccomp, is not installed.
    """
    try:
        import pyseccomp
    except ModuleNotFoundError as error:
        cure = "install it with the extra 'grade' of this package"
        raise RequestError(MISSING.format(what="the package pyseccomp", cure=cure)) from error
    except (RuntimeError, OSError, AttributeError) as error:
        cure = "install it with `apt-get install -y libseccomp2`"
        raise RequestError(MISSING.format(what="the library libseccomp2", cure=cure)) from error
    return pyseccomp


def _compiled(filter_: Any) -> bytes:
    with os.fdopen(os.memfd_create("filter"), "w+b") as file:
        filter_.export_bpf(file)
        file.seek(0)
        return file.read()


class _Rules:
    """A filter in the making; calls that this architecture lacks are passed over."""

    def __init__(self, seccomp: Any, default: Any) -> None:
        self.seccomp = seccomp
        self.filter = seccomp.SyscallFilter(default)

    def add(self, action: Any, names: Iterable[str], *conditions: Any) -> None:
        for name in names:
            if self.seccomp.resolve_syscall(self.seccomp.Arch.NATIVE, name) >= 0:
                self.filter.add_rule(action, name, *conditions)


def server_filter(read_files: bool) -> bytes:
    """Return the filter of the fork server and, through it, of its children.

    Args:
        read_files: files may be opened for reading (Landlock says which); else none may be opened.
    """
    s = library()
    rules = _Rules(s, s.ERRNO(errno.EPERM))
    rules.add(s.ALLOW, [*" ".join(ALLOWED).split(), *SERVER_ONLY])
    rules.add(s.ERRNO(errno.ENOSYS), UNKNOWN_CALL)
    if read_files:
        rules.add(s.ALLOW, ["openat"], s.Arg(2, s.MASKED_EQ, OPEN_TO_WRITE, 0))
        rules.add(s.ALLOW, ["open"], s.Arg(1, s.MASKED_EQ, OPEN_TO_WRITE, 0))
    rules.add(s.ALLOW, ["clone"], s.Arg(0, s.MASKED_EQ, CLONE_NOT_A_FORK, 0))
    for request in IOCTLS:
        rules.add(s.ALLOW, ["ioctl"], s.Arg(1, s.MASKED_EQ, 0xFFFFFFFF, request))
    for command in FCNTLS:
        rules.add(s.ALLOW, ["fcntl"], s.Arg(1, s.MASKED_EQ, 0xFFFFFFFF, command))
    # asyncio's own pipe. A datagram socket could be pointed at a socket file of the machine with sendto.
    local, stream = s.Arg(0, s.EQ, socket.AF_UNIX), s.Arg(1, s.MASKED_EQ, 0xF, socket.SOCK_STREAM)
    rules.add(s.ALLOW, ["socketpair"], local, stream)
    rules.add(s.ALLOW, ["sendto"], s.Arg(4, s.EQ, 0))
    return _compiled(rules.filter)


def child_filter() -> bytes:
    """Build the filter that stops a candidate and a tester from making, signalling and awaiting processes.

    They can't change their limits any more either. It holds on top of the fork server's filter.
    """
    s = library()
    rules = _Rules(s, s.ALLOW)
    rules.add(s.ERRNO(errno.EPERM), ["clone", "fork", "vfork", "seccomp", *SERVER_ONLY])
    return _compiled(rules.filter)
