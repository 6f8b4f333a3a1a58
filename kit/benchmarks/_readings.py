r"""Find the answer in a text: after ``####``, in a box, after "the answer is", in the last formula or number.

Every function takes time in proportion to the text: a model may write sixty thousand digits or as many dollar signs.
So no pattern here has two parts side by side that match the same characters (``[ \t]*#?[ \t]*``), and none that starts
anew within what it has just given up. A repetition that gives nothing back is written ``(?>(?:...)*)``: up to Python
3.11.4 a possessive one keeps the start of a part that did not fit (https://github.com/python/cpython/issues/106052).
"""

import re
from collections import deque
from collections.abc import Iterator
from dataclasses import dataclass

NUMBER = r"(?:(?<![\w)])[-−]\s?\\?\$?)?(?:\d{1,3}(?:,\d{3})+(?!\d)(?:\.\d+)?|\d+(?:\.\d+)?|(?<![\d.])\.\d+)"
"""A number with or without thousands separators. A minus sign counts only where nothing stands right before it."""
UNITS = (
    r"(?>(?:\s|\\(?:text|textbf|textit|textrm|mathrm|mathbf|mbox|operatorname)\s*\{[^{}\d]*\}|\\[%$,;:! ]"
    r"|\^\s*(?:\{\s*)?\\circ(?:\s*\})?|°|[^\W\d_]|[%€£¥$.,!\"'’*/])*)"
)
"""Pattern of what may stand after a number without changing it: words, units, marks; no digit and no operator."""
OPENING = r"[\s*_$€£¥~=:>\\]*"
"""Marks that may stand before a number."""

_SEPARATOR = re.compile(r"(?<=\d)(?:\{,\}|\\[,;:! ]|,\\[!,]|\\!,|\{\\,\}|[~\u00a0\u2009\u202f'’])(?=\d{3}(?!\d))")
_SPACED = re.compile(r"(?<![\w.,^/+*=-])\d{1,3}(?>(?: \d{3})+)(?=(?P<more>[\w/]|[.,-]\d| \d)?)")
"""A number whose thousands are set apart by blanks: "12 000"; its first group follows a blank or a sign of money.

It is none where more follows: a fourth digit, decimals, another number.
"""
_HEADING = re.compile(
    r"^[ \t]*(?:#{1,6}[ \t]*|\*\*)?(?:"
    r"(?:(?:New|Next|Another)[ \t]+(?:[Qq]uestion|[Pp]roblem|[Ee]xercise)|Question|Problem|Exercise|Q|Human|User"
    r"|Instruction)(?:\*\*)?[ \t]*:"
    r"|(?:Question|Problem|Exercise|Example|Q)[ \t]*(?:(?:#|No\.)[ \t]*)?(?P<number>\d{1,4})(?:\*\*)?[ \t]*[:.)]"
    r")(?!:)(?P<rest>[^\n]*)",
    re.MULTILINE,
)
_TURN = re.compile(
    r"<\|(?:im_end|im_start|endoftext|end_of_text|eot_id|eom_id|start_header_id|end|user)\|>|</s>|<end_of_turn>"
    r"|<start_of_turn>user|\[INST\]"
)
"""Marks of chat formats: what follows is no longer this answer."""
_FIRST_MARKS = re.compile(rf"(?>(?:\s+|{_TURN.pattern}|<\|end_header_id\|>|assistant\b)*)")
_MARK = re.compile(r"(?<!#)####(?!#)[ \t]*(?P<line>[^\n]*)")
_LINE = re.compile(r"\s*([^\n]*)")
_MORE = re.compile(r"\S")
_PHRASE = re.compile(
    r"\banswers?(?:\*\*|__)?[ \t]*(?P<verb>is|are|would be|will be|[:=])(?:[ \t]*:)?(?:\*\*|__)?(?![\w*])",
    re.IGNORECASE,
)
_SOLVED = re.compile(
    r"^[ \t]*(?:#{1,6}[ \t]*|\*\*)?(?:Answer|Solution|A)(?:\*\*)?[ \t]*:", re.MULTILINE | re.IGNORECASE
)
_DELIMITER = re.compile(
    r"\\\\|\\\$|\$\$|\$|\\\[|\\\]|\\\(|\\\)|\\(?:begin|end)\{(?:align|equation|gather)\*?\}|\n[ \t]*\n"
)
_INTRODUCTION = re.compile(
    r":[*_\s]*$|\b(?:restate|rephrase|repeat|rewrite|recall|help|here|let's|let me|let us)\b", re.IGNORECASE
)
_ROWS = re.compile(r"\\(?:begin|end)\{(?:aligned|alignedat|align\*?|split|gathered|gather\*?|equation\*?)\}")
_CLOSING = {"\\[": "\\]", "\\(": "\\)", "$$": "$$", "$": "$"}


