"""The files of MMLU and C-Eval: each kind that is read, and the message for each that is refused."""

import csv
import io
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest

from kit.benchmarks import _choice_files, ceval, mmlu
from kit.errors import RequestError
from tests.benchmarks.choice_files import DEV, ROW, as_csv, as_jsonl, as_zip, made


@pytest.mark.parametrize("kind", ["tar", "zip", "jsonl", "parquet", "zip of parquet"])
def test_each_kind_of_file_gives_the_same_problems(kind: str, tmp_path: Path) -> None:
    problems = mmlu.read(made(kind, tmp_path))
    # the first of each subject, then the second: the first rows of the file hold every subject
    assert [problem.id for problem in problems] == ["anatomy/0", "virology/0", "anatomy/1"]
    assert problems[1].data["question"] == "A, quoted question?"
    assert problems[1].data["choices"] == ["one", "two\nlines", "three", "4"]
    assert [problem.data["answer"] for problem in problems] == ["B", "C", "D"]
    assert [[row["answer"] for row in problem.data["examples"]] for problem in problems] == [list("ABCDA")] * 3


def ceval_zip(folder: Path, split: str = "val") -> Path:
    row = ["0", "问题？", "甲", "乙", "丙", "丁", "D"]
    named = ("id", "question", *"ABCD", "answer")
    dev = [[str(n), *values, "说明"] for n, values in enumerate(DEV)]
    files = {
        f"{split}/law_{split}.csv": as_csv([row], named),
        "test/law_test.csv": b"id,question,A,B,C,D\n0,?,a,b,c,d\n",
    }
    files["dev/law_dev.csv"] = b"\xef\xbb\xbf" + as_csv(dev, (*named, "explanation"))
    return as_zip(folder / "ceval-exam.zip", files | {"__MACOSX/val/law_val.csv": b"\x00"})


def test_c_eval_asks_the_split_whose_answers_are_public(tmp_path: Path) -> None:
    (problem,) = ceval.read(ceval_zip(tmp_path))
    assert (problem.id, problem.data["question"], problem.data["answer"]) == ("law/0", "问题？", "D")
    assert [row["question"] for row in problem.data["examples"]] == [f"Example {n}?" for n in range(5)]


UNKNOWN = "found 'anatomi', which the benchmark lacks; did you mean 'anatomy'?"


@pytest.mark.parametrize(
    ("rows", "message"),
    [
        pytest.param([ROW | {"subject": "anatomi"}], f":1: subject: {UNKNOWN}", id="unknown-subject"),
        pytest.param([ROW | {"subject": 3}], ":1: subject: found 3, which the benchmark lacks", id="no-subject"),
        pytest.param([ROW | {"question": " "}], ":1: 'question': found ' ', wanted a text", id="empty-question"),
        pytest.param(
            [ROW, ROW | {"choices": ["a", "b", "c"]}],
            ":2: 'choices': found ['a', 'b', 'c'], wanted four texts",
            id="three-choices",
        ),
        pytest.param(
            [{"subject": "anatomy", "question": "Q?", "A": "a", "B": 2, "C": "c", "D": "d", "answer": "A"}],
            ":1: 'A' to 'D': found ['a', 2, 'c', 'd'], wanted four texts",
            id="a-choice-that-is-no-text",
        ),
        pytest.param([ROW | {"answer": 4}], ":1: 'answer': found 4, wanted a letter of ABCD, or 0 to 3", id="position"),
        pytest.param(
            [ROW | {"answer": "AB"}], ":1: 'answer': found 'AB', wanted a letter of ABCD, or 0 to 3", id="two"
        ),
        pytest.param([ROW | {"answer": ""}], ":1: 'answer': found '', wanted a letter of ABCD, or 0 to 3", id="none"),
        pytest.param(
            [ROW, *[ROW | {"split": "dev"}] * 4],
            ": anatomy: 4 examples (split 'dev'), wanted 5, or none in the whole file",
            id="four-examples",
        ),
        pytest.param(
            [ROW, ROW | {"subject": "virology"}, *[ROW | {"split": "dev"}] * 5],
            ": virology: 0 examples (split 'dev'), wanted 5, or none in the whole file",
            id="a-subject-without-examples",
        ),
        pytest.param(
            [ROW | {"split": "train"}],
            ": no question of the split 'test' in it; is it another set?",
            id="another-split",
        ),
        # was left out without a word
        pytest.param(
            [ROW, ROW | {"split": "tset"}],
            ":2: 'split': found 'tset', wanted one of dev, val, test, train, auxiliary_train",
            id="unknown-split",
        ),
    ],
)
def test_rows_that_are_no_questions_are_refused(rows: list[Mapping[str, Any]], message: str, tmp_path: Path) -> None:
    path = as_jsonl(tmp_path / "x.jsonl", rows)
    with pytest.raises(RequestError) as error:
        mmlu.read(path)
    assert str(error.value) == f"{path}{message}"


