"""``kit decontaminate``: rows that repeat test items are named and left out; bad requests by their whole message."""

import gzip
import json
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from kit.cli import main

BUNDLED = Path(__file__).resolve().parents[1] / "kit" / "bundled"
GSM8K = [json.loads(line) for line in (BUNDLED / "mini-gsm8k.jsonl").read_text(encoding="utf-8").splitlines()]
LEAKED = max((row["question"] for row in GSM8K), key=len)
ROWS = [
    {"instruction": "Name a colour.", "input": "", "output": "Blue is a colour."},
    {"instruction": f"Please answer: {LEAKED.upper()}", "input": "", "output": "", "mine": 3},
    {"instruction": "Write down a question about money for a child of ten.", "input": "", "output": LEAKED},
]
Kit = Callable[..., tuple[int, str, str]]


@pytest.fixture
def kit(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], tmp_path: Path) -> Kit:
    """Run ``kit decontaminate`` in a folder of its own: exit code, standard output and error."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("KIT_STORE", raising=False)
    (tmp_path / "rows.json").write_text(json.dumps(ROWS, indent=2, ensure_ascii=False), encoding="utf-8")

    def call(*words: str) -> tuple[int, str, str]:
        monkeypatch.setattr(sys, "argv", ["kit", "decontaminate", *words])
        with pytest.raises(SystemExit) as ended:
            main()
        text = capsys.readouterr()
        return int(ended.value.code or 0), text.out, text.err

    return call


def test_names_the_rows_with_both_texts(kit: Kit, tmp_path: Path) -> None:
    code, out, _ = kit("--data", "rows.json", "--against", "gsm8k,math", "--scale", "smoke")
    assert code == 0
    lines = out.splitlines()
    assert lines[0] == (
        "2 of 3 rows (66.67%) repeat more than half of a test item; compared with gsm8k (16 items), "
        "hendrycks_math (16 items)"
    )
    place = next(n for n, row in enumerate(GSM8K) if row["question"] == LEAKED)
    grams = len(LEAKED.replace("'", " ").split()) - 7
    assert lines[1].startswith("rows.json[1] has ")
    assert lines[1].endswith(f" 8-grams of gsm8k {place}")
    assert f"of the {grams} 8-grams" in lines[1]
    assert lines[2].startswith("  row:  Please answer: ")
    assert lines[3] == f"  test: {LEAKED}"
    assert lines[4].startswith("rows.json[2] has ")
    assert len(lines) == 7


def test_the_document_has_all_of_it(kit: Kit) -> None:
    code, out, err = kit("--data", "rows.json", "--against", "gsm8k", "--scale", "smoke", "--json", "--out", "o.json")
    found = json.loads(out)
    assert (code, err) == (0, "")
    matches = found.pop("matches")
    assert found == {
        "schema": 1,
        "data": "rows.json",
        "rows": 3,
        "overlapping": 2,
        "against": {"gsm8k": 16},
        "absent": {},
        "written": "o.json",
    }
    assert [match["row"] for match in matches] == [1, 2]
    assert [match["test_text"] for match in matches] == [LEAKED] * 2
    assert matches[1]["row_text"] == f"{ROWS[2]['instruction']}\n{LEAKED}"
    assert matches[0]["shared"] == matches[0]["grams"] == matches[1]["shared"]


def jsonl(rows: list[dict[str, object]]) -> str:
    return "".join(json.dumps(row, ensure_ascii=True, separators=(", ", ":")) + "\n" for row in rows)


@pytest.mark.parametrize(
    ("name", "data", "wanted"),
    [
        pytest.param(
            "r.json",
            b"\xef\xbb\xbf" + json.dumps(ROWS, indent=2).encode(),
            json.dumps(ROWS[:1], indent=2).encode(),
            id="json",
        ),
        pytest.param("r.jsonl", jsonl(ROWS).encode(), jsonl(ROWS[:1]).encode(), id="jsonl"),
        pytest.param(
            "r.jsonl",
            f"\n{jsonl(ROWS)}\n".replace("\n", "\r\n").encode(),
            jsonl(ROWS[:1]).replace("\n", "\r\n").encode(),
            id="dos-lines",
        ),
        pytest.param("r.jsonl.gz", gzip.compress(jsonl(ROWS).encode()), jsonl(ROWS[:1]).encode(), id="gzip"),
    ],
)
def test_what_stays_is_written_as_it_came(name: str, data: bytes, wanted: bytes, kit: Kit, tmp_path: Path) -> None:
    (tmp_path / name).write_bytes(data)
    code, out, _ = kit("--data", name, "--against", "gsm8k", "--scale", "smoke", "--out", "kept")
    assert code == 0
    assert out.splitlines()[-1] == "1 rows: kept"
    written = (tmp_path / "kept").read_bytes()
    assert (gzip.decompress(written) if name.endswith(".gz") else written) == wanted


def test_a_file_of_ones_own_is_compared_with(kit: Kit, tmp_path: Path) -> None:
    own = [{"id": "q1", "question": ROWS[2]["instruction"]}, {"prompt": "Name a colour"}]
    (tmp_path / "tests.jsonl").write_text(jsonl(own), encoding="utf-8")
    code, out, _ = kit("--data", "rows.json", "--against", "tests.jsonl", "--json")
    found = json.loads(out)
    assert (code, found["against"]) == (0, {"tests.jsonl": 2})
    # the second has three words: it is found where they are a whole text of the row
    assert [(match["row"], match["id"], match["grams"]) for match in found["matches"]] == [(0, "1", 1), (2, "q1", 4)]


def test_a_short_item_and_the_repeating_part_of_a_long_row_are_shown(kit: Kit, tmp_path: Path) -> None:
    # a short item was "1 of the 1 8-grams"; of a long row its first 300 characters were shown, whatever they said
    own = [{"id": "short", "question": "Find x."}, {"id": "long", "question": LEAKED}]
    (tmp_path / "tests.jsonl").write_text(jsonl(own), encoding="utf-8")
    rows = [{"a": "Find x"}, {"b": "Once upon a time. " * 100 + LEAKED + " The end." * 100, "c": "Else. " * 200}]
    (tmp_path / "rows.jsonl").write_text(jsonl(rows), encoding="utf-8")
    _, out, _ = kit("--data", "rows.jsonl", "--against", "tests.jsonl")
    lines = out.splitlines()
    assert lines[1:3] == ["rows.jsonl:1 has the whole of tests.jsonl short", "  row:  Find x"]
    assert lines[5].startswith(f"  row:  ...{LEAKED[:200]}")


@pytest.mark.parametrize("name", ["r.json", "r.jsonl", "r.csv", "r.txt"])
def test_a_file_of_which_nothing_is_left_out_is_copied(name: str, kit: Kit, tmp_path: Path) -> None:
    # it was written anew: other white space, no byte-order mark, other line ends
    texts = {
        "r.json": '\ufeff[{"instruction" : "a"},\r\n  {"b":1.50} ]',
        "r.jsonl": '\ufeff{"instruction": "a"}\r\n\r\n{"b":1.50}',
        "r.csv": '\ufeff"instruction";output\r\na;"b"',
        "r.txt": "a b  \r\n\r\nc",
    }
    (tmp_path / name).write_bytes(texts[name].encode())
    assert kit("--data", name, "--against", "gsm8k", "--scale", "smoke", "--out", "o")[0] == 0
    assert (tmp_path / "o").read_bytes() == texts[name].encode()


def test_default_stands_beside_files_and_names(kit: Kit, tmp_path: Path) -> None:
    # what was named beside "default" was left out in silence, and misspelt names too
    (tmp_path / "tests.jsonl").write_text(jsonl([{"question": "Who?"}]), encoding="utf-8")
    _, out, _ = kit("--data", "rows.json", "--against", "default,tests.jsonl", "--scale", "smoke", "--json")
    assert {"gsm8k", "mmlu", "tests.jsonl"} <= set(json.loads(out)["against"])
    message = "--against gsm9k: no benchmark of that name; did you mean 'gsm8k'?"
    assert kit("--data", "rows.json", "--against", "default,gsm9k") == (2, "", f"error: {message}\n")


def test_all_benchmarks_of_a_scale_are_the_default(kit: Kit) -> None:
    code, out, _ = kit("--data", "rows.json", "--scale", "smoke", "--json")
    found = json.loads(out)
    assert code == 0
    assert {"gsm8k", "hendrycks_math", "humaneval", "mbpp", "ifeval", "mmlu", "ceval"} <= set(found["against"])


def test_a_benchmark_that_cannot_be_had_is_named(kit: Kit, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    # by default it is left out and told; one that was asked for ends the command
    place = tmp_path / "mirror"
    place.mkdir()
    monkeypatch.setattr("kit.cli.overlaps.fetched_problems", lambda *_, **__: ({}, {"mmlu": "could not be fetched"}))
    code, _, err = kit("--data", "rows.json", "--against", "mmlu", "--mirror", "mirror")
    assert (code, err) == (1, "error: --against mmlu: could not be fetched\n")
    code, _, err = kit("--data", "rows.json", "--mirror", "mirror")
    assert (code, err) == (1, "error: --against mmlu: could not be fetched\n")


BAD = {
    "unknown benchmark": (
        ["--data", "rows.json", "--against", "gsm9k"],
        "--against gsm9k: no benchmark of that name; did you mean 'gsm8k'?",
    ),
    "nothing to compare with": (
        ["--data", "rows.json", "--against", " , "],
        "--against: empty; wanted names of benchmarks or paths of files, or default for all of a scale",
    ),
    "a file that is not there": (
        ["--data", "rows.json", "--against", "gsm8k,no/tests.jsonl"],
        "no/tests.jsonl: No such file or directory",
    ),
    "the same file": (
        ["--data", "rows.json", "--against", "./rows.json"],
        "--against rows.json: the file of --data itself, whose every row it repeats",
    ),
    "items without questions": (
        ["--data", "rows.json", "--against", "items.json"],
        "items.json[0]: no question; found answer, title, wanted one of prompt, question, problem, instruction, text, "
        "query, input",
    ),
    "no training file": (
        ["--data", "nothing.json", "--against", "gsm8k"],
        "nothing.json: No such file or directory",
    ),
    "an empty training file": (
        ["--data", "empty.json", "--against", "gsm8k"],
        "empty.json: no record; wanted training rows",
    ),
    "no records": (["--data", "texts.json", "--against", "gsm8k"], "texts.json[0]: found str, wanted an object"),
    "a file that is there": (
        ["--data", "rows.json", "--against", "gsm8k", "--out", "texts.json"],
        "--out texts.json: is there already; name another, or remove it",
    ),
    "unknown scale": (
        ["--data", "rows.json", "--against", "gsm8k", "--scale", "smok"],
        "no scale named 'smok'; did you mean 'smoke'?",
    ),
    "no mirror": (
        ["--data", "rows.json", "--against", "gsm8k", "--mirror", "nowhere"],
        "--mirror {folder}/nowhere: no such folder",
    ),
}


@pytest.mark.parametrize(("words", "message"), BAD.values(), ids=list(BAD))
def test_bad_requests_are_told_before_anything_runs(words: list[str], message: str, kit: Kit, tmp_path: Path) -> None:
    (tmp_path / "items.json").write_text(json.dumps([{"title": "a", "answer": "b"}]), encoding="utf-8")
    (tmp_path / "empty.json").write_text("[]", encoding="utf-8")
    (tmp_path / "texts.json").write_text('["a", "b"]', encoding="utf-8")
    assert kit(*words) == (2, "", f"error: {message.format(folder=tmp_path)}\n")
    assert not (tmp_path / "store").exists()


def test_a_set_that_is_nothing_but_tests_is_not_written(kit: Kit, tmp_path: Path) -> None:
    (tmp_path / "leaked.json").write_text(json.dumps(ROWS[1:]), encoding="utf-8")
    words = ("--data", "leaked.json", "--against", "gsm8k", "--scale", "smoke", "--out", "kept.json", "--json")
    message = "leaked.json: every row repeats a test item, so none stays; is it a test set?"
    assert kit(*words) == (1, "", f"error: {message}\n")
    assert not (tmp_path / "kept.json").exists()


def test_without_numpy_it_says_so(kit: Kit, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("importlib.util.find_spec", lambda _: None)
    message = "numpy is not installed, with which rows are compared; install the extra 'grade' of the kit"
    assert kit("--data", "rows.json") == (2, "", f"error: {message}\n")


def test_what_a_file_says_is_shown_as_plain_text(kit: Kit, tmp_path: Path) -> None:
    leak = {"instruction": f"\x1b[31m{LEAKED}\x1b[0m [bold]x[/bold]", "output": ""}
    (tmp_path / "rows.json").write_text(json.dumps([leak]), encoding="utf-8")
    _, out, _ = kit("--data", "rows.json", "--against", "gsm8k", "--scale", "smoke")
    assert "\x1b" not in out
    assert "[bold]x[/bold]" in out
