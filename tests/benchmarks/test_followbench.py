"""FollowBench: its files, its rules on all 350 items that have one, how a judge is asked and read, and its numbers."""

import ast
import json
import re
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import pytest

from kit.benchmarks import followbench, judge_prompts
from kit.benchmarks._followbench_items import KINDS, LEVELS
from kit.benchmarks._followbench_judge import list_label, lists
from kit.benchmarks._followbench_rules import BY_TARGET, rule_of
from kit.benchmarks._results import results
from kit.errors import KitError, RequestError
from kit.plan.sources import BUNDLED
from kit.prompts import load
from kit.records import Grade, Problem, Question, Verdict
from tests.growth import assert_linear

MINI = BUNDLED / "mini-followbench"
KIT = load("kit")
Row = dict[str, Any]


def made(tmp_path: Path, kind: str, change: Callable[[list[Row]], object]) -> Path:
    """Return a copy of the mini set, with the records of one kind changed."""
    for name in KINDS:
        rows = json.loads((MINI / f"{name}_constraints.json").read_text(encoding="utf-8"))
        if name == kind:
            change(rows)
        (tmp_path / f"{name}_constraints.json").write_text(json.dumps(rows), encoding="utf-8")
    return tmp_path


def one(kind: str, source: str, level: int, target: str = "", example_id: int = 1) -> Problem:
    path = [f"step {step}" for step in range(level + 1)]
    data = {"kind": kind, "source": source, "level": level, "target": target, "example_id": example_id, "path": path}
    return Problem(id=f"{kind}/{example_id}/{level}", data=data)


# Files


def test_the_first_thirty_problems_are_an_item_of_each_kind_on_all_levels() -> None:
    problems = followbench.read(MINI)
    assert [problem.id for problem in problems[:30]] == [f"{kind}/1/{level}" for kind in KINDS for level in LEVELS]
    assert [problem.id for problem in problems[30:]] == [f"{kind}/2/{level}" for kind in KINDS for level in LEVELS]
    assert {followbench.group(problem) for problem in problems} == set(KINDS)


def test_a_problem_has_the_instructions_that_lead_to_it_and_asks_the_last() -> None:
    problems = {problem.id: problem for problem in followbench.read(MINI)}
    rain = problems["style/1/2"]
    assert rain.data["path"] == [
        "What is rain?",
        "What is rain? Answer as if you talked to a small child.",
        "What is rain? Answer as if you talked to a small child, in a cheerful voice.",
    ]
    (turn,) = followbench.turns(rain, KIT)
    assert (turn.role, turn.content) == ("user", rain.data["path"][-1])


def test_one_of_the_files_alone_can_be_read() -> None:
    found = followbench.read(MINI / "mixed_constraints.json")
    assert [problem.id for problem in found] == [f"mixed/{item}/{level}" for item in (1, 2) for level in LEVELS]


MINI_ANSWERS = {
    "content/2": ["Ida", "Bern", "Lyon", "Lyon", "Oslo"],
    "situation/1": ["$2 a cup: $6", "$10", "$6 + $4 + $1 = $11", "$15", "$15 - $5 is $10."],
    "example/1": ["The capital of Spain is Madrid."] * 5,
    "example/2": ["{'word': 'small'}"] * 5,
    "mixed/1": ["the cat sat.", "the cat sat!", "THE CAT SAT!", "THE DOG SAT!", "THE DOG SAT!!"],
}


def test_every_item_of_the_mini_set_with_a_rule_can_be_right_and_wrong() -> None:
    problems = followbench.read(MINI)
    ruled = [problem for problem in problems if followbench.has_rule(problem)]
    assert [problem.id for problem in ruled] == [
        f"{item}/{level}"
        for item in ("situation/1", "example/1", "mixed/1", "content/2", "example/2")
        for level in LEVELS
    ]
    answers = {f"{item}/{level}": texts[level - 1] for item, texts in MINI_ANSWERS.items() for level in LEVELS}
    for texts, met in ((answers, 1), ({}, 0)):
        grades = graded(problems, [texts.get(problem.id, "Something else.") for problem in problems], {}, "default")
        hard = {problem.id: grades[problem.id].scores[f"followbench_hsr_l{problem.data['level']}"] for problem in ruled}
        assert hard == {problem.id: [met, 1] for problem in ruled}


