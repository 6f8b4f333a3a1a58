"""Files that are not what they should be: CSV, lines, JSON and Parquet that are refused, each with its message."""

import csv
import gzip
from pathlib import Path

import pytest

from kit.errors import RequestError
from kit.files.formats import SEED_FORMATS
from kit.files.seeds import read_instructions, read_training
from tests.formats.conftest import write

REFUSED: dict[str, tuple[str | bytes, str]] = {
    "a cell too many": (
        "instruction,output\na,b\nc,d,e\n",
        ":3: found 3 cells, the header has 2; is a text with ',' or a line break in it not quoted?",
    ),
    "a cell too few": (
        'instruction;output;x\n"a\nb";c;d\ne;f\n',
        ":4: found 2 cells, the header has 3; is a text with ';' or a line break in it not quoted?",
    ),
    "an open quote": (
        'instruction,output\na,b\n"c,d\n',
        ":3: not CSV: a quote that is opened and not closed; wanted quotes inside of quotes doubled",
    ),
    "a quote inside": (
        'instruction,output\n"a"b,c\n',
        ":2: not CSV: ',' expected after '\"'; wanted quotes inside of quotes doubled",
    ),
    "a zero byte in a table": ("instruction,output\na,b\nc\0,d\n", ":3: a zero byte in it; wanted CSV as UTF-8 text"),
    "a zero byte in a line": ("some task\nc\0d\n", ":2: a zero byte in it; wanted lines of text"),
    "a column twice": (
        "instruction,output,output\na,b,c\n",
        ": the header has the column 'output' twice; wanted each name once",
    ),
    "a chat as pandas prints it": (
        "id,messages\n1,\"[{'role': 'user'}]\"\n",
        ":2: 'messages': not JSON: Expecting property name enclosed in double quotes: column 3; wanted the list as "
        "JSON (json.dumps), not as Python or pandas print it",
    ),
    "a chat of a cell, too deep": (
        f"id,messages\n1,{101 * '['}{101 * ']'}\n",
        ":2: 'messages': lists or objects nested too deep to read; wanted records of texts",
    ),
    "UTF-16 with a mark": ("instruction,output\na,b\n".encode("utf-16"), ": UTF-16 text; save the file as UTF-8"),
    "a table without texts": ("instruction,output\n", ": no record; the seed set is empty"),
    "the delimiter as Excel notes it": (
        "sep=;\ninstruction;output\na;b\n",
        ": the first line is Excel's note of the delimiter ('sep=;'); leave it out, so that the header stands first",
    ),
    "other columns": (
        "prompt,response\na,b\n",
        ":2: no 'instruction'; found prompt, response, wanted instruction, input, output; is 'prompt' the instruction? "
        "Then rename it",
    ),
    "Parquet that is cut off": (
        b"PAR1abc",
        ": cannot be read as Parquet (Parquet file size is 7 bytes, smaller than the minimum file footer (8 bytes)); "
        "is the file cut off?",
    ),
    "Parquet in gzip": (gzip.compress(b"PAR1abc"), ": a Parquet file; write its rows as JSONL"),
}


@pytest.mark.parametrize("text, message", REFUSED.values(), ids=list(REFUSED))
def test_a_file_is_refused(text: str | bytes, message: str, tmp_path: Path):
    path = write(tmp_path / "c", text)
    with pytest.raises(RequestError) as error:
        read_training(path)
    assert str(error.value) == f"{path}{message}"


NAMED = "conversation, conversations, instruction, messages, problem, prompt, question, text"
NO_JSON = "wanted a JSON list of records, or a JSON object on each line"
OVERRIDDEN: dict[str, tuple[str, str, str, str]] = {
    "sharegpt": (
        "c",
        "sharegpt",
        '[{"instruction": "a"}]',
        "[0]: no 'conversations' and no 'messages'; found instruction, wanted a list of turns with 'from' and 'value' "
        "(format sharegpt)",
    ),
    "alpaca": ("c", "alpaca", "Name a colour.\n", f":1: found 'Name a colour.', {NO_JSON}"),
    "a name that says JSON": (
        "c.jsonl.gz",
        "auto",
        "Name a.\n",
        f":1: found 'Name a.', {NO_JSON}",
    ),
    "a manifest": ("c.toml", "auto", "schema = 1\n", f":1: found 'schema = 1', {NO_JSON}"),
    "a name that says CSV": (
        "c.csv",
        "auto",
        "a;b\n1;2\n",
        f": the first line names no field that is read; found a, b, wanted one of {NAMED}; does the file lack "
        "its header?",
    ),
    "an unknown one": ("c", "openai", "[]", f": no seed format 'openai'; known: {', '.join(sorted(SEED_FORMATS))}"),
}


@pytest.mark.parametrize("name, format, text, message", OVERRIDDEN.values(), ids=list(OVERRIDDEN))
def test_a_format_that_was_asked_for(name: str, format: str, text: str, message: str, tmp_path: Path):
    path = write(tmp_path / name, text)
    with pytest.raises(RequestError) as error:
        read_instructions(path, format, "c")
    assert str(error.value) == f"{path}{message}"


def test_a_long_cell_leaves_the_limit_of_other_readers_as_it_was(tmp_path: Path):
    # the limit is one for the process: reading what is installed failed after a short table was read
    before = csv.field_size_limit()
    path = write(tmp_path / "c", f"instruction,output\na,{10**6 * 'x'}\n")
    assert len(read_training(path).rows[0].output) == 10**6
    read_instructions(write(tmp_path / "c", "instruction,output\na,b\n"), "auto", "c")
    assert csv.field_size_limit() == before


def test_one_column_is_a_table_by_its_name_alone(tmp_path: Path):
    text = "instruction\nName a colour.\n"
    assert [row.instruction for row in read_instructions(write(tmp_path / "c.csv", text), "auto", "c")] == [
        "Name a colour."
    ]
    assert len(read_instructions(write(tmp_path / "c.txt", text), "auto", "c")) == 2
