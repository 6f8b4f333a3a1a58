"""Formats and containers of instructions and pairs: told apart by content, read, and written back as they came."""

import csv
import gzip
import io
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from kit.errors import KitError, RequestError
from kit.files import parquet
from kit.files.formats import SEED_FORMATS, open_rows
from kit.files.seeds import instructions_of, pairs_of, read_instructions, read_seeds, read_training
from kit.files.writing import write_back
from kit.records import Instruction, Pair

BEFORE = {"system": "Be brief.", "history": (("1 + 1?", "2"),)}
ROWS = {
    "alpaca": [
        {
            "id": "a",
            "source": "web",
            "instruction": "Add 2.",
            "input": "",
            "output": "4",
            "system": "Be brief.",
            "history": [["1 + 1?", "2"]],
            "score": "0.50",
        },
        {"id": "b", "source": "", "instruction": 'Say; "hi",\nnow.', "input": "é", "output": "hi", "score": "1"},
    ],
    "sharegpt": [
        {
            "id": "a",
            "source": "web",
            "conversations": [
                {"from": "system", "value": "Be brief."},
                {"from": "human", "value": "1 + 1?"},
                {"from": "gpt", "value": "2"},
                {"from": "human", "value": "Add 2."},
                {"from": "gpt", "value": "4"},
            ],
            "score": "0.50",
        },
        {
            "id": "b",
            "source": "",
            "conversations": [
                {"from": "human", "value": 'Say; "hi",\nnow.\né'},
                {"from": "gpt", "value": "hi"},
            ],
            "score": "1",
        },
    ],
    "messages": [
        {
            "id": "a",
            "source": "web",
            "messages": [
                {"role": "system", "content": "Be brief."},
                {"role": "user", "content": "1 + 1?"},
                {"role": "assistant", "content": "2"},
                {"role": "user", "content": "Add 2."},
                {"role": "assistant", "content": "4"},
            ],
            "score": "0.50",
        },
        {
            "id": "b",
            "source": "",
            "messages": [
                {"role": "user", "content": 'Say; "hi",\nnow.\né'},
                {"role": "assistant", "content": "hi"},
            ],
            "score": "1",
        },
    ],
}
"""Format -> two records with fields that the kit does not know."""


def json_list(rows: list[dict[str, Any]]) -> bytes:
    return json.dumps(rows, ensure_ascii=False).encode()


def json_lines(rows: list[dict[str, Any]]) -> bytes:
    return b"".join(json.dumps(row).encode() + b"\n" for row in rows)


def csv_with(delimiter: str, line_end: str, mark: str = "") -> Callable[[list[dict[str, Any]]], bytes]:
    """Return a writer of CSV by Python's own module."""

    def write(rows: list[dict[str, Any]]) -> bytes:
        columns = list(dict.fromkeys(name for row in rows for name in row))
        text = io.StringIO()
        writer = csv.writer(text, delimiter=delimiter, lineterminator=line_end)
        writer.writerow(columns)
        for row in rows:
            values = [row.get(name, "") for name in columns]
            writer.writerow([value if isinstance(value, str) else json.dumps(value) for value in values])
        return (mark + text.getvalue()).encode()

    return write


def parquet_bytes(rows: list[dict[str, Any]]) -> bytes:
    pa, pq = pytest.importorskip("pyarrow"), pytest.importorskip("pyarrow.parquet")
    sink = io.BytesIO()
    pq.write_table(pa.Table.from_pylist(rows), sink, compression="zstd")
    return sink.getvalue()


def packed(write: Callable[[list[dict[str, Any]]], bytes]) -> Callable[[list[dict[str, Any]]], bytes]:
    return lambda rows: gzip.compress(write(rows))


CONTAINERS: dict[str, tuple[str, Callable[[list[dict[str, Any]]], bytes]]] = {
    "json": ("json", json_list),
    "jsonl": ("jsonl", json_lines),
    "json.gz": ("json", packed(json_list)),
    "jsonl.gz": ("jsonl", packed(json_lines)),
    "comma": ("csv", csv_with(",", "\n")),
    "semicolon": ("csv", csv_with(";", "\r\n", "\ufeff")),
    "tab": ("csv", csv_with("\t", "\n")),
    "bar": ("csv", csv_with("|", "\n")),
    "csv.gz": ("csv", packed(csv_with(",", "\r\n"))),
    "parquet": ("parquet", parquet_bytes),
}
"""Name of a file's kind -> the container, and what writes it."""
WANTED = [
    Instruction(id="a", instruction="Add 2.", output="4", **BEFORE),
    Instruction(id="b", instruction='Say; "hi",\nnow.', input="é", output="hi"),
]
CASES = [(format, name) for format in ROWS for name in CONTAINERS]


