"""FollowBench's numbers: what a problem's verdicts count, worked out by hand."""

import pytest

from kit.benchmarks import followbench
from kit.benchmarks._followbench_items import LEVELS
from kit.benchmarks._results import results
from kit.errors import KitError
from tests.benchmarks.followbench_problems import graded, one


def test_numbers_by_hand() -> None:
    # style: levels 1 and 2 whole, 1 of 3, 4 of 4, 0 of 5; situation, by a rule: whole on 2, 3, 4 and 5
    problems = [
        *(one("style", "kit", level) for level in LEVELS),
        *(one("situation", "gsm_8k", level, "$7") for level in LEVELS),
    ]
    labels = {
        "style/1/1": "['YES']",
        "style/1/2": "['YES', 'YES']",
        "style/1/3": "['NO', 'YES', 'NO']",
        "style/1/4": "['YES', 'YES', 'YES', 'YES']",
    }
    grades = graded(problems, ["Text"] * 5 + ["7", "$7", "$7", "$7", "$7"], labels, "paper")
    groups = {problem.id: followbench.group(problem) for problem in problems}
    found = {one.metric: one for one in results(grades.values(), followbench.METRICS, groups)}
    assert {metric: round(one.value, 6) for metric, one in found.items()} == {
        "followbench_hsr_l1": 0.5,
        "followbench_hsr_l2": 1.0,
        "followbench_hsr_l3": 0.5,
        "followbench_hsr_l4": 1.0,
        "followbench_hsr_l5": 0.5,
        "followbench_hsr_avg": 0.7,
        "followbench_ssr_l1": 0.5,
        "followbench_ssr_l2": 1.0,
        "followbench_ssr_l3": 0.666667,  # (1/3 + 1) / 2
        "followbench_ssr_l4": 1.0,
        "followbench_ssr_l5": 0.5,
        "followbench_ssr_avg": 0.733333,
        "followbench_csl": 1.0,  # 2 levels in a row, and none
    }
    counted = [found[metric] for metric in ("followbench_hsr_l3", "followbench_ssr_l3", "followbench_csl")]
    assert [(one.n, one.unit, one.groups) for one in counted] == [
        (2, "prompts", 2),
        (6, "constraints", 2),
        (2, "items", 2),
    ]
    assert grades["style/1/3"].answer == "NO, YES, NO"
    assert {id: grade.reason for id, grade in grades.items() if grade.reason} == {
        "style/1/3": "constraint 1 of 3",
        "style/1/5": "constraint 1 of 5",
        "situation/1/1": "rule: gsm_8k",
    }


def test_kinds_weigh_alike_and_levels_too() -> None:
    # two items of one kind and one of another: pooled over prompts level 1 would be 2/3
    problems = [
        *(one("situation", "gsm_8k", level, "$7", item) for item in (1, 2) for level in LEVELS),
        *(one("content", "E2E", level, "x") for level in LEVELS),
    ]
    texts = ["$7"] * 5 + ["$7", "0", "0", "0", "0"] + ["y"] * 5
    grades = graded(problems, texts, {}, "paper")
    groups = {problem.id: followbench.group(problem) for problem in problems}
    found = {one.metric: one for one in results(grades.values(), followbench.METRICS, groups)}
    levels = [found[f"followbench_hsr_l{level}"].value for level in LEVELS]
    assert levels == [0.5, 0.25, 0.25, 0.25, 0.25]
    assert found["followbench_hsr_avg"].value == pytest.approx(sum(levels) / 5)
    # an item's levels stand and fall together: situation's two items have 5 and 1 of 5, content's one stands in by the
    # spread of all three: (5, 1, 0) about 2 is 14 / 2 * 3 / 3; variances 16 / 100 and 7 / 25 of two kinds
    assert found["followbench_hsr_avg"].stderr == pytest.approx((16 / 100 + 7 / 25) ** 0.5 / 2)
    assert found["followbench_csl"].value == (5 + 1) / 2 / 2


def test_default_counts_the_words_for_each_constraint() -> None:
    problems = [one("style", "kit", level) for level in LEVELS]
    labels = {"style/1/1#1": "Yes", "style/1/2#2": "Yes", "style/1/3#1": ""}
    grades = graded(problems, ["Text", "Text", "Text", " \n", "Text"], labels, "default")
    soft = [grades[f"style/1/{level}"].scores[f"followbench_ssr_l{level}"] for level in LEVELS]
    assert soft == [[1, 1], [1, 2], [0, 3], [0, 4], [0, 5]]
    assert [grades[f"style/1/{level}"].reason for level in LEVELS] == [
        "",
        "constraint 1 of 2",
        "no verdict could be read",
        "a blank answer",
        "constraint 1 of 5",
    ]


def test_a_list_that_could_not_be_read_meets_nothing() -> None:
    # the official code takes one off the count for it, until somebody mends it by hand
    problems = [one("style", "kit", level) for level in LEVELS]
    grade = graded(problems, ["Text"] * 5, {"style/1/2": ""}, "paper")["style/1/2"]
    assert grade.scores == {"followbench_hsr_l2": [0, 1], "followbench_ssr_l2": [0, 2]}
    assert grade.reason == "no verdict could be read"


@pytest.mark.parametrize(("protocol", "met"), [("paper", 0), ("default", 1)])
def test_white_space_at_the_ends_of_an_answer_counts_in_paper_alone(protocol: str, met: int) -> None:
    problems = [one("content", "E2E", level, "name[The Mill]") for level in LEVELS]
    grades = graded(problems, [" name[The Mill]\n"] * 5, {}, protocol)
    assert {grades[f"content/1/{level}"].scores[f"followbench_hsr_l{level}"][0] for level in LEVELS} == {met}


@pytest.mark.parametrize(("protocol", "id"), [("paper", "style/1/1"), ("default", "style/1/1#1")])
def test_a_question_without_a_verdict_is_named(protocol: str, id: str) -> None:
    problems = [one("style", "kit", level) for level in LEVELS]
    with pytest.raises(KitError) as error:
        followbench.grade_judged(problems, ["Text"] * 5, {}, protocol)
    assert str(error.value) == (
        f"followbench: no verdict on the question {id}; are the verdicts those of these answers?"
    )
