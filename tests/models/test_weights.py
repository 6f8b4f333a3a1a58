"""Weights compared with config.json: each of these trained and answered with random weights, and exit code 0."""

import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from kit import models
from kit.errors import RequestError

torch = pytest.importorskip("torch")
pytest.importorskip("transformers")

FIT = "{folder}: the weights are not those of its LlamaForCausalLM: "
HEAD = "is the download complete? If the head is the embedding, set tie_word_embeddings to true in config.json"
MLP = "model.layers.1.mlp.down_proj.weight, model.layers.1.mlp.gate_proj.weight, model.layers.1.mlp.up_proj.weight"


def without(*patterns: str) -> Callable[[dict[str, Any]], dict[str, Any]]:
    """The tensors whose names match none of the patterns."""
    return lambda tensors: {n: t for n, t in tensors.items() if not any(re.search(p, n) for p in patterns)}


def with_tensor(name: str, tensor: Any) -> Callable[[dict[str, Any]], dict[str, Any]]:
    return lambda tensors: tensors | {name: tensor}


GOOD = {
    "llama": ("llama", {"tie_word_embeddings": False}),
    "llama, tied": ("llama", {"tie_word_embeddings": True}),
    "llama, biases": ("llama", {"attention_bias": True, "mlp_bias": True}),
    "llama, scaled rope": ("llama", {"rope_parameters": {"rope_type": "linear", "factor": 2.0, "rope_theta": 1e4}}),
    "qwen2": ("qwen2", {"tie_word_embeddings": False}),
    "qwen2, tied": ("qwen2", {"tie_word_embeddings": True}),
    "qwen3": ("qwen3", {"head_dim": 8}),
    "mistral": ("mistral", {"tie_word_embeddings": False, "sliding_window": None}),
    "mistral, tied": ("mistral", {"tie_word_embeddings": True, "sliding_window": 8}),
    # experts are stored one by one and loaded as one tensor
    "mixtral": ("mixtral", {"num_local_experts": 3, "num_experts_per_tok": 2}),
    "gemma2, tied": ("gemma2", {"head_dim": 8, "tie_word_embeddings": True}),
    "gpt_neox": ("gpt_neox", {"num_key_value_heads": 4}),
}


@pytest.mark.parametrize("model_type, more", GOOD.values(), ids=list(GOOD))
def test_a_good_folder_passes(model_type: str, more: dict[str, Any], tmp_path: Path, save_model: Callable[..., Any]):
    folder = save_model(tmp_path / "model", model_type, **more)
    models.check_model_folder(folder)
    models.check_weights(folder)


HARMLESS = {
    "rotary buffers of an old checkpoint": (
        "untied",
        lambda tensors: tensors | {f"model.layers.{i}.self_attn.rotary_emb.inv_freq": torch.ones(2) for i in range(2)},
    ),
    "a tied head that is stored": (
        "tied",
        lambda tensors: tensors | {"lm_head.weight": tensors["model.embed_tokens.weight"].clone()},
    ),
    "no prefix": ("untied", lambda tensors: {name.removeprefix("model."): one for name, one in tensors.items()}),
    "half precision": ("untied", lambda tensors: {name: tensor.half() for name, tensor in tensors.items()}),
    "mixed precision": (
        "biased",
        lambda tensors: {n: t.to(torch.bfloat16 if "norm" in n else torch.float64) for n, t in tensors.items()},
    ),
}


@pytest.mark.parametrize("name, change", HARMLESS.values(), ids=list(HARMLESS))
def test_what_is_harmless_passes(
    name: str, change: Callable[..., Any], copy: Callable[..., Path], rewrite: Callable[..., Any]
):
    folder = copy(name)
    rewrite(folder, change)
    models.check_model_folder(folder)
    models.check_weights(folder)


