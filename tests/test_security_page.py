"""docs/security.md names tests for each of its promises, and they are there."""

import re
from pathlib import Path

DOCS = Path(__file__).parents[1] / "docs"
PAGE = (DOCS / "security.md").read_text(encoding="utf-8")
ROWS = [line.split(" | ") for line in PAGE.splitlines() if line.startswith("| ") and "---" not in line][1:]


def test_every_file_that_the_page_names_is_there() -> None:
    named = re.findall(r"\]\(([^)#]+)\)", PAGE)
    assert len(named) > 30
    assert [name for name in named if not (DOCS / name).is_file()] == []


def test_every_promise_says_whom_it_holds_against_what_it_leaves_out_and_how_it_is_tested() -> None:
    assert len(ROWS) == 8
    for row in ROWS:
        assert len(row) == 4
        assert all(cell.strip(" |") for cell in row)
        assert "../tests/" in row[3]
