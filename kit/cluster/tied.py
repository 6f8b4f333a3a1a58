"""Starts a program that the kernel kills when the process that asked for it is gone.

    python -m kit.cluster.tied PARENT PROGRAM ARGUMENT...

Else a Snakemake whose kit was killed would go on to submit jobs, beside those of the kit that is started next.
"""

import ctypes
import os
import signal
import sys

PR_SET_PDEATHSIG = 1
"""Option of prctl(2), kept over exec: the signal that this process gets when its parent ends."""


def main(arguments: list[str]) -> None:
    """Become the program; do nothing where the parent is gone already."""
    parent, program = int(arguments[0]), arguments[1:]
    ctypes.CDLL(None, use_errno=True).prctl(PR_SET_PDEATHSIG, signal.SIGKILL)
    if os.getppid() != parent:
        sys.exit(0)
    os.execvp(program[0], program)


if __name__ == "__main__":
    main(sys.argv[1:])
