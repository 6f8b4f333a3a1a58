"""MMLU and C-Eval: the chats that ask them, and their grades, against OpenCompass's configurations."""

import ast
import re
from collections.abc import Callable, Mapping
from importlib.metadata import distribution
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest

from kit.benchmarks import ceval, mmlu
from kit.benchmarks._results import results
from kit.errors import RequestError
from kit.prompts import load
from kit.records import Problem
from tests.benchmarks.choice_files import ROW, as_jsonl, made

BUNDLED = Path(__file__).resolve().parents[2] / "kit/bundled"


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
