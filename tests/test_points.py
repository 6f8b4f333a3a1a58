"""Experiments, points and views: what a list means, what a value brings along, and three tables of a user's own."""

import csv
import io
import re
import statistics
from collections import Counter
from pathlib import Path
from typing import Any

import pytest
from rich.console import Console

from kit.catalogue.experiments import Experiment, ExperimentsFile
from kit.catalogue.points import make_point
from kit.errors import RequestError
from kit.plan import Plan
from kit.plan.planning import plan_manifest
from kit.reading.documents import parse
from kit.report import make_grid, terminal
from kit.report.formats import as_csv, markdown
from kit.run.worker import JobContext, run_job
from kit.store import Store
from tests import tiny_model

HEAD = """schema = 1
[[experiment]]
id = "e"
scenario = "evol_instruct"
seeds = ["alpaca", "code-alpaca"]
evolver = ["big", "small"]
responder = "r"
base = "b"
round = [0, 1]
seed = 42
evolve = { temperature = [0, 0.7], max_tokens = 8 }
respond = { temperature = 0.0, max_tokens = 8 }
sft = { learning_rate = 1e-5, epochs = 1, global_batch_size = 4, warmup_ratio = 0.0, max_length_tokens = 64 }
"""
AT = {"seeds": "alpaca", "evolver": "big", "round": 1, "temperature": 0.7}


def experiment(more: str = "") -> Experiment:
    return parse(ExperimentsFile, HEAD + more, "x.toml").experiment[0]


def test_lists_are_axes_and_numbers_are_of_the_axis_own_type():
    found = experiment()
    assert found.axes() == ["seeds", "evolver", "round", "temperature"]
    values = found.values("temperature")
    assert (values, [type(value) for value in values]) == ([0.0, 0.7], [float, float])  # 0 and 0.0 hash apart
    assert found.values("base") == ["b"]


def test_a_point_decides_every_axis():
    point = make_point(experiment(), AT)
    setting = point.setting
    assert (setting.seeds, setting.evolver, setting.base, setting.round) == ("alpaca", "big", "b", 1)
    assert setting.evolve is not None
    assert setting.evolve.temperature == 0.7
    assert point.replace(evolver="small").setting.evolver == "small"
    assert [other.setting.evolver for other in point.along("evolver")] == ["big", "small"]


def test_what_a_value_brings_along():
    more = "by.seeds.alpaca.breadth = true\nby.round.0.sft.epochs = 3\nby.temperature.'0.0'.sft.learning_rate = 1e-6\n"
    found = experiment(more)
    first = make_point(found, {**AT, "round": 0, "temperature": 0.0}).setting
    last = make_point(found, {**AT, "seeds": "code-alpaca"}).setting
    assert (first.breadth, first.sft.epochs, first.sft.learning_rate) == (True, 3, 1e-6)
    assert (last.breadth, last.sft.epochs, last.sft.learning_rate) == (False, 1, 1e-5)


POINTS: dict[str, tuple[dict[str, Any], str]] = {
    "no such value": ({**AT, "evolver": "bigg"}, "experiment 'e': evolver has no value 'bigg'; did you mean 'big'?"),
    "an axis that is open": (
        {"seeds": "alpaca"},
        "experiment 'e': wanted a value for seeds, evolver, round, temperature; found seeds",
    ),
}


@pytest.mark.parametrize("at, message", POINTS.values(), ids=list(POINTS))
def test_points_that_are_none(at: dict[str, Any], message: str):
    with pytest.raises(RequestError) as error:
        make_point(experiment(), at)
    assert str(error.value) == message


def test_keys_of_by_name_numbers_however_they_are_written():
    # "the axis has no value '0'; known: 0.0, 0.7", for temperature = [0, 0.7]
    found = experiment("by.temperature.0.sft.epochs = 3\nby.'respond.temperature'.'0e1'.breadth = true\n")
    setting = make_point(found, {**AT, "temperature": 0.0}).setting
    assert (setting.sft.epochs, setting.breadth) == (3, True)
    assert make_point(found, AT).setting.sft.epochs == 1