def remove(index: int) -> Callable[[list[Row]], object]:
    return lambda rows: rows.pop(index)


def put(index: int, **fields: Any) -> Callable[[list[Row]], object]:
    return lambda rows: rows[index].update(fields)


@pytest.mark.parametrize(
    ("kind", "change", "message"),
    [
        pytest.param(
            "style",
            remove(3),
            "{folder}/style_constraints.json: example_id 1 has the levels 0, 1, 2, 4, 5; wanted 0 to 5, each once",
            id="a level is missing",
        ),
        pytest.param(
            "example",
            remove(0),
            "{folder}/example_constraints.json: example_id 1 has the levels 2, 3, 4, 5; wanted 1 to 5, each once",
            id="the first level of an example is missing",
        ),
        pytest.param(
            "content",
            put(7, example_id=1),
            "{folder}/content_constraints.json[7]: example_id 1 has level 1 twice; is the file two files joined?",
            id="a level stands twice",
        ),
        pytest.param(
            "format",
            put(2, level="2"),
            "{folder}/format_constraints.json[2]: field 'level': found str, wanted int; is it another set?",
            id="a level that is a text",
        ),
        pytest.param(
            "format",
            lambda rows: rows[2].pop("source"),
            "{folder}/format_constraints.json[2]: field 'source': found nothing, wanted str; is it another set?",
            id="no source",
        ),
        pytest.param(
            "mixed",
            put(5, level=6),
            "{folder}/mixed_constraints.json[5]: example_id 1: found level 6, wanted 0 to 5",
            id="a sixth level",
        ),
        pytest.param(
            "situation",
            put(1, instruction=" "),
            "{folder}/situation_constraints.json[1]: example_id 1, level 1: an empty instruction; level 0 alone "
            "may have one",
            id="an empty instruction",
        ),
        pytest.param(
            "situation",
            put(1, target=""),
            "{folder}/situation_constraints.json[1]: example_id 1, level 1: field 'target': empty; wanted the right "
            "answer; a rule compares answers with it",
            id="a rule without its target",
        ),
        pytest.param(
            "content",
            put(8, target="Oslo"),
            "{folder}/content_constraints.json[8]: example_id 2, level 2: field 'target': no list; wanted the right "
            "answers, as \"['Bonn', 'Paris']\"; a rule compares answers with it",
            id="a list of names that is none",
        ),
        pytest.param(
            "example",
            put(0, target="City: Rome"),
            "{folder}/example_constraints.json[0]: example_id 1, level 1: field 'target': without {{answer}}; wanted "
            "the form of an answer, as 'Answer: {{answer}}'; a rule compares answers with it",
            id="a form without an answer",
        ),
        pytest.param(
            "mixed",
            lambda rows: rows.clear(),
            "{folder}/mixed_constraints.json: no record in it; is the file cut off?",
            id="no record",
        ),
    ],
)
def test_a_damaged_file_is_refused(
    tmp_path: Path, kind: str, change: Callable[[list[Row]], object], message: str
) -> None:
    folder = made(tmp_path, kind, change)
    with pytest.raises(RequestError) as error:
        followbench.read(folder)
    assert str(error.value) == message.format(folder=folder)


def test_a_folder_without_a_kind_is_refused(tmp_path: Path) -> None:
    folder = made(tmp_path, "style", lambda rows: None)
    for kind in ("style", "mixed"):
        (folder / f"{kind}_constraints.json").unlink()
    with pytest.raises(RequestError) as error:
        followbench.read(folder)
    assert str(error.value) == (
        f"{folder}: no style_constraints.json, mixed_constraints.json in the folder; wanted the six files of "
        "FollowBench's data"
    )


def test_a_file_of_no_kind_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "mine.json"
    path.write_text("[]", encoding="utf-8")
    with pytest.raises(RequestError) as error:
        followbench.read(path)
    assert str(error.value) == (
        f"{path}: its name tells no kind of constraints; wanted content_constraints.json, situation_constraints.json, "
        "style_constraints.json, format_constraints.json, example_constraints.json, mixed_constraints.json, or their "
        "folder"
    )


# Rules

