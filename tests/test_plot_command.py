"""``kit plot``: pictures of scores in a user's own files, the numbers behind them, and what is refused."""

import csv
import json
import random
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from kit.cli import main
from kit.cli.plotting import named
from kit.measures.correlation import mean_ranks, spearman
from kit.report.drawn import Figure, Panel
from kit.report.scores import Scores, densities, histogram, quantity_of, scatter

Kit = Callable[..., tuple[int, str, str]]


@pytest.fixture
def kit(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Kit:
    """``kit plot`` in a folder of its own: exit code, standard output, standard error on one line."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("COLUMNS", "400")

    def call(*words: str) -> tuple[int, str, str]:
        monkeypatch.setattr(sys, "argv", ["kit", "plot", *words])
        try:
            main()
            code: Any = 0
        except SystemExit as end:
            code = end.code or 0
        out, err = capsys.readouterr()
        return int(code), out, " ".join(err.split())

    return call


def write(name: str, rows: list[dict[str, Any]]) -> None:
    """A file of rows, in the form that its name says."""
    text = json.dumps(rows)
    if name.endswith(".jsonl"):
        text = "".join(json.dumps(row) + "\n" for row in rows)
    if name.endswith(".csv"):
        text = "".join(",".join(map(str, row)) + "\n" for row in [[*rows[0]], *(row.values() for row in rows)])
    Path(name).write_text(text, encoding="utf-8")


def numbers(path: str) -> list[dict[str, str]]:
    """The lines of a CSV, by their columns."""
    with Path(path).open(encoding="utf-8", newline="") as file:
        return list(csv.DictReader(file))


TEN = [{"instruction": f"i{n}", "output": "o", "ifd": n / 10, "length": n} for n in range(10)]


def test_characters_that_the_font_lacks_are_told(kit: Kit):
    # a PNG had boxes for them, and nothing said so
    write("s.json", TEN)
    lacks = "note: the pictures' font lacks 3 characters (中文字): a PNG has boxes in their places, an SVG shows them"
    assert lacks in kit("s.json", "--by", "ifd", "--out", "a.png", "--title", "中文 é 中字")[1].splitlines()
    assert "note:" not in kit("s.json", "--by", "ifd", "--out", "b.svg", "--title", "中文 é 中字")[1]
    assert "note:" not in kit("s.json", "--by", "ifd", "--out", "c.png", "--title", "é")[1]
    assert "&#20013;" in Path("b.svg").read_text()


def test_the_cut_of_a_selection(kit: Kit):
    write("a.json", [*TEN, {"instruction": "long", "output": "o", "ifd_skipped": "too long"}])
    code, said, error = kit("a.json", "--by", "ifd", "--top", "20%", "--out", "p.svg")
    assert (code, error) == (0, "")
    assert said.splitlines() == [
        "Bars: rows within each; whiskers: ± one standard error of that number, for a sample of n rows.",
        "a.json: 1 rows have no such number and are left out.",
        "cut at ifd 0.8: the highest 20%",  # of 11 rows 2 are kept
        "wrote p.svg, its numbers: p.csv",
    ]
    lines = numbers("p.csv")
    assert [line["line"] for line in lines if not line["y"]] == ["cut at ifd 0.8: the highest 20%"]
    assert sum(float(line["y"]) for line in lines if line["line"] == "all rows") == 10
    kept = [(float(line["x"]), float(line["y"])) for line in lines if line["line"] == "kept: 2 of 10 rows"]
    assert sum(count for _, count in kept) == 2
    assert min(x for x, count in kept if count) > 0.8
    assert b"n = 10 rows" in Path("p.svg").read_bytes()


ODD = {
    "products of probabilities": ([n * 1e-13 for n in range(30)], 30),
    "small": ([n * 1e-12 / 3 for n in range(30)], 30),
    "all but constant": ([1 + n * 1e-14 for n in range(30)], 30),
    "large and close": ([1e15 + 100 * n for n in range(30)], 30),
    "smallest of all": ([0.0, 5e-324, 1e-323], 3),
    "two places": ([0.0, 1.0], 2),
}


@pytest.mark.parametrize("values, count", ODD.values(), ids=list(ODD))
def test_bars_of_any_size_hold_every_row_once(values: list[float], count: int, kit: Kit):
    write("odd.json", [{"v": value} for value in values])
    code, _, error = kit("odd.json", "--by", "v", "--out", "p.svg")
    assert (code, error) == (0, "")
    bars = [(float(line["x"]), float(line["y"])) for line in numbers("p.csv")]
    places = [place for place, _ in bars]
    assert places == sorted(set(places))  # no bar lies on another
    assert sum(rows for _, rows in bars) == count


FILES: dict[str, list[dict[str, Any]]] = {
    "a.jsonl": TEN,
    "a.csv": [{"id": n, "ifd": n / 10} for n in range(10)],
    "scores.jsonl": [{"id": str(n), "values": {"ifd": n / 10}} for n in range(10)],
    "nested.json": [{"instruction": "i", "scores": {"ifd": n / 10}} for n in range(10)],
}


@pytest.mark.parametrize("name", FILES)
def test_scores_are_read_from_any_file_of_rows(name: str, kit: Kit):
    write(name, FILES[name])
    code, said, error = kit(name, "--by", "ifd", "--as", "densities", "--out", "p.png")
    assert (code, error, said.splitlines()[-1]) == (0, "", "wrote p.png, its numbers: p.csv")
    assert Path("p.png").read_bytes().startswith(b"\x89PNG")
    assert {line["line"] for line in numbers("p.csv")} == {f"{name}, n = 10"}


def test_two_scores_against_each_other(kit: Kit):
    write("a.json", TEN)
    write("b.json", [{**row, "length": -row["length"]} for row in TEN])
    code, said, _ = kit("a.json", "b.json", "--by", "ifd", "--against", "length", "--out", "p.svg")
    assert (code, said.splitlines()) == (
        0,
        [
            "a.json: rank correlation (Spearman) +1.000, n = 10 rows.",
            "b.json: rank correlation (Spearman) -1.000, n = 10 rows.",
            "wrote p.svg, its numbers: p.csv",
        ],
    )
    dots = [(line["line"], float(line["x"]), float(line["y"])) for line in numbers("p.csv")]
    assert dots[3] == ("a.json, n = 10", 0.3, 3.0)
    assert len(dots) == 20


SAME = [{"instruction": "i", "ifd": 1.0}] * 3
REFUSED: dict[str, tuple[tuple[str, ...], str]] = {
    "no such field": (
        ("a.json", "--by", "idf", "--out", "p.svg"),
        "a.json: no row has a field 'idf'; did you mean 'ifd'?",
    ),
    "a text": (
        ("a.json", "--by", "instruction", "--out", "p.svg"),
        "a.json[0]: 'instruction': found 'i0', wanted a number",
    ),
    "no numbers": (
        ("texts.json", "--by", "ifd", "--out", "p.svg"),
        "texts.json: no row has a field 'ifd'; no field of it holds a number (kit score writes some)",
    ),
    "one row": (
        ("one.json", "--by", "ifd", "--out", "p.svg"),
        "one.json: 1 row has a number in 'ifd'; wanted two rows at least",
    ),
    "one row with both": (
        ("one.json", "--by", "ifd", "--against", "length", "--out", "p.svg"),
        "one.json: 1 row has a number in 'ifd' and 'length'; wanted two rows at least",
    ),
    "one value": (
        ("same.json", "--by", "ifd", "--as", "densities", "--out", "p.svg"),
        "same.json: all 3 values of ifd are 1, of which there is no density; wanted two that differ (--as histogram "
        "draws them)",
    ),
    "another ending": (
        ("a.json", "--by", "ifd", "--out", "p.pdf"),
        "--out p.pdf: wanted a name that ends in .svg or .png",
    ),
    "a picture that is there": (
        ("a.json", "--by", "ifd", "--out", "there.svg"),
        "--out there.svg: is there already; name another, or remove it",
    ),
    "too large": (
        ("large.json", "--by", "ifd", "--out", "p.svg"),
        "large.json: -1.7e+308 is too large to draw; wanted 1e+100 at most",
    ),
    "numbers that are there": (
        ("a.json", "--by", "ifd", "--out", "data.svg"),
        "--out data.svg: the picture's numbers would go to data.csv, which is there already; give --out another name",
    ),
    "a cut of two files": (
        ("a.json", "one.json", "--by", "ifd", "--top", "10%", "--out", "p.svg"),
        "--top 10%: shows the cut of one file, found 2; name one",
    ),
    "more rows than there are": (
        ("a.json", "--by", "ifd", "--top", "11", "--out", "p.svg"),
        "--top 11: a.json has 10 rows with a number; wanted as many",
    ),
    "a cut of nothing": (
        ("a.json", "--by", "ifd", "--keep", "lowest", "--out", "p.svg"),
        "--keep lowest: goes with --top, which says how many rows are kept",
    ),
    "a histogram of two files": (
        ("a.json", "one.json", "--by", "ifd", "--as", "histogram", "--out", "p.svg"),
        "--as histogram: is of one file, found 2; densities draw several",
    ),
    "a form of two scores": (
        ("a.json", "--by", "ifd", "--against", "length", "--as", "densities", "--out", "p.svg"),
        "--as densities: --against draws a dot a row; leave one of them out",
    ),
    "a file twice": (
        ("a.json", "./a.json", "--by", "ifd", "--out", "p.svg"),
        "a.json: is given twice; leave one out",
    ),
    "another form": (
        ("a.json", "--by", "ifd", "--as", "violin", "--out", "p.svg"),
        "--as violin: known: auto, histogram, densities",
    ),
}


@pytest.mark.parametrize("words, message", REFUSED.values(), ids=list(REFUSED))
def test_refused(words: tuple[str, ...], message: str, kit: Kit):
    write("a.json", TEN)
    write("one.json", [TEN[0], {"instruction": "i", "output": "o", "length": 3}, {"instruction": "i", "output": "o"}])
    write("same.json", SAME)
    write("large.json", [{"ifd": -1.7e308}, {"ifd": 1.7e308}, {"ifd": 0}])
    write("texts.json", [{"instruction": "i", "output": "o"}])
    Path("there.svg").touch()
    Path("data.csv").touch()
    before = sorted(path.name for path in Path().iterdir())
    code, said, error = kit(*words)
    assert (code, said, error) == (2, "", f"error: {message}")
    assert sorted(path.name for path in Path().iterdir()) == before


def test_names_of_files_are_as_short_as_they_can_be():
    files = [Path("x/a.json"), Path("y/a.json"), Path("b.json")]
    assert [name for _, name in named(files)] == ["x/a.json", "y/a.json", "b.json"]


def series(figure: Figure) -> list[list[tuple[float, float | None]]]:
    """The points of each line of a figure of one panel."""
    (panel,) = figure.panels
    assert isinstance(panel, Panel)
    return [[(point.x, point.y) for point in line.points] for line in panel.series]


def test_bars_of_whole_numbers_stand_about_them():
    scores = Scores(name="a", by=(1.0, 2.0, 2.0, 5.0))
    assert series(histogram(scores, quantity_of("level"), None, "t")) == [
        [(1.0, 1.0), (2.0, 2.0), (3.0, 0.0), (4.0, 0.0), (5.0, 1.0)]
    ]


def test_bars_of_one_value():
    figure = histogram(Scores(name="a", by=(3.5, 3.5)), quantity_of("ifd"), None, "t")
    assert series(figure) == [[(3.5, 2.0)]]


def test_a_few_values_far_away_lie_beyond_the_axis_and_are_told():
    draw = random.Random(5)
    values = [draw.gauss(0, 1) for _ in range(300)]
    figure = histogram(Scores(name="a", by=(*values, 1e6, -1e6)), quantity_of("reward"), None, "t")
    (bars,) = series(figure)
    assert sum(count or 0 for _, count in bars) == 300
    assert figure.notes[-1] == "2 of the numbers lie beyond the ends of an axis."
    near = densities([Scores(name="a", by=(*values, 1e6))], quantity_of("reward"), None, "t")
    assert max(x for x, _ in series(near)[0]) < 100


def test_many_dots_are_thinned_and_the_correlation_is_of_all():
    values = tuple(float(n) for n in range(45_000))
    figure = scatter([Scores(name="a", by=values, against=values)], quantity_of("x"), quantity_of("y"), None, "t")
    assert len(series(figure)[0]) == 15_000
    assert figure.notes == (
        "a: 15,000 of 45,000 dots are drawn, every 3th row.",
        "a: rank correlation (Spearman) +1.000, n = 45,000 rows.",
    )


@pytest.mark.parametrize(
    ("left", "right", "wanted"),
    [
        ([1, 2, 3], [10, 20, 30], 1.0),
        ([1, 2, 3], [3, 2, 1], -1.0),
        ([1, 2, 3, 4], [1, 3, 2, 4], 0.8),  # 1 - 6 * (1 + 1) / (4 * 15)
        ([1, 1, 2], [1, 2, 3], 0.75**0.5),  # ranks 1.5, 1.5, 3 and 1, 2, 3: 1.5 / sqrt(1.5 * 2)
        ([1, 1], [1, 2], None),
        ([1], [1], None),
    ],
    ids=["rising", "falling", "a swap", "a tie", "one value", "one row"],
)
def test_rank_correlation(left: list[float], right: list[float], wanted: float | None):
    found = spearman(left, right)
    assert found == (None if wanted is None else pytest.approx(wanted))


def test_equal_values_share_their_ranks():
    assert mean_ranks([5, 1, 5, 0]) == [3.5, 2.0, 3.5, 1.0]
