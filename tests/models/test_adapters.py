"""Adapters: what PEFT reads with a warning, or with none, is refused."""

import json
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from kit import models
from kit.errors import RequestError
from kit.models.adapters import adaptable_layers, adapter_rank, adapter_settings, brings_tokenizer, check_plain

torch = pytest.importorskip("torch")
peft = pytest.importorskip("peft")

NAMED = "Its adapter_config.json names the base 'a/base'"
Q = "base_model.model.model.layers.{}.self_attn.q_proj.lora_{}.weight"
Tensors = dict[str, Any]


@pytest.fixture
def adapter(originals: dict[str, Path], tmp_path: Path) -> Callable[..., Path]:
    """An adapter on the queries of the untied model, its tensors changed."""
    from safetensors.torch import load_file, save_file
    from transformers import AutoModelForCausalLM

    def make(change: Callable[[Tensors], Tensors] = lambda tensors: tensors, **settings: Any) -> Path:
        config = peft.LoraConfig(r=4, target_modules=["q_proj"], task_type="CAUSAL_LM", **settings)
        base = AutoModelForCausalLM.from_pretrained(originals["untied"], dtype=torch.float32, trust_remote_code=False)
        folder = tmp_path / "adapter"
        peft.get_peft_model(base, config).save_pretrained(folder)
        path = folder / "adapter_config.json"
        path.write_text(json.dumps(json.loads(path.read_text()) | {"base_model_name_or_path": "a/base"}))
        file = folder / "adapter_model.safetensors"
        save_file(change(load_file(file)), file)
        return folder

    return make


@pytest.mark.parametrize("settings", [{}, {"use_dora": True}, {"bias": "all"}, {"modules_to_save": ["norm"]}], ids=str)
def test_a_good_adapter_passes(settings: dict[str, Any], adapter: Callable[..., Path], originals: dict[str, Path]):
    models.check_adapter(adapter(**settings), originals["untied"])
    models.check_adapter(adapter(**settings), originals["biased" if settings == {} else "untied"])


def without(pattern: str) -> Callable[[Tensors], Tensors]:
    return lambda tensors: {name: one for name, one in tensors.items() if not re.search(pattern, name)}


CASES: dict[str, tuple[Callable[[Tensors], Tensors], str]] = {
    "one layer": (
        without(r"layers\.1\."),
        f"2 missing (layer 1): {Q.format(1, 'A')}, {Q.format(1, 'B')}; is the download complete? {NAMED}",
    ),
    "one factor": (without(r"lora_B"), f"2 missing (layers 0 to 1): {Q.format(0, 'B')}, {Q.format(1, 'B')}; "
                   f"is the download complete? {NAMED}"),
    "a layer too many": (
        lambda tensors: tensors | {Q.format(2, "A"): torch.zeros(4, 16)},
        f"1 unknown to it (layer 2): {Q.format(2, 'A')}; was it made for another base? {NAMED}",
    ),
    "another rank": (
        lambda tensors: tensors | {Q.format(0, "A"): torch.zeros(8, 16)},
        f"1 of another shape (layer 0): {Q.format(0, 'A')} 8 x 16, wanted 4 x 16; "
        f"was it made for another base? {NAMED}",
    ),
}  # fmt: skip


@pytest.mark.parametrize("change, message", CASES.values(), ids=list(CASES))
def test_an_adapter_that_does_not_fit(
    change: Callable[[Tensors], Tensors], message: str, adapter: Callable[..., Path], originals: dict[str, Path]
):
    folder, base = adapter(change), originals["untied"]
    with pytest.raises(RequestError) as caught:
        models.check_adapter(folder, base)
    assert str(caught.value) == f"{folder}: the weights are not those of its adapter on {base}: {message}"


def test_an_adapter_for_a_wider_base(adapter: Callable[..., Path], save_model: Callable[..., Path], tmp_path: Path):
    wide = save_model(tmp_path / "wide", "llama", hidden_size=32)
    with pytest.raises(RequestError, match=rf"was it made for another base\? {NAMED}$") as caught:
        models.check_adapter(adapter(), wide)
    assert f"4 of another shape (layers 0 to 1): {Q.format(0, 'A')} 4 x 16, wanted 4 x 32" in str(caught.value)


def test_an_adapter_for_a_deeper_base(adapter: Callable[..., Path], save_model: Callable[..., Path], tmp_path: Path):
    deep, folder = save_model(tmp_path / "deep", "llama", num_hidden_layers=3), adapter()
    with pytest.raises(RequestError) as caught:
        models.check_adapter(folder, deep)
    assert str(caught.value) == (
        f"{folder}: the weights are not those of its adapter on {deep}: 2 missing (layer 2): {Q.format(2, 'A')}, "
        f"{Q.format(2, 'B')}; is the download complete? {NAMED}"
    )


def test_an_adapter_for_another_architecture(
    adapter: Callable[..., Path], save_model: Callable[..., Path], tmp_path: Path
):
    other = save_model(tmp_path / "other", "gpt_neox", num_key_value_heads=4)
    folder = adapter()
    with pytest.raises(RequestError, match=rf"^{folder}: PEFT can't add the adapter to {other}: Target modules"):
        models.check_adapter(folder, other)


@pytest.mark.parametrize("name", ["adapter_config.json", "adapter_model.safetensors"])
def test_a_folder_that_is_no_adapter(name: str, adapter: Callable[..., Path], originals: dict[str, Path]):
    folder = adapter()
    (folder / name).unlink()
    with pytest.raises(RequestError) as caught:
        models.check_adapter(folder, originals["untied"])
    assert str(caught.value) == f"{folder}: no {name} in the folder, wanted an adapter that PEFT saved"


