"""The measurements of perf/gpu.py, each a process of its own: ``gpu_tasks.py TASK JSON`` prints what it found."""

import json
import random
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any

ROOT = Path(__file__).resolve().parents[1]
sys.path[0] = str(ROOT)  # this script's folder is no place to import from

from kit.engines import EngineSettings, Request, Sampling  # noqa: E402
from kit.files.parts import Parts  # noqa: E402
from kit.records import Pair, Turn, write_rows  # noqa: E402

TEMPLATE = (
    "{% for m in messages %}<|{{ m.role }}|>\n{{ m.content }}<|end|>\n{% endfor %}"
    "{% if add_generation_prompt %}<|assistant|>\n{% endif %}"
)
WORDS = ("a", "model", "reads", "these", "words", "and", "learns", "to", "go", "on", "with", "them", "in", "turn")
SHORT = {"learning_rate": 1e-3, "global_batch_size": 8, "max_length_tokens": 256, "tokens_per_micro_batch": 512}
PAPERS = {"learning_rate": 2e-5, "global_batch_size": 64, "max_length_tokens": 2048, "tokens_per_micro_batch": 4096}
"""Settings of the short runs whose curves are compared, and those of the paper."""


def card() -> dict[str, Any]:
    """Measure a large bf16 product and a large copy; the median of several, after a warm-up."""
    import accelerate
    import peft
    import torch
    import transformers

    versions = {module.__name__: module.__version__ for module in (torch, transformers, accelerate, peft)}
    if not torch.cuda.is_available():
        return {"device": "cpu", "threads": torch.get_num_threads(), **versions}
    a, b = (torch.randn(8192, 8192, device="cuda", dtype=torch.bfloat16) for _ in range(2))
    large = torch.randn(2**29, device="cuda")
    product, copy = _seconds(lambda: a @ b), _seconds(large.clone)
    return {
        "device": torch.cuda.get_device_name(),
        "memory, GiB": round(torch.cuda.get_device_properties(0).total_memory / 2**30, 1),
        "bf16 product, TFLOP/s": round(2 * 8192**3 / product / 1e12),
        "copy, TB/s read and written": round(2 * large.nbytes / copy / 1e12, 2),
        "CUDA": torch.version.cuda,
        **versions,
    }


def _seconds(work: Callable[[], Any]) -> float:
    """Return the median time of some work on the card, by its own clock."""
    import torch

    times = []
    for _ in range(12):
        begin, end = (torch.cuda.Event(enable_timing=True) for _ in range(2))
        begin.record()
        work()
        end.record()
        torch.cuda.synchronize()
        times.append(begin.elapsed_time(end) / 1e3)
    return sorted(times[2:])[5]


def make(folder: str, shape: dict[str, Any], family: str, dtype: str, seed: int) -> dict[str, int]:
    """Write a model folder with random weights and a tokenizer of single bytes."""
    import torch
    from transformers import AutoConfig, AutoModelForCausalLM, GenerationConfig

    _byte_tokenizer().save_pretrained(folder)
    torch.manual_seed(seed)
    config = AutoConfig.for_model(
        family,
        vocab_size=shape["vocab"],
        hidden_size=shape["hidden"],
        intermediate_size=shape["intermediate"],
        num_hidden_layers=shape["layers"],
        num_attention_heads=shape["heads"],
        num_key_value_heads=shape["kv_heads"],
        max_position_embeddings=min(shape["context"], 8192),
        tie_word_embeddings=shape["tied_embeddings"],
        bos_token_id=0,
        eos_token_id=1,
        use_sliding_window=False,
    )
    with torch.device("cuda" if torch.cuda.is_available() else "cpu"):
        model = AutoModelForCausalLM.from_config(config, dtype=getattr(torch, dtype), trust_remote_code=False)
    model.generation_config = GenerationConfig(bos_token_id=0, eos_token_id=1)
    model.save_pretrained(folder)
    return {"parameters": model.num_parameters()}


def _byte_tokenizer() -> Any:
    """Make a tokenizer whose tokens are bytes and five special ones."""
    from tokenizers import Tokenizer, decoders, models, pre_tokenizers
    from transformers import PreTrainedTokenizerFast

    specials = ["<s>", "</s>", "<|end|>", "<|user|>", "<|assistant|>"]
    alphabet = sorted(pre_tokenizers.ByteLevel.alphabet())
    inner = Tokenizer(models.BPE(vocab={text: i for i, text in enumerate(specials + alphabet)}, merges=[]))
    inner.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=False)
    inner.decoder = decoders.ByteLevel()
    tokenizer = PreTrainedTokenizerFast(tokenizer_object=inner, bos_token="<s>", eos_token="</s>")
    tokenizer.add_special_tokens({"additional_special_tokens": specials[2:]})
    tokenizer.chat_template = TEMPLATE
    return tokenizer


