"""The same rows evolved in batches of other sizes and orders: the share of rows whose text differs.

    python perf/batch_effect.py [--model DIR] [--rows 12] [--max-tokens 32] [--engine vllm] [--engine transformers]

A request has a seed of its own and no row sees another, but the sums of one batch are added in another order than those
of the next, and where two tokens are almost as likely the last bit decides. Each row is asked for alone first. Then all
rows together, in their order, backwards and mixed; in fours; and in two halves, as two ranks would have them. Both ways
in which rows are evolved are measured, sampled at 0.7 as in the paper's runs and greedy. On a card whose vLLM has a
batch-invariant mode (a scale turns it on with batch_invariant = true under [engine]) that mode is measured too, and
the script ends with 1 if one text differs in it.
"""

import argparse
import json
import random
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

ROOT = Path(__file__).resolve().parents[1]
sys.path[0] = str(ROOT)  # this script's folder is no place to import from

from perf import speed  # noqa: E402

if TYPE_CHECKING:
    from kit.engines import Engine, Request, Sampling
    from kit.records import Completion

ENGINES = ("vllm", "transformers")
SCENARIOS = ("evol_instruct", "auto_evol_instruct")
INVARIANT_CAPABILITY = (8, 0)
"""Lowest compute capability of a card for which the code of vLLM 0.32.0 has the mode (batch_invariant.py)."""
Batches = list[list[int]]


def arrangements(count: int) -> dict[str, Batches]:
    """Return the ways in which rows are put into batches: name -> positions of each batch's rows, in order."""
    rows = list(range(count))
    mixed = random.Random(42).sample(rows, count)
    half = (count + 1) // 2
    return {
        "alone": [[row] for row in rows],
        "together": [rows],
        "backwards": [rows[::-1]],
        "mixed": [mixed],
        "in fours": [rows[first : first + 4] for first in range(0, count, 4)],
        "in halves": [part for part in (rows[:half], rows[half:]) if part],
    }


def differing(texts: Sequence[str], others: Sequence[str]) -> int:
    """Return how many rows have another text."""
    return sum(one != other for one, other in zip(texts, others, strict=True))


@dataclass(kw_only=True)
class Asked:
    """Tools of a scenario's step that keep its requests and give empty texts."""

    pack: object
    """The kit's wording."""
    requests: "Sequence[Request]" = ()
    """Requests of the step."""

    def generate(self, requests: "Sequence[Request]") -> "list[Completion]":
        """Keep the requests, and answer each with an empty text."""
        from kit.records import Completion

        self.requests = requests
        return [Completion(id=request.id, text="", finish_reason="stop") for request in requests]


def requests_of(scenario: str, count: int) -> "Sequence[Request]":
    """Return what a scenario asks of the evolver for the first bundled seeds."""
    from kit import prompts, registry
    from kit.files.seeds import read_instructions
    from kit.scenarios import Work, steps_of

    rows = read_instructions(registry.PACKAGE / "bundled" / "mini-alpaca.json", "alpaca", "alpaca", count)
    asked = Asked(pack=prompts.load("kit"))
    first = next(iter(steps_of(scenario).values()))
    first.run(Work(rows=rows, params={"round": 1, "breadth": True, "seed": 42}), asked)  # type: ignore[arg-type]
    return asked.requests


def texts_of(engine: "Engine", requests: "Sequence[Request]", sampling: "Sampling", batches: Batches) -> dict[int, str]:
    """Return the text of each row, by its position; the batches are asked for one after another."""
    found: dict[int, str] = {}
    for batch in batches:
        done = engine.generate([requests[row] for row in batch], sampling)
        found |= {row: completion.text for row, completion in zip(batch, done, strict=True)}
    return found


def measure(
    engine: "Engine", requests_by: "Callable[[str], Sequence[Request]]", max_tokens: int
) -> Iterator[tuple[str, str, dict[str, int], int]]:
    """Yield for each scenario and sampling how many rows differ from those asked for alone, by arrangement."""
    from kit.engines import Sampling

    samplings = {
        "sampled": Sampling(temperature=0.7, top_p=0.95, max_tokens=max_tokens),
        "greedy": Sampling(max_tokens=max_tokens),
    }
    for scenario in SCENARIOS:
        requests = requests_by(scenario)
        for name, sampling in samplings.items():
            texts = {
                how: [text for _, text in sorted(texts_of(engine, requests, sampling, batches).items())]
                for how, batches in arrangements(len(requests)).items()
            }
            alone = texts.pop("alone")
            yield scenario, name, {how: differing(alone, found) for how, found in texts.items()}, len(alone)


