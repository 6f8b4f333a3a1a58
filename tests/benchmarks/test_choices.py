"""MMLU and C-Eval: their own files, the chats that ask them, their grades, against OpenCompass's configurations."""

import ast
import csv
import io
import json
import re
import tarfile
import zipfile
from collections.abc import Callable, Mapping, Sequence
from importlib.metadata import distribution
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest

from kit.benchmarks import _choice_files, ceval, mmlu
from kit.benchmarks._results import results
from kit.errors import RequestError
from kit.prompts import load
from kit.records import Problem

BUNDLED = Path(__file__).resolve().parents[2] / "kit/bundled"
Table = Sequence[Sequence[str]]
DEV: Table = [[f"Example {n}?", "w", "x", "y", "z", "ABCDA"[n]] for n in range(5)]


def as_csv(rows: Table, columns: Sequence[str] = ()) -> bytes:
    text = io.StringIO()
    csv.writer(text).writerows([columns, *rows] if columns else rows)
    return text.getvalue().encode()


def as_tar(path: Path, files: Mapping[str, bytes]) -> Path:
    with tarfile.open(path, "w") as archive:
        for name, data in files.items():
            info = tarfile.TarInfo(name)
            info.size = len(data)
            archive.addfile(info, io.BytesIO(data))
    return path


def as_zip(path: Path, files: Mapping[str, bytes]) -> Path:
    with zipfile.ZipFile(path, "w") as archive:
        for name, data in files.items():
            archive.writestr(name, data)
    return path


def as_parquet(rows: Sequence[Mapping[str, Any]]) -> bytes:
    import pyarrow
    import pyarrow.parquet

    sink = io.BytesIO()
    pyarrow.parquet.write_table(pyarrow.Table.from_pylist(list(rows)), sink)
    return sink.getvalue()


def as_jsonl(path: Path, rows: Sequence[Mapping[str, Any]]) -> Path:
    path.write_text("".join(json.dumps(row) + "\n" for row in rows), encoding="utf-8")
    return path


TESTS: Mapping[str, Table] = {
    "virology": [["A, quoted question?", "one", "two\nlines", "three", "4", "C"]],
    "anatomy": [["First?", "a", "b", "c", "d", "B"], ["Second?", "a", "b", "c", "d", "D"]],
}


def mmlu_files() -> dict[str, bytes]:
    """The files of MMLU's ``data.tar``, beside some that are not read."""
    files = {f"data/test/{name}_test.csv": as_csv(rows) for name, rows in TESTS.items()}
    files |= {f"data/dev/{name}_dev.csv": as_csv(DEV) for name in TESTS}
    others = (
        "data/README.txt",
        "data/auxiliary_train/race.csv",
        "data/val/anatomy_val.csv",
        "data/test/._anatomy_test.csv",
    )
    return files | dict.fromkeys(others, b"\xff\x00 nothing that is read")


def mmlu_rows() -> list[dict[str, Any]]:
    """The same as rows of the hub."""
    return [
        {"subject": name, "split": split, "question": q, "choices": c, "answer": "ABCD".index(a)}
        for name in TESTS
        for split, rows in (("test", TESTS[name]), ("dev", DEV))
        for q, *c, a in rows
    ]


def made(kind: str, folder: Path) -> Path:
    """The same questions as a file of another kind."""
    rows = mmlu_rows()
    if kind == "jsonl":
        return as_jsonl(folder / "x.jsonl", rows)
    if kind == "parquet":
        path = folder / "x.parquet"
        path.write_bytes(as_parquet(rows))
        return path
    if kind == "zip of parquet":
        parts: dict[str, list[dict[str, Any]]] = {}
        for row in rows:
            parts.setdefault(f"{row['subject']}/{row['split']}-00000-of-00001.parquet", []).append(row)
        return as_zip(folder / "x.zip", {name: as_parquet(some) for name, some in parts.items()})
    return (as_tar if kind == "tar" else as_zip)(folder / f"data.{kind}", mmlu_files())


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


ROW = {"subject": "anatomy", "question": "Q?", "choices": ["a", "b", "c", "d"], "answer": 1}
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
            "/test/anatomy_test.csv: byte 1 is not UTF-8; save the file as UTF-8",
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


