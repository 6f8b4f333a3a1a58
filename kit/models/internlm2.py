"""InternLM2 as Llama: the same computation under other names, so that no code of its repository is needed.

An InternLM2 layer keeps queries, keys and values in one matrix, group by group: for each key-value head its queries,
the key, the value. Llama keeps three matrices. Everything else is a renaming.
"""

import re
from pathlib import Path
from typing import TYPE_CHECKING, Any

from kit.errors import RequestError
from kit.models.files import read_json, write_json
from kit.models.folder import (
    bins,
    check_config,
    copy_small_files,
    safetensors,
    write_shards,
)
from kit.models.headers import FLOATS, stored_tensors
from kit.models.opening import opening
from kit.models.settings import check_files, read_config
from kit.models.weights import Head, check_tensors, check_weights, described
from kit.reading.textfiles import read_bytes

if TYPE_CHECKING:
    import torch

    Tensors = dict[str, torch.Tensor]

NAMES = {
    "model.tok_embeddings": "model.embed_tokens",
    "model.norm": "model.norm",
    "output": "lm_head",
    "v_head": "score",
    "attention.wo": "self_attn.o_proj",
    "attention_norm": "input_layernorm",
    "ffn_norm": "post_attention_layernorm",
    "feed_forward.w1": "mlp.gate_proj",
    "feed_forward.w2": "mlp.down_proj",
    "feed_forward.w3": "mlp.up_proj",
}
"""InternLM2's module -> Llama's; without the layer's number."""

HEADS = ("output", "v_head")
"""The modules behind the body: one that gives each token's likelihood, and a reward model's, which gives a number."""

REWARD_LABEL = "reward"
"""Name of the one label of a reward model."""

UNUSED_TENSOR = "rotary_emb.inv_freq"
"""A buffer that old checkpoints hold and every model computes for itself."""

LONGEST_PIECE = 1_000
"""Characters of one piece of a vocabulary; the longest are runs of some dozen blanks."""

MAX_PIECES_BYTES = 256 * 2**20
"""The most that a tokenizer.model may hold; the largest have some megabytes."""

MODULE = re.compile(r"(?P<layer>model\.layers\.\d+\.)?(?P<module>.+)\.(?P<kind>weight|bias)")


def internlm2_to_llama(model: Path, out: Path) -> None:
    """Rewrite an InternLM2 model folder as a Llama one, shard by shard, running no code from the folder.

    A reward model becomes a sequence classifier with one label: its ``v_head``, which has no bias either, is the score.
    ``reward_token_id`` stays in config.json (:mod:`kit.rewards` reads the number there).

    Args:
        model: config.json with ``model_type`` ``internlm2``; weights as safetensors or ``pytorch_model*.bin``;
            tokenizer.json or tokenizer.model.
        out: the folder to write, made if missing.

    Raises:
        RequestError: the folder is no InternLM2 model, or its tensors are not such a model's.

    Source:
        The layout of ``wqkv`` is that of vLLM's own class, which the test compares with:
        https://github.com/vllm-project/vllm/blob/v0.11.0/vllm/model_executor/models/internlm2.py (``split_qkv``).
        ``v_head`` has ``hidden_size`` inputs, one output and no bias:
        https://github.com/InternLM/lmdeploy/blob/602570779a00/lmdeploy/pytorch/models/internlm2_reward.py
    """
    check_config(model)
    config = read_config(model)
    if config.get("model_type") != "internlm2":
        raise RequestError(f"{model}: model_type is {config.get('model_type')!r}, wanted 'internlm2'")
    _check_heads(model, config)
    check_files(model)
    pickled = not any(model.glob("*.safetensors"))
    head = _check_source(model, config, pickled)
    out.mkdir(parents=True, exist_ok=True)
    copy_small_files(model, out)
    _write_tokenizer(model, out)
    write_json(out / "config.json", _llama_config(config, head))
    source = bins(model) if pickled else safetensors(model)
    write_shards(out, ((name, _llama_tensors(shard, config)) for name, shard in source))
    check_weights(out, head=head)


def _check_heads(model: Path, config: dict[str, Any]) -> None:
    """Refuse a config.json without the numbers that the fused matrix is cut by.

    Raises:
        RequestError: one is missing, or they do not divide.
    """
    heads: Any = config.get("num_attention_heads")
    width: Any = config.get("hidden_size")
    groups: Any = config.get("num_key_value_heads") or heads
    if not all(type(one) is int and one > 0 for one in (heads, width, groups)) or width % heads or heads % groups:
        raise RequestError(
            f"{model / 'config.json'}: hidden_size {width}, num_attention_heads {heads} and num_key_value_heads "
            f"{groups}: wanted three numbers that divide each other; is it the model's own file?"
        )


