"""Completions of benchmarks with subjects, and questions that stand in several of their problems."""

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import pytest

from kit.errors import RequestError
from kit.files.completions import read_completions
from kit.records import Problem

QUESTIONS: Sequence[tuple[str, str, str]] = [
    ("anatomy/0", "Which is true?", "A"),
    ("law/0", "Which is true?", "B"),
    ("international_law/0", "Which is true?", "C"),
    ("anatomy/1", "Which is true?", "D"),
    ("law/1", "Another one?", "A"),
    ("law/2", "Another one?", "A"),
]


def problem(id: str, question: str, answer: str) -> Problem:
    subject, _, place = id.partition("/")
    # law/1 and law/2 are one question twice, as MMLU has some
    choices = [f"{subject} {place}" if question != "Another one?" else "the same", "b", "c", "d"]
    return Problem(
        id=id,
        data={"subject": subject, "question": question, "choices": choices, "answer": answer, "examples": []},
    )


PROBLEMS = [problem(*row) for row in QUESTIONS]


def of_subject(subject: str) -> list[Problem]:
    return [one for one in PROBLEMS if one.data["subject"] == subject]


def predictions(problems: Sequence[Problem]) -> dict[str, Any]:
    """A subject's predictions as OpenCompass writes them."""
    return {
        str(place): {"origin_prompt": [{"role": "HUMAN", "prompt": f"Question: {one.data['question']}"}]}
        | {"prediction": f"said of {one.id}", "gold": one.data["answer"]}
        for place, one in enumerate(problems)
    }


def write(folder: Path, files: Mapping[str, Any]) -> Path:
    for name, content in files.items():
        path = folder / "run" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        lines = content if isinstance(content, list) else [content]
        path.write_text("".join(json.dumps(line) + "\n" for line in lines), encoding="utf-8")
    return folder / "run"


TEXTS = [f"said of {one.id}" for one in PROBLEMS]


@pytest.mark.parametrize("named", ["lukaemon_mmlu_{}.json", "mmlu-{}.json"])
def test_opencompass_has_a_file_for_each_subject(named: str, tmp_path: Path) -> None:
    # was refused as several sets of predictions
    subjects = ("anatomy", "international_law", "law")
    files = {f"predictions/m/{named.format(one)}": predictions(of_subject(one)) for one in subjects}
    found = read_completions(write(tmp_path, files), PROBLEMS, benchmark="mmlu")
    assert (found.texts, found.matched_by, found.layout) == (TEXTS, "position", "OpenCompass predictions")


def test_a_subject_in_parts(tmp_path: Path) -> None:
    law = of_subject("law")
    files = {
        "mmlu_law_0.json": predictions(law[:2]),
        "mmlu_law_1.json": predictions(law[2:]),
        "mmlu_anatomy.json": predictions(of_subject("anatomy")),
        "mmlu_international_law.json": predictions(of_subject("international_law")),
    }
    assert read_completions(write(tmp_path, files), PROBLEMS, benchmark="mmlu").texts == TEXTS


ANATOMY = predictions(of_subject("anatomy"))


