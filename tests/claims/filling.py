"""Fill a store with gradings and scores of a plan, as if a run had given them, and judge the claims by it."""

import random
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

from kit.benchmarks._results import results
from kit.catalogue.claims import Average, Claim
from kit.catalogue.views import measures_of
from kit.claims import Judgement, claims_of, on_results
from kit.metrics._sums import results as metric_results
from kit.plan import Plan
from kit.plan.planning import plan_tables
from kit.records import Grade, Score, write_rows
from kit.report import Grid, make_grid
from kit.store import Job, Store

SMALL, LARGE = "llama-3.1-8b-instruct", "llama-3.1-70b-instruct"
Scores = Mapping[str, tuple[float, float]]
"""Metric -> units right, units judged."""
Answers = Callable[[Job, Mapping[str, object]], Mapping[str, Scores]]
"""Function from a job and the coordinates of a cell to the scores of each item; no items leave the job out."""


def fill(store: Store, plan: Plan, answers: Answers) -> None:
    """Commit the measuring job of each cell of a plan with the items that ``answers`` gives it."""
    columns = {name: table.columns for name, table in plan.tables.items()}
    for name, cells in plan.cells.items():
        for number, address in enumerate(cells):
            benchmark = columns[name][number % len(columns[name])].benchmark
            for key in address.keys:
                if not store.has(key) and (items := answers(plan.jobs[key], address.at)):
                    commit(store, plan.jobs[key], benchmark, items)


def commit(
    store: Store, job: Job, benchmark: str, items: Mapping[str, Scores], groups: Mapping[str, str] | None = None
) -> None:
    """Commit one job of stage ``grade`` or ``score``: its items, and the results that follow from them."""
    measures = measures_of(benchmark)
    with store.lock(job.key), store.scratch(job.key) as out:
        if job.stage == "score":
            scores = [Score(id=id, values={name: s[0] for name, s in found.items()}) for id, found in items.items()]
            write_rows(out / "scores.jsonl", scores)
            write_rows(out / "results.jsonl", metric_results(scores, measures))
            write_rows(out / "curves.jsonl", [])
        else:
            grades = [Grade(id=id, scores={name: list(s) for name, s in found.items()}) for id, found in items.items()]
            known = {
                name: measure for name, measure in measures.items() if any(name in found for found in items.values())
            }
            write_rows(out / "grades.jsonl", grades)
            write_rows(out / "results.jsonl", results(grades, known, groups))
        store.commit(job, out, rows=len(items), facts={}, provenance={})


def new_store(folder: Path) -> Store:
    """Return an empty store in a folder of its own."""
    return Store.open(folder / "store")


IFEVAL = {
    "ifeval_prompt_strict": 1,
    "ifeval_instruction_strict": 2,
    "ifeval_prompt_loose": 1,
    "ifeval_instruction_loose": 2,
}
"""Metric of IFEval -> units of each prompt here."""
METRICS: Mapping[str, Mapping[str, int]] = {
    "ifeval": IFEVAL,
    "gsm8k": {"gsm8k": 1},
    "hendrycks_math": {"math": 1},
    "humaneval": {"humaneval": 1},
    "mbpp": {"mbpp": 1},
}
ITEMS = 60


def answered(small: float, large: float, seed: int = 1) -> Answers:
    """Return answers of which so large a share is right, each drawn for its item, its evolver and its base."""

    def answers(job: Job, at: Mapping[str, object]) -> Mapping[str, Scores]:
        chance = random.Random(f"{seed} {job.params['benchmark']} {at.get('evolver')} {at.get('base')}")
        right = {SMALL: small, LARGE: large}[str(at["evolver"])]
        metrics = METRICS[str(job.params["benchmark"])]
        return {
            f"i{number}": {
                name: (float(sum(chance.random() < right for _ in range(units))), float(units))
                for name, units in metrics.items()
            }
            for number in range(ITEMS)
        }

    return answers


def own_manifest(folder: Path, seeds: str, benchmarks: Sequence[str] = ("gsm8k",)) -> Plan:
    """Return the plan of a table of one's own with some training seeds: two evolvers, two bases, some benchmarks."""
    names = ", ".join(f'"{name}"' for name in benchmarks)
    text = f"""
schema = 1
scale = "smoke"
[[experiment]]
id = "own"
scenario = "evol_instruct"
seeds = "alpaca"
evolver = ["{SMALL}", "{LARGE}"]
responder = "qwen-2.5-72b-instruct"
base = ["llama-3.2-3b", "llama-3-8b"]
round = 1
seed = {seeds}
benchmarks = [{names}]
evolve = {{ temperature = 0.7, max_tokens = 64 }}
respond = {{ temperature = 0.0, max_tokens = 64 }}
[experiment.sft]
learning_rate = 1.0e-5
epochs = 1
global_batch_size = 4
warmup_ratio = 0.0
max_length_tokens = 64
[[view]]
id = "v"
rows = {{ evolver = ["{SMALL}", "{LARGE}"], base = ["llama-3.2-3b", "llama-3-8b"] }}
columns = [{{ measures = [{names}] }}]
"""
    (folder / "own.toml").write_text(text, encoding="utf-8")
    return plan_tables([str(folder / "own.toml")], "auto")


def claim_on(table: str, over: list[str], replicates: str = "sample") -> Claim:
    side = {"table": table, "better": {"evolver": SMALL}, "worse": {"evolver": LARGE}}
    average = Average.model_validate({"of": [side], "over": over, "replicates": replicates})
    return Claim(id="own", says="It is so.", where="1", known_from="text", family="scenarios", average=average)


def seeded(plan: Plan, store: Store, rights: Mapping[str, list[list[int]]], benchmark: str = "gsm8k") -> None:
    """Commit 100 items for each cell and seed of a benchmark, of which so many are right: evolver -> base -> seed."""
    (name,) = plan.cells
    bases = ["llama-3.2-3b", "llama-3-8b"]
    for address in plan.cells[name]:
        if address.column != benchmark:
            continue
        counts = rights[str(address.at["evolver"])][bases.index(str(address.at["base"]))]
        for key, right in zip(address.keys, counts, strict=True):
            items = {f"i{n}": {benchmark: (float(n < right), 1.0)} for n in range(100)}
            commit(store, plan.jobs[key], benchmark, items)


def judged(
    folder: Path, tables: list[str], answers: Answers, scale: str = "paper"
) -> tuple[dict[str, Judgement], list[Grid], Store]:
    plan, store = plan_tables(tables, scale), new_store(folder)
    fill(store, plan, answers)
    grids = [make_grid(name, plan, store) for name in plan.tables]
    return {one.claim.id: one for one in on_results(claims_of(), grids, store)}, grids, store
