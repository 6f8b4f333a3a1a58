"""``kit select``: the part of a file that a score puts first, as it stands; bad requests by their message."""

import json
import random
import sys
from collections.abc import Callable
from fractions import Fraction
from pathlib import Path

import pytest

from kit.cli import main
from kit.measures.ranking import kept_count

SCORES = [0.4, 0.9, 0.1, 0.9, 0.7, 0.2, 0.9, 0.3]
ROWS = [
    {"instruction": f"Task {n}", "output": "Done", "ic_ifd": score, "instruction_length": 10 - n, "kind": "ab"[n % 2]}
    for n, score in enumerate(SCORES)
]
Kit = Callable[..., tuple[int, str, str]]


@pytest.fixture
def kit(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], tmp_path: Path) -> Kit:
    """Run ``kit select`` in a folder of its own: exit code, standard output and error."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("COLUMNS", "1000")
    (tmp_path / "rows.json").write_text(json.dumps(ROWS, indent=2), encoding="utf-8")
    (tmp_path / "there.json").touch()

    def call(*words: str) -> tuple[int, str, str]:
        monkeypatch.setattr(sys, "argv", ["kit", "select", *words])
        with pytest.raises(SystemExit) as ended:
            main()
        text = capsys.readouterr()
        return int(ended.value.code or 0), text.out, text.err.removeprefix("error: ")

    return call


def kept(path: Path) -> list[int]:
    return [int(row["instruction"].split()[1]) for row in json.loads(path.read_text(encoding="utf-8"))]


CASES: dict[str, tuple[list[str], list[int], list[str]]] = {
    "of equal ones the first": (
        ["--by", "ic_ifd", "--top", "25%"], [1, 3],
        ["25% of all rows (rounded half up, one row at least): the highest ic_ifd, of equal ones the first",
         "2 of 8 rows, cut at ic_ifd 0.9: o.json"],
    ),
    "the shortest": (
        ["--by", "instruction_length", "--top", "3"], [5, 6, 7],
        ["3 of all rows: the lowest instruction_length, of equal ones the first",
         "3 of 8 rows, cut at instruction_length 5: o.json"],
    ),
    "the other end": (
        ["--by", "ic_ifd", "--top", "1", "--keep", "lowest"], [2],
        ["1 of all rows: the lowest ic_ifd, of equal ones the first", "1 of 8 rows, cut at ic_ifd 0.1: o.json"],
    ),
    "one at least": (
        ["--by", "ic_ifd", "--top", "0.1 %"], [1],
        ["0.1 % of all rows (rounded half up, one row at least): the highest ic_ifd, of equal ones the first",
         "1 of 8 rows, cut at ic_ifd 0.9: o.json"],
    ),
    "of each group": (
        ["--by", "ic_ifd", "--top", "2", "--group", "kind"], [1, 3, 4, 6],
        ["2 of each group: the highest ic_ifd, of equal ones the first",
         "a: 2 of 4 rows, cut at ic_ifd 0.7", "b: 2 of 4 rows, cut at ic_ifd 0.9", "4 of 8 rows: o.json"],
    ),
    "all of them": (
        ["--by", "ic_ifd", "--top", "100%"], list(range(8)),
        ["100% of all rows (rounded half up, one row at least): the highest ic_ifd, of equal ones the first",
         "8 of 8 rows, cut at ic_ifd 0.1: o.json"],
    ),
    "at random": (
        ["--by", "random", "--top", "3", "--seed", "5"], sorted(random.Random(5).sample(range(8), 3)),
        ["3 of all rows: at random, seed 5", "3 of 8 rows: o.json"],
    ),
}  # fmt: skip


@pytest.mark.parametrize("words, rows, said", CASES.values(), ids=list(CASES))
def test_which_rows_are_kept(words: list[str], rows: list[int], said: list[str], kit: Kit, tmp_path: Path):
    code, out, err = kit("--data", "rows.json", "--out", "o.json", *words)
    assert (code, out.splitlines(), err) == (0, said, "")
    assert kept(tmp_path / "o.json") == rows


def test_a_random_group_is_drawn_on_its_own(kit: Kit, tmp_path: Path):
    kit("--data", "rows.json", "--out", "o.json", "--by", "random", "--top", "50%", "--group", "kind")
    wanted = [2 * place for place in random.Random("42/a").sample(range(4), 2)]
    wanted += [2 * place + 1 for place in random.Random("42/b").sample(range(4), 2)]
    assert kept(tmp_path / "o.json") == sorted(wanted)


def test_rows_stay_as_they_stand_in_each_container(kit: Kit, tmp_path: Path):
    table = "instruction,ic_ifd,output\r\n" + "".join(f'"Task ""{n}""",{n / 8},x\r\n' for n in range(4))
    lines = "".join(f'{{"instruction" : "T{n}",  "output":"\\u00e9", "ic_ifd":{n}}}\n' for n in range(4))
    for name, text, wanted in (
        ("rows.csv", table, 'instruction,ic_ifd,output\r\n"Task ""3""",0.375,x\r\n'),
        ("rows.jsonl", lines, lines.splitlines(keepends=True)[3]),
    ):
        (tmp_path / name).write_bytes(text.encode())
        code, out, _ = kit("--data", name, "--by", "ic_ifd", "--top", "1", "--out", f"o-{name}")
        assert (code, out.splitlines()[-1].startswith("1 of 4 rows, cut at ic_ifd")) == (0, True)
        assert (tmp_path / f"o-{name}").read_bytes() == wanted.encode()


