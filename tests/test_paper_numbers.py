"""The paper's printed numbers: our files against the transcription, by hash, and the way to look them up."""

import importlib.util
import json
import re
import tomllib
from functools import lru_cache
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest
import yaml

from kit.catalogue import paper
from kit.errors import RequestError

ROOT = Path(__file__).resolve().parent.parent
FOLDER = ROOT / "manifests" / "paper"
SLM, LLM = "llama-3.1-8b-instruct", "llama-3.1-70b-instruct"
NAMES = [f"table-{number}" for number in range(1, 16)] + [f"figure-{number}" for number in range(1, 8)]


@pytest.fixture(scope="module")
def carry() -> ModuleType:
    """The script that made the sample; it can read the transcription."""
    spec = importlib.util.spec_from_file_location("carry", ROOT / "tests/data/carry.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.fixture(scope="module")
def digests() -> dict[str, Any]:
    """Return the sha256 of each transcribed table, by which numbers are checked where the transcription is missing."""
    return json.loads((ROOT / "tests/data/sample/paper/reported.json").read_text(encoding="utf-8"))


def printed(name: str) -> dict[str, Any]:
    found = tomllib.loads((FOLDER / f"{name}.toml").read_text(encoding="utf-8"))
    assert found.pop("schema") == 1
    return found


def cells(name: str) -> str:
    """Return the lines of a table's file that hold its cells."""
    text = (FOLDER / f"{name}.toml").read_text(encoding="utf-8")
    return " ".join(re.findall(r"^values(?:\.\w+)? = (.*)$", text, flags=re.MULTILINE))


@lru_cache
def transcription(path: Path) -> dict[str, Any]:
    return yaml.safe_load(path.read_text(encoding="utf-8"))


@pytest.mark.parametrize("name", NAMES)
def test_every_number_is_the_transcribed_one(
    name: str, carry: ModuleType, digests: dict[str, Any], reference_data: Path
):
    if reference_data.name == "shared":  # says which number differs, where a hash says only that one does
        assert printed(name) == carry.reported_document(transcription(reference_data / "paper/reported.yaml"), name)
    assert carry.digest(printed(name)) == digests["numbers"][name]


def test_nothing_transcribed_is_missing(carry: ModuleType, digests: dict[str, Any]):
    assert sorted(digests["numbers"]) == sorted(NAMES)
    scalars = tomllib.loads((FOLDER / "scalars.toml").read_text(encoding="utf-8"))["scalar"]
    assert carry.digest(scalars) == digests["scalars"]


@pytest.mark.parametrize("name", [name for name in NAMES if name.startswith("table")])
def test_cells_keep_their_printed_digits(name: str, carry: ModuleType, digests: dict[str, Any]):
    # A converter that wrote 6.0 where the paper prints 6.00 would pass every comparison of numbers.
    assert carry.digest(carry.decimals(cells(name))) == digests["digits"][name]


@pytest.mark.parametrize(
    "change", [("41.59", "41.58"), ("6.0,", "6,"), ("model", "modell")], ids=["last digit", "zero", "key"]
)
def test_a_digest_changes_with_a_number(change: tuple[str, str], carry: ModuleType):
    text = '{"model": "m", "a": 41.59, "b": 6.0, "c": null}'
    changed = json.loads(text.replace(*change))
    assert (carry.digest(changed) == carry.digest(json.loads(text))) is (change == ("6.0,", "6,"))
    assert carry.decimals("6.00, 6.0, 1.5e-05, 7") == ["6.00", "6.0", "1.5e-05"]


def test_names_are_in_the_papers_order():
    assert paper.names() == NAMES


def test_added_tables_come_last(tmp_path: Path):
    # README's own table-x.toml ended in a traceback: no number at its end
    for name in ("table-x", "figure-2", "table-16", "figure-\u00b2", "own-table", "table-2", "scalars"):
        (tmp_path / f"{name}.toml").touch()
    assert paper.names(tmp_path) == ["table-2", "table-16", "figure-2", "table-x", "figure-\u00b2", "own-table"]


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
    ("number", "at", "column", "value"),
    [
        pytest.param(1, (SLM, "llama-3.2-3b"), "ifeval_prompt_strict", 41.59, id="table-1-first"),
        pytest.param(2, ("qwen-2-72b-instruct", "mistral-7b-v0.3"), "mbpp", 1.80, id="table-2-mbpp"),
        pytest.param(9, (None, "llama-3-8b"), "gsm8k", 53.68, id="table-9-no-evolver"),
        pytest.param(10, (LLM, "llama-3-8b", "round", 2), "gsm8k", 64.59, id="table-10-round-2"),
        pytest.param(12, (SLM, "llama-3.2-3b", "temperature", 0.9), "humaneval", 40.24, id="table-12-temperature"),
        pytest.param(1, (SLM, "qwen-2-7b"), "mbpp", None, id="no-such-row"),
    ],
)
def test_cells(number: int, at: tuple[Any, ...], column: str, value: float | None):
    evolver, base, *more = at
    place = {"base": base, **({"evolver": evolver} if evolver else {}), **({more[0]: more[1]} if more else {})}
    assert paper.table(number).cell(place, column) == value


def test_tables_1_and_2_are_full():
    for number in (1, 2):
        table = paper.table(number)
        assert (len(table.row), len(table.column)) == (12, 8)
        assert all(len(row.values) == 8 for row in table.row)


def test_a_missing_column_is_named():
    with pytest.raises(RequestError) as error:
        paper.table(2).cell({"evolver": "qwen-2-7b-instruct", "base": "llama-3-8b"}, "humanevals")
    assert str(error.value) == (
        "Qwen-2 evolvers, six base models, one round: no column 'humanevals'; did you mean 'humaneval'?"
    )


def test_several_matching_rows_name_the_axes_that_differ():
    with pytest.raises(RequestError) as error:
        paper.table(10).cell({"evolver": SLM, "base": "llama-3-8b"}, "gsm8k")
    assert str(error.value) == (
        "Three rounds on Llama-3-8B (detail of figure 1): 3 rows for evolver = llama-3.1-8b-instruct, base = "
        "llama-3-8b; say which with round"
    )


def test_a_figures_series():
    figure = paper.table("figure-1").of_series("from_tables")
    assert figure.cell({"evolver": SLM, "base": "llama-3-8b", "round": 0}, "gsm8k") == 53.68
    with pytest.raises(RequestError) as error:
        figure.of_series("from_table")
    assert str(error.value) == (
        "three rounds on Llama-3-8B, drawn as lines: no series 'from_table'; did you mean 'from_tables'?"
    )


def test_an_unknown_table_is_named():
    with pytest.raises(RequestError) as error:
        paper.table("figure-8")
    assert str(error.value).startswith("the paper has no 'figure-8'; did you mean 'figure-")


def test_scalars():
    assert paper.scalars()["autoif_training_items"].value == 6720
    assert paper.scalars()["round3_slm_alpaca_very_hard_share"].qualifier == "nearly"
