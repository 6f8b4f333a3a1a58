"""A store as a whole smoke run leaves it, with texts of the test's own in the place of models'; no model is asked."""

import random
import shutil
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

from kit import metrics, registry
from kit.benchmarks import Grouped
from kit.benchmarks._results import results
from kit.measures import Measure
from kit.measures.ranking import kept_count
from kit.metrics._sums import results as metric_results
from kit.plan import Plan
from kit.records import Completion, Curve, Grade, Instruction, Pair, Probe, Score, Verdict, read_rows, write_rows
from kit.stages import data_path, input_instructions, input_pairs
from kit.store import Job, Store

BUNDLED = Path(__file__).resolve().parents[2] / "kit" / "bundled"
HOSTILE = (
    "</script><script>window.hacked = 1</script>",
    "<img src=x onerror='window.hacked = 1'> &lt;b&gt; {{ 7 * 7 }} {% raw %}",
    "right to left: \u202eevil\u202c, a zero width \u200b space, \x1b[31mred\x1b[0m \x07 bell",
    '=HYPERLINK("http://example.invalid")',
    "x" * 100_000,
    "half a character: \ud83d",
    "",
)
"""Texts that a model may write and that a page must show as text."""
MACHINE = {"cpu": "Test CPU", "cores": 2, "memory_bytes": 8 * 2**30, "system": "Linux 6", "gpus": ["Test GPU"]}
IMAGE = "sha256:" + "5" * 64
COMMIT = "c0ffee" * 6 + "c0ff"


def fill(store: Store, plan: Plan, *, hostile: bool = True, chance: float = 0.5) -> None:
    """Commit every job of a plan, each after its inputs."""
    for key, job in plan.jobs.items():
        write = WRITERS[job.stage]
        with store.lock(key), store.scratch(key) as out:
            inputs = {role: store.get(needed).folder for role, needed in job.inputs.items()}
            made = Made(job, inputs, out, random.Random(f"{key}{chance}"), hostile=hostile, chance=chance)
            rows = write(made)
            store.commit(job, out, rows=rows, facts=made.facts, provenance=provenance())


def provenance() -> dict[str, Any]:
    """Return what a job of these says of where and how it ran."""
    return {
        "commit": COMMIT,
        "dirty": False,
        "environment": "cpu",
        "image": IMAGE,
        "machine": MACHINE,
        "packages": {"torch": "2.13.0"},
        "python": "3.11.2",
        "started_at": "2026-11-01T12:00:00+00:00",
        "wall_s": 2.0,
        "gpus_held": 1,
        "gpu_held_s": 2.0,
    }


class Made:
    """One job that is being made up."""

    def __init__(
        self, job: Job, inputs: Mapping[str, Path], out: Path, dice: random.Random, *, hostile: bool, chance: float
    ) -> None:
        self.job, self.inputs, self.out, self.dice = job, inputs, out, dice
        self.hostile, self.chance = hostile, chance
        self.facts: dict[str, Any] = {}

    def text(self, number: int, words: str) -> str:
        """A text of a model: some of the first rows are hostile."""
        return f"{words} {HOSTILE[number]}" if self.hostile and number < len(HOSTILE) else f"{words} number {number}"

    def instructions(self) -> Sequence[Instruction]:
        """The instructions that the job reads."""
        side = self.inputs.get(f"side-{self.job.params.get('side')}")
        inputs = {"instructions": side} if side else dict(self.inputs)
        return input_instructions(self.job.params, inputs).rows


def fetched(made: Made) -> int:
    name = made.job.id.partition("/")[2]
    found = [path for path in BUNDLED.iterdir() if path.stem == name]
    for path in found:
        if path.is_dir():
            shutil.copytree(path, made.out, dirs_exist_ok=True)
        else:
            shutil.copy(path, made.out)
    return len(found) or model(made)


def model(made: Made) -> int:
    (made.out / "model.bin").write_text(made.job.id)
    return 1


def evolved(made: Made) -> int:
    rows = [
        Instruction(
            id=row.id,
            instruction=made.text(place, f"{row.instruction}, but harder"),
            input=row.input,
            operator="deepen",
        )
        for place, row in enumerate(made.instructions())
    ]
    return write_rows(made.out / "instructions.jsonl", rows)


def responded(made: Made) -> int:
    rows = [
        Pair(id=row.id, instruction=row.instruction, input=row.input, output=made.text(place, "A response"))
        for place, row in enumerate(made.instructions())
    ]
    return write_rows(made.out / "pairs.jsonl", rows)


