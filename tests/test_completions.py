"""Completions files as people's tools write them; what is wrong with them is in test_bad_inputs."""

import json
from pathlib import Path
from typing import Any

import pytest

from kit.completions import read_completions
from kit.records import Problem

CODE = [Problem(id=f"HumanEval/{n}", data={"task_id": f"HumanEval/{n}", "prompt": f"def f{n}():"}) for n in range(2)]
MATHS = [Problem(id=str(n), data={"question": f"{n} + 1?", "answer": f"#### {n + 1}"}) for n in range(2)]
FILES: dict[str, tuple[list[Problem], list[dict[str, Any]], str | None]] = {
    "human-eval": (CODE, [{"task_id": f"HumanEval/{n}", "completion": f"t{n}"} for n in (0, 1)], None),
    "short ids": (CODE, [{"id": n, "output": f"t{n}"} for n in (0, 1)], None),
    "any order": (CODE, [{"task_id": f"HumanEval/{n}", "completion": f"t{n}"} for n in (1, 0)], None),
    "prompt and response": (CODE, [{"prompt": f"def f{n}():", "response": f"t{n}"} for n in (0, 1)], None),
    "number ids": (MATHS, [{"id": n, "generation": f"t{n}"} for n in (0, 1)], None),
    "question": (MATHS, [{"question": f"{n} + 1?", "answer": f"t{n}"} for n in (0, 1)], None),
    "a text under another name": (MATHS, [{"id": n, "output": "no", "said": f"t{n}"} for n in (0, 1)], "said"),
    "nested": (MATHS, [{"question": f"{n} + 1?", "6b": {"solution": f"t{n}"}} for n in (0, 1)], "6b.solution"),
    "the kit's own": (MATHS, [{"id": str(n), "text": f"t{n}", "tokens": 1} for n in (0, 1)], None),
}


@pytest.mark.parametrize("problems, rows, field", FILES.values(), ids=list(FILES))
@pytest.mark.parametrize("ending", ["json", "jsonl"])
def test_files(problems: list[Problem], rows: list[dict[str, Any]], field: str | None, ending: str, tmp_path: Path):
    path = tmp_path / f"c.{ending}"
    text = json.dumps(rows) if ending == "json" else "".join(json.dumps(row) + "\n" for row in rows)
    path.write_text(text, encoding="utf-8")
    assert read_completions(path, problems, field) == ["t0", "t1"]


def test_an_empty_text_is_a_completion(tmp_path: Path):
    (tmp_path / "c.jsonl").write_text('{"id": 0, "output": ""}\n{"id": 1, "output": "x"}\n')
    assert read_completions(tmp_path / "c.jsonl", MATHS) == ["", "x"]
