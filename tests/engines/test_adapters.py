"""Adapters beside a model's weights: one engine start, and no text takes anything from another adapter."""

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from kit.engines import ADAPTER_RANKS, EngineSettings, adapter_room, check_room, fake
from kit.errors import RequestError

ADAPTERS = Path(__file__).with_name("adapters.py")


@pytest.fixture(
    scope="module",
    params=["fake", pytest.param("transformers", marks=pytest.mark.real), pytest.param("vllm", marks=pytest.mark.real)],
)
def seen(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    folder = tmp_path_factory.mktemp(request.param)
    done = subprocess.run(
        [sys.executable, str(ADAPTERS), request.param, str(folder)],
        capture_output=True,
        check=False,
        text=True,
        timeout=3600,
        env={**os.environ, "HF_HUB_OFFLINE": "1", "OMP_WAIT_POLICY": "passive"},
    )
    assert done.returncode == 0, done.stderr[-4000:]
    found: dict[str, Any] = json.loads(done.stdout.splitlines()[-1])
    return found | {"name": request.param}


def texts(rows: list[dict[str, Any]]) -> list[str]:
    return [row["text"] for row in rows]


def test_an_adapters_text_is_not_the_bases(seen: dict[str, Any]):
    for name in ("first", "second"):
        assert [row["id"] for row in seen[name]] == [row["id"] for row in seen["base_before"]]
        assert texts(seen[name]) != texts(seen["base_before"])
    assert texts(seen["first"]) != texts(seen["second"])
    assert seen["scores_first"] != seen["scores_before"]


def test_two_adapters_of_one_engine_do_not_mix(seen: dict[str, Any]):
    assert seen["first_again"] == seen["first"]
    assert seen["second_again"] == seen["second"]


def test_the_bases_text_is_the_same_beside_adapters(seen: dict[str, Any]):
    # vLLM's kernels for CPUs gave rows without an adapter the last adapter that was loaded.
    assert seen["base_after"] == seen["base_before"]
    assert seen["scores_after"] == seen["scores_before"]


@pytest.mark.parametrize("name", ["base", "first", "second"])
def test_the_text_is_what_pefts_own_forward_gives(seen: dict[str, Any], name: str):
    if seen["name"] == "fake":
        pytest.skip("no model")
    # The second adapter's folder has a tokenizer with a chat template of its own, which is the one that is used.
    assert texts(seen["base_before" if name == "base" else name]) == seen["plain"][name]


def test_a_larger_rank_than_the_engine_was_opened_for_is_refused(seen: dict[str, Any]):
    if seen["name"] == "fake":
        pytest.skip("no model")
    assert seen["too_large"].endswith(
        "adapter-2: an adapter of rank 16, and the engine was opened with lora_rank 8; open it with 16"
    )


def test_an_engine_with_adapters_takes_no_other_weights(seen: dict[str, Any]):
    assert seen["swapped"] is False


@pytest.mark.parametrize(("rank", "room"), [(1, 1), (2, 8), (8, 8), (9, 16), (512, 512)])
def test_near_ranks_share_an_engine_start(rank: int, room: int):
    assert adapter_room(rank, "a") == room


def test_a_rank_that_no_engine_takes():
    with pytest.raises(RequestError) as caught:
        adapter_room(1000, "mine")
    assert str(caught.value) == (
        "mine: an adapter of rank 1,000, and engines answer with rank 512 at most; lower the rank, or merge the "
        "adapter into its base"
    )


def test_an_adapter_takes_the_place_of_another():
    settings = EngineSettings(name="fake", lora_rank=8)
    base = fake.open(Path("base"), settings)
    first, second = base.with_adapter(Path("first")), base.with_adapter(Path("second"))
    texts = [("How", "do you do?")]
    assert first.with_adapter(Path("second")).loglikelihood(texts) == second.loglikelihood(texts)
    assert first.loglikelihood(texts) != second.loglikelihood(texts)


def test_an_engine_without_room_for_adapters_says_so():
    with pytest.raises(RequestError) as caught:
        check_room(Path("a"), 4, EngineSettings())
    assert str(caught.value) == ("a: an adapter of rank 4, and the engine was opened with lora_rank 0; open it with 8")


@pytest.mark.real
def test_the_ranks_are_vllms_own():
    code = "from typing import get_args\nfrom vllm.config.lora import MaxLoRARanks\nprint(*get_args(MaxLoRARanks))"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True, timeout=3600)
    assert tuple(map(int, done.stdout.split())) == ADAPTER_RANKS


@pytest.mark.real
def test_on_a_cpu_vllm_adds_each_tokens_adapter_to_its_row_and_none_where_there_is_none():
    driver = Path(__file__).with_name("lora_products.py")
    done = subprocess.run([sys.executable, str(driver)], capture_output=True, text=True, check=True, timeout=3600)
    differences = json.loads(done.stdout.splitlines()[-1])
    assert differences == pytest.approx({"one": 0, "none": 0, "mixed": 0}, abs=1e-5)


def test_vllm_is_told_of_adapters_where_there_are_some():
    from kit.engines.vllm import arguments

    assert "enable_lora" not in arguments(Path("m"), EngineSettings())
    told = arguments(Path("m"), EngineSettings(lora_rank=4))
    assert (told["enable_lora"], told["max_lora_rank"], told["max_loras"]) == (True, 8, 1)
