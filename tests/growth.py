"""Growth of the CPU time of reading a text with its length: the time at n, 2n and 4n characters, judged by ratio.

A text that no longer fits into the processor's caches costs more per character, and much more while the machine is
busy: at 40,000 characters seven times as much as at 20,000 was seen. That is one step; what grows with the square is
steep at every length. So what looks steep up to 4n is read at 16n as well.
"""

import time
from collections.abc import Callable
from typing import Any

FAST_S = 0.05
"""CPU seconds for the longest text below which growth is not judged: what is that fast needs no law."""
STEEPEST = 9.0
"""The most that four times the text may cost; linear reading costs 4 times, quadratic 16, cubic 64."""
TRIES = 8
"""A measurement that looks steep is taken again, and the least times count: a busy machine adds CPU time,
and takes none away."""


def cpu_s(read: Callable[[str], Any], text: str, repeats: int = 3) -> float:
    """Return the least CPU time of this process for reading a text, of some readings."""
    times = []
    for _ in range(repeats):
        start = time.process_time()
        read(text)
        times.append(time.process_time() - start)
    return min(times)


def growth(read: Callable[[str], Any], make: Callable[[int], str], size: int) -> list[float]:
    """Return the CPU seconds at ``size``, twice and four times that; stops at a text that takes 20 times too long."""
    times: list[float] = []
    for factor in (1, 2, 4):
        times.append(cpu_s(read, make(factor * size), repeats=1 if times and times[-1] > 1 else 3))
        if times[-1] > 20 * FAST_S * factor and times[-1] > STEEPEST * times[0]:
            break
    return times


def assert_linear(read: Callable[[str], Any], make: Callable[[int], str], size: int = 20_000) -> None:
    """Fail where reading ``make(n)`` takes time that grows faster than the text.

    Args:
        read: the function that reads a text; its own process does the work.
        make: length in characters, about -> the text.
        size: the shortest of the three lengths.
    """
    least: list[float] = []
    for _ in range(TRIES):
        times = growth(read, make, size)
        least = [min(pair) for pair in zip(least, times, strict=True)] if len(least) == len(times) else times
        if least[-1] < FAST_S or (len(least) == 3 and least[-1] < STEEPEST * least[0]):
            return
    if len(least) == 3 and not steep_further_on(read, make, size, least):
        return
    shown = ", ".join(f"{seconds:.3f} s" for seconds in least)
    raise AssertionError(f"CPU time at {size:,} characters, 2, 4, 16 times: {shown}; that is no linear growth")


def steep_further_on(read: Callable[[str], Any], make: Callable[[int], str], size: int, least: list[float]) -> bool:
    """Return whether a text of 16 times the size is as steep beside one of 4 times; ``least`` gets its time.

    The shorter one is read again each time, so that both are read on the same machine, as busy as it is.
    """
    text, longer = make(4 * size), make(16 * size)
    least.append(float("inf"))
    for _ in range(TRIES):
        least[3] = min(least[3], cpu_s(read, longer, repeats=1))
        if least[3] < STEEPEST * least[2]:
            return False
        least[2] = min(least[2], cpu_s(read, text, repeats=1))
    return True
