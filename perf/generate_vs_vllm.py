"""Tokens a second of the kit's vLLM engine beside a bare ``vllm.LLM.generate`` loop: same model, prompts and settings.

    python perf/generate_vs_vllm.py [--model DIR] [--repeats 3]

Each side starts in a process of its own, in alternating order, several times; prints each run and the ratio of the
medians, and exits with 1 where the kit is below 0.95 of vLLM. The model is the kit's own SmolLM2 unless another is
named.
"""

import argparse
import json
import subprocess
import sys
import time
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
sys.path[0] = str(ROOT)  # this script's folder is no place to import from

from perf import speed  # noqa: E402

ROWS, MAX_TOKENS, FLOOR = 64, 64, 0.95
ASKS = ("Explain how {} works.", "Write a story about {}.", "List five facts about {}.", "Why does {} matter?")
THINGS = ("the sea", "a clock", "rain", "bread", "a bridge", "sleep", "a magnet", "glass", "salt", "a river", "paper")


def contents() -> list[str]:
    """The user turns, all different."""
    return [ASKS[i % len(ASKS)].format(THINGS[i % len(THINGS)]) + f" ({i})" for i in range(ROWS)]


def kit(model: Path) -> tuple[int, float]:
    """Tokens and seconds of the kit's engine; the first, unmeasured call warms up."""
    from kit.engines import EngineSettings, Request, Sampling, vllm
    from kit.records import Turn

    settings = EngineSettings(dtype="float32", max_model_len=512, max_num_seqs=ROWS)
    engine = vllm.open(model, settings)
    rows = [Request(id=str(i), turns=(Turn(role="user", content=text),), seed=i) for i, text in enumerate(contents())]
    engine.generate(rows[:8], Sampling(max_tokens=8))
    start = time.perf_counter()
    found = engine.generate(rows, Sampling(max_tokens=MAX_TOKENS), lambda *_: None)
    return sum(row.tokens for row in found), time.perf_counter() - start


def bare(model: Path) -> tuple[int, float]:
    """Tokens and seconds of vLLM's own loop, from the same token ids, in the same environment."""
    from kit.engines import EngineSettings
    from kit.engines import vllm as ours

    settings = EngineSettings(dtype="float32", max_model_len=512, max_num_seqs=ROWS)
    options = ours._cpu_options(model, settings, ours._cores())
    import vllm
    from transformers import AutoTokenizer

    llm = vllm.LLM(
        model=str(model),
        dtype="float32",
        max_model_len=512,
        max_num_seqs=ROWS,
        enable_prefix_caching=False,
        generation_config="vllm",
        **options,
    )
    tokenizer = AutoTokenizer.from_pretrained(model, trust_remote_code=False)

    def generate(rows: list[str], max_tokens: int) -> int:
        prompts = [
            vllm.inputs.TokensPrompt(
                prompt_token_ids=tokenizer.apply_chat_template(
                    [{"role": "user", "content": text}], add_generation_prompt=True, return_dict=False
                )
            )
            for text in rows
        ]
        params = [vllm.SamplingParams(temperature=0, max_tokens=max_tokens, seed=i) for i in range(len(rows))]
        return sum(len(found.outputs[0].token_ids) for found in llm.generate(prompts, params, use_tqdm=False))

    generate(contents()[:8], 8)
    start = time.perf_counter()
    return generate(contents(), MAX_TOKENS), time.perf_counter() - start


def measure(side: str, model: Path) -> float:
    """Tokens a second of one side, in a process of its own."""
    command = [sys.executable, __file__, "--model", str(model), "--side", side]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    if done.returncode:
        sys.exit(f"{side}: the run failed\n{done.stderr}")
    tokens, seconds = json.loads(done.stdout.splitlines()[-1])
    print(f"{side:4}  {tokens:6,} tokens  {seconds:6.1f} s  {tokens / seconds:7.1f} tokens/s", flush=True)
    return float(tokens / seconds)


def compare(model: Path, repeats: int) -> None:
    """Run both sides in turns; end with 1 where the kit is too slow."""
    speeds: dict[str, list[float]] = {"kit": [], "vllm": []}
    for number in range(repeats):
        for side in ("kit", "vllm") if number % 2 == 0 else ("vllm", "kit"):
            speeds[side].append(measure(side, model))
    ratio = speed.ratio(speeds["kit"], speeds["vllm"])
    print(f"kit / vllm: {ratio:.3f} (medians of {repeats}; wanted {FLOOR} at least)")
    speed.add_row(
        speed.Row(
            what="generation, `perf/generate_vs_vllm.py`",
            here=f"{speed.spread(speeds['kit'])} tokens/s",
            peer=f"bare `vllm.LLM.generate`: {speed.spread(speeds['vllm'])}",
            ratio=f"{ratio:.2f}",
        )
    )
    sys.exit(ratio < FLOOR)


def main() -> None:
    """Run one side where it is named, else all of them."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--model", type=Path, help="a model folder; without it, SmolLM2 in .cache/")
    parser.add_argument("--repeats", type=int, default=3)
    parser.add_argument("--side", choices=["kit", "vllm"], help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.side:
        print(json.dumps({"kit": kit, "vllm": bare}[options.side](options.model)))
        return
    speed.need_packages("vllm", "transformers")
    compare(speed.model(options.model), options.repeats)


if __name__ == "__main__":
    speed.run(main)
