"""IFEval's official checkers read hostile texts in time that grows with the text, and find what they found before."""

import contextlib
import re
from collections.abc import Callable, Mapping
from types import FunctionType
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from kit.benchmarks import _ifeval_patterns as patterns
from kit.benchmarks import ifeval
from tests.growth import assert_linear, cpu_s

KWARGS: Mapping[str, dict[str, Any]] = {
    "keywords:existence": {"keywords": ["correlated", "experiencing"]},
    "keywords:frequency": {"keyword": "story", "frequency": 2, "relation": "at least"},
    "keywords:forbidden_words": {"forbidden_words": ["rock", "a b"]},
    "keywords:letter_frequency": {"letter": "c", "let_frequency": 4, "let_relation": "at least"},
    "language:response_language": {"language": "kn"},
    "length_constraints:number_sentences": {"num_sentences": 6, "relation": "less than"},
    "length_constraints:number_paragraphs": {"num_paragraphs": 2},
    "length_constraints:number_words": {"num_words": 300, "relation": "at least"},
    "length_constraints:nth_paragraph_first_word": {"first_word": "a", "num_paragraphs": 4, "nth_paragraph": 1},
    "detectable_content:number_placeholders": {"num_placeholders": 12},
    "detectable_content:postscript": {"postscript_marker": "P.S."},
    "detectable_format:number_bullet_lists": {"num_bullets": 3},
    "detectable_format:constrained_response": {},
    "detectable_format:number_highlighted_sections": {"num_highlights": 3},
    "detectable_format:multiple_sections": {"section_spliter": "Section", "num_sections": 2},
    "detectable_format:json_format": {},
    "detectable_format:title": {},
    "combination:two_responses": {},
    "combination:repeat_prompt": {"prompt_to_repeat": "Write an email."},
    "startend:end_checker": {"end_phrase": "The end."},
    "change_case:capital_word_frequency": {"capital_frequency": 10, "capital_relation": "less than"},
    "change_case:english_capital": {},
    "change_case:english_lowercase": {},
    "punctuation:no_comma": {},
    "startend:quotation": {},
}
SLOW = {
    "language:response_language",
    "length_constraints:number_sentences",
    "change_case:capital_word_frequency",
    "change_case:english_capital",
    "change_case:english_lowercase",
}
"""Read by nltk and langdetect, at a hundred times the price of a pattern; langdetect looks at 10,000 characters."""
REPEATED = (
    *("[", "[a ", "]", "[]", "<<", "<<a>", "<", ">>", "<< >>", "(", "{", '{"a":', '["', "\\", '"', "'", "`", "``"),
    *(
        "\n",
        " \n",
        "\n\n",
        "\r",
        "\r\n",
        "\x0b\n",
        " ",
        "\t",
        "\u2003",
        "*",
        "* ",
        "**a",
        "***",
        "*** ",
        "*\n",
        "******",
    ),
    *(
        "-",
        "- ",
        "-\n",
        "_",
        "#",
        ".",
        ". ",
        ".. ",
        ".\n",
        "...a ",
        "a.",
        "a. ",
        "A.B. ",
        "Mr. ",
        "!",
        "?!",
        "! ",
        ".)",
    ),
    *(
        '."',
        ".\u201d",
        ",",
        ", ",
        ":",
        ";",
        "@",
        "a@",
        "a@b ",
        "http://",
        "1",
        "1.",
        "1,",
        "-1",
        "1e",
        "p.",
        "p. ",
        "p.p.",
    ),
    *(
        "a",
        "A",
        "a ",
        "A ",
        "Abc ",
        "can",
        "cannot ",
        "'ll ",
        "n't ",
        "rock",
        "stor",
        "Section",
        "Section 1 ",
        "Section ",
    ),
    *("\u00e9", "\u0301", "a\u0301", "\u3042", "\u4e2d", "\U0001f600", "\u0130", "\x00", "\ud800", "\ufeff"),
)
AROUND = ("{}", "{}x", "x{}", "x.{}y", "* {}", "\n{}- x", "{{{}", " {}P.S. x")
"""Texts around the repeated part; most patterns wait for the text after it."""


def checker(checkers: ifeval.Checkers, name: str, **kwargs: Any) -> Any:
    found = checkers.classes[name](name)
    found.build_description(**(kwargs or KWARGS[name]))
    return found


@pytest.fixture(scope="module")
def checkers() -> ifeval.Checkers:
    return ifeval.load_checkers()


def test_every_checker_has_its_kwargs(checkers: ifeval.Checkers) -> None:
    assert set(checkers.classes) == set(KWARGS)


