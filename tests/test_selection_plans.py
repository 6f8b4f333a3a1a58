"""Plans of selections: Tables 5 and 15, Figures 6 and 7, one's own, and the errors that come before any work."""

import dataclasses
import tomllib
from collections import Counter
from pathlib import Path
from typing import Any

import pytest

from kit import metrics, registry
from kit.catalogue import Catalogue, manifests_folder, paper
from kit.catalogue.experiments import Setting
from kit.catalogue.manifest import View
from kit.catalogue.scales import MetricRows
from kit.catalogue.views import measuring_stage
from kit.cli import listing
from kit.errors import RequestError
from kit.plan import Plan
from kit.plan.planner import make_plan
from kit.plan.planning import locks, plan_manifest
from kit.run.jobfiles import check_versions
from kit.store import Job
from tests.test_plan import planned, stage

SCALES = ["smoke", "mini", "one-gpu", "one-80gb", "paper"]


def names_behind(plan: Plan, key: str) -> list[str]:
    """Return the ids of the jobs that a job reads."""
    return [plan.jobs[made].id for made in plan.jobs[key].inputs.values()]


def job_of(plan: Plan, id: str) -> Job:
    (found,) = [job for job in plan.jobs.values() if job.id == id]
    return found


# the paper's


@pytest.mark.parametrize("scale", SCALES)
def test_table_5_trains_on_a_quarter_by_four_scores(scale: str):
    plan = planned("5", scale)
    counts = Counter(job.stage for job in plan.jobs.values())
    assert (counts["score"], counts["select"], counts["sft"]) == (2, 4, 5)  # one pass gives three of the scores
    whole, *parts = (cell.keys[0] for cell in plan.cells["table-5"][::4])
    (responses,) = stage(plan, "respond")
    trained = [job for job in stage(plan, "sft") if job.inputs["pairs"] == responses.key]
    assert [plan.jobs[whole].id] == [f"grade/ifeval/{trained[0].id.removeprefix('sft/')}"]
    picks = {job.params["by"]: job for job in stage(plan, "select")}
    assert {name: job.params["keeps"] for name, job in picks.items()} == {
        "instruction_length": "lowest",
        "instruction_ppl": "lowest",
        "ifd": "highest",
        "ic_ifd": "highest",
    }
    bases = {job.inputs["base"] for job in stage(plan, "sft")}
    assert {job.inputs["model"] for job in stage(plan, "score")} == bases  # the base that is trained scores
    assert {job.inputs["pairs"] for job in (*picks.values(), *stage(plan, "score"))} == {responses.key}
    assert {job.params["kept_fraction"] for job in picks.values()} == {0.25}
    assert len(parts) == 4


@pytest.mark.parametrize("scale", SCALES)
def test_table_15_adds_scores_to_table_10(scale: str):
    jobs = {key: job for key, job in planned("15", scale).jobs.items() if job.stage != "score"}
    assert jobs.keys() <= planned("10", scale).jobs.keys()
    mean = planned("15", scale).tables["table-15"].columns[-1]
    assert (mean.id, mean.name, len(mean.mean_of)) == ("ifeval_mean", "IFEval, mean of 4", 4)


@pytest.mark.parametrize("scale", SCALES)
@pytest.mark.parametrize(("figure", "against"), [("figure-6", "ifd"), ("figure-7", "none")])
def test_figures_compare_models_tuned_on_the_seed_data(figure: str, against: str, scale: str):
    plan = planned(figure, scale)
    judged = stage(plan, "judge")
    assert len(judged) == len(plan.tables[figure].rows)
    for job in judged:
        own, other = (plan.jobs[job.inputs[role]] for role in ("completions", "against"))
        # at one-80gb the tuned model is an adapter
        tunings = [plan.jobs[answer.inputs.get("adapter", answer.inputs["model"])] for answer in (own, other)]
        tuned = [plan.jobs[one.inputs["pairs"]] for one in tunings]
        assert tuned[0].params["by"] == "ic_ifd"
        if against == "none":
            assert tuned[1].stage == "fetch"
        else:
            assert (tuned[1].params["by"], tuned[1].params["kept_fraction"]) == (
                "ifd",
                tuned[0].params["kept_fraction"],
            )
        assert own.params == other.params
        assert tunings[0].inputs["base"] == tunings[1].inputs["base"]
        assert job.id.endswith(f"/against-{against}")
    assert {job.params["protocol"] for job in judged} == {"paper" if scale == "paper" else "default"}
    kept = {job.resources["rows"] for job in stage(plan, "select")}
    assert len(kept) == 3  # at every scale the three fractions are unlike numbers of rows


