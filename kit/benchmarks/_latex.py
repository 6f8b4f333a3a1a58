r"""Compare two LaTeX answers by the string rules that OpenCompass 0.3.3 applies to MATH (``MATHEvaluator``, ``v2``).

The rules are Minerva's (arXiv 2206.14858, appendix D.1) and hendrycks/math's. They are kept as they run there, slips
included, for a fairer grader would not give the paper's numbers.
"""

import re

REPLACED = (
    *(("an ", ""), ("a ", ""), (".$", "$"), ("\\$", ""), (r"\ ", ""), (" ", ""), ("mbox", "text")),
    *((",\\text{and}", ","), ("\\text{and}", ","), ("\\text{m}", "\\text{}"), ("\\le", "<")),
)
"""Minerva's replacements, ``(old, new)``, in this order."""

REMOVED = (
    *("square", "ways", "integers", "dollars", "mph", "inches", "ft", "hours", "km", "units", "\\ldots", "sue"),
    *("points", "feet", "minutes", "digits", "cents", "degrees", "cm", "gm", "pounds", "meters", "meals", "edges"),
    *("students", "childrentickets", "multiples", "\\text{s}", "\\text{.}", "\\text{\ns}", "\\text{}^2"),
    *("\\text{}^3", "\\text{\n}", "\\text{}", r"\mathrm{th}", r"^\circ", r"^{\circ}", r"\;", r",\!", "{,}", '"'),
    *("\\dots", "\n", "\r", "\f"),
)
"""Words and symbols that Minerva's rules remove, in this order."""

UNWRAPPED = (("\\text{(", ")}"), ("\\text{", "}"), ("\\textbf{", "}"), ("\\overline{", "}"))
"""Wrappings that give way to what they hold; after them the first ``\\boxed{`` with the last ``}``."""

CLEANED = (
    *(("\\!", ""), ("\\ ", ""), ("\\\\", "\\"), ("\\\\", "\\"), ("tfrac", "frac"), ("dfrac", "frac")),
    *(("\\left", ""), ("\\right", "")),
)
"""``v2``'s first replacements; those after it drop the unit at the end."""

DROPPED = (
    *(("^{\\circ}", ""), ("^\\circ", ""), ("\\$", ""), ("$", ""), ("\\text", ""), ("x\\in", ""), ("\\%", "")),
    *(("%", ""), (" .", " 0."), ("{.", "{0."), ("\\cdot", ""), ("infinity", "\\infty")),
)
"""``v2``'s replacements after the unit is dropped."""
LONGEST = 10_000
"""Characters that an answer may have to be compared by the rules; blanks and line breaks, which they drop, don't count.

The longest reference answer of MATH's test set has 81, the longest right answer that is read from its solutions when
their boxes are taken away 211.
"""
TOO_LONG = f"longer than {LONGEST:,} characters, so compared as it stands"


def boxed(text: str) -> str | None:
    r"""Return the contents of the last ``\boxed{}`` of the text; ``None`` without one, or where it is not closed."""
    start = text.rfind("\\boxed")
    if start < 0:
        return None
    depth = 0
    for position in range(start, len(text)):
        if text[position] == "{":
            depth += 1
        elif text[position] == "}":
            depth -= 1
            if depth == 0:
                opening = "\\boxed{"
                found = text[start : position + 1]
                return found[len(opening) : -1] if found.startswith(opening) else None
    return None


def normalised(answer: str) -> str:
    """Return an answer normalised by Minerva's rules."""
    for before, after in REPLACED:
        answer = answer.replace(before, after)
    for expression in REMOVED:
        answer = answer.replace(expression, "")
    for opening, closing in UNWRAPPED:
        answer = _unwrapped(answer, opening, closing)
    answer = _narrowed(_unboxed(answer))
    answer = answer.strip()
    if "rac" in answer and "\\frac" not in answer:
        answer = answer.replace("rac", "\\frac")
    answer = re.sub(r"(frac)([^{])(.)", r"frac{\2}{\3}", answer)
    answer = re.sub(r"(sqrt)([^{])", r"sqrt{\2}", answer)
    answer = answer.replace("$", "")
    return answer.replace(",", "") if answer.replace(",", "").isdigit() else answer


