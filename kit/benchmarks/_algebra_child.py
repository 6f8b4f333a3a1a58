"""The process that reads answers as mathematics: a pair of LaTeX texts a line in, a verdict a line out.

:mod:`kit.benchmarks._algebra` starts it as a script of its own, for three reasons: sympy may take for ever over a
hostile text, also inside one C call that no signal handler interrupts; it may want all the memory there is; and the
LaTeX parser hands numbers to sympy's parser of strings, which is ``eval``. One that reads numbers alone replaces it.
"""

import json
import os
import re
import resource
import sys
import time
from collections.abc import Callable
from typing import Any

PEAK_BYTES = 1 << 30
"""A comparison that has filled this much memory is not believed: failing for want of more looks like "not equal"."""
ADDRESS_SPACE_BYTES = 4 << 30


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
    """Give up what reading mathematics never needs: files, processes, core dumps, more memory than the limit."""
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    resource.setrlimit(resource.RLIMIT_FSIZE, (0, 0))
    resource.setrlimit(resource.RLIMIT_AS, (ADDRESS_SPACE_BYTES, ADDRESS_SPACE_BYTES))


def limit_cpu(seconds: int) -> None:
    """Have the kernel end this process when it has used that many CPU seconds from now, at most one more."""
    _, hard = resource.getrlimit(resource.RLIMIT_CPU)
    resource.setrlimit(resource.RLIMIT_CPU, (int(time.process_time()) + 1 + seconds, hard))


def comparer() -> Callable[[str, str], bool]:
    """Load math-verify and return its comparison of two LaTeX texts, the second one being the reference."""
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
        except Exception:  # the parser raises bare Exceptions for what it cannot read
            return None

    def same(answer: str, wanted: str) -> bool:
        sympy.core.random.seed(0)  # its numerical tests draw points: the same ones in every run
        expected, found = read(wanted), read(answer)
        if expected is None or found is None:
            return False
        return bool(verify(expected, found, timeout_seconds=None))

    return same


def main() -> None:
    """Answer each line ``{"answer", "wanted", "cpu_s"}`` of stdin with ``{"same", "peak"}`` until stdin ends."""
    lock()
    words = os.fdopen(os.dup(1), "w", encoding="utf-8")
    os.dup2(2, 1)  # nothing that a library prints gets among the verdicts
    same = comparer()
    print(json.dumps({"ready": True}), file=words, flush=True)
    for line in sys.stdin:
        pair = json.loads(line)
        limit_cpu(pair["cpu_s"])
        verdict = same(pair["answer"], pair["wanted"])
        peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024
        print(json.dumps({"same": verdict, "filled": peak > PEAK_BYTES}), file=words, flush=True)


if __name__ == "__main__":
    main()
