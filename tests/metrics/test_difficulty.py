"""Difficulty of instructions: which replies count, what a row's score is, and what the judge is shown."""

import dataclasses

import pytest

from kit import metrics, prompts
from kit.errors import KitError, RequestError
from kit.judges.verdicts import check_questions, verdict
from kit.metrics import difficulty_level, difficulty_score
from kit.metrics._sums import results, skipped_rows
from kit.prompts import pins
from kit.records import Completion, Instruction, Score, Verdict

KIT = prompts.load("kit")
SCORE = {"wording": "score"}
REASONS = {"wording": "reasons"}
ROWS = [
    Instruction(id="s/0", instruction="Name a {river}.", input="of Asia", system="Be brief."),
    Instruction(id="s/1", instruction="Prove Fermat's last theorem."),
]


def answered(metric: metrics.JudgedMetric, reply: str, options: metrics.Mapping[str, metrics.Option]) -> Verdict:
    """Return the verdict on the first row that a reply gives, read as the stage reads it."""
    question = metric.questions(ROWS, KIT, options)[0]
    return verdict(question, Completion(id=question.id, text=reply), metric.label)


def scored(metric: metrics.JudgedMetric, reply: str, options: metrics.Mapping[str, metrics.Option]) -> Score:
    found = answered(metric, reply, options)
    return metric.judged(ROWS[:1], {found.id: found}, options)[0]


NO_LABEL = "reply is none of the five levels"
LEVELS = {
    "a level": ("easy", "easy"),
    "two words": ("very hard", "very_hard"),
    "blanks around it": ("\n  medium \t\n", "medium"),
    "behind a thought": ("<think>hard?</think>\nvery easy", "very_easy"),
    # the rule asks for a label in lower case, alone
    "a capital": ("Hard", NO_LABEL),
    "a full stop": ("hard.", NO_LABEL),
    "a sentence": ("It is hard", NO_LABEL),
    "two blanks inside": ("very  hard", NO_LABEL),
    "two levels": ("easy\nhard", NO_LABEL),
    "another word": ("trivial", NO_LABEL),
    "nothing": (" ", "no reply of the judge"),
    "a thought alone": ("<think>hard", "no reply of the judge"),
}


@pytest.mark.parametrize(("reply", "wanted"), LEVELS.values(), ids=list(LEVELS))
def test_the_level_of_a_reply(reply: str, wanted: str):
    found = scored(difficulty_level, reply, {})
    if found.skipped:
        assert (found.skipped, found.values) == (wanted, {})
    else:
        assert [name for name, value in found.values.items() if value and name != "very_hard_share"] == [wanted]
        assert sum(found.values.values()) == 1 + (wanted == "very_hard")
        assert set(found.values) == set(difficulty_level.METRICS)


NO_NUMBER, OUTSIDE = "reply is no number", "number is not from 0 to 100"
NUMBERS = {
    "a number": ("75", SCORE, 75.0),
    "blanks around it": (" 80\n", SCORE, 80.0),
    "a part": ("72.5", SCORE, 72.5),
    "no digit after the point": ("60.", SCORE, 60.0),
    "no digit before it": (".5", SCORE, 0.5),
    "a sign": ("+7", SCORE, 7.0),
    "a power of ten": ("1e2", SCORE, 100.0),
    "minus nothing": ("-0", SCORE, 0.0),
    "the lowest": ("0", SCORE, 0.0),
    "the highest": ("100.0", SCORE, 100.0),
    "above the highest": ("100.5", SCORE, OUTSIDE),
    "below the lowest": ("-1", SCORE, OUTSIDE),
    "far out": ("1e99", SCORE, OUTSIDE),
    "a long number": ("9" * 21, SCORE, NO_NUMBER),
    "no number": ("hard", SCORE, NO_NUMBER),
    "a word beside it": ("Score: 75", SCORE, NO_NUMBER),
    "of a hundred": ("75/100", SCORE, NO_NUMBER),
    "reasons that nobody asked for": ("It is long.\n75", SCORE, NO_NUMBER),
    # Python reads these as numbers too; nobody writes a rating so, and no mean has room for them
    "not a number": ("nan", SCORE, NO_NUMBER),
    "infinity": ("inf", SCORE, NO_NUMBER),
    "an underscore": ("7_5", SCORE, NO_NUMBER),
    "other digits": ("\u0667\u0665", SCORE, NO_NUMBER),
    "nothing": ("", SCORE, "no reply of the judge"),
    "reasons, then the number": ("Wants a name.\nTakes maps.\n\n 35 \n", REASONS, 35.0),
    "the number alone": ("35", REASONS, 35.0),
    "the number first": ("35\nas it takes maps.", REASONS, NO_NUMBER),
    "reasons, then one outside": ("Hard.\n101", REASONS, OUTSIDE),
}


@pytest.mark.parametrize(("reply", "options", "wanted"), NUMBERS.values(), ids=list(NUMBERS))
def test_the_number_of_a_reply(reply: str, options: dict[str, metrics.Option], wanted: float | str):
    found = scored(difficulty_score, reply, options)
    assert found.id == "s/0"
    assert (found.skipped or found.values) == (wanted if isinstance(wanted, str) else {"difficulty_score": wanted})


@pytest.mark.parametrize(("metric", "options"), [(difficulty_level, {}), (difficulty_score, SCORE)])
def test_a_row_that_is_too_long_to_be_asked_about(metric: metrics.JudgedMetric, options: dict[str, metrics.Option]):
    asked = dataclasses.replace(answered(metric, "", options), finish_reason="too_long")
    found = metric.judged(ROWS[:1], {asked.id: asked}, options)
    assert found == [Score(id="s/0", skipped="instruction too long to be asked about")]


