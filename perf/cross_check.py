"""How many check functions a second AutoIF's cross-check takes here and in a loop as its authors have it: same texts.

    python perf/cross_check.py [--records FILE] [--copies 40] [--repeats 3]

The texts are AutoIF's own (``sample_data/eval_func_rft.jsonl``), several copies of them, each with a line of its own so
that no function is equal to another. Both sides run alternately, on one process and on as many as there are cores, and
have to keep the same functions and cases of each record. The peer is written after the public protocol: ``exec`` and a
call for each case under a signal alarm, in plain processes without a sandbox; for the texts named above that hurts
nothing. The start of the sandbox is left out. CPU milliseconds are those of all processes together.
"""

import argparse
import contextlib
import json
import multiprocessing
import operator
import os
import random
import re
import resource
import signal
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parents[1]
sys.path[0] = str(ROOT)  # this script's folder is no place to import from

from kit.errors import RequestError, shown  # noqa: E402
from kit.reading.jsonlines import read_objects  # noqa: E402
from kit.sandbox import Sandbox, open_sandbox  # noqa: E402
from kit.scenarios._cross_check import Rule, cross_check, parse  # noqa: E402
from perf import speed  # noqa: E402

RECORDS = ROOT.parent / "shared" / "data" / "autoif" / "sample_data" / "eval_func_rft.jsonl"
SECONDS = 5
Kept = tuple[list[str], list[str]]
"""Sources of the functions that are kept, and texts of the cases, both sorted."""


def texts_of(path: Path) -> list[list[str]]:
    """Return the texts of each record.

    Raises:
        RequestError: the file is not there, or a record has no list of texts.
    """
    records = []
    for where, row in read_objects(speed.need_file(path, "--records")):
        texts = row.get("gpt-answer")
        if not isinstance(texts, list) or not all(isinstance(text, str) for text in texts):
            raise RequestError(
                f"{where}: gpt-answer: found {shown(texts)}, wanted a list of texts, as AutoIF's file has"
            )
        records.append(texts)
    return records


def copies_of(records: list[list[str]], count: int) -> list[list[str]]:
    """Return so many copies of the records; each has a line in its functions that the others have not."""
    return [[marked(text, copy) for text in texts] for copy in range(count) for texts in records]


def marked(text: str, copy: int) -> str:
    """Return a text whose function has a line more; one without a function stays as it is."""
    if parse(text).reason:
        return text
    before, opening, rest = text.partition("```json")
    block, closing, after = rest.partition("```")
    held = json.loads(block)
    held["func"] += f"\ncopy = {copy}"
    return "".join((before, opening, "\n", json.dumps(held), "\n", closing, after))


def ours(records: list[list[str]], sandbox: Sandbox) -> list[Kept]:
    """Return what the kit keeps of each record."""
    return [
        (sorted(checked.functions), sorted(json.dumps((case.input, case.output)) for case in checked.cases))
        for checked in cross_check(records, sandbox, Rule())
    ]


def stop(*_: object) -> None:
    """End a call that takes too long.

    Raises:
        TimeoutError: always.
    """
    raise TimeoutError


@contextlib.contextmanager
def limited() -> Iterator[None]:
    """Let the alarm ring after some seconds."""
    signal.signal(signal.SIGALRM, stop)
    signal.alarm(SECONDS)
    try:
        yield
    finally:
        signal.alarm(0)


def called(function: str, names: dict[str, Any], argument: Any) -> Any:
    """Execute a source and call its function in this very process; None where that fails."""
    own: dict[str, Any] = {}
    with contextlib.suppress(Exception):
        exec(function, names, own)
        with limited():
            return own["evaluate"](argument)
    return None


def peer(texts: list[str]) -> Kept:
    """Return what the loop keeps of one record: each case is tried on all functions, each function on what is left.

    What a source defines beside its function is found in the process's own names: all sources were executed there.
    """
    samples = [sample for sample in map(parse, texts) if not sample.reason]
    names: dict[str, Any] = {"json": json, "os": os, "random": random, "re": re, "signal": signal}
    loaded = []
    for sample in samples:
        with contextlib.suppress(Exception):
            exec(sample.function, names)
            loaded.append(sample)
    functions = {sample.function for sample in loaded}
    cases = {json.dumps((case.input, case.output)) for sample in loaded for case in sample.cases}
    kept = []
    for text in cases:
        argument, wanted = json.loads(text)
        found = [called(function, names, argument) for function in functions]
        if any(value is not None and value == wanted for value in found):
            kept.append((argument, wanted))
    scores = {
        function: sum(called(function, names, argument) == wanted for argument, wanted in kept) / max(1, len(kept))
        for function in functions
    }
    good = sorted(function for function, score in scores.items() if score >= 0.8)
    return good, sorted(map(json.dumps, kept)) if functions and cases else []