def run_side(side: str, model: Path, rows: int, max_tokens: int) -> None:
    """Measure one engine in this process, and print each result as a line of JSON."""
    import torch

    from kit import registry
    from kit.engines import EngineSettings

    name, _, mode = side.partition(" ")
    dtype = "bfloat16" if torch.cuda.is_available() else "float32"
    settings = EngineSettings(
        name=name, dtype=dtype, max_model_len=1024, max_num_seqs=rows, batch_invariant=mode == "batch-invariant"
    )
    engine: Engine = registry.load("engines", name).open(model, settings)
    for found in measure(engine, lambda scenario: requests_of(scenario, rows), max_tokens):
        print(json.dumps(found), flush=True)
    engine.close()


def sides_here(engines: Sequence[str]) -> list[str]:
    """Return the engines to measure, with vLLM's batch-invariant mode where a card has it; a line says where not."""
    import torch

    if "vllm" in engines:
        if torch.cuda.is_available() and torch.cuda.get_device_capability() >= INVARIANT_CAPABILITY:
            return [*engines, "vllm batch-invariant"]
        here = torch.cuda.get_device_name() if torch.cuda.is_available() else "a CPU"
        print(f"left out on {here}: vLLM's batch-invariant mode, which takes a card of compute capability 8.0 or more")
    return list(engines)


def report(side: str, scenario: str, sampling: str, counts: Mapping[str, int], rows: int) -> None:
    """Print the share of rows that differ, and a line for README's table."""
    shares = ", ".join(f"{how} {count / rows:.1%} ({count} of {rows})" for how, count in counts.items())
    print(f"{side}, {scenario}, {sampling}: rows that differ from those asked for alone: {shares}", flush=True)
    most = max(counts.values())
    speed.add_row(
        speed.Row(
            what=f"{scenario}, {sampling}: rows whose text differs with the batch ({side}), `perf/batch_effect.py`",
            here=f"{most} of {rows} at most",
        )
    )


def compare(model: Path, engines: Sequence[str], rows: int, max_tokens: int) -> None:
    """Measure each engine in a process of its own; end with 1 where a text differs in the batch-invariant mode."""
    broken = False
    for side in sides_here(engines):
        command = [sys.executable, __file__, "--model", str(model), "--side", side]
        command += ["--rows", str(rows), "--max-tokens", str(max_tokens)]
        with (
            tempfile.TemporaryFile("w+") as errors,
            subprocess.Popen(command, stdout=subprocess.PIPE, stderr=errors, text=True) as process,
        ):
            assert process.stdout is not None
            for line in process.stdout:  # each is shown as it comes: a CPU takes minutes for one
                if line.startswith("["):
                    scenario, sampling, counts, count = json.loads(line)
                    report(side, scenario, sampling, counts, count)
                    broken |= side.endswith("batch-invariant") and any(counts.values())
            if process.wait():
                errors.seek(0)
                sys.exit(f"{side}: the run failed\n{errors.read()}")
    sys.exit(broken)


def main() -> None:
    """Run one engine where it is named as a side, else all of them."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--model", type=Path, help="a model's folder; without it, SmolLM2 in .cache/")
    parser.add_argument("--rows", type=int, default=12, help="of the 12 bundled seeds")
    parser.add_argument("--max-tokens", type=int, default=32)
    parser.add_argument("--engine", choices=ENGINES, action="append", help="an engine; both by default")
    parser.add_argument("--side", help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.side:
        run_side(options.side, options.model, options.rows, options.max_tokens)
        return
    engines = options.engine or list(ENGINES)
    speed.need_packages(*engines, "torch")
    compare(speed.model(options.model), engines, options.rows, options.max_tokens)


if __name__ == "__main__":
    speed.run(main)
