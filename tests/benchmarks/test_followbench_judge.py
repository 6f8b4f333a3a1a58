"""FollowBench's judge: what it is asked, and how its replies are read."""

import re

import pytest

from kit.benchmarks import followbench, judge_prompts
from kit.benchmarks._followbench_items import LEVELS
from kit.benchmarks._followbench_judge import list_label, lists
from kit.errors import RequestError
from kit.records import Question
from tests.benchmarks.followbench_problems import KIT, MINI, one
from tests.growth import assert_linear


def question(level: int) -> Question:
    (found,) = followbench.questions([one("style", "kit", n) for n in LEVELS], ["An answer."] * 5, KIT, "paper")[
        level - 1 : level
    ]
    return found


@pytest.mark.parametrize(
    ("level", "reply", "label"),
    [
        (1, "It does.\n['YES']", "['YES']"),
        (1, "['NO']", "['NO']"),
        (1, "NO, or YES?", "['YES']"),
        (1, "YES\nIt does.", ""),
        (1, "yes", ""),
        (1, "NOTHING", "['NO']"),
        (2, "1) ...\n['YES', 'NO']", "['YES', 'NO']"),
        (2, '```\n["NO", "YES"]\n```', "['NO', 'YES']"),
        (2, "So: ['YES', 'YES'].", "['YES', 'YES']"),
        (2, "['YES', 'PARTIAL']", "['YES', 'NO']"),
        (2, "['N/A', 'UNKNOWN']", "['NO', 'NO']"),
        (2, "['YES', 'YES']\nThat is all.", ""),
        (2, "['YES']", ""),
        (2, "['YES', 'YES', 'YES']", ""),
        (2, "['YES', 'Yes']", ""),
        (2, "[YES, NO]", ""),
        (2, "YES, NO", ""),
        (2, "['YES'], ['NO']", ""),
        (2, "[x] ['YES', 'NO']", ""),
        (2, "['YES'] * 2", ""),
        (2, "[__import__('os').getpid(), 'NO']", ""),
        (2, "[" * 900 + "]" * 900, ""),
        (2, "['YES', 'NO'" + " " * 2_000 + "]", ""),
        (5, "['NO', 'YES', 'NO', 'YES', 'MAYBE']", "['NO', 'YES', 'NO', 'YES', 'NO']"),
        (2, "", ""),
    ],
)
def test_a_reply_on_a_whole_level_is_read_as_the_official_code_reads_it(level: int, reply: str, label: str) -> None:
    assert followbench.label(question(level), reply) == label


@pytest.mark.parametrize(
    ("reply", "label"),
    [
        ("YES", "Yes"),
        ("no.", "No"),
        ("It names no bird.\nAnswer: **Yes**", "Yes"),
        ("Yes and no.", ""),
        ("Yes\n\nI hope that helps!", "Yes"),
        ("Nobody knows.", ""),
        ("", ""),
    ],
)
def test_a_reply_on_one_constraint_is_its_last_line_with_a_label(reply: str, label: str) -> None:
    asked = Question(id="style/1/1#1", turns=(), labels=("Yes", "No"))
    assert followbench.label(asked, reply) == label


def test_a_reply_of_brackets_is_read_in_time_in_proportion() -> None:
    # a judge that repeated "[" in one line, 1 MB of it, was read for hours
    question = Question(id="style/1/2", turns=(), labels=lists(2))
    assert_linear(lambda text: list_label(question, text), lambda size: "[" * size)
    assert list_label(question, "] [") == ""
    assert list_label(question, "x ['YES', 'NO'] y") == "['YES', 'NO']"


def test_the_labels_of_a_level_are_all_its_lists() -> None:
    assert question(2).labels == ("['YES', 'YES']", "['YES', 'NO']", "['NO', 'YES']", "['NO', 'NO']")
    assert [len(question(level).labels) for level in LEVELS] == [2, 4, 8, 16, 32]


def test_default_asks_about_each_constraint_with_the_instruction_before_and_after_it() -> None:
    problems = [one("style", "kit", level) for level in LEVELS]
    asked = followbench.questions(problems, ["first", " ", "third {before}", "fourth", "fifth"], KIT, "default")
    assert [one.id for one in asked] == [
        f"style/1/{level}#{step}" for level in (1, 3, 4, 5) for step in range(1, level + 1)
    ]
    text = asked[2].turns[0].content
    assert [text.count(part) for part in ("step 0", "step 1", "step 2", "step 3", "third {before}")] == [0, 1, 1, 0, 1]
    assert {one.labels for one in asked} == {("Yes", "No")}


def test_paper_asks_once_a_problem_and_shows_the_whole_path() -> None:
    problems = followbench.read(MINI)
    asked = followbench.questions(problems, ["An answer."] * 60, KIT, "paper")
    assert [one.id for one in asked] == [one.id for one in problems if not followbench.has_rule(one)]
    assert len(asked) == 35
    text = question(3).turns[0].content
    assert [text.count(f"step {step}") for step in range(5)] == [1, 1, 1, 1, 0]


def test_a_pack_without_words_for_the_judge_is_refused() -> None:
    with pytest.raises(RequestError) as error:
        judge_prompts(followbench, "opencompass")
    assert str(error.value) == (
        "prompt pack 'opencompass' has no words for this benchmark's judge; known: kit, followbench"
    )
    assert judge_prompts(followbench, "kit") == ("followbench.constraint", "followbench.list")


def test_rows_that_cut_an_item_are_refused() -> None:
    problems = followbench.read(MINI)[:7]
    wanted = (
        "followbench: item situation/1 has the levels 1, 2 of 1 to 5; take whole items: a number of rows that is a "
        "multiple of 5"
    )
    for call in (
        lambda: followbench.questions(problems, ["Text"] * 7, KIT, "paper"),
        lambda: followbench.grade_judged(problems, ["Text"] * 7, {}, "paper"),
    ):
        with pytest.raises(RequestError, match=f"^{re.escape(wanted)}$"):
            call()


def test_no_such_protocol() -> None:
    with pytest.raises(RequestError) as error:
        followbench.questions([], [], KIT, "papers")
    assert str(error.value) == "no protocol named 'papers'; did you mean 'paper'?"
