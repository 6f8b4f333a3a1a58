"""Errors of a store in words: a job that another run works on, a disk that fails, and what helps."""

import errno
import os
from pathlib import Path

from kit.errors import KitError


class BusyError(KitError):
    """Another process works on this job right now."""


MAKE_ROOM = "make room (`kit store gc`, `--keep results`), or name a store on another disk with --store"
"""Cure of a full disk."""
CURES = {
    errno.ENOSPC: MAKE_ROOM,
    errno.EDQUOT: MAKE_ROOM,
    errno.EROFS: "mount its disk so that it can be written, or name another store with --store",
    errno.EACCES: "name a folder that you may write with --store",
    errno.EPERM: "name a folder that you may write with --store",
    errno.EIO: "its disk fails; look into the system's log, and take another disk",
    errno.ESTALE: "its network disk was taken away; mount it again",
}
"""Number of an error -> what helps."""
NOTHING_LOST = "what is committed stays, and the same command goes on from there"


def cure_of(error: OSError) -> str:
    """Return what helps against an error of a store's disk."""
    return CURES.get(error.errno or 0, "look at the folder, or name another with --store")


def disk_fault(error: BaseException) -> OSError | None:
    """Return the error of the disk behind an error, if there is one; libraries wrap it into errors of their own."""
    numbers = (errno.ENOSPC, errno.EDQUOT, errno.EROFS, errno.EIO, errno.ESTALE)
    seen: BaseException | None = error
    for _ in range(10):
        if isinstance(seen, OSError) and seen.errno in numbers:
            return seen
        if seen is None:
            break
        seen = seen.__cause__ or seen.__context__
    for number in (errno.ENOSPC, errno.EDQUOT, errno.EROFS):
        if os.strerror(number) in str(error) and not isinstance(error, KitError):
            return OSError(number, os.strerror(number))
    return None


def job_disk_fault(error: BaseException, folder: Path) -> OSError | None:
    """Return the error of the disk behind ``folder``, where a job writes, if that is what ended the job.

    An error that names a path elsewhere is of another disk, or of what a container closes to its jobs: it says more in
    its own words.
    """
    fault = disk_fault(error)
    if fault is None or not isinstance(fault.filename, str | bytes):
        return fault
    path = Path(os.path.realpath(os.fsdecode(fault.filename)))
    return fault if path.is_relative_to(os.path.realpath(folder)) else None


def disk_fault_text(fault: OSError) -> str:
    """Return a sentence on an error of the store's disk during a job."""
    return f"the store's disk: {fault.strerror}; nothing of this job is kept, {NOTHING_LOST}: {cure_of(fault)}"
