"""Output of `kit grade` for files of other tools."""

import gzip
import json
import unicodedata
from collections.abc import Callable
from pathlib import Path

import pytest

from kit import registry

TOOLS = Path(__file__).parents[1] / "data" / "tools"


GPT_4 = {"shared": [416, 697, 429, 712], "sample": [31, 55, 33, 57]}


CHANGED = {"shared": 115, "sample": 6}


@pytest.mark.parametrize("protocol", ["paper", "default"])
def test_gpt_4s_responses_with_prompts_that_a_tool_changed(
    graded: Callable[..., str],
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


def test_the_last_line_says_what_was_read_as_what(
    graded: Callable[..., str], monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
):
    words = ("gsm8k", "--completions", str(TOOLS / "lm_eval"), "--data", str(TOOLS / "gsm8k.jsonl"))
    version = registry.load("benchmarks", "gsm8k").VERSION
    first, last = graded(monkeypatch, capsys, *words).splitlines()
    assert first.split()[:5] == ["gsm8k", "2", "of", "3", "items"]
    assert last == (
        f"protocol default, gsm8k v{version}, 3 texts read from 'resps.0.0' of lm-eval samples, matched by 'doc_id', "
        "left out: other files 1, rows under another filter (flexible-extract) 3"
    )
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
    graded: Callable[..., str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
):
    row = {"key": 7, "prompt": "Sing. No commas.", "instruction_id_list": ["punctuation:no_comma"], "kwargs": [{}]}
    data, completions = tmp_path / "p.jsonl", tmp_path / "c.jsonl"
    data.write_text(json.dumps(row) + "\n")
    completions.write_text(json.dumps({**row, "response": "La la la."}) + "\n")
    out = graded(monkeypatch, capsys, "ifeval", "--completions", str(completions), "--data", str(data))
    assert out.splitlines()[0].split()[:5] == ["ifeval_prompt_strict", "1", "of", "1", "prompts"]