def repeated(part: str, around: str) -> Callable[[int], str]:
    return lambda size: around.format(part * (size // len(part)))


@pytest.mark.parametrize("name", sorted(KWARGS))
def test_time_grows_with_the_text(name: str, checkers: ifeval.Checkers) -> None:
    # "[" 20,000 times took the placeholders 3.9 s, blank lines the bullet points and blanks the postscript as long
    read = checker(checkers, name).check_following

    def tolerant(text: str) -> None:
        with contextlib.suppress(RecursionError):  # the kit takes it for "not followed"
            read(text)

    size = 1_250 if name in SLOW else 10_000
    for part in REPEATED:
        for around in AROUND[:2] if name in SLOW else AROUND:
            make = repeated(part, around)
            if cpu_s(tolerant, make(4 * size), repeats=1) < 0.03:  # as most are: no need to look at half and quarter
                continue
            try:
                assert_linear(tolerant, make, size)
            except AssertionError as error:
                raise AssertionError(f"{part!r} in {around!r}: {error}") from error


@pytest.mark.parametrize(
    ("name", "kwargs", "text", "follows"),
    [
        ("detectable_content:number_placeholders", {"num_placeholders": 1}, "[" * 300_000, False),
        ("detectable_content:number_placeholders", {"num_placeholders": 2}, "[" * 300_000 + "]\n[a]", True),
        ("detectable_format:number_bullet_lists", {"num_bullets": 1}, "\n" * 300_000 + "* one", True),
        ("detectable_format:number_bullet_lists", {"num_bullets": 1}, "\n \t" * 100_000, False),
        ("detectable_format:number_bullet_lists", {"num_bullets": 2}, "*\n" * 2 + "\n" * 300_000 + "- x", True),
        ("detectable_content:postscript", {"postscript_marker": "P.S."}, " " * 300_000 + "P. S. more", True),
        ("detectable_content:postscript", {"postscript_marker": "P.P.S"}, "\t\n" * 150_000 + "P.P", False),
        ("detectable_content:postscript", {"postscript_marker": "Note:"}, " " * 300_000 + "note", False),
        ("detectable_format:title", {}, "<<" * 150_000, False),
        ("detectable_format:title", {}, "<<" * 150_000 + "a>>", True),
        ("detectable_format:title", {}, "<<a>\n" * 60_000, False),
    ],
)
def test_long_texts_have_their_verdict(
    name: str, kwargs: dict[str, Any], text: str, follows: bool, checkers: ifeval.Checkers
) -> None:
    # each of these took the official pattern minutes, by the square of its length
    assert checker(checkers, name, **kwargs).check_following(text) is follows


def official(checkers: ifeval.Checkers, name: str) -> Callable[[Any, str], bool]:
    """The checker's own function with Python's ``re``, as the wheel has it."""
    function = checkers.classes[name].check_following
    return FunctionType(function.__code__, {**function.__globals__, "re": re})


PATTERNS = (
    *patterns.LINEAR,
    *((rf"\s*{marker}.*$", re.MULTILINE) for marker in (r"p\.\s?p\.\s?s", r"p\.\s?s\.", "p.s.", "note:", "ps a-b")),
    *((rf"\s*{marker}.*$", re.MULTILINE) for marker in ("[p]s", "p|s", "+p", "(p)s", r"\bs", " s", "p+s", "s?", "")),
)
"""Patterns that the kit replaces, and other kinds of postscripts, some of which ``re`` still searches."""
BITS = st.lists(
    st.sampled_from(
        [*"[]<>*-\n \t\r\x85\x1c\u2003.psPSa:", "\n\n", "<<", ">>", "p.s.", "P.P.S", "note:", "* a", "- a", "\ud800"]
    ),
    max_size=30,
).map("".join)


@given(text=BITS)
def test_finds_what_the_official_pattern_finds(text: str) -> None:
    for pattern, flags in PATTERNS:
        assert patterns.findall(pattern, text, flags) == re.findall(pattern, text, flags), pattern
        assert patterns.findall(re.compile(pattern, flags), text) == re.findall(pattern, text, flags), pattern


@given(text=BITS, number=st.integers(0, 4))
def test_follows_what_the_official_checker_follows(text: str, number: int, checkers: ifeval.Checkers) -> None:
    for name, kwargs in (
        ("detectable_content:number_placeholders", {"num_placeholders": number}),
        ("detectable_format:number_bullet_lists", {"num_bullets": number}),
        ("detectable_format:title", {}),
        *(("detectable_content:postscript", {"postscript_marker": marker}) for marker in ("P.S.", "P.P.S", "Note:")),
    ):
        ours = checker(checkers, name, **kwargs) if kwargs else checker(checkers, name)
        assert ours.check_following(text) == official(checkers, name)(ours, text), (name, kwargs)


def test_only_findall_differs_from_re() -> None:
    ours = vars(patterns.stand_in())
    assert {name for name in ours if ours[name] is not getattr(re, name)} == {"findall"}


def test_no_text_reaches_the_terminal(checkers: ifeval.Checkers, capfd: pytest.CaptureFixture[str]) -> None:
    # a text without letters was logged as it was, with the control characters that it had
    assert checker(checkers, "language:response_language").check_following("\x1b[0 123")
    assert capfd.readouterr() == ("", "")


def test_no_pattern_is_timed_by_the_clock(checkers: ifeval.Checkers) -> None:
    # nltk gave up after five seconds of wall-clock time, with an error that ended the run on a busy machine
    from nltk.tokenize import punkt

    assert punkt.PunktLanguageVars().period_context_re()._resolve(punkt.redos._UNSET) is None
