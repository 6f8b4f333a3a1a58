"""docs/architecture.md names the rooms that there are, draws the floors that lint checks, and names existing files."""

import re
import tomllib
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
PAGE = (ROOT / "docs" / "architecture.md").read_text(encoding="utf-8")


def test_every_room_has_a_row():
    rooms = re.findall(r"^\| `(\w+)` \|", PAGE, re.MULTILINE)
    folders = [path.name for path in (ROOT / "kit").iterdir() if path.is_dir() and path.name != "__pycache__"]
    assert sorted(rooms) == sorted(folders)


def test_the_floors_are_those_that_lint_checks():
    settings = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))
    layers = settings["tool"]["importlinter"]["contracts"][0]["layers"]
    drawing = PAGE.partition("\n## Floors\n")[2].partition("\n## ")[0]
    assert [line.strip() for line in drawing.splitlines() if line.startswith("    ")] == layers


def test_every_file_at_the_root_is_named():
    found = {path.name for path in (ROOT / "kit").glob("*.py")}
    assert len(found) <= 5  # what is more belongs into a room
    assert [name for name in sorted(found) if f"`{name}`" not in PAGE] == []


def test_every_file_that_is_named_is_there():
    named = re.findall(r"`((?:\w+/)+\w+\.py)`", PAGE)
    assert len(named) > 5
    assert [name for name in named if not (ROOT / "kit" / name).is_file()] == []
    assert all((ROOT / folder).is_dir() for folder in re.findall(r"`(manifests/\w+)/`", PAGE))


def test_readme_links_the_page():
    assert "](docs/architecture.md)" in (ROOT / "README.md").read_text(encoding="utf-8")
