"""The rank that ended first, read off the last words of its launchers.

Where one of several ranks is killed, the launcher ends the others and prints a summary:

    Failures:
    [1]:
      rank      : 0 (local_rank: 0)
      exitcode  : 1 (pid: 4710)
    Root Cause (first observed failure):
    [0]:
      rank      : 1 (local_rank: 1)
      exitcode  : -9 (pid: 4711) (SIGKILL)

It names all ranks that had ended when it looked, and takes for the root cause the one whose second came first: where
several ended in one second, any of them. On several nodes each launcher prints one.

Of a single process the launcher prints its command line and how it died, and ends with exit code 1 itself:

    subprocess.CalledProcessError: Command '[...]' died with <Signals.SIGKILL: 9>.
"""

import re
from collections.abc import Sequence

SUMMARY = "Root Cause (first observed failure):"
BLOCK = re.compile(r"^\s*rank\s*: (\d{1,6}) .*?^\s*exitcode\s*: (-?\d{1,6}) ", re.DOTALL | re.MULTILINE)
ENDED_BY_LAUNCHER = -15
"""Exit code of a rank that its launcher ended because of another."""
DIED = re.compile(r"^subprocess\.CalledProcessError: .* died with (?:<Signals\.\w+: |unknown signal )(\d{1,3})\b")
CLOSED = re.compile(
    r"connection (was )?(closed|reset|refused)|broken pipe|remote process exited|communicator was aborted",
    re.IGNORECASE,
)
"""Words of gloo, NCCL and sockets where the other end is gone."""


def first_failed(lines: Sequence[str], world: int) -> str:
    """Return which rank ended first and how, as a part of a sentence; empty where the launcher does not say.

    A rank that a signal ended comes before those that ended themselves, as its end may have been their reason.

    Args:
        lines: last lines that the launcher and its ranks printed.
        world: number of ranks.
    """
    others, *summaries = "\n".join(lines).split(SUMMARY)
    if not summaries:
        return ""
    roots = [found for text in summaries if (found := BLOCK.search(text))]
    every = [*roots, *(found for text in (others, *summaries) for found in BLOCK.finditer(text))]
    codes = [(found[1], int(found[2])) for found in every]
    killed = [one for one in codes if one[1] < 0 and one[1] != ENDED_BY_LAUNCHER]
    if not codes:
        return ""
    number, code = (killed or codes)[0]
    if code == -9:
        ended = "was killed (signal 9): out of memory, or by hand"
    else:
        ended = f"was ended by signal {-code}" if code < 0 else f"ended with exit code {code}"
    return f"rank {number} of {world} {ended}; the others were ended with it"


def signal_of_only(lines: Sequence[str]) -> int | None:
    """Return the number of the signal that ended the only process of a launcher; None where it says of none.

    Args:
        lines: last lines that the launcher and its process printed.
    """
    last = next((line for line in reversed(lines) if line), "")
    return int(found[1]) if (found := DIED.match(last)) else None


def is_closed_connection(error: BaseException) -> bool:
    """Return whether an error says that another rank is gone: what ended that one is the reason, and not this."""
    return isinstance(error, ConnectionError) or bool(CLOSED.search(str(error)))