def test_all_values_of_a_field_that_is_brought_along():
    found = experiment("by.seeds.alpaca.breadth = true\nby.round.0.sft.epochs = 3\nby.round.1.sft.epochs = 1\n")
    assert [found.all_values(axis) for axis in ("breadth", "epochs", "round")] == [[False, True], [1, 3], [0, 1]]


BROUGHT = {
    "two axes bring one field along": (
        "by.seeds.alpaca.breadth = true\nby.round.1.breadth = false\n",
        "by.round.1: breadth is given twice: it is an axis, or brought along by one, seeds",
    ),
    # the row of "big" showed what the evolver "small" had written
    "a value brings another of its own axis along": (
        "by.evolver.big.evolver = 'small'\n",
        "by.evolver.big: evolver is the axis itself; a value can't bring along another",
    ),
    "of an axis of one value": (
        "by.base.b.base = 'c'\n",
        "by.base.b: base is the axis itself; a value can't bring along another",
    ),
    # what 'full' brings along was taken for the adapter as well
    "a value brings along what brings others along": (
        "by.tuning.full.sft.epochs = 2\nby.seeds.alpaca.sft = { tuning = 'lora', lora = { rank = 8, alpha = 8 } }\n",
        "by.seeds.alpaca: sft.tuning is given twice: it is an axis, or brought along by one, tuning",
    ),
    "a value twice": ("by.temperature.0.seed = 1\nby.temperature.'0.0'.seed = 2\n", "by.temperature: 0.0 stands twice"),
    "a number without quotation marks": (
        "by.temperature.0.7.seed = 1\n",
        'by.temperature: a name with a dot stands in quotation marks, "0.7"',
    ),
    "an axis without quotation marks": (
        "by.respond.temperature.0.seed = 1\n",
        'by: a name with a dot stands in quotation marks, "respond.temperature"',
    ),
}


@pytest.mark.parametrize("more, message", BROUGHT.values(), ids=list(BROUGHT))
def test_fields_that_can_not_be_brought_along(more: str, message: str):
    with pytest.raises(RequestError) as error:
        experiment(more)
    assert str(error.value) == f"x.toml: experiment[0]: {message}"


def test_values_that_contradict_each_other_are_named():
    # it did not say at which of the values
    with pytest.raises(RequestError) as error:
        experiment("by.evolver.small.sft.merge = true\n")
    assert str(error.value) == (
        "x.toml: experiment[0].sft: merge = true goes with tuning = 'lora'; without an adapter the tuned model is "
        "whole already (at seeds = alpaca, evolver = small, round = 0, temperature = 0.0)"
    )


# Tables of a user's own, one TOML each: planned, run with the fake engine, reported. Nothing of the kit knows of them.

