"""Finding the code in what a model wrote: fences, marks and prose around it; nothing here runs it."""

import re
import textwrap
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from kit.sandbox import statements

parses = statements.parses

END_TOKEN = re.compile(
    r"(?:<\|(?:im_end|im_start|endoftext|end_of_text|eot_id|eom_id|end|EOT|eos|user|assistant|system)\|>"
    r"|<｜[^｜>\n]{1,40}｜>|</s>|<end_of_turn>|<eos>)[^\S\n]*(?=\n|\Z|<)"
)
"""A chat format's mark at the end of a line: the text ends there."""
BEGIN_TOKEN = re.compile(r"\s*(?:<s>|<bos>|<\|(?:begin_of_text|im_start|start_header_id)\|>(?:assistant\b)?)\s*")
LANGUAGE = re.compile(r"[\w.+-]{0,20}\Z")
"""What may follow a fence that has text before it, or that ends one block and starts the next."""
CODE_ON_FENCE = re.compile(r"(?:(?:python|py)[0-9]?[ \t]+)?(?=(?:async def|def|class|from|import)\s|@\w)")
INLINE = re.compile(r"```(?:(?:python|py)[0-9]?\b)?([^`]+)```")
"""Code and fences on one line."""
TRIPLES = re.compile(r'"{3}|\'{3}')
LONGEST_STRING = 400
"""Lines; a string of three quotes that is still open after so many is taken for none."""
INDENT = "    "


def defines(code: str, name: str) -> bool:
    """Whether a function or class of this name is defined at the left margin."""
    return re.search(rf"^(?:async def|def|class)[ \t]+{re.escape(name)}\b", code, re.MULTILINE) is not None


def binds(code: str, name: str) -> bool:
    """Whether the name is defined, assigned or imported from somewhere at the left margin."""
    word = re.escape(name)
    pattern = rf"^(?:{word}[ \t]*(?::[^=\n]*)?=(?!=)|from[ \t]+[\w.]+[ \t]+import[ \t(][^\n]*\b{word}\b)"
    return bool(name) and (defines(code, name) or re.search(pattern, code, re.MULTILINE) is not None)


def clean(text: str) -> str:
    """The text with line feeds alone at line ends, and without what a chat format puts before and after an answer."""
    text = text.replace("\r\n", "\n").replace("\r", "\n")
    if begin := BEGIN_TOKEN.match(text):
        text = text[begin.end() :]
    end = END_TOKEN.search(text)
    return text[: end.start()] if end and text[: end.start()].strip() else text


@dataclass(frozen=True, slots=True)
class _Fence:
    """The line that opens a block."""

    indent: int
    mark: str
    """Its backquotes or tildes; what closes the block is at least as long."""
    code: str
    """What of the line is code already."""


def _opening(line: str) -> _Fence | None:
    """The fence that a line opens, also behind words (``So: ```python``); ``None`` for code within a sentence."""
    kind = "~" if line.lstrip(" \t").startswith("~~~") else "`"
    before, mark, info = line.rpartition(3 * kind)
    words = before.rstrip(kind)
    if not mark or mark in words or (words.strip() and not LANGUAGE.match(info.strip())):
        return None
    code = CODE_ON_FENCE.match(info.lstrip(" \t"))
    return _Fence(
        indent=0 if words.strip() else len(words),
        mark=mark + before[len(words) :],
        code=info.lstrip(" \t")[code.end() :] if code else "",
    )


def _closes(line: str, fence: _Fence) -> bool:
    """Whether the line is a fence of this kind, not indented deeper; one with a language opens the next block."""
    bare = line.lstrip(" \t")
    indent = len(line) - len(bare)
    return (
        bare.startswith(fence.mark)
        and indent <= fence.indent + 3
        and bool(LANGUAGE.match(bare.lstrip(fence.mark[0]).strip()))
    )


def _open_quotes(line: str, quotes: str) -> str:
    """The three quotes that are open after a text, given those that are open before it."""
    for match in TRIPLES.finditer(line):
        if not quotes or quotes == match[0]:
            quotes = "" if quotes else match[0]
    return quotes


