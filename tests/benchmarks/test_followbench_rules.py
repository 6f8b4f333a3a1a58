"""FollowBench's rules, which grade without a judge, on all 350 items that have one."""

import ast
from pathlib import Path

import pytest

from kit.benchmarks import followbench
from kit.benchmarks._followbench_items import LEVELS
from kit.benchmarks._followbench_rules import BY_TARGET, rule_of
from kit.records import Problem
from tests.benchmarks.followbench_problems import graded, one

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
