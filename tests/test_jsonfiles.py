"""Reading of JSON and plain files from other users: the refusals, their messages, and their time."""

import os
import re
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from kit.errors import RequestError
from kit.reading.jsonfiles import parse_json, read_object
from kit.reading.textfiles import open_regular, read_bytes


@pytest.mark.parametrize(
    ("text", "message"),
    [
        pytest.param("[" * 200_000, "x: more than 100 brackets in each other at character 100", id="deep-list"),
        pytest.param('{"a":' * 200_000, "x: more than 100 brackets in each other at character 500", id="deep-object"),
        pytest.param('{"a": NaN}', "x: not JSON: NaN is no number of JSON; is the file cut off?", id="nan"),
        pytest.param("[-Infinity]", "x: not JSON: -Infinity is no number of JSON; is the file cut off?", id="infinity"),
        pytest.param("[1e999]", "x: not JSON: 1e999 is too large a number; is the file cut off?", id="beyond-float"),
        pytest.param(
            "[" + "7" * 5000 + "]",
            "x: not JSON: Exceeds the limit (4300 digits) for integer string conversion: value has 5000 digits; use "
            "sys.set_int_max_str_digits() to increase the limit; is the file cut off?",
            id="many-digits",
        ),
        pytest.param(
            '"' + "\\" * 100_001,
            "x: not JSON: Unterminated string starting at: line 1 column 1 (char 0); is the file cut off?",
            id="backslashes",
        ),
        pytest.param("", "x: not JSON: Expecting value: line 1 column 1 (char 0); is the file cut off?", id="empty"),
    ],
)
def test_invalid_json_is_refused_in_a_sentence(text: str, message: str) -> None:
    """``json.loads`` takes NaN, and ends deep nesting with a RecursionError."""
    with pytest.raises(RequestError, match=f"^{re.escape(message)}$"):
        parse_json(text, "x")


@given(st.recursive(st.none() | st.booleans() | st.integers(-(2**70), 2**70) | st.text('[]{}"\\a'), st.lists))
def test_brackets_in_strings_do_not_count(value: object) -> None:
    """A value comes back as it was, however many brackets its strings hold."""
    import json

    assert parse_json(json.dumps([value, "[" * 300]), "x") == [value, "[" * 300]


def test_a_pipe_a_device_a_link_a_folder_and_a_strange_name_are_refused_at_once(tmp_path: Path) -> None:
    """``read_bytes`` of a pipe that nobody writes to used to wait for ever."""
    os.mkfifo(tmp_path / "pipe")
    (tmp_path / "file").write_text("{}")
    (tmp_path / "link").symlink_to("file")
    cases = {
        tmp_path / "pipe": "a pipe, wanted a plain file",
        Path("/dev/zero"): "a device, wanted a plain file",
        tmp_path: "a folder, wanted a plain file",
        tmp_path / "none": "No such file or directory",
    }
    for path, message in cases.items():
        with pytest.raises(RequestError, match=f"^{re.escape(f'{path}: {message}')}$"):
            read_bytes(path)
    with pytest.raises(RequestError, match="a link, wanted a plain file; remove it"):
        open_regular(tmp_path / "link", follow_links=False)
    with pytest.raises(RequestError, match="no file's name"):
        read_bytes(Path("a\0b"))
    assert read_object(tmp_path / "link") == {}


def test_a_file_larger_than_its_limit_and_another_value_are_refused(tmp_path: Path) -> None:
    """The limit counts before anything is parsed."""
    (tmp_path / "list.json").write_text("[1, 2]")
    with pytest.raises(RequestError, match="more than 5 bytes, which no such file has"):
        read_object(tmp_path / "list.json", max_bytes=5)
    with pytest.raises(RequestError, match="found list, wanted a JSON object"):
        read_object(tmp_path / "list.json")