def test_all_of_alpaca_is_trained_on_once():
    # figure 7's whole set is Table 9's: another name of it trained the same model again
    tuned = {key for key, job in planned("figure-7", "paper").jobs.items() if job.stage == "sft"}
    assert len(tuned & planned("9", "paper").jobs.keys()) == 1


PRINTED = {
    "table-5": ({"selection": "ic_ifd"}, "ifeval_prompt_strict", 34.01),
    "table-15": ({"evolver": "llama-3.1-70b-instruct"}, "ifeval_mean", 42.18),
    "figure-6": ({"base": "llama-3.2-3b", "kept_fraction": 0.1}, "alpacafarm_lose", 319),
    "figure-7": ({"kept_fraction": 0.15}, "alpacafarm_win", 428),
}


@pytest.mark.parametrize(("name", "case"), PRINTED.items(), ids=list(PRINTED))
def test_each_cell_has_the_papers_number(name: str, case: tuple[dict[str, Any], str, float]):
    at, column, value = case
    cells = planned(name, "smoke").cells[name]
    printed = {
        (cell.column, *cell.at.items()): paper.table(name).cell(cell.at, cell.printed or cell.column) for cell in cells
    }
    assert None not in printed.values()
    found = [cell for cell in cells if cell.column == column and at.items() <= cell.at.items()]
    assert [printed[cell.column, *cell.at.items()] for cell in found] == [value]


def test_another_comparison_has_no_printed_number():
    # any row of the same base and fraction was taken
    figure = paper.table("figure-6")
    at = {"base": "llama-3-8b", "kept_fraction": 0.05, "selection": "ic_ifd", "against": "ifd"}
    assert figure.cell(at, "win") == 421
    assert figure.cell({**at, "against": "random"}, "win") is None
    assert figure.cell({**at, "selection": "ifd", "against": "ic_ifd"}, "win") is None
    assert figure.cell({**at, "against": "none"}, "win") is None


def test_a_plan_says_how_many_rows_are_kept():
    job = job_of(planned("figure-7", "paper"), "select/alpaca-picks/llama-3.2-3b/round-0/ic_ifd-0.15")
    assert listing.kept(job) == "keeps 7,800 of 52,002 rows"
    assert listing.kept(stage(planned("figure-7", "paper"), "sft")[0]) == ""


def test_scoring_reads_a_row_and_its_answer():
    scored = stage(planned("15", "paper"), "score")[0].resources
    assert scored["gpu_hours"] == pytest.approx(stage(planned("15", "paper"), "score")[1].resources["gpu_hours"])
    responded = stage(planned("15", "paper"), "respond")[0].resources
    assert 0.5 < scored["gpu_hours"] < responded["gpu_hours"] / 2  # nothing is written


@pytest.mark.parametrize("table", ["5", "figure-6"])
def test_each_job_is_one_that_this_kit_runs(table: str):
    # "planned for ifd-1, which this kit does not run": a plan that nobody could run
    for job in planned(table, "smoke").jobs.values():
        check_versions(job)


def test_a_job_of_another_metric_is_not_run():
    job = stage(planned("5", "smoke"), "score")[0]
    with pytest.raises(RequestError, match=r"planned for length-9, which this kit does not run; plan it again"):
        check_versions(dataclasses.replace(job, version="score-1.length-9"))