@pytest.mark.parametrize(
    ("files", "message"),
    [
        pytest.param(
            {"data/train.csv": b"x"},
            ": no file like test/<subject>_test.csv or <subject>/test-00000-of-00001.parquet in it; "
            "is it another archive?",
            id="another-archive",
        ),
        pytest.param(
            {"test/anatomy_test.csv": b"Q?,a,b,c,d,A\nR?,a,b,c\n"},
            "/test/anatomy_test.csv:2: 4 fields, wanted 6 (question, A, B, C, D, answer); is the file cut off?",
            id="fields",
        ),
        pytest.param(
            {"test/anatomy_test.csv": b'"Q?,a,b'},
            "/test/anatomy_test.csv:1: 1 field, wanted 6 (question, A, B, C, D, answer); is the file cut off?",
            id="cut-off",
        ),
        # the subject was left out of the mean without a word
        pytest.param(
            {"test/anatomy_test.csv": b"Q?,a,b,c,d,A\n", "test/virology_test.csv": b""},
            "/test/virology_test.csv: no row in it; is the archive whole?",
            id="an-empty-subject",
        ),
        pytest.param(
            {"test/anatomy_test.csv": b"Q\xff?,a,b,c,d,A\n"},
            "/test/anatomy_test.csv: line 1: byte 1 (0xff) is not UTF-8; save the file as UTF-8",
            id="latin-1",
        ),
        pytest.param(
            {"anatomy/test-00000-of-00001.parquet": b"PAR1 and no more PAR1"},
            "/anatomy/test-00000-of-00001.parquet: cannot be read as Parquet (Parquet file size is 21 bytes, smaller "
            "than the size reported by footer's (543519343bytes)); is the file cut off?",
            id="parquet",
        ),
    ],
)
def test_archives_of_something_else_are_refused(files: Mapping[str, bytes], message: str, tmp_path: Path) -> None:
    path = as_zip(tmp_path / "x.zip", files)
    with pytest.raises(RequestError) as error:
        mmlu.read(path)
    assert str(error.value) == f"{path}{message}"


def test_quotes_are_read_as_opencompass_reads_them(tmp_path: Path) -> None:
    # a quote that ends inside a field was an error, on which the whole archive was refused
    data = b'"Is ""it"" so"?,"a"b,N/A,None,,B\n'
    (problem,) = mmlu.read(as_zip(tmp_path / "x.zip", {"test/anatomy_test.csv": data}))
    wanted = next(csv.reader(io.StringIO(data.decode())))
    assert [problem.data["question"], *problem.data["choices"], problem.data["answer"]] == wanted
    assert wanted == ['Is "it" so?', "ab", "N/A", "None", "", "B"]


def test_more_rows_than_a_set_has_are_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    # an archive of 1 MB may hold forty million short rows, which filled the memory for minutes
    monkeypatch.setattr(_choice_files, "MOST_ROWS", 10)
    path = as_zip(tmp_path / "x.zip", {"test/anatomy_test.csv": b"Q?,a,b,c,d,A\n" * 11})
    with pytest.raises(RequestError) as error:
        mmlu.read(path)
    wanted = "more than 10 rows, which no such set has; is it another one?"
    assert str(error.value) == f"{path}/test/anatomy_test.csv:11: {wanted}"


def test_the_hub_names_a_split_otherwise(tmp_path: Path) -> None:
    # rows of "validation" were left out, and the file was refused as another set
    row = {**ROW, "subject": "law", "split": "validation"}
    assert [one.id for one in ceval.read(as_jsonl(tmp_path / "x.jsonl", [row]))] == ["law/0"]
