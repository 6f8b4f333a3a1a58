"""Trajectory keywords: lines of the first part, questions about them, phrases that count, and their messages."""

from collections.abc import Sequence

import pytest

from kit import prompts
from kit.engines import TOO_LONG
from kit.errors import KitError, RequestError
from kit.judges.verdicts import check_questions
from kit.metrics import Option, judged_metric, trajectory
from kit.metrics._sums import results
from kit.records import Probe, Question, Score, Turn, Verdict

FOLDED: dict[str, Option] = {"equal": "folded", "blank_lines": True}
NEVER: dict[str, Option] = {"equal": "never", "blank_lines": True}
NO_BLANKS: dict[str, Option] = {"equal": "folded", "blank_lines": False}
PACK = prompts.load("kit")


def probe(text: str, id: str = "s/0", *, pack: str = "kit", finish_reason: str = "stop") -> Probe:
    return Probe(id=id, text=text, probabilities=[], finish_reason=finish_reason, prompts=pack)


LISTS = {
    "the kit's": (probe("a limit\n two reasons \n### Plan\nBoth.\n### Draft\nc"), FOLDED, ["a limit", "two reasons"]),
    "the kit's, on one line": (probe("a limit; two reasons\n### Plan\nBoth; c."), FOLDED, ["a limit", "two reasons"]),
    "its heading again": (probe("### Ways\na limit\n### Plan\nBoth."), FOLDED, ["a limit"]),
    "a blank line": (probe("a limit\n\ntwo reasons\n### Plan"), FOLDED, ["a limit", "", "two reasons"]),
    "no blank line": (probe("a limit\n\ntwo reasons\n### Plan"), NO_BLANKS, ["a limit", "two reasons"]),
    "up to the first": (probe("a limit\n### Plan\nb\n### Plan\nc"), FOLDED, ["a limit"]),
    "none": (probe("### Plan\nBoth."), FOLDED, []),
    "the paper's": (
        probe("Step 1 #Methods List#:\n1. a limit; once\n2. two reasons\nStep 2 #Plan#:\nBoth", pack="paper"),
        FOLDED,
        ["1. a limit; once", "2. two reasons"],
    ),
    "the paper's, on two lines": (
        probe("Step 1\n#Method List#:\n- a limit\n\nStep 2\n#Plan#:\n", pack="paper"),
        NO_BLANKS,
        ["- a limit"],
    ),
}


@pytest.mark.parametrize(("row", "options", "wanted"), LISTS.values(), ids=list(LISTS))
def test_lines_of_the_first_part(row: Probe, options: dict[str, Option], wanted: list[str]) -> None:
    assert trajectory.ways(row, options) == wanted
    assert trajectory.fault_of(row) == ""


ROWS = [
    probe("a limit\ntwo reasons\n### Plan\nx", "s/0"),
    probe("nothing of the form", "s/1"),
    probe("two reasons\na story\na limit\n### Plan", "s/2"),
    probe("", "s/3", finish_reason=TOO_LONG),
]
ASKED = {"s/0#0": "a limit", "s/0#1": "two reasons", "s/2#1": "a story"}


def verdicts(**labels: str) -> dict[str, Verdict]:
    ids = {"limit": "s/0#0", "reasons": "s/0#1", "story": "s/2#1"}
    return {ids[name]: Verdict(id=ids[name], label=label, text=label) for name, label in labels.items()}


def test_each_line_is_asked_about_once() -> None:
    found = trajectory.questions(ROWS, PACK, FOLDED)
    assert {one.id: line for one, line in zip(found, ASKED.values(), strict=True)} == ASKED
    template = PACK.chat("keywords.extract")[0].content
    assert [one.turns for one in found] == [
        (Turn(role="user", content=template.replace("{instruction}", line)),) for line in ASKED.values()
    ]
    assert all(one.is_open for one in check_questions(found, "metrics/trajectory.py"))
    assert judged_metric("trajectory").JUDGE_PROMPTS == ("keywords.extract",)


