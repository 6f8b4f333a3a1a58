import importlib.util
import json
import subprocess
import sys
import types
from importlib.metadata import distribution
from pathlib import Path
from typing import Any

import pytest

from kit.benchmarks import ifeval
from kit.benchmarks._results import results
from kit.errors import RequestError
from kit.prompts import load
from kit.records import Problem, Turn


def problem(*instructions: tuple[str, dict[str, Any]]) -> Problem:
    names, kwargs = [name for name, _ in instructions], [values for _, values in instructions]
    return Problem(id="1", data={"key": 1, "prompt": "p", "instruction_id_list": names, "kwargs": kwargs})


def counts(asked: Problem, text: str, protocol: str = "paper") -> list[int]:
    (grade,) = ifeval.grade([asked], [text], protocol, None)
    return [right for right, _ in grade.scores.values()]


@pytest.mark.parametrize(
    ("instruction", "text", "strict", "loose"),
    [
        pytest.param(("punctuation:no_comma", {}), "None here.", 1, 1, id="followed"),
        pytest.param(("punctuation:no_comma", {}), "One, here.", 0, 0, id="broken"),
        pytest.param(("punctuation:no_comma", {}), "Sure, here:\nNone here.", 0, 1, id="loose-drops-the-first-line"),
        pytest.param(("punctuation:no_comma", {}), "None here.\nBye, now.", 0, 1, id="loose-drops-the-last-line"),
        pytest.param(("punctuation:no_comma", {}), "A,\nb\nc,", 0, 1, id="loose-drops-both"),
        pytest.param(("startend:quotation", {}), '*"quoted"*', 0, 1, id="loose-drops-asterisks"),
        pytest.param(("punctuation:no_comma", {}), "  \n ", 0, 0, id="a-blank-text-follows-nothing"),
        pytest.param(("change_case:english_lowercase", {}), "all of this is in lowercase", 1, 1, id="langdetect"),
        pytest.param(
            ("length_constraints:number_sentences", {"relation": "at least", "num_sentences": 2}),
            "Dr. Low came at 5 p.m. today. He left.",
            1,
            1,
            id="punkt",
        ),
        # its RecursionError ended the whole job: a small model that repeats itself writes such a text
        pytest.param(("detectable_format:json_format", {}), "[" * 20_000, 0, 0, id="brackets-without-end"),
        pytest.param(("detectable_format:title", {"unused": None}), "<<t>>", 1, 1, id="null-kwargs-are-left-out"),
    ],
)
def test_strict_and_loose(instruction: tuple[str, dict[str, Any]], text: str, strict: int, loose: int) -> None:
    assert counts(problem(instruction), text) == [strict, strict, loose, loose]


def test_a_prompt_needs_all_of_its_instructions() -> None:
    asked = problem(("punctuation:no_comma", {}), ("startend:quotation", {}))
    (grade,) = ifeval.grade([asked], ["no comma"], "paper", None)
    assert grade.scores == {
        "ifeval_prompt_strict": [0, 1],
        "ifeval_instruction_strict": [1, 2],
        "ifeval_prompt_loose": [0, 1],
        "ifeval_instruction_loose": [1, 2],
    }
    assert grade.reason == "broken: startend:quotation"


@pytest.mark.parametrize("protocol", ["paper", "default"])
def test_a_letter_that_is_none_is_drawn_the_same_each_time(protocol: str) -> None:
    # the official checker draws some letter in the place of "!", and the verdict hangs on the draw
    asked = problem(("keywords:letter_frequency", {"let_relation": "at least", "letter": "!", "let_frequency": 2}))
    assert counts(asked, "Go! Go!", protocol) == counts(asked, "Go! Go!", protocol)


def test_the_prompt_alone_is_asked() -> None:
    assert ifeval.turns(problem(), load("kit")) == (Turn(role="user", content="p"),)


@pytest.mark.parametrize(
    ("line", "message"),
    [
        (
            {"key": "a", "prompt": "p", "instruction_id_list": [], "kwargs": []},
            ":1: field 'key': found str, wanted int; is it another set?",
        ),
        (
            {"key": 1, "prompt": "p", "instruction_id_list": ["punctuation:no_comma"], "kwargs": []},
            ": key 1: 1 instructions with 0 kwargs; wanted one each",
        ),
    ],
)
def test_another_format_is_refused(tmp_path: Path, line: dict[str, Any], message: str) -> None:
    path = tmp_path / "x.jsonl"
    path.write_text(json.dumps(line) + "\n", encoding="utf-8")
    with pytest.raises(RequestError) as error:
        ifeval.read(path)
    assert str(error.value) == f"{path}{message}"


