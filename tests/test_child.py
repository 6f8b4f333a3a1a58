"""A child process that answers JSON lines: texts cross unchanged, and its end shows as no answer."""

import signal
from pathlib import Path

import pytest

from kit.reading.child import Child

ECHO = "import sys\nfor line in sys.stdin.buffer:\n    sys.stdout.buffer.write(line)\n    sys.stdout.buffer.flush()\n"


def child(tmp_path: Path, source: str, *, quiet: bool = False) -> Child:
    """Start a script of this source."""
    script = tmp_path / "child.py"
    script.write_text(source, encoding="utf-8")
    return Child(script, quiet=quiet)


TEXTS = {
    "letters": "Привет これは",
    "line breaks": "a\nb\r\nc\u2028d\x85",
    "half a surrogate pair": "\ud83d",
    # sent as escapes, two halves beside each other came back as one character
    "two halves of a surrogate pair": "\ud83d" + "\ude00",
    "an emoji": "\U0001f600",
    "a zero byte": "\x00",
}


@pytest.mark.parametrize("text", TEXTS.values(), ids=list(TEXTS))
def test_texts_cross_unchanged(text: str, tmp_path: Path):
    echo = child(tmp_path, ECHO)
    assert echo.ask({"text": text}) == {"text": text}
    assert echo.ask({"again": text}) == {"again": text}
    assert echo.end() == 0


ENDED = {
    "before it read": ("", 0),
    "with an exit code": ("input()\nraise SystemExit(3)\n", 3),
    "in the middle of an answer": ("input()\nprint('{\"text\": 1}', end='')\n", 0),
    "by a signal": ("import os\ninput()\nos.kill(os.getpid(), 9)\n", -signal.SIGKILL),
}


@pytest.mark.parametrize("source, code", ENDED.values(), ids=list(ENDED))
def test_a_process_that_ended_gives_no_answer(source: str, code: int, tmp_path: Path):
    ended = child(tmp_path, source)
    assert ended.ask({"text": "x" * 1_000_000}) is None
    assert (ended.end(), ended.end()) == (code, code)


SAID = {
    "an error": ("import missing_module\n", "ModuleNotFoundError: No module named 'missing_module'"),
    "nothing": ("", "no message"),
}


@pytest.mark.parametrize("source, line", SAID.values(), ids=list(SAID))
def test_the_last_line_that_it_printed_is_told(source: str, line: str, tmp_path: Path):
    ended = child(tmp_path, source)
    assert ended.last_error() == line
    ended.end()


def test_a_process_that_is_busy_is_killed(tmp_path: Path):
    busy = child(tmp_path, "print('{}', flush=True)\nwhile True:\n    pass\n", quiet=True)
    assert busy.receive() == {}
    assert busy.kill() == -signal.SIGKILL


def test_it_has_the_variables_that_are_named_and_no_others(tmp_path: Path):
    alone = child(tmp_path, "import json, os\nprint(json.dumps(dict(os.environ)), flush=True)\n")
    variables = alone.receive() or {}
    variables.pop("LC_CTYPE", None)  # Python sets it for itself where there is no locale
    assert variables == {"PYTHONHASHSEED": "0"}
    assert alone.end() == 0
