"""Results of other tools are read as they are: the samples in data/tools have the layouts of the tools' own writers."""

import gzip
import json
import re
import shutil
import sys
import unicodedata
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from kit import registry
from kit.cli import main
from kit.completions import Completions, read_completions
from kit.errors import RequestError
from kit.records import Problem

TOOLS = Path(__file__).parent / "data" / "tools"
GSM8K_TEXTS = [
    "Each crate holds 4 * 6 = 24 jars, so two hold 48.\n#### 48",
    "90 pages at 15 a day take 6 days.\n#### 6",
    "13 seats are taken.\n#### 13",
]
LM_EVAL = "lm_eval/tiny__model/samples_gsm8k_2026-02-03T10-11-12.000001.jsonl"
INSPECT = "inspect/2026-02-03T10-11-12+00-00_gsm8k_Tb4x.json"
BIGCODE = "bigcode/generations_humaneval.json"


def problems_of(benchmark: str) -> list[Problem]:
    return registry.load("benchmarks", benchmark).read(TOOLS / f"{benchmark}.jsonl")  # type: ignore[no-any-return]


def read(benchmark: str, path: Path, **options: Any) -> Completions:
    return read_completions(path, problems_of(benchmark), benchmark=benchmark, **options)


def message(benchmark: str, path: Path, **options: Any) -> str:
    with pytest.raises(RequestError) as error:
        read(benchmark, path, **options)
    return str(error.value)


def edited(name: str, edit: Callable[[Any], Any], folder: Path) -> Path:
    """A copy of a sample with its JSON edited; JSONL is edited as a list of its rows."""
    text = (TOOLS / name).read_text(encoding="utf-8")
    path = folder / Path(name).name
    if name.endswith(".jsonl"):
        rows = edit([json.loads(line) for line in text.splitlines()])
        path.write_text("".join(json.dumps(row) + "\n" for row in rows), encoding="utf-8")
    else:
        path.write_text(json.dumps(edit(json.loads(text)), indent=2), encoding="utf-8")
    return path


def lines(path: Path, rows: list[Any]) -> Path:
    path.write_text("".join(json.dumps(row) + "\n" for row in rows), encoding="utf-8")
    return path


GSM8K = {
    # each was refused
    "lm-eval samples": (
        LM_EVAL,
        "3 texts read from 'resps.0.0' of lm-eval samples, matched by 'doc_id', left out: rows under another "
        "filter (flexible-extract) 3",
    ),
    "lm-eval folder": (
        "lm_eval",
        "3 texts read from 'resps.0.0' of lm-eval samples, matched by 'doc_id', left out: other files 1, rows under "
        "another filter (flexible-extract) 3",
    ),
    "OpenCompass predictions": (
        "opencompass/predictions/tiny/gsm8k.json",
        "3 texts read from 'prediction' of OpenCompass predictions, matched by position",
    ),
    "OpenCompass folder": (
        "opencompass",
        "3 texts read from 'prediction' of OpenCompass predictions, matched by position, left out: other files 2",
    ),
    "OpenCompass parts": (
        "opencompass_parts",
        "3 texts read from 'prediction' of OpenCompass predictions, matched by position",
    ),
    "Inspect log": (
        INSPECT,
        "3 texts read from 'output.choices.0.message.content' of an Inspect log, matched by 'input'",
    ),
}


@pytest.mark.parametrize("name, summary", GSM8K.values(), ids=list(GSM8K))
def test_gsm8k_of_other_tools(name: str, summary: str):
    found = read("gsm8k", TOOLS / name)
    assert found.texts == GSM8K_TEXTS
    assert found.summary() == summary


CODE = {
    "bigcode generations": (
        "humaneval",
        BIGCODE,
        "3 texts read from a list of generations, matched by position",
    ),
    "EvalPlus samples": (
        "humaneval",
        "evalplus/humaneval",
        "3 texts read from 'solution' of records, matched by 'task_id'",
    ),
    "EvalPlus programs": (
        "humaneval",
        "evalplus/tiny_vllm_temp_0.0",
        "3 texts read from EvalPlus's folder, matched by 'task_id'",
    ),
    "EvalPlus MBPP": (
        "mbpp",
        "evalplus/mbpp/tiny_vllm_temp_0.0.jsonl",
        "3 texts read from 'solution' of records, matched by 'task_id'",
    ),
}


@pytest.mark.parametrize("benchmark, name, summary", CODE.values(), ids=list(CODE))
def test_code_of_other_tools(benchmark: str, name: str, summary: str):
    found = read(benchmark, TOOLS / name)
    names = {"humaneval": ["def add", "def double", "def first"], "mbpp": ["def add", "def double", "def last"]}
    assert [text.partition("(")[0] for text in found.texts] == names[benchmark]
    assert found.summary() == summary


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
def test_packed_and_marked_files(pack: Callable[[bytes, Path], int], tmp_path: Path):
    # "byte 1 is not UTF-8"
    pack((TOOLS / LM_EVAL).read_bytes(), tmp_path)
    (path,) = tmp_path.iterdir()
    assert read("gsm8k", path).texts == GSM8K_TEXTS


def test_files_joined_that_each_have_a_byte_order_mark(tmp_path: Path):
    rows = [json.dumps({"id": n, "output": f"t{n}"}).encode() + b"\n" for n in range(3)]
    (tmp_path / "c.jsonl").write_bytes(b"".join(b"\xef\xbb\xbf" + row for row in rows))
    assert read("gsm8k", tmp_path / "c.jsonl").texts == ["t0", "t1", "t2"]