def test_an_unknown_instruction_is_named() -> None:
    with pytest.raises(RequestError, match=r"^ifeval: key 1: no instruction 'x:y' in the official registry$"):
        ifeval.grade([problem(("x:y", {}))], ["t"], "paper", None)


def test_a_changed_file_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    manifest = tmp_path / "ifeval.toml"
    manifest.write_text(ifeval.MANIFEST.read_text(encoding="utf-8").replace('"92a3e070', '"00000000'), encoding="utf-8")
    monkeypatch.setattr(ifeval, "MANIFEST", manifest)
    with pytest.raises(RequestError, match=r"sha256 is 92a3e070f43d…, ifeval.toml says 00000000f43d…; another version"):
        ifeval.load_checkers()


def test_imports_no_engine_and_leaves_no_stand_in() -> None:
    code = (
        "import sys, socket; socket.socket.connect = None; sys.modules['packaging'] = None\n"
        "from kit.benchmarks import ifeval; ifeval.load_checkers()\n"
        "print([name for name in ('torch', 'transformers', 'lm_eval', 'lm_eval.tasks') if name in sys.modules])"
    )
    done = subprocess.run([sys.executable, "-c", code], check=True, capture_output=True, text=True)
    assert done.stdout == "[]\n"


def official() -> Any:
    """The wheel's own ``process_results``, over the same checker classes."""
    path = Path(str(distribution("lm-eval").locate_file("lm_eval/tasks/ifeval/utils.py")))
    classes = ifeval.load_checkers().classes
    with ifeval._stand_ins("lm_eval", "lm_eval.tasks", "lm_eval.tasks.ifeval") as package:
        package.instructions_registry = types.SimpleNamespace(INSTRUCTION_DICT=classes)  # type: ignore[attr-defined]
        spec = importlib.util.spec_from_file_location("lm_eval.tasks.ifeval.utils", path)
        assert spec is not None
        assert spec.loader is not None
        module = importlib.util.module_from_spec(spec)
        sys.modules[spec.name] = module
        spec.loader.exec_module(module)
    return module.process_results


COUNTS = {
    "shared": [(416, 541), (697, 834), (429, 541), (712, 834)],
    "sample": [(31, 47), (55, 73), (33, 47), (57, 73)],
}
"""Followed and asked: prompts and instructions, strict, then loose; those of the whole set were published."""


class TestGpt4:
    def responses(self, reference_data: Path) -> tuple[list[Problem], list[str]]:
        problems = ifeval.read(reference_data / "data/ifeval/input_data_before_2024-06-11.jsonl")
        lines = (
            (reference_data / "data/ifeval/input_response_data_gpt4_20231107_145030.jsonl")
            .read_text(encoding="utf-8")
            .splitlines()
        )
        by_prompt = {row["prompt"]: row["response"] for row in map(json.loads, lines)}
        return problems, [by_prompt[asked.data["prompt"]] for asked in problems]

    @pytest.mark.parametrize("protocol", ["paper", "default"])
    def test_counts(self, protocol: str, reference_data: Path) -> None:
        problems, texts = self.responses(reference_data)
        found = results(ifeval.grade(problems, texts, protocol, None), ifeval.METRICS)
        assert [(round(result.value * result.n), result.n) for result in found] == COUNTS[reference_data.name]

    def test_equals_the_official_code_item_by_item(self, reference_data: Path) -> None:
        problems, texts = self.responses(reference_data)
        process = official()
        grades = ifeval.grade(problems, texts, "paper", None)
        for asked, text, grade in zip(problems, texts, grades, strict=True):
            if asked.id in {"1122", "1129"}:  # the two where the official checker draws a letter
                continue
            theirs = process(asked.data, [text])
            assert grade.scores == {
                "ifeval_prompt_strict": [int(theirs["prompt_level_strict_acc"]), 1],
                "ifeval_instruction_strict": [
                    sum(theirs["inst_level_strict_acc"]),
                    len(theirs["inst_level_strict_acc"]),
                ],
                "ifeval_prompt_loose": [int(theirs["prompt_level_loose_acc"]), 1],
                "ifeval_instruction_loose": [sum(theirs["inst_level_loose_acc"]), len(theirs["inst_level_loose_acc"])],
            }, asked.id

    def test_the_order_of_the_problems_does_not_matter(self, reference_data: Path) -> None:
        problems, texts = self.responses(reference_data)
        picked = [n for n, asked in enumerate(problems) if asked.id in {"1122", "1129"}]
        once = ifeval.grade([problems[n] for n in picked], [texts[n] for n in picked], "paper", None)
        turned = ifeval.grade([problems[n] for n in picked[::-1]], [texts[n] for n in picked[::-1]], "paper", None)
        assert once == turned[::-1]
