"""Views: the points that give each cell, blank cells, open axes, and the errors that name axis and values."""

from pathlib import Path
from typing import Any

import pytest

from kit.catalogue import Catalogue, manifests_folder
from kit.catalogue.manifest import View
from kit.errors import RequestError
from kit.plan import Plan
from kit.plan.planner import make_plan
from kit.plan.planning import locks
from tests.test_plan import stage
from tests.test_planning import own_plan, plan_of, seed_data


def table_2(**changes: Any) -> Plan:
    catalogue = Catalogue(manifests_folder())
    view = View.model_validate(catalogue.table("2").model_dump(exclude={"schema_"}) | changes)
    return make_plan(catalogue, {"table-2": view}, catalogue.scale("smoke"), "smoke", locks())


QWEN, BASE = ["qwen-2-72b-instruct", "qwen-2-7b-instruct"], ["llama-3-8b"]
ALPACA_COLUMN = [{"at": {"seeds": "alpaca"}, "measures": ["ifeval"]}]
VIEWS = {
    "open": (
        {"columns": [{"measures": ["gsm8k"]}]},
        "table-2.toml: columns[0]: the axis seeds is open: experiment 'qwen-2' has alpaca, gsm8k-train, code-alpaca; "
        "name values in rows, in at, or in the column's at",
    ),
    "given twice": (
        {"at": {"seeds": "gsm8k-train"}},
        "table-2.toml: the axis seeds is given twice: gsm8k-train in at and alpaca in columns[0].at; leave one out",
    ),
    "rows and at": (
        {"at": {"base": "llama-3-8b"}, "rows": {"evolver": QWEN, "base": BASE}},
        "table-2.toml: the axis base is given twice: llama-3-8b in rows and llama-3-8b in at; leave one out",
    ),
    "two experiments": (
        {"experiment": ["qwen-2", "qwen-2-again"]},
        "table-2.toml: experiment: no experiment named 'qwen-2-again'; did you mean 'qwen-2'?",
    ),
    "the same experiment twice": (
        {"experiment": ["qwen-2", "qwen-2"]},
        "table-2.toml: evolver = qwen-2-72b-instruct, base = llama-3.2-3b, seeds = alpaca: ifeval_prompt_strict is "
        "given by 'qwen-2' and 'qwen-2'; wanted one experiment",
    ),
    "no such axis": (
        {"rows": {"evolvers": QWEN}},
        "table-2.toml: rows: no axis named 'evolvers'; did you mean 'evolver'?",
    ),
    "no value of the axis": (
        {"rows": {"evolver": QWEN, "base": BASE, "round": ["one"]}},
        "table-2.toml: rows.round[0]: input should be a valid integer, found 'one'",
    ),
    "a round that is not planned": (
        {"rows": {"evolver": QWEN, "base": BASE}, "at": {"round": 2}},
        "table-2.toml: no experiment gives a cell of it: table-2: 16 cells are left blank, which no experiment of the "
        "table gives: round 2; known: 1",
    ),
    # two columns with one heading
    "a column twice": (
        {"columns": [{"at": {"seeds": "gsm8k-train"}, "measures": ["gsm8k", "gsm8k.gsm8k"]}]},
        "table-2.toml: columns[0].measures: gsm8k is a column already, at seeds = gsm8k-train; leave one out",
    ),
    "a column once more": (
        {"columns": ALPACA_COLUMN * 2},
        "table-2.toml: columns[1].measures: ifeval_prompt_strict is a column already, at seeds = alpaca; leave one out",
    ),
    # it stayed `missing` after the whole run
    "no metric": (
        {"columns": [{"at": {"seeds": "gsm8k-train"}, "measures": ["gsm8k.gsm8k_acuracy"]}]},
        "table-2.toml: columns[0].measures: no metric named 'gsm8k_acuracy'; known: gsm8k",
    ),
    "no benchmark": (
        {"columns": [{"at": {"seeds": "gsm8k-train"}, "measures": ["gsm8"]}]},
        "table-2.toml: columns[0].measures: no benchmark or metric named 'gsm8'; did you mean 'gsm8k'?",
    ),
}


@pytest.mark.parametrize("changes, message", VIEWS.values(), ids=list(VIEWS))
def test_a_view_that_can_not_be_planned(changes: dict[str, Any], message: str):
    with pytest.raises(RequestError) as error:
        table_2(**changes)
    assert str(error.value).startswith(message)


