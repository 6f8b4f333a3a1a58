"""The paper's printed numbers: our files against the transcription beside the project, and the way to look them up."""

import re
import tomllib
from pathlib import Path
from typing import Any

import pytest
import yaml

from kit import paper
from kit.errors import RequestError

ROOT = Path(__file__).resolve().parent.parent
FOLDER = ROOT / "manifests" / "paper"
TRANSCRIPTION = ROOT.parent / "shared" / "paper" / "reported.yaml"
SLM, LLM = "llama-3.1-8b-instruct", "llama-3.1-70b-instruct"
NAMES = [f"table-{number}" for number in range(1, 16)] + [f"figure-{number}" for number in range(1, 8)]


def without_nulls(value: Any) -> Any:
    """TOML has no null: what the transcription holds as null, our files leave out; an empty list likewise."""
    if isinstance(value, dict):
        return {key: without_nulls(item) for key, item in value.items() if item is not None and item != []}
    return [without_nulls(item) for item in value] if isinstance(value, list) else value


def in_our_words(document: dict[str, Any]) -> dict[str, Any]:
    """The transcription's lists are plural, TOML's arrays of tables are singular."""
    singular = {"columns": "column", "rows": "row"}
    renamed = {singular.get(key, key): value for key, value in document.items()}
    if "series" in renamed:
        renamed["series"] = {name: in_our_words(series) for name, series in renamed["series"].items()}
    return renamed


@pytest.fixture(scope="module")
def reported() -> dict[str, Any]:
    if not TRANSCRIPTION.exists():
        pytest.skip("no shared/paper beside the project")
    return yaml.safe_load(TRANSCRIPTION.read_text(encoding="utf-8"))


@pytest.mark.shared
@pytest.mark.parametrize("name", NAMES)
def test_every_number_is_the_transcribed_one(name: str, reported: dict[str, Any]):
    kind, _, number = name.partition("-")
    wanted = in_our_words(without_nulls(reported[f"{kind}s"][number]))
    found = tomllib.loads((FOLDER / f"{name}.toml").read_text(encoding="utf-8"))
    assert found == wanted | {"schema": 1}


@pytest.mark.shared
def test_nothing_transcribed_is_missing(reported: dict[str, Any]):
    assert {f"table-{number}" for number in reported["tables"]} == {name for name in NAMES if name.startswith("t")}
    assert {f"figure-{number}" for number in reported["figures"]} == {name for name in NAMES if name.startswith("f")}
    found = tomllib.loads((FOLDER / "scalars.toml").read_text(encoding="utf-8"))["scalar"]
    assert found == without_nulls(reported["scalars"])


@pytest.mark.shared
@pytest.mark.parametrize("name", [name for name in NAMES if name.startswith("table")])
def test_cells_keep_their_printed_digits(name: str, reported: dict[str, Any]):
    # A converter that wrote 6.0 where the paper prints 6.00 would pass every comparison of numbers.
    digits = re.compile(r"(?:\d+\.\d+)(?:e-?\d+)?")
    source = TRANSCRIPTION.read_text(encoding="utf-8").split("\nfigures:", maxsplit=1)[0]
    block = re.split(r'\n  "\d+":\n', source)[int(name.partition("-")[2])]
    wanted = digits.findall(" ".join(re.findall(r"values: \{([^}]*)\}", block)))
    printed = (FOLDER / f"{name}.toml").read_text(encoding="utf-8")
    cells = re.findall(r"^values(?:\.\w+)? = (.*)$", printed, flags=re.MULTILINE)
    assert digits.findall(" ".join(cells)) == wanted


def test_names_are_in_the_papers_order():
    assert paper.names() == NAMES


@pytest.mark.parametrize("name", NAMES)
def test_every_file_is_strictly_valid(name: str):
    table = paper.table(name)
    known = {column.id for column in table.column}
    rows = table.row + [row for series in table.series.values() for row in series.row]
    assert all(set(row.values) <= known for row in rows)


@pytest.mark.parametrize("asked", [2, "2", "table-2", "table-2.toml"])
def test_a_table_goes_by_number_name_or_file(asked: int | str):
    assert paper.table(asked).title == "Qwen-2 evolvers, six base models, one round"


@pytest.mark.parametrize(
    ("number", "cell", "where", "value"),
    [
        pytest.param(1, (SLM, "llama-3.2-3b", "ifeval_prompt_strict"), {}, 41.59, id="table-1-first"),
        pytest.param(2, ("qwen-2-72b-instruct", "mistral-7b-v0.3", "mbpp"), {}, 1.80, id="table-2-mbpp"),
        pytest.param(10, (LLM, "llama-3-8b", "gsm8k"), {"round": 2}, 64.59, id="table-10-round-2"),
        pytest.param(12, (SLM, "llama-3.2-3b", "humaneval"), {"temperature": 0.9}, 40.24, id="table-12-temperature"),
        pytest.param(1, (SLM, "qwen-2-7b", "mbpp"), {}, None, id="no-such-row"),
    ],
)
def test_cells(number: int, cell: tuple[str, str, str], where: dict[str, Any], value: float | None):
    assert paper.table(number).cell(*cell, **where) == value


def test_tables_1_and_2_are_full():
    for number in (1, 2):
        table = paper.table(number)
        assert (len(table.row), len(table.column)) == (12, 8)
        assert all(len(row.values) == 8 for row in table.row)


def test_a_missing_column_is_named():
    with pytest.raises(RequestError) as error:
        paper.table(2).cell("qwen-2-7b-instruct", "llama-3-8b", "humanevals")
    assert str(error.value) == (
        "Qwen-2 evolvers, six base models, one round: no column 'humanevals'; did you mean 'humaneval'?"
    )


def test_several_rows_ask_for_what_tells_them_apart():
    with pytest.raises(RequestError) as error:
        paper.table(10).cell(SLM, "llama-3-8b", "gsm8k")
    assert str(error.value) == (
        "Three rounds on Llama-3-8B (detail of figure 1): 3 rows for llama-3.1-8b-instruct and llama-3-8b; "
        "say which with round"
    )


def test_an_unknown_table_is_named():
    with pytest.raises(RequestError) as error:
        paper.table("figure-8")
    assert str(error.value).startswith("the paper has no 'figure-8'; did you mean 'figure-")


def test_scalars():
    assert paper.scalars()["autoif_training_items"].value == 6720
    assert paper.scalars()["round3_slm_alpaca_very_hard_share"].qualifier == "nearly"