UNREADABLE = {
    "UTF-16": ('[{"id": 0}]'.encode("utf-16"), "UTF-16 text; save the file as UTF-8"),
    "UTF-16 with no mark": ('[{"id": 0}]'.encode("utf-16-le"), "UTF-16 text; save the file as UTF-8"),
    "UTF-16, big end first, no mark": ('[{"id": 0}]'.encode("utf-16-be"), "UTF-16 text; save the file as UTF-8"),
    "UTF-32": ('[{"id": 0}]'.encode("utf-32"), "UTF-32 text; save the file as UTF-8"),
    "Latin-1": (b'[{"id": "caf\xe9"}]', "byte 12 is not UTF-8; save the file as UTF-8"),
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
def test_what_cannot_be_read_is_called_by_its_name(data: bytes, text: str, tmp_path: Path):
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


def test_a_packed_file_that_would_fill_the_memory(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr("kit.textfiles.MAX_UNPACKED_BYTES", 1000)
    monkeypatch.setattr("kit.completions.opening.MAX_UNPACKED_BYTES", 1000)
    (tmp_path / "c.jsonl.gz").write_bytes(gzip.compress(1001 * b" "))
    with zipfile.ZipFile(tmp_path / "c.zip", "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("c.jsonl", 1001 * " ")
    for name in ("c.jsonl.gz", "c.zip"):
        assert message("gsm8k", tmp_path / name) == f"{tmp_path}/{name}: unpacks to more than 1,000 bytes; split it"


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


def test_inspects_packed_log(tmp_path: Path):
    found = read("gsm8k", eval_log(tmp_path / "a_gsm8k.eval"))
    assert found.texts == GSM8K_TEXTS
    assert found.layout == "an Inspect log"
    assert read("gsm8k", tmp_path).texts == GSM8K_TEXTS  # the folder of logs


def test_inspects_packed_log_of_ids_with_a_slash(tmp_path: Path):
    with zipfile.ZipFile(tmp_path / "a.eval", "w") as archive:
        archive.writestr("header.json", "{}")
        for n in (2, 0, 1):
            sample = {"id": f"HumanEval/{n}", "epoch": 1, "input": f"Read: {n}", "target": ""}
            sample["output"] = {"choices": [{"message": {"role": "assistant", "content": f"t{n}"}}]}
            archive.writestr(f"samples/HumanEval/{n}_epoch_1.json", json.dumps(sample))
    found = read("humaneval", tmp_path / "a.eval")
    assert (found.texts, found.matched_by) == (["t0", "t1", "t2"], "id")


def test_inspects_sample_that_failed(tmp_path: Path):
    def fail(log: Any) -> Any:
        log["samples"][1]["output"] = {"model": "tiny", "choices": []}
        return log

    path = edited(INSPECT, fail, tmp_path)
    place = "output.choices.0.message.content"
    assert message("gsm8k", path) == (f"{path}: samples[1]: no field '{place}'; 'output.choices' is an empty list")


def test_inspects_log_in_chunks(tmp_path: Path):
    path = eval_log(tmp_path / "a.eval", chunked=True)
    assert message("gsm8k", path) == (
        f"{path}: an Inspect log in chunks; convert it by `inspect log convert {path} --to json --output-dir .`, and "
        "name the JSON file"
    )


def test_inspects_log_packed_by_zstd(tmp_path: Path):
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


def test_inspects_attachments(tmp_path: Path):
    def attach(log: Any) -> Any:
        message = log["samples"][2]["output"]["choices"][0]["message"]
        log["samples"][2]["attachments"] = {"3a9": message["content"]}
        message["content"] = "attachment://3a9"
        return log

    assert read("gsm8k", edited(INSPECT, attach, tmp_path)).texts == GSM8K_TEXTS


def test_a_zip_archive_of_a_folder(tmp_path: Path):
    shutil.make_archive(str(tmp_path / "run"), "zip", TOOLS / "evalplus" / "tiny_vllm_temp_0.0")
    found = read("humaneval", tmp_path / "run.zip")
    assert found.texts == read("humaneval", TOOLS / "evalplus/tiny_vllm_temp_0.0").texts


SHAPES: dict[str, Any] = {
    # other shapes that people's scripts write
    "texts by id": {"0": "t0", "2": "t2", "1": "t1"},
    "lists of one text by id": {"0": ["t0"], "1": ["t1"], "2": ["t2"]},
    "records by id": {str(n): {"output": f"t{n}", "tokens": 3} for n in range(3)},
    "a list with something around it": {
        "model": "tiny",
        "name": "run 1",
        "results": [{"id": n, "output": f"t{n}"} for n in range(3)],
    },
    "a list of texts": ["t0", "t1", "t2"],
    "OpenAI's chat completions": [
        {"custom_id": f"gsm8k-{n}", "response": {"body": {"choices": [{"message": {"content": f"t{n}"}}]}}}
        for n in range(3)
    ],
    "OpenAI's completions": [
        {"custom_id": f"gsm8k-{n}", "response": {"body": {"choices": [{"text": f"t{n}"}]}}} for n in range(3)
    ],
    "FastChat's turns": [{"question_id": n, "choices": [{"index": 0, "turns": [f"t{n}"]}]} for n in range(3)],
    "vLLM's outputs": [{"index": n, "outputs": [{"index": 0, "text": f"t{n}"}]} for n in range(3)],
    "a list of one text": [{"idx": n, "responses": [f"t{n}"]} for n in range(3)],
    "content parts": [{"id": n, "output": [{"type": "text", "text": f"t{n}"}]} for n in range(3)],
}


@pytest.mark.parametrize("whole", SHAPES.values(), ids=list(SHAPES))
def test_other_shapes(whole: Any, tmp_path: Path):
    (tmp_path / "c.json").write_text(json.dumps(whole, indent=1))
    assert read("gsm8k", tmp_path / "c.json").texts == ["t0", "t1", "t2"]
    (tmp_path / "c.json").write_text(json.dumps(whole))
    assert read("gsm8k", tmp_path / "c.json").texts == ["t0", "t1", "t2"]
    if isinstance(whole, list):
        assert read("gsm8k", lines(tmp_path / "c.jsonl", whole)).texts == ["t0", "t1", "t2"]


def test_evalplus_results(tmp_path: Path):
    rows = {f"Mbpp/{n}": [{"task_id": f"Mbpp/{n}", "solution": f"t{n}", "base_status": "pass"}] for n in (11, 12, 13)}
    (tmp_path / "r.json").write_text(json.dumps({"date": "2026-02-03 10:11", "hash": "ab", "eval": rows}))
    assert read("mbpp", tmp_path / "r.json").texts == ["t11", "t12", "t13"]


IDS = {
    # "belongs to no problem"
    "EvalPlus": ("mbpp", "task_id", ["Mbpp/11", "Mbpp/12", "Mbpp/13"]),
    "MBPP+": ("mbpp", "task_id", ["MbppPlus/11", "MbppPlus/12", "MbppPlus/13"]),
    "MBPP, a split": ("mbpp", "id", ["mbpp/test/11", "mbpp/test/12", "mbpp/test/13"]),
    "MBPP, positions": ("mbpp", "idx", [0, 1, 2]),
    "MBPP, positions as text": ("mbpp", "index", ["0", "1", "2"]),
    "MBPP, lm-eval's positions": ("mbpp", "doc_id", [0, 1, 2]),
    "MBPP, ids under another name": ("mbpp", "idx", [11, 12, 13]),
    "MBPP, ids of a table with gaps": ("mbpp", "task_id", [11.0, 12.0, 13.0]),
    "MBPP, positions that are called ids": ("mbpp", "question_id", [0, 1, 2]),
    "HumanEval, numbers": ("humaneval", "task_id", [0, 1, 2]),
    "HumanEval, zeros in front": ("humaneval", "id", ["000", "001", "002"]),
    "HumanEval, zeros after the name": ("humaneval", "id", ["HumanEval/000", "HumanEval/001", "HumanEval/002"]),
    "HumanEval, underscores": ("humaneval", "task_id", ["HumanEval_0", "HumanEval_1", "HumanEval_2"]),
    "HumanEval, the data set's name": ("humaneval", "name", [f"openai_humaneval/{n}" for n in range(3)]),
    "HumanEval, small letters": ("humaneval", "problem_id", ["human_eval/0", "human_eval/1", "human_eval/2"]),
    "GSM8K, a split": ("gsm8k", "question_id", ["gsm8k/test/0", "gsm8k/test/1", "gsm8k/test/2"]),
    "GSM8K, a word": ("gsm8k", "id", ["task_0", "task_1", "task_2"]),
    "HumanEval, a table's numbers as text": ("humaneval", "id", ["0.0", "1.0", "2.0"]),
    "HumanEval, a table's numbers after the name": ("humaneval", "id", [f"HumanEval/{n}.0" for n in range(3)]),
    "MBPP, a table's positions as text": ("mbpp", "idx", ["0.0", "1.0", "2.0"]),
    "IFEval, positions": ("ifeval", "idx", [0, 1]),
    "IFEval, keys as text": ("ifeval", "key", ["1001", "1005"]),
}


@pytest.mark.parametrize("benchmark, field, ids", IDS.values(), ids=list(IDS))
def test_ids_of_other_tools(benchmark: str, field: str, ids: list[Any], tmp_path: Path):
    rows = [{field: id, "completion": f"t{n}"} for n, id in enumerate(ids)]
    path = lines(tmp_path / "c.jsonl", rows[::-1])
    assert read(benchmark, path).texts == [f"t{n}" for n in range(len(ids))]
    if field != "doc_id":
        assert read(benchmark, path).matched_by == field


FOREIGN = {
    "another benchmark's ids": ("mbpp", [f"HumanEval/{n}" for n in (11, 12, 13)]),
    "another benchmark's ids, underscores": ("humaneval", [f"mbpp_{n}" for n in (0, 1, 2)]),
    "ids of a set that the kit lacks": ("gsm8k", [f"ARC-Easy/{n}" for n in (0, 1, 2)]),
    "MBPP's training tasks": ("mbpp", ["Mbpp/2", "Mbpp/3", "Mbpp/4"]),
    "a number with a fraction": ("gsm8k", [0.5, 1.5, 2.5]),
    "a number with a fraction, as text": ("gsm8k", ["0.5", "1.5", "2.5"]),
    "truth values": ("gsm8k", [False, True, True]),
}


@pytest.mark.parametrize("benchmark, ids", FOREIGN.values(), ids=list(FOREIGN))
def test_ids_of_other_sets_are_no_ids_of_this_one(benchmark: str, ids: list[Any], tmp_path: Path):
    path = lines(tmp_path / "c.jsonl", [{"task_id": id, "completion": "t"} for id in ids])
    assert message(benchmark, path) == (
        f"{path}:1: task_id {str(ids[0])!r} belongs to no problem; is it another benchmark's or split's?"
    )


PROMPTS: dict[str, Callable[[str], str]] = {
    # the whole file was refused
    "the last blank is lost": str.strip,
    "CRLF": lambda text: text.replace("\n", "\r\n"),
    "blanks for line breaks": lambda text: text.replace("\n", " "),
    "NFD": lambda text: unicodedata.normalize("NFD", text),
    "blanks that don't break": lambda text: text.replace(" ", "\u00a0"),
    "two blanks after a sentence": lambda text: text.replace(". ", ".  "),
    "a byte-order mark": lambda text: f"\ufeff{text}",
    "blanks around it": lambda text: f"\n  {text}\t\n",
}


@pytest.mark.parametrize("write", PROMPTS.values(), ids=list(PROMPTS))
def test_prompts_but_for_white_space_and_unicode_form(write: Callable[[str], str], tmp_path: Path):
    prompts = [problem.data["prompt"] for problem in problems_of("ifeval")]
    rows = [{"prompt": write(prompt), "response": f"t{n}"} for n, prompt in enumerate(prompts)]
    found = read("ifeval", lines(tmp_path / "c.jsonl", rows[::-1]))
    assert found.texts == ["t0", "t1"]
    count = sum(write(prompt) != prompt for prompt in prompts)
    assert found.summary().endswith(f"matched by 'prompt', {count} of them but for white space or Unicode form")


def test_prompts_that_are_as_they_were_are_not_counted(tmp_path: Path):
    rows = [{"prompt": p.data["prompt"], "response": f"t{n}"} for n, p in enumerate(problems_of("ifeval"))]
    found = read("ifeval", lines(tmp_path / "c.jsonl", rows))
    assert found.summary() == "2 texts read from 'response' of records, matched by 'prompt'"


def test_prompts_that_are_one_but_for_white_space(tmp_path: Path):
    texts = ["Count:\n1 2", "Count: 1 2", "Sing."]
    problems = [Problem(id=f"p{n}", data={"prompt": text}) for n, text in enumerate(texts)]
    rows = [{"prompt": text, "response": f"t{n}"} for n, text in enumerate(texts)]
    assert read_completions(lines(tmp_path / "c.jsonl", rows), problems).texts == ["t0", "t1", "t2"]
    rows[1]["prompt"] = "Count: 1  2"
    with pytest.raises(RequestError) as error:
        read_completions(lines(tmp_path / "c.jsonl", rows), problems)
    assert str(error.value) == (
        f"{tmp_path}/c.jsonl:2: prompt 'Count: 1  2' is the text of the problems p0 and p1, but for white space and "
        "Unicode form; give each record the problem's id in 'id'"
    )
    # the cure, word for word
    named = [{"id": f"p{n}", **row} for n, row in enumerate(rows)]
    assert read_completions(lines(tmp_path / "c.jsonl", named), problems).texts == ["t0", "t1", "t2"]


@pytest.mark.parametrize("spaces", [None, 1], ids=["a line", "several lines"])
def test_a_file_of_one_record_that_holds_a_list_of_objects(spaces: int | None, tmp_path: Path):
    # taken for a wrapper: "'kwargs' holds a list of 1 objects"
    row = json.loads((TOOLS / "ifeval.jsonl").read_text(encoding="utf-8").splitlines()[0])
    (tmp_path / "p.jsonl").write_text(json.dumps(row))
    problems = registry.load("benchmarks", "ifeval").read(tmp_path / "p.jsonl")
    (tmp_path / "c.jsonl").write_text(json.dumps({**row, "response": "t0"}, indent=spaces))
    assert read_completions(tmp_path / "c.jsonl", problems, benchmark="ifeval").texts == ["t0"]
    (tmp_path / "c.jsonl").write_text(json.dumps({"key": 1001, "kwargs": [{}], "response": "t0"}, indent=spaces))
    assert read_completions(tmp_path / "c.jsonl", problems, benchmark="ifeval").texts == ["t0"]


ONE_PROBLEM = {
    "a chat beside the text": {"id": 0, "messages": [{"role": "user", "content": "Hi"}], "output": "t0"},
    "a response's choices": {"id": 0, "choices": [{"index": 0, "message": {"content": "t0"}}]},
    "lm-eval": {"doc_id": 0, "doc": {"question": "Sum?"}, "resps": [["t0"]], "arguments": [["Sum?", {}]]},
    "OpenCompass": {"0": {"origin_prompt": "Question: Sum?", "prediction": "t0"}},
    "bigcode": [["t0"]],
    "an Inspect log": {
        "version": 2,
        "eval": {"task": "x", "tags": [{"a": 1}]},
        "samples": [{"id": 1, "input": "Sum?", "output": {"choices": [{"message": {"content": "t0"}}]}}],
        "reductions": [{"scorer": "match", "samples": []}],
    },
}


@pytest.mark.parametrize("whole", ONE_PROBLEM.values(), ids=list(ONE_PROBLEM))
def test_files_of_one_record(whole: Any, tmp_path: Path):
    (tmp_path / "c.json").write_text(json.dumps(whole))
    problems = [Problem(id="0", data={"question": "Sum?"})]
    assert read_completions(tmp_path / "c.json", problems).texts == ["t0"]


FIELDS = {
    "a list's item": ("resps.0.0", {"resps": [["t"]]}),
    "a later sample": ("samples.2", {"samples": ["a", "b", "t"]}),
    "a message": (
        "output.choices.0.message.content",
        {"output": {"choices": [{"message": {"content": "t"}}]}},
    ),
    "a dot of the name": (r"gpt-4\.1.text", {"gpt-4.1": {"text": "t"}}),
    "a dot of the name, as it stands": ("gpt-4.1", {"gpt-4.1": "t"}),
    "a dot of the name, as a shell leaves it": ("gpt-4.1.text", {"gpt-4": {"1": "no"}, "gpt-4.1": {"text": "t"}}),
    "a name that is a number": ("runs.0.text", {"runs": {"0": {"text": "t"}}}),
    "a list of one": ("resps", {"resps": [["t"]]}),
}


@pytest.mark.parametrize("field, row", FIELDS.values(), ids=list(FIELDS))
def test_fields_with_list_places(field: str, row: dict[str, Any], tmp_path: Path):
    path = lines(tmp_path / "c.jsonl", [{"id": n, **row} for n in range(3)])
    assert read("gsm8k", path, field=field).texts == ["t", "t", "t"]


NO_FIELD = {
    "too far": ("resps.0.1", "no field 'resps.0.1'; 'resps.0' is a list of 1, numbered from 0"),
    "no number": ("resps.first", "no field 'resps.first'; 'resps' is a list of 1, numbered from 0"),
    "into a text": ("model.text.0", "no field 'model.text.0'; 'model.text' is text"),
    "another name": ("model.txt", "no field 'model.txt'; 'model' has gpt-4\\.1, text"),
    "at the top": ("txt", "no field 'txt'; it has id, model, none, resps"),
    "an empty list": ("none.0", "no field 'none.0'; 'none' is an empty list"),
}


@pytest.mark.parametrize("field, text", NO_FIELD.values(), ids=list(NO_FIELD))
def test_a_field_that_is_not_there_says_what_is(field: str, text: str, tmp_path: Path):
    row = {"model": {"text": "t", "gpt-4.1": "t"}, "resps": [["t"]], "none": []}
    path = lines(tmp_path / "c.jsonl", [{"id": n, **row} for n in range(3)])
    assert message("gsm8k", path, field=field) == f"{path}:1: {text}"


HINTS = {
    # the hint was "its field by name with --field", and the field "found list, wanted text"
    "samples of lm-eval": [{"doc_id": n, "doc": {}, "resps": [["t", "other"]]} for n in range(3)],
    "samples of OpenCompass": {
        str(n): {"origin_prompt": p.data["question"], "prediction": ["t", "other"]}
        for n, p in enumerate(problems_of("gsm8k"))
    },
    "samples of bigcode": [["t", "other"], ["t", "other"], ["t", "other"]],
    "an object": [{"id": n, "output": "no", "answer": "no", "reply": {"text": "t"}} for n in range(3)],
    "two fields": [{"id": n, "output": {"says": ["t", "other"]}} for n in range(3)],
}
STARTS = {"an object": "reply", "two fields": "output"}


@pytest.mark.parametrize("name", HINTS)
def test_hints_lead_out_when_they_are_followed_word_for_word(name: str, tmp_path: Path):
    (tmp_path / "c.json").write_text(json.dumps(HINTS[name]))
    field = STARTS.get(name)
    for _ in range(4):
        try:
            assert read("gsm8k", tmp_path / "c.json", field=field).texts == ["t", "t", "t"]
            return
        except RequestError as error:
            (hint,) = re.findall(r"--field (\S+)$", str(error))
            assert hint != field
            field = hint
    pytest.fail("the hints lead in a circle")


SEVERAL: dict[str, tuple[str, list[Any] | dict[str, Any]]] = {
    # the first of them was graded in silence
    "lm-eval's repeats": ("resps.0.0", [{"doc_id": n, "doc": {}, "resps": [["t", "other"]]} for n in range(3)]),
    "lm-eval's requests": ("resps.0.0", [{"doc_id": n, "doc": {}, "resps": [["t"], ["other"]]} for n in range(3)]),
    "lm-eval, filtered": ("filtered_resps.0", [{"doc_id": n, "filtered_resps": ["t", "other"]} for n in range(3)]),
    "vLLM": ("outputs.0.text", [{"index": n, "outputs": [{"text": "t"}, {"text": "other"}]} for n in range(3)]),
    "OpenAI": (
        "choices.0.message.content",
        [{"id": n, "choices": [{"message": {"content": "t"}}, {"message": {"content": "other"}}]} for n in range(3)],
    ),
    "FastChat, two turns": ("choices.0.turns.0", [{"id": n, "choices": [{"turns": ["t", "other"]}]} for n in range(3)]),
    "Inspect": (
        "output.choices.0.message.content",
        [
            {"id": n, "output": {"choices": [{"message": {"content": "t"}}, {"message": {"content": "other"}}]}}
            for n in range(3)
        ],
    ),
}


@pytest.mark.parametrize("place, rows", SEVERAL.values(), ids=list(SEVERAL))
def test_the_first_of_several_is_taken_where_it_is_asked_for(place: str, rows: list[Any], tmp_path: Path):
    path = lines(tmp_path / "c.jsonl", rows)
    text = message("gsm8k", path)
    assert text.startswith(f"{path}:1: ")
    assert text.endswith(
        f": found a list of 2, and one completion a problem is graded; take one by its number, the first is "
        f"--field {place}"
    )
    assert read("gsm8k", path, field=place).texts == ["t", "t", "t"]


NO_TEXTS: dict[str, tuple[dict[str, Any], str]] = {
    # "wanted the text in one of completion, response, output", of a record that has an output
    "null": ({"output": None}, "output: found null"),
    "a number": ({"completion": 48}, "completion: found int"),
    "OpenAI's null": (
        {"response": {"body": {"choices": [{"message": {"content": None}}]}}},
        "response.body.choices.0.message.content: found null",
    ),
}


@pytest.mark.parametrize("row, found", NO_TEXTS.values(), ids=list(NO_TEXTS))
def test_a_text_that_is_none_is_named(row: dict[str, Any], found: str, tmp_path: Path):
    path = lines(tmp_path / "c.jsonl", [{"id": n, **row} for n in range(3)])
    assert message("gsm8k", path) == f"{path}:1: {found}, wanted text, an empty one if the model said nothing"


def test_texts_deeper_down_are_named(tmp_path: Path):
    # "wanted ... its field by name with --field", of a record whose texts are all in objects
    row = {"6b": {"solution": "t", "right": True}, "gpt-4.1": {"runs": ["t", "other"]}}
    path = lines(tmp_path / "c.jsonl", [{"id": n, **row} for n in range(3)])
    text = message("gsm8k", path)
    assert text.endswith(
        r"by name with --field; there are texts at '6b.solution', 'gpt-4\.1.runs.0', 'gpt-4\.1.runs.1'"
    )
    assert read("gsm8k", path, field="6b.solution").texts == ["t", "t", "t"]
    assert read("gsm8k", path, field=r"gpt-4\.1.runs.1").texts == ["other", "other", "other"]


def test_samples_are_never_mixed_up(tmp_path: Path):
    path = tmp_path / "c.json"
    path.write_text(json.dumps(HINTS["samples of bigcode"]))
    assert message("gsm8k", path) == (
        f"{path}[0]: found a list of 2, and one completion a problem is graded; take one by its number, the first is "
        "--field 0"
    )
    assert read("gsm8k", path, field="1").texts == ["other", "other", "other"]
    # two rows of one problem: samples of EvalPlus, epochs of Inspect
    rows = [{"task_id": f"Mbpp/{n}", "solution": f"t{n}"} for n in (11, 11, 12, 13)]
    path = lines(tmp_path / "c.jsonl", rows)
    assert message("mbpp", path) == (
        f"{path}:2: task_id 'Mbpp/11' stands twice, first at {path}:1; one completion each"
    )


def test_rows_as_the_hint_says(tmp_path: Path):
    rows = [{"id": n, "output": f"t{n}"} for n in range(2)]
    path = lines(tmp_path / "c.jsonl", rows)
    text = message("gsm8k", path)
    assert text == (
        f"{path}: 1 of 3 problems have no completion, the first is '2'; give every problem one, an empty text if the "
        "model said nothing; where only the first 2 were asked, say --rows 2"
    )
    assert read("gsm8k", path, rows=2).texts == ["t0", "t1"]
    path.write_text('[["t0"], ["t1"]]')
    assert message("gsm8k", path) == (
        f"{path}: 2 texts in the order of the problems, and the benchmark has 3; where only the first 2 were asked, "
        "say --rows 2; is it another split, or one part of several? Name the folder with all parts, or give the "
        "problems with --data"
    )
    assert read("gsm8k", path, rows=2).texts == ["t0", "t1"]


def test_problems_as_the_hint_says(tmp_path: Path):
    # MBPP+ asks 378 of MBPP's problems, some of them outside its test set
    rows = [json.loads(line) for line in (TOOLS / "mbpp.jsonl").read_text(encoding="utf-8").splitlines()]
    path = lines(tmp_path / "c.jsonl", [{"task_id": f"Mbpp/{n}", "solution": f"t{n}"} for n in (13, 2)])
    assert message("mbpp", path) == (
        f"{path}:2: task_id 'Mbpp/2' belongs to no problem; is it another benchmark's or split's? 1 of 2 records "
        "answer one: give all their problems with --data"
    )
    data = lines(tmp_path / "p.jsonl", [rows[2], {**rows[0], "task_id": 2}])
    problems = registry.load("benchmarks", "mbpp").read(data)
    assert read_completions(path, problems, benchmark="mbpp").texts == ["t13", "t2"]
    path = lines(tmp_path / "c.jsonl", [{"task_id": "Mbpp/13", "solution": "t13"}])
    assert message("mbpp", path) == (
        f"{path}: 2 of 3 problems have no completion, the first is '11'; give every problem one, an empty text if the "
        "model said nothing; where only 1 were asked, give those problems alone with --data"
    )
    problems = registry.load("benchmarks", "mbpp").read(lines(tmp_path / "p.jsonl", [rows[2]]))
    assert read_completions(path, problems, benchmark="mbpp").texts == ["t13"]


GPT_4 = {"shared": [416, 697, 429, 712], "sample": [31, 55, 33, 57]}
CHANGED = {"shared": 115, "sample": 6}


@pytest.mark.parametrize("protocol", ["paper", "default"])
def test_gpt_4s_responses_with_prompts_that_a_tool_changed(
    protocol: str,
    reference_data: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
):
    # the published counts, with the last blank gone, CRLF, NFD, another order and packed
    source = reference_data / "data/ifeval/input_response_data_gpt4_20231107_145030.jsonl"
    rows = [json.loads(line) for line in source.read_text(encoding="utf-8").splitlines()]
    for row in rows:
        row["prompt"] = unicodedata.normalize("NFD", row["prompt"].strip().replace("\n", "\r\n"))
    packed = tmp_path / "responses.jsonl.gz"
    packed.write_bytes(gzip.compress("".join(json.dumps(row) + "\n" for row in rows[::-1]).encode()))
    data = reference_data / "data/ifeval/input_data_before_2024-06-11.jsonl"
    words = ("ifeval", "--completions", str(packed), "--data", str(data), "--protocol", protocol, "--json")
    document = json.loads(graded(monkeypatch, capsys, *words))
    assert [round(row["value"] * row["n"]) for row in document["results"]] == GPT_4[reference_data.name]
    assert document["matched_loosely"] == CHANGED[reference_data.name]


def test_rows_that_are_not_needed_are_counted():
    found = read("gsm8k", TOOLS / "opencompass_parts", rows=1)
    assert found.texts == GSM8K_TEXTS[:1]
    assert found.summary() == (
        "1 text read from 'prediction' of OpenCompass predictions, matched by position, left out: beyond the first 1 "
        "problems 2"
    )


ORDERS = {
    "OpenCompass, another set": (
        "opencompass/predictions/tiny/gsm8k.json",
        lambda rows: {name: {"origin_prompt": "Sum?", "prediction": "3"} for name in rows},
        "['0']",
    ),
    "bigcode, another order": (
        BIGCODE,
        lambda rows: rows[::-1],
        "[0]",
    ),
}


@pytest.mark.parametrize("name, edit, where", ORDERS.values(), ids=list(ORDERS))
def test_positions_of_another_order(name: str, edit: Callable[[Any], Any], where: str, tmp_path: Path):
    # each would have been graded against other problems' answers
    path = edited(name, edit, tmp_path)
    benchmark = "humaneval" if name == BIGCODE else "gsm8k"
    assert message(benchmark, path) == (
        f"{path}{where}: its prompt does not hold the text of problem {problems_of(benchmark)[0].id}, whose position "
        "it has; is it another benchmark's, or in another order? Where it is the right one, write records of an id and "
        "a text"
    )


def test_opencompass_in_another_order_is_told_by_its_prompts(tmp_path: Path):
    # OpenCompass's MATH has an order of its own
    name = "opencompass/predictions/tiny/gsm8k.json"
    found = read("gsm8k", edited(name, lambda rows: {"0": rows["2"], "1": rows["0"], "2": rows["1"]}, tmp_path))
    assert (found.texts, found.matched_by) == (GSM8K_TEXTS, "origin_prompt")
    # the second part alone
    path = edited(name, lambda rows: {"0": rows["2"]}, tmp_path)
    assert message("gsm8k", path).startswith(f"{path}: 2 of 3 problems have no completion, the first is '0'; ")


def test_prompts_that_hold_several_problems(tmp_path: Path):
    # an example before the question, a problem that is part of another, two problems with one text
    texts = ["Find the sum.", "Find the sum. Then double it.", "Sing.", "Sing."]
    problems = [Problem(id=f"p{n}", data={"question": text}) for n, text in enumerate(texts)]
    order = [1, 0, 2, 3]
    rows = {
        str(n): {"origin_prompt": f"Question: Sing.\nA: la\nQuestion:  {texts[id]}\nA:", "prediction": f"t{id}"}
        for n, id in enumerate(order)
    }
    (tmp_path / "c.json").write_text(json.dumps(rows))
    assert read_completions(tmp_path / "c.json", problems).texts == ["t0", "t1", "t2", "t3"]


def test_chats_as_prompts(tmp_path: Path):
    def chats(log: Any) -> Any:
        for sample in log["samples"]:
            system = {"role": "system", "content": "Be brief."}
            sample["input"] = [system, {"role": "user", "content": sample["input"]}]
        return log

    assert read("gsm8k", edited(INSPECT, chats, tmp_path)).texts == GSM8K_TEXTS
    rows = [
        {"prompt": [{"role": "user", "content": p.data["question"]}], "output": f"t{n}"}
        for n, p in enumerate(problems_of("gsm8k"))
    ]
    assert read("gsm8k", lines(tmp_path / "c.jsonl", rows[::-1])).texts == ["t0", "t1", "t2"]


def test_the_kits_own_artifact(tmp_path: Path):
    (tmp_path / "artifact.json").write_text(json.dumps({"schema": 1, "id": "answer/gsm8k", "files": {}}))
    lines(tmp_path / "completions.jsonl", [{"id": str(n), "text": f"t{n}", "tokens": 1} for n in range(3)])
    assert read("gsm8k", tmp_path).texts == ["t0", "t1", "t2"]


def test_opencompass_numbers_out_of_order_or_left_out(tmp_path: Path):
    name = "opencompass/predictions/tiny/gsm8k.json"
    assert read("gsm8k", edited(name, lambda rows: dict(reversed(rows.items())), tmp_path)).texts == GSM8K_TEXTS
    path = edited(name, lambda rows: {"0": rows["0"], "2": rows["2"]}, tmp_path)
    assert message("gsm8k", path) == (
        f"{path}: 2 predictions, and none is numbered 1; wanted 0 to 1, as a finished run has them"
    )


def test_parts_of_opencompass(tmp_path: Path):
    for n in range(12):  # the tenth part stood before the second
        row = {"0": {"origin_prompt": f"Q: {n} + 1?", "prediction": f"t{n}"}}
        (tmp_path / f"gsm8k_{n}.json").write_text(json.dumps(row))
    problems = [Problem(id=str(n), data={"question": f"{n} + 1?"}) for n in range(12)]
    assert read_completions(tmp_path, problems, benchmark="gsm8k").texts == [f"t{n}" for n in range(12)]
    (tmp_path / "gsm8k_3.json").unlink()
    with pytest.raises(RequestError, match=r"parts gsm8k_0, .*; wanted gsm8k_0 to _10, or one whole file$"):
        read_completions(tmp_path, problems, benchmark="gsm8k")


def test_a_folder_of_two_runs(tmp_path: Path):
    for model in ("a", "b"):
        shutil.copytree(TOOLS / "opencompass/predictions/tiny", tmp_path / "predictions" / model)
    assert message("gsm8k", tmp_path) == (
        f"{tmp_path}: 2 sets of predictions (predictions/a/gsm8k, predictions/b/gsm8k); name one file"
    )


def test_a_folder_with_nothing_to_read(tmp_path: Path):
    (tmp_path / "README.md").write_text("Runs")
    assert message("gsm8k", tmp_path) == (
        f"{tmp_path}: no file of completions in it, found README.md; wanted .json, .jsonl, .ndjson, .json.gz, "
        ".jsonl.gz, .ndjson.gz, .eval, .zip, or <task>/0.py"
    )


def test_subjects_of_lm_eval_count_their_documents_each_from_0(tmp_path: Path):
    # hendrycks_math is seven tasks, each with a doc_id 0
    docs = [("algebra", "Sum?"), ("algebra", "Product?"), ("geometry", "Area?"), ("geometry", "Angle?")]
    for n, (subject, text) in enumerate(docs):
        row = {"doc_id": n % 2, "doc": {"problem": text}, "resps": [[f"t{n}"]], "filter": "none"}
        with (tmp_path / f"samples_hendrycks_math_{subject}_2026.jsonl").open("a") as file:
            file.write(json.dumps(row) + "\n")
    problems = [Problem(id=str(n), data={"problem": text}) for n, (_, text) in enumerate(docs)]
    found = read_completions(tmp_path, problems, benchmark="hendrycks_math")
    assert (found.texts, found.matched_by) == (["t0", "t1", "t2", "t3"], "problem")


def graded(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], *words: str) -> str:
    """What ``kit grade`` prints."""
    monkeypatch.setattr(sys, "argv", ["kit", "grade", *words])
    with pytest.raises(SystemExit) as ended:
        main()
    out, err = capsys.readouterr()
    assert (ended.value.code, err) == (0, "")
    return out


def test_the_last_line_says_what_was_read_as_what(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]):
    words = ("gsm8k", "--completions", str(TOOLS / "lm_eval"), "--data", str(TOOLS / "gsm8k.jsonl"))
    version = registry.load("benchmarks", "gsm8k").VERSION
    first, last = graded(monkeypatch, capsys, *words).splitlines()
    assert first.split()[:5] == ["gsm8k", "2", "of", "3", "items"]
    assert last == f"protocol default, gsm8k v{version}, {GSM8K['lm-eval folder'][1]}"
    document = json.loads(graded(monkeypatch, capsys, *words, "--json"))
    found = {name: document[name] for name in ("field", "layout", "matched_by", "matched_loosely", "left_out")}
    assert found == {
        "field": "resps.0.0",
        "layout": "lm-eval samples",
        "matched_by": "doc_id",
        "matched_loosely": 0,
        "left_out": {"other files": 1, "rows under another filter (flexible-extract)": 3},
    }


def test_an_ifeval_file_of_one_row_is_graded(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
):
    row = {"key": 7, "prompt": "Sing. No commas.", "instruction_id_list": ["punctuation:no_comma"], "kwargs": [{}]}
    data, completions = tmp_path / "p.jsonl", tmp_path / "c.jsonl"
    data.write_text(json.dumps(row) + "\n")
    completions.write_text(json.dumps({**row, "response": "La la la."}) + "\n")
    out = graded(monkeypatch, capsys, "ifeval", "--completions", str(completions), "--data", str(data))
    assert out.splitlines()[0].split()[:5] == ["ifeval_prompt_strict", "1", "of", "1", "prompts"]


def test_data_files_are_read_in_the_same_shapes(tmp_path: Path):
    # gz, a JSON list and one row with a list of objects are a user's problems too
    rows = [json.loads(line) for line in (TOOLS / "mbpp.jsonl").read_text(encoding="utf-8").splitlines()]
    packed, listed = tmp_path / "p.jsonl.gz", tmp_path / "p.json"
    packed.write_bytes(gzip.compress((TOOLS / "mbpp.jsonl").read_bytes()))
    listed.write_text(json.dumps(rows, indent=1))
    module = registry.load("benchmarks", "mbpp")
    assert module.read(packed) == module.read(listed) == module.read(TOOLS / "mbpp.jsonl")
