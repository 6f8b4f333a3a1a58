"""Chats as other tools write them: what is read of them, what is kept, and the message for each that is refused."""

import json
from pathlib import Path
from typing import Any

import pytest

from kit.errors import RequestError
from kit.files.formats import open_rows
from kit.files.seeds import read_instructions, read_seeds, read_training
from kit.files.writing import write_back
from kit.records import Instruction, Pair
from tests.formats.conftest import write


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
REFUSED: dict[str, tuple[str, str]] = {
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
}
"""Chats, and the row and key of each message."""


@pytest.mark.parametrize("text, message", REFUSED.values(), ids=list(REFUSED))
def test_a_chat_is_refused(text: str, message: str, tmp_path: Path):
    path = write(tmp_path / "c", text)
    with pytest.raises(RequestError) as error:
        read_training(path)
    assert str(error.value) == f"{path}{message}"
