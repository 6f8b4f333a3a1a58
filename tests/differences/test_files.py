"""``kit diff`` of two files: grades of ``kit grade``, completions of any tool, with or without a score of their own."""

import json
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import pytest

from kit.errors import shown
from tests.differences.made_stores import RIGHT, grades, jsonl, texts

Kit = Callable[..., tuple[int, str, str]]
TOOLS = Path(__file__).parents[1] / "data" / "tools"
LM_EVAL = TOOLS / "lm_eval" / "tiny__model" / "samples_gsm8k_2026-02-03T10-11-12.000001.jsonl"
PROBLEMS = [{"question": f"{n} + 1?", "answer": f"#### {n + 1}"} for n in range(8)]


def write(folder: Path, name: str, rows: Sequence[Mapping[str, Any]]) -> None:
    """Write rows as JSONL, or as a JSON list, by the file's name."""
    text = jsonl(rows) if name.endswith(".jsonl") else json.dumps(rows)
    (folder / name).write_text(text, encoding="utf-8")


def test_two_files_of_grades(kit: Kit, tmp_path: Path):
    rows = grades((0, *RIGHT[1:]))
    rows[0] |= {"answer": "\x1b[31m7", "reason": "no number found"}
    write(tmp_path, "a.jsonl", grades(RIGHT))
    write(tmp_path, "b.jsonl", [*rows, *grades([1], first=90)])
    assert kit("diff", "a.jsonl", "b.jsonl") == (
        0,
        "A: a.jsonl\n"
        "B: b.jsonl\n"
        "a.jsonl, b.jsonl: items left out: 1 only in B\n"
        "\n"
        "Cells that moved (paired over items, Holm over 1 cell):\n"
        "  within noise: a.jsonl, b.jsonl, GSM8K\n"
        "      50.00 -> 37.50, -12.50 points ±12.5 over 8 items: 0 wrong -> right, 1 right -> wrong; "
        "p = 1 after Holm (exact McNemar 1)\n"
        "\n"
        "Items that turned:\n"
        "  a.jsonl, b.jsonl\n"
        "    0: right -> wrong (GSM8K)\n"
        '      A: "0"\n'
        '      B: "\\x1b[31m7"  [no number found]\n'
        "\n"
        "1 of 1 cell moved, 0 beyond noise (p < 0.05 after Holm).\n",
        "",
    )


def test_completions_that_nobody_graded(kit: Kit, tmp_path: Path):
    write(tmp_path, "a.jsonl", texts(["one", "two", "three", "four", "four"]))
    write(tmp_path, "b.jsonl", [*texts(["one", "2", "\x1b[5m", "four"]), {"id": "3", "text": "twice"}])
    assert kit("diff", "a.jsonl", "b.jsonl", "--items", "1") == (
        3,
        "A: a.jsonl\n"
        "B: b.jsonl\n"
        "texts left out: 2 only in A, 1 more than once in B\n"
        "\n"
        "Texts that differ:\n"
        "  a.jsonl, b.jsonl\n"
        "    1: other texts\n"
        '      A: "two"\n'
        '      B: "2"\n'
        "1 more differ; --items 2 shows all 2, --json has them too\n"
        "cannot compare: the texts are not graded; say --benchmark to grade both, or name grades of kit grade --out\n"
        "\n"
        "Cannot tell whether scores moved: 2 of 3 texts differ.\n",
        "",
    )
    write(tmp_path, "b.jsonl", texts(["one", "two"]))
    code, out, _ = kit("diff", "a.jsonl", "b.jsonl")
    assert (code, out.splitlines()[-1]) == (0, "Nothing moved: 0 of 2 texts differ.")