def test_a_file_without_examples_is_asked_without(tmp_path: Path) -> None:
    (problem,) = mmlu.read(as_jsonl(tmp_path / "x.jsonl", [ROW]))
    assert [len(mmlu.turns(problem, load(name))) for name in ("kit", "opencompass")] == [1, 1]
    assert mmlu.turns(problem, load("kit"))[0].content.count("Question:") == 1


@pytest.mark.parametrize(("module", "name", "number"), [(mmlu, "mmlu", 57), (ceval, "ceval", 52)])
def test_subjects_are_those_of_opencompass(module: ModuleType, name: str, number: int) -> None:
    scope = configuration(name)
    assert sorted(module.SUBJECTS) == sorted(scope[f"{name}_all_sets"])
    assert len(module.SUBJECTS) == number
    if name == "ceval":
        assert dict(ceval.SUBJECTS) == {key: value[1] for key, value in scope["ceval_subject_mapping"].items()}


CONFIGURATIONS = {"mmlu": "mmlu/mmlu_gen_4d595a.py", "ceval": "ceval/ceval_gen_5f30c7.py"}


def configuration(name: str) -> dict[str, Any]:
    """The module of a configuration of OpenCompass's wheel without its imports: the classes that it names are texts."""
    path = Path(str(distribution("opencompass").locate_file(f"opencompass/configs/datasets/{CONFIGURATIONS[name]}")))
    tree = ast.parse(path.read_text(encoding="utf-8"))
    body = [node for node in tree.body if not isinstance(node, ast.ImportFrom)]
    names = [alias.name for node in tree.body if isinstance(node, ast.ImportFrom) for alias in node.names]
    scope: dict[str, Any] = {one: one for one in names}
    exec(compile(ast.Module(body, []), str(path), "exec"), scope)
    return scope


def safe_format() -> Callable[..., str]:
    """OpenCompass's function that fills a template, taken out of its file."""
    path = Path(str(distribution("opencompass").locate_file("opencompass/utils/prompt.py")))
    tree = ast.parse(path.read_text(encoding="utf-8"))
    (node,) = (node for node in tree.body if isinstance(node, ast.FunctionDef) and node.name == "safe_format")
    scope: dict[str, Any] = {}
    exec(compile(ast.Module([node], []), str(path), "exec"), scope)
    return scope["safe_format"]  # type: ignore[no-any-return]


def opencompass_chat(name: str, infer: Mapping[str, Any], problem: Problem) -> list[tuple[str, str]]:
    """The chat that OpenCompass makes of a problem: each example's rounds, then the question's, up to the answer."""
    fill, roles = safe_format(), {"HUMAN": "user", "BOT": "assistant"}
    columns, target = (("input", *"ABCD"), "target") if name == "mmlu" else (("question", *"ABCD"), "answer")

    def values(row: Mapping[str, Any]) -> dict[str, str]:
        return dict(zip((*columns, target), (row["question"], *row["choices"], row["answer"]), strict=True))

    rounds = infer["ice_template"]["template"]["round"]
    chat = [
        (roles[one["role"]], fill(one["prompt"], **values(row))) for row in problem.data["examples"] for one in rounds
    ]
    asked = infer.get("prompt_template", infer["ice_template"])["template"]["round"]
    return chat + [(roles[one["role"]], fill(one["prompt"], **values(problem.data))) for one in asked[:1]]


@pytest.mark.parametrize(("module", "name"), [(mmlu, "mmlu"), (ceval, "ceval")])
def test_paper_asks_as_opencompass(module: ModuleType, name: str) -> None:
    infer = {row["name"]: row["infer_cfg"] for row in configuration(name)[f"{name}_datasets"]}
    pack = load("opencompass")
    problems = module.read(BUNDLED / f"mini-{name}.jsonl")
    assert len(problems) == 16
    for problem in problems:
        chat = [(turn.role, turn.content) for turn in module.turns(problem, pack)]
        assert chat == opencompass_chat(name, infer[module.group(problem)], problem)
        assert len(chat) == 11


