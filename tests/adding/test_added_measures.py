"""A benchmark of one's own whose numbers are of every kind: run with the fake engine, reported, drawn and verified.

It stands in tests/adding/measures and is added to a copy of the tree. Its three problems, by subject: law 1 and 7.5
points, law 0 and 2.5 points, art 1 and 5 points. By hand:

- right: 2 of 3, pooled: 66.67 %, error sqrt(2/27) = 27.2 points;
- by subject: (1/2 + 1) / 2 = 75 %; law has a variance of 1/4, art's lone row that of all three, 1/3:
  sqrt(1/4 + 1/3) / 2 = 38.2 points;
- points: mean 5, error sqrt(12.5 / (2 * 3)) = 1.443;
- kept: 2 of 3, error 3 * sqrt(2/27) = 0.8.
"""

import csv
import hashlib
import io
import json
import os
import re
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from xml.etree import ElementTree

import pytest

HERE = Path(__file__).resolve().parent
ROOT = HERE.parents[1]
ROWS = [("a", "law", 1, 7.5), ("b", "law", 0, 2.5), ("c", "art", 1, 5.0)]
MEANT = "[0-9a-f]{64}"
Kit = Callable[..., str]


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder in which the commands run."""
    return tmp_path_factory.mktemp("measures")


@pytest.fixture(scope="module")
def kit(folder: Path) -> Kit:
    """The command line of a copy of the tree that has the benchmark, beside a store with its results."""
    tree = folder / "tree"
    for name in ("kit", "manifests", "requirements"):
        shutil.copytree(ROOT / name, tree / name, ignore=shutil.ignore_patterns("__pycache__"))
    shutil.copytree(HERE / "tree", tree, dirs_exist_ok=True)
    shutil.copy(HERE / "measures" / "ratings.py", tree / "kit" / "benchmarks")
    shutil.copy(HERE / "measures" / "rated.toml", folder)
    data = folder / "mirror" / "ratings.jsonl"
    data.parent.mkdir()
    names = ("name", "subject", "right", "points")
    data.write_text("".join(json.dumps(dict(zip(names, row, strict=True))) + "\n" for row in ROWS), encoding="utf-8")
    with (tree / "manifests" / "models.toml").open("a", encoding="utf-8") as file:
        file.write((HERE / "models.toml").read_text(encoding="utf-8"))
    with (tree / "manifests" / "datasets.toml").open("a", encoding="utf-8") as file:
        file.write(
            '\n[datasets.ratings-test]\nformat = "ratings"\nurl = "https://example.org/ratings.jsonl"\n'
            f'mirror = "ratings.jsonl"\nsha256 = "{hashlib.sha256(data.read_bytes()).hexdigest()}"\nlicence = "CC0"\n'
        )
    smoke = (tree / "manifests" / "scales" / "smoke.toml").read_text(encoding="utf-8")
    ratings = 'ratings = { dataset = "ratings-test", protocol = "default", prompts = "kit", max_tokens = 8 }'
    own, engines = re.subn('name = "vllm"', 'name = "fake"', smoke)
    own, sections = re.subn(r"\[benchmarks\]", rf"[benchmarks]\n{ratings}", own)
    assert (engines, sections) == (1, 1)
    (tree / "manifests" / "scales" / "own.toml").write_text(own, encoding="utf-8")

    def python(*words: str) -> str:
        done = subprocess.run(
            [sys.executable, *words],
            cwd=folder,
            env={**os.environ, "PYTHONPATH": str(tree), "COLUMNS": "160"},
            capture_output=True,
            text=True,
            check=False,
        )
        assert done.returncode == 0, done.stdout[-2000:] + done.stderr[-4000:]
        return done.stdout

    python(str(HERE / "run_added.py"), "rated.toml", "store", "mirror")
    return lambda *words: python(
        "-c", "from kit.cli import main; main()", words[0], "rated.toml", "--store", "store", *words[1:]
    )


def table(text: str, name: str) -> list[dict[str, str]]:
    """The lines of one table of a CSV."""
    return [line for line in csv.DictReader(io.StringIO(text)) if line["table"] == name]


def test_csv_has_each_number_in_its_unit(kit: Kit):
    text = kit("report", "--format", "csv")
    lines = table(text, "rated.numbers")
    fields = ("round", "column", "unit", "n", "groups", "counts")
    assert [tuple(line[field] for field in fields) for line in lines[:4]] == [
        ("1", "ratings_right", "percent", "3", "", "items"),
        ("1", "ratings_subjects", "percent", "3", "2", "items"),
        ("1", "ratings_points", "points", "3", "", "rows"),
        ("1", "ratings_kept", "rows", "3", "", "rows"),
    ]  # fmt: skip
    assert [float(line["value"]) for line in lines[4:]] == pytest.approx([200 / 3, 75, 5, 2])
    errors = [float(line["stderr"]) for line in lines[4:]]
    assert errors == pytest.approx([27.2166, 38.1881, 1.4434, 0.8165], abs=1e-4)
    # both seeds' numbers are the same ones: their scores stand in the problems
    means = table(text, "rated.means")
    assert [(line["runs"], float(line["spread"])) for line in means] == [("2", 0.0)] * 4
    assert [line["value"] for line in means] == [line["value"] for line in lines[:4]]


def test_csv_and_json_have_curves_as_points(kit: Kit):
    points = table(kit("report", "--format", "csv"), "rated.curves")
    first = [(line["column"], line["group"], line["x"], line["x_unit"], line["y"], line["y_unit"]) for line in points]
    name = "ratings_histogram"
    assert first == 2 * [
        (name, "art", "2.5", "points", "0.0", "rows"),
        (name, "art", "7.5", "points", "1.0", "rows"),
        (name, "law", "2.5", "points", "1.0", "rows"),
        (name, "law", "7.5", "points", "1.0", "rows"),
    ]
    assert all(re.fullmatch(MEANT, line["keys"]) for line in points)
    tables = {one["name"]: one for one in json.loads(kit("report", "--format", "json"))["tables"]}
    curve = tables["rated.curves"]["curves"][0]
    assert (curve["at"], curve["y"]) == ({"round": 1, "seed": 43}, {"title": "Rows", "unit": "rows"})
    assert [(line["group"], line["x"], line["y"]) for line in curve["lines"]] == [
        ("art", [2.5, 7.5], [0.0, 1.0]),
        ("law", [2.5, 7.5], [1.0, 1.0]),
    ]


def test_tables_take_units_and_digits_from_the_measures(kit: Kit):
    nbsp = "\N{NO-BREAK SPACE}"
    text = kit("report", "--format", "markdown")
    assert "| round | Right (percent) | By subject (percent) | Rating (points) | Kept (rows) |" in text
    row = "| 2 | 66.67 ±27.2 (-) | 75.00 ±38.2 (-) | 5.000 ±1.44 (-) | 2 ±1 (-) |"
    assert row.replace(" ±", f"{nbsp}±") in text
    mean = f"5.000{nbsp}±1.44{nbsp}[0.000]"
    assert mean in text
    assert "In the unit of each column: value ± standard error" in text
    assert "Units behind a cell: Right 3, By subject 3 in 2 groups, Rating 3, Kept 3." in text
    shown = kit("report")
    assert mean in shown
    assert re.search(rf"1, 43, Ratings: 2 lines of 4 points in \S+/{MEANT}/curves\.jsonl", shown.replace("\n", ""))


def test_figures(folder: Path, kit: Kit):
    said = kit("report", "--format", "svg", "--out", "drawn")
    names = ("rated.numbers", "rated.curves")
    assert said.splitlines() == [f"wrote drawn/{name}.svg, its numbers: drawn/{name}.csv" for name in names]
    numbers, curves = (ElementTree.parse(folder / "drawn" / f"{name}.svg").getroot() for name in names)
    space = "{http://www.w3.org/2000/svg}"
    words = [(found.findtext(f"{space}title"), found.findtext(f"{space}desc")) for found in (numbers, curves)]
    assert words == [
        (
            "Ratings (scale own)",
            "Right (percent), by round: 1: 66.67 ±27.2, 2: 66.67 ±27.2. "
            "By subject (percent), by round: 1: 75.00 ±38.2, 2: 75.00 ±38.2. "
            "Rating (points), by round: 1: 5.000 ±1.44, 2: 5.000 ±1.44. Kept (rows), by round: 1: 2 ±1, 2: 2 ±1.",
        ),
        (
            "Ratings (scale own)",
            "Ratings (rows), by Rating, points: "
            "round 1, art, a curve from x = 2.5 to 7.5, highest at x = 7.5 with 1; "
            "round 1, law, a curve from x = 2.5 to 7.5, highest at x = 2.5 with 1; "
            "round 2, art, a curve from x = 2.5 to 7.5, highest at x = 7.5 with 1; "
            "round 2, law, a curve from x = 2.5 to 7.5, highest at x = 2.5 with 1.",
        ),
    ]


def test_recorded_values_are_met_and_have_their_units(kit: Kit):
    (path,) = {line.removeprefix("wrote ") for line in kit("verify", "--record").splitlines() if "numbers" in line}
    text = Path(path).read_text(encoding="utf-8")
    assert (
        text.splitlines()[0] == "# Written by `kit verify --record` at scale own; value in its unit, units behind it."
    )
    for number in (
        'column = "ratings_right", percent = 66.6667, n = 3',
        'column = "ratings_subjects", percent = 75.0000, n = 3',
        'column = "ratings_points", value = 5.00000, unit = "points", n = 3',
        'column = "ratings_kept", value = 2.00, unit = "rows", n = 3',
    ):
        assert text.count(number) == 2
    found = kit("verify")
    assert "0 failed, 0 can't tell. Scale own gives what was recorded" in found
    # of three points, one may move by as much as the bounds are apart: 10 / 3
    assert "5.000, recorded 5.000: 0.000 points apart, 3.333 allowed" in found
    assert "2, recorded 2: 0 of 3 units apart, 1 allowed" in found
