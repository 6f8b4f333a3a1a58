"""Taking code out of long texts: in linear time, with a limit on what is parsed, and never a traceback."""

import re
import textwrap
from collections.abc import Callable
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from kit.benchmarks import humaneval, mbpp
from kit.sandbox import parsing, source, statements
from kit.sandbox.parsing import Parser
from tests.growth import assert_linear

TWICE = "def twice(x):\n    return 2 * x\n"
Maker = Callable[[int], str]
"""Length in characters, about -> a text."""


def repeated(piece: str, before: str = "", after: str = "") -> Maker:
    return lambda n: before + piece * (n // len(piece)) + after


def numbered(piece: str, before: str = "", after: str = "") -> Maker:
    """Pieces that differ, by the number that stands for ``#`` in them."""
    return lambda n: before + "".join(piece.replace("#", str(at)) for at in range(n // (len(piece) + 3))) + after


MAKERS: dict[str, Maker] = {
    # One character, and line breaks.
    **{f"only {piece!r}": repeated(piece) for piece in " \n\t`~'\\@(1_\r-é"},
    "a fence and line breaks": repeated("\n", "```"),
    "line breaks before DONE": repeated("\n", "[BEGIN]", "DONE"),
    "a quote, blanks, no DONE": repeated(" ", "[BEGIN]'", "'"),
    "quotes and blanks": repeated("'" + " " * 50),
    "a name, a colon and blanks": repeated(" ", "x:"),
    "def, blanks and the name": repeated(" ", "def", "twice"),
    "the name, blanks, no sign": repeated("twice :" + "x" * 90 + "\n"),
    "an import with no end": repeated("from a import (b, "),
    "indented as far as it is long": lambda n: " " * (n // 2) + TWICE.replace("\n", "\n" + " " * (n // 2), 1),
    # Marks.
    "begins": repeated("[BEGIN]"),
    "ends": repeated("[DONE]\n"),
    "begins and ends": repeated("[BEGIN]'x'[DONE]\n"),
    "words": repeated("DONE "),
    "ends of turns": repeated("<|im_end|> a"),
    "open ends of turns": repeated("<｜a"),
    "escaped underscores": repeated("\\_"),
    # Fences.
    "fences": repeated("```\n"),
    "tildes": repeated("~~~\n"),
    "fences with a language": repeated("```python\n"),
    "fences that get longer": lambda n: "".join("`" * at + "\n" for at in range(3, int((2 * n) ** 0.5))),
    "fences that get shorter": lambda n: "".join("`" * at + "\n" for at in range(int((2 * n) ** 0.5), 3, -1)),
    "blocks": numbered("```\nx# = y\n```\n", after="```\ndef twice(x): return y\n```"),
    "blocks that are not Python": numbered("```\nx# = (\n```\n", after="```\ndef twice(x): return y\n```"),
    "blocks of the empty function": repeated("```\ndef twice(x): pass\n```\n"),
    # Each block was followed for 400 lines more.
    "blocks that end in a string": repeated('So: ```\n"""\n```\n"""\n'),
    "code within a line": repeated("```def twice(x):pass``` "),
    "three quotes": repeated('"""\n'),
    "both kinds of three quotes": repeated("\"\"\"\n'''\n"),
    # Programs.
    "signatures": repeated("def twice(x):\n"),
    "decorators": repeated("@a\n", TWICE),
    "prose and code in turn": repeated("It's so (\nx = 1\n", TWICE),
    "names and a mistake": repeated("a\n", TWICE, "b c"),
    "the body alone": repeated("    return x\n"),
    "the body with no indent": repeated("return x\n"),
    "the body by tabs": repeated("\treturn x\n"),
    "examples": numbered("a# = twice(T)\nT.append(a#)\n", f"{TWICE}T = []\n"),
    "by text": numbered("a# = 1\n", "def twice(x): return eval('a')\n"),
    # Each of these took a time that grew with the square.
    "one line": repeated("x = 1;", TWICE),
    "methods": numbered(" def a#(): 0\n", f"{TWICE}class A:\n"),
    "names and functions in one list": numbered("a#, lambda: 0,", f"{TWICE}x = [", "]\n"),
    "fields in one f-string": repeated("{a}", f"{TWICE}x = f'", "'\n"),
    "accents on one letter": repeated("\u0301\u0316", f"{TWICE}a", " = 1\n"),
    "dots in one import": repeated(".a", f"{TWICE}import a", "\n"),
    "line ends in backslashes": repeated("x = 1 \\\n\n", TWICE),
}  # fmt: skip
READERS: dict[str, Callable[[str], Any]] = {
    "mbpp.first_pattern": mbpp.first_pattern,
    "mbpp.function": lambda text: mbpp.function(text, "twice"),
    "humaneval.first_block": humaneval.first_block,
    "humaneval.function": lambda text: humaneval.function(text, "twice"),
    "source.clean": source.clean,
    "source.binds": lambda text: source.binds(text, "twice"),
    "source.by_lines": lambda text: source.by_lines(text, ["twice"]),
    "source.body": lambda text: source.body(text, "twice", Parser()),
    "source.choose": lambda text: source.choose(text, ["twice"], Parser()),
    "statements.python_in": lambda text: statements.python_in(text, Parser()),
    "statements.statements": lambda text: statements.statements(text.split("\n"), Parser()),
}


@pytest.mark.parametrize("make", MAKERS.values(), ids=MAKERS)
@pytest.mark.parametrize("read", READERS.values(), ids=READERS)
def test_reading_takes_linear_time(read: Callable[[str], Any], make: Maker) -> None:
    assert_linear(read, make, size=10_000)


CHEAP = ("mbpp.first_pattern", "humaneval.first_block")


@pytest.mark.parametrize("name", CHEAP)
def test_paper_reads_a_million_characters_in_linear_time(name: str) -> None:
    """3,000 line breaks after a fence took 8.9 s, 60,000 blanks without a mark 18 s."""
    for piece in (" ", "\n", "`", "'", "[BEGIN]", "' [DONE]", "```\n", "```a", "\\_", "BEGIN '"):
        assert_linear(READERS[name], repeated(piece), size=250_000)


def a_statement(kind: str, binds: str, now: str = "", later: str = "") -> statements.Statement:
    """One statement, its names with blanks between them."""
    return statements.Statement(
        lines=range(1),
        kind=kind,
        binds=frozenset(binds.split()),
        now=frozenset(now.split()),
        later=frozenset(later.split()),
        star_import=False,
        setting=False,
        changes=frozenset(),
        asserts=False,
    )


def looked_up_again(text: str) -> list[statements.Statement]:
    """Functions that need a variable before them, the last one first; the variable is bound as often."""
    found = []
    for n in range(len(text)):
        found += [a_statement("assignment", "a"), a_statement("definition", f"x{n}", "a", f"x{n - 1}")]
    return [*found, a_statement("definition", "twice", later=f"x{len(text) - 1}")]


def results_beside_a_list(text: str) -> list[statements.Statement]:
    """Return as many results of the function as statements that fill a list with them."""
    results = [a_statement("assignment", f"a{n}", "twice") for n in range(len(text))]
    filled = [a_statement("other", "", f"T a{n}") for n in range(len(text))]
    return [a_statement("definition", "twice", later="T"), a_statement("assignment", "T"), *results, *filled]


@pytest.mark.parametrize("make", [looked_up_again, results_beside_a_list])
def test_statements_that_name_each_other_are_chosen_in_linear_time(make: Any) -> None:
    """All that bind a name were gone through each time that it was needed, and all that run the function for each."""
    assert_linear(lambda text: statements.select(make(text), ["twice"]), lambda n: "a" * n, size=4_000)


def test_a_text_is_parsed_up_to_a_limit() -> None:
    """A piece that is parsed is remembered; one that is too long, or comes too late, counts as not Python."""
    parser = Parser()
    piece = "a=1;" * (parsing.LONGEST // 4 - 1)
    for at in range(parsing.MOST_PARSED // parsing.LONGEST):
        assert parser.parses(f"{piece}b={at + 10}")
    assert not parser.parses(f"{piece}b=99")
    assert parser.parses(f"{piece}b=10")
    assert not Parser().parses("a" * (parsing.LONGEST + 1))
    assert Parser().parses("\n" * parsing.LONGEST + "a" + "\n" * parsing.LONGEST)


MANY_PIECES = {
    "prose": TWICE + "".join(f"It's {n} (\nx = {n}\n" for n in range(900)),
    "blocks": "".join(f"```\nx = ( {n}\n{'y' * 300}\n```\n" for n in range(500)) + "```\ndef twice(x): return y\n```",
    "marks": TWICE + "It's so (\nx = 1\n" * 1_000 + "[DONE]\n" * 900,
}


@pytest.mark.parametrize("text", MANY_PIECES.values(), ids=MANY_PIECES)
def test_no_text_is_parsed_more_often_than_the_limit(text: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """A text of 60,000 characters could be parsed some 70 times; counted here, not timed."""
    real, parsed = parsing._parsed, list[int]()
    monkeypatch.setattr(parsing, "_parsed", lambda code: parsed.append(len(code.strip())) or real(code))
    for function in (mbpp.function, humaneval.function):
        parsed.clear()
        function(text, "twice")
        assert 0 < sum(parsed) <= parsing.MOST_PARSED
        assert max(parsed) <= parsing.LONGEST


@pytest.mark.parametrize("function", [mbpp.function, humaneval.function], ids=["mbpp", "humaneval"])
@pytest.mark.parametrize(
    "text",
    [
        TWICE + "\n" * 1_000_000,
        "\n" * 1_000_000 + TWICE,
        f"```python\n{TWICE}" + "\n" * 300_000,
        f"```python\n{TWICE}```\n" + "```python\nprint(twice(input()))\n```\n" * 9_000,
        TWICE + "result = twice('a', 2)\n" * 3_000,
        TWICE + "```\n" * 60_000,
        TWICE + " " * 300_000,
        "<|im_start|>assistant\n" + TWICE + "<|im_end|>" * 60_000,
    ],
    ids=["breaks after", "breaks before", "fence", "many blocks", "many examples", "fences", "blanks", "turns"],
)  # fmt: skip
def test_a_function_is_found_beside_a_long_run(text: str, function: Callable[..., str]) -> None:
    assert function(text, "twice").strip() == TWICE.strip()


def test_what_lies_beyond_the_limits() -> None:
    beyond = "# a\n" * (source.LONGEST // 4)
    assert "twice" not in mbpp.function(beyond + TWICE, "twice")
    blocks = "```\nx = 1\n```\n" * source.MOST_BLOCKS
    assert len(source.pieces(f"{blocks}```\n{TWICE}```", Parser())) == source.MOST_BLOCKS + 2
    # The function is the last statement that fits: what was cut off of it must not be lost, so its lines are taken.
    long = "x = 1\n" * (parsing.LONGEST // 6 - 10) + "def twice(x):\n" + "    x = x + 0\n" * 40 + "    return 2 * x\n"
    assert "return 2 * x" in mbpp.function(long, "twice")


NESTED: dict[str, Maker] = {
    "brackets": repeated("("),
    "closed brackets": lambda n: "(" * n + ")" * n,
    "dictionaries": repeated("{1:"),
    "signs": repeated("-", after="1"),
    "negations": repeated("not ", after="1"),
    "sums": repeated(" + a", "y = a"),
    "attributes": repeated(".b", "y = a"),
    "calls": repeated("()", "y = a"),
    "lambdas": repeated("lambda: ", "y = ", "1"),
    "conditions": repeated("a if b else ", "y = ", "1"),
    "else": repeated("elif a: pass\n", "if a: pass\n"),
    "blocks": lambda n: "".join(" " * at + "if a:\n" for at in range(min(n, 150))),
    "fields": repeated("{f'", "y = f'"),
    "ends of lines": repeated("\\\n"),
    "digits": repeated("1", "y = "),
    "surrogates": repeated("\ud800", "y = '", "'"),
    "zeros": repeated("\0"),
}


@pytest.mark.parametrize("size", [90, 1_000, 19_000, 60_000])
@pytest.mark.parametrize("make", NESTED.values(), ids=NESTED)
def test_what_is_nested_too_deeply_is_no_code(make: Maker, size: int) -> None:
    """Python ends it in a SyntaxError, ValueError, RecursionError or MemoryError; the function is still found."""
    for text in (f"{TWICE}\n{make(size)}", f"```python\n{TWICE}```\n```\n{make(size)}\n```"):
        for function in (mbpp.function, humaneval.function):
            assert TWICE in function(text, "twice")
    assert isinstance(mbpp.function(make(size), "twice") + humaneval.function(make(size), "twice"), str)


@pytest.mark.parametrize(
    ("before", "kept"),
    [
        # Each ended in a SyntaxError: a statement is looked at alone, and its last line says that it goes on.
        ("x = 1 \\\n\n", ""),
        ("K = 2 \\\n\n", "K = 2 \\\n\n"),
        ("K = 2 \\\n# so\n", "K = 2 \\\n# so\n"),
        ("K = 2 \\\n\\\n\n", "K = 2 \\\n\\\n\n"),
        ("y = 1 \\\n; K = 2\n", "y = 1 \\\n; K = 2\n"),
        ("if 1:\n    K = 2 \\\n\n", "if 1:\n    K = 2 \\\n\n"),
    ],
)
def test_a_statement_that_ends_in_a_backslash(before: str, kept: str) -> None:
    function = "def twice(x):\n    return K * x\n"
    assert mbpp.function(before + function, "twice") == kept + function


def test_a_long_exception_is_no_traceback() -> None:
    """More than 980 terms ended in a RecursionError, where two blocks define the function."""
    text = f"```\ndef twice(x): raise {'a + ' * 1_000}a\n```\n```\n{TWICE}```"
    assert mbpp.function(text, "twice").startswith("def twice(x): raise a + a")
    empty = f"```\ndef twice(x): raise NotImplementedError({'a + ' * 300}a)\n```\n```\n{TWICE}```"
    assert mbpp.function(empty, "twice") == TWICE


# What follows are the expressions and loops that were used before, as the measure of the ones that are.
WORDS = ["def twice", "twice", "class ", "async ", "from a import ", "import", "if ", "x", "#", "'''"]
SIGNS = [":", "=", "==", " ", "\t", "\n", "\n    ", "(", ",", ".", ")", "\x0b"]
SHORT = st.lists(st.sampled_from(WORDS + SIGNS), max_size=20).map("".join)


def old_binds(code: str, name: str) -> bool:
    word = re.escape(name)
    pattern = rf"^(?:{word}[ \t]*(?::[^=\n]*)?=(?!=)|from[ \t]+[\w.]+[ \t]+import[ \t(][^\n]*\b{word}\b)"
    defined = re.search(rf"^(?:async def|def|class)[ \t]+{re.escape(name)}\b", code, re.MULTILINE) is not None
    return bool(name) and (defined or re.search(pattern, code, re.MULTILINE) is not None)


def old_by_lines(code: str, names: list[str]) -> str:
    lines = code.split("\n")
    start = next((n for n, line in enumerate(lines) if statements.STARTS.match(line)), 0)
    kept: list[str] = []
    found = False
    for line in lines[start:]:
        at_margin = line[:1].strip() != ""
        if found and at_margin and not (statements.STARTS.match(line) or statements.CONTINUES.match(line)):
            break
        found = found or any(old_binds(line, name) for name in names)
        kept.append(line)
    return "\n".join(kept).rstrip() + "\n"


@settings(max_examples=1000)
@given(SHORT)
def test_lines_are_cut_as_before(code: str) -> None:
    for name in ("twice", "x", ""):
        assert source.binds(code, name) is old_binds(code, name)
    for names in (["twice"], ["x", "twice"], [""]):
        assert source.by_lines(code, names) == old_by_lines(code, names)


@settings(max_examples=1000)
@given(st.lists(st.sampled_from([" ", "  ", "\t", "\n", "x", "def twice", "\x0b", "\xa0"]), max_size=16).map("".join))
def test_the_margin_is_taken_off_as_by_textwrap(code: str) -> None:
    assert source._at_margin(code) == textwrap.dedent(code)