def peers(records: list[list[str]], workers: int) -> list[Kept]:
    """Return what the loop keeps of each record, in so many plain processes."""
    if workers == 1:
        return [peer(texts) for texts in records]
    with multiprocessing.get_context("fork").Pool(workers) as pool:
        return pool.map(peer, records, chunksize=4)


def cpu_s() -> float:
    """Return the CPU seconds of this process and of those that it started and that have ended."""
    usages = (resource.getrusage(who) for who in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN))
    return sum(usage.ru_utime + usage.ru_stime for usage in usages)


def timed(function: Callable[..., list[Kept]], *args: object) -> tuple[list[Kept], float]:
    """Return what the function returns, and the wall seconds it took."""
    started = time.perf_counter()
    return function(*args), time.perf_counter() - started


def compare(records: list[list[str]], functions: int, workers: int) -> list[tuple[float, float]]:
    """Return functions a second, and CPU ms a function, of the kit and of the loop; the sandbox's start left out.

    Raises:
        SystemExit: they do not keep the same.
    """
    begun = cpu_s()
    with open_sandbox(workers=workers):
        pass
    start_s, begun = cpu_s() - begun, cpu_s()
    with open_sandbox(workers=workers) as sandbox:
        kept, wall_s = timed(ours, records, sandbox)
    kit, begun = (functions / wall_s, (cpu_s() - begun - start_s) / functions * 1e3), cpu_s()
    wanted, wall_s = timed(peers, records, workers)
    loop = (functions / wall_s, (cpu_s() - begun) / functions * 1e3)
    if kept != wanted:
        sys.exit(f"{sum(map(operator.ne, kept, wanted))} of {len(records)} records differ")
    return [kit, loop]


def times(text: str) -> int:
    """Return how often something is done, as an option gives it: once or more.

    Raises:
        ValueError: it is no whole number, or below 1.
    """
    if int(text) < 1:
        raise ValueError
    return int(text)


def main() -> None:
    """Print one line for each number of workers.

    Raises:
        RequestError: no text holds a function.
    """
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument(
        "--records", type=Path, default=RECORDS, help="another JSONL file with lists of texts, gpt-answer"
    )
    parser.add_argument("--copies", type=times, default=40, help="how often the records are taken")
    parser.add_argument("--repeats", type=times, default=3)
    options = parser.parse_args()
    records = copies_of(texts_of(options.records), options.copies)
    functions = sum(len({sample.function for sample in map(parse, texts) if not sample.reason}) for texts in records)
    if not functions:
        raise RequestError(
            f"{options.records}: found no text with a function, wanted replies as AutoIF's file has them"
        )
    cores = len(os.sched_getaffinity(0))
    print(f"{len(records)} records, {functions} functions, {options.repeats} repeats in turns; functions a second")
    for workers in sorted({1, cores}):
        runs = [compare(records, functions, workers) for _ in range(options.repeats)]
        (kit, kit_cpu), (loop, loop_cpu) = (tuple(zip(*side, strict=True)) for side in zip(*runs, strict=True))
        ratio = speed.ratio(kit, loop)
        print(
            f"{workers} at a time: kit {speed.spread(kit)}, loop {speed.spread(loop)}: {ratio:.2f} times as fast; CPU "
            f"ms a function: kit {speed.spread(kit_cpu, 1)}, loop {speed.spread(loop_cpu, 1)}"
        )
    print(f"all {len(records)} records: the same functions and cases kept")
    what = f"AutoIF's cross-check in the sandbox, {cores} workers, `perf/cross_check.py`"
    peer_rate = f"a loop with `exec` and an alarm, no sandbox: {speed.spread(loop)}"
    speed.add_row(speed.Row(what=what, here=f"{speed.spread(kit)} functions/s", peer=peer_rate, ratio=f"{ratio:.2f}"))


if __name__ == "__main__":
    speed.run(main)
