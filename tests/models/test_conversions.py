"""Conversions check what they read before they write, and what they have written."""

import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from kit import models
from kit.errors import RequestError

torch = pytest.importorskip("torch")
pytest.importorskip("transformers")

UP = "model.layers.1.mlp.up_proj.weight"
MISSING = f": the weights are not those of its LlamaForCausalLM: 1 missing (layer 1): {UP}; is the download complete?"
SOURCE = {
    "model.tok_embeddings": (64, 16),
    "output": (64, 16),
    "model.norm": (16,),
    **{f"model.layers.{i}.attention.wqkv": (32, 16) for i in range(2)},
    **{f"model.layers.{i}.attention.wo": (16, 16) for i in range(2)},
    **{f"model.layers.{i}.attention_norm": (16,) for i in range(2)},
    **{f"model.layers.{i}.ffn_norm": (16,) for i in range(2)},
    **{f"model.layers.{i}.feed_forward.w1": (24, 16) for i in range(2)},
    **{f"model.layers.{i}.feed_forward.w2": (16, 24) for i in range(2)},
    **{f"model.layers.{i}.feed_forward.w3": (24, 16) for i in range(2)},
}
"""InternLM2's modules in the sizes of ``conftest.SIZES`` -> the shapes of their weights."""


def refused(act: Callable[[], Any], out: Path) -> str:
    """The message of a conversion that writes nothing."""
    with pytest.raises(RequestError) as caught:
        act()
    assert not out.exists()
    return str(caught.value)


def test_layers_of_a_model_that_lacks_a_tensor(copy: Callable[..., Path], rewrite: Callable[..., None], tmp_path: Path):
    folder = copy()
    rewrite(folder, lambda tensors: {name: one for name, one in tensors.items() if name != UP})
    assert (
        refused(lambda: models.select_layers(folder, [0, 1], tmp_path / "out"), tmp_path / "out")
        == f"{folder}{MISSING}"
    )


@pytest.mark.parametrize("name", ["untied", "tied", "biased"])
@pytest.mark.parametrize("layers", [[0, 1, 0, 1], [1]], ids=str)
def test_stacked_layers_are_a_whole_model(name: str, layers: list[int], copy: Callable[..., Path], tmp_path: Path):
    models.select_layers(copy(name), layers, tmp_path / "out")
    models.check_model_folder(tmp_path / "out")
    models.check_weights(tmp_path / "out")


def pickled(folder: Path, tensors: dict[str, Any]) -> Path:
    """The same folder with two pickles for its safetensors, an even split."""
    (folder / "model.safetensors").unlink()
    names = sorted(tensors)
    for number, some in enumerate((names[::2], names[1::2]), 1):
        torch.save({key: tensors[key] for key in some}, folder / f"pytorch_model-0000{number}-of-00002.bin")
    return folder


def test_pickles_that_lack_a_tensor(copy: Callable[..., Path], load: Callable[..., Any], tmp_path: Path):
    folder = copy()
    tensors = load(folder)
    del tensors[UP]
    out = tmp_path / "out"
    assert refused(lambda: models.bin_to_safetensors(pickled(folder, tensors), out), out) == f"{folder}{MISSING}"


def test_pickles_with_a_head_that_is_not_the_embedding(
    copy: Callable[..., Path], load: Callable[..., Any], tmp_path: Path
):
    # the head was left out, whatever it held
    folder, out = copy("tied"), tmp_path / "out"
    tensors = load(folder)
    tensors["lm_head.weight"] = tensors["model.embed_tokens.weight"] + 1
    assert refused(lambda: models.bin_to_safetensors(pickled(folder, tensors), out), out) == (
        f"{folder}: lm_head.weight differs from the embedding, and config.json calls them one (tie_word_embeddings); "
        "set it to false in config.json if the head was trained apart"
    )


def test_pickles_that_hold_a_tensor_twice(copy: Callable[..., Path], load: Callable[..., Any], tmp_path: Path):
    folder, out = copy(), tmp_path / "out"
    pickled(folder, load(folder))
    torch.save({"model.norm.weight": torch.ones(16)}, folder / "pytorch_model-00003-of-00003.bin")
    assert refused(lambda: models.bin_to_safetensors(folder, out), out) == (
        f"{folder}: model.norm.weight stands in two of its *.bin files, wanted each tensor once"
    )


