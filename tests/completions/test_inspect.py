"""Reading of Inspect's logs, packed and unpacked."""

import json
import re
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

from kit.files.completions import Completions

TOOLS = Path(__file__).parents[1] / "data" / "tools"
GSM8K_TEXTS = [
    "Each crate holds 4 * 6 = 24 jars, so two hold 48.\n#### 48",
    "90 pages at 15 a day take 6 days.\n#### 6",
    "13 seats are taken.\n#### 13",
]
INSPECT = "inspect/2026-02-03T10-11-12+00-00_gsm8k_Tb4x.json"


def eval_log(path: Path, *, chunked: bool = False) -> Path:
    """An Inspect log as its EvalRecorder packs it: a header, and a file for each sample."""
    log = json.loads((TOOLS / INSPECT).read_text(encoding="utf-8"))
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("_journal/start.json", json.dumps({"version": 2, "eval": log["eval"], "plan": log["plan"]}))
        for sample in log["samples"]:
            name = f"samples/{sample['id']}_epoch_1"
            archive.writestr(f"{name}/sample.json" if chunked else f"{name}.json", json.dumps(sample, indent=2))
        archive.writestr("_journal/summaries/1.json", json.dumps([{"id": 1, "epoch": 1}]))
        archive.writestr("summaries.json", json.dumps([{"id": 1, "epoch": 1}]))
        archive.writestr("header.json", json.dumps({"status": "success", "eval": log["eval"]}))
    return path


def test_inspects_packed_log(read: Callable[..., Completions], tmp_path: Path):
    found = read("gsm8k", eval_log(tmp_path / "a_gsm8k.eval"))
    assert found.texts == GSM8K_TEXTS
    assert found.layout == "an Inspect log"
    assert read("gsm8k", tmp_path).texts == GSM8K_TEXTS  # the folder of logs


def test_inspects_packed_log_of_ids_with_a_slash(read: Callable[..., Completions], tmp_path: Path):
    with zipfile.ZipFile(tmp_path / "a.eval", "w") as archive:
        archive.writestr("header.json", "{}")
        for n in (2, 0, 1):
            sample = {"id": f"HumanEval/{n}", "epoch": 1, "input": f"Read: {n}", "target": ""}
            sample["output"] = {"choices": [{"message": {"role": "assistant", "content": f"t{n}"}}]}
            archive.writestr(f"samples/HumanEval/{n}_epoch_1.json", json.dumps(sample))
    found = read("humaneval", tmp_path / "a.eval")
    assert (found.texts, found.matched_by) == (["t0", "t1", "t2"], "id")


def test_inspects_sample_that_failed(message: Callable[..., str], edited: Callable[..., Path], tmp_path: Path):
    def fail(log: Any) -> Any:
        log["samples"][1]["output"] = {"model": "tiny", "choices": []}
        return log

    path = edited(INSPECT, fail, tmp_path)
    place = "output.choices.0.message.content"
    assert message("gsm8k", path) == (f"{path}: samples[1]: no field '{place}'; 'output.choices' is an empty list")


def test_inspects_log_in_chunks(message: Callable[..., str], tmp_path: Path):
    path = eval_log(tmp_path / "a.eval", chunked=True)
    assert message("gsm8k", path) == (
        f"{path}: an Inspect log in chunks; convert it by `inspect log convert {path} --to json --output-dir .`, and "
        "name the JSON file"
    )


def test_inspects_log_packed_by_zstd(message: Callable[..., str], tmp_path: Path):
    # newer versions of Inspect pack by it; Python's zipfile reads it from 3.14 on
    path = tmp_path / "a.eval"
    with zipfile.ZipFile(path, "w", zipfile.ZIP_STORED) as archive:
        archive.writestr("header.json", "{}")
        archive.writestr("samples/1_epoch_1.json", "{}")
    data = bytearray(path.read_bytes())
    for mark, offset in ((b"PK\x03\x04", 8), (b"PK\x01\x02", 10)):  # where each header has the method
        for found in re.finditer(re.escape(mark), bytes(data)):
            data[found.start() + offset] = 93
    path.write_bytes(data)
    assert message("gsm8k", path) == (
        f"{path}: samples/1_epoch_1.json: That compression method is not supported; convert it by `inspect log convert "
        f"{path} --to json --output-dir .`, and name the JSON file"
    )


def test_inspects_attachments(
    read: Callable[..., Completions], message: Callable[..., str], edited: Callable[..., Path], tmp_path: Path
):
    def attach(log: Any) -> Any:
        message = log["samples"][2]["output"]["choices"][0]["message"]
        log["samples"][2]["attachments"] = {"3a9": message["content"]}
        message["content"] = "attachment://3a9"
        return log

    assert read("gsm8k", edited(INSPECT, attach, tmp_path)).texts == GSM8K_TEXTS