def test_the_layers_that_an_adapter_may_change(originals: dict[str, Path]):
    layers = ["down_proj", "gate_proj", "k_proj", "o_proj", "q_proj", "up_proj", "v_proj"]
    assert adaptable_layers(originals["untied"]) == layers


@pytest.mark.parametrize("target", ["lm_head", "embed_tokens"])
def test_an_adapter_of_the_head_or_the_embedding_is_refused(target: str, originals: dict[str, Path], tmp_path: Path):
    # vLLM was told to leave these layers alone, and left the adapter's part of them out without a word
    from transformers import AutoModelForCausalLM

    base = AutoModelForCausalLM.from_pretrained(originals["untied"], trust_remote_code=False)
    config = peft.LoraConfig(r=4, target_modules=["q_proj", target], task_type="CAUSAL_LM")
    peft.get_peft_model(base, config).save_pretrained(tmp_path, save_embedding_layers=False)
    with pytest.raises(RequestError, match=rf"{target}.* changes the embedding or the head, and engines answer with"):
        check_plain(tmp_path)


def test_the_largest_rank_counts(adapter: Callable[..., Path]):
    assert adapter_rank(adapter()) == 4


def change(folder: Path, **settings: Any) -> Path:
    """Change settings in an adapter's file, and return the adapter's folder."""
    path = folder / "adapter_config.json"
    path.write_text(json.dumps(json.loads(path.read_text()) | settings))
    return folder


@pytest.mark.parametrize(
    "settings",
    [
        {},
        {"use_rslora": True},
        {"init_lora_weights": False},
        {"init_lora_weights": "gaussian"},
        {"rank_pattern": {r"layers\.1\..*q_proj": 2}, "alpha_pattern": {"q_proj": 32}},
        {"target_modules": r".*layers\.\d\.self_attn\.(q_proj)"},
        {"modules_to_save": [], "trainable_token_indices": {}},
    ],
    ids=str,
)
def test_an_adapter_of_low_rank_matrices_alone_is_plain(settings: dict[str, Any], adapter: Callable[..., Path]):
    check_plain(change(adapter(), **settings))


@pytest.mark.parametrize(
    ("settings", "found", "wanted"),
    [
        # PEFT takes its part of these three out of the base's weights, and the base and other adapters answered wrongly
        ({"init_lora_weights": "pissa"}, "'pissa'", True),
        ({"init_lora_weights": "pissa_niter_4"}, "'pissa_niter_4'", True),
        ({"init_lora_weights": "olora"}, "'olora'", True),
        # vLLM said so of these when the base was loaded already
        ({"lora_bias": True}, True, False),
        ({"alora_invocation_tokens": [1, 2]}, [1, 2], None),
        ({"use_qalora": True}, True, False),
        # to vLLM the adapter was one without it
        ({"kasa_config": {"beta": 0.1}}, {"beta": 0.1}, None),
        ({"trainable_token_indices": [7]}, [7], None),
        ({"target_parameters": ["mlp.experts.up"]}, ["mlp.experts.up"], None),
    ],
    ids=str,
)
def test_an_adapter_that_is_more_is_refused(
    settings: dict[str, Any], found: object, wanted: object, adapter: Callable[..., Path]
):
    folder, (name,) = adapter(), settings
    with pytest.raises(RequestError) as caught:
        check_plain(change(folder, **settings))
    assert str(caught.value) == (
        f"{folder}/adapter_config.json: {name}: found {found}, wanted {wanted}: engines answer with plain LoRA "
        "adapters; merge this one into its base with PEFT's merge_and_unload and save that"
    )


ENDLESS = r"(.*)*(.*)*(.*)*x"
NUMBERS = "wanted numbers by names of modules"
NAMES = 'wanted names of modules, such as ["q_proj", "v_proj"], or a short pattern'


@pytest.mark.parametrize(
    ("name", "value", "wanted"),
    [
        # a regular expression that never ends was asked of each module
        ("rank_pattern", {ENDLESS: 4}, NUMBERS),
        ("alpha_pattern", {ENDLESS: 4}, NUMBERS),
        ("alpha_pattern", [1], NUMBERS),
        ("layers_pattern", ENDLESS, NAMES),
        ("target_modules", r"(?:.*(?:q|v)_proj)+", NAMES),
    ],
)
def test_patterns_that_are_not_matched(name: str, value: Any, wanted: str, adapter: Callable[..., Path]):
    folder = adapter()
    with pytest.raises(RequestError) as caught:
        adapter_settings(change(folder, **{name: value}))
    assert str(caught.value) == f"{folder}/adapter_config.json: {name}: found {value!r}, {wanted}"


def test_a_chat_template_without_its_tokenizer_is_refused(tmp_path: Path):
    # chats were written with the base's template, and nobody was told
    assert not brings_tokenizer(tmp_path)
    (tmp_path / "chat_template.jinja").write_text("{{ messages }}")
    with pytest.raises(RequestError) as caught:
        brings_tokenizer(tmp_path)
    assert str(caught.value) == (
        f"{tmp_path}/chat_template.jinja: a chat template, and no tokenizer.json beside it; put the base's tokenizer "
        "files there, or take the template out, and chats are written with the base's"
    )
    (tmp_path / "tokenizer.json").write_text("{}")
    assert brings_tokenizer(tmp_path)
