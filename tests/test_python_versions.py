"""The kit runs on every patch version of Python 3.11: it uses no feature that is newer than 3.11.0."""

import ast
import re
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[1]
KEYWORDS = {
    "extractall": ("filter", "3.11.4"),
    "extract": ("filter", "3.11.4"),
    "unpack_archive": ("filter", "3.11.4"),
    "getaddresses": ("strict", "3.11.10"),
    "parseaddr": ("strict", "3.11.10"),
}
"""Function -> the argument that a patch version gave it (the library reference's "Changed in version 3.11.x")."""
NAMES = {
    "extraction_filter": "3.11.4",
    "fully_trusted_filter": "3.11.4",
    "tar_filter": "3.11.4",
    "data_filter": "3.11.4",
    "FilterError": "3.11.4",
    "SetReparseDeferralEnabled": "3.11.9",
    "GetReparseDeferralEnabled": "3.11.9",
}
"""Name -> the patch version of 3.11 that added it; mypy finds the names that 3.12 added."""


def newer(code: str) -> Iterator[str]:
    """Yield each use of something newer than 3.11.0: ``line 3: extractall(filter=...), 3.11.4``."""
    for node in ast.walk(ast.parse(code)):
        if isinstance(node, ast.Call):
            name = node.func.attr if isinstance(node.func, ast.Attribute) else getattr(node.func, "id", "")
            keyword, version = KEYWORDS.get(name, ("", ""))
            if keyword in {word.arg for word in node.keywords}:
                yield f"line {node.lineno}: {name}({keyword}=...), {version}"
        if isinstance(node, ast.Attribute) and node.attr in NAMES:
            yield f"line {node.lineno}: {node.attr}, {NAMES[node.attr]}"
        if isinstance(node, ast.ImportFrom):
            yield from (f"line {node.lineno}: {one.name}, {NAMES[one.name]}" for one in node.names if one.name in NAMES)


@pytest.mark.parametrize(
    ("code", "found"),
    [
        ("tar.extractall(x, filter='data')", ["line 1: extractall(filter=...), 3.11.4"]),
        ("\nshutil.unpack_archive(a, b, filter='tar')", ["line 2: unpack_archive(filter=...), 3.11.4"]),
        (
            "tar.extraction_filter = tarfile.data_filter",
            ["line 1: extraction_filter, 3.11.4", "line 1: data_filter, 3.11.4"],
        ),
        ("from tarfile import open, tar_filter", ["line 1: tar_filter, 3.11.4"]),
        ("x = parseaddr(y, strict=False)", ["line 1: parseaddr(strict=...), 3.11.10"]),
        ("tar.extractall(x); os.walk(x); ast.walk(y); zip(a, b, strict=True)", []),
    ],
    ids=["a filter", "another", "the class's", "an import", "an address", "what 3.11.0 has"],
)
def test_uses_of_newer_features_are_found(code: str, found: list[str]) -> None:
    assert sorted(newer(code)) == sorted(found)


def test_nothing_newer_is_used() -> None:
    # `make images` and three tests ended in a TypeError on Debian 12's own Python, 3.11.2.
    listed = subprocess.run(
        ["git", "-C", str(ROOT), "ls-files", "-z", "--cached", "--others", "--exclude-standard", "*.py"],
        text=True, capture_output=True, check=False,
    ).stdout.split("\0")[:-1]  # fmt: skip
    files = [ROOT / name for name in listed] or [
        path for folder in ("kit", "requirements", "tests", "perf") for path in (ROOT / folder).rglob("*.py")
    ]
    assert len(files) > 100
    found = {str(path.relative_to(ROOT)): list(newer(path.read_text("utf-8"))) for path in files if path.exists()}
    assert {name: uses for name, uses in found.items() if uses} == {}


def test_set_up_takes_every_3_11() -> None:
    project = (ROOT / "pyproject.toml").read_text(encoding="utf-8")
    assert 'requires-python = ">=3.11"' in project
    assert "sys.version_info[:2] != (3, 11)" in (ROOT / "requirements" / "setup.sh").read_text(encoding="utf-8")


def test_no_group_is_repeated_possessively():
    # Up to 3.11.4 such a group keeps the start of a part that did not fit: "12 000 7" was read as "12 000 ".
    # https://github.com/python/cpython/issues/106052
    possessive = re.compile(r"\)(?:[*+?]|\{\d*,?\d*\})\+")
    found = [
        f"{path.relative_to(ROOT)}:{number}: {line.strip()}"
        for path in sorted((ROOT / "kit").rglob("*.py"))
        for number, line in enumerate(path.read_text(encoding="utf-8").splitlines(), 1)
        if possessive.search(line)
    ]
    assert found == []