WORDS = " ".join(["word"] * 21)
POINTS = "\n".join(f"**{n}) Growth: the plant needs water and light every single day." for n in range(1, 6))


@pytest.mark.parametrize(
    ("source", "text", "met"),
    [
        ("cnn_dailymail", "Harry Potter is eighteen. The actor gets money. He has made five films.", 5),
        ("cnn_dailymail", "Harry Potter is eighteen. The actor gets money. He made five films.", 4),
        ("cnn_dailymail", "Harry Potter is eighteen. The actor is lavish. He has made five films.", 3),
        ("cnn_dailymail", "Harry is eighteen. The actor gets money. He has made five films.", 2),
        ("cnn_dailymail", f"Harry Potter is {WORDS}. The actor gets money. He has made five films.", 1),
        ("cnn_dailymail", "Harry Potter is 18.5 years old. The actor gets money. He has made five films.", 0),
        ("xsum", "Police are searching a house in a large operation.", 5),
        ("xsum", "Police are searching a house.", 4),
        ("xsum", "Police search a house in a large operation.", 3),
        ("xsum", "Police are searching Newton Stewart in a large operation.", 2),
        ("xsum", f"Police are searching a house in an operation {WORDS}.", 1),
        ("xsum", "Police are searching. It is a large operation.", 0),
        ("samsum", "Ann puts off her stuff until tomorrow.", 5),
        ("samsum", "Ann, again, puts off her stuff until tomorrow", 4),
        ("samsum", "Ann is Procrastinating her stuff.", 3),
        ("samsum", "Ann puts off all that she has to do.", 2),
        ("samsum", "Ann puts off her stuff until the day after the day after the day after tomorrow.", 1),
        ("samsum", "Ann waits! So does her stuff.", 0),
        ("gigaword", "man dies in crash near the old harbour", 5),
        ("gigaword", "man dies at crash near the old harbour", 4),
        ("gigaword", "bus dies in crash near the old harbour", 3),
        ("gigaword", "Man dies in crash near the old harbour", 2),
        ("gigaword", "man dies in crash near the old harbour.", 1),
        ("gigaword", "man dies in crash near the  old harbour", 0),
        ("arxiv", "We prune the activations of a large network.", 5),
        ("arxiv", "We prune the activations of a transformer.", 4),
        ("arxiv", "We prune a large network.", 3),
        ("arxiv", "They prune the activations of a large network.", 2),
        ("arxiv", f"We prune the activations {WORDS}", 1),
        ("arxiv", "We prune. It prunes the activations.", 0),
    ],
)
def test_each_constraint_of_a_rule_with_checks_counts_from_its_level_on(source: str, text: str, met: int) -> None:
    rule = rule_of("mixed", source, 1)
    assert rule is not None
    assert [rule(text, "", level) for level in LEVELS] == [level <= met for level in LEVELS]


@pytest.mark.parametrize(
    ("item", "text", "levels"),
    [
        pytest.param(22, f"{WORDS}.\n\n{WORDS}.\n\n{WORDS}.", [1, 2, 3], id="three paragraphs of long sentences"),
        pytest.param(22, "Go out.\n\nSleep.\n\nEat.", [1, 2], id="short sentences"),
        pytest.param(22, f"{WORDS}. {WORDS}. {WORDS}.\n\nb\n\nc", [1], id="three sentences in a paragraph"),
        pytest.param(22, "a\n\nb", [], id="two paragraphs"),
        # a number's full stop ends a sentence of one word: nothing meets these levels, by the official code either
        pytest.param(22, f"1. {WORDS}\n\n2. {WORDS}\n\n3. {WORDS}", [1, 2], id="numbers are no long sentences"),
        pytest.param(22, f"1. {WORDS}\n\n2. {WORDS}\n\n3. {WORDS}\n\nThose are suggestions", [], id="closing words"),
        pytest.param(30, POINTS, [1, 2, 3, 4, 5], id="five points"),
        pytest.param(30, POINTS.replace("light", "light and sun-ly"), [1, 2, 3, 4], id="a word in -ly"),
        pytest.param(30, POINTS + " Yes.", [1, 2, 3], id="a sentence of one word"),
        pytest.param(30, POINTS.replace("1) Growth:", "1.x.y Growth:"), [1, 2], id="stops in a point"),
        pytest.param(30, POINTS.replace("5) Growth:", "5) Growth"), [1], id="four headings"),
        pytest.param(30, POINTS.replace("**", "*"), [], id="no marker"),
    ],
)
def test_the_two_format_items_with_a_rule(item: int, text: str, levels: list[int]) -> None:
    rule = rule_of("format", "oasst", item)
    assert rule is not None
    assert [level for level in LEVELS if rule(text, "", level)] == levels


