"""Finding the code in what a model wrote: fences, marks and prose around it; nothing here runs it."""

import os
import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import islice

from kit.sandbox import statements
from kit.sandbox.parsing import Parser

END_TOKEN = re.compile(
    r"(?:<\|(?:im_end|im_start|endoftext|end_of_text|eot_id|eom_id|end|EOT|eos|user|assistant|system)\|>"
    r"|<｜[^｜>\n]{1,40}｜>|</s>|<end_of_turn>|<eos>)[^\S\n]*(?=\n|\Z|<)"
)
"""A chat format's mark at the end of a line: the text ends there."""
BEGIN_TOKEN = re.compile(r"\s*(?:<s>|<bos>|<\|(?:begin_of_text|im_start|start_header_id)\|>(?:assistant\b)?)\s*")
LANGUAGE = re.compile(r"[\w.+-]{0,20}\Z")
"""Pattern of the language that may follow a fence which has text before it, or which ends one block and starts the
next."""
CODE_ON_FENCE = re.compile(r"(?:(?:python|py)[0-9]?[ \t]+)?(?=(?:async def|def|class|from|import)\s|@\w)")
INLINE = re.compile(r"```(?:(?:python|py)[0-9]?\b)?([^`]+)```")
"""Code and fences on one line."""
TRIPLES = re.compile(r'"{3}|\'{3}')
LONGEST_STRING = 400
"""Lines; a string of three quotes that is still open after so many is taken for none."""
LONGEST = 200_000
"""Characters of a text that are looked at, from its first line that is not empty; the rest is left out."""
MOST_BLOCKS = 1_000
"""Blocks of a text that are looked at, fenced ones or those within a line; code in a later one is not found."""
INDENT = "    "


def _binding(name: str) -> re.Pattern[str]:
    """Matches where the name is defined, assigned or imported from somewhere at the left margin."""
    escaped = re.escape(name)
    defined = rf"(?:async def|def|class)[ \t]+{escaped}\b"
    assigned = rf"{escaped}[ \t]*(?::[^=\n]*)?=(?!=)"
    imported = rf"from[ \t]+[\w.]+[ \t]+import[ \t(][^\n]*\b{escaped}\b"
    return re.compile(f"^(?:{defined}|{assigned}|{imported})", re.MULTILINE)


def defines(code: str, name: str) -> bool:
    """Return whether a function or class of this name is defined at the left margin."""
    return re.search(rf"^(?:async def|def|class)[ \t]+{re.escape(name)}\b", code, re.MULTILINE) is not None


def binds(code: str, name: str) -> bool:
    """Return whether the name is defined, assigned or imported from somewhere at the left margin."""
    return bool(name) and _binding(name).search(code) is not None


def clean(text: str) -> str:
    """The text with line feeds alone at line ends, and without what a chat format puts before and after an answer.

    Of a text that is longer than ``LONGEST`` the beginning.
    """
    text = text.replace("\r\n", "\n").replace("\r", "\n")
    if len(text) > LONGEST:
        blank = len(text) - len(text.lstrip())
        text = text[text.rfind("\n", 0, blank) + 1 :].rstrip()[:LONGEST]
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
    """The part of the line that is code already."""


def _opening(line: str) -> _Fence | None:
    """The fence that a line opens, also behind words (``So: ```python``); ``None`` for code within a sentence."""
    if "```" not in line and "~~~" not in line:
        return None
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
    if fence.mark[:3] not in line:
        return False
    bare = line.lstrip(" \t")
    indent = len(line) - len(bare)
    return (
        bare.startswith(fence.mark)
        and indent <= fence.indent + 3
        and bool(LANGUAGE.match(bare.lstrip(fence.mark[0]).strip()))
    )


def _open_quotes(marks: Sequence[str], quotes: str) -> str:
    """Return the three quotes that are open after those of a text, given those that are open before it."""
    for mark in marks:
        if not quotes or quotes == mark:
            quotes = "" if quotes else mark
    return quotes