@dataclass(frozen=True, slots=True)
class Formula:
    """A piece of mathematics in a text."""

    start: int
    """Position where its opening delimiter starts."""
    end: int
    """Position where its closing delimiter ends."""
    body: str


def unseparated(text: str) -> str:
    r"""Return the text with LaTeX's and typography's thousands separators left out: ``9{,}500``, ``12\,000``."""
    return _SPACED.sub(_joined_groups, _SEPARATOR.sub("", text))


def _joined_groups(found: re.Match[str]) -> str:
    """Return the digits of a number without the blanks between its thousands; what only looks like one, as it is."""
    return found[0] if found["more"] else found[0].replace(" ", "")


def own_part(text: str, question: str) -> str:
    """Return the text without a further exercise that the model made up for itself after its answer.

    A heading ("Question:") opens a further exercise where an answer stands before it, and where it does not repeat the
    question that was asked; so does a mark of a chat format that ends a turn. Headings that count on from one before
    them ("Question 1:", "Question 2:") are the steps of one answer.
    """
    text = _own_turn(text)
    start, count = 0, 0
    for heading in _HEADING.finditer(text):
        before, number = text[start : heading.start()], int(heading["number"] or 0)
        if number and count and number == count + 1:
            start, count = heading.start("rest"), number
            continue
        count = number
        following = text[heading.start("rest") : heading.start("rest") + 400]
        if _answers(before, restated=start > 0) and not _repeats(following, question):
            return text[: heading.start()]
        start = heading.start("rest")
    return text


def _own_turn(text: str) -> str:
    """Return the text up to the first mark of a chat format that has something before it."""
    first = _FIRST_MARKS.match(text)
    mark = _TURN.search(text, first.end() if first else 0)
    return text[: mark.start()] if mark else text


def _repeats(text: str, question: str) -> bool:
    """Return whether a text starts as the question does."""
    asked = re.sub(r"\W+", "", question[:200].lower())[:40]
    return len(asked) >= 12 and re.sub(r"\W+", "", text.lower()).startswith(asked)


def _answers(part: str, restated: bool) -> bool:
    """Whether a part of a text holds an answer; after a restated question only what follows "Solution:" counts."""
    if restated:
        solved = _SOLVED.search(part)
        part = part[solved.end() :] if solved else part if _MARK.search(part) or box(part) is not None else ""
    if any(re.search(r"\d", line["line"]) for line in _MARK.finditer(part)) or box(part) is not None:
        return True
    if _PHRASE.search(part):
        return True
    last_line = part.rstrip().rpartition("\n")[2]
    return re.search(r"\d", part) is not None and not _INTRODUCTION.search(last_line)


def box(text: str) -> str | None:
    r"""Return the contents of the last ``\boxed`` or ``\fbox``, to the line's end if cut off; else ``None``."""
    found = _last_box(text, len(text))
    return found[0] if found else None


def boxes(text: str) -> str:
    r"""Return the contents of neighbouring boxes at the end, with commas: "\boxed{1} and \boxed{2}" gives "1,2"."""
    parts: list[str] = []
    end = next_start = len(text)
    while (found := _last_box(text, end)) and len(parts) < 10:
        content, start, stop = found
        if parts and not re.fullmatch(r"[\s$.]*(?:,|;|,?\s*\$?\s*(?:and|or))[\s$]*", text[stop:next_start][:20]):
            break
        parts.append(content)
        end = next_start = start
    return ",".join(reversed(parts))


