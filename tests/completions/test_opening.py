"""Files, folders and archives are opened however they are packed, or refused by what they are."""

import gzip
import json
import re
import shutil
import zipfile
from collections.abc import Callable
from pathlib import Path

import pytest

from kit import registry
from kit.errors import RequestError
from kit.files.completions import Completions, read_completions
from kit.records import Problem

TOOLS = Path(__file__).parents[1] / "data" / "tools"
GSM8K_TEXTS = [
    "Each crate holds 4 * 6 = 24 jars, so two hold 48.\n#### 48",
    "90 pages at 15 a day take 6 days.\n#### 6",
    "13 seats are taken.\n#### 13",
]
LM_EVAL = "lm_eval/tiny__model/samples_gsm8k_2026-02-03T10-11-12.000001.jsonl"


PACKED = {
    "gzip": lambda data, folder: (folder / "samples.jsonl.gz").write_bytes(gzip.compress(data)),
    "gzip in two members": lambda data, folder: (folder / "s.gz").write_bytes(
        gzip.compress(data[:700]) + gzip.compress(data[700:])
    ),
    "gzip without its ending": lambda data, folder: (folder / "samples.jsonl").write_bytes(gzip.compress(data)),
    "a byte-order mark": lambda data, folder: (folder / "samples.jsonl").write_bytes(b"\xef\xbb\xbf" + data),
    "CRLF": lambda data, folder: (folder / "samples.jsonl").write_bytes(data.replace(b"\n", b"\r\n")),
    "gzip with a byte-order mark": lambda data, folder: (folder / "s.jsonl.gz").write_bytes(
        gzip.compress(b"\xef\xbb\xbf" + data)
    ),
}


@pytest.mark.parametrize("pack", PACKED.values(), ids=list(PACKED))
def test_packed_and_marked_files(read: Callable[..., Completions], pack: Callable[[bytes, Path], int], tmp_path: Path):
    # "byte 1 is not UTF-8"
    pack((TOOLS / LM_EVAL).read_bytes(), tmp_path)
    (path,) = tmp_path.iterdir()
    assert read("gsm8k", path).texts == GSM8K_TEXTS


def test_files_joined_that_each_have_a_byte_order_mark(read: Callable[..., Completions], tmp_path: Path):
    rows = [json.dumps({"id": n, "output": f"t{n}"}).encode() + b"\n" for n in range(3)]
    (tmp_path / "c.jsonl").write_bytes(b"".join(b"\xef\xbb\xbf" + row for row in rows))
    assert read("gsm8k", tmp_path / "c.jsonl").texts == ["t0", "t1", "t2"]


UNREADABLE = {
    "UTF-16": ('[{"id": 0}]'.encode("utf-16"), "UTF-16 text; save the file as UTF-8"),
    "UTF-16 with no mark": ('[{"id": 0}]'.encode("utf-16-le"), "UTF-16 text; save the file as UTF-8"),
    "UTF-16, big end first, no mark": ('[{"id": 0}]'.encode("utf-16-be"), "UTF-16 text; save the file as UTF-8"),
    "UTF-32": ('[{"id": 0}]'.encode("utf-32"), "UTF-32 text; save the file as UTF-8"),
    "Latin-1": (b'[{"id": "caf\xe9"}]', "line 1: byte 12 (0xe9) is not UTF-8; save the file as UTF-8"),
    "Latin-1 behind a mark": (
        b'\xef\xbb\xbf[{"id": "a"},\n{"id": "caf\xe9"}]',
        "line 2: byte 11 (0xe9) is not UTF-8; save the file as UTF-8",
    ),
    "zstd": (b"\x28\xb5\x2f\xfd....", "packed by zstd; unpack it first, or pack it by gzip"),
    "gzip, twice": (gzip.compress(gzip.compress(b'{"id": 0}')), "packed by gzip twice; unpack it once"),
    "zip in gzip": (gzip.compress(b"PK\x03\x04...."), "a zip archive; unpack it first"),
    "Parquet": (b"PAR1....", "a Parquet file; write its rows as JSONL"),
    "gzip, cut off": (
        gzip.compress(b'{"id": 0}')[:-9],
        "cannot be unpacked (Compressed file ended before the end-of-stream marker was reached); is the file cut off?",
    ),
    "zip, cut off": (b"PK\x03\x04....", "cannot be unpacked (File is not a zip file); is the file cut off?"),
    "empty": (b" \n", "empty; wanted a JSON list or JSONL of records"),
}


