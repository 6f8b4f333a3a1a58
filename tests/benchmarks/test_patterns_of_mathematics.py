"""Patterns that were rewritten to take linear time match what they matched: the old ones stand here as oracles."""

import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from kit.benchmarks import _readings as readings

OLD_SPACED = re.compile(r"(?<![\w.,^/+*=-])\d{1,3}(?: \d{3})+(?![\w/]|[.,-]\d| \d)")
OLD_UNITS = (
    r"(?:\s|\\(?:text|textbf|textit|textrm|mathrm|mathbf|mbox|operatorname)\s*\{[^{}\d]*\}|\\[%$,;:! ]"
    r"|\^\s*\{?\s*\\circ(?:\s*\})?|°|[^\W\d_]|[%€£¥$.,!\"'’*/])*"
)
OLD_HEADING = re.compile(
    r"^[ \t]*(?:#{1,6}[ \t]*|\*\*)?(?:"
    r"(?:(?:New|Next|Another)[ \t]+(?:[Qq]uestion|[Pp]roblem|[Ee]xercise)|Question|Problem|Exercise|Q|Human|User"
    r"|Instruction)(?:\*\*)?[ \t]*:"
    r"|(?:Question|Problem|Exercise|Example|Q)[ \t]*(?:#|No\.)?[ \t]*(?P<number>\d{1,4})(?:\*\*)?[ \t]*[:.)]"
    r")(?!:)(?P<rest>[^\n]*)",
    re.MULTILINE,
)
OLD_FIRST_MARKS = re.compile(rf"(?:\s|{readings._TURN.pattern}|<\|end_header_id\|>|assistant\b)*")
OLD_HEADED = r"(?:\d+[.):]\s|[A-Za-z]{2,}[^\\]*\s\d+\b|[A-Za-z]{2,}.*:)"
"""Pattern of a line that ``marked_text`` takes for a heading."""


def texts(*pieces: str, longest: int = 12) -> st.SearchStrategy[str]:
    """Return a strategy for texts that are put together from pieces."""
    return st.lists(st.sampled_from(pieces), max_size=longest).map("".join)


@given(texts("1", "12", "1234", " 000", " 123", " 12", "000", " ", ".5", ",", "-", "=", "/", "x", "_", "$", "٣"))
def test_blanks_between_thousands(text: str) -> None:
    old = OLD_SPACED.sub(lambda number: number[0].replace(" ", ""), text)
    assert readings._SPACED.sub(readings._joined_groups, text) == old


@given(
    texts(
        "5", "1,000", ".5", " ", "\t", "^", "{", "}", "\\circ", "\\text", "{cm}", "°", "km", "\\,", "\\", "%", "_", "/"
    )
)
def test_units(text: str) -> None:
    snippet = "5" + text
    old = re.fullmatch(f"{readings.OPENING}({readings.NUMBER}){OLD_UNITS}", snippet)
    new = re.fullmatch(f"{readings.OPENING}({readings.NUMBER}){readings.UNITS}", snippet)
    assert (new and new[1]) == (old and old[1])


@given(
    texts("Question", "Q", "Next question", "Problem", "Example", "#", "####", "No.", " ", "\t", "1", "23456", ":", ".")
    | texts("Q", "\n", "\n", "**", "#", " ", "7", ":", ")", "Exercise", "x", "New", "Human")
)
def test_headings(text: str) -> None:
    old = [found.groupdict() | {"span": found.span()} for found in OLD_HEADING.finditer(text)]
    assert [found.groupdict() | {"span": found.span()} for found in readings._HEADING.finditer(text)] == old


@given(
    texts("<|im_start|>", "<|im_end|>", "assistant", "assistants", " ", "\n", "</s>", "<|end_header_id|>", "7", "user")
)
def test_first_marks(text: str) -> None:
    old = OLD_FIRST_MARKS.match(text)
    new = readings._FIRST_MARKS.match(text)
    assert old and new and new.span() == old.span()


@given(texts("12", "ab", "c", "Step", " ", "\t", ":", ".", ")", "\\", "\\frac", "_", "$", "7", "é"))
def test_headings_after_the_mark(text: str) -> None:
    content = readings.stripped(text)
    wanted = None if not content or re.match(OLD_HEADED, content) else content
    assert readings.marked_text("#### " + text) == wanted


@pytest.mark.parametrize(
    ("text", "wanted"),
    [("#### $=_5", "5"), ("#### =$=_ 1,200 km", "1200"), ("#### $=$=~-7", "-7"), ("#### $=5", "5")],
)
def test_an_equals_sign_before_the_number_alone(text: str, wanted: str) -> None:
    # The chain of "=" was read to its last number, and there may be none in it: an IndexError ended the run.
    assert readings.marked_number(text) == wanted


@pytest.mark.parametrize("mark", ["^ \\circ", "^{ \\circ}", "^\n\\circ }", "^\t{\\circ"])
def test_degrees_with_blanks(mark: str) -> None:
    # A blank between "^" and "\circ" could be read in two ways: forty of them took 2^40 steps.
    assert readings.plain_number("90" + mark) == "90"
    assert readings.plain_number("90" + 40 * mark + "+") is None
