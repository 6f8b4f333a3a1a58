"""The process that reads answers as mathematics: a pair of LaTeX texts a line in, a verdict a line out.

:mod:`kit.benchmarks._algebra` starts it as a script of its own, for three reasons: sympy may take for ever over a
hostile text, also inside one C call that no signal handler interrupts; it may want all the memory there is; and the
LaTeX parser hands numbers to sympy's parser of strings, which is ``eval``. One that reads numbers alone replaces it.
"""

import json
import os
import re
import resource
import signal
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

ADDRESS_SPACE_BYTES = 2 << 30
"""Address space that this process may map, libraries included: half of a ``grade`` container's memory."""


def number(text: str, *_: Any, **__: Any) -> Any:
    """Read a decimal number: stands in for sympy's parser of strings, which would evaluate the text as Python.

    Raises:
        ValueError: it is anything else.
    """
    import sympy

    if re.fullmatch(r"[0-9]+", text.strip()):
        return sympy.Integer(int(text))
    if re.fullmatch(r"[0-9]+\.[0-9]*|\.[0-9]+", text.strip()):
        return sympy.Float(text.strip())
    raise ValueError(f"no text is evaluated as Python here, found {text[:40]!r}")


def lock() -> None:
    """Give up what reading mathematics never needs: files, core dumps, more memory than the limit; heed SIGXCPU."""
    signal.signal(signal.SIGXCPU, signal.SIG_DFL)  # what ignores or blocks it passes that on to its children
    signal.pthread_sigmask(signal.SIG_UNBLOCK, {signal.SIGXCPU})
    for kind, wanted in (
        (resource.RLIMIT_CORE, 0),
        (resource.RLIMIT_FSIZE, 0),
        (resource.RLIMIT_AS, ADDRESS_SPACE_BYTES),
    ):
        limit = _allowed(kind, wanted)
        resource.setrlimit(kind, (limit, limit))


def limit_cpu(seconds: int) -> None:
    """Have the kernel end this process when it has used that many CPU seconds from now, at most one more."""
    _, hard = resource.getrlimit(resource.RLIMIT_CPU)
    soft = _allowed(resource.RLIMIT_CPU, int(time.process_time()) + 1 + seconds)
    resource.setrlimit(resource.RLIMIT_CPU, (soft, hard))


def _allowed(kind: int, wanted: int) -> int:
    """Return the wanted limit, or the hard limit that somebody else set, where that is less."""
    _, hard = resource.getrlimit(kind)
    return wanted if hard == resource.RLIM_INFINITY else min(wanted, hard)


def peak_bytes() -> int:
    """Return the most memory that this process has filled.

    Linux counts it from the start of the program; what ``getrusage`` tells holds the memory of the parent at the fork
    too, so that verdicts would depend on how much the kit had read.
    """
    try:
        status = Path("/proc/self/status").read_text(encoding="ascii", errors="replace")
        found = re.search(r"(?m)^VmHWM:\s*(\d+) kB$", status)
    except OSError:
        found = None
    return 1024 * (int(found[1]) if found else resource.getrusage(resource.RUSAGE_SELF).ru_maxrss)


def comparer() -> Callable[[str, str], bool]:
    """Load math-verify and return its comparison of two LaTeX texts, the second one being the reference.

    The comparison raises MemoryError or RecursionError where a limit was met.
    """
    import logging

    import sympy.core.random
    import sympy.parsing.sympy_parser
    import sympy.physics.units  # simplify would import it later, and it reads its own names with that parser
    from latex2sympy2_extended import normalize_latex
    from math_verify import LatexExtractionConfig, verify
    from math_verify.parser import parse_latex_cached

    logging.disable(logging.CRITICAL)  # it warns that nobody watches the time; the kernel does
    sympy.parsing.sympy_parser.parse_expr = number  # the LaTeX parser hands every number to it
    sympy.parsing.sympy_parser.eval_expr = None
    config = LatexExtractionConfig().normalization_config

    def read(text: str) -> Any:
        try:
            return parse_latex_cached(normalize_latex(text, config))
        except (MemoryError, RecursionError):
            raise
        except Exception:  # the parser raises bare Exceptions for what it cannot read
            return None

    def same(answer: str, wanted: str) -> bool:
        sympy.core.random.seed(0)  # its numerical tests draw points: the same ones in every run
        expected, found = read(wanted), read(answer)
        if expected is None or found is None:
            return False
        try:
            return bool(verify(expected, found, timeout_seconds=None, raise_on_error=True))
        except (MemoryError, RecursionError):
            raise
        except Exception:  # as math-verify does by itself, where memory is wanting too
            return False

    return same


def main() -> None:
    """Answer each line ``{"answer", "wanted", "cpu_s"}`` of stdin with ``{"same", "peak"}`` until stdin ends."""
    lock()
    words = os.fdopen(os.dup(1), "w", encoding="utf-8")
    os.dup2(2, 1)  # nothing that a library prints gets among the verdicts
    same = comparer()
    print(json.dumps({"ready": True}), file=words, flush=True)
    # From here on nobody reads what else is printed: a full pipe would keep this process waiting for ever.
    with Path(os.devnull).open("w", encoding="utf-8") as nowhere:
        os.dup2(nowhere.fileno(), 1)
        os.dup2(nowhere.fileno(), 2)
    for line in sys.stdin.buffer:
        pair = json.loads(line)
        limit_cpu(pair["cpu_s"])
        try:
            verdict, peak = same(pair["answer"], pair["wanted"]), peak_bytes()
        except (MemoryError, RecursionError):
            verdict, peak = False, ADDRESS_SPACE_BYTES  # it wanted more than there is
        print(json.dumps({"same": verdict, "peak": peak}), file=words, flush=True)


if __name__ == "__main__":
    main()
