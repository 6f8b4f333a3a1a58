"""Entries, keys, addresses, budgets and files that are wrong: the whole message of each, and no key in it."""

import os
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import pytest

from kit.catalogue import Catalogue, manifests_folder
from kit.catalogue.entries import ModelsFile
from kit.catalogue.manifest import UserManifest
from kit.catalogue.served import Served
from kit.errors import KitError, RequestError
from kit.judges.environment import read_access
from kit.judges.replies import Question
from kit.judges.server import Reply, ask
from kit.reading.documents import parse
from tests.judges import serving
from tests.judges.conftest import GREEDY, KEY, requests, settings
from tests.judges.serving import Server

GOOD = """schema = 1
[models]
[served."gpt-4"]
model = "gpt-4"
base_url = "https://api.openai.com/v1"
key_from = "OPENAI_API_KEY"
budget_tokens = 1000
"""
MISSING = "price_in, price_out and budget_money belong together; missing: "
NAME = (
    "key_from: wanted the NAME of an environment variable, in capital letters and ending in _KEY, such as "
    "OPENAI_API_KEY; the key itself stands in no file"
)

ENTRIES: dict[str, tuple[str, str, str]] = {
    "an unknown key": (
        'model = "gpt-4"',
        'model = "gpt-4"\napi_key = "sk-secret"',
        ".api_key: no such key; known: azure_api_version, base_url, base_url_from, budget_money, budget_tokens, "
        "deployment, in_flight, key_from, model, note, partial, per_minute, price_in, price_out, retries, timeout_s, "
        "token_limit",
    ),
    "no model": ('model = "gpt-4"\n', "", ".model: missing; it has no default"),
    "a key in place of its name": ("OPENAI_API_KEY", "sk-secret", f": {NAME}"),
    "a name that is no key's": ("OPENAI_API_KEY", "OPENAI_SECRET", f": {NAME}"),
    "no address": (
        'base_url = "https://api.openai.com/v1"\n',
        "",
        ": wanted one of base_url, base_url_from; found none",
    ),
    "two addresses": (
        "budget_tokens = 1000",
        'base_url_from = "JUDGE_URL"',
        ": wanted one of base_url, base_url_from; found both",
    ),
    "an address in place of its name": (
        'base_url = "https://api.openai.com/v1"',
        'base_url_from = "https://api.openai.com/v1"',
        ": base_url_from: wanted the NAME of an environment variable, in capital letters and not ending in _KEY, such "
        "as JUDGE_URL",
    ),
    "another scheme": (
        "https:",
        "ftp:",
        ": base_url: wanted an address that begins with https://, or http:// for a server of one's own",
    ),
    "no host": (
        "https://api.openai.com/v1",
        "https:///v1",
        ": base_url: wanted an address that begins with https://, or http:// for a server of one's own",
    ),
    "no number as its port": (
        "https://api.openai.com/v1",
        "https://api.openai.com:x/v1",
        ": base_url: that is no address; wanted one such as https://api.openai.com/v1",
    ),
    "a key in the address": (
        "https://api.openai.com/v1",
        "https://api.openai.com/v1?key=sk-secret",
        ": base_url: wanted an address without user, password, ? and #; a key goes into the environment (key_from)",
    ),
    "a password in the address": (
        "https://api",
        "https://me:sk-secret@api",
        ": base_url: wanted an address without user, password, ? and #; a key goes into the environment (key_from)",
    ),
    "a blank in the address": (
        "https://api",
        "https://my api",
        ": base_url: an address is of plain ASCII; write all else by its percent codes, a blank as %20",
    ),
    "http with a key": (
        "https://api",
        "http://api",
        ": base_url: wanted https://, as the key would cross the network for all to read; http:// with a key goes to "
        "this machine alone",
    ),
    "a server elsewhere without a budget": (
        "budget_tokens = 1000\n",
        "",
        ": base_url: a server elsewhere wants a budget: give budget_tokens, or budget_money with price_in and "
        "price_out",
    ),
    "prices without a budget": (
        "budget_tokens = 1000",
        "budget_tokens = 1000\nprice_in = 1\nprice_out = 2",
        f": {MISSING}budget_money",
    ),
    "a budget without prices": ("budget_tokens = 1000", "budget_money = 5", f": {MISSING}price_in, price_out"),
    "a deployment without Azure": (
        "budget_tokens = 1000",
        'budget_tokens = 1000\ndeployment = "mine"',
        ": deployment: it is Azure's; give azure_api_version too",
    ),
    "Azure without a key": (
        'key_from = "OPENAI_API_KEY"',
        'azure_api_version = "2024-10-21"',
        ": azure_api_version: Azure wants a key; give key_from",
    ),
    "a version that is no date": (
        "budget_tokens = 1000",
        'budget_tokens = 1000\nazure_api_version = "latest"',
        ".azure_api_version: string should match pattern '^([0-9]{4}-[0-9]{2}-[0-9]{2}(-preview)?)?$', found 'latest'",
    ),
    "no request in flight": (
        "budget_tokens = 1000",
        "budget_tokens = 1000\nin_flight = 0",
        ".in_flight: input should be greater than or equal to 1, found 0",
    ),
    "no time": (
        "budget_tokens = 1000",
        "budget_tokens = 1000\ntimeout_s = 0",
        ".timeout_s: input should be greater than 0, found 0",
    ),
}


