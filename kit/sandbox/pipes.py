"""Pipes that are written and read without waiting."""

import fcntl
import os
import sys
import termios


def written(fd: int, data: memoryview) -> memoryview:
    """Write as much as a pipe takes now; returns the rest."""
    try:
        return data[os.write(fd, data) :]
    except BlockingIOError:
        return data


def all_of(fd: int) -> bytes:
    """Return all that is in a pipe now."""
    found = bytearray()
    while size := size_of(fd):
        found += os.read(fd, size)
    return bytes(found)


def at_end(fd: int) -> bool:
    """Read what is in a pipe that does not block; returns whether nobody can write into it any more.

    Who holds an end of a pipe can open its other end too (``/proc/self/fd``), and read away what another was told of.
    """
    try:
        return not os.read(fd, 1 << 16)
    except BlockingIOError:
        return False


def size_of(fd: int) -> int:
    """Return the number of bytes that are in a pipe; either end can be asked."""
    return int.from_bytes(fcntl.ioctl(fd, termios.FIONREAD, bytes(4)), sys.byteorder)
