"""Checks of an engine with adapters, run in a process of their own: prints one JSON object of observations.

python adapters.py ENGINE FOLDER
"""

import json
import sys
from dataclasses import asdict
from pathlib import Path

sys.path[:1] = [str(Path(__file__).resolve().parents[2]), str(Path(__file__).resolve().parents[1])]

from tiny_model import TEMPLATE, save  # noqa: E402

from kit import registry  # noqa: E402
from kit.engines import EngineSettings, Request, Sampling  # noqa: E402
from kit.errors import RequestError  # noqa: E402
from kit.records import Turn  # noqa: E402

ASKS = ["Count to 3.", "Écris « naïve ».", "Name a colour.", "Why?"]
TOKENS = 12


def make(folder):
    """Save a tiny base and three adapters; the third is of a larger rank, the second has a template of its own.

    The second changes fewer layers than the first: nothing of the first may stay in the others.
    """
    import peft
    import torch
    from transformers import AutoModelForCausalLM, AutoTokenizer

    save(folder / "base", heads=64)
    targets = ("all-linear", ["q_proj", "down_proj"], "all-linear")
    for number, (rank, modules) in enumerate(zip((4, 8, 16), targets, strict=True)):
        torch.manual_seed(number)
        base = AutoModelForCausalLM.from_pretrained(folder / "base", dtype=torch.float32, trust_remote_code=False)
        config = peft.LoraConfig(r=rank, lora_alpha=16, target_modules=modules, init_lora_weights=False)
        peft.get_peft_model(base, config).save_pretrained(folder / f"adapter-{number}")
    tokenizer = AutoTokenizer.from_pretrained(folder / "base", trust_remote_code=False)
    tokenizer.chat_template = "{{ 'Q: ' }}" + TEMPLATE
    tokenizer.save_pretrained(folder / "adapter-1")


def plain(folder, adapter, template):
    """Return what a forward pass at a time writes greedily, as text, without the kit: token by token, no cache."""
    import torch
    from peft import PeftModel
    from transformers import AutoModelForCausalLM, AutoTokenizer

    tokenizer = AutoTokenizer.from_pretrained(folder / "base", trust_remote_code=False)
    model = AutoModelForCausalLM.from_pretrained(folder / "base", dtype=torch.float32, trust_remote_code=False)
    if adapter:
        model = PeftModel.from_pretrained(model, folder / adapter)
    texts = []
    for content in ASKS:
        turns = [{"role": "user", "content": content}]
        text = tokenizer.apply_chat_template(turns, chat_template=template, tokenize=False, add_generation_prompt=True)
        ids = tokenizer(text, add_special_tokens=False).input_ids
        start = len(ids)
        with torch.no_grad():
            while len(ids) < start + TOKENS and (len(ids) == start or ids[-1] != tokenizer.eos_token_id):
                ids.append(int(model.eval()(torch.tensor([ids])).logits[0, -1].argmax()))
        texts.append(tokenizer.decode(ids[start:], skip_special_tokens=True))
    return texts


def observe(name, folder):
    """Ask the base, then each adapter, then all of them again in another order."""
    settings = EngineSettings(name=name, dtype="float32", max_model_len=256, max_num_seqs=3, lora_rank=8)
    asked = [
        Request(id=f"row/{number}", turns=(Turn(role="user", content=text),), seed=1)
        for number, text in enumerate(ASKS)
    ]
    pairs = [("Count to 3.", " 0 1 2"), ("", "one")]
    engine = registry.load("engines", name).open(folder / "base", settings)

    def answers(one):
        return [asdict(row) for row in one.generate(asked, Sampling(max_tokens=TOKENS))]

    seen = {"base_before": answers(engine), "scores_before": engine.loglikelihood(pairs)}
    first, second = (engine.with_adapter(folder / f"adapter-{number}") for number in range(2))
    seen |= {"first": answers(first), "second": answers(second), "scores_first": first.loglikelihood(pairs)}
    seen |= {"base_after": answers(engine), "scores_after": engine.loglikelihood(pairs)}
    seen |= {"first_again": answers(engine.with_adapter(folder / "adapter-0")), "second_again": answers(second)}
    try:
        engine.with_adapter(folder / "adapter-2" if name != "fake" else folder / "adapter-0")
    except RequestError as error:
        seen["too_large"] = str(error)
    seen["swapped"] = engine.swap(folder / "base")
    engine.close()
    if name != "fake":
        seen["plain"] = {
            "base": plain(folder, None, TEMPLATE),
            "first": plain(folder, "adapter-0", TEMPLATE),
            "second": plain(folder, "adapter-1", "{{ 'Q: ' }}" + TEMPLATE),
        }
    return seen


if __name__ == "__main__":
    place = Path(sys.argv[2])
    if sys.argv[1] != "fake":
        make(place)
    print(json.dumps(observe(sys.argv[1], place)))
