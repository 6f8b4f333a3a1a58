"""FollowBench's rules: which items a program decides, and how, as its ``rule_based_evaluation.py`` does it.

350 of the 820 instructions have a rule: all of the kind ``example``, items 22 and 30 of ``format``, and those of other
kinds that were taken from the sources of
:data:`BY_TARGET` and :data:`BY_CHECKS`. A rule of a level asks for all constraints up to that level. Oddities
of the published rules are kept, since they are part of every published number: a sentence ends at each ``.``, also at
that of ``3.5``; item 4 of ``example`` can't be right, since its answer has line breaks, which ``{answer}`` does not
allow; of item 21 every single line is right.
https://github.com/YJiangcm/FollowBench/blob/6278f4c1377b4eafab737267b8b21acd52ea0e52/code/rule_based_evaluation.py
"""

import ast
import re
import string
from collections.abc import Callable, Mapping, Sequence
from typing import TypeAlias

Check: TypeAlias = Callable[[str], bool]
"""Tells whether a text meets one constraint."""
Rule: TypeAlias = Callable[[str, str, int], bool]
"""Tells whether a text meets all constraints of an item up to a level; takes text, target and level."""

ANSWER = "{answer}"
"""The place of the answer in the target of an item of the kind ``example``."""
INSTRUCTION = "{instruction}\n"
"""Begins the targets of the kind ``example``; the instruction is no part of an answer."""
CLOSING = "Those are suggestions"
"""The words with which answers to item 22 of ``format`` have to end at level 5."""


def rule_of(kind: str, source: str, example_id: int) -> Rule | None:
    """Return the rule that decides an item; None where a judge does."""
    if kind == "example":
        return _compared(_follows_template)
    if kind == "format" and example_id in FORMAT_ITEMS:
        return FORMAT_ITEMS[example_id]
    if source in BY_TARGET:
        return _compared(BY_TARGET[source])
    return _first(BY_CHECKS[source]) if source in BY_CHECKS else None


def target_fault(kind: str, source: str, target: str) -> str:
    """Explain why no text could meet a target; empty where it can be met, or where no rule asks for it."""
    if kind == "example":
        return "" if ANSWER in target else f"without {ANSWER}; wanted the form of an answer, as 'Answer: {ANSWER}'"
    if source == "CONLL2003":
        return "" if _names(target) else "no list; wanted the right answers, as \"['Bonn', 'Paris']\""
    return "empty; wanted the right answer" if source in BY_TARGET and not target.strip() else ""


def sentences(text: str) -> list[str]:
    """Return the parts of a text between full stops, question marks and exclamation marks, but for empty parts."""
    return re.findall(r"[^.!?]+", text)


def has_word(text: str, word: str) -> bool:
    """Return whether a text has a word, or several, as whole words."""
    return re.search(rf"\b{re.escape(word)}\b", text) is not None


def _first(checks: Sequence[Check]) -> Rule:
    """Return the rule whose level n asks for the first n checks."""
    return lambda text, _target, level: all(check(text) for check in checks[:level])


def _compared(compare: Callable[[str, str], bool]) -> Rule:
    """Return the rule that compares a text with the level's target."""
    return lambda text, target, _level: compare(text, target)


def _sentence_has(number: int, word: str) -> Check:
    """Return the check that a sentence, counted from 1, is there and has a word."""
    return lambda text: len(sentences(text)) >= number and has_word(sentences(text)[number - 1], word)


def _has_sentences(count: int) -> Check:
    """Return the check that a text has so many sentences."""
    return lambda text: len(sentences(text)) == count


def _pieces(text: str) -> int:
    """Return how many pieces single blanks cut a text into."""
    return len(text.split(" "))


def _is_perfect(text: str) -> bool:
    """Return whether the third sentence has *has* or *have* with a word after it."""
    return len(sentences(text)) >= 3 and re.search(r"\b(?:has|have)\s+\w+", sentences(text)[2]) is not None


def _punctuation(text: str) -> int:
    """Return how many ASCII punctuation marks a text has."""
    return sum(character in string.punctuation for character in text)


CNN_DAILYMAIL: Sequence[Check] = (
    _has_sentences(3),
    lambda text: all(len(sentence.split()) < 15 for sentence in sentences(text)),
    lambda text: all(
        _sentence_has(number, word)(text) for number, word in enumerate(("Potter", "actor", "films"), start=1)
    ),
    lambda text: not _sentence_has(2, "lavish")(text),
    _is_perfect,
)
XSUM: Sequence[Check] = (
    _has_sentences(1),
    lambda text: _pieces(text) < 20,
    lambda text: not has_word(text, "Newton Stewart"),
    lambda text: re.search(r"\b(?:am|is|are)\s+\w+ing\b", text) is not None,
    lambda text: has_word(text, "operation"),
)
SAMSUM: Sequence[Check] = (
    _has_sentences(1),
    lambda text: _pieces(text) < 15,
    lambda text: has_word(text, "stuff"),
    lambda text: re.search("procrast", text, re.IGNORECASE) is None,
    lambda text: _punctuation(text) == 1,
)
GIGAWORD: Sequence[Check] = (
    lambda text: _pieces(text) == 8,
    lambda text: not _punctuation(text),
    str.islower,
    lambda text: not has_word(text, "bus"),
    lambda text: has_word(text, "in"),
)
ARXIV: Sequence[Check] = (
    _has_sentences(1),
    lambda text: _pieces(text) <= 20,
    lambda text: text.startswith("We"),
    lambda text: has_word(text, "activations"),
    lambda text: not has_word(text, "transformer"),
)