def _end_of(lines: Sequence[str], triples: Sequence[Sequence[str]], start: int, fence: _Fence) -> int:
    """Return the line where the block ends: the first closing fence outside triple-quoted strings, else the first."""
    quotes = _open_quotes(TRIPLES.findall(fence.code), "")
    first = len(lines)
    for at in range(start, len(lines)):
        if first < at - LONGEST_STRING:
            break
        if _closes(lines[at], fence):
            if not quotes:
                return at
            first = min(first, at)
        elif triples[at]:
            quotes = _open_quotes(triples[at], quotes)
    return first


def _fenced(lines: Sequence[str], parser: Parser) -> Iterator[tuple[int, str]]:
    """The fenced blocks, each with the position of the line that opens it; one that was cut off counts to the end."""
    triples = [TRIPLES.findall(line) for line in lines]
    at = 0
    while at < len(lines):
        fence = _opening(lines[at])
        if fence is None:
            at += 1
            continue
        end = _end_of(lines, triples, at + 1, fence)
        inner = [line[min(fence.indent, len(line) - len(line.lstrip(" \t"))) :] for line in lines[at + 1 : end]]
        yield at, _without_end("\n".join([*([fence.code] if fence.code else []), *inner, ""]), parser)
        # A fence with a language ends a block and opens the next.
        at = end if end < len(lines) and _opening_again(lines[end], fence) else end + 1


def _opening_again(line: str, fence: _Fence) -> bool:
    return bool(line.lstrip(" \t").lstrip(fence.mark[0]).strip())


def _without_end(code: str, parser: Parser) -> str:
    """Return the code before a fence that stands behind its last line, if that is Python and the whole is not."""
    before = code.partition("```")[0]
    return before + "\n" if before != code and parser.parses(before) and not parser.parses(code) else code


def pieces(text: str, parser: Parser) -> list[str]:
    """List the texts that may hold code: fenced blocks, code within a line, the text before a fence, the whole text."""
    lines = text.split("\n")
    found = list(islice(_fenced(lines, parser), MOST_BLOCKS))
    inline = [] if found else [match[1].strip() + "\n" for match in islice(INLINE.finditer(text), MOST_BLOCKS)]
    before = "\n".join(lines[: found[0][0]]) if found else ""
    if _open_quotes(TRIPLES.findall(before), ""):  # no fences, but a docstring that shows some
        return [text]
    return [*(code for _, code in found), *inline, before, text]


def _dedented(code: str, names: Sequence[str]) -> str:
    """Return the code at the left margin, where all of it is indented and that shows a definition."""
    if any(binds(code, name) for name in names) or not code[:1].isspace():
        return code
    at_margin = _at_margin(code)
    return at_margin if any(binds(at_margin, name) for name in names) else code


def _at_margin(code: str) -> str:
    """The code without the blanks that all its lines start with, as ``textwrap.dedent``; which makes them a pattern."""
    lines = [line if line.strip(" \t") else "" for line in code.split("\n")]
    margins = [line[: len(line) - len(line.lstrip(" \t"))] for line in lines if line]
    margin = len(os.path.commonprefix(margins))  # noqa: RUF071 (the characters that they share are what is wanted)
    return "\n".join(line[margin:] for line in lines)


def choose(text: str, names: Sequence[str], parser: Parser) -> tuple[str, list[str]]:
    """Return the piece of a text that binds most of the names, the first of them, and all other fenced blocks.

    Of several blocks that bind as many, one with empty functions alone, as a task shows them, is passed over. Where
    none binds a name: the text before the first fence if it starts indented (it goes on in a function), else the
    first block that is not empty, else the whole text.
    """
    found = [_dedented(piece, names) for piece in pieces(text, parser)]
    counts = [sum(binds(piece, name) for name in names) for piece in found]
    indented = text.lstrip("\n")[:1].isspace()
    filled = [n for n in range(len(found)) if found[n].strip()] or [len(found) - 1]
    best = _first_full(found, counts, names, parser) if any(counts) else filled[0] if not indented else filled[-2:][0]
    return found[best], [piece for n, piece in enumerate(found[:-2]) if n != best]


