"""How well answers are read: the ``default`` protocol of GSM8K and MATH beside math-verify, on labelled sets.

    python perf/readings_compared.py [--data ../shared/data] [--rows N] [--only WORD] [--before COMMIT]

Prints a Markdown table: sets, completions, how many verdicts agree with the labels, and the seconds of each reading.
``--before`` adds the readings of a commit of this repository. "both" calls right what that commit (without one,
``default``) or math-verify calls right. GSM8K: real solutions with the authors' labels, as they
are and with the last line ("A: 18") in other words. MATH: each reference answer in several wordings, which is right,
and another problem's, which counts as wrong.
"""

import argparse
import json
import os
import random
import re
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parents[1]
GSM8K = ("gsm8k/test.jsonl", "gsm8k/example_model_solutions_finetuning.jsonl")
MATH = ("math/test.jsonl",)
LAST_LINES = {
    "as they are": r"A: \1",
    "`#### N`": r"#### \1",
    "a box and words after it": r"That makes $\\boxed{\1}$ in 4 weeks, at $3 a piece.",
    "`The answer is N.`": r"The answer is \1.",
    r"`\(N\)`, then words": r"The answer is \\(\1\\). I hope that helps in all 3 cases.",
}
WORDINGS = {
    r"`$\boxed{X}$`": r"So the answer is $\boxed{%s}$.",
    "`The answer is $X$.`": "The answer is $%s$.",
    "`The answer is X.`": "The answer is %s.",
    r"`\[X\]` last": "We find\n\\[\n%s\n\\]",
    "`$$X$$` last": "The final answer is:\n$$\n%s\n$$",
    r"`\(X\)` last": r"so we get \(%s\)",
    "`#### X`": "#### %s",
    "`X`": "%s",
}


def lines(path: Path) -> list[dict[str, Any]]:
    """The objects of a JSONL file."""
    return [json.loads(line) for line in path.read_text(encoding="utf-8").splitlines()]


def gsm8k_sets(data: Path, rows: int | None) -> Iterator[dict[str, Any]]:
    """Real solutions with labels, one set a model and wording."""
    problems, solutions = (lines(data / name)[:rows] for name in GSM8K)
    models = [name for name, value in solutions[0].items() if isinstance(value, dict)]
    for model in models:
        labels = [bool(row[model]["is_correct"]) for row in solutions]
        for wording, last in LAST_LINES.items():
            texts = [re.sub(r"(?m)^A: (.*)\Z", last, row[model]["solution"]) for row in solutions]
            name = f"GSM8K, {model.removesuffix('_finetuning')}, {wording}"
            yield {"name": name, "benchmark": "gsm8k", "problems": problems, "texts": texts, "labels": labels}


def math_sets(data: Path, rows: int | None, boxed: Callable[[str], str | None]) -> Iterator[dict[str, Any]]:
    """The references in several wordings, and those of other problems."""
    problems = lines(data / MATH[0])
    answers = [boxed(row["solution"]) or "" for row in problems]
    chance = random.Random(0)
    others = [another(answers, own, chance) for own in answers]
    for wording, form in WORDINGS.items():
        for kind, given in (("right", answers), ("wrong", others)):
            texts = [form.replace("%s", answer) for answer in given[:rows]]
            name = f"MATH, {wording}, {kind}"
            labels = [kind == "right"] * len(texts)
            yield {"name": name, "benchmark": "math", "problems": problems[:rows], "texts": texts, "labels": labels}


def another(answers: list[str], own: str, chance: random.Random) -> str:
    """An answer that is not this one, drawn from all."""
    while (found := chance.choice(answers)) == own:
        pass
    return found


def ours(one: dict[str, Any]) -> list[bool]:
    """The verdicts of the kit that Python finds."""
    from kit import registry
    from kit.records import Problem

    module = registry.load("benchmarks", {"math": "hendrycks_math"}.get(one["benchmark"], one["benchmark"]))
    problems = [Problem(id=str(place), data=row) for place, row in enumerate(one["problems"])]
    return [
        bool(next(iter(grade.scores.values()))[0]) for grade in module.grade(problems, one["texts"], "default", None)
    ]


