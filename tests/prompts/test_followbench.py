"""FollowBench's wording for its judge: read and not run, known by its own hash, and refused if it reads otherwise."""

import hashlib
import os
from pathlib import Path

import pytest

from kit.benchmarks import followbench, judge_prompts
from kit.benchmarks._followbench_judge import list_question
from kit.errors import RequestError
from kit.prompts import fingerprint, load, pins
from kit.prompts.followbench import PathSource, template
from kit.records import Problem

OFFICIAL = os.environ.get("KIT_FOLLOWBENCH_DIR", "")
"""A checkout of FollowBench's repository at the pinned commit."""
FILE = "code/gpt4_based_evaluation.py"
MADE_UP = """
def grown(path, text):
    level = len(path)-1

    if level == 1:
        prompt = "Begin.\\n" \\
                + "First: " + path[0] + "\\n"
        prompt += "Then: " + path[1] + "\\n"
    else:
        prompt = "Begin, {} times.\\n".format(level) + path[0] + "\\n"
        for i in range(2, level+1):
            prompt += "{}) ".format(i) + path[i] + "\\n"

    prompt += "So {n}: ".format(n=level) + text
    return prompt

def runs(path, text):
    prompt = open(text).read()
    return prompt

def counts_long(path, text):
    prompt = ""
    for i in range(0, 1000000000000):
        prompt += text
    return prompt

def looks_beyond(path, text):
    prompt = path[9]
    return prompt

def adds_numbers_to_texts(path, text):
    prompt = text + 1
    return prompt

def gives_a_number(path, text):
    level = len(path)
    return level

def gives_nothing(path, text):
    level = len(path)

def takes_three(path, text, more):
    return text

def while_true(path, text):
    while True:
        text += text
    return text

def loops_in_loops(path, text):
    for i in range(0, 90):
        for j in range(0, 90):
            level = 1
    return text

def doubles(path, text):
    for i in range(0, 90):
        text += text
    return text

def wide(path, text):
    return "{:>999999999}".format(text)

def lacks(path, text):
    return "{} {}".format(text)
"""


def pin(function: str, level: int, rendered: str) -> pins.Pin:
    names = (*(f"instruction_{step}" for step in range(level + 1)), "answer")
    digest = hashlib.sha256(rendered.encode()).hexdigest()
    return pins.Pin(id="p", file="f.py", function=function, placeholders=names, rendered_sha256=digest)


@pytest.mark.parametrize(
    ("level", "rendered", "wanted"),
    [
        pytest.param(
            1,
            "Begin.\nFirst: <<instruction_0>>\nThen: <<instruction_1>>\nSo 1: <<answer>>",
            "Begin.\nFirst: {instruction_0}\nThen: {instruction_1}\nSo 1: {answer}",
            id="one level",
        ),
        pytest.param(
            3,
            "Begin, 3 times.\n<<instruction_0>>\n2) <<instruction_2>>\n3) <<instruction_3>>\nSo 3: <<answer>>",
            "Begin, 3 times.\n{instruction_0}\n2) {instruction_2}\n3) {instruction_3}\nSo 3: {answer}",
            id="a loop over levels",
        ),
    ],
)
def test_reads_what_a_function_would_build(level: int, rendered: str, wanted: str) -> None:
    assert template(PathSource(MADE_UP, "f.py"), pin("grown", level, rendered)) == wanted