def _end_of(lines: Sequence[str], start: int, fence: _Fence) -> int:
    """Where the block ends: at the first closing fence that is not in a string of three quotes, else at the first."""
    quotes = _open_quotes(fence.code, "")
    first = len(lines)
    for at in range(start, len(lines)):
        if first < at - LONGEST_STRING:
            break
        if _closes(lines[at], fence):
            if not quotes:
                return at
            first = min(first, at)
        quotes = _open_quotes(lines[at], quotes)
    return first


def _fenced(lines: Sequence[str]) -> Iterator[tuple[int, str]]:
    """The fenced blocks, each with the position of the line that opens it; one that was cut off counts to the end."""
    at = 0
    while at < len(lines):
        fence = _opening(lines[at])
        if fence is None:
            at += 1
            continue
        end = _end_of(lines, at + 1, fence)
        inner = [line[min(fence.indent, len(line) - len(line.lstrip(" \t"))) :] for line in lines[at + 1 : end]]
        yield at, _without_end("\n".join([*([fence.code] if fence.code else []), *inner, ""]))
        # A fence with a language ends a block and opens the next.
        at = end if end < len(lines) and _opening_again(lines[end], fence) else end + 1


def _opening_again(line: str, fence: _Fence) -> bool:
    return bool(line.lstrip(" \t").lstrip(fence.mark[0]).strip())


def _without_end(code: str) -> str:
    """The code before a fence that stands behind its last line, if that is Python and the whole is not."""
    before = code.partition("```")[0]
    return before + "\n" if before != code and statements.parses(before) and not statements.parses(code) else code


def pieces(text: str) -> list[str]:
    """Where code may stand: the fenced blocks, those within a line, the text before the first fence, the whole text."""
    lines = text.split("\n")
    found = list(_fenced(lines))
    inline = [] if found else [match[1].strip() + "\n" for match in INLINE.finditer(text)]
    before = "\n".join(lines[: found[0][0]]) if found else ""
    if _open_quotes(before, ""):  # no fences, but a docstring that shows some
        return [text]
    return [*(code for _, code in found), *inline, before, text]


def _dedented(code: str, names: Sequence[str]) -> str:
    """The code at the left margin, where all of it is indented and that shows a definition."""
    if any(binds(code, name) for name in names) or not code[:1].isspace():
        return code
    at_margin = textwrap.dedent(code)
    return at_margin if any(binds(at_margin, name) for name in names) else code


def choose(text: str, names: Sequence[str]) -> tuple[str, list[str]]:
    """The piece of a text that binds most of the names, the first of them, and all other fenced blocks.

    Of several blocks that bind as many, one with empty functions alone, as a task shows them, is passed over. Where
    none binds a name: the text before the first fence if it starts indented (it goes on in a function), else the
    first block that is not empty, else the whole text.
    """
    found = [_dedented(piece, names) for piece in pieces(text)]
    counts = [sum(binds(piece, name) for name in names) for piece in found]
    goes_on = text.lstrip("\n")[:1].isspace()
    filled = [n for n in range(len(found)) if found[n].strip()] or [len(found) - 1]
    best = _first_full(found, counts, names) if any(counts) else filled[0] if not goes_on else filled[-2:][0]
    return found[best], [piece for n, piece in enumerate(found[:-2]) if n != best]


def _first_full(found: Sequence[str], counts: Sequence[int], names: Sequence[str]) -> int:
    """The first piece that binds most names, or the first such block after it whose functions are not empty."""
    first, *others = [n for n, count in enumerate(counts) if count == max(counts)]
    others = [n for n in others if n < len(found) - 2]
    if not others or not statements.empty(found[first], names):
        return first
    return next((n for n in others if not statements.empty(found[n], names)), first)


