"""Asking a real server that misbehaves: nothing lost, nothing asked twice, and each failure told."""

import re
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest

from kit.errors import KitError
from kit.judges.server import Reply
from tests.judges import serving
from tests.judges.conftest import KEY, TEXTS, Asking
from tests.judges.serving import Misdeed, Server, answering, body, status, with_message

PASSING: dict[str, Sequence[Misdeed]] = {
    "429": [status(429)],
    "429 with seconds": [status(429, Retry_After="30")],
    "429 with a date": [serving.later_by_date(30)],
    "429 with a date that is past": [serving.later_by_date(-30)],
    "429 with milliseconds": [status(429, retry_after_ms="1500")],
    "429 with nonsense": [status(429, Retry_After="soon")],
    "500": [status(500)],
    "503, many times": [status(503)] * 5,
    "408": [status(408)],
    "a body that breaks off": [serving.drop],
    "no answer": [serving.drop_at_once],
    "an error that is no JSON": [body("<html>busy</html>", 502)],
    "an error with nothing in it": [body("", 500)],
    "an error in a packed body": [body(b"\x1f\x8b nonsense", 503, Content_Encoding="gzip")],
    "malformed JSON": [body('{"choices": [')],
    "HTML": [body("<html>welcome</html>")],
    "nothing": [body("")],
    "a packed body": [body(b"\x1f\x8b", 200, Content_Encoding="gzip")],
    "bytes that are no text": [body(b"\xff\xfe\x00{")],
    "nested too deep": [body("[" * 100_000 + "]" * 100_000)],
    "a list": [body("[]")],
    "a number": [body("7")],
    "null": [body("null")],
    "an error with status 200": [body('{"error": {"message": "overloaded"}}')],
    "no choices": [answering(choices=None)],
    "empty choices": [answering(choices=[])],
    "choices of another type": [answering(choices={"0": "x"})],
    "no message": [answering(choices=[{"index": 0}])],
    "null content": [answering(**with_message(content=None))],
    "content of another type": [answering(**with_message(content=[{"type": "text", "text": "x"}]))],
    "a finish reason of another type": [answering(**with_message(content="x", finish_reason=3))],
    "a model of another type": [answering(model=["m"])],
    "one after the other": [status(500), serving.drop],
}


@pytest.mark.parametrize("deeds", PASSING.values(), ids=list(PASSING))
def test_a_failure_that_passes_loses_nothing(deeds: Sequence[Misdeed], asking: Asking):
    with Server({"two": deeds}) as server:
        found = asking(server, TEXTS)
    assert [(reply.id, reply.text, reply.reason) for reply in found] == [
        (f"r{place}", f"re: {text}", "") for place, text in enumerate(TEXTS)
    ]
    assert server.record.asked == {"one": 1, "two": 1 + len(deeds), "three": 1}
    assert server.record.answered == {text: 1 + (text == "two") * _answers(deeds) for text in TEXTS}


def _answers(deeds: Sequence[Misdeed]) -> int:
    """Return how many of the deeds are whole answers, though ones that can't be read."""
    return sum(getattr(deed, "__qualname__", "").startswith("answering") for deed in deeds)


def test_a_server_that_hangs_is_asked_again(asking: Asking):
    with Server({"two": [serving.hang]}) as server:
        found = asking(server, TEXTS, timeout_s=1.0)
    assert [reply.text for reply in found] == [f"re: {text}" for text in TEXTS]
    assert server.record.asked["two"] == 2


def test_a_body_that_drips_without_end_is_given_up(asking: Asking):
    # the connection is never silent for the timeout
    with Server({"two": [serving.drip]}) as server:
        found = asking(server, TEXTS, timeout_s=1.0)
    assert [reply.text for reply in found] == [f"re: {text}" for text in TEXTS]