@pytest.mark.parametrize(
    ("files", "message"),
    [
        pytest.param(
            {"mmlu_anatomy.json": ANATOMY},
            ": 4 of 6 problems have no completion, the first is 'law/0'; give every problem one, an empty text if the "
            "model said nothing; where only 2 were asked, give those problems alone with --data",
            id="one-subject",
        ),
        pytest.param(
            {"mmlu_anatomy.json": ANATOMY, "mmlu_x.json": ANATOMY},
            ": mmlu_x ends with no subject of the benchmark; leave it out",
            id="no-subject",
        ),
        pytest.param(
            {"predictions/m/mmlu_anatomy.json": ANATOMY, "predictions/n/mmlu_anatomy.json": ANATOMY},
            ": predictions/m/mmlu_anatomy and predictions/n/mmlu_anatomy both hold anatomy; name the folder of one run",
            id="two-runs",
        ),
        pytest.param(
            {"mmlu_anatomy.json": predictions(of_subject("law")), "mmlu_law.json": ANATOMY},
            "/mmlu_anatomy.json['2']: anatomy has 2 problems in the benchmark, and this is one more; is it another "
            "split?",
            id="more-than-problems",
        ),
        pytest.param(
            {"mmlu_anatomy_0.json": ANATOMY, "mmlu_anatomy_2.json": ANATOMY, "mmlu_law.json": ANATOMY},
            ": parts mmlu_anatomy_0, mmlu_anatomy_2; wanted mmlu_anatomy_0 to _1, or one whole file",
            id="a-part-is-missing",
        ),
        pytest.param(
            {"mmlu_x.json": ANATOMY, "mmlu_y.json": ANATOMY},
            ": 2 sets of predictions (mmlu_x, mmlu_y); name one file",
            id="sets-of-no-subject",
        ),
    ],
)
def test_files_of_something_else(files: Mapping[str, Any], message: str, tmp_path: Path) -> None:
    path = write(tmp_path, files)
    with pytest.raises(RequestError) as error:
        read_completions(path, PROBLEMS, benchmark="mmlu")
    assert str(error.value) == f"{path}{message}"


def lm_eval(problems: Sequence[Problem]) -> list[dict[str, Any]]:
    """A subject's rows as lm-eval writes them for its task ``mmlu_<subject>_generative``."""
    return [
        {
            "doc_id": place,
            "doc": {name: one.data[name] for name in ("question", "subject", "choices")}
            | {"answer": "ABCD".index(one.data["answer"])},
            "resps": [[f"said of {one.id}"]],
            "filter": "get_response",
        }
        for place, one in enumerate(problems)
    ]


def test_lm_eval_has_a_file_for_each_subject(tmp_path: Path) -> None:
    # a question that stands in two subjects was refused, and so was one that stands twice in a subject
    subjects = ("anatomy", "international_law", "law")
    files = {f"samples_mmlu_{one}_generative_2024.jsonl": lm_eval(of_subject(one)) for one in subjects}
    found = read_completions(write(tmp_path, files), PROBLEMS, benchmark="mmlu")
    assert (found.texts, found.matched_by) == (TEXTS, "question")


def test_likelihoods_are_no_texts(tmp_path: Path) -> None:
    # the message led to grading the number -1.5 as the model's text
    row = {"doc_id": 0, "doc": {"question": "Which is true?"}, "resps": [[["-1.5", "False"]]] * 4}
    path = write(tmp_path, {"samples_mmlu_anatomy_2024.jsonl": [row]})
    with pytest.raises(RequestError) as error:
        read_completions(path, PROBLEMS, benchmark="mmlu")
    assert str(error.value) == (
        f"{path}/samples_mmlu_anatomy_2024.jsonl:1: likelihoods of the given answers, and no text that the model "
        "wrote; take a task of lm-eval that generates, for MMLU mmlu_generative"
    )


def test_an_instruction_and_its_input_are_one_text_elsewhere(tmp_path: Path) -> None:
    # AlpacaFarm's own files keep the input apart; 208 of 805 rows answered no problem
    problems = [Problem(id=str(n), data={"instruction": text}) for n, text in enumerate(("Do.\n\nThis.", "Do.", "Go."))]
    rows = [
        {"instruction": "Do.", "input": "This.", "output": "0"},
        {"instruction": "Do.", "input": "", "output": "1"},
        {"instruction": "Go.", "input": "Away.", "output": "2"},
    ]
    path = write(tmp_path, {"x.jsonl": rows}) / "x.jsonl"
    assert read_completions(path, problems, benchmark="alpacafarm").texts == ["0", "1", "2"]


def test_one_instruction_with_two_inputs(tmp_path: Path) -> None:
    # "Answer the following question." stands twice in AlpacaFarm's file
    problems = [Problem(id=str(n), data={"instruction": "Do.", "input": text}) for n, text in enumerate("ab")]
    rows = [{"instruction": "Do.", "input": text, "output": text} for text in "ba"]
    path = write(tmp_path, {"x.jsonl": rows}) / "x.jsonl"
    assert read_completions(path, problems, benchmark="alpacafarm").texts == ["a", "b"]
