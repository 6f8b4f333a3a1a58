"""Entries of servers in a manifest: those that are taken, and the whole message for each that is wrong."""

from pathlib import Path
from typing import Any

import pytest

from kit.catalogue import Catalogue, manifests_folder
from kit.catalogue.entries import ModelsFile
from kit.catalogue.manifest import UserManifest
from kit.catalogue.served import Served
from kit.errors import RequestError
from kit.reading.documents import parse
from tests.judges.conftest import settings

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
