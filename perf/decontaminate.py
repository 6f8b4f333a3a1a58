"""How many training rows a second are compared with all test items: here, with plain sets, and by lm-eval's Janitor.

    python perf/decontaminate.py [--data ../shared/data] [--rows 100000] [--peer-rows 10000] [--repeats 3]

The rows are Alpaca's, GSM8K's and Code Alpaca's training rows as they are, again and again up to the number asked for
(in a lone clone: seed tasks and solutions). The items are those of IFEval, GSM8K, MATH, HumanEval, MBPP and MMLU that
the folder has. "plain sets" makes the same grams as tuples and looks each up in a dictionary; it has to name the same
rows. The Janitor of lm-eval 0.4.13 (its Python side, 8-grams) answers a smaller question: which parts of a row are in
any item. It and the plain sets go through fewer rows; one process each, in turns.
"""

import argparse
import contextlib
import importlib.util
import io
import json
import sys
import time
from collections import Counter, defaultdict
from collections.abc import Callable, Sequence
from importlib.metadata import distribution
from itertools import chain, cycle, islice
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parents[1]
sys.path[0] = str(ROOT)  # this script's folder is no place to import from

from kit import registry  # noqa: E402
from kit.files.rowfiles import objects  # noqa: E402
from kit.overlap import GRAM, SHARE  # noqa: E402
from kit.overlap.index import Index, grams  # noqa: E402
from kit.overlap.items import items_of  # noqa: E402
from kit.overlap.words import texts_of, words  # noqa: E402
from perf import speed  # noqa: E402

DATA = ROOT.parent / "shared" / "data"
TESTS = {
    "ifeval": ("ifeval/input_data.jsonl", "ifeval/input_data_before_2024-06-11.jsonl"),
    "gsm8k": ("gsm8k/test.jsonl",),
    "hendrycks_math": ("math/test.jsonl",),
    "humaneval": ("humaneval/HumanEval.jsonl.gz",),
    "mbpp": ("mbpp/mbpp.jsonl",),
    "mmlu": ("mmlu/mmlu_stem_test.jsonl",),
}
"""Benchmark -> its file; of two the first that is there."""
TRAINING = ("alpaca/random_9k.json", "gsm8k/train.jsonl", "code_alpaca/code_alpaca_2k.json")
WITHOUT = ("self_instruct/seed_tasks.jsonl", "gsm8k/example_model_solutions_finetuning.jsonl")
"""Rows for a folder that has no training set."""


def test_texts(data: Path) -> list[str]:
    """Return the texts of all test items that the folder has."""
    found = []
    for benchmark, names in TESTS.items():
        if path := next((data / name for name in names if (data / name).exists()), None):
            items = items_of(benchmark, registry.load("benchmarks", benchmark).read(path))
            found += [item.text for item in items]
    return found


def training_rows(data: Path, count: int) -> list[list[str]]:
    """Return the texts of so many training rows."""
    names = [name for name in TRAINING if (data / name).exists()] or list(WITHOUT)
    rows = [texts_of(record) for name in names for _, record in objects(speed.need_file(data / name, "--data"))]
    return list(islice(cycle(rows), count))


def ours(tests: Sequence[str], rows: Sequence[Sequence[str]]) -> set[int]:
    """Return the rows that repeat an item, as ``kit decontaminate`` finds them."""
    return {match.row for match in Index(tests).find(rows)}


def plain_sets(tests: Sequence[str], rows: Sequence[Sequence[str]]) -> set[int]:
    """Return the rows that repeat an item, with grams as tuples in a dictionary."""
    spoken = [words(text) for text in tests]
    own = [grams(text) for text in spoken]
    holders: dict[Any, list[int]] = defaultdict(list)
    for item, found in enumerate(own):
        for gram in found:
            holders[gram].append(item)
    short = {tuple(text) for text in spoken if 0 < len(text) < GRAM}
    repeating = set()
    for row, texts in enumerate(rows):
        said = [words(text) for text in texts]
        shared = Counter(item for gram in set().union(*map(grams, said)) for item in holders.get(gram, ()))
        if any(count > SHARE * len(own[item]) for item, count in shared.items()) or short & set(map(tuple, said)):
            repeating.add(row)
    return repeating


def janitor(tests: Sequence[str], rows: Sequence[Sequence[str]]) -> set[int]:
    """Return the rows of which lm-eval's Janitor takes something away."""
    path = Path(str(distribution("lm-eval").locate_file("lm_eval/decontamination/janitor.py")))
    spec = importlib.util.spec_from_file_location("janitor", path)
    assert spec and spec.loader
    module = importlib.util.module_from_spec(spec)
    with contextlib.redirect_stdout(io.StringIO()), contextlib.redirect_stderr(io.StringIO()):
        spec.loader.exec_module(module)  # it says that its C++ side was never built
    cleaner = module.Janitor(ngram_n=GRAM, too_dirty_cutoff=10**9, minimum_slice_length=0)
    for text in tests:
        cleaner.register_contaminant_python(text)
    return {row for row, texts in enumerate(rows) if any(cleaner.clean_python(text) != [text] for text in texts)}


def timed(find: Callable[..., set[int]], tests: Sequence[str], rows: Sequence[Sequence[str]]) -> tuple[set[int], float]:
    """Return what a side finds, and its rows a second, with the time that it takes to read the items."""
    started = time.perf_counter()
    found = find(tests, rows)
    return found, len(rows) / (time.perf_counter() - started)


def main() -> None:
    """Print one line a side, and the table's rows."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, default=DATA if DATA.is_dir() else speed.SAMPLE, help="the data's folder")
    parser.add_argument("--rows", type=int, default=100_000)
    parser.add_argument("--peer-rows", type=int, default=10_000)
    parser.add_argument("--repeats", type=int, default=3)
    options = parser.parse_args()
    speed.need_packages("numpy", "lm_eval")
    tests, rows = test_texts(options.data), training_rows(options.data, options.rows)
    few = rows[: options.peer_rows]
    length = sum(len(words(text)) for text in chain.from_iterable(few)) / len(few)
    print(f"{len(rows):,} rows of {length:.0f} words, {len(tests):,} test items")
    rates: dict[str, list[float]] = {"kit": [], "plain sets": [], "lm-eval's Janitor": []}
    for _ in range(options.repeats):
        found, rate = timed(ours, tests, rows)
        rates["kit"].append(rate)
        same, rate = timed(plain_sets, tests, few)
        rates["plain sets"].append(rate)
        if {row for row in found if row < len(few)} != same:
            print("error: the kit and plain sets name other rows", file=sys.stderr)
            sys.exit(1)
        _, rate = timed(janitor, tests, few)
        rates["lm-eval's Janitor"].append(rate)
    print(
        json.dumps(
            {"repeating": len(found), "rows_per_s": {name: list(map(round, some)) for name, some in rates.items()}}
        )
    )
    what = f"training rows against {len(tests):,} test items, `perf/decontaminate.py`"
    for peer in ("plain sets", "lm-eval's Janitor"):
        speed.add_row(
            speed.Row(
                what=what,
                here=f"{speed.spread(rates['kit'])} rows/s",
                peer=f"{peer}: {speed.spread(rates[peer])}",
                ratio=f"{speed.ratio(rates['kit'], rates[peer]):.1f} times as fast",
            )
        )


if __name__ == "__main__":
    speed.run(main)