def stripped(answer: str) -> str:
    """Return an answer by the rules of ``v2``.

    Raises:
        ValueError: "a/b" without integers, which the oracle gives up on too.
    """
    answer = _replaced(answer.strip().replace("\n", "").rstrip("."), CLEANED)
    unit_less = _without_unit(answer).strip()
    answer = _replaced(unit_less or answer, DROPPED)
    if "\\infty" not in answer:
        answer = answer.replace("inf", "\\infty")
    answer = _replaced(answer, (("+\\inity", "\\infty"), ("and", ""), ("\\mathbf", "")))  # "inity" is the oracle's slip
    answer = _unwrapped(answer, "\\mbox{", "}", keep=False)
    if "j" in answer and "i" not in answer:
        answer = answer.replace("j", "i")
    answer = re.sub(r"(?<=\d)\.0+([^\d])", r"\1", answer)
    answer = re.sub(r"(?<=\d)\.0+$", "", answer)
    if not answer:
        return answer
    answer = "0" + answer if answer.startswith(".") else answer
    left, *right = answer.split("=")
    if len(right) == 1 and len(left) <= 2:
        answer = right[0]
    answer = re.sub(r"\\sqrt(\w+)", r"\\sqrt{\1}", answer).replace(" ", "")
    return _slash_as_frac(_braced_fracs(answer))


def equivalent(answer: str, wanted: str | None) -> bool:
    """Whether two answers are one: by ``v2``'s rules, by those and Minerva's, by Minerva's alone, or as they stand.

    What is :func:`too_long` is compared as it stands alone.
    """
    if wanted is None or too_long(answer):
        return answer == wanted
    try:
        answer_form, wanted_form = stripped(answer), stripped(wanted)
        if answer_form == wanted_form or normalised(answer_form) == normalised(wanted_form):
            return True
    except (ValueError, IndexError):
        pass  # as the oracle: what the rules choke on is compared by the others
    return normalised(answer) == normalised(wanted) or answer == wanted


def too_long(answer: str) -> bool:
    """Say whether an answer has more than :data:`LONGEST` characters."""
    return len(answer) > LONGEST and len("".join(answer.split())) > LONGEST


def _replaced(text: str, pairs: tuple[tuple[str, str], ...]) -> str:
    """Return the text after one replacement after the other."""
    for before, after in pairs:
        text = text.replace(before, after)
    return text


def _unwrapped(text: str, opening: str, closing: str, keep: bool = True) -> str:
    r"""Replace each ``opening...closing`` by what it holds, or by nothing: ``opening(.*?)closing``, in linear time.

    As a pattern it would look for the closing of every opening to the text's end where there is none.
    """
    parts, position = [], 0
    while (start := text.find(opening, position)) >= 0:
        end = text.find(closing, start + len(opening))
        if end < 0:
            break
        parts += [text[position:start], text[start + len(opening) : end] if keep else ""]
        position = end + len(closing)
    return "".join(parts) + text[position:]


def _unboxed(text: str) -> str:
    r"""Take away the first ``\boxed{`` and the last ``}`` after it."""
    opening = "\\boxed{"
    start, end = text.find(opening), text.rfind("}")
    return text[:start] + text[start + len(opening) : end] + text[end + 1 :] if 0 <= start < end else text


def _narrowed(text: str) -> str:
    """Keep what follows "finalansweris", then what follows "answeris", the last "oxed{}", the last "$$"."""
    for pattern in (r"finalansweris(.*)", r"answer?is:?(.*)"):
        if found := re.search(pattern, text):
            text = found[1]
    if (held := _last_held(text, "oxed{", "}")) is not None:
        text = held
    dollars = re.findall(r"\$(.*?)\$", text)
    return dollars[-1] if dollars else text


def _last_held(text: str, opening: str, closing: str) -> str | None:
    """Return the contents of the last of all ``opening...closing``, taken from the left without overlaps."""
    held, position = None, 0
    while (start := text.find(opening, position)) >= 0 and (end := text.find(closing, start + len(opening))) >= 0:
        held, position = text[start + len(opening) : end], end + len(closing)
    return held


def _without_unit(text: str) -> str:
    r"""Return the text up to its first ``\text{``, where it ends in ``}``."""
    opening = "\\text{"
    start = text.find(opening)
    return text[:start] if 0 <= start < len(text) - len(opening) and text.endswith("}") else text


def _braced_fracs(text: str) -> str:
    r"""Write ``\frac12`` as ``\frac{1}{2}``; a ``\frac`` with less than two characters leaves the whole text alone."""
    first, *rest = text.split("\\frac")
    parts = [first]
    for part in rest:
        if part.startswith("{"):
            parts.append(part)
            continue
        if len(part) < 2:
            return text
        above, below, tail = part[0], part[1], part[2:]
        parts.append(f"{{{above}}}{below}{tail}" if below == "{" else f"{{{above}}}{{{below}}}{tail}")
    return "\\frac".join(parts)


def _slash_as_frac(text: str) -> str:
    r"""Write the fraction ``1/2`` as ``\frac{1}{2}``.

    Raises:
        ValueError: there is one slash, and its sides are no integers.
    """
    sides = text.split("/")
    if len(sides) != 2:
        return text
    above, below = int(sides[0]), int(sides[1])
    return f"\\frac{{{above}}}{{{below}}}" if text == f"{above}/{below}" else text