EIGHT_BITS = torch.zeros(24, 16, dtype=torch.int8)
DAMAGED: dict[str, tuple[str, Callable[..., Any], str]] = {
    "one layer's MLP": ("untied", without("layers.1.mlp"), f"3 missing (layer 1): {MLP}; is the download complete?"),
    "an untied head": ("untied", without("lm_head"), f"1 missing: lm_head.weight; {HEAD}"),
    "a norm": ("untied", without("^model.norm"), "1 missing: model.norm.weight; is the download complete?"),
    "the embedding": (
        "untied",
        without("embed_tokens"),
        "1 missing: model.embed_tokens.weight; is the download complete?",
    ),
    "a tied model's only embedding": (
        "tied",
        without("embed_tokens"),
        "2 missing: lm_head.weight, model.embed_tokens.weight; is the download complete?",
    ),
    # vLLM keeps queries, keys and values in one matrix, and says nothing when one of the three is there
    "keys of both layers": (
        "untied",
        without("k_proj"),
        "2 missing (layers 0 to 1): model.layers.0.self_attn.k_proj.weight, model.layers.1.self_attn.k_proj.weight; "
        "is the download complete?",
    ),
    "the last layer": (
        "untied",
        without("layers.1."),
        "9 missing (layer 1): model.layers.1.input_layernorm.weight, model.layers.1.mlp.down_proj.weight, "
        "model.layers.1.mlp.gate_proj.weight, model.layers.1.mlp.up_proj.weight, "
        "model.layers.1.post_attention_layernorm.weight, model.layers.1.self_attn.k_proj.weight and 3 more; "
        "config.json has num_hidden_layers 2, and 1 layers are stored",
    ),
    "a tensor too many": (
        "untied",
        with_tensor("model.layers.0.mlp.gate.weight", torch.zeros(2, 2)),
        "1 unknown to it (layer 0): model.layers.0.mlp.gate.weight; do config.json and the weights belong together?",
    ),
    "a value head": (
        "untied",
        with_tensor("v_head.weight", torch.zeros(1, 16)),
        "1 unknown to it: v_head.weight; do config.json and the weights belong together?",
    ),
    "a matrix of another shape": (
        "untied",
        with_tensor("model.layers.1.mlp.up_proj.weight", torch.zeros(20, 16)),
        "1 of another shape (layer 1): model.layers.1.mlp.up_proj.weight 20 x 16, wanted 24 x 16; "
        "do config.json and the weights belong together?",
    ),
    "a transposed matrix": (
        "untied",
        with_tensor("model.layers.0.mlp.down_proj.weight", torch.zeros(24, 16)),
        "1 of another shape (layer 0): model.layers.0.mlp.down_proj.weight 24 x 16, wanted 16 x 24; "
        "do config.json and the weights belong together?",
    ),
    "8-bit integers": (
        "untied",
        with_tensor("model.layers.1.mlp.up_proj.weight", EIGHT_BITS),
        "1 of another type (layer 1): model.layers.1.mlp.up_proj.weight I8, wanted a float; "
        "take the model's version that is not quantised",
    ),
    "8-bit floats": (
        "untied",
        with_tensor("model.layers.1.mlp.up_proj.weight", EIGHT_BITS.to(torch.float8_e4m3fn)),
        "1 of another type (layer 1): model.layers.1.mlp.up_proj.weight F8_E4M3, wanted a float; "
        "take the model's version that is not quantised",
    ),
    "8-bit integers without a prefix": (
        "untied",
        lambda tensors: {n.removeprefix("model."): t for n, t in tensors.items()} | {"norm.weight": EIGHT_BITS[0]},
        "1 of another type: norm.weight I8, wanted a float; take the model's version that is not quantised",
    ),
    # transformers unties the two and vLLM drops the head: two models
    "a tied head with values of its own": (
        "tied",
        with_tensor("lm_head.weight", torch.zeros(64, 16)),
        "1 stored twice with different values: lm_head.weight and model.embed_tokens.weight; set tie_word_embeddings "
        "to false in config.json if the head was trained apart, else remove its tensor",
    ),
}


