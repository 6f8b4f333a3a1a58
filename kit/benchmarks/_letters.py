r"""Find the letter of the option that a text chooses: as OpenCompass does, and more fairly.

Every function takes time in proportion to the text, however often a model repeats a piece of it. OpenCompass's patterns
are read from its wheel (``kit.prompts.opencompass``); those that would take a time that grows with the square of the
text are looked up from both ends instead, with the same outcome (tests/benchmarks/test_letters.py compares them).
"""

import re
import unicodedata
from collections.abc import Callable, Sequence

from kit.benchmarks import _readings as readings
from kit.prompts.opencompass import option_patterns

Search = Callable[[str], str | None]
"""Finds a pattern in a text and returns what it matches, or ``None``."""

_RUN, _FULL_STOP = r"\s?(\S+)(?:。|$)", "。"
_BOXED = re.compile(r"(.*?)\.\*\?boxed\{\(\[(\w+)\]\)\}")
"""The two shapes of pattern that go back: "up to the last full stop of a run", and "the next box, however far"."""


class FirstOption:
    """OpenCompass's ``first_option_postprocess``: the first option in what the first of its patterns matches."""

    def __init__(self, options: str) -> None:
        """Read the patterns from the wheel's file.

        Raises:
            RequestError: the wheel is not installed, or is not the pinned one.
        """
        self.options = options
        self.searches = [_search(pattern) for pattern in option_patterns(options)]

    def __call__(self, text: str) -> str:
        """Return the letter of a text; empty where no pattern matches."""
        text = text.strip()
        for search in self.searches:
            if (found := search(text)) is not None:
                for option in self.options:
                    if option in found:
                        return option
        return ""


def _search(pattern: str) -> Search:
    """Return the search for a pattern, in time in proportion to the text."""
    if pattern.endswith(_RUN):
        return _run_after(re.compile(pattern.removesuffix(_RUN), re.DOTALL))
    if boxed := _BOXED.fullmatch(pattern):
        return _box_after(re.compile(boxed[1], re.DOTALL), re.compile(rf"boxed\{{[{boxed[2]}]\}}"))
    compiled = re.compile(pattern, re.DOTALL)

    def plain(text: str) -> str | None:
        found = compiled.search(text)
        return found[0] if found else None

    return plain


def _run_after(begin: re.Pattern[str]) -> Search:
    r"""Return the search for the regular expression ``BEGIN\s?(\S+)(?:。|$)``.

    What it matches ends with the text, where the run of characters that are no white space does, or else after the
    run's last full stop.
    """
    end_of_run = re.compile(r"\S*")

    def search(text: str) -> str | None:
        end = -1
        for start in begin.finditer(text):
            first = start.end() + text[start.end() : start.end() + 1].isspace()
            if first >= end and (run := end_of_run.match(text, first)):
                end, stop = run.end(), text.rfind(_FULL_STOP, first, run.end())
            if first < end and (last := end if end == len(text) else stop + 1) > first + (end != len(text)):
                return text[start.start() : last]
        return None

    return search


def _box_after(begin: re.Pattern[str], box: re.Pattern[str]) -> Search:
    """Return the search for ``BEGIN.*?BOX``: the first beginning, and the next box after it."""

    def search(text: str) -> str | None:
        start = begin.search(text)
        end = box.search(text, start.end()) if start else None
        return text[start.start() : end.end()] if start and end else None

    return search


def first_capital(text: str) -> str:
    """Return OpenCompass's ``first_capital_postprocess``: the first capital letter of any script; empty without one."""
    return next((character for character in text if character.isupper()), "")