def test_completions_are_graded_and_the_items_that_turn_have_both_texts(
    kit: Kit, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    write(tmp_path, "problems.jsonl", PROBLEMS)
    write(tmp_path, "a.jsonl", texts([f"It is {n + 1}." for n in range(8)]))
    write(tmp_path, "b.json", [{"idx": n, "output": f"It is {n + (n < 2)}."} for n in range(8)])
    words = ("diff", "a.jsonl", "b.json", "--benchmark", "gsm8k", "--data", "problems.jsonl")
    code, out, _ = kit(*words)
    assert (code, out.splitlines()[-1]) == (1, "1 of 1 cell moved, 1 beyond noise (p < 0.05 after Holm).")
    assert "100.00 -> 25.00, -75.00 points ±16.4 over 8 items: 0 wrong -> right, 6 right -> wrong" in out
    assert '    2: right -> wrong (GSM8K)\n      A: "It is 3."\n      B: "It is 2."\n' in out
    # the second time both gradings are in the store; a job that fails is no cell that moved
    code, again, err = kit(*words, "--json")
    found = json.loads(again)
    assert (code, err, found["A"], found["B"], found["stages"]) == (1, "", "a.jsonl", "b.json", [])
    write(tmp_path, "b.json", [{"idx": n, "output": "x"} for n in range(8)])

    def fails(*words: object, **fields: object) -> None:
        raise SystemExit(1)

    monkeypatch.setattr("kit.cli.files.run_bench", fails)
    assert kit(*words)[0] == 3


def test_a_score_of_the_tools_own(kit: Kit, tmp_path: Path):
    rows = [json.loads(line) for line in LM_EVAL.read_text(encoding="utf-8").splitlines()]
    for row in rows:
        row["exact_match"] = 1 - row["exact_match"] if row["doc_id"] == 1 else row["exact_match"]
    write(tmp_path, "b.jsonl", rows)
    code, out, _ = kit("diff", str(LM_EVAL), "b.jsonl", "--score", "exact_match")
    assert (code, "1 of 1 cell moved, 0 beyond noise" in out, "(the same text)" in out) == (0, True, True)
    assert "    1: " in out


LAYOUTS = {
    "an Inspect log": "inspect/2026-02-03T10-11-12+00-00_gsm8k_Tb4x.json",
    "lm-eval samples": str(LM_EVAL.relative_to(TOOLS)),
    "EvalPlus samples": "evalplus/humaneval/tiny_vllm_temp_0.0.jsonl",
    "EvalPlus's folder": "evalplus/tiny_vllm_temp_0.0",
    "a list of generations": "bigcode/generations_humaneval.json",
}


@pytest.mark.parametrize("name", LAYOUTS.values(), ids=list(LAYOUTS))
def test_files_of_other_tools_by_their_own_ids(kit: Kit, tmp_path: Path, name: str):
    import shutil

    source = TOOLS / name
    copy = tmp_path / f"copy{source.suffix}"
    (shutil.copytree if source.is_dir() else shutil.copyfile)(source, copy)
    code, out, _ = kit("diff", str(source), str(copy))
    assert (code, out.splitlines()[-1].split(":")[0]) == (0, "Nothing moved")


def test_a_text_that_parts_late_is_shown_from_there(kit: Kit, tmp_path: Path):
    start = "word " * 100
    write(tmp_path, "a.jsonl", texts([start + "one", "x" * 300, "same" * 500 + "a"]))
    write(tmp_path, "b.jsonl", texts([start + "two", "y", "same" * 500 + "b"]))
    _, out, _ = kit("diff", "a.jsonl", "b.jsonl")
    assert out.splitlines()[5:14] == [
        "    0: other texts",
        f'      A: (after 470 alike) "{"word " * 6}one"',
        f'      B: (after 470 alike) "{"word " * 6}two"',
        "    1: other texts",
        f'      A: "{"x" * 160}" ... 140 more',
        '      B: "y"',
        "    2: other texts",
        f'      A: "{"same" * 40}" ... 1,841 more',
        "      B: (the same first 1,000 characters)",
    ]


REFUSED: dict[str, tuple[dict[str, Sequence[Mapping[str, Any]]], tuple[str, ...], str]] = {
    "grades and completions": (
        {"a.jsonl": grades(RIGHT), "b.jsonl": texts(["x"])},
        (),
        "a.jsonl holds grades, b.jsonl does not; wanted two of one kind: `kit grade --out` writes the grades of "
        "completions",
    ),
    "no item in common": (
        {"a.jsonl": grades([1]), "b.jsonl": grades([1], first=9)},
        (),
        "nothing to compare: a.jsonl and b.jsonl have no item in common that both grade alike (1 only in A, 1 only in "
        "B)",
    ),
    "no text in common": (
        {"a.jsonl": texts(["x"]), "b.jsonl": [{"id": "other", "text": "x"}]},
        (),
        "nothing to compare: a.jsonl and b.jsonl share no id (1 only in A, 1 only in B)",
    ),
    "no id": (
        {"a.jsonl": [{"completion": "x"}] * 2, "b.jsonl": texts(["x"])},
        (),
        "a.jsonl: the first record has completion; wanted an id, one of task_id, id, key, question_id, problem_id, "
        "custom_id, sample_id, name, idx, index, doc_id, that is another in each record",
    ),
    "an id that is null": (
        {"a.jsonl": [*texts(["x", "y"]), {"id": None, "completion": "z"}], "b.jsonl": texts(["x"])},
        (),
        "a.jsonl:3: no 'id'; the first record has one, and wanted one in each",
    ),
    "no text": (
        {"a.jsonl": [{"task_id": 1, "code": "x"}], "b.jsonl": texts(["x"])},
        (),
        "a.jsonl: the first record has code, task_id; wanted the text in one of completion, response, output, "
        "generation, answer, prediction, solution, generated_text, text, or its field by name with --field",
    ),
    "a score that is none": (
        {"a.jsonl": [{"id": "0", "text": "x", "ok": "C"}], "b.jsonl": texts(["x"])},
        ("--score", "ok"),
        "a.jsonl:1: --score ok: found 'C', wanted a number or a truth",
    ),
    # 10 ** 400 is no float, and the square of 1e300 is none
    "a score that no score is": (
        {"a.jsonl": [{"id": "0", "text": "x", "ok": 10**400}], "b.jsonl": texts(["x"])},
        ("--score", "ok"),
        f"a.jsonl:1: --score ok: found {shown(10**400)}, wanted a number or a truth",
    ),
    "a grade that no grade is": (
        {"a.jsonl": [{"id": "0", "scores": {"m": 1e200}}], "b.jsonl": [{"id": "0", "scores": {"m": 0.5}}]},
        (),
        "a.jsonl:1: scores: 'm': found 1e+200, wanted [units right, units judged], or a number",
    ),
    "a score of grades": (
        {"a.jsonl": grades(RIGHT), "b.jsonl": grades(RIGHT[::-1])},
        ("--score", "ok"),
        "'ok': --field and --score are of completions; a.jsonl holds grades",
    ),
    "a benchmark of grades": (
        {"a.jsonl": grades(RIGHT), "b.jsonl": grades(RIGHT[::-1])},
        ("--benchmark", "gsm8k"),
        "--benchmark gsm8k: a.jsonl holds grades already; leave --benchmark out",
    ),
    "a benchmark that a judge decides": (
        {"a.jsonl": texts(["x"]), "b.jsonl": texts(["y"])},
        ("--benchmark", "alpacafarm"),
        "--benchmark alpacafarm: a judge decides about its answers; grade both files with `kit grade alpacafarm "
        "--judge ... --out`, and compare the grades",
    ),
    "a benchmark and a score": (
        {"a.jsonl": texts(["x"]), "b.jsonl": texts(["y"])},
        ("--benchmark", "gsm8k", "--score", "ok"),
        "--score ok: --benchmark grades the texts anew; give one of the two",
    ),
    "data without a benchmark": (
        {"a.jsonl": texts(["x"]), "b.jsonl": texts(["y"])},
        ("--data", "p.jsonl"),
        "--data p.jsonl: goes with --benchmark, which grades the texts; name one",
    ),
    "another protocol": (
        {"a.jsonl": texts(["x"]), "b.jsonl": texts(["y"])},
        ("--protocol", "papre"),
        "--protocol papre: known: paper, default",
    ),
}  # fmt: skip


@pytest.mark.parametrize("files, words, message", REFUSED.values(), ids=list(REFUSED))
def test_files_that_are_refused(
    kit: Kit,
    tmp_path: Path,
    files: dict[str, Sequence[Mapping[str, Any]]],
    words: tuple[str, ...],
    message: str,
):
    for name, rows in files.items():
        write(tmp_path, name, rows)
    assert kit("diff", *files, *words) == (2, "", message)


DAMAGED: dict[str, tuple[bytes, str]] = {
    "cut off": (
        jsonl(grades(RIGHT)).encode()[:-20],
        "a.jsonl:8: not JSON: Unterminated string starting at: column 36; is the file cut off?",
    ),
    "not UTF-8": (
        jsonl(grades([1])).encode() + b'{"id":"\xff"}\n',
        "a.jsonl:2: byte 7 (0xff) is not UTF-8; save the file as UTF-8",
    ),
    "a list on a line": (jsonl(grades([1])).encode() + b"[]\n", "a.jsonl:2: found list, wanted a JSON object"),
}


@pytest.mark.parametrize("data, message", DAMAGED.values(), ids=list(DAMAGED))
def test_files_that_are_damaged(kit: Kit, tmp_path: Path, data: bytes, message: str):
    (tmp_path / "a.jsonl").write_bytes(data)
    write(tmp_path, "b.jsonl", grades(RIGHT))
    assert kit("diff", "a.jsonl", "b.jsonl") == (2, "", message)


def test_packed_files(kit: Kit, tmp_path: Path):
    import gzip

    (tmp_path / "a.jsonl.gz").write_bytes(gzip.compress(jsonl(grades(RIGHT)).encode()))
    write(tmp_path, "b.jsonl", grades(RIGHT))
    code, out, _ = kit("diff", "a.jsonl.gz", "b.jsonl")
    assert (code, out.splitlines()[-1]) == (0, "0 of 1 cell moved, 0 beyond noise (p < 0.05 after Holm).")
