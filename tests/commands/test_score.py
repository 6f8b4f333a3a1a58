"""``kit score``: fields that rows get, in every format; rows that can't be scored; bad requests by their message."""

import json
from pathlib import Path
from typing import Any

import pytest

from kit.cli import scoring
from kit.records import Score
from kit.scoring.losses import LossModel
from tests.commands.conftest import Shell

NUMBERS = (
    "ifd", "ic_ifd", "instruction_ppl", "instruction_perplexity", "response_loss", "response_loss_after_instruction",
)  # fmt: skip
ZERO = "z" * 60
"""A response whose losses are 0 in these tests."""
GOOD = {"instruction": "Name a river.", "input": "", "output": "The Elbe.", "mine": 7}


def pair(number: int) -> dict[str, Any]:
    return {"instruction": f"Count to {number}.", "input": "", "output": " ".join(map(str, range(number % 12 + 2)))}


BROKEN: dict[str, tuple[dict[str, Any], str]] = {
    "empty answer": ({**GOOD, "output": ""}, "the response is empty"),
    "no answer": ({"instruction": "Name a river."}, "the response is empty"),
    "null answer": ({**GOOD, "output": None}, "the response is empty"),
    "empty instruction": ({**GOOD, "instruction": ""}, "'instruction' is empty; every record needs an instruction"),
    "blank instruction": ({**GOOD, "instruction": " \n"}, "'instruction' is empty; every record needs an instruction"),
    "of a model that said nothing": (
        {**GOOD, "id": "a", "instruction": ""}, "'instruction' is empty; every record needs an instruction",
    ),
    "too long": ({**GOOD, "output": "long " * 120}, "longer than the model or the limit takes"),
    "one token": ({**GOOD, "output": "1"}, "no token of the response is predicted, as there is none before it"),
    "zero loss": ({**GOOD, "output": ZERO}, "a loss is 0, so that nothing can be divided by it"),
    "a number": ({**GOOD, "instruction": 5}, "'instruction': found int, wanted text"),
    "an answer of parts": ({**GOOD, "output": ["a"]}, "'output': found list, wanted text"),
    "null": ({**GOOD, "instruction": None}, "'instruction': found NoneType, wanted text"),
    "an object": ({**GOOD, "input": {"a": 1}}, "'input': found dict, wanted text"),
    "missing keys": (
        {"mine": 3}, "no 'instruction'; found mine, wanted instruction, input, output",
    ),
    "nothing": ({}, "no 'instruction'; found no field, wanted instruction, input, output"),
    "another name": (
        {"instruction": "Name a river.", "response": "The Elbe."},
        "'response' is not read, and 'output' is empty; is it 'output'? Then rename it",
    ),
    "a history that is none": (
        {**GOOD, "history": "x"},
        "'history': found str, wanted a list of pairs [\"what the user said\", \"what was answered\"]",
    ),
    "a picture": (
        {**GOOD, "image": "a.png"},
        "'image' would be lost, rows are text alone here; leave such rows out, or the field if they make sense without "
        "it",
    ),
}  # fmt: skip
ODD: dict[str, tuple[dict[str, Any], str]] = {
    "half a character": ({**GOOD, "output": "The \ud83d Rhine."}, "half a character in a text, read as U+FFFD"),
    "a mark": (
        {**GOOD, "instruction": "\ufeffName one."}, "a byte-order mark in front of a text, which is dropped",
    ),
    "the same again": (pair(3), "the same texts as rows.jsonl:4"),
    "an id twice": ({**pair(4), "id": "x"}, "the same texts as rows.jsonl:5"),
}  # fmt: skip
ROWS, EVERY = 1000, 40


