"""Not a test: makes a Llama of two layers with random weights; saves it, or trains and runs it on the CPU.

python tiny_model.py save FOLDER     its folder, with the smoke scale's chat tokens
python tiny_model.py use FOLDER      save it, train it and ask it, below FOLDER; prints one JSON line
"""

import json
import sys
from pathlib import Path
from types import SimpleNamespace
from typing import Any

SPECIALS = ["<s>", "</s>", "<|im_start|>", "<|im_end|>"]
TEMPLATE = (
    "{% for m in messages %}<|im_start|>{{ m.role }}\n{{ m.content }}<|im_end|>\n{% endfor %}"
    "{% if add_generation_prompt %}<|im_start|>assistant\n{% endif %}"
)
PARAMS = {
    "tuning": "full",
    "learning_rate": 1e-2,
    "epochs": 3,
    "global_batch_size": 4,
    "per_device_batch_size": 2,
    "max_length_tokens": 256,
    "seed": 7,
    "dtype": "float32",
    "chat_template": TEMPLATE,
    "end_of_turn": "<|im_end|>",
    "tokens_per_micro_batch": 200,
}
"""Parameters of a training of nine steps."""


def save(folder: Path, heads: int = 8, longest: int = 512) -> None:
    """Save model and tokenizer: one token a byte, four heads of one size (vLLM on a CPU needs 64)."""
    import torch
    from tokenizers import Tokenizer, decoders, models, pre_tokenizers
    from transformers import GenerationConfig, LlamaConfig, LlamaForCausalLM, PreTrainedTokenizerFast

    letters = sorted(pre_tokenizers.ByteLevel.alphabet())
    inner = Tokenizer(models.BPE(vocab={word: index for index, word in enumerate(SPECIALS + letters)}, merges=[]))
    inner.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=False)
    inner.decoder = decoders.ByteLevel()
    tokenizer = PreTrainedTokenizerFast(tokenizer_object=inner, bos_token="<s>", eos_token="</s>")
    tokenizer.add_special_tokens({"additional_special_tokens": SPECIALS[2:]})
    tokenizer.chat_template = TEMPLATE
    tokenizer.save_pretrained(folder)
    torch.manual_seed(0)
    sizes = {"hidden_size": 4 * heads, "intermediate_size": 64, "num_hidden_layers": 2, "num_attention_heads": 4}
    ends = {"bos_token_id": 0, "eos_token_id": 1}
    model = LlamaForCausalLM(
        LlamaConfig(vocab_size=len(tokenizer), max_position_embeddings=longest, initializer_range=0.2, **sizes, **ends)
    )
    model.generation_config = GenerationConfig(**ends)
    model.save_pretrained(folder)


def use(folder: Path) -> dict[str, Any]:
    """Train the model with the kit's own stage and score and continue texts with its own engine."""
    import torch

    from kit import registry
    from kit.engines import EngineSettings, Request, Sampling
    from kit.records import Pair, Turn, write_rows

    for name in ("model", "pairs", "tuned"):
        (folder / name).mkdir()
    save(folder / "model")
    pairs = [
        Pair(id=f"tiny/{number}", instruction=f"Count to {number}.", input="", output=" ".join(map(str, range(number))))
        for number in range(1, 13)
    ]
    write_rows(folder / "pairs" / "pairs.jsonl", pairs)
    context = SimpleNamespace(rank=0, world=1, progress=lambda *_: None)
    inputs = {"pairs": folder / "pairs", "base": folder / "model"}
    summary = registry.load("stages", "sft").run(PARAMS, inputs, folder / "tuned", context)
    settings = EngineSettings(name="transformers", dtype="float32", max_model_len=256, max_num_seqs=4)
    engine = registry.load("engines", "transformers").open(folder / "tuned", settings)
    request = Request(id="x", turns=(Turn(role="user", content="Count to 3."),), seed=1)
    found = {
        "device": "cuda" if torch.cuda.is_available() else "cpu",
        "examples": summary.facts["examples"],
        "losses": [
            json.loads(line)["loss"] for line in (folder / "tuned" / "train_log.jsonl").read_text().splitlines()
        ],
        "text": engine.generate([request], Sampling(max_tokens=8))[0].text,
        "loglikelihood": engine.loglikelihood([("Count to 3.", " 0 1 2"), ("", "one")]),
    }
    engine.close()
    return found


if __name__ == "__main__":
    sys.path.pop(0)  # this folder is no place to import from
    if sys.argv[1] == "save":
        save(Path(sys.argv[2]))
    else:
        print(json.dumps(use(Path(sys.argv[2]))))