@pytest.mark.shared
def test_the_real_stem_questions_are_asked_as_opencompass_asks_them(shared: Path) -> None:
    problems = mmlu.read(shared / "data/mmlu/mmlu_stem_test.jsonl")
    assert (len(problems), len({mmlu.group(one) for one in problems})) == (3018, 18)
    infer = {row["name"]: row["infer_cfg"] for row in configuration("mmlu")["mmlu_datasets"]}
    pack = load("opencompass")
    for problem in problems:
        chat = [(turn.role, turn.content) for turn in mmlu.turns(problem, pack)]
        assert chat == opencompass_chat("mmlu", infer[mmlu.group(problem)], problem)


@pytest.mark.shared
def test_the_real_stem_answers_are_right(shared: Path) -> None:
    problems = mmlu.read(shared / "data/mmlu/mmlu_stem_test.jsonl")
    groups = {problem.id: mmlu.group(problem) for problem in problems}
    texts = [f"The answer is {problem.data['answer']}." for problem in problems]
    for protocol in ("paper", "default"):
        (result,) = results(mmlu.grade(problems, texts, protocol, None), mmlu.METRICS, groups)
        assert (result.value, result.n, result.groups) == (1.0, 3018, 18)


@pytest.mark.parametrize(("module", "name"), [(mmlu, "mmlu"), (ceval, "ceval")])
@pytest.mark.parametrize("protocol", ["paper", "default"])
def test_the_bundled_answers_are_right(module: ModuleType, name: str, protocol: str) -> None:
    problems = module.read(BUNDLED / f"mini-{name}.jsonl")
    groups = {problem.id: module.group(problem) for problem in problems}
    for texts, value in (([one.data["answer"] for one in problems], 1.0), (["E"] * 16, 0.0)):
        (result,) = results(module.grade(problems, texts, protocol, None), module.METRICS, groups)
        assert (result.metric, result.value, result.n, result.groups) == (name, value, 16, 4)
    letters = [problem.data["answer"] for problem in problems]
    assert {letter: letters.count(letter) for letter in "ABCD"} == dict.fromkeys("ABCD", 4)


def test_the_number_is_the_mean_over_subjects(tmp_path: Path) -> None:
    # 2 of 3 questions are right, in one of two subjects all and in the other half: the mean is 3/4 and not 2/3
    problems = mmlu.read(made("jsonl", tmp_path))
    groups = {problem.id: mmlu.group(problem) for problem in problems}
    (result,) = results(mmlu.grade(problems, ["B", "C", "A"], "paper", None), mmlu.METRICS, groups)
    assert (result.value, result.n, result.groups) == (0.75, 3, 2)


@pytest.mark.parametrize(
    ("module", "text", "paper", "default"),
    [
        pytest.param(mmlu, "It is (D), Earth", "D", "D", id="mmlu"),
        # OpenCompass's last pattern takes the first option that stands anywhere, in a word too
        pytest.param(mmlu, "Among these, Don and Ada are", "A", "", id="mmlu-a-name"),
        # any capital letter is C-Eval's answer, in any script
        pytest.param(ceval, "Надо: B", "Н", "B", id="ceval-another-capital"),
        pytest.param(ceval, "答案是b", "", "B", id="ceval-small"),
    ],
)
def test_protocols_differ(module: ModuleType, text: str, paper: str, default: str, tmp_path: Path) -> None:
    problem = Problem(id="x/0", data={"question": "?", "choices": ["1", "2", "3", "4"], "answer": "B", "examples": []})
    found = [module.grade([problem], [text], protocol, None)[0].answer for protocol in ("paper", "default")]
    assert found == [paper, default]


def test_an_unknown_protocol_is_named() -> None:
    with pytest.raises(RequestError) as error:
        ceval.grade([], [], "papr", None)
    assert str(error.value) == "no protocol named 'papr'; did you mean 'paper'?"


def test_no_word_of_opencompass_is_the_kits_own() -> None:
    for name in ("mmlu", "ceval"):
        own = {turn.content for id in (name, f"{name}.example") for turn in load("kit").chat(id)}
        theirs = {turn.content for id in (name, f"{name}.example") for turn in load("opencompass").chat(id)}
        lines = [{line for text in texts for line in text.split("\n")} for texts in (own, theirs)]
        assert {line for line in lines[0] & lines[1] if not re.fullmatch(r"|[A-D]\. \{[A-D]\}", line)} == set()
