"""Keys, addresses, budgets and files that are wrong: the whole message of each, and no key in it."""

import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest

from kit.errors import KitError, RequestError
from kit.judges.environment import read_access
from kit.judges.replies import Question
from kit.judges.server import ask
from tests.judges import serving
from tests.judges.conftest import GREEDY, KEY, Asking, requests, settings
from tests.judges.serving import Server

REMOTE = {"base_url": "https://api.example/v1", "budget_tokens": 10**6, "key_from": "TEST_KEY"}
BY_NAME = {"base_url": "", "base_url_from": "JUDGE_URL", "key_from": "TEST_KEY"}
ENVIRONMENTS: dict[str, tuple[dict[str, Any], Mapping[str, str], str]] = {
    "no key": (
        REMOTE,
        {},
        "key_from: the environment has no TEST_KEY; set it to the server's key, or leave key_from out where the server "
        "wants none",
    ),
    "an empty key": (
        REMOTE,
        {"TEST_KEY": ""},
        "key_from: the environment has no TEST_KEY; set it to the server's key, or leave key_from out where the server "
        "wants none",
    ),
    "a short key": (
        REMOTE,
        {"TEST_KEY": "none"},
        "key_from: TEST_KEY has 4 characters, wanted a key of 8 or more; leave key_from out where the server "
        "wants none",
    ),
    "a line break in the key": (
        REMOTE,
        {"TEST_KEY": f"{KEY}\n"},
        "key_from: TEST_KEY holds a blank, a line break, or what is not ASCII, which no key has; was it copied whole, "
        "and nothing else?",
    ),
    "no address": (
        BY_NAME,
        {"TEST_KEY": KEY},
        "base_url_from: the environment has no JUDGE_URL; set it to the server's address: export JUDGE_URL=https://...",
    ),
    "http with a key": (
        BY_NAME,
        {"TEST_KEY": KEY, "JUDGE_URL": f"http://api.example/{KEY}"},
        "base_url_from: JUDGE_URL: wanted https://, as the key would cross the network for all to read; http:// with a "
        "key goes to this machine alone",
    ),
    "a server elsewhere without a budget": (
        BY_NAME,
        {"TEST_KEY": KEY, "JUDGE_URL": "https://api.example/v1"},
        "base_url_from: JUDGE_URL: a server elsewhere wants a budget: give budget_tokens, or budget_money with "
        "price_in and price_out",
    ),
}


@pytest.mark.parametrize("fields, environment, message", ENVIRONMENTS.values(), ids=list(ENVIRONMENTS))
def test_a_wrong_environment_is_refused(fields: dict[str, Any], environment: Mapping[str, str], message: str):
    with pytest.raises(RequestError) as caught:
        read_access(settings("", **fields), environment)
    assert str(caught.value) == f"served.mine: {message}"
    assert KEY not in str(caught.value)


def test_access_shows_no_key():
    access = read_access(settings("", **BY_NAME), {"TEST_KEY": KEY, "JUDGE_URL": "http://127.0.0.1:1/v1"})
    assert (access.key, KEY in repr(access)) == (KEY, False)


BUDGETS: dict[str, tuple[dict[str, Any], str]] = {
    "tokens for all": (
        {"budget_tokens": 500},
        "they cost 503 tokens at most, and of budget_tokens = 500 are 500 left; raise it, or begin all the same with "
        "partial = true",
    ),
    "tokens for the first": (
        {"budget_tokens": 100, "partial": True},
        "the first of them costs 167 tokens at most, and of budget_tokens = 100 are 100 left; raise it",
    ),
    "money": (
        {"budget_money": 0.05, "price_in": 100.0, "price_out": 1000.0},
        "they cost 0.104 at most, and of budget_money = 0.05 are 0.05 left; raise it, or begin all the same with "
        "partial = true",
    ),
}


@pytest.mark.parametrize("fields, message", BUDGETS.values(), ids=list(BUDGETS))
def test_a_budget_that_does_not_suffice_is_told_before_anything_is_asked(
    fields: dict[str, Any], message: str, asking: Asking
):
    with Server() as server:
        with pytest.raises(RequestError) as caught:
            asking(server, ["one", "two", "three"], **fields)
        assert server.record.asked == {}
    assert str(caught.value) == (
        f"served.mine: 3 questions are to be asked, and the budget does not suffice: {message}"
    )


SURROUNDINGS = {
    "a proxy of no known kind": (
        "HTTPS_PROXY",
        f"foo://me:{KEY}@host:1",
        "the environment names a proxy that can't be used; wanted http://HOST:PORT (HTTPS_PROXY, ALL_PROXY)",
    ),
    "a SOCKS proxy": (
        "ALL_PROXY",
        f"socks5://me:{KEY}@host:1",
        "the environment names a SOCKS proxy; wanted http://HOST:PORT (HTTPS_PROXY, ALL_PROXY)",
    ),
    "certificates that are not there": (
        "SSL_CERT_FILE",
        "/nowhere/ca.pem",
        f"the certificates that the environment names can't be read: {os.strerror(2)} (SSL_CERT_FILE, SSL_CERT_DIR)",
    ),
}