def wanted(format: str) -> list[Instruction]:
    """Return the rows of a format; a chat has no input of its own."""
    second = WANTED[1]
    joined = Instruction(id="b", instruction=f"{second.instruction}\n{second.input}", output="hi")
    return WANTED if format == "alpaca" else [WANTED[0], joined]


def records(path: Path) -> list[dict[str, Any]]:
    return [record for _, record in open_rows(path).records]


@pytest.mark.parametrize("format, kind", CASES, ids=[" in ".join(case) for case in CASES])
def test_a_file_is_read_and_written_back_as_it_came(format: str, kind: str, tmp_path: Path):
    container, write = CONTAINERS[kind]
    path, out = tmp_path / "mine", tmp_path / "out"  # a name that tells nothing
    path.write_bytes(write(ROWS[format]))
    origin = open_rows(path)
    assert (origin.format, origin.container, origin.packed) == (format, container, kind.endswith("gz"))
    assert instructions_of(origin, "mine") == wanted(format)
    assert [row.output for row in pairs_of(origin)] == ["4", "hi"]
    # evolve: the instruction in its place, no answer
    evolved = [
        Instruction(
            id=row.id, instruction=f"{row.instruction}!\n;", input=row.input, system=row.system, history=row.history
        )
        for row in wanted(format)
    ]
    write_back(evolved, origin, out)
    again = open_rows(out)
    assert (again.format, again.container, again.packed) == (format, container, origin.packed)
    assert instructions_of(again, "out") == evolved
    assert [(row["source"], row["score"]) for row in records(out)] == [("web", "0.50"), ("", "1")]
    assert list(again.records[0][1]) == list(origin.records[0][1])
    # respond: the answer in its place
    names = ("id", "instruction", "input", "system", "history")
    answered = [Pair(**{name: getattr(row, name) for name in names}, output='A;\r\n"b"') for row in evolved]
    write_back(answered, again, tmp_path / "pairs")
    assert pairs_of(open_rows(tmp_path / "pairs")) == answered
    # decontaminate: the second row alone, its fields as they were
    write_back([1], origin, tmp_path / "clean")
    assert records(tmp_path / "clean") == records(path)[1:]
    write_back([0, 1], origin, tmp_path / "all")
    assert records(tmp_path / "all") == records(path)


def test_rows_that_are_kept_are_copied_by_their_characters(tmp_path: Path):
    rows = ['{"instruction":"a","score":0.10,"big":1E2,"x":"\\u00e9\\ud83d"}', '{ "instruction" : "b" , "n" : [1 ,2] }']
    path, out = tmp_path / "s", tmp_path / "o"
    path.write_text(f"[{rows[0]},{rows[1]}]")
    write_back([1, 0], open_rows(path), out)
    assert out.read_text() == f"[\n {rows[1]},\n {rows[0]}\n]\n"
    path.write_text(f"\ufeff{rows[0]}\r\n\n{rows[1]}\n")
    write_back([0, 1], open_rows(path), out)
    assert out.read_text() == f"{rows[0]}\n{rows[1]}\n"
    table = '\ufeff"instruction";"n"\r\n"a\r\n""b""";"1.50"\r\n"c";""\r\n'.encode()
    path.write_bytes(table)
    write_back([0, 1], open_rows(path), out)
    assert out.read_bytes() == table


def test_an_alpaca_record_gets_the_fields_by_which_the_kit_knows_it(tmp_path: Path):
    path, out = tmp_path / "s.jsonl", tmp_path / "o.jsonl"
    path.write_text('{"source": "web", "instruction": "a", "input": null, "n": 1.0}\n{"id": 0, "instruction": "b"}\n')
    origin = open_rows(path)
    write_back([Instruction(id="s/0", instruction=""), Instruction(id="0", instruction="c")], origin, out)
    assert out.read_text() == (
        '{"id": "s/0", "source": "web", "instruction": "", "input": null, "n": 1.0, "output": ""}\n'
        '{"id": 0, "instruction": "c", "input": "", "output": ""}\n'
    )
    assert [row.instruction for row in read_instructions(out, "auto", "o")] == ["", "c"]