@pytest.mark.parametrize("name, change, message", DAMAGED.values(), ids=list(DAMAGED))
def test_weights_that_do_not_fit(
    name: str, change: Callable[..., Any], message: str, copy: Callable[..., Path], rewrite: Callable[..., Any]
):
    folder = copy(name)
    rewrite(folder, change)
    with pytest.raises(RequestError) as caught:
        models.check_weights(folder)
    assert str(caught.value) == FIT.format(folder=folder) + message


CONFIGS: dict[str, tuple[str, dict[str, Any], str]] = {
    "more layers than stored": (
        "untied",
        {"num_hidden_layers": 40},
        FIT + "342 missing (layers 2 to 39): model.layers.2.input_layernorm.weight, "
        "model.layers.2.mlp.down_proj.weight, model.layers.2.mlp.gate_proj.weight, model.layers.2.mlp.up_proj.weight, "
        "model.layers.2.post_attention_layernorm.weight, model.layers.2.self_attn.k_proj.weight and 336 more; "
        "config.json has num_hidden_layers 40, and 2 layers are stored",
    ),
    "fewer layers than stored": (
        "untied",
        {"num_hidden_layers": 1},
        FIT + "9 unknown to it (layer 1): model.layers.1.input_layernorm.weight, model.layers.1.mlp.down_proj.weight, "
        "model.layers.1.mlp.gate_proj.weight, model.layers.1.mlp.up_proj.weight, "
        "model.layers.1.post_attention_layernorm.weight, model.layers.1.self_attn.k_proj.weight and 3 more; "
        "config.json has num_hidden_layers 1, and 2 layers are stored",
    ),
    "another vocabulary": (
        "untied",
        {"vocab_size": 70},
        FIT + "2 of another shape: lm_head.weight 64 x 16, wanted 70 x 16, model.embed_tokens.weight 64 x 16, wanted "
        "70 x 16; config.json has vocab_size 70, and 64 rows are stored",
    ),
    "another width": (
        "untied",
        {"intermediate_size": 32, "num_hidden_layers": 2},
        FIT + "6 of another shape (layers 0 to 1): model.layers.0.mlp.down_proj.weight 16 x 24, wanted 16 x 32, "
        "model.layers.0.mlp.gate_proj.weight 24 x 16, wanted 32 x 16, model.layers.0.mlp.up_proj.weight 24 x 16, "
        "wanted 32 x 16, model.layers.1.mlp.down_proj.weight 16 x 24, wanted 16 x 32, "
        "model.layers.1.mlp.gate_proj.weight 24 x 16, wanted 32 x 16, model.layers.1.mlp.up_proj.weight 24 x 16, "
        "wanted 32 x 16; "
        "do config.json and the weights belong together?",
    ),
    "untied by config.json alone": ("tied", {"tie_word_embeddings": False}, FIT + f"1 missing: lm_head.weight; {HEAD}"),
    "tied by config.json alone": (
        "untied",
        {"tie_word_embeddings": True},
        FIT + "1 stored twice with different values: lm_head.weight and model.embed_tokens.weight; set "
        "tie_word_embeddings to false in config.json if the head was trained apart, else remove its tensor",
    ),
    "biases that are not stored": (
        "untied",
        {"attention_bias": True, "num_hidden_layers": 1},
        FIT + "4 missing (layer 0): model.layers.0.self_attn.k_proj.bias, model.layers.0.self_attn.o_proj.bias, "
        "model.layers.0.self_attn.q_proj.bias, model.layers.0.self_attn.v_proj.bias; 9 unknown to it (layer 1): "
        "model.layers.1.input_layernorm.weight, model.layers.1.mlp.down_proj.weight, "
        "model.layers.1.mlp.gate_proj.weight, model.layers.1.mlp.up_proj.weight, "
        "model.layers.1.post_attention_layernorm.weight, model.layers.1.self_attn.k_proj.weight and 3 more; "
        "do config.json and the weights belong together?",
    ),
    # Qwen2's biases were dropped
    "biases that are not wanted": (
        "biased",
        {"model_type": "llama", "architectures": ["LlamaForCausalLM"]},
        FIT + "6 unknown to it (layers 0 to 1): model.layers.0.self_attn.k_proj.bias, "
        "model.layers.0.self_attn.q_proj.bias, model.layers.0.self_attn.v_proj.bias, "
        "model.layers.1.self_attn.k_proj.bias, model.layers.1.self_attn.q_proj.bias, "
        "model.layers.1.self_attn.v_proj.bias; do config.json and the weights belong together?",
    ),
    "an architecture with a slip": (
        "untied",
        {"model_type": "lama"},
        "{folder}/config.json: model_type 'lama' is unknown to transformers {version}; did you mean 'llama'?",
    ),
    "an architecture of nobody's": (
        "untied",
        {"model_type": "zzzzzzzz", "auto_map": {"AutoConfig": "configuration_z.Z"}},
        "{folder}/config.json: model_type 'zzzzzzzz' is unknown to transformers {version}; it comes with code of its "
        "own, which is not run: take a version that transformers knows",
    ),
    "InternLM2 as it comes": (
        "untied",
        {"model_type": "internlm2"},
        "{folder}/config.json: model_type 'internlm2' is unknown to transformers {version}; rewrite it with "
        "kit.models.internlm2_to_llama",
    ),
    "no architecture": (
        "untied",
        {"model_type": None},
        "{folder}/config.json: no 'model_type', wanted the architecture's name; is it the model's own config.json?",
    ),
    "no text generator": (
        "untied",
        {"model_type": "clip"},
        "{folder}/config.json: model_type 'clip' is no causal language model in transformers; wanted a text generator",
    ),
    "quantised": (
        "untied",
        {"quantization_config": {"quant_method": "gptq", "bits": 4}},
        "{folder}: its weights are quantised (gptq), wanted 16- or 32-bit floats; take the model's version that is not "
        "quantised",
    ),
}


