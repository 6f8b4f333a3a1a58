"""A reward model out of a text generator: its own body, and a head made of its own weights by a named rule.

No one has trained such a head on what people prefer, so its numbers mean nothing. It plays a reward model where none is
at hand, so that all that reads one is run for real.
"""

from pathlib import Path
from typing import TYPE_CHECKING, Any

from kit.errors import RequestError, did_you_mean
from kit.models.files import write_json
from kit.models.folder import check_model_folder, copy_small_files, safetensors, write_shards
from kit.models.internlm2 import REWARD_LABEL
from kit.models.settings import read_config
from kit.models.tokenizer import load_tokenizer
from kit.models.vocabulary import EMBEDDINGS
from kit.models.weights import architecture, check_weights

if TYPE_CHECKING:
    import torch

    Tensors = dict[str, torch.Tensor]

RULES = {"good_minus_bad": (" good", " bad")}
"""Rule -> two words; the head is the first word's row of the output matrix minus the second's, so that the reward is
the difference of their logits behind the chat."""
OUTPUT = "lm_head.weight"
SCORE = "score.weight"


def add_reward_head(model: Path, rule: str, out: Path) -> None:
    """Write a reward model with the body of a text generator and a head made by a rule; nothing is loaded whole.

    Args:
        model: folder of the generator.
        rule: one of :data:`RULES`.
        out: the folder to write, made if missing.

    Raises:
        RequestError: there is no such rule, the folder is no text generator of a family with a ``score`` head, or one
            of the rule's words is no single token of it.
    """
    if rule not in RULES:
        raise RequestError(f"no rule named {rule!r} for a reward head{did_you_mean(rule, RULES)}")
    check_model_folder(model)
    check_weights(model)
    config = _classifier_config(model, read_config(model))
    ids = [_only_token(model, word) for word in RULES[rule]]
    out.mkdir(parents=True, exist_ok=True)
    copy_small_files(model, out)
    write_json(out / "config.json", config)
    source = OUTPUT if any(OUTPUT in shard for _, shard in safetensors(model)) else ""
    write_shards(out, ((name, _with_head(shard, source, ids)) for name, shard in safetensors(model)))
    check_weights(out, head="reward")


def _with_head(shard: "Tensors", source: str, ids: list[int]) -> "Tensors":
    """Return a shard's tensors without the output matrix, and with the new head where that matrix lies.

    Args:
        shard: tensors by name.
        source: name of the output matrix; empty where the embedding serves as one.
        ids: of the two words.
    """
    kept = {name: tensor for name, tensor in shard.items() if name != OUTPUT}
    for name, tensor in shard.items():
        if name == source or (not source and name.endswith(EMBEDDINGS)):
            first, second = (tensor[id].float() for id in ids)
            kept[SCORE] = (first - second)[None].to(tensor.dtype)
    return kept


def _classifier_config(model: Path, config: dict[str, Any]) -> dict[str, Any]:
    """Return the settings of the sequence classifier with the same body.

    Raises:
        RequestError: transformers has none.
    """
    kind, _ = architecture(model, config, "reward")
    return config | {
        "architectures": [kind.__name__],
        "id2label": {"0": REWARD_LABEL},
        "label2id": {REWARD_LABEL: 0},
        "tie_word_embeddings": False,
    }


def _only_token(model: Path, word: str) -> int:
    """Return the id of a word that is one token.

    Raises:
        RequestError: the model's tokenizer has it in parts.
    """
    ids: list[int] = load_tokenizer(model)(word, add_special_tokens=False)["input_ids"]
    if len(ids) != 1:
        raise RequestError(
            f"{model}: its tokenizer splits {word!r} into {len(ids)} tokens, wanted one; take another model to play a "
            "reward model"
        )
    return ids[0]
