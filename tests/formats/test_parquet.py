"""Parquet: types that are kept, and files that are damaged, nested without end, or unpack to too much."""

from pathlib import Path
from typing import Any

import pytest

from kit.errors import KitError, RequestError
from kit.files import parquet
from kit.files.formats import open_rows
from kit.files.seeds import read_instructions
from kit.files.writing import write_back
from kit.records import Pair
from tests.formats.conftest import write


def table(tmp_path: Path, columns: dict[str, Any], **options: Any) -> Path:
    pa, pq = pytest.importorskip("pyarrow"), pytest.importorskip("pyarrow.parquet")
    pq.write_table(pa.table(columns), tmp_path / "p", **options)
    return tmp_path / "p"


def test_columns_that_nobody_reads_keep_their_types(tmp_path: Path):
    pa, pq = pytest.importorskip("pyarrow"), pytest.importorskip("pyarrow.parquet")
    columns = {
        "n": pa.array([1, None], pa.int16()),
        "when": pa.array([0, 1], pa.timestamp("us")),
        "raw": pa.array([b"\xff", None], pa.binary()),
        "nan": pa.array([float("nan"), 1.0], pa.float32()),
        "instruction": pa.array(["a", "b"], pa.dictionary(pa.int32(), pa.string())),
        "output": pa.array(["c", "d"], pa.large_string()),
        "of": pa.array([[{"x": [1]}], []], pa.list_(pa.struct([("x", pa.list_(pa.int8()))]))),
    }
    path = table(tmp_path, columns, compression="gzip")
    origin = open_rows(path)
    write_back([Pair(id="p/1", instruction="e\ud83d", output="f"), 0], origin, tmp_path / "o")
    before, after = pq.read_table(path), pq.read_table(tmp_path / "o")
    assert after.column_names == ["id", *before.column_names, "input"]
    assert after.select(before.column_names).schema.types == before.schema.types
    untouched = ["n", "when", "raw", "of"]
    assert after.select(untouched).to_pylist() == before.take([1, 0]).select(untouched).to_pylist()
    assert after.select(["id", "instruction", "output", "input"]).to_pylist() == [
        {"id": "p/1", "instruction": "e\ufffd", "output": "f", "input": ""},
        {"id": None, "instruction": "a", "output": "c", "input": None},
    ]
    assert pq.ParquetFile(tmp_path / "o").metadata.row_group(0).column(0).compression == "GZIP"


def test_columns_of_one_name_and_no_row_are_refused(tmp_path: Path):
    pa, pq = pytest.importorskip("pyarrow"), pytest.importorskip("pyarrow.parquet")
    path = tmp_path / "p"
    pq.write_table(pa.Table.from_arrays([pa.array(["a"]), pa.array(["b"])], names=["instruction", "instruction"]), path)
    with pytest.raises(RequestError) as error:
        open_rows(path)
    assert str(error.value) == f"{path}: it has the column 'instruction' twice; wanted each name once"
    with pytest.raises(RequestError) as error:
        open_rows(table(tmp_path, {"instruction": pa.array([], pa.string())}))
    assert str(error.value) == f"{path}: no row; wanted a Parquet file of records"


def test_lists_in_each_other_without_end_are_refused(tmp_path: Path):
    pytest.importorskip("pyarrow")
    deep: Any = "x"
    for _ in range(60):
        deep = {"a": [deep]}
    path = table(tmp_path, {"instruction": ["a"], "deep": [deep]})
    with pytest.raises(RequestError) as error:
        open_rows(path)
    assert str(error.value) == (
        f"{path}: cannot be read as Parquet (Parquet schema too deeply nested, consider increasing schema depth limit "
        "(current limit is 100)); is the file cut off?"
    )


def test_a_text_that_is_bytes_is_refused(tmp_path: Path):
    path = table(tmp_path, {"instruction": [b"a"]})
    with pytest.raises(RequestError) as error:
        read_instructions(path, "auto", "p")
    assert str(error.value) == f"{path}[0]: 'instruction': found bytes, wanted text"


def test_parquet_without_pyarrow(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(parquet, "find_spec", lambda _: None)
    path = write(tmp_path / "p", b"PAR1")
    with pytest.raises(RequestError) as error:
        open_rows(path)
    assert str(error.value) == (
        f"{path}: a Parquet file, and pyarrow, which reads it, is not installed; install pyarrow, or write the "
        "rows as JSONL"
    )


def test_parquet_that_unpacks_without_end(tmp_path: Path):
    # half a megabyte that holds 1 GB: one text, 2,000 times
    path = table(tmp_path, {"instruction": 2000 * [2**19 * "x"]}, compression="zstd")
    with pytest.raises(RequestError) as error:
        open_rows(path)
    assert str(error.value) == (f"{path}: unpacks to more than 500 times its {path.stat().st_size:,} bytes; no rows do")


def test_a_reader_that_is_brought_down_is_an_error(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    path = table(tmp_path, {"instruction": ["a"]})
    monkeypatch.setattr(parquet, "SCRIPT", write(tmp_path / "child.py", "import os; os.abort()"))
    with pytest.raises(RequestError) as error:
        open_rows(path)
    assert str(error.value) == (
        f"{path}: its reader came to an end on it (pyarrow); is the file damaged, or too large?"
    )


def test_ids_of_numbers_become_texts_where_a_new_one_is_a_text(tmp_path: Path):
    # all was computed, and then could not be written
    path = table(tmp_path, {"instruction": ["a", "d"], "id": [7, 8], "input": [None, None], "n": [1, 2]})
    write_back([Pair(id="new", instruction="b", input="i", output="c"), 1], open_rows(path), tmp_path / "o")
    assert [record for _, record in open_rows(tmp_path / "o").records] == [
        {"instruction": "b", "id": "new", "input": "i", "n": None, "output": "c"},
        {"instruction": "d", "id": "8", "input": None, "n": 2, "output": None},
    ]


def test_values_that_a_column_can_not_hold(tmp_path: Path):
    path = table(tmp_path, {"instruction": ["a"], "more": [[7]]})
    with pytest.raises(KitError) as error:
        parquet.write(path.read_bytes(), tmp_path / "o", [0], {"more": [(0, "b")]})
    assert str(error.value) == (
        f"{tmp_path}/o: cannot be written as Parquet (Could not convert 'b' with type str: tried to convert to "
        "int64); do its columns fit the new values?"
    )