def program(text: str, names: Sequence[str]) -> str | None:
    """The statements that define the names, with what they need; ``None`` if no name is defined at the left margin.

    What is needed and stands in another fenced block is put before them. A text that cannot be taken apart is cut by
    its lines.
    """
    code, others = choose(text, names)
    known = [name for name in names if binds(code, name)]
    if not known:
        return None
    lines = statements.python_in(code)
    selection = statements.select(statements.statements(lines), names)
    if not any(name in selection.binders for name in known):
        return by_lines(code, known)
    chosen = statements.text_of(lines, selection)
    return "".join(_from_others(others, selection.missing(), known)) + chosen


def _from_others(others: Sequence[str], missing: set[str], names: Sequence[str]) -> Iterator[str]:
    """What other blocks define of the names that are missing; a block that defines the function anew is left alone."""
    for other in others if missing else ():
        if any(binds(other, name) for name in names):
            continue
        lines = statements.python_in(other)
        found = statements.statements(lines)
        if wanted := {name for s in found for name in s.binds} & missing:
            yield statements.text_of(lines, statements.select(found, sorted(wanted)))


def by_lines(code: str, names: Sequence[str]) -> str:
    """From the first start of a statement to the last one after the definitions: what is left where nothing parses."""
    lines = code.split("\n")
    start = next((n for n, line in enumerate(lines) if statements.STARTS.match(line)), 0)
    kept: list[str] = []
    found = False
    for line in lines[start:]:
        at_margin = line[:1].strip() != ""
        if found and at_margin and not (statements.STARTS.match(line) or statements.MORE_OF_IT.match(line)):
            break
        found = found or any(binds(line, name) for name in names)
        kept.append(line)
    return "\n".join(kept).rstrip() + "\n"


def body(code: str, name: str) -> str:
    """A text that goes on inside a function: its indented part, with the definitions after it that it needs.

    The indent of the prompt's function is put back where it was lost: on the first line, or on all lines; tabs and
    other indents become it.
    """
    lines = _indented(code.strip("\n").split("\n"))
    end = next(
        (n for n, line in enumerate(lines) if line[:1].strip() and not statements.MORE_OF_IT.match(line)), len(lines)
    )
    inside = "\n".join(lines[:end]).rstrip() + "\n"
    return inside + _after(inside, lines[end:], name)


def _indented(lines: list[str]) -> list[str]:
    """The lines with the indent of a function's body."""
    if not lines[0][:1].strip():
        return _with_spaces(lines)
    last = next((n for n in reversed(range(len(lines))) if re.match(r"return\b", lines[n])), -1)
    if last < 0:
        return [INDENT + lines[0], *lines[1:]]
    end = next(
        (n for n in range(last + 1, len(lines)) if lines[n][:1].strip() and not statements.MORE_OF_IT.match(lines[n])),
        len(lines),
    )
    return [*(INDENT + line if line.strip() else line for line in lines[:end]), *lines[end:]]


def _with_spaces(lines: list[str]) -> list[str]:
    """The lines with four spaces for each step of a body that is indented by tabs, or by another number of spaces."""
    first = next((line for line in lines if line.strip()), "")
    margin = first[: len(first) - len(first.lstrip(" \t"))]
    if margin in (INDENT, ""):
        return lines
    if margin.startswith("\t"):
        return [_leading_tabs_spaced(line) for line in lines]
    return [INDENT + line[len(margin) :] if line.startswith(margin) else line for line in lines]


def _leading_tabs_spaced(line: str) -> str:
    bare = line.lstrip(" \t")
    return line[: len(line) - len(bare)].expandtabs(len(INDENT)) + bare


def _after(inside: str, lines: Sequence[str], name: str) -> str:
    """Definitions, imports and plain values after a function's body, as far as the body needs them."""
    rest = statements.python_in("\n".join([f"def {name}():", *inside.split("\n"), *lines]))
    found = statements.statements(rest)
    plain = [s for s in found if s.kind in ("definition", "import") or (s.kind == "assignment" and not s.now)]
    if len(plain) < 2 or name not in plain[0].binds:
        return ""
    selection = statements.select(plain, [name])
    selection.kept.discard(0)
    text = statements.text_of(rest, selection)
    return "\n" + text if text else ""