def _pairs(rows: int, longest: int) -> list[Pair]:
    """Draw pairs of English-like words, log-normal in length, about 500 tokens each where that fits."""
    rng = random.Random(1)
    pairs = []
    for i in range(rows):
        length = min(int(rng.lognormvariate(6.0, 0.6)), longest - 60)
        text = " ".join(rng.choice(WORDS) for _ in range(length // 4))[:length]
        pairs.append(Pair(id=f"row/{i}", instruction=text[: length // 3], output=text[length // 3 :]))
    return pairs


def curves(base: str, changes: list[dict[str, Any]]) -> list[list[float]]:
    """Train the same rows in several ways; each way's losses."""
    found = []
    for change in changes:
        asked = SHORT | {"dtype": "float32"} | change
        found.append(train(base, 40, asked, save=True)["losses"])
    return found


def training(base: str, rows: int, change: dict[str, Any], save: bool) -> dict[str, Any]:
    """Train at the paper's settings, but for what ``change`` says."""
    return train(base, rows, PAPERS | change, save=save)


def train(base: str, rows: int, asked: dict[str, Any], *, save: bool) -> dict[str, Any]:
    """Run the SFT stage; speed is the median step's after the second, memory the peak of all steps."""
    from kit.stages import PAIRS, sft
    from kit.training import weights

    steps: list[tuple[float, int]] = []
    if asked.get("sharding") == "fsdp":  # the stage refuses to shard over one rank, where nothing is gained
        sft.check_before = lambda *_asked: None
    if not save:
        weights.save = lambda *_model, **_where: 0
    params = {"tuning": "full", "epochs": 1, "seed": 42, "chat_template": TEMPLATE, "end_of_turn": "<|end|>"} | asked
    with tempfile.TemporaryDirectory() as folder:
        write_rows(Path(folder) / PAIRS, _pairs(rows, params["max_length_tokens"]))
        out = Path(folder) / "tuned"
        out.mkdir()
        progress = lambda *_numbers: steps.append((time.perf_counter(), _peak_bytes()))  # noqa: E731
        context: Any = SimpleNamespace(rank=0, world=1, parts=Parts(None, ""), progress=progress)
        sft.run(params, {"pairs": Path(folder), "base": Path(base)}, out, context)
        log = [json.loads(line) for line in (out / sft.LOG).read_text().splitlines()]
    times = [at for at, _ in steps]
    rates = [line["tokens"] / (end - begin) for line, begin, end in zip(log[2:], times[1:], times[2:], strict=False)]
    return {
        "losses": [line["loss"] for line in log],
        "tokens_per_s": sorted(rates)[len(rates) // 2],
        "peak_bytes": max(peak for _, peak in steps),
    }


def _peak_bytes() -> int:
    """Return the most memory that this process had so far: the card's, else the machine's."""
    import resource

    import torch

    if torch.cuda.is_available():
        return int(torch.cuda.max_memory_allocated())
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024


def observe(engine: str, model: str) -> Any:
    """Run the contract's observations (tests/engines/contract.py)."""
    import runpy

    contract = runpy.run_path(str(ROOT / "tests/engines/contract.py"))
    return contract["observe"](engine, Path(model))


def speed(model: str, dtype: str, rows: int, prompt: int, text: int) -> dict[str, Any]:
    """Let the transformers engine write and score some rows, after a warm-up."""
    import torch

    from kit.engines import transformers

    settings = EngineSettings(name="transformers", dtype=dtype, max_model_len=2048, max_num_seqs=rows)
    opened = transformers.open(Path(model), settings)
    asked = [
        Request(id=str(i), turns=(Turn(role="user", content=f"{i:4} " * (prompt // 5)),), seed=i) for i in range(rows)
    ]
    opened.generate(asked, Sampling(max_tokens=2))
    if torch.cuda.is_available():
        torch.cuda.reset_peak_memory_stats()
    started = time.perf_counter()
    found = opened.generate(asked, Sampling(max_tokens=text))
    wrote = time.perf_counter() - started
    peak = _peak_bytes()
    pairs = [("a" * prompt, "b" * prompt)] * rows
    started = time.perf_counter()
    opened.loglikelihood(pairs)
    scored = time.perf_counter() - started
    return {
        "tokens_per_s": sum(row.tokens for row in found) / wrote,
        "prompt_tokens": sum(row.prompt_tokens for row in found),
        "scored_per_s": 2 * prompt * rows / scored,
        "peak_bytes": peak,
    }


def alike(model: str, dtype: str) -> dict[str, Any]:
    """Ask two engines in turn for greedy texts and likelihoods: vLLM, then transformers in the memory it gave back."""
    from kit.engines import transformers, vllm

    settings = EngineSettings(dtype=dtype, max_model_len=512, max_num_seqs=32)
    pairs = [(_question(i) * 4, _question(i + 1) * 4) for i in range(16)]
    found: dict[str, list[Any]] = {"texts": [], "loglikelihood": []}
    for module in (vllm, transformers):
        opened = module.open(Path(model), settings)
        found["texts"] += [[row.text for row in opened.generate(_asked(32), Sampling(max_tokens=32))]]
        found["loglikelihood"] += [opened.loglikelihood(pairs)]
        opened.close()
    return found


def swapped(first: str, second: str) -> dict[str, Any]:
    """Put the second model's weights into an engine of the first, then open the second by itself."""
    from kit.engines import vllm

    settings = EngineSettings(dtype="float32", max_model_len=512, max_num_seqs=32)
    seen: dict[str, Any] = {}
    opened = vllm.open(Path(first), settings)
    seen["before"] = _seen(opened)
    seen["taken"] = opened.swap(Path(second))
    seen["swapped"] = _seen(opened)
    opened.close()
    opened = vllm.open(Path(second), settings)
    seen["fresh"] = _seen(opened)
    opened.close()
    return seen


def _seen(opened: Any) -> list[Any]:
    texts = [row.text for row in opened.generate(_asked(8), Sampling(max_tokens=16))]
    return [texts, opened.loglikelihood([(_question(0), _question(1))])]


def _question(number: int) -> str:
    return f"Say {number}, then {WORDS[number % len(WORDS)]}."


def _asked(rows: int) -> list[Request]:
    return [Request(id=str(i), turns=(Turn(role="user", content=_question(i)),), seed=i) for i in range(rows)]


def launched(model: str) -> dict[str, Any]:
    """Open vLLM as one of several ranks does, in a process group that is there before and must be there after."""
    import torch
    from accelerate import PartialState

    from kit.engines import vllm

    state = PartialState()
    settings = EngineSettings(dtype="bfloat16", max_model_len=512, max_num_seqs=32)
    seen: dict[str, Any] = {}
    ranks = vllm._local_ranks
    for name, count in (("launched", lambda: 2), ("lone", ranks)):
        vllm._local_ranks = count  # one card can't be two ranks': this one is told that there is another
        opened = vllm.open(Path(model), settings)
        seen[name] = [row.text for row in opened.generate(_asked(16), Sampling(max_tokens=16))]
        opened.close()
    total = torch.ones(1, device=state.device)
    torch.distributed.all_reduce(total)
    return seen | {"group": torch.distributed.get_world_size() == 1 and total.item() == 1}


def write(*, model: str, dtype: str, rows: int, prompt: int, text: int, max_model_len: int) -> dict[str, float]:
    """Let vLLM start, read, write and score; seconds, tokens a second, and bytes taken on the card."""
    from kit.engines import vllm

    settings = EngineSettings(dtype=dtype, max_model_len=max_model_len)
    found: dict[str, float] = {}
    started = time.perf_counter()
    opened = vllm.open(Path(model), settings)
    found["start_s"] = time.perf_counter() - started
    found["open_bytes"] = _taken_bytes()
    asked = [
        Request(id=str(i), turns=(Turn(role="user", content=f"{i:4} " * (prompt // 5)),), seed=i) for i in range(rows)
    ]
    opened.generate(asked, Sampling(max_tokens=4))
    started = time.perf_counter()
    read = opened.generate(asked, Sampling(max_tokens=1))
    read_s = time.perf_counter() - started
    found["read_per_s"] = sum(row.prompt_tokens for row in read) / read_s
    started = time.perf_counter()
    wrote = opened.generate(asked, Sampling(max_tokens=text))
    found["tokens_per_s"] = sum(row.tokens for row in wrote) / (time.perf_counter() - started - read_s)
    pairs = [("a" * prompt, "b" * prompt)] * rows
    opened.loglikelihood(pairs[:2])
    started = time.perf_counter()
    opened.loglikelihood(pairs)
    found["scored_per_s"] = 2 * prompt * rows / (time.perf_counter() - started)
    found["scored_bytes"] = _taken_bytes()
    opened.close()
    found["closed_bytes"] = _taken_bytes()
    return found


def _taken_bytes() -> int:
    """Return what is taken on the card, by everybody; on a machine without one, the most this process had."""
    import torch

    if not torch.cuda.is_available():
        return _peak_bytes()
    free, total = torch.cuda.mem_get_info()
    return int(total - free)


def invariant(model: str) -> dict[str, Any]:
    """Ask vLLM in its batch-invariant mode for one text alone and among others, in bf16."""
    from kit.engines import vllm

    settings = EngineSettings(dtype="bfloat16", max_model_len=512, batch_invariant=True)
    opened = vllm.open(Path(model), settings)
    asked = [Request(id=str(i), turns=(Turn(role="user", content=f"Say {i}."),), seed=i) for i in range(65)]
    among = opened.generate(asked, Sampling(max_tokens=64))[7].text
    alone = opened.generate(asked[7:8], Sampling(max_tokens=64))[0].text
    opened.close()
    return {"alone": alone, "among": among}


def score(*, side: str, model: str, dtype: str, rows: int) -> dict[str, Any]:
    """Compute the losses behind IFD of some rows, our way or the authors' (perf/scoring.py)."""
    from perf import scoring

    return scoring.score_once(side=side, model=model, dtype=dtype, pairs=_pairs(rows, 1500))


if __name__ == "__main__":
    task, asked = sys.argv[1:]
    print("\n" + json.dumps(globals()[task](**json.loads(asked))))