def selected(made: Made) -> int:
    params = made.job.params
    pairs = input_pairs(params, made.inputs["pairs"], "select").rows
    made.facts = {"rows_read": len(pairs), "by": params["by"], "kept_fraction": params["kept_fraction"]}
    if "scores" in made.inputs:
        made.facts |= {"keeps": params["keeps"], "cut": 0.5, "equal_left_out": 0, "without_score": {}}
    return write_rows(made.out / "pairs.jsonl", pairs[: kept_count(params["kept_fraction"], len(pairs))])


def probed(made: Made) -> int:
    rows = [
        Probe(id=row.id, text=made.text(place, "A text"), probabilities=(0.5, 0.25))
        for place, row in enumerate(made.instructions())
    ]
    return write_rows(made.out / "probes.jsonl", rows)


def answered(made: Made) -> int:
    problems = registry.load("benchmarks", made.job.params["benchmark"]).read(data_path(made.inputs["data"]))
    rows = [
        Completion(id=problem.id, text=made.text(place, "An answer"), prompt_tokens=5, tokens=7, finish_reason="stop")
        for place, problem in enumerate(problems[: made.job.params["rows"]])
    ]
    return write_rows(made.out / "completions.jsonl", rows)


def judged(made: Made) -> int:
    if "completions" in made.inputs:
        benchmark = registry.load("benchmarks", made.job.params["benchmark"])
        ids = [row.id for row in benchmark.read(data_path(made.inputs["data"]))[: made.job.params["rows"]]]
    else:
        ids = row_ids(made)
    rows = [
        Verdict(id=f"{id}#1", label="Yes", text=made.text(place, "The judge says yes")) for place, id in enumerate(ids)
    ]
    return write_rows(made.out / "verdicts.jsonl", rows)


def graded(made: Made) -> int:
    benchmark = registry.load("benchmarks", made.job.params["benchmark"])
    problems = benchmark.read(data_path(made.inputs["data"]))[: made.job.params["rows"]]
    grades = []
    for place, problem in enumerate(problems):
        right = float(made.dice.random() < made.chance)
        scores = {metric: [right, 1] for metric in benchmark.METRICS}
        reason = "" if right else made.text(place, "it differs:")
        grades.append(Grade(id=problem.id, scores=scores, answer=made.text(place, "read"), reason=reason))
    write_rows(made.out / "grades.jsonl", grades)
    groups = {one.id: benchmark.group(one) for one in problems} if isinstance(benchmark, Grouped) else {}
    write_rows(made.out / "results.jsonl", results(grades, benchmark.METRICS, groups))
    write_rows(made.out / "curves.jsonl", [])
    return len(grades)


def row_ids(made: Made) -> list[str]:
    """The ids of the rows of an instruction set that a metric scores, or a judge is asked about."""
    if "probes" in made.inputs:
        return [row.id for row in read_rows(made.inputs["probes"] / "probes.jsonl", Probe)]
    if "pairs" in made.inputs:
        return [row.id for row in input_pairs(made.job.params, made.inputs["pairs"], "score").rows]
    return [row.id for row in made.instructions()]


def _value(measure: Measure, dice: random.Random) -> float:
    """A number that a measure allows: whole where it counts, else any of 0 to 1."""
    lowest = measure.bounds[0] or 0.0
    return lowest + (round(dice.random(), 3) if measure.kind.startswith("mean") else float(dice.random() < 0.5))


def scored(made: Made) -> int:
    metric = metrics.load(made.job.params["metric"])
    ids = row_ids(made)
    scores = [
        Score(id=id, values={name: _value(measure, made.dice) for name, measure in metric.METRICS.items()})
        for id in ids
    ]
    write_rows(made.out / "scores.jsonl", scores)
    write_rows(made.out / "results.jsonl", metric_results(scores, metric.METRICS))
    curves = [
        Curve(curve=name, group="", x=(0.0, 0.5, 1.0), y=(0.5, 1.0, 0.5), n=len(ids))
        for name in getattr(metric, "CURVES", {})
    ]
    write_rows(made.out / "curves.jsonl", curves)
    return len(ids)


WRITERS: Mapping[str, Callable[[Made], int]] = {
    "fetch": fetched,
    "convert": model,
    "sft": model,
    "evolve": evolved,
    "respond": responded,
    "select": selected,
    "probe": probed,
    "answer": answered,
    "judge": judged,
    "grade": graded,
    "score": scored,
}
"""Stage -> what makes up its output."""