def test_a_row_of_another_id_becomes_a_new_record(tmp_path: Path):
    for format, kind in CASES:
        path, out = tmp_path / f"{format}-{kind}", tmp_path / f"{format}-{kind}-out"
        path.write_bytes(CONTAINERS[kind][1](ROWS[format]))
        new = [Pair(id="new", instruction="q", output="r", **BEFORE), Pair(id="b", instruction="s", output="t")]
        write_back(new, open_rows(path), out)
        assert pairs_of(open_rows(out)) == new, path.name


def test_lines(tmp_path: Path):
    path, out = tmp_path / "tasks", tmp_path / "out"
    path.write_bytes("\ufeffName a colour, please.\r\n\r\n  Zähle bis drei. \n[not JSON\n".encode())
    with pytest.raises(RequestError, match="not JSON"):
        read_instructions(write(tmp_path / "x", "[not JSON\n"), "auto", "t")
    origin = open_rows(path)
    assert (origin.container, origin.format) == ("lines", "lines")
    rows = instructions_of(origin, "t")
    assert [(row.id, row.instruction) for row in rows] == [
        ("t/0", "Name a colour, please."),
        ("t/1", "Zähle bis drei."),
        ("t/2", "[not JSON"),
    ]
    assert [row.instruction for row in read_instructions(write(tmp_path / "x", "[a\r{b\n"), "lines", "t")] == [
        "[a",
        "{b",
    ]
    write_back([2, 1], origin, out)
    assert out.read_text() == "[not JSON\n  Zähle bis drei. \n"
    # an evolved instruction has line breaks, a pair has an answer: no line holds them
    write_back([Pair(id="tasks/1", instruction="a\nb", output="c")], origin, out)
    assert json.loads(out.read_text()) == [{"id": "tasks/1", "instruction": "a\nb", "input": "", "output": "c"}]


def write(path: Path, text: str | bytes) -> Path:
    path.write_bytes(text.encode() if isinstance(text, str) else text)
    return path


def chat(*turns: dict[str, Any], **fields: Any) -> str:
    return json.dumps([fields | {"messages": list(turns)}])


def say(role: str, content: Any = "x", **keys: Any) -> dict[str, Any]:
    return {"role": role, "content": content} | keys


USER, ANSWER = say("user", "q"), say("assistant", "r")
READ: dict[str, tuple[str, str, dict[str, Any]]] = {
    "roles in capitals": (chat(say("User", "q"), say("Assistant", "r")), "messages", {}),
    "developer": (chat(say("developer", "s"), USER, ANSWER), "messages", {"system": "s"}),
    "an empty system turn": (chat(say("system", ""), USER, ANSWER), "messages", {}),
    "system beside": (chat(USER, ANSWER, system="s"), "messages", {"system": "s"}),
    "parts": (
        chat(say("user", [{"type": "text", "text": "a"}, {"type": "text", "text": "b"}]), ANSWER),
        "messages",
        {"instruction": "a\nb"},
    ),
    "parts that are texts": (chat(say("user", ["a"]), ANSWER), "messages", {"instruction": "a"}),
    "no calls": (chat(USER, say("assistant", "r", tool_calls=None, function_call=None)), "messages", {}),
    "from and value under messages": (
        '[{"messages": [{"from": "human", "value": "q"}, {"from": "chatgpt", "value": "r"}]}]',
        "sharegpt",
        {},
    ),
    "role and content under conversations": (
        '[{"conversations": [{"role": "user", "content": "q"}, {"role": "assistant", "content": "r"}]}]',
        "messages",
        {},
    ),
    "conversation": (
        '[{"conversation": [{"from": "user", "value": "q"}, {"from": "bot", "value": "r"}]}]',
        "sharegpt",
        {},
    ),
    "a chat on one line": (
        '{"messages": [{"role": "user", "content": "q"}, {"role": "assistant", "content": "r"}]}',
        "messages",
        {},
    ),
    "an empty field of another format": (chat(USER, ANSWER, conversations=[], instruction=""), "messages", {}),
    "names": (chat(say("user", "q", name="Ann"), ANSWER, prompt="q"), "messages", {}),
}


@pytest.mark.parametrize("text, format, changes", READ.values(), ids=list(READ))
def test_chats_as_tools_write_them(text: str, format: str, changes: dict[str, Any], tmp_path: Path):
    path = write(tmp_path / "c", text)
    assert open_rows(path).format == format
    assert read_training(path, "auto", "c").rows == [
        Pair(**({"id": "c/0", "instruction": "q", "output": "r"} | changes))
    ]


