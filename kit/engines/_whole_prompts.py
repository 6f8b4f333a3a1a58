"""Choose the requests that join vLLM's next step, so that no prompt of a sampled text is split over two steps.

On a CPU vLLM ends a job with "CPU Generator does not use offset" where a prompt is split and its request has a seed:
after a part of a prompt it winds the request's generator back, which torch has for CUDA alone
(v1/worker/gpu_model_runner.py of vLLM 0.32.0, ``gen.set_offset``). A greedy text has no generator, and may be split.
"""

from collections.abc import Iterable


def joining(lengths: Iterable[int], unfinished: int, step_tokens: int, seats: int) -> int:
    """Return how many of the waiting prompts join the next step; one at least where nothing else is at work.

    These are the prompts that vLLM itself would begin in that step, without the one that would not fit as a whole.

    Args:
        lengths: length of each waiting prompt, tokens, in their order.
        unfinished: number of requests at work; each takes one token of the step.
        step_tokens: most tokens of one step.
        seats: most requests at work.
    """
    left, count = step_tokens - unfinished, 0
    for length in lengths:
        if unfinished + count >= seats or length > left:
            break
        left, count = left - length, count + 1
    return count if count or unfinished else 1
