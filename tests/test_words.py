"""The first line of a docstring stands alone: it neither opens with a question word nor is a riddle of a few words."""

import ast
import re
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
TOOLS = ROOT / "tests" / "data" / "tools"
"""Files that other tools wrote, whose docstrings are not ours."""
QUESTION = re.compile(r"(?:What|Where|How|Why|Those|Who|Whose|When|Which|As|Of)\b")
FEWEST_WORDS = 6
"""Words of a module's, class's or function's first paragraph; a field's may be shorter: "Rank of this process."."""


def docstrings(source: str) -> Iterator[tuple[int, str, bool]]:
    """Yield the line and text of each docstring, and whether it is a module's, class's or function's own."""
    for node in ast.walk(ast.parse(source)):
        if not isinstance(node, ast.Module | ast.ClassDef | ast.FunctionDef | ast.AsyncFunctionDef):
            continue
        fields = isinstance(node, ast.Module | ast.ClassDef)
        for place, statement in enumerate(node.body):
            match statement:
                case ast.Expr(value=ast.Constant(value=str(text))) if fields or place == 0:
                    yield statement.lineno, text.strip(), place == 0


def riddles(source: str) -> list[str]:
    """Return the first lines that do not stand alone, each with its line's number."""
    return [
        f"{line}: {text.splitlines()[0]}"
        for line, text, own in docstrings(source)
        if QUESTION.match(text) or (own and len(text.split("\n\n")[0].split()) < FEWEST_WORDS)
    ]


@pytest.mark.parametrize(
    ("source", "count"),
    [
        ('"""Root in name only."""', 1),
        ('"""What a rank trains on, whichever it is."""', 1),
        ('def f():\n    """One round."""', 1),
        (
            'class A:\n    """Plan and data that one rank has."""\n    x: int\n    """How many ranks share a step."""',
            1,
        ),
        ('class A:\n    """Plan and data that one rank trains on."""\n    x: int\n    """Rank of this process."""', 0),
        ('def f():\n    """Return the digest of an image tag."""\n    """no docstring"""', 0),
        ('"""Whatever is asked, the answer is the same."""', 0),
    ],
)
def test_the_rule_finds_riddles_and_nothing_else(source: str, count: int) -> None:
    assert len(riddles(source)) == count


def test_first_lines_stand_alone() -> None:
    files = sorted((ROOT / "kit").rglob("*.py"))
    files += [file for file in sorted((ROOT / "tests").rglob("*.py")) if not file.is_relative_to(TOOLS)]
    assert len(files) > 300
    found = {str(file.relative_to(ROOT)): riddles(file.read_text(encoding="utf-8")) for file in files}
    assert {name: lines for name, lines in found.items() if lines} == {}