def test_rows_that_could_not_be_scored_come_last(kit: Kit, tmp_path: Path):
    rows = [{**ROWS[0], "ic_ifd": None, "ifd_skipped": "the response is empty"}, *ROWS[1:3]]
    (tmp_path / "some.json").write_text(json.dumps(rows), encoding="utf-8")
    assert kit("--data", "some.json", "--by", "ic_ifd", "--top", "2", "--out", "two.json")[0] == 0
    assert kept(tmp_path / "two.json") == [1, 2]
    _, out, _ = kit("--data", "some.json", "--by", "ic_ifd", "--top", "3", "--out", "three.json")
    assert out.splitlines()[-1] == (
        "3 of 3 rows, cut at ic_ifd 0.1, 1 of them without a ic_ifd, as the others are too few: three.json"
    )


@pytest.mark.parametrize("name", ["large.jsonl", "large.csv"])
def test_neighbours_that_are_one_as_floats_are_told_apart(name: str, kit: Kit, tmp_path: Path):
    numbers = [2**53, 2**53 + 1, 2**53 - 1]
    lines = [f'{{"id": {n}, "time": {number}}}' for n, number in enumerate(numbers)]
    table = ["id,time", *(f"{n},{number}" for n, number in enumerate(numbers))]
    (tmp_path / name).write_text("\n".join([*(table if name.endswith("csv") else lines), ""]), encoding="utf-8")
    code, out, _ = kit("--data", name, "--by", "time", "--keep", "highest", "--top", "1", "--out", "o")
    assert (code, out.splitlines()[-1]) == (0, "1 of 3 rows, cut at time 9,007,199,254,740,993: o")
    kept = (tmp_path / "o").read_text(encoding="utf-8").splitlines()[-1]
    assert kept in (lines[1], table[2])


def test_one_number_written_in_two_ways_is_one_group(kit: Kit, tmp_path: Path):
    rows = [{**row, "kind": kind} for row, kind in zip(ROWS, [1, 1.0, True, 2] * 2, strict=True)]
    (tmp_path / "kinds.json").write_text(json.dumps(rows), encoding="utf-8")
    code, out, _ = kit("--data", "kinds.json", "--by", "ic_ifd", "--top", "1", "--group", "kind", "--out", "o.json")
    assert (code, [line.partition(":")[0] for line in out.splitlines()[1:-1]]) == (0, ["1", "true", "2"])


def test_one_row_is_kept_of_one(kit: Kit, tmp_path: Path):
    (tmp_path / "one.json").write_text(json.dumps(ROWS[:1]), encoding="utf-8")
    assert kit("--data", "one.json", "--by", "ic_ifd", "--top", "10%", "--out", "o.json")[0] == 0
    assert kept(tmp_path / "o.json") == [0]


SIZES = {
    "a half goes up": (0.15, 10, 2), "below a half": (0.1, 14, 1), "one at least": (0.01, 3, 1),
    "none of none": (0.5, 0, 0),
    "the digits count, not the float": (0.29, 50, 15), "a fraction": (Fraction(29, 100), 50, 15), "all": (1.0, 7, 7),
    "the paper's quarter of 50,009": (0.25, 50009, 12502),
}  # fmt: skip


@pytest.mark.parametrize("fraction, rows, wanted", SIZES.values(), ids=list(SIZES))
def test_shares_are_rounded_half_up(fraction: float | Fraction, rows: int, wanted: int):
    assert kept_count(fraction, rows) == wanted


def lacking(*places: int) -> list[dict[str, object]]:
    return [
        {name: value for name, value in row.items() if name != "ic_ifd" or n not in places}
        for n, row in enumerate(ROWS)
    ]


def with_value(value: object) -> list[dict[str, object]]:
    return [{**ROWS[0], "ic_ifd": value}, *ROWS[1:]]