def library(one: dict[str, Any]) -> list[bool]:
    """The verdicts of math-verify as its users call it."""
    from math_verify import parse, verify

    from kit.benchmarks._latex import boxed

    verdicts = []
    for problem, text in zip(one["problems"], one["texts"], strict=True):
        wanted = (
            f"${boxed(problem['solution'])}$" if one["benchmark"] == "math" else problem["answer"].split("#### ")[1]
        )
        verdicts.append(verify(parse(wanted), parse(text)))
    return verdicts


def measured(reading: str, tree: Path, one: dict[str, Any]) -> tuple[list[bool], float]:
    """The verdicts of a reading, in a process of its own, with the kit of a tree; and its CPU seconds."""
    done = subprocess.run(
        [sys.executable, __file__, "--reading", reading],
        env={**os.environ, "PYTHONPATH": str(tree)},
        input=json.dumps(one),
        stdout=subprocess.PIPE,
        text=True,
        check=True,
    )
    answer = json.loads(done.stdout)
    return answer["verdicts"], answer["cpu_s"]


def checkout(commit: str, folder: str) -> Path:
    """The kit of a commit, in a folder."""
    archive = subprocess.run(["git", "-C", str(ROOT), "archive", commit, "kit"], check=True, stdout=subprocess.PIPE)
    subprocess.run(["tar", "-x", "-C", folder], input=archive.stdout, check=True)
    return Path(folder)


def answer_one(reading: str) -> None:
    """Read a set from stdin, write its verdicts and CPU seconds, those of child processes too, to stdout."""
    one = json.load(sys.stdin)
    verdicts = {"ours": ours, "library": library}[reading](one)
    used = os.times()
    print(
        json.dumps({"verdicts": verdicts, "cpu_s": used.user + used.system + used.children_user + used.children_system})
    )


def compare(data: Path, rows: int | None, only: str, before: str | None) -> None:
    """Print the table, a row as soon as it is known."""
    from kit.benchmarks._latex import boxed

    with tempfile.TemporaryDirectory() as folder:
        readings = {f"{before}": ("ours", checkout(before, folder))} if before else {}
        readings |= {"math-verify": ("library", ROOT), "default": ("ours", ROOT)}
        columns = [*([before] if before else []), "math-verify", "both", "default"]
        print(f"| set | n | {' | '.join(columns)} | seconds |")
        print(f"| --- | --- | {' | '.join('---' for _ in columns)} | --- |")
        for one in (*gsm8k_sets(data, rows), *math_sets(data, rows, boxed)):
            if only not in one["name"]:
                continue
            found, seconds = {}, []
            for reading, (kind, tree) in readings.items():
                found[reading], cpu_s = measured(kind, tree, one)
                seconds.append(f"{cpu_s:.0f}")
            pair = (found[before or "default"], found["math-verify"])
            found["both"] = [first or second for first, second in zip(*pair, strict=True)]
            cells = [f"{agreeing(found[column], one['labels']):,}" for column in columns]
            print(f"| {one['name']} | {len(one['texts']):,} | {' | '.join(cells)} | {', '.join(seconds)} |", flush=True)


def agreeing(verdicts: list[bool], labels: list[bool]) -> int:
    """Return how many verdicts are as the labels."""
    return sum(verdict == label for verdict, label in zip(verdicts, labels, strict=True))


def main() -> int:
    """Compare, or answer for one reading; 2 where the data is missing."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, default=ROOT.parent / "shared" / "data")
    parser.add_argument("--rows", type=int, help="the first N of each set")
    parser.add_argument("--only", metavar="WORD", default="", help="the sets whose names hold this")
    parser.add_argument("--before", metavar="COMMIT", help="compare with the readings of this commit too")
    parser.add_argument("--reading", choices=["ours", "library"], help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.reading:
        answer_one(options.reading)
        return 0
    if missing := [name for name in (*GSM8K, *MATH) if not (options.data / name).exists()]:
        print(f"error: {options.data}: no {', '.join(missing)}; name the folder that has them: --data", file=sys.stderr)
        return 2
    compare(options.data, options.rows, options.only, options.before)
    return 0


if __name__ == "__main__":
    started = time.perf_counter()
    status = main()
    if "--reading" not in sys.argv and status == 0:
        print(f"\n{time.perf_counter() - started:.0f} s in all", file=sys.stderr)
    sys.exit(status)
