"""Files that people have by mistake or by other tools' habits: read as meant, or refused with the likely cure."""

import gzip
import io
import json
import zipfile
from pathlib import Path

import pytest

from kit.errors import RequestError
from kit.files.formats import open_rows
from kit.files.seeds import read_seeds, read_training
from kit.files.writing import write_back

A, B = '{"instruction": "a", "output": "b"}', '{"instruction": "c", "output": "d"}'


def write(folder: Path, text: str | bytes, name: str = "c") -> Path:
    """Write a file without a known ending of its name."""
    path = folder / name
    path.write_bytes(text if isinstance(text, bytes) else text.encode())
    return path


def workbook() -> bytes:
    """Return the beginning of an Excel workbook."""
    packed = io.BytesIO()
    with zipfile.ZipFile(packed, "w") as archive:
        archive.writestr("[Content_Types].xml", "")
    return packed.getvalue()


# Each of these was "not JSON: ...; is the file cut off?" or "not UTF-8"; pages and pointers were read as lines of
# instructions where the ending of their name did not say JSON.
OTHER_FILES: dict[str, tuple[str | bytes, str]] = {
    "objects on one line": (
        f"{A} {B}",
        ":1: not JSON: Extra data: column 37; wanted each object on a line of its own, or one JSON list",
    ),
    "objects over several lines": (
        f"{A}\n{B}".replace("{", "{\n"),
        ":1: not JSON: Expecting property name enclosed in double quotes: column 2; does it go on in the next line? "
        "Wanted each object whole on a line of its own, or one JSON list",
    ),
    "commas between lines": (
        f"{A},\n{B},\n",
        ":1: not JSON: Extra data: column 36; leave out the commas between the lines, or put all into one JSON list",
    ),
    "a list without commas": (
        f"[\n{A}\n{B}\n]",
        ": not JSON: Expecting ',' delimiter: line 3 column 1; is a comma lacking before it?",
    ),
    "two lists": (
        f"[{A}]\n[{B}]",
        ": not JSON: Extra data: line 2 column 1; wanted each object on a line of its own, or one JSON list",
    ),
    "Python's quotes": (
        "{'instruction': 'a'}",
        ":1: not JSON: Expecting property name enclosed in double quotes: column 2; wanted names and texts in double "
        "quotes, as json.dumps writes them",
    ),
    "a pointer": (
        "version https://git-lfs.github.com/spec/v1\noid sha256:0\nsize 1\n",
        ": a pointer of Git LFS in the place of the file; fetch the file itself (git lfs pull)",
    ),
    "a page": (
        "\n<!DOCTYPE html>\n<html>404</html>",
        ": a web page or XML, as a server may send it for a file; download the file itself",
    ),
    "a workbook": (workbook(), ": an Excel workbook or another Office file; save it as CSV in UTF-8"),
    "an old workbook": (
        b"\xd0\xcf\x11\xe0\xa1\xb1\x1a\xe1",
        ": an old Excel or Word file; save it as CSV in UTF-8",
    ),
    "Arrow": (b"ARROW1\0\0\xff\xff", ": an Arrow file; write its rows as JSONL or Parquet"),
    "bytes behind gzip": (
        gzip.compress(A.encode()) + b"more",
        ": other bytes follow the packed text; unpack it, and pack it anew",
    ),
}


@pytest.mark.parametrize(("text", "message"), OTHER_FILES.values(), ids=list(OTHER_FILES))
def test_other_files(text: str | bytes, message: str, tmp_path: Path) -> None:
    path = write(tmp_path, text)
    with pytest.raises(RequestError) as error:
        read_training(path)
    assert str(error.value) == f"{path}{message}"


def test_a_comma_at_the_end_is_told(tmp_path: Path) -> None:
    # Python 3.11 points behind the comma, 3.13 at it
    path = write(tmp_path, f"[{A},]")
    with pytest.raises(RequestError, match=r"not JSON: .*; leave out the comma before it$"):
        read_training(path)


