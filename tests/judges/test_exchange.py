"""What is sent to a server and what is kept of its replies: the request, the reply's fields, and no key."""

import json
import threading
from pathlib import Path

import pytest

from kit.errors import RequestError
from kit.judges.server import ask, estimate
from tests.judges import serving
from tests.judges.conftest import GREEDY, KEY, TEXTS, Asking, requests, settings
from tests.judges.serving import Server, answering, body, with_message


def test_equal_questions_are_asked_once(asking: Asking):
    with Server() as server:
        found = asking(server, ["one", "two", "one", "one"])
    assert server.record.asked == {"one": 1, "two": 1}
    assert [(reply.id, reply.text) for reply in found] == [
        ("r0", "re: one"),
        ("r1", "re: two"),
        ("r2", "re: one"),
        ("r3", "re: one"),
    ]


def test_a_reply_is_kept_whichever_server_gave_it(asking: Asking, replies: Path):
    with Server() as first:
        before = asking(first, TEXTS)
    with Server() as second:
        assert asking(second, TEXTS, in_flight=1, retries=0) == before
        assert second.record.asked == {}
        asking(second, TEXTS, model="another")
        assert second.record.asked == dict.fromkeys(TEXTS, 1)


def test_what_a_reply_holds(asking: Asking):
    with Server(
        {"one": [answering(usage=None, model=None)], "two": [answering(usage={"prompt_tokens": -1})]}
    ) as server:
        found = asking(server, TEXTS)
    assert [(reply.model, reply.prompt_tokens, reply.tokens, reply.finish_reason) for reply in found] == [
        ("", 0, 0, "stop"),
        ("served-2024", 0, 0, "stop"),
        ("served-2024", 10, 5, "stop"),
    ]


def test_a_model_name_without_end_is_cut(asking: Asking):
    # it went whole into every verdict and into the facts; a half character there ended the job in a traceback
    with Server(always=answering(model="\x1b\ud800" + "m" * 10**5)) as server:
        assert asking(server, ["one"])[0].model == "\\x1b\\ud800" + "m" * 195 + "..."


def test_half_a_character_of_a_reply_is_kept_as_it_came(asking: Asking):
    text = json.dumps(serving.reply("x", **with_message(content="a\ud83dz")))
    with Server({"one": [body(text)]}) as server:
        assert asking(server, ["one"])[0].text == asking(server, ["one"])[0].text == "a\ud83dz"
    assert server.record.asked == {"one": 1}


def test_what_is_sent(asking: Asking):
    with Server() as server:
        asking(server, ["one"], key_from="TEST_KEY", token_limit="max_completion_tokens")
    (sent,) = server.record.bodies
    assert sent == {
        "model": "m",
        "messages": [{"role": "user", "content": "one"}],
        "temperature": 0.0,
        "max_completion_tokens": 20,
    }
    (headers,) = server.record.headers
    assert (headers["authorization"], headers["accept-encoding"]) == (f"Bearer {KEY}", "identity")
    assert server.record.paths == ["/v1/chat/completions"]


def test_a_deployment_of_azures(asking: Asking):
    with Server() as server:
        fields = {"base_url": server.url.removesuffix("/v1"), "azure_api_version": "2024-10-21", "deployment": "judge"}
        asking(server, ["one"], key_from="TEST_KEY", **fields)
        asking(server, ["one"], key_from="TEST_KEY")  # the same model elsewhere: nothing is asked
    assert server.record.paths == ["/openai/deployments/judge/chat/completions?api-version=2024-10-21"]
    (headers,) = server.record.headers
    assert headers["api-key"] == KEY and "authorization" not in headers


def test_no_more_requests_are_in_flight_than_allowed(asking: Asking):
    with Server(always=serving.slowly(0.02)) as server:
        asking(server, [f"q{number}" for number in range(12)], in_flight=3)
    assert server.record.most_in_flight <= 3


def test_the_key_is_in_no_file_and_no_reply(asking: Asking, replies: Path):
    echo = answering(model=KEY, **with_message(content=f"you sent {KEY}"))
    with Server({"one": [echo], "two": [body(f"{{ {KEY}")] * 3}) as server:
        found = asking(server, TEXTS, key_from="TEST_KEY")
    assert (found[0].text, found[0].model, found[1].reason) == ("you sent [key]", "[key]", "no JSON: '{ [key]'")
    assert [path.name for path in replies.iterdir() if KEY.encode() in path.read_bytes()] == []


@pytest.mark.parametrize("before", range(90, 125, 4))
@pytest.mark.parametrize("where", ["no JSON", "a field", "a field's name", "content", "a refusal", "a model"])
def test_a_key_that_a_message_cuts_is_in_no_file(where: str, before: int, asking: Asking, replies: Path):
    # the message was cut first, and what was left of the key stood in it
    echo = "y" * before + KEY
    deed = {
        "no JSON": body(echo),
        "a field": answering(choices=echo),
        "a field's name": answering(choices={echo: 1}),
        "content": answering(**with_message(content=[echo])),
        "a refusal": answering(**with_message(content=None, refusal=echo)),
        "a model": answering(model=[echo]),
    }[where]
    with Server({"two": [deed] * 3}) as server:
        found = asking(server, ["one", "two"], key_from="TEST_KEY")
    assert found[1].reason and "y" * 80 in found[1].reason
    assert [path.name for path in replies.iterdir() if KEY[:4].encode() in path.read_bytes()] == []


def test_two_processes_do_not_ask_at_a_time(asking: Asking, replies: Path):
    with Server(always=serving.slowly(0.05)) as server:
        threads = [threading.Thread(target=asking, args=(server, TEXTS)) for _ in range(3)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
    assert server.record.asked == dict.fromkeys(TEXTS, 1)


def test_progress_is_told(replies: Path):
    told: list[tuple[int, int, int]] = []
    with Server() as server:
        for _ in range(2):
            ask(requests(*TEXTS), GREEDY, settings(server.url), replies, lambda *counts: told.append(counts))
    assert told == [(0, 3, 0), (1, 3, 5), (2, 3, 10), (3, 3, 15), (3, 3, 0)]


def test_a_last_turn_of_the_assistants_is_refused(asking: Asking):
    made = requests("x")[0]
    turns = (*made.turns, made.turns[0].__class__(role="assistant", content="so"))
    with pytest.raises(RequestError) as caught:
        estimate([type(made)(id="r0", turns=turns, seed=0)], GREEDY, settings("http://127.0.0.1:9/v1"))
    assert str(caught.value) == (
        "request r0: last turn: found assistant, wanted user; a server begins a new reply and continues none"
    )