@pytest.mark.parametrize("name", ["untied", "tied"])
def test_good_pickles_are_rewritten(name: str, copy: Callable[..., Path], load: Callable[..., Any], tmp_path: Path):
    folder = copy(name)
    tensors = load(folder)
    wanted = dict(tensors)
    if name == "tied":
        tensors["lm_head.weight"] = tensors["model.embed_tokens.weight"]
    # a buffer of an old checkpoint
    tensors["model.layers.0.self_attn.rotary_emb.inv_freq"] = torch.ones(2)
    models.bin_to_safetensors(pickled(folder, tensors), tmp_path / "out")
    models.check_model_folder(tmp_path / "out")
    found = load(tmp_path / "out")
    assert all(torch.equal(found[key], wanted[key]) for key in wanted)


@pytest.fixture
def internlm2(save_model: Callable[..., Path], reconfigure: Callable[..., None], tmp_path: Path) -> Callable[..., Path]:
    """A folder of InternLM2's names, some of them changed."""
    from safetensors.torch import save_file

    def make(change: Callable[[dict[str, Any]], None] | None = None, tied: bool = False) -> Path:
        folder = save_model(tmp_path / "internlm2", "llama", tie_word_embeddings=tied)
        reconfigure(folder, model_type="internlm2", architectures=["InternLM2ForCausalLM"], bias=False, mlp_bias=None)
        tensors = {f"{name}.weight": torch.ones(shape) for name, shape in SOURCE.items()}
        if change:
            change(tensors)
        save_file(tensors, folder / "model.safetensors", metadata={"format": "pt"})
        return folder

    return make


@pytest.mark.parametrize("tied", [False, True], ids=["untied", "tied"])
def test_internlm2_as_llama_is_a_whole_model(tied: bool, internlm2: Callable[..., Path], tmp_path: Path):
    def old(tensors: dict[str, Any]) -> None:
        # "no such tensor in an InternLM2 language model"
        tensors["model.layers.0.attention.rotary_emb.inv_freq"] = torch.ones(2)

    models.internlm2_to_llama(internlm2(old, tied), tmp_path / "out")
    models.check_model_folder(tmp_path / "out")
    models.check_weights(tmp_path / "out")


INTERNLM2: dict[str, tuple[Callable[[dict[str, Any]], Any], str]] = {
    "no w3": (lambda tensors: tensors.pop("model.layers.1.feed_forward.w3.weight"), f"{{folder}}{MISSING}"),
    "no wqkv": (
        lambda tensors: tensors.pop("model.layers.0.attention.wqkv.weight"),
        "{folder}: the weights are not those of its LlamaForCausalLM: 3 missing (layer 0): "
        "model.layers.0.self_attn.k_proj.weight, model.layers.0.self_attn.q_proj.weight, "
        "model.layers.0.self_attn.v_proj.weight; is the download complete?",
    ),
    "no output": (
        lambda tensors: tensors.pop("output.weight"),
        "{folder}: the weights are not those of its LlamaForCausalLM: 1 missing: lm_head.weight; is the download "
        "complete? If the head is the embedding, set tie_word_embeddings to true in config.json",
    ),
    # ended in a traceback of reshape
    "wqkv of other heads": (
        lambda tensors: tensors.update({"model.layers.0.attention.wqkv.weight": torch.ones(48, 16)}),
        "attention.wqkv: 48 rows, config.json wants 32 (4 heads of 4, 2 groups); do config.json and the weights belong "
        "together?",
    ),
    "8-bit integers": (
        lambda tensors: tensors.update({"model.layers.0.attention.wo.weight": torch.ones(16, 16, dtype=torch.int8)}),
        "{folder}: model.layers.0.attention.wo.weight is of type I8, wanted a 16- or 32-bit float",
    ),
}