@pytest.mark.parametrize("data, text", UNREADABLE.values(), ids=list(UNREADABLE))
def test_what_cannot_be_read_is_called_by_its_name(message: Callable[..., str], data: bytes, text: str, tmp_path: Path):
    (tmp_path / "c.jsonl").write_bytes(data)
    assert message("gsm8k", tmp_path / "c.jsonl") == f"{tmp_path}/c.jsonl: {text}"


@pytest.mark.parametrize("depth", [300, 600, 900, 100_000])
def test_a_nest_too_deep_is_no_traceback(depth: int, tmp_path: Path):
    path = tmp_path / "c.json"
    for row in ('"origin_prompt": %s, "prediction": "t"', '"origin_prompt": "", "prediction": %s'):
        path.write_text('{"0": {' + row.replace("%s", depth * "[" + '"Sum?"' + depth * "]") + "}}")
        try:
            texts = read_completions(path, [Problem(id="0", data={"question": "Sum?"})]).texts
            assert texts in (["t"], ["Sum?"])
        except RequestError as error:
            assert re.search(r"nested too deep to read; wanted records of texts$", str(error))


def test_a_packed_file_that_would_fill_the_memory(
    message: Callable[..., str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setattr("kit.reading.textfiles.MAX_UNPACKED_BYTES", 1000)
    monkeypatch.setattr("kit.files.completions.opening.MAX_UNPACKED_BYTES", 1000)
    (tmp_path / "c.jsonl.gz").write_bytes(gzip.compress(1001 * b" "))
    with zipfile.ZipFile(tmp_path / "c.zip", "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("c.jsonl", 1001 * " ")
    for name in ("c.jsonl.gz", "c.zip"):
        assert message("gsm8k", tmp_path / name) == f"{tmp_path}/{name}: unpacks to more than 1,000 bytes; split it"


def test_a_zip_archive_of_a_folder(read: Callable[..., Completions], tmp_path: Path):
    shutil.make_archive(str(tmp_path / "run"), "zip", TOOLS / "evalplus" / "tiny_vllm_temp_0.0")
    found = read("humaneval", tmp_path / "run.zip")
    assert found.texts == read("humaneval", TOOLS / "evalplus/tiny_vllm_temp_0.0").texts


def test_a_folder_of_two_runs(message: Callable[..., str], tmp_path: Path):
    for model in ("a", "b"):
        shutil.copytree(TOOLS / "opencompass/predictions/tiny", tmp_path / "predictions" / model)
    assert message("gsm8k", tmp_path) == (
        f"{tmp_path}: 2 sets of predictions (predictions/a/gsm8k, predictions/b/gsm8k); name one file"
    )


def test_a_folder_with_nothing_to_read(message: Callable[..., str], tmp_path: Path):
    (tmp_path / "README.md").write_text("Runs")
    assert message("gsm8k", tmp_path) == (
        f"{tmp_path}: no file of completions in it, found README.md; wanted .json, .jsonl, .ndjson, .json.gz, "
        ".jsonl.gz, .ndjson.gz, .eval, .zip, or <task>/0.py"
    )


def test_data_files_are_read_in_the_same_shapes(tmp_path: Path):
    # gz, a JSON list and one row with a list of objects are a user's problems too
    rows = [json.loads(line) for line in (TOOLS / "mbpp.jsonl").read_text(encoding="utf-8").splitlines()]
    packed, listed = tmp_path / "p.jsonl.gz", tmp_path / "p.json"
    packed.write_bytes(gzip.compress((TOOLS / "mbpp.jsonl").read_bytes()))
    listed.write_text(json.dumps(rows, indent=1))
    module = registry.load("benchmarks", "mbpp")
    assert module.read(packed) == module.read(listed) == module.read(TOOLS / "mbpp.jsonl")