def _last_box(text: str, end: int) -> tuple[str, int, int] | None:
    """Content, start and end of the last box that starts before ``end``."""
    start = max(text.rfind("\\boxed", 0, end), text.rfind("\\fbox", 0, end))
    if start < 0:
        return None
    opening = start + (6 if text.startswith("\\boxed", start) else 5)
    opening += len(text[opening : opening + 20]) - len(text[opening : opening + 20].lstrip())
    if text[opening : opening + 1] != "{":
        found = re.match(r"\\?\w+|\S", text[opening : opening + 40])
        return (found[0], start, opening + found.end()) if found else ("", start, opening)
    depth = 0
    for brace in re.finditer("[{}]", text[opening:end]):
        depth += 1 if brace[0] == "{" else -1
        if depth == 0:
            stop = opening + brace.end()
            return _without_braces(text[opening + 1 : stop - 1]), start, stop
    line = text[opening + 1 : end].partition("\n")[0]
    return _without_braces(line.strip().removesuffix("$")), start, opening + 1 + len(line)


def _without_braces(text: str) -> str:
    """Return the text without one pair of braces around the whole."""
    inner = text.strip()
    return inner[1:-1] if inner.startswith("{") and inner.find("}") == len(inner) - 1 else inner


def marked_number(text: str) -> str | None:
    """Return the number after the last ``####`` that is an answer; ``None`` without one.

    A heading is none: "#### Step 1: fruit", "#### 1. Fruit", and bare numbers that count up from 1 over longer parts.
    """
    found = [(mark, number) for mark in _MARK.finditer(text) if (number := _number_of_mark(text, mark))]
    if not found:
        return None
    counted = [number for _, number in found] == [str(place) for place in range(1, len(found) + 1)]
    if len(found) > 1 and counted and _MORE.search(text, found[-1][0].end()):
        return None
    return found[-1][1]


def _number_of_mark(text: str, mark: re.Match[str]) -> str | None:
    """Return the number that one mark announces; ``None`` where there is none."""
    line = mark["line"].strip()
    if not line:  # the mark stands on a line of its own
        following = _LINE.match(text, mark.end())
        return plain_number(following[1]) if following else None
    start = re.match(OPENING + f"({NUMBER})", line)
    if not start:
        return None
    after = line[start.end() :]
    if re.match(r"\s*[.):\]]\s+\S|\s+[-–—]\s*[^\W\d]", after):
        return None  # "1. Fruit", "2) Bag", "3: Sum", "4 - Tax"
    if re.match(r"\s+[A-Z]", after) and _MORE.search(text, mark.end()) and not re.search(r"\d", after):
        return None  # "1 Fruit", and more below
    chain = re.match(r"[\d\s.,+*/×x÷$€£()%=-]*", line)
    results = numbers(chain[0]) if chain and "=" in chain[0].lstrip("= ") else []
    return results[-1] if results else clean_number(start[1])


def marked_text(text: str) -> str | None:
    """Return what follows ``####`` in the text's last line, if it is mathematics; ``None`` without such a line."""
    last = text.rstrip().rpartition("\n")[2]
    mark = list(_MARK.finditer(last))[-1:]
    content = stripped(mark[0]["line"]) if mark else ""
    if not content or re.match(r"\d+[.):]\s|[A-Za-z]{2}(?:[^\\]*\s\d+\b|.*:)", content):
        return None
    return content


def numbers(text: str) -> list[str]:
    """Return all numbers of a text, without separators."""
    return [clean_number(found[0]) for found in re.finditer(NUMBER, text)]


def clean_number(found: str) -> str:
    """Return a number as :class:`~decimal.Decimal` reads it."""
    return re.sub(r"[,\s$\\]", "", found).replace("−", "-")


def plain_number(snippet: str) -> str | None:
    """Return the number that a short text is but for marks and units; ``None`` where it is more than that."""
    snippet = snippet.replace("−", "-")
    inner = re.fullmatch(r"\\(?:text|textbf|mathbf|mathrm|bf)\s*\{([^{}]*)\}", snippet.strip())
    found = re.fullmatch(f"{OPENING}({NUMBER}){UNITS}", inner[1] if inner else snippet)
    return clean_number(found[1]) if found else None