@pytest.mark.parametrize("change, message", INTERNLM2.values(), ids=list(INTERNLM2))
def test_internlm2_that_lacks_something(
    change: Callable[[dict[str, Any]], Any], message: str, internlm2: Callable[..., Path], tmp_path: Path
):
    folder, out = internlm2(change), tmp_path / "out"
    assert refused(lambda: models.internlm2_to_llama(folder, out), out) == message.format(folder=folder)


@pytest.fixture
def gguf(tmp_path: Path) -> Callable[..., Path]:
    """A tiny Llama as llama.cpp keeps it, without what matches a pattern."""

    def make(left_out: str = "^$") -> Path:
        import numpy as np
        from gguf import GGUFWriter

        path = tmp_path / "gguf" / "model.gguf"
        path.parent.mkdir()
        writer = GGUFWriter(path, "llama")
        writer.add_block_count(2)
        writer.add_context_length(64)
        writer.add_embedding_length(32)
        writer.add_feed_forward_length(32)
        writer.add_head_count(4)
        writer.add_head_count_kv(2)
        writer.add_rope_dimension_count(8)
        writer.add_vocab_size(8)
        writer.add_layer_norm_rms_eps(1e-5)
        words = ["<s>", "</s>", "<pad>", "a", "b", "c", "d", "ab"]
        writer.add_tokenizer_model("gpt2")
        writer.add_tokenizer_pre("smollm")
        writer.add_token_list(words)
        writer.add_token_types([3, 3, 3, 1, 1, 1, 1, 1])
        writer.add_token_merges(["a b"])
        writer.add_bos_token_id(0)
        writer.add_eos_token_id(1)
        writer.add_pad_token_id(2)
        writer.add_chat_template("{{ messages[0].content }}")
        shapes = {"token_embd": (8, 32), "output_norm": (32,), "output": (8, 32)}
        for i in range(2):
            shapes |= {
                f"blk.{i}.{name}": (32, 32) for name in ("attn_q", "attn_output", "ffn_gate", "ffn_up", "ffn_down")
            }
            shapes |= {f"blk.{i}.{name}": (16, 32) for name in ("attn_k", "attn_v")}
            shapes |= {f"blk.{i}.{name}": (32,) for name in ("attn_norm", "ffn_norm")}
        for name, shape in shapes.items():
            if not re.search(left_out, name):
                writer.add_tensor(f"{name}.weight", np.ones(shape, dtype=np.float32))
        writer.write_header_to_file()
        writer.write_kv_data_to_file()
        writer.write_tensors_to_file()
        writer.close()
        return path

    return make


def test_a_good_gguf_is_a_whole_model(gguf: Callable[..., Path], tmp_path: Path):
    models.from_gguf(gguf(), tmp_path / "out")
    models.check_model_folder(tmp_path / "out", chat=True)
    models.check_weights(tmp_path / "out")


GGUF = {
    "a layer's MLP": ("blk.1.ffn_(up|gate|down)", ["mlp.down_proj", "mlp.gate_proj", "mlp.up_proj"]),
    "keys": ("blk.1.attn_k", ["self_attn.k_proj"]),
    "a norm": ("blk.1.ffn_norm", ["post_attention_layernorm"]),
}


@pytest.mark.parametrize("left_out, modules", GGUF.values(), ids=list(GGUF))
def test_a_gguf_that_lacks_a_tensor(left_out: str, modules: list[str], gguf: Callable[..., Path], tmp_path: Path):
    # drawn at random and written as if it were the file's
    path, out = gguf(left_out), tmp_path / "out"
    names = ", ".join(f"model.layers.1.{module}.weight" for module in modules)
    assert refused(lambda: models.from_gguf(path, out), out) == (
        f"{path}: the weights are not those of its LlamaForCausalLM: {len(modules)} missing (layer 1): {names}; is the "
        "download complete?"
    )


def test_a_gguf_that_is_cut_off(gguf: Callable[..., Path], tmp_path: Path):
    path, out = gguf(), tmp_path / "out"
    path.write_bytes(path.read_bytes()[:-500])
    message = refused(lambda: models.from_gguf(path, out), out)
    assert message.startswith(f"{path}: no whole GGUF file (")
    assert message.endswith("); is the download complete?")
