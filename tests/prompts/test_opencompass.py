import ast
import hashlib
import re
import subprocess
import sys
from collections.abc import Callable, Mapping
from importlib.metadata import distribution
from pathlib import Path

import pytest

from kit.errors import RequestError
from kit.prompts import PLACEHOLDERS, Pack, fill, load, opencompass, pins
from kit.prompts.literals import Source

FIRST_TWELVE = {"gsm8k": "9c7da59940ec", "math": "34034debcd1f", "humaneval": "9b6af53e2fc3", "mbpp": "ce3fa069b0c2"}
FIRST_TWELVE |= {"mmlu": "7204ca27bb6d", "ceval": "98388fc58c9d"}
IN_A_LOOP = ("mmlu", "ceval")
"""Built for each subject in a loop; tests/benchmarks/test_choices.py compares them with what the loop makes."""


@pytest.fixture(scope="module")
def pack() -> Pack:
    return load("opencompass")


@pytest.mark.parametrize(
    ("id", "turns", "names"),
    [
        ("gsm8k", 9, {"question"}),
        ("math", 9, {"problem"}),
        ("humaneval", 1, {"prompt"}),
        ("mbpp", 8, {"text", "test_list"}),
    ],
)
def test_shape(pack: Pack, id: str, turns: int, names: set[str]) -> None:
    chat = pack.chat(id)
    assert len(chat) == turns
    assert [turn.role for turn in chat] == ["user" if n % 2 == 0 else "assistant" for n in range(turns)]
    pattern = "{(" + "|".join(PLACEHOLDERS) + ")}"
    assert [set(re.findall(pattern, turn.content)) for turn in chat if re.search(pattern, turn.content)] == [names]


def test_the_last_turn_of_mbpp_is_opened_to_be_continued(pack: Pack) -> None:
    last = pack.chat("mbpp")[-1]
    assert (last.role, last.content) == ("assistant", "[BEGIN]\n")


def test_doubled_braces_of_the_math_examples_stay_doubled(pack: Pack) -> None:
    # OpenCompass fills by plain replacement; str.format would have halved them
    filled = fill(pack.chat("math"), {"problem": "1+1?"})
    assert "\\boxed{{24}}" in filled[3].content
    assert filled[-1].content == "Problem:\n1+1?\nSolution:\n"


def test_every_pinned_file_begins_with_the_published_hash() -> None:
    pinned = pins.read("opencompass")
    assert {pin.id.partition(".")[0]: pinned.files[pin.file][:12] for pin in pinned.prompts} == FIRST_TWELVE


def test_equals_what_python_itself_makes_of_the_literals(pack: Pack) -> None:
    wheel = distribution("opencompass")
    for pin in pins.read("opencompass").prompts:
        if pin.id.partition(".")[0] in IN_A_LOOP:
            continue
        text = Path(str(wheel.locate_file(pin.file))).read_text(encoding="utf-8")
        tree = Source(text, pin.file).tree
        body = [node for node in tree.body if isinstance(node, ast.Assign)]
        names = {node.id: None for part in body for node in ast.walk(part) if isinstance(node, ast.Name)}
        names.pop("dict")
        scope: dict[str, Mapping[str, dict[str, dict[str, list[dict[str, str]]]]]] = {**names}  # type: ignore[dict-item]
        exec(compile(ast.Module(body[:2], []), pin.file, "exec"), scope)
        rounds = scope[pin.name]["prompt_template"]["template"]["round"]
        assert [turn.content for turn in pack.chat(pin.id)] == [item["prompt"] for item in rounds]


def test_the_package_is_not_imported() -> None:
    code = "import sys; from kit.prompts import load; load('opencompass'); print('opencompass' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=True, capture_output=True, text=True).stdout == "False\n"


def test_another_wheel_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    pinned = pins.read("opencompass")
    changed = dict.fromkeys(pinned.files, hashlib.sha256(b"").hexdigest())
    monkeypatch.setattr(
        opencompass.pins,
        "read",
        lambda _: pins.Pins(source="opencompass", revision="0.3.3", url="", files=changed, prompts=pinned.prompts),
    )
    with pytest.raises(
        RequestError, match=r"prompts.toml says e3b0c44298fc…; the file is not that of opencompass 0.3.3"
    ):
        opencompass.read()


@pytest.mark.parametrize(
    ("id", "wanted"),
    [
        ("mmlu.example", [("user", "{subject}"), ("assistant", "{target}\n")]),
        ("ceval.example", [("user", "{subject}"), ("assistant", "{answer}")]),
    ],
)
def test_an_example_is_a_question_and_its_letter(pack: Pack, id: str, wanted: list[tuple[str, str]]) -> None:
    question, answer = pack.chat(id)
    assert pack.chat(id.partition(".")[0]) == (question,)
    assert [(question.role, "{subject}"), (answer.role, answer.content)] == wanted


def test_patterns_of_options_are_read_with_their_letters() -> None:
    found = opencompass.option_patterns("XY")
    assert (len(found), sum("[XY]" in pattern for pattern in found), found[-1]) == (50, 46, "([XY])")


LOOP = "for _n in ('a', 'b'):\n    hint = f'about {_n.replace(\"_\", \" \")}'\n    name = hint + '!'\n"
LOOP += "def f(text, options):\n    patterns = [f'[{options}]', 'x' 'y']\n    return 1\n"


def test_strings_of_a_loop_have_the_value_given_for_its_variable() -> None:
    source = Source(LOOP, "f.py", {"_n": "{subject}"})
    assert source.text(source.assigned("name"), {}) == "about {subject}!"
    assert source.strings_in("f", "patterns", {"options": "AB"}) == ["[AB]", "xy"]


@pytest.mark.parametrize(
    ("read", "message"),
    [
        (lambda source: source.strings_in("f", "others", {}), "f.py: f assigns no list to 'others'"),
        (lambda source: source.strings_in("g", "patterns", {}), "f.py: no module-level function 'g'"),
        (lambda source: source.text(source.assigned("name"), {}), "f.py: no module-level assignment to '_n'"),
    ],
    ids=["list", "function", "loop"],
)
def test_another_source_is_refused(read: Callable[[Source], object], message: str) -> None:
    with pytest.raises(RequestError) as error:
        read(Source(LOOP, "f.py"))
    assert str(error.value) == message