@pytest.mark.parametrize("name, changes, message", CONFIGS.values(), ids=list(CONFIGS))
def test_settings_that_the_weights_do_not_fit(
    name: str, changes: dict[str, Any], message: str, copy: Callable[..., Path], reconfigure: Callable[..., Any]
):
    import transformers

    folder = copy(name)
    reconfigure(folder, **changes)
    with pytest.raises(RequestError) as caught:
        models.check_weights(folder)
    assert str(caught.value) == message.format(folder=folder, version=transformers.__version__)


@pytest.mark.parametrize("changes", [{"hidden_size": 18}, {"num_hidden_layers": "two"}, {"hidden_act": "sea"}], ids=str)
def test_settings_of_no_possible_model_are_refused(
    changes: dict[str, Any], copy: Callable[..., Path], reconfigure: Callable[..., Any]
):
    folder = copy()
    reconfigure(folder, **changes)
    with pytest.raises(RequestError, match=rf"^{folder}(/config.json)?: (transformers|the weights)"):
        models.check_weights(folder)


def test_an_experts_matrix_is_missed(tmp_path: Path, save_model: Callable[..., Any], rewrite: Callable[..., Any]):
    # the experts are loaded as one tensor: one of them missing left a tensor of two
    folder = save_model(tmp_path / "model", "mixtral", num_local_experts=3, num_experts_per_tok=2)
    rewrite(folder, without(r"layers.1.*experts.2.w1"))
    with pytest.raises(RequestError) as caught:
        models.check_weights(folder)
    assert str(caught.value) == (
        f"{folder}: the weights are not those of its MixtralForCausalLM: the tensors that make up "
        "model.layers.1.mlp.experts.gate_up_proj don't fit together; is one missing?"
    )