OWN = """schema = 1
title = "{title}"

[scale]
schema = 1
title = "fake"
environment = "cpu"
prompts = "kit"

[scale.cast]

[scale.seeds]
alpaca = {{ dataset = "mini-alpaca", rows = 2 }}

[scale.benchmarks]
ifeval = {{ dataset = "mini-ifeval", rows = 8, protocol = "default", prompts = "kit", max_tokens = 8 }}

[scale.engine]
name = "fake"
dtype = "float32"
max_model_len = 512

[scale.training]
dtype = "float32"
tokens_per_micro_batch = 256

[scale.hardware]
gpus = 0
gpu_memory_gib = 0
memory_gib = 1
machine = "cpu-2-cores"

[scale.chat]
template = "{{% for message in messages %}}{{{{ message.content }}}}{{{{ eos_token }}}}{{% endfor %}}"

[[experiment]]
id = "own"
scenario = "evol_instruct"
seeds = "alpaca"
evolver = "tiny"
responder = "tiny"
base = "tiny"
round = {round}
seed = {seed}
evolve = {{ temperature = {temperature}, max_tokens = 8 }}
respond = {{ temperature = 0.0, max_tokens = 8 }}
sft = {{ learning_rate = {rate}, epochs = 1, global_batch_size = 2, warmup_ratio = 0.0, max_length_tokens = 128 }}
benchmarks = ["ifeval"]

[models.tiny]
folder = "model"
parameters = 26_000
layers = 2
hidden = 32
intermediate = 64
heads = 4
kv_heads = 4
vocab = 260
context = 512
chat = true
licence = "none"
"""


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with a model of random weights; jobs of the tests below share a store in it."""
    pytest.importorskip("torch")
    found = tmp_path_factory.mktemp("own")
    tiny_model.save(found / "model")
    return found


def reported(
    folder: Path, name: str, view: str = "", **fields: str
) -> tuple[Plan, dict[str, str], list[dict[str, str]]]:
    """Plan and run a manifest, each job in this process: the plan, the reports by format, the lines of the CSV."""
    given = {"title": name, "round": "1", "seed": "42", "temperature": "0.7", "rate": "1e-3", **fields}
    path = folder / f"{name}.toml"
    path.write_text(OWN.format(**given) + view, encoding="utf-8")
    plan = plan_manifest(path)
    store = Store.open(folder / "store")
    failed: list[Any] = []
    context = JobContext(
        rank=0, world=1, mirror=None, unsafe_exec=False, emit=lambda *said, **more: failed.append(more)
    )
    for job in plan.jobs.values():
        store.plan(job)
        context.begin(job)
        assert run_job(store, job.key, context), failed[-1]
    context.close()
    grid = make_grid(name, plan, store)
    out = io.StringIO()
    Console(file=out, width=160, color_system=None).print(terminal.grid_table(grid, 160))
    text = {"terminal": out.getvalue(), "markdown": markdown(grid), "csv": as_csv([grid])}
    assert "missing" not in "".join(text.values())
    return plan, text, list(csv.DictReader(io.StringIO(text["csv"])))


@pytest.mark.real
def test_temperature_by_round(folder: Path):
    plan, text, lines = reported(folder, "warm", temperature="[0, 0.7]", round="[0, 1]")
    stages = Counter(job.stage for job in plan.jobs.values())
    assert (stages["evolve"], stages["sft"]) == (2, 3)  # the seed data has no temperature: one model for both
    assert [(line["round"], line["temperature"]) for line in lines[::4]] == [
        ("0", "0.0"), ("0", "0.7"), ("1", "0.0"), ("1", "0.7")
    ]  # fmt: skip
    assert text["markdown"].splitlines()[2].startswith("| round | temperature | IFEval Pr(S) |")
    assert [line.startswith("| 1 | 0.7 | ") for line in text["markdown"].splitlines()[4:8]] == [False] * 3 + [True]
    assert re.search(r"round +temperature +IFEval", text["terminal"])
    assert len({line["keys"] for line in lines}) == 3


@pytest.mark.real
def test_two_training_seeds(folder: Path):
    # without a view the seeds are one row: their mean, and the spread between them
    plan, text, lines = reported(folder, "twice", seed="[42, 43]")
    assert [len(cell.keys) for cell in plan.cells["twice"]] == [2] * 4
    assert "mean of 2 seeds" in text["markdown"]
    assert "mean of 2 seeds" in text["terminal"]
    rows = 'rows = { seed = [42, 43] }\ncolumns = [{ measures = ["ifeval"] }]\n'
    _, _, apart = reported(folder, "apart", f"\n[[view]]\n{rows}", seed="[42, 43]")
    assert [line["seed"] for line in apart] == ["42"] * 4 + ["43"] * 4
    for index, line in enumerate(lines):
        runs = [float(apart[index + start]["value"]) for start in (0, 4)]
        errors = [float(apart[index + start]["stderr"]) for start in (0, 4)]
        assert float(line["value"]) == pytest.approx(sum(runs) / 2)
        assert float(line["stderr"]) == pytest.approx(sum(errors) / 2)
        assert float(line["spread"]) == pytest.approx(statistics.stdev(runs))
        assert line["runs"] == "2"


@pytest.mark.real
def test_the_learning_rate_as_an_axis(folder: Path):
    plan, text, lines = reported(folder, "rates", rate="[1e-4, 1e-3]")
    tuned = [job.params["learning_rate"] for job in plan.jobs.values() if job.stage == "sft"]
    assert tuned == [1e-4, 1e-3]
    assert [line["learning_rate"] for line in lines] == ["0.0001"] * 4 + ["0.001"] * 4
    assert "| learning_rate | IFEval Pr(S) |" in text["markdown"]
    assert Counter(job.stage for job in plan.jobs.values())["respond"] == 1