@pytest.mark.parametrize(
    ("function", "place"),
    [
        ("runs", "f.py:18: found 'open(text).read()'"),
        ("counts_long", "f.py:23: found 'for i in range(0, 1000000000000):\\n    prompt += text'"),
        ("looks_beyond", "f.py:28: found 'path'"),
        ("adds_numbers_to_texts", "f.py:32: found '1'"),
        ("gives_a_number", "f.py:37: found 'level'"),
        ("gives_nothing", "f.py:40: found 'level = len(path)'"),
        ("takes_three", "f.py:42: found 'def takes_three(path, text, more):\\n    return text'"),
        ("while_true", "f.py:46: found 'while True:\\n    text += text'"),
        # took time, or memory, without end
        ("loops_in_loops", "f.py:52: found 'for j in range(0, 90):\\n    level = 1'"),
        ("doubles", "f.py:58: found 'text + text'"),
        ("wide", "f.py:62: found \"'{:>999999999}'.format(text)\""),
        # ended in a traceback
        ("lacks", "f.py:65: found \"'{} {}'.format(text)\""),
    ],
)
def test_no_code_is_run(function: str, place: str) -> None:
    with pytest.raises(RequestError) as error:
        PathSource(MADE_UP, "f.py").built(function, ["a", "b"], "c")
    assert str(error.value) == f"{place}, which is no plain string building; the reader runs no code"


def test_a_prompt_that_reads_otherwise_is_refused() -> None:
    with pytest.raises(RequestError) as error:
        template(PathSource(MADE_UP, "f.py"), pin("grown", 1, "other"))
    assert str(error.value).startswith("f.py: prompt 'p' reads as sha256 ")
    assert str(error.value).endswith("…; the reader and the file disagree")


def test_the_pack_has_a_prompt_for_each_judged_kind_and_level() -> None:
    pinned = pins.read("followbench")
    assert [one.id for one in pinned.prompts] == list(judge_prompts(followbench, "followbench"))
    assert len({one.rendered_sha256 for one in pinned.prompts}) == 25
    assert pinned.files == {FILE: ""}  # the sha256 of the file is not known
    for one in pinned.prompts:
        assert len(one.placeholders) == int(one.id[-1]) + 2


def test_its_hash_is_known_before_its_file_is_fetched() -> None:
    ids = judge_prompts(followbench, "followbench")
    assert fingerprint("followbench", ids) != fingerprint("followbench", ids[:5])
    with pytest.raises(RequestError) as error:
        fingerprint("followbench", ["followbench.style.6"])
    assert str(error.value) == (
        "prompt pack 'followbench' has no template 'followbench.style.6'; did you mean 'followbench.style.5'?"
    )


def test_without_its_file_it_is_refused(tmp_path: Path) -> None:
    with pytest.raises(RequestError) as error:
        load("followbench")
    assert str(error.value) == (
        "prompt pack 'followbench': its file is fetched, not shipped; fetch it first, or choose the pack 'kit'"
    )
    with pytest.raises(RequestError) as error:
        load("followbench", tmp_path)
    assert str(error.value).endswith(
        f"; wanted {FILE} of YJiangcm/FollowBench 6278f4c1377b4eafab737267b8b21acd52ea0e52"
    )


def test_another_file_in_its_place_is_refused(tmp_path: Path) -> None:
    (tmp_path / "code").mkdir()
    (tmp_path / FILE).write_text("def content_evaluation_prompt(path, text):\n    return text\n", encoding="utf-8")
    with pytest.raises(RequestError) as error:
        load("followbench", tmp_path)
    assert str(error.value).startswith(f"{tmp_path / FILE}: prompt 'followbench.content.1' reads as sha256 ")


@pytest.mark.skipif(not OFFICIAL, reason="KIT_FOLLOWBENCH_DIR names no checkout of FollowBench")
def test_the_official_file_reads_as_pinned() -> None:
    pack = load("followbench", Path(OFFICIAL))
    path = ["<one>", "<two>", "<three>"]
    (asked,) = list_question(
        Problem(id="mixed/1/2", data={"kind": "mixed", "level": 2, "path": path}), "{answer}", pack
    )
    text = asked.turns[0].content
    assert [text.count(part) for part in (*path, "{answer}", "{instruction_0}")] == [1, 1, 1, 1, 0]
    assert text.index("<one>") < text.index("<two>") < text.index("<three>") < text.index("{answer}")