@pytest.mark.parametrize(
    ("kind", "source", "target", "text", "right"),
    [
        ("content", "E2E", "name[The Mill]", "name[The Mill]", True),
        ("content", "E2E", "name[The Mill]", "name[The Mill] ", False),
        ("content", "WIKIEVENTS", "a died\nb died", "b died\na died\nb died", True),
        ("content", "WIKIEVENTS", "a died\nb died", "a died\nc died", False),
        ("content", "CONLL2003", "['Kuwait', 'Iraq']", "Iraq", True),
        ("content", "CONLL2003", "['Kuwait', 'Iraq']", "Ira", False),
        ("situation", "BBH_logical", "(B)", "Not (A), but (B).", True),
        ("situation", "BBH_logical", "(B)", "(B) and not (A).", False),
        ("situation", "BBH_logical", "(B)", "B", False),
        ("situation", "BBH_time", "02/09/1938", "From 01/01/1938 to 02/09/1938.", True),
        ("situation", "BBH_time", "02/09/1938", "2/9/1938", False),
        ("situation", "self_made_space", "14th floor", "On the 14th floor.", True),
        ("situation", "self_made_space", "14th floor", "On the 14. floor.", False),
        ("situation", "gsm_8k", "$34", "$4 and $30 are $34.", True),
        ("situation", "gsm_8k", "$34", "$34 and $3", False),
        ("situation", "gsm_8k", "$1", "$1,234", True),
        ("example", "sciq", "{instruction}\n{{'bot': '{answer}'}}", "{'bot': 'any'}", True),
        ("example", "sciq", "{instruction}\n{{'bot': '{answer}'}}", "{'bot': 'two\nlines'}", False),
        ("example", "sciq", "{instruction}\n[Answer]\n{answer}", "[Answer]\nany", True),
        ("example", "sciq", "{instruction}\n[Answer]\n{answer}", "A\nany", False),
        ("example", "samsum", "{instruction}\n{answer}", "Not one of the checks for summaries: two. Sentences.", True),
    ],
)
def test_a_rule_with_a_target(kind: str, source: str, target: str, text: str, right: bool) -> None:
    rule = rule_of(kind, source, 22 if kind == "example" else 1)
    assert rule is not None
    assert {rule(text, target, level) for level in LEVELS} == {right}


def right_and_wrong(problem: Problem) -> tuple[list[str], list[str]]:
    """Return texts that meet a real item's target, and texts that do not, by what the official rule compares."""
    data = problem.data
    target, form = data["target"], data["target"].replace("{instruction}\n", "").replace("{{", "{").replace("}}", "}")
    if data["kind"] == "example":
        wrong = [
            form.replace("{answer}", "two\nlines"),
            *([form.replace("{answer}", "any")[1:]] if form[0] != "{" else []),
        ]
        anything = form == "{answer}"  # item 21: any line will do
        return [form.replace("{answer}", "any text.")], wrong[:1] if anything else [*wrong, "no form"]
    names = ast.literal_eval(target) if data["source"] == "CONLL2003" else []
    lines = target.split("\n")
    made_up = {
        "E2E": ([target], [target + " ", target.lower(), ""]),
        "text_editing": ([target], ["x" + target, ""]),
        "WIKIEVENTS": ([lines[0], "\n".join(reversed(lines))], [lines[0] + ".", f"{target}\nnobody"]),
        "CONLL2003": (names, [target, *(name + "!" for name in names), ""]),
        "BBH_logical": ([target, f"(Z) is wrong, so {target}."], [f"{target}, not (Z)", target.strip("()"), ""]),
        "BBH_time": ([f"01/01/1900, {target}"], [f"{target} or 01/01/1900", target[1:], ""]),
        "self_made_space": ([f"It is on the {target}."], [target[1:], ""]),
        "gsm_8k": ([f"$0 or {target}."], [f"{target} or $0", target.strip("$"), ""]),
    }
    found: tuple[list[str], list[str]] = made_up[data["source"]]
    return found