def test_the_users_last_turn_is_the_instruction_of_a_chat_without_an_answer(tmp_path: Path):
    path = write(tmp_path / "c", chat(USER, ANSWER, say("user", "next")))
    assert read_instructions(path, "messages", "c") == [
        Instruction(id="c/0", instruction="next", history=(("q", "r"),))
    ]


def test_keys_of_turns_that_nobody_reads_are_counted(tmp_path: Path):
    path = write(
        tmp_path / "c", chat(say("user", "q", name="Ann"), say("assistant", "r", weight=1, name="Bot"), tag="x")
    )
    assert read_seeds(path, "auto", "c").facts()["unread_fields"] == {
        "messages.name": 1,
        "messages.weight": 1,
        "tag": 1,
    }


def test_keys_of_turns_are_kept(tmp_path: Path):
    turns = [say("User", [{"type": "text", "text": "q"}], name="Ann"), say("assistant", "r", name="Bot")]
    origin = open_rows(write(tmp_path / "c", chat(*turns, tag="x")))
    write_back([Pair(id="c/0", instruction="p", output="s")], origin, tmp_path / "o")
    assert json.loads((tmp_path / "o").read_text()) == [
        {
            "tag": "x",
            "messages": [
                {"role": "User", "content": [{"type": "text", "text": "p"}], "name": "Ann"},
                {"role": "assistant", "content": "s", "name": "Bot"},
            ],
        }
    ]


def test_an_instruction_that_became_empty_is_known_by_its_id(tmp_path: Path):
    # `kit respond` would refuse what `kit evolve` wrote
    origin = open_rows(write(tmp_path / "c", chat(USER, ANSWER)))
    write_back([Instruction(id="c/0", instruction=" ")], origin, tmp_path / "o")
    assert json.loads((tmp_path / "o").read_text()) == [{"id": "c/0", "messages": [say("user", " ")]}]
    assert [row.id for row in read_instructions(tmp_path / "o", "auto", "o")] == ["c/0"]


