"""Stage ``probe``: it asks as the stage ``evolve`` does, keeps each token's probability, and refuses what it can't."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest

from kit.catalogue import Catalogue, manifests_folder
from kit.catalogue.experiments import Experiment
from kit.catalogue.manifest import ColumnGroup, View
from kit.catalogue.scales import MetricRows
from kit.engines import TOO_LONG, ScoredCompletion
from kit.errors import RequestError
from kit.plan import Plan
from kit.plan.planner import make_plan
from kit.plan.planning import locks
from kit.records import Completion, Instruction, Probe, read_rows, write_rows
from kit.run.worker import JobContext
from kit.stages import evolve, probe
from kit.store import Job

EVOLVER = "llama-3.1-8b-instruct"


def planned(
    experiment: str = "token-probabilities", measure: str = "token_prob", rows: int | None = None, **changes: Any
) -> Plan:
    """Return the plan of one measure at the smoke scale with the fake engine.

    Args:
        experiment: id of the experiment of the kit that is changed.
        measure: the table's column.
        rows: rows that the metric has at the scale.
        changes: fields of the experiment in the place of its own.
    """
    catalogue = Catalogue(manifests_folder())
    scale = catalogue.scale("smoke")
    engine = scale.engine.model_copy(update={"name": "fake"})
    metrics = {**scale.metrics, measure: MetricRows(rows=rows)}
    document = catalogue.experiments[experiment].model_dump(exclude_unset=True)
    document |= {"seeds": "alpaca", "evolver": EVOLVER, "base": "llama-3-8b", "by": {}, **changes}
    catalogue.__dict__["experiments"] = {experiment: Experiment.model_validate(document)}
    view = View(experiment=experiment, rows={}, columns=[ColumnGroup(measures=[measure])])
    scale = scale.model_copy(update={"engine": engine, "metrics": metrics})
    return make_plan(catalogue, {"t": view}, scale, "smoke", locks())


def jobs_of(plan: Plan, stage: str) -> list[Job]:
    return [job for job in plan.jobs.values() if job.stage == stage]


def test_the_job_of_figure_5() -> None:
    plan = planned()
    (probing,), (scoring,) = jobs_of(plan, "probe"), jobs_of(plan, "score")
    assert not jobs_of(plan, "evolve")
    assert (probing.worker, scoring.worker) == ("text", "cpu")
    assert probing.params["sampling"] == {"temperature": 0.0, "top_p": 1.0, "max_tokens": 64}
    assert {name: probing.params[name] for name in ("scenario", "round", "seeds", "rows", "first")} == {
        "scenario": "evol_instruct", "round": 1, "seeds": "alpaca", "rows": 8, "first": None
    }  # fmt: skip
    assert scoring.inputs == {"probes": probing.key}
    assert scoring.params["options"] == {"positions": "all"}


def test_a_later_round_asks_about_the_rows_before_it() -> None:
    plan = planned(round=2)
    (probing,), (evolved,) = jobs_of(plan, "probe"), jobs_of(plan, "evolve")
    assert probing.inputs["instructions"] == evolved.key
    assert (probing.params["round"], evolved.params["round"]) == (2, 1)


def test_a_scenario_of_several_steps_is_asked_as_in_its_first() -> None:
    plan = planned("auto-evol-instruct", "trajectory")
    (probing,), (judging,), (scoring,) = (jobs_of(plan, stage) for stage in ("probe", "judge", "score"))
    assert probing.params["step"] == "rewrite"
    assert judging.inputs["probes"] == scoring.inputs["probes"] == probing.key
    assert scoring.inputs["verdicts"] == judging.key
    assert judging.resources["questions"] == 8 * probing.resources["rows"] == 64


REFUSED: dict[str, tuple[dict[str, Any], str]] = {
    "the seed data": (
        {"experiment": "seed-data", "evolver": ""},
        "experiment 'seed-data': token_prob: round: found 0, the seed data, which nobody evolves",
    ),
    "no question a row": (
        {"experiment": "autoif", "seeds": "constraints"},
        "experiment 'autoif': token_prob: scenarios/autoif.py: constraints: it does not ask one question a row; wanted "
        "a scenario whose first step does",
    ),
}


@pytest.mark.parametrize(("asked", "message"), REFUSED.values(), ids=list(REFUSED))
def test_points_without_an_evolver_that_is_asked_a_question_a_row(asked: Mapping[str, Any], message: str) -> None:
    with pytest.raises(RequestError) as caught:
        planned(**asked)
    assert str(caught.value) == message


def ran(plan: Plan, stage: str, folder: Path, rows: list[Instruction]) -> tuple[Path, Mapping[str, Any]]:
    """Run a plan's only job of a stage on some rows with the fake engine; return its folder and facts."""
    (job,) = jobs_of(plan, stage)
    inputs, out = folder / "inputs", folder / stage
    inputs.mkdir(exist_ok=True)
    out.mkdir()
    write_rows(inputs / "instructions.jsonl", rows)
    context = JobContext(rank=0, world=1, mirror=None, unsafe_exec=False, emit=lambda *_, **__: None)
    params = {name: value for name, value in job.params.items() if name not in ("format", "seeds", "rows", "world")}
    given = {"instructions": inputs, "model": folder / "fake-model"}
    module: Any = probe if stage == "probe" else evolve
    summary = module.run(params, given, out, context)
    context.close()
    return out, summary.facts


ROWS = [Instruction(id=f"s/{n}", instruction=f"Task {n}.", input="material") for n in range(5)]


def test_its_texts_are_those_of_evolution(tmp_path: Path) -> None:
    plan = planned(rows=3)
    probes = read_rows(ran(plan, "probe", tmp_path, ROWS)[0] / "probes.jsonl", Probe)
    assert [row.id for row in probes] == ["s/0", "s/1", "s/2"]
    assert {row.prompts for row in probes} == {"kit"}
    evolving = planned(round=2)
    (job,) = jobs_of(evolving, "evolve")
    evolved = read_rows(ran(evolving, "evolve", tmp_path, ROWS)[0] / "instructions.jsonl", Instruction)
    assert [row.text for row in probes] == [row.instruction for row in evolved[:3]]
    assert job.params["round"] == 1


def test_each_token_has_its_probability(tmp_path: Path) -> None:
    long = Instruction(id="s/5", instruction="word " * 2100)
    out, facts = ran(planned(), "probe", tmp_path, [*ROWS, long])
    probes = read_rows(out / "probes.jsonl", Probe)
    assert [len(row.probabilities) for row in probes] == [len(row.text.split()) for row in probes]
    assert all(0 < value <= 1 for row in probes for value in row.probabilities)
    assert (probes[-1].text, probes[-1].probabilities, probes[-1].finish_reason) == ("", [], TOO_LONG)
    assert (facts["tokens"], facts["too_long"]) == (sum(len(row.probabilities) for row in probes), 1)


def test_seven_digits_are_written() -> None:
    scored = ScoredCompletion(completion=Completion(id="s/0", text="a", tokens=2), probabilities=(1 / 3, 1e-9))
    assert probe.probe(scored, "kit").probabilities == (0.3333333, 0.0)