# Each of these was refused by the same sentence without its end, or by "found dict, wanted text".
OTHER_NAMES: dict[str, tuple[str, str]] = {
    "capitals": (
        '{"Instruction": "a", "Output": "b"}',
        ":1: no 'instruction'; found Instruction, Output, wanted instruction, input, output; is 'Instruction' the "
        "instruction? Then rename it",
    ),
    "blanks": (
        '{" instruction": "a"}',
        ":1: no 'instruction'; found  instruction, wanted instruction, input, output; is ' instruction' the "
        "instruction? Then rename it",
    ),
    "questions": (
        '{"question": "a", "answer": "b"}',
        ":1: no 'instruction'; found answer, question, wanted instruction, input, output; --format gsm8k reads "
        "'question' and 'answer'",
    ),
    "a chat after Alpaca": (
        f'{A}\n{{"messages": [{{"role": "user", "content": "a"}}]}}',
        ":2: no 'instruction'; found messages, wanted instruction, input, output; 'messages' holds a chat: give chats "
        "and other rows as files of their own, with --format auto",
    ),
    "columns": (
        '{"instruction": {"0": "a"}, "output": {"0": "b"}}',
        ": one JSON object of objects, a table by columns or by numbers of rows; wanted a list of records (pandas: "
        "to_json with orient='records')",
    ),
    "columns of lists": (
        '{"instruction": ["a"], "output": ["b"]}',
        ": one JSON object of lists, a table by columns or by numbers of rows; wanted a list of records (pandas: "
        "to_json with orient='records')",
    ),
    # took half a minute for one row, and listed a million unread fields
    "a million fields": (
        json.dumps({"instruction": "a", "output": "b", **{f"c{n}": 1 for n in range(10_000)}}),
        ":1: 10,002 fields; wanted 10,000 at most",
    ),
    "a million columns": (f"instruction{10_000 * ','}\n", ": 10,001 columns; wanted 10,000 at most"),
}


@pytest.mark.parametrize(("text", "message"), OTHER_NAMES.values(), ids=list(OTHER_NAMES))
def test_other_names(text: str, message: str, tmp_path: Path) -> None:
    path = write(tmp_path, text)
    with pytest.raises(RequestError) as error:
        read_training(path)
    assert str(error.value) == f"{path}{message}"


def test_what_a_spreadsheet_leaves_around_a_table_is_no_row(tmp_path: Path) -> None:
    # columns without a name were "the column '' twice", rows of empty cells had "no instruction"
    path = write(tmp_path, "instruction;output;;\r\na;b;;\r\n;;;\r\nc;d;x;y\r\n;;;\r\n")
    assert [(row.instruction, row.output) for row in read_training(path).rows] == [("a", "b"), ("c", "d")]
    write_back([1], open_rows(path), tmp_path / "o")
    assert (tmp_path / "o").read_bytes() == b"instruction;output;;\r\nc;d;x;y\r\n"


def test_a_header_in_capitals_is_told(tmp_path: Path) -> None:
    # "does the file lack its header?"
    path = write(tmp_path, "Instruction , Output\na,b\n", "c.csv")
    with pytest.raises(RequestError, match=r"; write 'Instruction ' as 'instruction'$"):
        read_training(path)


def test_a_table_of_empty_cells_has_no_header(tmp_path: Path) -> None:
    path = write(tmp_path, ",,\n,,\n", "c.csv")
    with pytest.raises(RequestError, match="the first line names no field that is read"):
        read_training(path)


def chat(**weights: object) -> str:
    """Return a chat whose turns have weights, as OpenHermes writes them."""
    turns = [{"from": role, "value": role, "weight": weight} for role, weight in weights.items()]
    return json.dumps({"conversations": turns})


def test_what_is_not_learnt_may_weigh_nothing(tmp_path: Path) -> None:
    # the user's and the system's turns were refused for the weight that they have here: none
    path = write(tmp_path, f"{chat(system=0, human=0, gpt=1)}\n{chat(human=None, gpt=1.0)}\n{chat(human=1, gpt=True)}")
    assert len(read_training(path).rows) == 3
    path = write(tmp_path, chat(human=0, gpt=0))
    with pytest.raises(RequestError, match=r"'conversations'\[1\]: 'weight' would be lost"):
        read_training(path)


@pytest.mark.parametrize(
    ("name", "value", "read"),
    [
        ("label", "False", False),  # was learnt in silence, where JSON's false was refused
        ("label", "1", False),
        ("label", "physics", True),
        ("weight", "1", True),  # was refused, where JSON's 1 was read
        ("weight", "0.5", False),
    ],
)
def test_a_cell_means_what_a_field_means(name: str, value: str, read: bool, tmp_path: Path) -> None:
    path = write(tmp_path, f"instruction,output,{name}\na,b,{value}\n")
    assert len(read_seeds(path, "auto", "s").rows) == 1
    if read:
        assert len(read_training(path).rows) == 1
        return
    with pytest.raises(RequestError, match=f"{name!r} would be lost"):
        read_training(path)
