"""Our IFD scores of a published IFD selection beside those of a random sample: does the selection stand out?

    python perf/published_selection.py [--data ../shared/data] [--model DIR] [--rows 3111] [--folder F]

The selection is ``cherry_alpaca_5_percent.json`` of tianyi-lab/Cherry_LLM: the Alpaca rows to which the IFD authors'
LLaMA-7B gave the highest IFD below 1. Of its rows and of as many others of Alpaca, drawn at random, `kit score ifd`
scores the joint set. It prints the deciles of both, the share of the published rows that the top half of the joint set
holds, and how often a published row has a higher score than a random one. A chance selection would have 50 % of both.
All rows take an hour on two cores; with ``--folder``, a run that was ended goes on from its last part.
"""

import argparse
import json
import random
import statistics
import subprocess
import sys
import tempfile
from bisect import bisect_left, bisect_right
from collections.abc import Sequence
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parents[1]
sys.path[0] = str(ROOT)  # this script's folder is no place to import from

from kit.errors import RequestError  # noqa: E402
from perf import speed  # noqa: E402

DATA = ROOT.parent / "shared" / "data"
PUBLISHED = "alpaca/cherry_alpaca_5_percent.json"
SAMPLE = "alpaca/random_9k.json"
SETS = ("published", "random")
METRICS = ("ifd", "ic_ifd")


def joint_set(data: Path, rows: int | None, seed: int) -> list[dict[str, Any]]:
    """Return rows of the published selection and as many rows of Alpaca that are not in it, in a random order.

    Args:
        data: folder of the public data.
        rows: how many of each; all published rows by default.
        seed: of the draws.

    Raises:
        RequestError: a file is not there, or holds fewer rows.
    """
    published, sample = (
        json.loads(speed.need_file(data / name, "--data").read_text(encoding="utf-8")) for name in (PUBLISHED, SAMPLE)
    )
    chosen = {(row["instruction"], row["input"]) for row in published}
    others = [row for row in sample if (row["instruction"], row["input"]) not in chosen]
    count = len(published) if rows is None else rows
    if not 1 <= count <= min(len(published), len(others)):
        raise RequestError(f"--rows: found {count}, wanted 1 to {min(len(published), len(others))}")
    draw = random.Random(seed)
    joint = [{**row, "set": name} for name, part in zip(SETS, (published, others), strict=True)
             for row in draw.sample(part, count)]  # fmt: skip
    draw.shuffle(joint)
    return joint


def score(joint: Sequence[dict[str, Any]], model: Path, folder: Path) -> list[dict[str, Any]]:
    """Score the joint set with `kit score ifd` and return its rows with their scores.

    Args:
        joint: rows of both sets.
        model: folder of the model that scores.
        folder: where the joint set, the store and the scored set are written; what its store has is not scored again.

    Raises:
        RequestError: the folder holds another joint set.
    """
    data, out = folder / "joint.json", folder / "scored.json"
    text = json.dumps(joint, ensure_ascii=False)
    if data.exists() and data.read_text(encoding="utf-8") != text:
        raise RequestError(f"--folder: {data} holds other rows, of another --rows or --seed; name another folder")
    folder.mkdir(parents=True, exist_ok=True)
    data.write_text(text, encoding="utf-8")
    out.unlink(missing_ok=True)
    command = [str(Path(sys.executable).parent / "kit"), "score", "ifd", "--data", str(data), "--model", str(model)]
    command += ["--out", str(out), "--store", str(folder / "store")]
    if subprocess.run(command, check=False, cwd=ROOT).returncode:
        sys.exit("the scoring failed")
    found: list[dict[str, Any]] = json.loads(out.read_text(encoding="utf-8"))
    return found


def share_higher(ones: Sequence[float], others: Sequence[float]) -> float:
    """Return the share of all pairs in which the first set's score is higher; an equal score counts half."""
    ordered = sorted(others)
    higher = sum(bisect_left(ordered, one) + bisect_right(ordered, one) for one in ones)
    return higher / (2 * len(ones) * len(others))


def share_in_top_half(rows: Sequence[dict[str, Any]], metric: str) -> float:
    """Return the share of the published rows that the higher half of the scored rows holds; of equal ones the first."""
    order = sorted(rows, key=lambda row: -row[metric])  # stable: of equal scores the first in the file
    top = order[: len(order) // 2]
    return sum(row["set"] == SETS[0] for row in top) / sum(row["set"] == SETS[0] for row in rows)


def show(rows: Sequence[dict[str, Any]], metric: str) -> None:
    """Print the deciles of both sets and how far they lie apart."""
    scored = [row for row in rows if isinstance(row.get(metric), float)]
    values = {name: [row[metric] for row in scored if row["set"] == name] for name in SETS}
    print(f"\n{metric}, deciles 10 % to 90 %")
    for name, found in values.items():
        deciles = " ".join(f"{value:.3f}" for value in statistics.quantiles(found, n=10))
        left_out = sum(row["set"] == name for row in rows) - len(found)
        print(f"  {name:9}  {deciles}   {len(found):,} rows, {left_out} left out")
    print(f"  published rows in the top half of the joint set: {share_in_top_half(scored, metric):.1%}")
    print(f"  a published row is above a random one: {share_higher(*values.values()):.1%} of pairs")


def main() -> None:
    """Score both sets and print what was found, for IFD and IC-IFD."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, default=DATA, help=f"folder that holds {PUBLISHED} and {SAMPLE}")
    parser.add_argument("--model", type=Path, help="a model folder; without it, SmolLM2 in .cache/")
    parser.add_argument("--rows", type=int, help="of each set; all published rows by default")
    parser.add_argument("--seed", type=int, default=42)
    parser.add_argument("--folder", type=Path, help="keeps the joint set, its store and its scores, to go on there")
    options = parser.parse_args()
    speed.need_packages("torch", "transformers")
    joint = joint_set(options.data, options.rows, options.seed)
    model = speed.model(options.model)
    with tempfile.TemporaryDirectory() as folder:
        rows = score(joint, model, (options.folder or Path(folder)).absolute())
    print(f"scoring model: {model.name}")
    for metric in METRICS:
        show(rows, metric)


if __name__ == "__main__":
    speed.run(main)