@pytest.mark.parametrize("good, bad, message", ENTRIES.values(), ids=list(ENTRIES))
def test_a_wrong_entry_is_refused(good: str, bad: str, message: str):
    assert good in GOOD
    with pytest.raises(RequestError) as caught:
        parse(ModelsFile, GOOD.replace(good, bad, 1), "models.toml")
    assert str(caught.value) == f"models.toml: served.gpt-4{message}"


def test_partial_without_a_budget_is_refused():
    text = 'schema = 1\n[models]\n[served.a]\nmodel = "m"\nbase_url = "http://localhost:8000/v1"\npartial = true\n'
    with pytest.raises(RequestError) as caught:
        parse(ModelsFile, text, "models.toml")
    assert str(caught.value) == (
        "models.toml: served.a: partial = true goes with a budget; give budget_tokens, or budget_money and prices"
    )


@pytest.mark.parametrize(
    "changes",
    [
        {},
        {"base_url": "http://localhost:8000/v1"},
        {"base_url": "http://127.0.0.1:8000/v1", "key_from": "VLLM_API_KEY"},
        {"base_url": "http://[::1]:8000/v1"},
        {"base_url": "http://gpu-box:8000/v1", "budget_tokens": 10**6},
        {"base_url": "https://x.example/v1", "key_from": "X_KEY", "budget_money": 1.0, "price_in": 0, "price_out": 2.5},
    ],
)
def test_a_right_entry_is_taken(changes: dict[str, Any]):
    assert settings("http://127.0.0.1:1/v1", **changes).entry.model == "m"


def test_the_page_on_judging_shows_entries_that_are_taken_and_names_every_field():
    page = (Path(__file__).parents[2] / "docs" / "judging.md").read_text(encoding="utf-8")
    example = page.partition("```toml\n")[2].partition("```")[0]
    found = parse(ModelsFile, f"schema = 1\n[models]\n{example}", "docs/judging.md").served
    assert list(found) == ["gpt-4", "gpt-4-azure", "qwen-judge"]
    assert [name for name in Served.model_fields if name != "note" and f"`{name}`" not in page] == []


def test_the_kits_own_server_and_the_users():
    kits = Catalogue(manifests_folder()).served["gpt-4"]
    assert (kits.key_from, kits.model, kits.has_budget) == ("OPENAI_API_KEY", "gpt-4", True)
    own = kits.model_copy(update={"budget_tokens": 5})
    user = UserManifest.model_construct(served={"gpt-4": own}, models={})
    assert Catalogue(manifests_folder(), user=user, where="my.toml").served["gpt-4"].budget_tokens == 5
    both = UserManifest.model_construct(served={"qwen-2-7b": own}, models={})
    with pytest.raises(RequestError) as caught:
        _ = Catalogue(manifests_folder(), user=both, where="my.toml").served
    assert str(caught.value) == (
        "my.toml: served.qwen-2-7b: a model of that name has weights of its own; give one of the two another name"
    )


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


Asking = Callable[..., list[Reply]]
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