LOST = "would be lost, turns are text alone here; leave such rows out"
KNOWN = "assistant, bard, bing, bot, chatgpt, developer, gpt, human, model, system, user"
NAMED = "conversation, conversations, instruction, messages, problem, prompt, question, text"
REFUSED: dict[str, tuple[str | bytes, str]] = {
    # chats: file, row and key
    "no chat": ('[{"id": 1}]', "[0]: no 'instruction'; found id, wanted instruction, input, output"),
    "one turn a record": (
        json.dumps([USER, ANSWER]),
        "[0]: no 'instruction'; found content, role, wanted instruction, input, output; is the file one chat? Then put "
        "it under 'messages' of one object",
    ),
    "a chat as text": (
        chat(USER, ANSWER)[:-1] + ', {"messages": "[]"}]',
        "[1]: 'messages': found str, wanted a list of turns",
    ),
    "no turn": (
        chat(USER, ANSWER)[:-1] + ', {"messages": []}]',
        "[1]: 'messages' is empty; wanted a turn of the user's at least",
    ),
    "a row of another format": (
        chat(USER, ANSWER)[:-1] + ', {"instruction": "a", "output": "b"}]',
        "[1]: no 'conversations' and no 'messages'; found instruction, output, wanted a list of turns with 'role' and "
        "'content' (format messages)",
    ),
    "a turn of another format": (
        chat(USER, {"from": "gpt", "value": "r"}),
        "[0]: 'messages'[1]: no 'role'; found from, value, wanted 'role' and 'content'",
    ),
    "a turn that is a text": (
        chat(USER, "r"),
        "[0]: 'messages'[1]: found str, wanted an object with 'role' and 'content'",
    ),  # type: ignore[arg-type]
    "no role": (chat(say(None, "q")), "[0]: 'messages'[0]: 'role': found NoneType, wanted a role's name"),  # type: ignore[arg-type]
    "an unknown role": (chat(say("usr")), "[0]: 'messages'[0]: 'role': no role 'usr'; did you mean 'user'?"),
    "a stranger's role": (chat(say("narrator")), f"[0]: 'messages'[0]: 'role': no role 'narrator'; known: {KNOWN}"),
    "a tool's turn": (
        chat(USER, say("tool")),
        "[0]: 'messages'[1]: 'role': 'tool' is a tool's turn, turns are text alone here; leave such rows out",
    ),
    "a call": (chat(USER, say("assistant", None, tool_calls=[{}])), f"[0]: 'messages'[1]: 'tool_calls' {LOST}"),
    "a null text": (
        chat(USER, say("assistant", None)),
        "[0]: 'messages'[1]: 'content': found NoneType, wanted text, or a list of parts of text",
    ),
    "an image": (
        chat(say("user", [{"type": "image_url", "image_url": {}}])),
        "[0]: 'messages'[0]: 'content'[0]: a part of the type 'image_url' would be lost, turns are text alone here; "
        "leave such rows out",
    ),
    "a part without text": (
        chat(say("user", [{"type": "text"}])),
        "[0]: 'messages'[0]: 'content'[0]: found NoneType, wanted text, or an object with 'text'",
    ),
    "a weight": (
        chat(USER, say("assistant", "r", weight=0)),
        "[0]: 'messages'[1]: 'weight' would be lost, every answer counts alike; leave out what is not to be learnt, "
        "then the key",
    ),
    "the assistant first": (
        chat(ANSWER, USER, ANSWER),
        "[0]: 'messages'[0]: the assistant speaks first; wanted the user, leave this turn out",
    ),
    "the user twice": (
        chat(USER, USER, ANSWER),
        "[0]: 'messages'[1]: the user speaks twice in a row; wanted the assistant, join the two turns",
    ),
    "the system in the middle": (
        chat(USER, ANSWER, say("system"), USER, ANSWER),
        "[0]: 'messages'[2]: a system turn in the middle of the chat, which is not read; wanted it as the first turn",
    ),
    "the system alone": (
        chat(say("system")),
        "[0]: 'messages' has a system turn alone; wanted a turn of the user's after it",
    ),
    "two system prompts": (
        chat(say("system"), USER, ANSWER, system="s"),
        "[0]: 'messages'[0]: a second system prompt, beside the field 'system'; wanted one",
    ),
    "no answer to learn": (
        chat(USER, ANSWER, USER),
        "[0]: 'messages'[2]: the chat ends with the user, so an answer is lacking; run `kit respond`, or leave that "
        "turn out",
    ),
    "an empty question": (
        chat(say("user", " "), ANSWER, id="a"),
        "[0]: 'messages': the user's last turn is empty; it is the instruction",
    ),
    "an input beside": (
        chat(USER, ANSWER, input="x"),
        "[0]: 'input' would be lost, this format has no such field; take the alpaca format",
    ),
    "tools beside": (
        chat(USER, ANSWER, tools=[{"name": "x"}]),
        "[0]: 'tools' would be lost, rows are text alone here; leave such rows out, or the field if they make sense "
        "without it",
    ),
    "a row of a line": (
        '{"messages": [{"role": "user", "content": "q"}, {"role": "assistant", "content": 1}]}\n',
        ":1: 'messages'[1]: 'content': found int, wanted text, or a list of parts of text",
    ),
    # containers
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
def test_refused(text: str | bytes, message: str, tmp_path: Path):
    path = write(tmp_path / "c", text)
    with pytest.raises(RequestError) as error:
        read_training(path)
    assert str(error.value) == f"{path}{message}"


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


# Parquet


def table(tmp_path: Path, columns: dict[str, Any], **options: Any) -> Path:
    pa, pq = pytest.importorskip("pyarrow"), pytest.importorskip("pyarrow.parquet")
    pq.write_table(pa.table(columns), tmp_path / "p", **options)
    return tmp_path / "p"


def test_columns_that_nobody_reads_keep_their_types(tmp_path: Path):
    pa, pq = pytest.importorskip("pyarrow"), pytest.importorskip("pyarrow.parquet")
    columns = {
        "n": pa.array([1, None], pa.int16()),
        "when": pa.array([0, 1], pa.timestamp("us")),
        "raw": pa.array([b"\xff", None], pa.binary()),
        "nan": pa.array([float("nan"), 1.0], pa.float32()),
        "instruction": pa.array(["a", "b"], pa.dictionary(pa.int32(), pa.string())),
        "output": pa.array(["c", "d"], pa.large_string()),
        "of": pa.array([[{"x": [1]}], []], pa.list_(pa.struct([("x", pa.list_(pa.int8()))]))),
    }
    path = table(tmp_path, columns, compression="gzip")
    origin = open_rows(path)
    write_back([Pair(id="p/1", instruction="e\ud83d", output="f"), 0], origin, tmp_path / "o")
    before, after = pq.read_table(path), pq.read_table(tmp_path / "o")
    assert after.column_names == ["id", *before.column_names, "input"]
    assert after.select(before.column_names).schema.types == before.schema.types
    untouched = ["n", "when", "raw", "of"]
    assert after.select(untouched).to_pylist() == before.take([1, 0]).select(untouched).to_pylist()
    assert after.select(["id", "instruction", "output", "input"]).to_pylist() == [
        {"id": "p/1", "instruction": "e\ufffd", "output": "f", "input": ""},
        {"id": None, "instruction": "a", "output": "c", "input": None},
    ]
    assert pq.ParquetFile(tmp_path / "o").metadata.row_group(0).column(0).compression == "GZIP"


def test_columns_of_one_name_and_no_row_are_refused(tmp_path: Path):
    pa, pq = pytest.importorskip("pyarrow"), pytest.importorskip("pyarrow.parquet")
    path = tmp_path / "p"
    pq.write_table(pa.Table.from_arrays([pa.array(["a"]), pa.array(["b"])], names=["instruction", "instruction"]), path)
    with pytest.raises(RequestError) as error:
        open_rows(path)
    assert str(error.value) == f"{path}: it has the column 'instruction' twice; wanted each name once"
    with pytest.raises(RequestError) as error:
        open_rows(table(tmp_path, {"instruction": pa.array([], pa.string())}))
    assert str(error.value) == f"{path}: no row; wanted a Parquet file of records"


def test_lists_in_each_other_without_end_are_refused(tmp_path: Path):
    pytest.importorskip("pyarrow")
    deep: Any = "x"
    for _ in range(60):
        deep = {"a": [deep]}
    path = table(tmp_path, {"instruction": ["a"], "deep": [deep]})
    with pytest.raises(RequestError) as error:
        open_rows(path)
    assert str(error.value) == (
        f"{path}: cannot be read as Parquet (Parquet schema too deeply nested, consider increasing schema depth limit "
        "(current limit is 100)); is the file cut off?"
    )


def test_a_text_that_is_bytes_is_refused(tmp_path: Path):
    path = table(tmp_path, {"instruction": [b"a"]})
    with pytest.raises(RequestError) as error:
        read_instructions(path, "auto", "p")
    assert str(error.value) == f"{path}[0]: 'instruction': found bytes, wanted text"


def test_parquet_without_pyarrow(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(parquet, "find_spec", lambda _: None)
    path = write(tmp_path / "p", b"PAR1")
    with pytest.raises(RequestError) as error:
        open_rows(path)
    assert str(error.value) == (
        f"{path}: a Parquet file, and pyarrow, which reads it, is not installed; install pyarrow, or write the "
        "rows as JSONL"
    )


def test_parquet_that_unpacks_without_end(tmp_path: Path):
    # half a megabyte that holds 1 GB: one text, 2,000 times
    path = table(tmp_path, {"instruction": 2000 * [2**19 * "x"]}, compression="zstd")
    with pytest.raises(RequestError) as error:
        open_rows(path)
    assert str(error.value) == (f"{path}: unpacks to more than 500 times its {path.stat().st_size:,} bytes; no rows do")


def test_a_reader_that_is_brought_down_is_an_error(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    path = table(tmp_path, {"instruction": ["a"]})
    monkeypatch.setattr(parquet, "SCRIPT", write(tmp_path / "child.py", "import os; os.abort()"))
    with pytest.raises(RequestError) as error:
        open_rows(path)
    assert str(error.value) == (
        f"{path}: its reader came to an end on it (pyarrow); is the file damaged, or too large?"
    )


def test_ids_of_numbers_become_texts_where_a_new_one_is_a_text(tmp_path: Path):
    # all was computed, and then could not be written
    path = table(tmp_path, {"instruction": ["a", "d"], "id": [7, 8], "input": [None, None], "n": [1, 2]})
    write_back([Pair(id="new", instruction="b", input="i", output="c"), 1], open_rows(path), tmp_path / "o")
    assert [record for _, record in open_rows(tmp_path / "o").records] == [
        {"instruction": "b", "id": "new", "input": "i", "n": None, "output": "c"},
        {"instruction": "d", "id": "8", "input": None, "n": 2, "output": None},
    ]


def test_values_that_a_column_can_not_hold(tmp_path: Path):
    path = table(tmp_path, {"instruction": ["a"], "more": [[7]]})
    with pytest.raises(KitError) as error:
        parquet.write(path.read_bytes(), tmp_path / "o", [0], {"more": [(0, "b")]})
    assert str(error.value) == (
        f"{tmp_path}/o: cannot be written as Parquet (Could not convert 'b' with type str: tried to convert to "
        "int64); do its columns fit the new values?"
    )