def test_a_cell_that_no_experiment_gives_is_blank_and_noted():
    plan = table_2(rows={"evolver": [*QWEN, "qwen-2.5-72b-instruct"], "base": BASE}, columns=ALPACA_COLUMN)
    assert [len(cell.keys) for cell in plan.cells["table-2"]] == [1] * 8 + [0] * 4
    assert (
        "table-2: 4 cells are left blank, which no experiment of the table gives: evolver qwen-2.5-72b-instruct, did "
        "you mean 'qwen-2-72b-instruct'?"
    ) in plan.notes


TWO_BASES = ('base = ["smollm2-29l"]', 'base = ["smollm2-29l", "smollm2-31l"]')
BROUGHT = '[experiment.by.base."smollm2-31l"]\nsft.epochs = 2\n'


@pytest.mark.parametrize(
    "rows, epochs",
    [
        ("epochs = [1, 2]", {("29l", 1): 1, ("29l", 2): None, ("31l", 1): None, ("31l", 2): 2}),
        ("epochs = [2]", {("29l", 2): None, ("31l", 2): 2}),
    ],
)
def test_a_field_that_a_value_brings_along_has_its_own_row(tmp_path: Path, rows: str, epochs: dict[Any, Any]):
    # the row of 1 epoch showed the model that was trained for 2, and the row of 2 was blank
    view = f"""[[view]]
rows = {{ base = ["smollm2-29l", "smollm2-31l"], {rows} }}
at = {{ evolver = "smollm2-36l" }}
columns = [{{ measures = ["gsm8k"] }}]
"""
    plan = own_plan(tmp_path, TWO_BASES, end=BROUGHT + view)
    found = {}
    for cell in plan.cells["own"]:
        tuned = [plan.jobs[key] for key in plan.needs(cell.keys) if plan.jobs[key].stage == "sft"]
        found[str(cell.at["base"])[-3:], cell.at["epochs"]] = tuned[0].params["epochs"] if tuned else None
    assert found == epochs


ZERO = """
[[experiment]]
id = "zero"
seeds = "my-seeds"
base = "smollm2-29l"
round = 0
seed = 42
sft = { learning_rate = 2e-5, epochs = 1, global_batch_size = 4, warmup_ratio = 0.03, max_length_tokens = 256 }
"""


def test_an_axis_is_open_only_where_an_experiment_has_the_cells(tmp_path: Path):
    # refused: "the axis evolver is open", in the column of the seed data, which the other experiment gives
    view = """[[view]]
rows = { base = ["smollm2-29l"] }
columns = [
  { at = { round = 0 }, measures = ["gsm8k"] },
  { at = { round = 1, evolver = "smollm2-36l" }, measures = ["gsm8k"] },
]
"""
    plan = own_plan(tmp_path, end=ZERO + view)
    assert [len(cell.keys) for cell in plan.cells["own"]] == [1, 1]
    assert [column.name for column in plan.tables["own"].columns] == [
        "GSM8K, round = 0", "GSM8K, round = 1, evolver = smollm2-36l"
    ]  # fmt: skip
    with pytest.raises(RequestError, match=r"columns\[1\]: the axis evolver is open: experiment 'which-evolver' has"):
        own_plan(tmp_path, end=ZERO + view.replace(', evolver = "smollm2-36l"', ""))


def test_a_view_names_its_measures_itself(tmp_path: Path):
    # "no experiment gives a cell of it", since the experiment lists other benchmarks
    view = '[[view]]\nrows = { evolver = ["smollm2-36l"] }\ncolumns = [{ measures = ["mbpp"] }]\n'
    assert [len(cell.keys) for cell in own_plan(tmp_path, end=view).cells["own"]] == [1]
    # of two experiments that have the cell, the one that lists the benchmark gives it
    edits = ("epochs = 1", "epochs = 2"), ('["ifeval", "gsm8k"]', '["mbpp"]')
    plan = own_plan(tmp_path, *edits, more='id = "other"', end=view)
    assert {job.params["epochs"] for job in stage(plan, "sft")} == {2}
    with pytest.raises(RequestError, match="humaneval is given by 'which-evolver' and 'other'; wanted one experiment"):
        own_plan(tmp_path, *edits, more='id = "other"', end=view.replace("mbpp", "humaneval"))