BAD: dict[str, tuple[list[dict[str, object]] | None, list[str], str]] = {
    "none": (None, ["--top", "0"], "--top 0: wanted 1 row to 1,000,000,000, or a share such as 10%"),
    "no share": (None, ["--top", "0%"], "--top 0%: wanted a share above 0% and up to 100%"),
    "more than all": (None, ["--top", "101%"], "--top 101%: wanted a share above 0% and up to 100%"),
    "text": (None, ["--top", "many"], "--top many: wanted a share of the rows such as 10%, or a number of rows"),
    "below none": (None, ["--top", "-3"], "--top -3: wanted a share of the rows such as 10%, or a number of rows"),
    "too many": (None, ["--top", "9"], "--top 9: rows.json has 8 rows; wanted 8 at most"),
    "no such field": (None, ["--by", "ic_idf"], "rows.json: no row has a field 'ic_idf'; did you mean 'ic_ifd'?"),
    "a text": (None, ["--by", "output"], "rows.json[0]: 'output': found 'Done', wanted a number"),
    "no end": (
        [{"instruction": "x", "mine": 3}], ["--by", "mine"],
        "--by mine: no metric says which end of it is kept; give --keep highest or --keep lowest",
    ),
    "another end": (None, ["--keep", "best"], "--keep best: known: highest, lowest"),
    "an end of chance": (
        None, ["--by", "random", "--keep", "lowest"],
        "--keep lowest: --by random looks at no value; leave it out",
    ),
    "some lack it": (
        lacking(0, 2, 3, 7), [],
        "rows.json: 4 of 8 rows have no 'ic_ifd': rows.json[0], rows.json[2], rows.json[3] and 1 more; score them (kit "
        "score), or take them after all others (--missing last)",
    ),
    "all are empty": (
        [{**row, "ic_ifd": None} for row in ROWS], [],
        "rows.json: 'ic_ifd' is empty in all 8 rows; wanted a number in each",
    ),
    "none could be scored": (
        [{**row, "ic_ifd": None, "ifd_skipped": "too long"} for row in ROWS], [],
        "rows.json: no row has a 'ic_ifd', none could be scored; why: the fields *_skipped",
    ),
    "no scores at all": (
        [{"instruction": "x"}], [],
        "rows.json: no row has a field 'ic_ifd'; no field of it holds a number (kit score writes some)",
    ),
    "infinite": (
        with_value("inf"), [],
        "rows.json[0]: 'ic_ifd': found inf, wanted a finite number; leave the row out, or the field",
    ),
    "beyond floats": (
        with_value(10**400), [],
        "rows.json[0]: 'ic_ifd': found a whole number of about 401 digits, wanted a finite number; leave the row out, "
        "or the field",
    ),
    "true": (with_value(True), [], "rows.json[0]: 'ic_ifd': found bool, wanted a number"),
    "a list": (with_value([1.0]), [], "rows.json[0]: 'ic_ifd': found list, wanted a number"),
    "no group": (
        None, ["--group", "kinds"], "--group: rows.json: no row has a field 'kinds'; did you mean 'kind'?",
    ),
    "a row without a group": (
        [{**ROWS[0], "kind": ""}, *ROWS[1:]], ["--group", "kind"],
        "--group: rows.json: 1 of 8 rows have no 'kind': rows.json[0]; give each row its group",
    ),
    "a group of bytes": (
        [{**ROWS[0], "kind": {"type": "bytes"}}, *ROWS[1:]], ["--group", "kind"],
        "--group: rows.json[0]: 'kind': found {'type': 'bytes'}, wanted a text or a number",
    ),
    "a number and its digits": (
        [{**ROWS[0], "kind": 1.0}, {**ROWS[1], "kind": "1"}], ["--group", "kind"],
        "--group: 'kind' is the text '1' in rows.json[1], and no text in rows.json[0]; write it in one way",
    ),
    "another metric's reason": (
        [{**ROWS[0], "ic_ifd": None, "reward_skipped": "too long"}, *ROWS[1:]], [],
        "rows.json: 1 of 8 rows have no 'ic_ifd': rows.json[0]; score them (kit score), or take them after all others "
        "(--missing last)",
    ),
    "Python's digits": (
        with_value("1_000"), [], "rows.json[0]: 'ic_ifd': found '1_000', wanted a number",
    ),
    "the file itself": (None, ["--out", "rows.json"], "--out rows.json: is the very file that is read; name another"),
    "there already": (None, ["--out", "there.json"], "--out there.json: is there already; name another, or remove it"),
}  # fmt: skip


@pytest.mark.parametrize("rows, words, message", BAD.values(), ids=list(BAD))
def test_bad_requests(rows: list[dict[str, object]] | None, words: list[str], message: str, kit: Kit, tmp_path: Path):
    if rows is not None:
        (tmp_path / "rows.json").write_text(json.dumps(rows), encoding="utf-8")
    defaults = {"--by": "ic_ifd", "--top": "1", "--data": "rows.json", "--out": "o.json"}
    given = defaults | dict(zip(words[::2], words[1::2], strict=True))
    code, out, err = kit(*(word for pair in given.items() for word in pair))
    assert (err.strip(), code, out) == (message, 2, "")
    assert not (tmp_path / "o.json").exists()