@pytest.mark.parametrize(
    ("metric", "options"), [(difficulty_level, {}), (difficulty_score, SCORE), (difficulty_score, REASONS)]
)
def test_the_judge_sees_the_instruction_alone(metric: metrics.JudgedMetric, options: dict[str, metrics.Option]):
    asked = check_questions(metric.questions(ROWS, KIT, options), "metrics/x.py")
    assert [question.id.partition("#")[0] for question in asked] == ["s/0", "s/1"]
    (turn,) = asked[0].turns
    assert (turn.role, turn.content.count("Name a {river}.")) == ("user", 1)
    assert "Asia" not in turn.content and "Be brief" not in turn.content


def test_labels_of_a_judge_that_writes_no_number():
    # a judge that is asked by labels gives a label of the question; each is a number of the range
    question = difficulty_score.questions(ROWS, KIT, SCORE)[0]
    assert question.labels == ("10", "30", "50", "70", "90")
    found = [Verdict(id="s/0", label=label) for label in question.labels]
    values = [difficulty_score.judged(ROWS[:1], {"s/0": one}, SCORE)[0].values["difficulty_score"] for one in found]
    assert values == [10.0, 30.0, 50.0, 70.0, 90.0]


def test_replies_that_do_not_count_are_in_no_mean_and_are_counted():
    replies = ["20", "70", "120", "hm", "", "huge"]
    scores = [dataclasses.replace(scored(difficulty_score, reply, SCORE), id=str(n)) for n, reply in enumerate(replies)]
    (found,) = results(scores, difficulty_score.METRICS)
    # (20 + 70) / 2; the error is sqrt((25^2 + 25^2) / (1 * 2)) = 25
    assert (found.value, found.stderr, found.n, found.unit) == (45.0, 25.0, 2, "instructions")
    assert skipped_rows(scores) == {NO_NUMBER: 2, "no reply of the judge": 1, OUTSIDE: 1}
    assert found.failures == skipped_rows(scores)


def test_levels_are_counted_over_the_replies_that_count():
    replies = ["hard", "very hard", "very hard", "Easy", "medium"]
    scores = [scored(difficulty_level, reply, {}) for reply in replies]
    found = {one.metric: one for one in results(scores, difficulty_level.METRICS)}
    values = {name: one.value for name, one in found.items()}
    assert values == {
        "very_easy": 0.0,
        "easy": 0.0,
        "medium": 1.0,
        "hard": 1.0,
        "very_hard": 2.0,
        "very_hard_share": 0.5,
    }
    assert {one.n for one in found.values()} == {4}
    assert found["easy"].failures == {NO_LABEL: 1}


def test_no_row_counts():
    with pytest.raises(KitError) as raised:
        results([scored(difficulty_level, "Hard", {})] * 3, difficulty_level.METRICS)
    assert str(raised.value) == "no row could be scored: 3 reply is none of the five levels"


def test_verdicts_on_other_rows():
    with pytest.raises(KitError) as raised:
        difficulty_level.judged(ROWS, {"t/0": Verdict(id="t/0", label="easy")}, {})
    assert str(raised.value) == ("no verdict on s/0 among 1: they are on other rows; remove them and run again")


OPTIONS = {
    "a wording that nobody has": (
        {"wording": "reason"},
        "difficulty_score: option wording: found 'reason', wanted score or reasons; did you mean 'reasons'?",
    ),
    "a number": (
        {"wording": 1.0},
        "metrics.difficulty_score.options.wording: found 1.0, wanted a text, such as 'score'",
    ),
    "another option": (
        {"words": "score"},
        "metrics.difficulty_score.options: difficulty_score takes no option 'words'; did you mean 'wording'?",
    ),
}


@pytest.mark.parametrize(("given", "message"), OPTIONS.values(), ids=list(OPTIONS))
def test_options_that_are_not_there(given: dict[str, metrics.Option], message: str):
    with pytest.raises(RequestError) as raised:
        options = metrics.options_with("difficulty_score", given, "metrics.difficulty_score.options")
        metrics.judge_prompts(difficulty_score, options)
    assert str(raised.value) == message


def test_a_metric_without_a_judge_is_not_asked_about():
    with pytest.raises(RequestError) as raised:
        metrics.judged_metric("length")
    assert str(raised.value) == "metric length: no judge gives its scores"


def test_each_wording_has_a_template_of_its_own():
    assert metrics.judge_prompts(difficulty_level, {}) == ("difficulty.level",)
    assert metrics.judge_prompts(difficulty_score, SCORE) == ("difficulty.score",)
    assert metrics.judge_prompts(difficulty_score, REASONS) == ("difficulty.reasons",)
    for id in (*difficulty_level.JUDGE_PROMPTS, *difficulty_score.JUDGE_PROMPTS):
        (turn,) = KIT.chat(id)
        assert turn.content.count("{instruction}") == 1
    (turn,) = KIT.chat("difficulty.level")
    assert [line for line in turn.content.splitlines() if line in difficulty_level.LABELS] == list(
        difficulty_level.LABELS
    )


def test_the_papers_words_are_read_from_its_files_and_stand_in_none_of_ours():
    known = {pin.id: pin for pin in pins.read("paper").prompts}
    assert {known[id].file for id in ("difficulty.level", "difficulty.score")} == {
        "Evol_Instruct/eval_complex_rate.py",
        "Evol_Instruct/eval_complex_score.py",
    }
    # the wording of figure 19 is in no file of the repository
    with pytest.raises(RequestError) as raised:
        pins.fingerprint("paper", metrics.judge_prompts(difficulty_score, REASONS))
    assert str(raised.value) == (
        "prompt pack 'paper' has no template 'difficulty.reasons'; did you mean 'difficulty.score'?"
    )