@pytest.fixture
def zero_losses(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let texts that end like :data:`ZERO` have losses of 0."""
    real = LossModel.losses

    def losses(self: LossModel, rows: Any, progress: Any = None) -> list[Any]:
        found = real(self, rows, progress)
        zero = [len(set(row.ids[-50:])) == 1 for row in rows]
        return [loss * (not none) for loss, none in zip(found, zero, strict=True)]

    monkeypatch.setattr(LossModel, "losses", losses)


def test_every_kind_of_broken_row_is_named_and_the_rest_is_scored(shell: Shell, tiny: Path, zero_losses: None):
    rows = [pair(number) for number in range(ROWS)]
    wanted, odd = {}, {}
    for number, (row, reason) in enumerate([*BROKEN.values(), *ODD.values()], 1):
        place = EVERY * number
        rows[place] = row
        (wanted if number <= len(BROKEN) else odd)[f"rows.jsonl:{place + 1}"] = reason
    shell.write("rows.jsonl", rows)
    words = ("--data", "rows.jsonl", "--model", str(tiny), "--out", "o.jsonl", "--scale", "smoke", "--json")
    code, out, err = shell.call("score", "ifd", *words)
    assert code == 0, err
    document = json.loads(out)
    assert {one["where"]: one["reason"] for one in document["not_scored"]} == wanted
    assert {one["where"]: one["note"] for one in document["notes"]} == odd
    assert (document["rows"], document["scored"]) == (ROWS, ROWS - len(BROKEN))
    assert set(document["means"]) == set(NUMBERS)
    for place, (before, after) in enumerate(zip(rows, shell.read("o.jsonl"), strict=True)):
        reason = wanted.get(f"rows.jsonl:{place + 1}")
        assert {name: value for name, value in after.items() if name in before} == before
        new = [name for name in after if name not in before]
        assert new == (["ifd_skipped"] if reason else list(NUMBERS))
        assert after.get("ifd_skipped") == reason


def test_the_printed_lines(shell: Shell, tiny: Path):
    shell.write("rows.json", [GOOD, {**GOOD, "output": ""}, GOOD])
    words = ("--data", "rows.json", "--model", str(tiny), "--scale", "smoke")
    _, out, _ = shell.call("score", "length", *words, "--out", "a.json")
    assert out.splitlines() == [
        "instruction_length               mean 13 tokens",
        "scored, but odd: rows.json[2]: the same texts as rows.json[0]",
        "3 of 3 rows scored by length v1: a.json",
    ]
    _, out, _ = shell.call("score", "ifd", *words, "--metric", "ic_ifd", "--out", "b.json")
    assert out.splitlines()[1:] == [
        "not scored: rows.json[1]: the response is empty",
        "scored, but odd: rows.json[2]: the same texts as rows.json[0]",
        "2 of 3 rows scored by ifd v2: b.json",
    ]
    assert [[name for name in row if name not in GOOD] for row in shell.read("b.json")] == [
        ["ic_ifd"], ["ifd_skipped"], ["ic_ifd"],
    ]  # fmt: skip
    shell.call("score", "ppl", *words, "--out", "c.json")
    assert [name for name in shell.read("c.json")[0] if name not in GOOD] == [
        "instruction_ppl", "instruction_perplexity",
    ]  # fmt: skip


def test_chats_have_their_turns_and_the_whole(shell: Shell, tiny: Path):
    turns = [("Name a river.", "The Elbe."), ("Another?", ""), ("A third?", "The Rhine.")]
    chat = [{"from": who, "value": text} for one in turns for who, text in zip(("human", "gpt"), one, strict=True)]
    shell.write("chats.json", [{"conversations": chat[:2], "mine": 1}, {"conversations": chat}])
    words = ("--model", str(tiny), "--scale", "smoke")
    code, out, _ = shell.call("score", "ifd", "--data", "chats.json", *words, "--out", "o.json")
    assert (code, out.splitlines()[-2:]) == (0, [
        "not scored: chats.json[1]: turn 2: the response is empty", "2 of 2 rows scored by ifd v2: o.json",
    ])  # fmt: skip
    one, many = shell.read("o.json")
    assert list(one) == ["conversations", "mine", *NUMBERS]
    assert many["ifd_turns_skipped"] == ["", "the response is empty", ""]
    assert many["ifd_turns"][0] == pytest.approx(one["ifd"])
    assert many["ifd_turns"][1] is None
    # the same numbers as of pairs that say the same: the turns before stand in front, and the whole is joined
    pairs = [
        {"instruction": "Name a river.\nThe Elbe.\nAnother?\n\nA third?", "output": "The Rhine."},
        {"instruction": "Name a river.\nAnother?\nA third?", "output": "The Elbe.\n\nThe Rhine."},
    ]
    shell.write("pairs.json", pairs)
    shell.call("score", "ifd", "--data", "pairs.json", *words, "--out", "p.json")
    last, whole = shell.read("p.json")
    for number in NUMBERS:
        assert many[f"{number}_turns"][2] == pytest.approx(last[number], rel=1e-4)
        assert many[number] == pytest.approx(whole[number], rel=1e-4)


CONTAINERS = {
    "csv": (
        "a.csv", 'instruction,output\r\n"Name ""a"" river.",The Elbe.\r\nAnother?,\r\n',
        'instruction,output,ifd,ifd_skipped\r\n"Name ""a"" river.",The Elbe.,{},\r\n'
        "Another?,,,the response is empty\r\n",
    ),
    "jsonl": (
        "a.jsonl", '{"output": "The Elbe.", "instruction": "Name \\"a\\" river.", "é": [1]}\n',
        '{{"output": "The Elbe.", "instruction": "Name \\"a\\" river.", "é": [1], "ifd": {}}}\n',
    ),
}  # fmt: skip


@pytest.mark.parametrize("name, text, wanted", CONTAINERS.values(), ids=list(CONTAINERS))
def test_the_container_stays(name: str, text: str, wanted: str, shell: Shell, tiny: Path):
    (shell.folder / name).write_bytes(text.encode())
    words = ("--data", name, "--model", str(tiny), "--scale", "smoke", "--metric", "ifd", "--out", f"o-{name}")
    assert shell.call("score", "ifd", *words)[0] == 0
    shell.write("rows.json", [{"instruction": 'Name "a" river.', "output": "The Elbe."}])
    shell.call("score", "ifd", "--data", "rows.json", *words[2:-1], "r.json")
    value = shell.read("r.json")[0]["ifd"]
    assert (shell.folder / f"o-{name}").read_bytes() == wanted.format(json.dumps(value)).encode()


def test_parquet_gets_columns_of_numbers_and_select_reads_them(shell: Shell, tiny: Path):
    parquet = pytest.importorskip("pyarrow.parquet")
    arrow = pytest.importorskip("pyarrow")
    rows = [pair(number) for number in range(3, 9)] + [{**GOOD, "output": ""}]
    parquet.write_table(arrow.Table.from_pylist([{**row, "mine": 1} for row in rows]), shell.folder / "a.parquet")
    words = ("--data", "a.parquet", "--model", str(tiny), "--scale", "smoke", "--out", "b.parquet")
    assert shell.call("score", "ifd", *words)[0] == 0
    table = parquet.read_table(shell.folder / "b.parquet")
    assert str(table.schema.field("ifd").type) == "double"
    assert table.column("ifd_skipped").to_pylist() == [None] * 6 + ["the response is empty"]
    code, out, _ = shell.call("select", "--data", "b.parquet", "--by", "ifd", "--top", "2", "--out", "c.parquet")
    assert (code, parquet.read_table(shell.folder / "c.parquet").num_rows) == (0, 2), out


def test_scored_again_a_row_has_the_new_fields_alone(shell: Shell, tiny: Path):
    stale = {"ifd": 3.0, "ifd_skipped": "the response is empty"}
    shell.write("rows.json", [{**GOOD, **stale}, {**GOOD, "output": "", **stale}])
    words = ("--data", "rows.json", "--model", str(tiny), "--scale", "smoke", "--metric", "ifd", "--out", "o.json")
    shell.call("score", "ifd", *words)
    scored, skipped = shell.read("o.json")
    assert (scored["ifd"] == 3.0, scored["ifd_skipped"]) == (False, "")
    assert (skipped["ifd"], skipped["ifd_skipped"]) == (None, "the response is empty")


def test_the_cut_of_the_first_ifd_code_is_an_option(shell: Shell, tiny: Path, monkeypatch: pytest.MonkeyPatch):
    values = {"0": 0.9, "1": 1.0, "2": 1.1, "3": 0.0, "4": 1.2, "4/1": 0.8, "4/2": 0.7}
    scores = {id: Score(id=id, values={"ifd": value}) for id, value in values.items()}
    monkeypatch.setattr(scoring, "stored_scores", lambda _: scores)
    shell.write("rows.json", [pair(number) for number in range(5)])
    words = ("--data", "rows.json", "--model", str(tiny), "--scale", "smoke", "--metric", "ifd")
    _, out, _ = shell.call("score", "ifd", *words, "--out", "cut.json", "--drop-ifd-at-1")
    assert [row["ifd"] for row in shell.read("cut.json")] == [0.9, 0.0]
    assert out.splitlines()[-1] == "5 of 5 rows scored by ifd v2, 3 left out (--drop-ifd-at-1): cut.json"
    shell.call("score", "ifd", *words, "--out", "all.json")
    assert [row["ifd"] for row in shell.read("all.json")] == [0.9, 1.0, 1.1, 0.0, 1.2]


def test_options_and_the_boundary_reach_the_job(shell: Shell, tiny: Path):
    shell.write("rows.json", [GOOD])
    words = ("--data", "rows.json", "--model", str(tiny), "--scale", "smoke", "--metric", "ifd")
    assert shell.call("score", "ifd", *words, "--out", "a.json", "--boundary", "exact", "--max-length", "9")[0] == 1
    jobs = [json.loads(path.read_text()) for path in (shell.folder / "store" / "jobs").iterdir()]
    (params,) = [job["params"] for job in jobs if job["stage"] == "score"]
    assert (params["options"]["boundary"], params["max_tokens"]) == ("exact", 9)


BAD: dict[str, tuple[object, list[str], str]] = {
    "no such metric": ([GOOD], ["ic_ifd"], "no metric named 'ic_ifd'; did you mean 'ifd'?"),
    "no such number": (
        [GOOD], ["ifd", "--metric", "icifd"], "--metric icifd: ifd gives no such number; did you mean 'ic_ifd'?",
    ),
    "no model": (
        [GOOD], ["ifd", "--model", ""],
        "ifd: a model scores; name it with --model (a model of manifests/models.toml, or a model folder)",
    ),
    "no such model": (
        [GOOD], ["ifd", "--model", "none/here"],
        "'none/here': no such folder; wanted a model's, or a name of manifests/models.toml",
    ),
    "a judge": ([GOOD], ["ifd", "--judge", "x"], "--judge x: no judge is asked for ifd; leave it out"),
    "servers of nobody": (
        [GOOD], ["ifd", "--servers", "s.toml"], "--servers s.toml: no --judge of it is named; name one",
    ),
    "no such boundary": ([GOOD], ["ifd", "--boundary", "mine"], "--boundary mine: known: authors, exact"),
    "a boundary of lengths": (
        [GOOD], ["length", "--boundary", "exact"], "--set: length takes no option 'boundary'; it takes none",
    ),
    "no such option": (
        [GOOD], ["ifd", "--set", "x=1"], "--set: ifd takes no option 'x'; known: boundary, only_below_1",
    ),
    "no option": ([GOOD], ["ifd", "--set", "boundary"], "--set boundary: wanted NAME=VALUE"),
    "an option twice": (
        [GOOD], ["ifd", "--set", "boundary=exact", "--boundary", "authors"],
        "--set boundary: given twice, and it takes one value; leave the other out",
    ),
    "neither true nor false": (
        [GOOD], ["ifd", "--set", "only_below_1=1"], "--set only_below_1: found '1', wanted true or false",
    ),
    "a cut without ifd": (
        [GOOD], ["length", "--drop-ifd-at-1"], "--drop-ifd-at-1: length gives no ifd; leave it out, or score by ifd",
    ),
    "nothing before": (
        [GOOD], ["ifd", "--before", "b.json"], "--before b.json: this metric compares nothing with it; leave it out",
    ),
    "no row": ([], ["ifd"], "rows.json: no record; wanted rows to score"),
    "no answer": (
        [{"instruction": "Name a river."}, {**GOOD, "output": " "}], ["ifd"],
        "rows.json: none of 2 rows has an answer, which ifd needs; give pairs, or let a model answer first (kit "
        "respond)",
    ),
    "no row that can be read": (
        [{"a": 1}, {"b": 2}], ["ifd"],
        "rows.json: none of 2 rows can be scored by ifd; rows.json[0]: no 'instruction'; found a, wanted instruction, "
        "input, output",
    ),
    "no length": ([GOOD], ["ifd", "--max-length", "0"], "--max-length 0: wanted 1 to 100,000,000"),
    "no object": ([GOOD, 7], ["ifd"], "rows.json[1]: found int, wanted an object"),
}  # fmt: skip


@pytest.mark.parametrize("rows, words, message", BAD.values(), ids=list(BAD))
def test_bad_requests(rows: object, words: list[str], message: str, shell: Shell, tiny: Path):
    shell.write("rows.json", rows)
    model = [] if "--model" in words else ["--model", str(tiny)]
    code, out, err = shell.call("score", *words, *model, "--data", "rows.json", "--out", "o.json", "--scale", "smoke")
    assert (err, code, out) == (message, 2, "")
    assert not (shell.folder / "o.json").exists()
    assert not (shell.folder / "store").exists()
