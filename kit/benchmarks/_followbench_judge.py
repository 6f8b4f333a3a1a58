"""Ask a judge about a FollowBench answer and read its reply: a list for the whole level, or a word for each constraint.

``paper``: one question a problem. The judge sees how the instruction grew and ends with a list of YES and NO, one a
constraint; the reply is read as FollowBench's ``paring_discriminative_generation`` reads it, oddities included, but
nothing in it is run:
https://github.com/YJiangcm/FollowBench/blob/6278f4c1377b4eafab737267b8b21acd52ea0e52/code/gpt4_based_evaluation.py

``default``: one question a constraint, so that a small model can answer it: the instruction before it and after it, the
answer, and one word.
"""

import ast
import itertools
import re
import warnings
from collections.abc import Sequence

from kit.prompts import Pack, fill
from kit.records import Problem, Question, Turn

YES, NO = "YES", "NO"
"""Words of a list for a whole level, as FollowBench asks for them."""
MET, UNMET = "Yes", "No"
"""Labels of one constraint. SmolLM2-135M finds these six times as likely as the same in capitals."""
NOT_MET = frozenset(("NO", "PARTIAL", "MAYBE", "UNKNOWN", "N/A"))
"""Words in a list that say that a constraint is not met."""
MOST_CHARACTERS = 1_000
"""A longer list is not read; one of five words has some 50 characters."""
LIST = "followbench.list"
"""Id of the kit's template for a whole level."""
CONSTRAINT = "followbench.constraint"
"""Id of the kit's template for one constraint."""


def list_question(problem: Problem, text: str, pack: Pack) -> list[Question]:
    """Return the question that asks about all constraints of a problem's level at once."""
    level, path = problem.data["level"], problem.data["path"]
    if pack.name == "followbench":
        steps = {f"instruction_{step}": instruction for step, instruction in enumerate(path)}
        turns = fill(pack.chat(f"followbench.{problem.data['kind']}.{level}"), {**steps, "answer": text})
    else:
        turns = fill(pack.chat(LIST), {"count": str(level), "steps": _steps(path), "answer": text})
    return [Question(id=problem.id, turns=turns, labels=lists(level))]


def _steps(path: Sequence[str]) -> str:
    """Return the instructions of a path as numbered parts of a text."""
    return "\n\n".join(f"[Instruction {step}]\n{instruction}" for step, instruction in enumerate(path))


def constraint_questions(problem: Problem, text: str, pack: Pack) -> list[Question]:
    """Return one question for each constraint of a problem's level; none for a blank text, which meets nothing."""
    if not text.strip():
        return []
    template, path = pack.chat(CONSTRAINT), problem.data["path"]
    return [
        Question(
            id=part_id(problem, step), turns=_filled(template, path[step - 1], path[step], text), labels=(MET, UNMET)
        )
        for step in range(1, len(path))
    ]


def _filled(template: Sequence[Turn], before: str, after: str, text: str) -> tuple[Turn, ...]:
    """Return the chat that asks about one constraint."""
    return fill(template, {"before": before, "after": after, "answer": text})


def part_id(problem: Problem, step: int) -> str:
    """Return the id of the question about a problem's constraint: ``style/1/2#2``."""
    return f"{problem.id}#{step}"


def lists(level: int) -> tuple[str, ...]:
    """Return the labels of a level: every list of so many YES and NO, as Python writes it."""
    return tuple(str(list(words)) for words in itertools.product((YES, NO), repeat=level))


def list_label(question: Question, reply: str) -> str:
    """Return the list that a reply ends with; empty where FollowBench's code would ask a person to mend it.

    Only the last line counts. At level 1 it is enough that YES or NO stands in it, YES first; above, it holds a Python
    list with one word a constraint.
    """
    line = reply.strip("`").strip().split("\n")[-1]
    level = len(question.labels).bit_length() - 1
    if level == 1:
        return next((str([word]) for word in (YES, NO) if word in line), "")
    # as the pattern \[.*\] finds it, which would take a time that grows with the square of a line of brackets
    words = words_of(line[line.find("[") : line.rfind("]") + 1]) if "[" in line else []
    if len(words) != level or not all(word == YES or word in NOT_MET for word in words):
        return ""
    return str([YES if word == YES else NO for word in words])


def words_of(text: str) -> list[str]:
    """Return the words of a Python list; an empty list where it is something else."""
    if len(text) > MOST_CHARACTERS:
        return []
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # "\d" in a string warns; it is the judge's business
            found = ast.literal_eval(text)
    except (ValueError, SyntaxError, TypeError, MemoryError, RecursionError):
        return []
    return found if isinstance(found, list) and all(isinstance(word, str) for word in found) else []


def word_label(reply: str) -> str:
    """Return the label where a reply's last line with one has no other; in any case of letters."""
    for line in reversed(reply.splitlines()):
        if found := {word.capitalize() for word in re.findall(r"\b(?:yes|no)\b", line, re.IGNORECASE)}:
            return found.pop() if len(found) == 1 else ""
    return ""