def test_half_characters_are_not_shown_to_the_judge() -> None:
    (question,) = trajectory.questions([probe("a \udcff limit\n### Plan")], PACK, FOLDED)
    assert "a \N{REPLACEMENT CHARACTER} limit" in question.turns[0].content


COUNTS = {
    # s/0 has two phrases; of s/2's three one is new
    "by phrase": (FOLDED, verdicts(limit="limit", reasons="reasons", story="story"), [2.0, 1.0]),
    # the second line of s/0 gets the phrase of the first
    "equal but for case": (FOLDED, verdicts(limit="Limit", reasons="LIMIT", story="story"), [1.0, 1.0]),
    "each line": (NEVER, verdicts(limit="limit", reasons="Limit", story="story"), [2.0, 3.0]),
    "no phrase": (FOLDED, verdicts(limit="limit", reasons="", story=""), [1.0, 0.0]),
}


@pytest.mark.parametrize(("options", "said", "wanted"), COUNTS.values(), ids=list(COUNTS))
def test_phrases_that_no_row_before_has(
    options: dict[str, Option], said: dict[str, Verdict], wanted: Sequence[float]
) -> None:
    first, without, second, unasked = trajectory.judged(ROWS, said, options)
    assert [first.values["trajectory_keywords"], second.values["trajectory_keywords"]] == wanted
    assert without == Score(id="s/1", skipped="no heading of the second part")
    assert unasked == Score(id="s/3", skipped="too long to be asked")
    (result,) = results([first, without, second, unasked], trajectory.METRICS)
    assert (result.value, result.n) == (sum(wanted), 2)


def test_phrases_stand_beside_their_row() -> None:
    found = trajectory.judged(ROWS, verdicts(limit="Limit", reasons="reasons", story="limit"), FOLDED)
    assert [score.facts for score in found] == [{"keywords": ["Limit", "reasons"]}, {}, {"keywords": []}, {}]


REPLIES = {
    "as it stands": ("Time limit", "Time limit"),
    "blanks": ("  time \n limit\n", "time limit"),
    "nothing": (" \n", ""),
}


@pytest.mark.parametrize(("reply", "wanted"), REPLIES.values(), ids=list(REPLIES))
def test_the_phrase_of_a_reply(reply: str, wanted: str) -> None:
    question = Question(id="s/0#0", turns=(), labels=trajectory.LABELS, is_open=True)
    assert trajectory.label(question, reply) == wanted


def test_a_pack_whose_parts_are_not_known() -> None:
    with pytest.raises(RequestError) as caught:
        trajectory.questions([probe("a\n### Plan", pack="opencompass")], PACK, FOLDED)
    assert str(caught.value) == (
        "trajectory: s/0: asked for in the words of the prompt pack 'opencompass', whose form is not known; known "
        "for kit, paper; add it to FORMS of metrics/trajectory.py"
    )


def test_replies_none_of_which_has_a_list() -> None:
    rows = [ROWS[1], probe("also not", "s/2"), ROWS[3], probe("### Plan", "s/4")]
    with pytest.raises(KitError) as caught:
        trajectory.questions(rows, PACK, NO_BLANKS)
    assert str(caught.value) == (
        "trajectory: of 4 replies none lists ways to evolve: 2 no heading of the second part, 1 too long to be asked, "
        "1 no line in the first part; the evolver is asked as the scenario asks, and auto_evol_instruct asks for such "
        "a list; more tokens a reply may help (evolve_max_tokens of the scale)"
    )


def test_verdicts_on_other_replies() -> None:
    with pytest.raises(KitError) as caught:
        trajectory.judged(ROWS, verdicts(limit="limit"), FOLDED)
    assert str(caught.value) == (
        "no verdict on s/0#1 ('two reasons') among 1: they are on other replies; remove them and run again"
    )


def test_a_way_to_tell_phrases_apart_that_is_not_known() -> None:
    with pytest.raises(RequestError) as caught:
        trajectory.judge_prompts({"equal": "fold", "blank_lines": True})
    assert str(caught.value) == (
        "metrics.trajectory.options.equal: found 'fold', wanted folded or never; did you mean 'folded'?"
    )