def _check_source(model: Path, config: dict[str, Any], pickled: bool) -> Head:
    """Check names and shapes as they will be under Llama's names, on the meta device, before a file is written.

    Returns:
        The head that the model has.

    Raises:
        RequestError: a tensor is missing, misshapen or unknown; the message has Llama's names.
    """
    import torch

    if pickled:
        stored = {name: one for _, shard in bins(model) for name, one in described(shard).items()}
    else:
        stored = stored_tensors(model)
    tensors = {name: torch.empty(one.shape, dtype=torch.float32, device="meta") for name, one in stored.items()}
    head: Head = "reward" if "v_head.weight" in stored else "text"
    check_tensors(model, _llama_config(config, head), described(_llama_tensors(tensors, config)), head=head)
    if not_floats := [
        name for name, one in stored.items() if one.dtype not in FLOATS and not name.endswith(UNUSED_TENSOR)
    ]:
        raise RequestError(
            f"{model}: {not_floats[0]} is of type {stored[not_floats[0]].dtype}, wanted a 16- or 32-bit float"
        )
    return head


def _llama_config(config: dict[str, Any], head: Head) -> dict[str, Any]:
    """Return the numbers of config.json under Llama's names."""
    gone = {
        "architectures",
        "auto_map",
        "attn_implementation",
        "bias",
        "model_type",
        "tokenizer_class",
        "_name_or_path",
    }
    kept = {key: value for key, value in config.items() if key not in gone}
    classifier = {
        "architectures": ["LlamaForSequenceClassification"],
        "id2label": {"0": REWARD_LABEL},
        "label2id": {REWARD_LABEL: 0},
    }
    return (
        kept
        | (classifier if head == "reward" else {"architectures": ["LlamaForCausalLM"]})
        | {
            "attention_bias": config.get("bias", False),
            "mlp_bias": False,
            "model_type": "llama",
            "num_key_value_heads": config.get("num_key_value_heads") or config["num_attention_heads"],
        }
    )


def _llama_tensors(shard: "Tensors", config: dict[str, Any]) -> "Tensors":
    """Return the tensors of one shard under Llama's names."""
    tensors: Tensors = {}
    for name, tensor in shard.items():
        if name.endswith(UNUSED_TENSOR):
            continue
        match = MODULE.fullmatch(name)
        layer, module, kind = match.group("layer", "module", "kind") if match else ("", name, "")
        if layer and module == "attention.wqkv":
            for part, split in zip("qkv", _split_qkv(tensor, config), strict=True):
                tensors[f"{layer}self_attn.{part}_proj.{kind}"] = split
        elif module in NAMES and bool(layer) == (not module.startswith(("model.", *HEADS))):
            if module != "output" or not config.get("tie_word_embeddings"):
                tensors[f"{layer or ''}{NAMES[module]}.{kind}"] = tensor.clone()
        else:
            raise RequestError(f"{name}: no such tensor in an InternLM2 language model; is this another kind of model?")
    return tensors


def _split_qkv(tensor: "torch.Tensor", config: dict[str, Any]) -> "tuple[torch.Tensor, ...]":
    """Return the fused matrix, shape (groups * (queries a group + 2) * head_dim, ...), as queries, keys and values."""
    heads = config["num_attention_heads"]
    groups = config.get("num_key_value_heads") or heads
    queries = heads // groups
    head_dim = config["hidden_size"] // heads
    rest = tensor.shape[1:]
    if tensor.shape[0] != (rows := groups * (queries + 2) * head_dim):
        raise RequestError(
            f"attention.wqkv: {tensor.shape[0]:,} rows, config.json wants {rows:,} ({heads} heads of {head_dim}, "
            f"{groups} groups); do config.json and the weights belong together?"
        )
    grouped = tensor.reshape(groups, queries + 2, head_dim, *rest)
    parts = grouped[:, :queries], grouped[:, queries], grouped[:, queries + 1]
    return tuple(part.reshape(-1, *rest).clone() for part in parts)