def formulas(text: str) -> list[Formula]:
    r"""Return the formulas of a text: ``$..$``, ``$$..$$``, ``\(..\)``, ``\[..\]``, equation and align environments.

    A dollar sign before a price opens none: what it would hold ends in a blank or before a digit, or at a blank line.
    """
    return list(_formulas(text))


def joined(found: list[Formula], text: str) -> str:
    r"""Return the last formulas that "and", "or" or a comma join, as a list: "$x=2$ or $x=3$" is ``x=2, x=3``."""
    parts = [found[-1].body]
    for left, right in zip(found[-2::-1], found[:0:-1], strict=True):
        if not re.fullmatch(r"\s*(?:,|;|,?\s*(?:and|or))\s*", text[left.end : right.start][:20]):
            break
        parts.append(left.body)
    return ", ".join(reversed(parts))


def _formulas(text: str) -> Iterator[Formula]:
    """Yield the formulas of a text in their order."""
    opening: re.Match[str] | None = None
    for token in _DELIMITER.finditer(text):
        delimiter = token[0]
        if delimiter in ("\\\\", "\\$"):
            continue
        opens = delimiter in _CLOSING or delimiter.startswith("\\begin")
        if opening is None:
            opening = token if opens else None
        elif not delimiter.strip():  # a blank line ends no display
            opening = None if opening[0] in ("$", "\\(") else opening
        elif delimiter == _closing(opening[0]) and _closes(text, opening, token):
            yield Formula(opening.start(), token.end(), unwrapped(text[opening.end() : token.start()]))
            opening = None
        elif opens and (opening[0] == "$" or delimiter == opening[0]):
            opening = token  # what was open was a price's sign, or is never closed


def unwrapped(body: str) -> str:
    """Return a formula's body without the environment that lines its rows up, which is no part of what they say."""
    return _ROWS.sub("", body).strip() if "\\begin" in body else body.strip()


def _closing(opening: str) -> str:
    """Return the delimiter that ends what another one opens."""
    return opening.replace("\\begin", "\\end") if opening.startswith("\\begin") else _CLOSING[opening]


def _closes(text: str, opening: re.Match[str], token: re.Match[str]) -> bool:
    """Whether a closing delimiter closes: a single dollar sign after a blank, or before a digit, is a price's."""
    if token[0] != "$":
        return token.start() > opening.end()
    body = text[opening.end() : token.start()]
    if not body.strip():
        return False
    return body[0].isspace() == body[-1].isspace() and not text[token.end() : token.end() + 1].isdigit()


def announcement(text: str) -> tuple[str, str] | None:
    """Return the last phrase that announces an answer ("is", "are", ":") and what follows it to the end of the text."""
    last = next(iter(deque(_PHRASE.finditer(text), maxlen=1)), None)
    return (last["verb"].lower(), text[last.end() :].lstrip(" \t\n*_:")) if last else None


def bare(text: str) -> bool:
    r"""Say whether a text is one line of mathematics and no prose: ``x^2 + 1``, ``\left( 3, \frac{\pi}{2} \right)``."""
    if "\n" in text or not text:
        return False
    commands = re.sub(r"\\(?:text|mbox|mathrm|operatorname|begin|end)\s*\{[^{}]*\}|\\[A-Za-z]+", " ", text)
    return not re.search(r"\s", text) or not re.search(
        r"(?!sin|cos|tan|log|and)[^\W\d_]{3}|[.,:;?!]\s*$|[^\W\d_]{2}\s", commands
    )


def sentence(text: str) -> str:
    """Return the text's first sentence or line; a decimal point ends none."""
    return re.split(r"\.(?:\s|$)|\n|[.!](?=\*\*)", text, maxsplit=1)[0]


def stripped(snippet: str) -> str:
    """Return a short text without the marks around it: blanks, emphasis, dollar signs, a full stop."""
    snippet = snippet.strip().strip("*").strip()
    for left, right in (("$$", "$$"), ("\\[", "\\]"), ("\\(", "\\)"), ("$", "$")):
        if snippet.startswith(left) and snippet.removesuffix(".").endswith(right) and len(snippet) > len(left + right):
            snippet = snippet.removesuffix(".")[len(left) : -len(right)].strip()
    return snippet.removesuffix(".").strip()