def _is_target(text: str, target: str) -> bool:
    """Return whether a text is the target, to the letter."""
    return text == target


def _lines_of_target(text: str, target: str) -> bool:
    """Return whether each line of a text is one of the target's."""
    return set(text.split("\n")) <= set(target.split("\n"))


def _names(target: str) -> list[str]:
    """Return the right answers of a target that lists them; an empty list where it is no such list."""
    try:
        found = ast.literal_eval(target)
    except (ValueError, SyntaxError, TypeError, MemoryError, RecursionError):
        return []
    return found if isinstance(found, list) and all(isinstance(name, str) for name in found) else []


def _is_named(text: str, target: str) -> bool:
    """Return whether a text is one of the right answers, to the letter."""
    return text in _names(target)


def _last(pattern: str) -> Callable[[str, str], bool]:
    """Return the rule that the last place of a pattern in the text is the target."""
    return lambda text, target: re.findall(pattern, text)[-1:] == [target]


def _holds_target(text: str, target: str) -> bool:
    """Return whether the target stands somewhere in a text."""
    return target in text


def _follows_template(text: str, target: str) -> bool:
    """Return whether a text has the form of the target: anything but a line break in place of ``{answer}``."""
    form = target.replace(INSTRUCTION, "").replace("{{", "{").replace("}}", "}").replace(ANSWER, ".*")
    return re.fullmatch(".*".join(map(re.escape, form.split(".*"))), text) is not None


def _suggestions(text: str, level: int) -> bool:
    """Decide item 22 of ``format``: paragraphs, short ones, of long sentences, numbered, with a closing line."""
    paragraphs = text.split("\n\n")
    checks: Sequence[Callable[[], bool]] = (
        lambda: len(paragraphs) == (4 if level == 5 else 3),
        lambda: all(len(sentences(paragraph)) < 3 for paragraph in paragraphs[:3]),
        lambda: all(len(sentence.split()) > 20 for sentence in sentences(text)),
        lambda: all(re.match(r"\s*\d+\.", paragraph) for paragraph in paragraphs if paragraph.strip()),
        lambda: text.endswith(CLOSING),
    )
    return all(check() for check in checks[:level])


def _headings(text: str) -> int:
    """Return how many places look like ``**1. Growth:``, in one line each."""
    # what follows the last colon of a line can't be one; without it every mark is one, and no place is read twice
    lines = (line[: line.rfind(":") + 1] for line in text.split("\n"))
    return sum(len(re.findall(r"\*\*\d.+?:", line)) for line in lines)


def _sentences_with_their_stop(text: str) -> list[str]:
    """Cut a text after each ``.`` or ``?`` before white space, but for abbreviations such as *Mr.* and *e.g.* have."""
    return re.split(r"(?<!\w\.\w.)(?<![A-Z][a-z]\.)(?<=[.?])\s", text)


POINTS: Sequence[Check] = (
    lambda text: "**" in text,
    lambda text: _headings(text) == 5,
    lambda text: all(
        sentence.count(".") < 2
        for sentence in _sentences_with_their_stop(text)
        if any(f"{number}." in sentence for number in range(1, 6))
    ),
    lambda text: all(10 <= len(sentence.split()) <= 15 for sentence in _sentences_with_their_stop(text)),
    lambda text: not any(word.endswith("-ly") for word in text.split()),
)
"""The constraints of item 30 of ``format``."""

BY_TARGET: Mapping[str, Callable[[str, str], bool]] = {
    "E2E": _is_target,
    "WIKIEVENTS": _lines_of_target,
    "CONLL2003": _is_named,
    "text_editing": _is_target,
    "BBH_logical": _last(r"\([A-Z]\)"),
    "BBH_time": _last(r"\d{2}/\d{2}/\d{4}"),
    "self_made_space": _holds_target,
    "gsm_8k": _last(r"\$\d+"),
}
"""Sources whose rule compares a text with the level's target."""
BY_CHECKS: Mapping[str, Sequence[Check]] = {
    "cnn_dailymail": CNN_DAILYMAIL,
    "xsum": XSUM,
    "samsum": SAMSUM,
    "gigaword": GIGAWORD,
    "arxiv": ARXIV,
}
"""Sources of one item each, whose rule has a check for each constraint."""
FORMAT_ITEMS: Mapping[int, Rule] = {
    22: lambda text, _target, level: _suggestions(text, level),
    30: _first(POINTS),
}
"""Items of the kind ``format`` that a rule decides, by their ``example_id``."""
