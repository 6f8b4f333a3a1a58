"""The process that reads completions: a problem with its text a line in, what the reader makes of it a line out.

:mod:`kit.benchmarks._reading_time` starts it as a script of its own. Before each text a timer of the process's CPU time
is set, whose signal the kernel answers by ending the process, whatever code runs: no handler is called.
"""

import contextlib
import json
import os
import resource
import signal
import sys
from collections.abc import Callable, Mapping
from importlib import import_module, util
from pathlib import Path
from typing import Any, BinaryIO

MESSAGE = 200
"""Characters of an exception's message that the reason of a text keeps."""


def limit_memory(more_bytes: int) -> None:
    """Let the process take so much memory beyond what it has; more is a ``MemoryError``.

    The hard limit stays: the process that compares mathematics is started from here and sets its own.
    """
    with contextlib.suppress(FileNotFoundError):  # no Linux: nothing tells how much it has, and nobody grades hostile
        pages = int(Path("/proc/self/statm").read_text(encoding="ascii").split()[0])
        _, hard = resource.getrlimit(resource.RLIMIT_AS)
        wanted = pages * resource.getpagesize() + more_bytes
        soft = wanted if hard == resource.RLIM_INFINITY else min(wanted, hard)
        resource.setrlimit(resource.RLIMIT_AS, (soft, hard))


def lock() -> None:
    """Let the timer's signal end the process, whatever it was started with; and leave no core dump."""
    resource.setrlimit(resource.RLIMIT_CORE, (0, resource.getrlimit(resource.RLIMIT_CORE)[1]))
    signal.signal(signal.SIGPROF, signal.SIG_DFL)
    signal.pthread_sigmask(signal.SIG_UNBLOCK, {signal.SIGPROF})


def made(order: Mapping[str, Any]) -> Callable[[Any, str], Any]:
    """Return the reader that an order names."""
    sys.path[:] = order["path"]
    package = Path(order["package"])
    if spec := util.spec_from_file_location("kit", package / "__init__.py"):
        sys.modules["kit"] = util.module_from_spec(spec)  # its modules are looked for beside it alone
    maker: Any = import_module(order["module"])
    for name in order["maker"].split("."):
        maker = getattr(maker, name)
    reader: Callable[[Any, str], Any] = maker(order["protocol"])
    return reader


def raised(error: Exception) -> dict[str, str]:
    """Return an exception as an answer: the kit's own with its kind and message, any other in one line."""
    from kit.errors import KitError

    if isinstance(error, KitError):
        return {"raised": type(error).__name__, "message": str(error)}
    message = " ".join(str(error).split())[:MESSAGE]
    return {"failed": f"{type(error).__name__}: {message}" if message else type(error).__name__}


def answer(read: Callable[[Any, str], Any], row: Mapping[str, Any]) -> dict[str, Any]:
    """Read one text: return a text, a grade, or the reason why there is none; ``last`` where no other should follow."""
    from kit.records import Problem

    problem = Problem(id=row["id"], data=row["data"])
    signal.setitimer(signal.ITIMER_PROF, row["cpu_s"])
    try:
        found = read(problem, row["text"])
        return {"text": found} if isinstance(found, str) else {"grade": found.to_json()}
    except MemoryError:
        return {"failed": "MemoryError", "last": True}  # the next text is owed all of the memory
    except Exception as error:  # whatever a text brings about is its own, and the next one is read
        return raised(error)
    finally:
        signal.setitimer(signal.ITIMER_PROF, 0)


def encoded(line: Mapping[str, Any]) -> bytes:
    r"""A JSON object as a line of bytes; halves of a surrogate pair stay halves, where ``\ud83d\ude00`` joins them."""
    return json.dumps(line, ensure_ascii=False).encode("utf-8", "surrogatepass") + b"\n"


def send(answers: BinaryIO, line: Mapping[str, Any]) -> None:
    """Write an answer; where its pipe is gone the process ends with 1, and not as Python's shutdown may have it."""
    data = encoded(line)
    try:
        answers.write(data)
        answers.flush()
    except OSError:
        os._exit(1)


def main() -> None:
    """Make the reader that the first line of stdin orders, then answer each line until stdin ends."""
    lock()
    answers = os.fdopen(os.dup(1), "wb")
    os.dup2(2, 1)  # nothing that a library prints gets among the answers
    order = json.loads(sys.stdin.buffer.readline())
    try:
        read = made(order)
    except Exception as error:
        answers.write(encoded(raised(error)))
        answers.close()
        return
    limit_memory(order["memory_bytes"])
    send(answers, {"ready": True})
    for line in sys.stdin.buffer:
        send(answers, answer(read, json.loads(line)))


if __name__ == "__main__":
    main()