def test_no_metric_has_the_name_of_a_benchmark():
    names = [*registry.names("benchmarks"), *registry.names("metrics")]
    assert len(set(names)) == len(names)
    assert [measuring_stage(name) for name in ("ifd", "ifeval")] == ["score", "grade"]


# views


def view_plan(scale_changes: dict[str, Any] | None = None, **changes: Any) -> Plan:
    """Plan Table 15 with changes, at smoke."""
    catalogue = Catalogue(manifests_folder())
    table = tomllib.loads((manifests_folder() / "tables" / "table-15.toml").read_text(encoding="utf-8"))
    del table["schema"]
    view = View.model_validate(table | changes)
    scale = catalogue.scale("smoke").model_copy(update=scale_changes or {})
    return make_plan(catalogue, {"table-15": view}, scale, "smoke", locks())


QUARTER = {"experiment": "quarter", "at": {}, "rows": {"selection": ["ifd"]}, "columns": [{"measures": ["ifeval"]}]}
REFUSED: dict[str, tuple[dict[str, Any], dict[str, Any], str]] = {
    "a mean of two units": (
        {"columns": [{"measures": ["ifd.ifd", "ifd.instruction_ppl"], "mean": "m"}]},
        {},
        "table-15.toml: columns[0].measures: a mean is of numbers of one benchmark, unit and kind, found ifd.ifd, "
        "ifd.instruction_ppl",
    ),
    "a mean of two benchmarks": (
        {"columns": [{"measures": ["gsm8k", "mbpp"], "mean": "m"}]},
        {},
        "table-15.toml: columns[0].measures: a mean is of numbers of one benchmark, unit and kind, found gsm8k.gsm8k, "
        "mbpp.mbpp",
    ),
    "a printed column of none": (
        {"columns": [{"measures": ["ifd.ifd"], "printed": {"idf": "ifd"}}]},
        {},
        "table-15.toml: columns[0].printed: no column named 'idf'; did you mean 'ifd'?",
    ),
    "the paper's id in the place of ours": (
        {"columns": [{"measures": ["ifeval"], "mean": "m", "printed": {"ifeval_prompt_strict": "x"}}]},
        {},
        "table-15.toml: columns[0].printed: no column named 'ifeval_prompt_strict'; known: m",
    ),
    "no such number of a metric": (
        {"columns": [{"measures": ["ifd.icifd"]}]},
        {},
        "table-15.toml: columns[0].measures: no metric named 'icifd'; did you mean 'ic_ifd'?",
    ),
    # it was passed over, and the defaults held
    "a metric of the scale that is none": (
        {},
        {"metrics": {"idf": MetricRows()}},
        "smoke.toml: metrics: no metric named 'idf'; did you mean 'ifd'?",
    ),
    "an option of the scale": (
        {},
        {"metrics": {"ifd": MetricRows(options={"boundry": "exact"})}},
        "smoke.toml: metrics.ifd.options: ifd takes no option 'boundry'; did you mean 'boundary'?",
    ),
    "a value of another type": (
        {},
        {"metrics": {"ifd": MetricRows(options={"only_below_1": "yes"})}},
        "smoke.toml: metrics.ifd.options.only_below_1: found 'yes', wanted true or false, such as False",
    ),
    # the scores came first, and then the selection found too few
    "fewer scores than pairs": (
        QUARTER,
        {"metrics": {"ifd": MetricRows(rows=5)}},
        "experiment 'quarter': selection = 'ifd' takes the scores of all 8 pairs, and the scale has metrics.ifd.rows = "
        "5; leave it out there",
    ),
}


@pytest.mark.parametrize(("changes", "scale", "message"), REFUSED.values(), ids=list(REFUSED))
def test_a_view_that_can_not_be_planned(changes: dict[str, Any], scale: dict[str, Any], message: str):
    with pytest.raises(RequestError) as error:
        view_plan(scale, **changes)
    assert str(error.value) == message


