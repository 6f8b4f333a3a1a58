"""A tiny random Llama with a byte tokenizer, pairs for it, and a context that records progress."""

import json
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest

from kit.files.parts import Parts
from kit.records import Pair, write_rows

TEMPLATE = (
    "{% for m in messages %}<|{{ m.role }}|>\n{{ m.content }}<|end|>\n{% endfor %}"
    "{% if add_generation_prompt %}<|assistant|>\n{% endif %}"
)
SPECIALS = ["<s>", "</s>", "<|end|>", "<|user|>", "<|assistant|>"]
PARAMS = {
    "tuning": "full",
    "learning_rate": 1e-2,
    "epochs": 2,
    "global_batch_size": 4,
    "per_device_batch_size": 2,
    "max_length_tokens": 256,
    "seed": 7,
    "dtype": "float32",
    "chat_template": TEMPLATE,
    "end_of_turn": "<|end|>",
    "tokens_per_micro_batch": 200,
}
"""Parameters of a job: three steps an epoch, the last of three rows, two epochs; warm-up of one step."""


@dataclass
class Recorder:
    """A context of one rank that records its progress."""

    rank: int = 0
    world: int = 1
    parts: Parts = field(default_factory=lambda: Parts(None, ""))
    said: list[tuple[int, int, int]] = field(default_factory=list)

    def progress(self, done: int, total: int, tokens: int = 0) -> None:
        self.said.append((done, total, tokens))


def save_tiny_llama(folder: Path) -> None:
    import torch
    from tokenizers import Tokenizer, decoders, models, pre_tokenizers
    from transformers import GenerationConfig, LlamaConfig, LlamaForCausalLM, PreTrainedTokenizerFast

    alphabet = sorted(pre_tokenizers.ByteLevel.alphabet())
    inner = Tokenizer(models.BPE(vocab={c: i for i, c in enumerate(SPECIALS + alphabet)}, merges=[]))
    inner.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=False)
    inner.decoder = decoders.ByteLevel()
    tokenizer = PreTrainedTokenizerFast(tokenizer_object=inner, bos_token="<s>", eos_token="</s>")
    tokenizer.add_special_tokens({"additional_special_tokens": SPECIALS[2:]})
    tokenizer.save_pretrained(folder)
    torch.manual_seed(0)
    config = LlamaConfig(
        vocab_size=len(tokenizer),
        hidden_size=32,
        intermediate_size=64,
        num_hidden_layers=2,
        num_attention_heads=4,
        num_key_value_heads=2,
        max_position_embeddings=512,
        tie_word_embeddings=True,
        bos_token_id=0,
        eos_token_id=1,
        initializer_range=0.2,
    )
    model = LlamaForCausalLM(config)
    model.generation_config = GenerationConfig(bos_token_id=0, eos_token_id=1)
    model.save_pretrained(folder)


def make_pairs(count: int) -> list[Pair]:
    """Return pairs of many lengths, with and without an input."""
    return [
        Pair(
            id=f"tiny/{i}",
            instruction=f"Count to {i}." + " Please." * (i % 4),
            input="from one" if i % 3 == 0 else "",
            output=" ".join(str(n) for n in range(1 + 3 * (i % 5))),
        )
        for i in range(count)
    ]


@pytest.fixture(scope="session")
def base(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("base")
    save_tiny_llama(folder)
    return folder


@pytest.fixture
def inputs(base: Path, tmp_path: Path) -> dict[str, Path]:
    (tmp_path / "pairs").mkdir()
    write_rows(tmp_path / "pairs" / "pairs.jsonl", make_pairs(11))
    return {"pairs": tmp_path / "pairs", "base": base}


@pytest.fixture
def params() -> dict[str, Any]:
    return dict(PARAMS)


@pytest.fixture
def context() -> Recorder:
    return Recorder()


@pytest.fixture
def losses() -> Any:
    return lambda out: [json.loads(line)["loss"] for line in (out / "train_log.jsonl").read_text().splitlines()]