def _first_full(found: Sequence[str], counts: Sequence[int], names: Sequence[str], parser: Parser) -> int:
    """Return the first piece that binds most names, or the first such block after it whose functions are not empty."""
    most = max(counts)
    first, *others = [n for n, count in enumerate(counts) if count == most]
    others = [n for n in others if n < len(found) - 2]
    if not others or not statements.empty(found[first], names, parser):
        return first
    return next((n for n in others if not statements.empty(found[n], names, parser)), first)


def program(text: str, names: Sequence[str], parser: Parser) -> str | None:
    """The statements that define the names, with what they need; ``None`` if no name is defined at the left margin.

    What is needed and stands in another fenced block is put before them. A text that cannot be taken apart is cut by
    its lines.
    """
    code, others = choose(text, names, parser)
    known = [name for name in names if binds(code, name)]
    if not known:
        return None
    lines = statements.python_in(code, parser)
    selection = statements.select(statements.statements(lines, parser), names)
    if not any(name in selection.binders for name in known):
        return by_lines(code, known)
    chosen = statements.text_of(lines, selection)
    return "".join(_from_others(others, selection.missing(), known, parser)) + chosen


def _from_others(others: Sequence[str], missing: set[str], names: Sequence[str], parser: Parser) -> Iterator[str]:
    """Yield other blocks' definitions of the missing names; a block that defines the function anew is left alone."""
    for other in others if missing else ():
        if any(binds(other, name) for name in names):
            continue
        lines = statements.python_in(other, parser)
        found = statements.statements(lines, parser)
        if wanted := {name for s in found for name in s.binds} & missing:
            yield statements.text_of(lines, statements.select(found, sorted(wanted)))


def by_lines(code: str, names: Sequence[str]) -> str:
    """From the first start of a statement to the last one after the definitions: what is left where nothing parses."""
    lines = code.split("\n")
    start = next((n for n, line in enumerate(lines) if statements.STARTS.match(line)), 0)
    bound = _first_bound(lines[start:], names)
    end = next(
        (
            n
            for n in range(start + bound + 1, len(lines))
            if lines[n][:1].strip() and not (statements.STARTS.match(lines[n]) or statements.CONTINUES.match(lines[n]))
        ),
        len(lines),
    )
    return "\n".join(lines[start:end]).rstrip() + "\n"


def _first_bound(lines: Sequence[str], names: Sequence[str]) -> int:
    """Return the position of the first line that binds one of the names; behind the last line if none does."""
    code = "\n".join(lines)
    found = [match.start() for name in names if name and (match := _binding(name).search(code))]
    return code.count("\n", 0, min(found)) if found else len(lines)


def body(code: str, name: str, parser: Parser) -> str:
    """Return a text that goes on inside a function: its indented part, with the definitions after it that it needs.

    The indent of the prompt's function is put back where it was lost: on the first line, or on all lines; tabs and
    other indents become it.
    """
    lines = _indented(code.strip("\n").split("\n"))
    end = next(
        (n for n, line in enumerate(lines) if line[:1].strip() and not statements.CONTINUES.match(line)), len(lines)
    )
    inside = "\n".join(lines[:end]).rstrip() + "\n"
    return inside + _after(inside, lines[end:], name, parser)


def _indented(lines: list[str]) -> list[str]:
    """Return the lines with the indent of a function's body."""
    if not lines[0][:1].strip():
        return _with_spaces(lines)
    last = next((n for n in reversed(range(len(lines))) if re.match(r"return\b", lines[n])), -1)
    if last < 0:
        return [INDENT + lines[0], *lines[1:]]
    end = next(
        (n for n in range(last + 1, len(lines)) if lines[n][:1].strip() and not statements.CONTINUES.match(lines[n])),
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


def _after(inside: str, lines: Sequence[str], name: str, parser: Parser) -> str:
    """Definitions, imports and plain values after a function's body, as far as the body needs them."""
    rest = statements.python_in("\n".join([f"def {name}():", *inside.split("\n"), *lines]), parser)
    found = statements.statements(rest, parser)
    plain = [s for s in found if s.kind in ("definition", "import") or (s.kind == "assignment" and not s.now)]
    if len(plain) < 2 or name not in plain[0].binds:
        return ""
    selection = statements.select(plain, [name])
    selection.kept.discard(0)
    text = statements.text_of(rest, selection)
    return "\n" + text if text else ""