def test_a_scale_scores_the_first_rows_alone():
    few = stage(view_plan({"metrics": {"ifd": MetricRows(rows=5)}}), "score")
    assert [(job.params["first"], job.resources["rows"]) for job in few] == [(5, 5), (5, 5)]
    assert [job.params.get("first") for job in stage(view_plan(), "score")] == [None, None]
    view_plan({"metrics": {"ifd": MetricRows(rows=8)}}, **QUARTER)  # all of them


# one's own

HEAD = """
schema = 1
scale = "smoke"
[[experiment]]
id = "own"
seeds = "alpaca-picks"
base = "smollm2-29l"
round = 0
seed = 42
sft = { learning_rate = 1e-5, epochs = 1, global_batch_size = 4, warmup_ratio = 0.0, max_length_tokens = 64 }
benchmarks = ["BENCHMARK"]
"""


def own(folder: Path, fields: str, benchmark: str = "gsm8k") -> Plan:
    (folder / "own.toml").write_text(HEAD.replace("BENCHMARK", benchmark) + fields, encoding="utf-8")
    return plan_manifest(folder / "own.toml")


def test_selections_are_an_axis(tmp_path: Path):
    more = "[experiment.by.selection.none]\nkept_fraction = 1.0\n"
    plan = own(tmp_path, f'selection = ["none", "random", "ic_ifd"]\nkept_fraction = 0.5\n{more}')
    assert [row["selection"] for row in plan.tables["own"].rows] == ["none", "random", "ic_ifd"]
    picks = {job.params["by"]: job for job in stage(plan, "select")}
    assert sorted(picks) == ["ic_ifd", "random"]
    assert (sorted(picks["random"].inputs), picks["random"].params["seed"]) == (["pairs"], 42)
    assert (sorted(picks["ic_ifd"].inputs), "seed" in picks["ic_ifd"].params) == (["pairs", "scores"], False)
    assert {job.resources["rows"] for job in picks.values()} == {10}
    assert {job.id for job in stage(plan, "sft")} == {
        f"sft/alpaca-picks/smollm2-29l/round-0{end}" for end in ("", "/random-0.5", "/ic_ifd-0.5")
    }


def test_another_model_scores_where_one_is_named(tmp_path: Path):
    plan = own(tmp_path, 'selection = "ifd"\nkept_fraction = 0.5\nscorer = "smollm2-36l"\n')
    (scored,) = stage(plan, "score")
    assert plan.jobs[scored.inputs["model"]].id == "convert/smollm2-36l"
    assert scored.id == "score/ifd/alpaca-picks/round-0/smollm2-36l"


def test_a_benchmark_of_pairs_takes_another_models_answers(tmp_path: Path):
    fields = 'selection = "ifd"\nkept_fraction = 0.5\n'
    plain, compared = (own(tmp_path, fields + more, "alpacafarm") for more in ("", 'against = "random"\n'))
    assert "against" not in stage(plain, "judge")[0].inputs
    (judged,) = stage(compared, "judge")
    other = compared.jobs[judged.inputs["against"]]
    assert other.id == "answer/alpacafarm/alpaca-picks/smollm2-29l/round-0/random-0.5"
    assert plain.jobs.keys() - compared.jobs.keys() == {stage(plain, stage_)[0].key for stage_ in ("judge", "grade")}