_APART = r"(?<![^\W\u3400-\u9fff])(?<!\w['’])"
_ENDS = r"(?![^\W\u3400-\u9fff]|['’]\w)"
"""Before and behind a letter that is no part of a word; Chinese characters stand beside it without a blank."""
_MARKS = r"[\s*_`\"'“”‘’(\[【「《<:$]"
_SMALL = r"(?:(?<=\()[a-d](?=\))|[b-d](?=[)\]】*_`\"'”’.。]{0,6}[ \t]{0,20}$))"
"""A small letter in brackets, or at the end of its line, where it is no article."""
_LETTER = rf"{_MARKS}{{0,20}}(?:\\?(?:text|mathrm|textbf)\{{)?(?P<letter>(?:[ABCD]|{_SMALL}){_ENDS})"
"""A letter with the marks that may stand before it."""
_MORE = re.compile(
    r"[)\]】*_`\"'”’]{0,4}[ \t]{0,5}(?:、|/|&|\b(?:and|or)\b|和|或|与)"
    rf"(?:[ \t]{{1,5}}(?:option|choice))?{_MARKS}{{0,5}}[ABCD]{_ENDS}"
    r"(?![)\]】*_`\"'”’]{0,4}[ \t]{0,5}(?:is\b|are\b|was\b|were\b|错|不|项错))"
)
"""A second letter behind one, as in "A or C" and A和C; not so "A and C is wrong"."""
_BOXED_LETTER = re.compile(rf"{_LETTER}|{_MARKS}*(?:\\?(?:text|mathrm|textbf)\{{)?\(?(?P<small>[a-d])[\s).}}]*$")
"""A letter that a box begins with, or a small one that it holds alone."""
_WHOLE = re.compile(rf"{_MARKS}*(?P<letter>[A-Da-d])[\s*_`\"'“”‘’)\]】」》>.。,、:;!]*")
"""A text that is a letter and marks alone."""
_LISTED = re.compile(
    r"^[ \t*_`(\[【]{0,20}(?P<letter>[ABCD])[)\]】*_`]{0,6}(?:[.:、)\]】](?!\w\.)|[ \t]{0,5}[-–—]\s|[ \t]{0,5}$)",
    re.MULTILINE,
)
"""A letter as a list of options has it, at the start of a line: "B. Paris", "(B) Paris"."""
_TOLD = re.compile(
    r"(?i:\banswers?(?:[ \t]{1,5}(?:is|are|(?:would|will|should|must)[ \t]{1,5}be))?"
    r"|\b(?:correct|right|best)[ \t]{1,5}(?:option|choice|one)(?:[ \t]{1,5}is)?"
    r"|\b(?:choose|chose|pick|select)"
    r"|而是|答案(?:应该|应当|应)?(?:是|为|选择|选)?|正确(?:选项|的)(?:是|为)|选择|选(?!项)|(?:所以|因此|故|即)(?:是|为)?)"
    r"(?i:[ \t]{1,5}(?:the|option|choice|letter)){0,2}[ \t]{0,5}(?:选项)?[:=]?" + _LETTER,
    re.MULTILINE,
)
"""A letter that is announced: "the answer is B", 答案是B, 故选B."""
_RIGHT = re.compile(
    rf"{_APART}(?P<letter>[ABCD])[)\]】*_`\"”]{{0,4}}[ \t]?(?:项)?(?:是|为)?[ \t]?"
    r"(?:is[ \t]{1,5})?(?:the[ \t]{1,5})?(?:正确|对的|correct\b|right\b|(?:best[ \t]{1,5})?answer\b)"
)
"""A letter that is called right: "B is correct"."""
_ALONE = re.compile(rf"{_APART}(?P<letter>[ABCD]){_ENDS}(?!(?<=A)[ \t]{{1,5}}(?!(?:and|or)\b)[a-z])")
"""A letter that stands alone; before a small letter an A is an article, but for "A or B"."""
_FURTHER = re.compile(r"^[ \t#*]{0,9}(?:(?:Question|Q|题目|问题)[ \t]?\d{0,4}[*]{0,2}[ \t]?[:.])", re.MULTILINE)
"""The heading of a question."""
_DENIED = re.compile(r"(?:\bnot\b|n't|不是|不选|并非|错误)[^\n.。,]{0,20}$", re.IGNORECASE)


def chosen(text: str, choices: Sequence[str], question: str) -> str:
    r"""Return the letter of the option that a text chooses; empty where it chooses none, or several.

    A further question that the model made up for itself, after a letter, is left out. Then the first of: a letter and
    marks alone, the last ``\boxed{}``, the last letter that is announced ("the answer is", 答案是, 故选) or called
    right, a letter that opens the text as in a list of one, the one option whose words the text repeats, the one letter
    that stands alone.
    """
    text = _own_part(unicodedata.normalize("NFKC", readings.own_part(text, question))).strip()
    if whole := _WHOLE.fullmatch(text):
        return whole["letter"].upper()
    box = readings.box(text)
    if box is not None and (inside := _BOXED_LETTER.match(box)):
        return "" if _MORE.match(box, inside.end()) else (inside["letter"] or inside["small"]).upper()
    told = [found for pattern in (_TOLD, _RIGHT) for found in pattern.finditer(text) if not _is_denied(text, found)]
    if told:
        last = max(told, key=lambda found: found.start("letter"))
        return "" if _MORE.match(text, last.end("letter")) else last["letter"].upper()
    listed = {match["letter"] for match in _LISTED.finditer(text)}
    if len(listed) == 1 and (opening := _LISTED.match(text)):
        return "" if _MORE.match(text, opening.end("letter")) else opening["letter"]
    return _repeated(text, choices) or _only(text)


def _own_part(text: str) -> str:
    """Return the text up to the first heading of a question that stands behind a letter."""
    letter = _ALONE.search(text)
    further = _FURTHER.search(text, letter.end()) if letter else None
    return text[: further.start()] if further else text


def _is_denied(text: str, found: re.Match[str]) -> bool:
    """Tell whether a phrase stands in a denial: "the answer is not B" announces none, "B is not right" neither."""
    return _DENIED.search(text, max(0, found.start() - 30), found.start("letter")) is not None


def _repeated(text: str, choices: Sequence[str]) -> str:
    """Return the letter of the one option whose words the text repeats; empty where there is none, or several are."""
    plain, found = _plain(text), []
    # The longest first, and its words taken out: "30 arms" holds the option "30" too.
    options = [(_plain(choice), letter) for choice, letter in zip(choices, "ABCD", strict=True)]
    for words, letter in sorted(options, key=_length):
        rest = re.sub(rf"(?<!\w){re.escape(words)}(?!\w)", "\0", plain) if words else plain
        if rest != plain:
            found.append(letter)
        plain = rest
    return found[0] if len(found) == 1 else ""


def _length(option: tuple[str, str]) -> int:
    """Return a sort key that puts the longest words first."""
    return -len(option[0])


def _plain(text: str) -> str:
    """Return a text in small letters, with one blank for each run of white space and without marks at its ends."""
    return " ".join(unicodedata.normalize("NFKC", text).casefold().split()).strip(" .。,，;；:：!！\"'“”")


def _only(text: str) -> str:
    """Return the one letter that stands alone in a text, however often; empty where there are several."""
    found = {match["letter"] for match in _ALONE.finditer(text)}
    return found.pop() if len(found) == 1 else ""
