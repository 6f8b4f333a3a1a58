"""Chats to token ids: what a template leaves out, half characters, and tokens that the model has no embedding for."""

import json
from pathlib import Path
from typing import Any

import pytest

from kit.engines import Request
from kit.engines._chat import Chat, load_chat
from kit.errors import RequestError
from kit.models import embedding_rows
from kit.records import Turn

TEMPLATE = "{% for m in messages %}{{ m.role }}: {{ m.content }}</s>{% endfor %}"
TEMPLATE += "{% if add_generation_prompt %}assistant: {% endif %}"
WITHOUT_SYSTEM = TEMPLATE.replace("in messages", "in messages if m.role != 'system'")
ROWS = 259
"""Rows of the embedding: three special tokens and 256 bytes."""


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A random Llama with a byte tokenizer that has two tokens more than the embedding has rows."""
    import torch
    from tokenizers import Tokenizer, decoders, models, pre_tokenizers
    from transformers import GenerationConfig, LlamaConfig, LlamaForCausalLM, PreTrainedTokenizerFast

    folder = tmp_path_factory.mktemp("model")
    names = ["<s>", "</s>", "<unk>", *sorted(pre_tokenizers.ByteLevel.alphabet())]
    inner = Tokenizer(models.BPE(vocab={name: id for id, name in enumerate(names)}, merges=[]))
    inner.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=False)
    inner.decoder = decoders.ByteLevel()
    tokenizer = PreTrainedTokenizerFast(tokenizer_object=inner, bos_token="<s>", eos_token="</s>")
    tokenizer.add_tokens(["<pic>", "<end>"], special_tokens=True)
    tokenizer.chat_template = "\ufeff" + TEMPLATE
    tokenizer.save_pretrained(folder)
    torch.manual_seed(0)
    config = LlamaConfig(
        vocab_size=ROWS,
        hidden_size=8,
        intermediate_size=8,
        num_hidden_layers=1,
        num_attention_heads=1,
        num_key_value_heads=1,
        max_position_embeddings=256,
        bos_token_id=0,
        eos_token_id=1,
    )
    network = LlamaForCausalLM(config)
    network.generation_config = GenerationConfig(bos_token_id=0, eos_token_id=1)
    network.save_pretrained(folder)
    return folder


@pytest.fixture
def chat(model: Path) -> Chat:
    return load_chat(model, 256)


def request(*turns: tuple[str, str]) -> Request:
    return Request(id="s/3", turns=tuple(Turn(role=role, content=content) for role, content in turns), seed=1)


def text(chat: Chat, *turns: tuple[str, str]) -> str:
    (prompt,) = chat.prompts([request(*turns)], 8)
    found: str = chat.tokenizer.decode(prompt.ids)
    return found


def test_a_mark_in_front_of_the_folders_template_is_dropped(model: Path, chat: Chat) -> None:
    # it stood in every prompt
    assert (model / "chat_template.jinja").read_bytes().startswith(b"\xef\xbb\xbf")
    assert text(chat, ("user", "Hi")) == "user: Hi</s>assistant: "


def test_system_and_history_are_asked_with(chat: Chat) -> None:
    turns = (("system", "Be brief."), ("user", "Hi"), ("assistant", "Ho"), ("user", "Why?"))
    assert text(chat, *turns) == "system: Be brief.</s>user: Hi</s>assistant: Ho</s>user: Why?</s>assistant: "


SYSTEM = {
    "plain": "Be brief.",
    "stands in the question too": "Why?",
    "a word of the template": "user",
    "one letter": "a",
    "two lines": "Be brief.\n\nBe kind.",
}


@pytest.mark.parametrize("system", SYSTEM.values(), ids=list(SYSTEM))
def test_a_system_turn_that_is_left_out_is_told(chat: Chat, model: Path, system: str) -> None:
    # the model was asked without it, exit code 0
    chat.tokenizer.chat_template = WITHOUT_SYSTEM
    assert text(chat, ("user", "Why?"))
    with pytest.raises(RequestError) as caught:
        text(chat, ("system", system), ("user", "Why?"))
    assert str(caught.value) == (
        f"s/3: the chat template of {model} leaves the system turn out; take a model that reads one, or put its text "
        "into the instruction"
    )


PROMPTS = {
    "half a character": (
        "Say \ud83d hi.",
        "s/3: its prompt holds half a character ('\\ud83d'), which no tokenizer takes; write the whole one, or U+FFFD "
        "in its place",
    ),
    "the first token past the embedding": (
        "See <pic>.",
        "s/3: prompt for {model}: token '<pic>' has id 259, and the model's embedding has 259 rows; take another "
        "token, or a model whose embedding has grown with its tokenizer",
    ),
    "the second": (
        "<end>",
        "s/3: prompt for {model}: token '<end>' has id 260, and the model's embedding has 259 rows; take another "
        "token, or a model whose embedding has grown with its tokenizer",
    ),
}


@pytest.mark.parametrize("content, message", PROMPTS.values(), ids=list(PROMPTS))
def test_a_prompt_that_no_model_can_read_is_told(chat: Chat, model: Path, content: str, message: str) -> None:
    # a TypeError of the tokenizer's and an IndexError of the model's, neither with the row
    with pytest.raises(RequestError) as caught:
        text(chat, ("user", content))
    assert str(caught.value) == message.format(model=model)


def test_a_text_to_be_scored_is_looked_at_too(chat: Chat, model: Path) -> None:
    assert chat.pair_ids([("a", "b")]) == [([3 + 97 - 33], [3 + 98 - 33])]
    with pytest.raises(RequestError, match=r"^text 1 for .*: token '<pic>' has id 259"):
        chat.pair_ids([("a", "b"), ("a", "<pic>")])


ENDS = {
    "a token of the tokenizer's": (260, "token '<end>' has id 260"),
    "one of several": ([1, 259], "token '<pic>' has id 259"),
    "no token at all": (4000, "a token without a name has id 4,000"),
}


@pytest.mark.parametrize("ends, message", ENDS.values(), ids=list(ENDS))
def test_an_end_that_cannot_be_written_is_told(ends: Any, message: str, model: Path, tmp_path: Path) -> None:
    # no text ever ended: the model has no such token
    folder = tmp_path / "model"
    folder.mkdir()
    for path in model.iterdir():
        (folder / path.name).write_bytes(path.read_bytes())
    (folder / "generation_config.json").write_text(json.dumps({"eos_token_id": ends}))
    with pytest.raises(RequestError) as caught:
        load_chat(folder, 256)
    assert str(caught.value) == (
        f"{folder}: end of text: {message}, and the model's embedding has 259 rows; take another token, or a model "
        "whose embedding has grown with its tokenizer"
    )


CONFIGS: dict[str, tuple[dict[str, Any], int | None]] = {
    "plain": ({"vocab_size": 300}, ROWS),
    "less than is stored": ({"vocab_size": 200}, 200),
    "of a model of texts and images": ({"text_config": {"vocab_size": 240}}, 240),
    "none": ({}, ROWS),
}


@pytest.mark.parametrize("config, rows", CONFIGS.values(), ids=list(CONFIGS))
def test_rows_of_the_embedding(config: dict[str, Any], rows: int, model: Path, tmp_path: Path) -> None:
    (tmp_path / "config.json").write_text(json.dumps(config))
    (tmp_path / "model.safetensors").write_bytes((model / "model.safetensors").read_bytes())
    assert embedding_rows(tmp_path) == rows
    (tmp_path / "model.safetensors").write_bytes(b"damaged")
    wanted = config.get("vocab_size") or config.get("text_config", {}).get("vocab_size")
    assert embedding_rows(tmp_path) == wanted