OWN: dict[str, tuple[str, str, str]] = {
    "a part of everything": (
        "kept_fraction = 0.5\n",
        "gsm8k",
        "own.toml: experiment[0]: selection = 'none' and kept_fraction = 0.5 do not fit; a selection keeps less than "
        "1, and without one (selection = 'none') nothing is left out",
    ),
    "a selection of all": (
        'selection = "ifd"\n',
        "gsm8k",
        "own.toml: experiment[0]: selection = 'ifd' and kept_fraction = 1.0 do not fit; a selection keeps less than "
        "1, and without one (selection = 'none') nothing is left out",
    ),
    "no such selection": (
        'selection = "icifd"\nkept_fraction = 0.5\n',
        "gsm8k",
        "own.toml: experiment[0].selection: no selection named 'icifd'; did you mean 'ic_ifd'?",
    ),
    "a number that nobody selects by": (
        'selection = "response_loss"\nkept_fraction = 0.5\n',
        "gsm8k",
        "own.toml: experiment[0].selection: no selection named 'response_loss'; known: ",
    ),
    "no such scorer": (
        'selection = "ifd"\nkept_fraction = 0.5\nscorer = "smollm2-37l"\n',
        "gsm8k",
        "own.toml: experiment[0].scorer: no model named 'smollm2-37l'; did you mean 'smollm2-3",
    ),
    "no such opponent": (
        'selection = "ifd"\nkept_fraction = 0.5\nagainst = "randm"\n',
        "alpacafarm",
        "own.toml: experiment[0].against: no selection named 'randm'; did you mean 'random'?",
    ),
    "itself": (
        'selection = "ifd"\nkept_fraction = 0.5\nagainst = "ifd"\n',
        "alpacafarm",
        "own.toml: experiment[0]: against = 'ifd' is the selection itself; wanted another, or nothing",
    ),
    "all against a part": (
        'against = "ifd"\n',
        "alpacafarm",
        "own.toml: experiment[0]: against = 'ifd' keeps as many pairs as the selection, and that is 'none', which "
        "keeps all; exchange the two",
    ),
    "a benchmark that compares nothing": (
        'selection = "ifd"\nkept_fraction = 0.5\nagainst = "random"\n',
        "gsm8k",
        "experiment 'own': against = 'random', and gsm8k compares no two answers; leave it out for this benchmark",
    ),
    "more than all": ('selection = "ifd"\nkept_fraction = 1.5\n', "gsm8k", "own.toml: experiment[0].kept_fraction: "),
}


@pytest.mark.parametrize(("fields", "benchmark", "message"), OWN.values(), ids=list(OWN))
def test_a_selection_that_can_not_be_planned(fields: str, benchmark: str, message: str, tmp_path: Path):
    with pytest.raises(RequestError) as error:
        own(tmp_path, fields, benchmark)
    found = str(error.value).removeprefix(f"{tmp_path}/")
    assert found.startswith(message) if message[-1:] in " 3" else found == message


def setting(**fields: Any) -> Setting:
    sft = {"learning_rate": 1e-5, "epochs": 1, "global_batch_size": 4, "warmup_ratio": 0.0, "max_length_tokens": 64}
    return Setting.model_validate({"seeds": "s", "base": "b", "round": 0, "seed": 1, "sft": sft, **fields})


def test_the_base_scores_where_no_scorer_is_named():
    assert metrics.model_of("ifd", setting(), "x") == "b"
    assert metrics.model_of("ifd", setting(scorer="s"), "x") == "s"


def test_a_role_that_nobody_plays_is_named(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(metrics.load("length"), "ROLE", "rewarder")
    with pytest.raises(RequestError) as error:
        metrics.model_of("length", setting(), "experiment 'own'")
    assert str(error.value) == "experiment 'own': rewarder: missing, and length needs one; wanted a model's name"


def test_rewrites_need_a_round(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(metrics.load("length"), "READS", "rewrites")
    columns = [{"measures": ["length"]}]
    with pytest.raises(RequestError) as error:
        view_plan(
            experiment="seed-data", rows={"round": [0]}, at={"seeds": "alpaca", "base": "llama-3-8b"}, columns=columns
        )
    assert str(error.value) == (
        "experiment 'seed-data': round: found 0, and length compares instructions with those of the round before; "
        "wanted 1 or more"
    )
    inputs = [sorted(job.inputs) for job in stage(view_plan(columns=columns), "score")]
    assert inputs == [["before", "instructions", "model"]] * 2