@pytest.mark.shared
def test_every_real_item_with_a_target_has_right_and_wrong_answers(shared: Path) -> None:
    problems = followbench.read(shared / "data" / "followbench")
    ruled = [problem for problem in problems if followbench.has_rule(problem)]
    assert (len(problems), len(ruled), len({problem.data["instruction"] for problem in problems})) == (820, 350, 820)
    compared = [one for one in ruled if one.data["kind"] == "example" or one.data["source"] in BY_TARGET]
    assert len(ruled) - len(compared) == 7 * len(LEVELS)  # five items with checks, two of format
    seen = 0
    for problem in compared:
        data = problem.data
        rule = rule_of(data["kind"], data["source"], data["example_id"])
        right, wrong = right_and_wrong(problem)
        verdicts = [rule(text, data["target"], data["level"]) for text in (*right, *wrong)] if rule else []
        assert verdicts == [True] * len(right) + [False] * len(wrong), problem.id
        seen += len(verdicts)
    assert seen > 3 * len(compared)


@pytest.mark.shared
def test_the_official_answer_of_one_example_is_wrong_by_the_official_rule(shared: Path) -> None:
    # a bill's summary has several lines, which {answer} does not allow; all other answers of the file are right
    problems = followbench.read(shared / "data" / "followbench" / "example_constraints.json")
    wrong = {
        problem.data["example_id"]
        for problem in problems
        for rule in [rule_of("example", "", 0)]
        if rule and not rule(problem.data["answer"], problem.data["target"], problem.data["level"])
    }
    assert wrong == {4}


# The judge


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


# Numbers


def graded(
    problems: Sequence[Problem], texts: Sequence[str], labels: Mapping[str, str], protocol: str
) -> dict[str, Grade]:
    """Return the grades by id; a question without a label of its own gets NO, for a list all NO."""
    asked = followbench.questions(problems, texts, KIT, protocol)
    verdicts = {one.id: Verdict(id=one.id, label=labels.get(one.id, one.labels[-1])) for one in asked}
    return {grade.id: grade for grade in followbench.grade_judged(problems, texts, verdicts, protocol)}


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


@pytest.mark.parametrize(("protocol", "id"), [("paper", "style/1/1"), ("default", "style/1/1#1")])
def test_a_question_without_a_verdict_is_named(protocol: str, id: str) -> None:
    problems = [one("style", "kit", level) for level in LEVELS]
    with pytest.raises(KitError) as error:
        followbench.grade_judged(problems, ["Text"] * 5, {}, protocol)
    assert str(error.value) == (
        f"followbench: no verdict on the question {id}; are the verdicts those of these answers?"
    )


def test_no_such_protocol() -> None:
    with pytest.raises(RequestError) as error:
        followbench.questions([], [], KIT, "papers")
    assert str(error.value) == "no protocol named 'papers'; did you mean 'paper'?"


HOSTILE = {
    "opening brackets": "(" * 200_000,
    "headings without an end": "**1" * 50_000,
    "stops": "." * 300_000,
    "words and blanks": "is " * 100_000,
    "half a character": "\ud800$7",
    "line breaks": "\n\n" * 100_000,
}


@pytest.mark.parametrize("text", list(HOSTILE.values()), ids=list(HOSTILE))
def test_a_hostile_text_is_wrong_and_the_next_one_is_read(text: str) -> None:
    items = [("format", "oasst", 30), ("format", "oasst", 22), ("mixed", "xsum", 1), ("mixed", "cnn_dailymail", 2)]
    problems = [one(kind, source, level, "", id) for kind, source, id in items for level in LEVELS]
    problems += [one("situation", "gsm_8k", level, "$7") for level in LEVELS]
    grades = graded(problems, [text] * 20 + ["$7"] * 5, {}, "default")
    assert [grades[f"situation/1/{level}"].scores[f"followbench_hsr_l{level}"] for level in LEVELS] == [[1, 1]] * 5
    assert {grades[problem.id].reason for problem in problems[4:20:5]} == {
        "rule: format",
        "rule: xsum",
        "rule: cnn_dailymail",
    }