@pytest.mark.parametrize("variable, value, message", SURROUNDINGS.values(), ids=list(SURROUNDINGS))
def test_surroundings_that_can_not_be_used(
    variable: str, value: str, message: str, replies: Path, monkeypatch: pytest.MonkeyPatch
):
    # each ended in a traceback
    for name in ("HTTPS_PROXY", "https_proxy", "ALL_PROXY", "all_proxy", "SSL_CERT_FILE"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv(variable, value)
    server = settings("https://api.example/v1", budget_tokens=10**6)
    with pytest.raises(RequestError) as caught:
        ask(requests("one"), GREEDY, server, replies, lambda *_: None, environment={})
    assert str(caught.value) == f"served.mine: {message}"


def test_a_full_disk_leaves_no_part_of_a_line(asking: Asking, replies: Path, monkeypatch: pytest.MonkeyPatch):
    # what was written of a line counted as all of it: the question was sent, and the file could not be read again
    with Server() as server:
        asking(server, ["one"])
        (path,) = replies.glob("spent-*.jsonl")
        before, write = path.read_text(), os.write
        monkeypatch.setattr("kit.judges.budget.os.write", lambda file, data: write(file, data[:9]))
        with pytest.raises(KitError) as caught:
            asking(server, ["two"])
        assert str(caught.value) == f"{path}: {os.strerror(28)}"
        monkeypatch.undo()
        assert path.read_text() in (before, '{"money": "0", "server": "mine", "tokens": 15}\n')
        asking(server, ["two"])
    assert server.record.asked == {"one": 1, "two": 1}


def test_a_damaged_reply_is_told(asking: Asking, replies: Path):
    with Server() as server:
        asking(server, ["one", "two"])
        path = replies / f"{Question.of(requests('one')[0], 'm', GREEDY).sha256}.json"
        for text in (
            "",
            "{",
            "[]",
            path.read_text().replace("one", "other"),
            path.read_text().replace('"text"', '"t"'),
        ):
            path.write_text(text)
            with pytest.raises(KitError) as caught:
                asking(server, ["one"])
            assert str(caught.value) == (
                f"{path}: damaged, or not the reply to what its name says; remove it, and it is asked again"
            )
        path.unlink()
        asking(server, ["one"])
    assert server.record.asked == {"one": 2, "two": 1}


@pytest.mark.parametrize(
    "line",
    [
        "nonsense",
        "[]",
        '{"id": "x", "came_to": {"tokens": 1, "money": "0"}}',
        '{"tokens": -1, "money": "0"}',
        '{"tokens": 1, "money": "x"}',
    ],
)
def test_a_damaged_record_of_what_was_spent_is_told(line: str, asking: Asking, replies: Path):
    with Server() as server:
        asking(server, ["one"])
        (path,) = replies.glob("spent-*.jsonl")
        path.write_text(f"{path.read_text()}{line}\n")
        with pytest.raises(KitError) as caught:
            asking(server, ["two"])
    assert str(caught.value) == (
        f"{path}: line 4: no line that the kit wrote; it holds what was spent at served.mine: put it right, or remove "
        "it and lower the budget by what was spent"
    )


def test_a_line_that_was_cut_off_counts_as_what_it_left_open(asking: Asking, replies: Path):
    with Server({"two": [serving.status(401)]}) as server:
        asking(server, ["one"], budget_tokens=10**6)
        (path,) = replies.glob("spent-*.jsonl")
        path.write_text(path.read_text()[:-20])  # killed while it wrote what the request came to: its reply is kept
        with pytest.raises(RequestError, match="are 85 left"):
            asking(server, ["one", "two"], budget_tokens=100)
        lines = (
            path.read_text() + '{"id": "x", "asked": "' + "0" * 64 + '", "tokens": 60, "money": "0"}\n{"id": "y", "as'
        )
        path.write_text(lines)  # killed while one was in flight, and another was never sent
        with pytest.raises(RequestError, match="are 25 left"):
            asking(server, ["one", "two"], budget_tokens=100)


def test_a_link_in_the_place_of_a_reply_is_refused(asking: Asking, replies: Path, tmp_path: Path):
    replies.mkdir()
    path = replies / f"{Question.of(requests('one')[0], 'm', GREEDY).sha256}.json"
    path.symlink_to(tmp_path / "elsewhere")
    with Server() as server, pytest.raises(KitError) as caught:
        asking(server, ["one"])
    assert str(caught.value) == f"{path}: a link, wanted a plain file; remove it"


def test_a_folder_that_may_not_be_written_is_told(asking: Asking, replies: Path):
    replies.write_text("")
    with Server() as server, pytest.raises(KitError) as caught:
        asking(server, ["one"])
    assert str(caught.value) == f"replies {replies}: {os.strerror(17)}; name a folder that may be written"