def _write_tokenizer(model: Path, out: Path) -> None:
    """Write a tokenizer.json that transformers reads with a class of its own, and a tokenizer_config.json to match."""
    config = read_json(model / "tokenizer_config.json") if (model / "tokenizer_config.json").is_file() else {}
    added = {int(place): token for place, token in config.get("added_tokens_decoder", {}).items()}
    if not (model / "tokenizer.json").is_file():
        if not (model / "tokenizer.model").is_file():
            raise RequestError(f"{model}: no tokenizer.json or tokenizer.model; copy the model's tokenizer files there")
        names = {"bos_token": "<s>", "eos_token": "</s>"} | {key: _content(value) for key, value in config.items()}
        file = model / "tokenizer.model"
        with opening(f"{file}: no sentencepiece model that can be read"):
            _fast_tokenizer(file, added, names).save(str(out / "tokenizer.json"))
    # PreTrainedTokenizerFast takes tokenizer.json as it is, where Llama's class would rebuild parts of it.
    gone = ("auto_map", "added_tokens_decoder")
    kept = {key: value for key, value in config.items() if key not in gone}
    write_json(out / "tokenizer_config.json", kept | {"tokenizer_class": "PreTrainedTokenizerFast"})


def _content(token: Any) -> Any:
    """Return a token's text, whether the file has it plain or as an object."""
    return token["content"] if isinstance(token, dict) and "content" in token else token


def _fast_tokenizer(file: Path, added: dict[int, Any], names: dict[str, Any]) -> Any:
    """Return a sentencepiece BPE model as a ``tokenizers.Tokenizer`` that gives the same ids.

    Args:
        file: tokenizer.model.
        added: id -> added token of tokenizer_config.json; some take the place of an unused piece.
        names: tokenizer_config.json's bos_token, eos_token, add_bos_token, add_eos_token, as plain values.
    """
    from sentencepiece import SentencePieceProcessor, sentencepiece_model_pb2
    from tokenizers import AddedToken, Tokenizer, decoders, models, normalizers, processors

    data = read_bytes(file, max_bytes=MAX_PIECES_BYTES)
    pieces = SentencePieceProcessor(model_proto=data)
    proto: Any = vars(sentencepiece_model_pb2)["ModelProto"].FromString(data)
    vocab = {_content(added[i]) if i in added else pieces.id_to_piece(i): i for i in range(len(pieces))}
    special = {i: _content(added[i]) if i in added else pieces.id_to_piece(i) for i in range(len(pieces))}
    special = {i: text for i, text in special.items() if i in added or pieces.is_control(i) or pieces.is_unknown(i)}
    special |= {i: _content(token) for i, token in added.items()}
    merges = _merges(pieces)
    unknown = pieces.id_to_piece(pieces.unk_id())
    bpe = models.BPE(vocab=vocab, merges=merges, unk_token=unknown, fuse_unk=True, byte_fallback=True)
    tokenizer = Tokenizer(bpe)
    prefix = [normalizers.Prepend("▁")] if proto.normalizer_spec.add_dummy_prefix else []
    tokenizer.normalizer = normalizers.Sequence([*prefix, normalizers.Replace(" ", "▁")])
    tokenizer.add_special_tokens([AddedToken(special[i], normalized=False, special=True) for i in sorted(special)])
    strip = [decoders.Strip(" ", 1, 0)] if prefix else []
    tokenizer.decoder = decoders.Sequence(
        [decoders.Replace("▁", " "), decoders.ByteFallback(), decoders.Fuse(), *strip]
    )
    ends = [(key, names[f"{key}_token"]) for key in ("bos", "eos") if names.get(f"add_{key}_token", key == "bos")]
    around = [token for key, token in ends if key == "bos"], [token for key, token in ends if key == "eos"]
    tokenizer.post_processor = processors.TemplateProcessing(
        single=[*around[0], "$A", *around[1]],
        special_tokens=[(token, tokenizer.token_to_id(token)) for _, token in ends],
    )
    return tokenizer


def _merges(pieces: Any) -> list[tuple[str, str]]:
    """The pairs whose joint is a piece, in the order in which sentencepiece joins them: by score, then by ids."""
    ids = {pieces.id_to_piece(i): i for i in range(len(pieces))}
    merges = []
    for text, place in ids.items():
        if len(text) > LONGEST_PIECE:  # each is cut at each of its letters
            raise ValueError(f"piece {place:,} has {len(text):,} characters, wanted {LONGEST_PIECE:,} at most")
        cuts = [(text[:cut], text[cut:]) for cut in range(1, len(text))]
        pairs = [(left, right) for left, right in cuts if left in ids and right in ids]
        merges += [(-pieces.get_score(place), place, ids[left], ids[right], left, right) for left, right in pairs]
    return [(left, right) for *_, left, right in sorted(merges)]
