"""Two models that fit on a page: one whose losses are powers of two worked out by hand, one with layers.

The first has no layers: a token's embedding is a unit vector, the norm doubles it, and half the logarithm of a table
of probabilities is the head. So the next token depends on the last one alone, by the table.
"""

from pathlib import Path
from typing import Any

import pytest
import torch

from kit.models import load_tokenizer
from kit.scoring.losses import LossModel
from kit.scoring.pairs import ScoringModel
from tests.tiny_model import save

BEGIN, A, B, BREAK = range(4)
NEXT = [
    # <s>   a     b   line break
    [1 / 8, 1 / 2, 1 / 4, 1 / 8],  # after <s>
    [1 / 8, 1 / 4, 1 / 2, 1 / 8],  # after a
    [1 / 8, 1 / 8, 1 / 4, 1 / 2],  # after b
    [1 / 2, 1 / 8, 1 / 8, 1 / 4],  # after a line break
]
"""Probability of each token after each token."""


def table_model() -> Any:
    """Return the model without layers."""
    from transformers import LlamaConfig, LlamaForCausalLM

    sizes = {"hidden_size": 4, "intermediate_size": 4, "num_hidden_layers": 0, "num_attention_heads": 1}
    model = LlamaForCausalLM(LlamaConfig(vocab_size=4, rms_norm_eps=0.0, max_position_embeddings=64, **sizes)).eval()
    with torch.no_grad():
        model.model.embed_tokens.weight.copy_(torch.eye(4))
        model.lm_head.weight.copy_(torch.tensor(NEXT).T.log() / 2)
    return model


def letters(*, begin: bool = False, joins: bool = False) -> Any:
    """Return a tokenizer of a, b and the line break.

    Args:
        begin: a begin token is put before each text.
        joins: a "b" and the line break behind it are one token, 3.
    """
    from tokenizers import Tokenizer, decoders, models, pre_tokenizers, processors
    from transformers import PreTrainedTokenizerFast

    vocabulary = {"<s>": BEGIN, "a": A, "b": B, "Ċ": 4 if joins else BREAK, **({"bĊ": 3} if joins else {})}
    inner = Tokenizer(models.BPE(vocab=vocabulary, merges=[("b", "Ċ")] if joins else []))
    inner.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=False)
    inner.decoder = decoders.ByteLevel()
    if begin:
        inner.post_processor = processors.TemplateProcessing(single="<s> $A", special_tokens=[("<s>", BEGIN)])
    return PreTrainedTokenizerFast(tokenizer_object=inner, bos_token="<s>")


def scoring_model(model: Any, tokenizer: Any, *, tokens_per_batch: int | None = None) -> ScoringModel:
    return ScoringModel(
        losses=LossModel(model, tokens_per_batch=tokens_per_batch),
        tokenizer=tokenizer,
        longest=model.config.max_position_embeddings,
        embedding_rows=model.config.vocab_size,
        fingerprint={},
    )


@pytest.fixture(scope="session")
def tiny(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Folder of a Llama of two layers with random weights and one token a byte."""
    folder = tmp_path_factory.mktemp("scoring") / "model"
    save(folder)
    return folder


@pytest.fixture(scope="session")
def layered(tiny: Path) -> tuple[Any, Any]:
    """The Llama of two layers and its tokenizer."""
    from transformers import LlamaForCausalLM

    model = LlamaForCausalLM.from_pretrained(tiny, dtype=torch.float32, trust_remote_code=False).eval()
    return model, load_tokenizer(tiny)