def quantise(tensors: dict[str, Any]) -> dict[str, Any]:
    """GPTQ's names in place of the projections' weights."""
    packed: dict[str, Any] = {}
    for name, tensor in tensors.items():
        if "_proj." not in name:
            packed[name] = tensor
            continue
        head = name.removesuffix("weight")
        packed |= {f"{head}{part}": torch.zeros(2, 2, dtype=torch.int32) for part in ("qweight", "qzeros", "g_idx")}
        packed[f"{head}scales"] = torch.zeros(2, 2, dtype=torch.float16)
    return packed


def test_quantised_weights_will_do_where_the_engine_takes_them(
    copy: Callable[..., Path], rewrite: Callable[..., Any], reconfigure: Callable[..., Any]
):
    folder = copy()
    rewrite(folder, quantise)
    reconfigure(folder, quantization_config={"quant_method": "gptq", "bits": 4})
    models.check_weights(folder, engine="vllm")
    rewrite(folder, without("layers.1.mlp.up_proj", "^model.norm"))
    with pytest.raises(RequestError) as caught:
        models.check_weights(folder, engine="vllm")
    assert str(caught.value) == (
        FIT.format(folder=folder) + "2 missing (layer 1): model.layers.1.mlp.up_proj.weight, model.norm.weight; is the "
        "download complete?"
    )


def test_names_without_a_prefix_are_refused_for_vllm(copy: Callable[..., Path], rewrite: Callable[..., Any]):
    # vLLM failed on the first of them, after the start
    folder = copy()
    models.check_weights(folder, engine="vllm")
    rewrite(folder, lambda tensors: {name.removeprefix("model."): one for name, one in tensors.items()})
    with pytest.raises(RequestError) as caught:
        models.check_weights(folder, engine="vllm")
    assert str(caught.value) == (
        f"{folder}: no tensor's name starts with 'model.', as LlamaForCausalLM's do, and vLLM reads none without it; "
        "load the folder with transformers and save it again, or use engine 'transformers'"
    )


def test_nothing_is_loaded(copy: Callable[..., Path]):
    # a hole of 4 TB is as good as weights, as long as nobody reads them
    from kit.models.weights import check_tensors, described

    huge = {"hidden_size": 65536, "intermediate_size": 262144, "num_attention_heads": 512, "num_key_value_heads": 512}
    settings = {"model_type": "llama", "num_hidden_layers": 20, "vocab_size": 256000, "tie_word_embeddings": True}
    with torch.device("meta"):
        from transformers import LlamaConfig, LlamaForCausalLM

        model = LlamaForCausalLM(LlamaConfig(**settings | huge))
    tensors = {name: one for name, one in model.state_dict().items() if name != "lm_head.weight"}
    check_tensors(Path("huge"), settings | huge, described(tensors))


def test_transformers_own_report_is_an_error(copy: Callable[..., Path], rewrite: Callable[..., Any]):
    # the second line: a folder that changed after its check
    folder = copy()
    rewrite(folder, without("layers.1.mlp"))
    with pytest.raises(RequestError) as caught:
        models.load_causal_lm(folder, dtype=torch.float32)
    assert str(caught.value) == (FIT.format(folder=folder) + f"3 missing (layer 1): {MLP}; is the download complete?")
    assert models.load_causal_lm(copy("tied", "good"), dtype=torch.float32).config.model_type == "llama"


def test_a_tied_head_without_its_embedding_is_refused_for_vllm(copy: Callable[..., Path], rewrite: Callable[..., Any]):
    # vLLM passes the tied head by, and ended with an error of its own once it had started
    folder = copy("tied")

    def rename(tensors: dict[str, Any]) -> dict[str, Any]:
        return {"lm_head.weight": tensors.pop("model.embed_tokens.weight"), **tensors}

    rewrite(folder, rename)
    models.check_weights(folder)  # transformers gives the embedding the head's values
    with pytest.raises(RequestError) as error:
        models.check_weights(folder, engine="vllm")
    assert str(error.value) == (
        f"{folder}: the head's tensor is stored and the embedding's is missing; LlamaForCausalLM ties the two, and "
        "vLLM reads the embedding's alone; load the folder with transformers and save it again, or use engine "
        "'transformers'"
    )
