"""Reward of an evolved instruction: what a reward model makes of it as the answer to its evolution prompt (Table 14).

The chat has the prompt that the evolver was given as the user's turn, and the evolved instruction as the assistant's.
The paper puts the instruction before evolution into the prompt; the authors' script puts the evolved one there, and
scales each reward by its length:
https://github.com/HypherX/Evolution-Analysis/blob/78dca56c5d60c5dc92642a69b206eef18afa1eff/Evol_Instruct/eval_reward.py
"""

import math
from collections.abc import Mapping, Sequence
from dataclasses import replace
from functools import partial
from pathlib import Path

from kit.errors import RequestError, did_you_mean
from kit.measures import Measure
from kit.metrics import Keeps, Option, Reads, Rewrite, Role, ScoreSettings
from kit.metrics._rewards import Rewarder, Shown
from kit.prompts import Pack, fill
from kit.records import Score, Turn

VERSION = 1
READS: Reads = "rewrites"
ROLE: Role = "rewarder"
WHOLE = False
METRICS = {"instruction_reward": Measure(title="Mean reward", unit="reward", kind="mean", counts="rows")}
KEEPS: Mapping[str, Keeps] = {"instruction_reward": "highest"}
WAYS = ("add_constraint", "deepen", "concretize", "add_reasoning_steps", "breadth")
VALUES: Mapping[str, Sequence[str]] = {
    "instruction_inside_the_prompt": ("before", "after"),
    "length_scaling": ("none", "times_tokens", "per_token"),
    "operator": ("", *WAYS),
}
OPTIONS: Mapping[str, Option] = {name: values[0] for name, values in VALUES.items()}
"""``instruction_inside_the_prompt``: the instruction ``before`` evolution, or ``after`` it.
``length_scaling``: ``none``; ``times_tokens``, reward * tokens / mean tokens; ``per_token``, reward / tokens * mean
tokens. Tokens are those of the assistant's turn, and the mean is that of all rows with a reward.
``operator``: the prompt's operator; empty for the one that each row was evolved by."""
PROMPTS = tuple(f"evol_instruct.{way}" for way in WAYS)
EMPTY, NO_OPERATOR = "empty text", "no operator of Evol-Instruct"


def open(model: Path | None, settings: ScoreSettings) -> Rewarder:  # noqa: A001 - the verb that every metric has
    """Load the reward model of a folder.

    Raises:
        RequestError: the folder holds no reward model, or an option has a value that is not known.
    """
    assert model is not None, "a rewarder has a folder"
    assert settings.pack is not None, "the stage gives the templates of PROMPTS"
    for name, known in VALUES.items():
        if (value := settings.options[name]) not in known:
            raise RequestError(
                f"instruction_reward: {name}: no value {value!r}{did_you_mean(str(value), filter(None, known))}"
            )
    from kit.rewards import open_reward_model

    opened = open_reward_model(model, dtype=settings.dtype, max_tokens=settings.max_tokens or None)
    return Rewarder(opened, "instruction_reward", partial(chat_of, pack=settings.pack, options=settings.options))


def chat_of(row: Rewrite, pack: Pack, options: Mapping[str, Option]) -> Shown:
    """Return the chat whose reward is a row's: the evolution prompt and the evolved instruction.

    Args:
        row: an instruction before and after a round.
        pack: the templates of evolution.
        options: the metric's options.
    """
    way = options["operator"] or row.after.operator
    if not row.after.instruction.strip():
        return EMPTY
    if way not in WAYS:
        return NO_OPERATOR
    inside = row.before if options["instruction_inside_the_prompt"] == "before" else row.after
    asked = fill(pack.chat(f"evol_instruct.{way}"), {"instruction": inside.instruction})
    return (*asked, Turn(role="assistant", content=row.after.instruction))


def finish(scores: Sequence[Score], options: Mapping[str, Option]) -> list[Score]:
    """Return the scores of all rows scaled by length, as the option says."""
    scaling = options["length_scaling"]
    counts = {score.id: int(str(score.facts["tokens"])) for score in scores if score.values}
    if scaling == "none" or not counts:
        return list(scores)
    mean = math.fsum(counts.values()) / len(counts)
    factors = {
        id: tokens / mean if scaling == "times_tokens" else mean / max(tokens, 1) for id, tokens in counts.items()
    }
    return [
        replace(score, values={id: value * factors[score.id] for id, value in score.values.items()}) for score in scores
    ]
