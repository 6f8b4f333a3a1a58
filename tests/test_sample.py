"""The sample in the project: SOURCES.md describes it, and every row is from the reference data."""

import hashlib
import importlib.util
import json
import re
from pathlib import Path

import pytest
import yaml

DATA = Path(__file__).resolve().parent / "data"
SAMPLE = DATA / "sample"
FILES = sorted(str(path.relative_to(SAMPLE)) for path in SAMPLE.rglob("*") if path.is_file())
ROW = re.compile(r"^\| `([^`]+)` \| (.+) \| (?:.+ \| )?([0-9a-f]{64}) \|$", re.MULTILINE)
CARRIED, NOT_CARRIED = (DATA / "SOURCES.md").read_text(encoding="utf-8").split("## Not carried")


def test_every_carried_file_of_data_is_in_the_table():
    named = [name for name, *_ in ROW.findall(CARRIED)]
    assert sorted(f"data/{name}" for name in named) == [name for name in FILES if name.startswith("data/")]
    assert not {name for name, *_ in ROW.findall(NOT_CARRIED)} & set(named)


def test_no_carried_set_forbids_commercial_use_and_each_has_a_licence():
    lines = [line for line in CARRIED.splitlines() if ROW.match(line)]
    assert len(lines) == 8
    assert all(re.search(r"\| (MIT|CC BY 4\.0|Apache-2\.0)\b[^|]*\|", line) for line in lines)
    assert not [line for line in lines if "NC" in line]


@pytest.mark.parametrize("name", [name for name in FILES if name.startswith("data/") and name.endswith(".jsonl")])
def test_the_number_of_rows_is_the_tables(name: str):
    rows = {file: int(re.search(r"\d+", text)[0]) for file, text, _ in ROW.findall(CARRIED)}
    assert len((SAMPLE / name).read_text(encoding="utf-8").splitlines()) == rows[name.removeprefix("data/")]


def test_the_sample_is_small():
    assert sum((SAMPLE / name).stat().st_size for name in FILES) < 600_000


def test_important_rows_are_in_the_sample():
    def rows(name: str) -> list[dict]:
        return [json.loads(line) for line in (SAMPLE / "data" / name).read_text(encoding="utf-8").splitlines()]

    asked = rows("ifeval/input_data_before_2024-06-11.jsonl")
    assert len({name for row in asked for name in row["instruction_id_list"]}) == 25  # all types of IFEval
    assert {row["level"] for row in rows("math/test.jsonl")} == {f"Level {n}" for n in range(1, 6)}
    assert len({row["type"] for row in rows("math/test.jsonl")}) == 7  # all subjects of MATH
    assert len(yaml.safe_load((SAMPLE / "design/pins.yaml").read_text(encoding="utf-8"))["models"]) == 33


@pytest.mark.shared
def test_the_sample_is_the_reference_datas(shared: Path):
    spec = importlib.util.spec_from_file_location("carry", DATA / "carry.py")
    carry = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(carry)
    made = carry.carried(shared)
    assert sorted(made) == FILES
    assert [name for name in FILES if (SAMPLE / name).read_bytes() != made[name]] == []


@pytest.mark.shared
def test_the_originals_have_the_hashes_of_the_table(shared: Path):
    table = {name: sha256 for name, _, sha256 in ROW.findall(CARRIED + NOT_CARRIED)}
    assert len(table) == 20
    assert {name: hashlib.sha256((shared / "data" / name).read_bytes()).hexdigest() for name in table} == table
