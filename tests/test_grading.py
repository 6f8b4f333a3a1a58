"""``kit grade`` on real completions gives the published counts; the references of the code sets all pass."""

import gzip
import json
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from kit.cli import main

Grade = Callable[..., dict[str, tuple[int, int]]]


@pytest.fixture
def grade(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Grade:
    """Run ``kit grade ... --json``; returns metric -> (units right, units judged)."""
    monkeypatch.chdir(tmp_path)

    def call(benchmark: str, completions: Path, data: Path, *options: str) -> dict[str, tuple[int, int]]:
        words = ["grade", benchmark, "--completions", str(completions), "--data", str(data)]
        monkeypatch.setattr(sys, "argv", ["kit", *words, "--json", *options])
        with pytest.raises(SystemExit) as ended:
            main()
        assert ended.value.code == 0
        document = json.loads(capsys.readouterr().out)
        return {row["metric"]: (round(row["value"] * row["n"]), row["n"]) for row in document["results"]}

    return call


IFEVAL = {
    "shared": {
        "ifeval_prompt_strict": (416, 541),
        "ifeval_instruction_strict": (697, 834),
        "ifeval_prompt_loose": (429, 541),
        "ifeval_instruction_loose": (712, 834),
    },
    "sample": {
        "ifeval_prompt_strict": (31, 47),
        "ifeval_instruction_strict": (55, 73),
        "ifeval_prompt_loose": (33, 47),
        "ifeval_instruction_loose": (57, 73),
    },
}


@pytest.mark.parametrize("protocol", ["paper", "default"])
def test_ifeval_of_gpt_4(protocol: str, grade: Grade, reference_data: Path):
    completions = reference_data / "data/ifeval/input_response_data_gpt4_20231107_145030.jsonl"
    found = grade(
        "ifeval", completions, reference_data / "data/ifeval/input_data_before_2024-06-11.jsonl", "--protocol", protocol
    )
    assert found == IFEVAL[reference_data.name]


@pytest.mark.shared
@pytest.mark.parametrize("protocol", ["paper", "default"])
def test_humaneval_of_wizardcoder(protocol: str, grade: Grade, shared: Path):
    completions = shared / "data/humaneval/wizardcoder15b_greedy_59.8.jsonl"
    assert grade("humaneval", completions, shared / "data/humaneval/HumanEval.jsonl.gz", "--protocol", protocol) == {
        "humaneval": (98, 164)
    }


GSM8K = {
    ("shared", "6b"): (286, 1319),
    ("shared", "175b"): (458, 1319),
    ("sample", "6b"): (6, 45),
    ("sample", "175b"): (11, 45),
}


@pytest.mark.parametrize("size", ["6b", "175b"])
def test_gsm8k_of_openais_example_solutions(size: str, grade: Grade, reference_data: Path):
    completions = reference_data / "data/gsm8k/example_model_solutions_finetuning.jsonl"
    options = ("--protocol", "default", "--field", f"{size}_finetuning.solution")
    assert grade("gsm8k", completions, reference_data / "data/gsm8k/test.jsonl", *options) == {
        "gsm8k": GSM8K[reference_data.name, size]
    }


def written(path: Path, rows: list[dict[str, Any]]) -> Path:
    path.write_text("".join(json.dumps(row) + "\n" for row in rows), encoding="utf-8")
    return path


def test_mbpps_references(grade: Grade, reference_data: Path, tmp_path: Path):
    lines = (reference_data / "data/mbpp/mbpp.jsonl").read_text(encoding="utf-8").splitlines()
    problems = [row for row in map(json.loads, lines) if 11 <= row["task_id"] <= 510]
    rows = [{"task_id": row["task_id"], "completion": f"[BEGIN]\n{row['code']}\n[DONE]"} for row in problems]
    found = grade(
        "mbpp", written(tmp_path / "c.jsonl", rows), reference_data / "data/mbpp/mbpp.jsonl", "--protocol", "paper"
    )
    size = {"shared": 500, "sample": 63}[reference_data.name]
    assert found == {"mbpp": (size, size)}


def test_humanevals_canonical_solutions(grade: Grade, reference_data: Path, tmp_path: Path):
    text = gzip.decompress((reference_data / "data/humaneval/HumanEval.jsonl.gz").read_bytes()).decode("utf-8")
    problems = [json.loads(line) for line in text.splitlines()]
    rows = [{"task_id": row["task_id"], "completion": row["canonical_solution"]} for row in problems]
    found = grade(
        "humaneval", written(tmp_path / "c.jsonl", rows), reference_data / "data/humaneval/HumanEval.jsonl.gz"
    )
    assert found == {"humaneval": (164, 164)}