def test_values_that_contradict_each_other_are_told_with_the_table(tmp_path: Path):
    # the manifest was not named; no two values of the first point's fields contradict each other
    brought = """[experiment.by.tuning.lora]
sft.lora = { rank = 8, alpha = 8 }
[experiment.by.base."smollm2-31l"]
sft.merge = true
"""
    with pytest.raises(RequestError) as error:
        plan_of(tmp_path, seed_data("e", '1e-5, tuning = ["lora", "full"]', brought))
    assert str(error.value) == (
        f"{tmp_path}/own.toml: table own: experiment 'e', base = smollm2-31l, tuning = full: sft: merge = true goes "
        "with tuning = 'lora'; without an adapter the tuned model is whole already"
    )


def test_a_cell_without_coordinates_is_told_by_its_measure(tmp_path: Path):
    # "table own: : gsm8k is given by ..."
    one = seed_data("a", "1e-5").replace('["smollm2-29l", "smollm2-31l"]', '"smollm2-29l"')
    view = '[[view]]\ncolumns = [{ measures = ["gsm8k"] }]\n'
    with pytest.raises(RequestError) as error:
        plan_of(tmp_path, one, one.replace('id = "a"', 'id = "b"'), view)
    assert str(error.value) == (f"{tmp_path}/own.toml: table own: gsm8k is given by 'a' and 'b'; wanted one experiment")
    assert [len(cell.keys) for cell in plan_of(tmp_path, one, view).cells["own"]] == [1]


def test_a_misspelt_base_of_a_view_is_told_with_the_right_name(tmp_path: Path):
    # its row was left out: "no player at scale smoke"
    view = '[[view]]\nrows = { base = ["smollm2-29l", "smolm2-29l"], evolver = ["smollm2-36l"] }\n'
    plan = own_plan(tmp_path, end=view + 'columns = [{ measures = ["gsm8k"] }]\n')
    assert [len(cell.keys) for cell in plan.cells["own"]] == [1, 0]
    assert plan.notes == [
        "own: 1 cell is left blank, which no experiment of the table gives: base smolm2-29l, did you mean "
        "'smollm2-29l'?"
    ]


def test_views_of_one_name_are_refused_with_the_name(tmp_path: Path):
    # "view[1].id: '' stands twice"
    view = '[[view]]\n{id}\nrows = { evolver = ["smollm2-36l"] }\ncolumns = [{ measures = ["gsm8k"] }]\n'
    with pytest.raises(RequestError, match=r"^own.toml: view\[1\].id: '2' stands twice; ids must differ$"):
        own_plan(tmp_path, end=view.replace("{id}", 'id = "2"') + view.replace("{id}", ""))


def test_without_a_view_a_value_that_is_brought_along_is_in_no_other_row(tmp_path: Path):
    # one table for both, in which the row of 3e-5 showed smollm2-31l as trained with 1e-5
    brought = '[experiment.by.base."smollm2-31l"]\nsft.learning_rate = 1e-5\n'
    plan = plan_of(tmp_path, seed_data("first", "[1e-5, 2e-5]"), seed_data("second", "3e-5", brought))
    assert {name: len(cells) for name, cells in plan.cells.items()} == {"own.first": 4, "own.second": 2}
    assert list(plan_of(tmp_path, seed_data("first", "[1e-5, 2e-5]"), seed_data("second", "3e-5")).cells) == ["own"]


def test_a_default_table_may_be_longer_than_a_list_of_a_manifest(tmp_path: Path):
    # each ended in a traceback: more than 100 values together, and a title with an id behind it
    rates = [", ".join(f"{n}e-6" for n in range(start, start + 60)) for start in (1, 61)]
    plan = plan_of(tmp_path, *(seed_data(f"e{n}", f"[{some}]") for n, some in enumerate(rates)))
    assert [len(cell.keys) for cell in plan.cells["own"]] == [1] * 240
    titles = [
        table.title
        for table in plan_of(tmp_path, *map(seed_data, "ab", ("1e-5",) * 2), title=300 * "t").tables.values()
    ]
    assert titles == [f"{300 * 't'}: a", f"{300 * 't'}: b"]