ENDLESS = {
    "early answers": (b"", b"HTTP/1.1 102 Processing\r\n\r\n"),
    "a header": (b"HTTP/1.1 200 OK\r\nX: ", b"x"),
    "the size of a chunk": (b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n1;", b"x"),
}


@pytest.mark.parametrize("start, block", ENDLESS.values(), ids=list(ENDLESS))
def test_what_is_before_a_body_may_not_drip_without_end(start: bytes, block: bytes, asking: Asking):
    # the job hung for ever: the connection is never silent, and no part of a body comes whose time could be taken
    with Server({"two": [serving.drip_of(start, block)]}) as server:
        found = asking(server, TEXTS, timeout_s=0.5)
        assert [reply.text for reply in found] == [f"re: {text}" for text in TEXTS]
        with pytest.raises(KitError) as caught:
            server.always = serving.drip_of(start, block)
            asking(server, ["four"], timeout_s=0.5, retries=0)
    assert str(caught.value) == (
        "served.mine: no whole answer within 0.5 s; what was answered is kept; run it again to go on"
    )


def test_a_body_without_end_is_read_up_to_a_size(asking: Asking):
    with Server({"two": [serving.huge]}) as server:
        found = asking(server, TEXTS)
    assert [reply.text for reply in found] == [f"re: {text}" for text in TEXTS]


def test_a_slow_answer_is_waited_for(asking: Asking):
    with Server(always=serving.slowly(0.3)) as server:
        asking(server, TEXTS)
    assert set(server.record.asked.values()) == {1}


UNANSWERED: dict[str, tuple[Misdeed, int, str]] = {
    "nonsense": (body("<html>"), 3, "no JSON: '<html>'"),
    "null content": (
        answering(**with_message(content=None)),
        3,
        "choices[0].message.content: found None, wanted a text",
    ),
    "no choices": (body("{}"), 3, "wanted choices[0].message, found {}"),
    "an error with status 200": (
        body('{"error": {"message": "overloaded"}}'),
        3,
        "wanted choices[0].message, found {'error': {'message': 'overloaded'}}",
    ),
    "a huge body": (serving.huge, 3, "a body of more than 8 MiB"),
    "a filter": (
        answering(**with_message(content=None, finish_reason="content_filter")),
        1,
        "the server's filter stopped the reply",
    ),
    "a refusal": (answering(**with_message(content=None, refusal="I can't")), 1, 'refused: "I can\'t"'),
    "too long a question": (
        status(400, "maximum context length\x1b is 8"),
        1,
        "status 400: maximum context length\\x1b is 8",
    ),
}


@pytest.mark.parametrize("deed, times, reason", UNANSWERED.values(), ids=list(UNANSWERED))
def test_a_question_without_a_readable_reply_is_unanswered_with_its_reason(
    deed: Misdeed, times: int, reason: str, asking: Asking, replies: Path
):
    with Server({"two": [deed] * 9}) as server:
        found = asking(server, TEXTS)
        again = asking(server, TEXTS)
    assert (
        found[1]
        == again[1]
        == Reply(id="r1", text="", model="", prompt_tokens=0, tokens=0, finish_reason="", reason=reason)
    )
    assert [reply.reason for reply in found] == ["", reason, ""]
    assert server.record.asked["two"] == times
    assert len(list(replies.glob("*.unanswered.json"))) == 1


def test_thoughts_that_the_server_keeps_back_leave_an_empty_text(asking: Asking):
    with Server({"two": [answering(**with_message(content=None, finish_reason="length"))]}) as server:
        found = asking(server, TEXTS)
    assert (found[1].text, found[1].finish_reason, found[1].reason) == ("", "length", "")


ENDING: dict[str, tuple[Misdeed, dict[str, Any], int, str]] = {
    "a key that is refused": (
        status(401, f"Incorrect API key: {KEY}"),
        {},
        1,
        "served.mine: status 401: it refuses the key in TEST_KEY",
    ),
    "no key": (
        status(403),
        {"key_from": ""},
        1,
        "served.mine: status 403: it refuses a request without a key; give key_from",
    ),
    "an unknown model": (
        status(404, "The model `m` does not exist"),
        {},
        1,
        "served.mine: status 404: The model `m` does not exist; is base_url right (with /v1 at its end, but for "
        "Azure), and 'm' known there?",
    ),
    "elsewhere": (
        body("", 307, Location="http://127.0.0.1:9/x"),
        {},
        1,
        "served.mine: status 307: it leads on to another address, to which no key is sent; give that as base_url",
    ),
    "always busy": (
        status(429, f"slow down, {KEY}"),
        {"retries": 2},
        3,
        "served.mine: 3 times in a row: status 429: slow down, [key]; what was answered is kept; run it again to go on",
    ),
    "busy for days": (
        status(429, Retry_After="86400"),
        {},
        1,
        "served.mine: status 429: no: it wants to be left alone for 86,400 s; what was answered is kept; run it again "
        "to go on",
    ),
    "silent": (
        serving.hang,
        {"retries": 0, "timeout_s": 0.3},
        1,
        "served.mine: no answer within 0.3 s; what was answered is kept; run it again to go on",
    ),
}


@pytest.mark.parametrize("deed, fields, times, message", ENDING.values(), ids=list(ENDING))
def test_a_failure_that_stays_ends_the_job(
    deed: Misdeed, fields: dict[str, Any], times: int, message: str, asking: Asking, replies: Path
):
    with Server(always=deed) as server:
        with pytest.raises(KitError) as caught:
            asking(server, ["one"], **{"key_from": "TEST_KEY"} | fields)
        assert server.record.asked["one"] == times
    assert str(caught.value) == message
    assert caught.value.__cause__ is None and caught.value.__context__ is None
    assert list(replies.glob("*.json")) == []


def test_no_server_at_all_ends_the_job(asking: Asking):
    with Server() as server:
        pass
    with pytest.raises(KitError) as caught:
        asking(server, TEXTS, retries=1, in_flight=1)
    assert str(caught.value) == (
        "served.mine: 2 times in a row: ConnectError: [Errno 111] Connection refused; what was answered is kept; "
        "run it again to go on"
    )


def test_what_was_answered_before_the_end_is_not_asked_again(asking: Asking):
    with Server({"three": [status(401)]}) as server:
        with pytest.raises(KitError):
            asking(server, TEXTS, in_flight=1)
        assert [reply.text for reply in asking(server, TEXTS)] == [f"re: {text}" for text in TEXTS]
    assert server.record.asked == {"one": 1, "two": 1, "three": 2}


def test_a_server_that_answers_nothing_is_at_fault_itself(asking: Asking, replies: Path):
    # all would have been unanswered, and a table full of zeros
    with Server(always=status(400, "unknown field")) as server:
        with pytest.raises(KitError) as caught:
            asking(server, [f"q{number}" for number in range(100)], in_flight=2)
        asked = sum(server.record.asked.values())
        assert 20 <= asked < 100
        with pytest.raises(KitError) as again:
            asking(server, [f"q{number}" for number in range(100)], in_flight=2)
    assert re.sub(r"none of \d+ ", "none of 20 ", str(caught.value)) == (
        f"served.mine: none of 20 questions was answered; the first: status 400: unknown field; mend the server's "
        f"entry, then remove *.unanswered.json in {replies} to ask again"
    )
    assert str(again.value).startswith("served.mine: none of ")
    assert sum(server.record.asked.values()) == asked


def test_a_sound_server_is_found_though_it_refuses_the_first_questions(asking: Asking):
    # 20 were refused before the first was answered: all else was left unasked, and ended in a KeyError
    texts = ["sound", *(f"q{number}" for number in range(30)), "last"]
    script = {"sound": [serving.slowly(1.0)], "last": [serving.answer]}
    with Server(script, always=status(400)) as server:
        found = asking(server, texts, in_flight=2)
    assert [reply.text for reply in found] == ["re: sound", *[""] * 30, "re: last"]
    assert server.record.asked == dict.fromkeys(texts, 1)
