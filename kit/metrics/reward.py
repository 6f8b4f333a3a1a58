"""Reward of an evolved instruction: what a reward model makes of it as the answer to its evolution prompt (Table 14).

The chat has the prompt that the evolver was given as the user's turn, and the evolved instruction as the assistant's.
The paper puts the instruction before evolution into the prompt; the authors' script puts the evolved one there, and
scales each reward by its length:
https://github.com/HypherX/Evolution-Analysis/blob/78dca56c5d60c5dc92642a69b206eef18afa1eff/Evol_Instruct/eval_reward.py
Of a file of pairs, which tells of no evolution, the chat is the question and its response.
"""

import math
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from kit.errors import RequestError, did_you_mean
from kit.measures import Measure
from kit.metrics import Keeps, Option, Progress, Reads, Rewrite, Role, ScoreSettings
from kit.prompts import Pack, fill
from kit.records import Pair, Score, Turn

if TYPE_CHECKING:
    from kit.rewards import RewardModel

VERSION = 1
READS: Reads = "rewrites"
ROLE: Role = "rewarder"
WHOLE = False
METRICS = {"mean_reward": Measure(title="Mean reward", unit="reward", digits=2, kind="mean", counts="rows")}
KEEPS: Mapping[str, Keeps] = {"mean_reward": "highest"}
VALUES: Mapping[str, Sequence[str]] = {
    "instruction_inside_the_prompt": ("before", "after"),
    "length_scaling": ("none", "times_tokens", "per_token"),
}
OPTIONS: Mapping[str, Option] = {name: values[0] for name, values in VALUES.items()}
"""``instruction_inside_the_prompt``: the instruction ``before`` evolution, or ``after`` it.
``length_scaling``: ``none``; ``times_tokens``, reward * tokens / mean tokens; ``per_token``, reward / tokens * mean
tokens. Tokens are those of the assistant's turn, and the mean is that of all rows with a reward."""
WAYS = ("add_constraint", "deepen", "concretize", "add_reasoning_steps", "breadth")
PROMPTS = tuple(f"evol_instruct.{way}" for way in WAYS)
EMPTY, NO_OPERATOR = "empty text", "not evolved by Evol-Instruct"


def open(model: Path | None, settings: ScoreSettings) -> "Rewarder":  # noqa: A001 - the verb that every metric has
    """Load the reward model of a folder.

    Raises:
        RequestError: the folder holds no reward model, or an option has a value that is not known.
    """
    assert model is not None, "a rewarder has a folder"
    for name, known in VALUES.items():
        if (value := settings.options[name]) not in known:
            raise RequestError(f"reward: {name}: no value {value!r}{did_you_mean(str(value), known)}")
    from kit.rewards import open_reward_model

    opened = open_reward_model(model, dtype=settings.dtype, max_tokens=settings.max_tokens or None)
    return Rewarder(opened, settings)


def chat_of(row: Rewrite | Pair, pack: Pack | None, inside: Option) -> tuple[Turn, ...]:
    """Return the chat whose reward is a row's: the evolution prompt and the evolved instruction.

    Args:
        row: an instruction before and after a round; or a pair, whose chat is its question and response.
        pack: the templates of evolution; not used for a pair.
        inside: the instruction in the prompt, ``before`` or ``after``.
    """
    if isinstance(row, Pair):
        question = f"{row.instruction}\n{row.input}" if row.input else row.instruction
        asked = (*row.turns_before(), Turn(role="user", content=question))
        return (*asked, Turn(role="assistant", content=row.output))
    assert pack is not None, "the stage gives the templates that PROMPTS names"
    instruction = (row.before if inside == "before" else row.after).instruction
    asked = fill(pack.chat(f"evol_instruct.{row.after.operator}"), {"instruction": instruction})
    return (*asked, Turn(role="assistant", content=row.after.instruction))


class Rewarder:
    """Asks a reward model about each row."""

    def __init__(self, model: "RewardModel", settings: ScoreSettings) -> None:
        self.fingerprint: Mapping[str, Any] = model.fingerprint
        self._model = model
        self._settings = settings

    def score(self, rows: Sequence[Rewrite | Pair], progress: Progress) -> list[Score]:
        """Return the reward of each row, not yet scaled by length; :func:`finish` does that.

        Raises:
            RequestError: the model's chat template refuses a chat.
        """
        reasons = [_reason(row) for row in rows]
        inside = self._settings.options["instruction_inside_the_prompt"]
        chats = {
            row.id: chat_of(row, self._settings.pack, inside)
            for row, reason in zip(rows, reasons, strict=True)
            if not reason
        }
        left_out = len(rows) - len(chats)
        rewards = dict(zip(chats, self._model.rewards(chats, lambda done: progress(done + left_out)), strict=True))
        scores = []
        for row, reason in zip(rows, reasons, strict=True):
            if reason:
                scores.append(Score(id=row.id, skipped=reason))
                continue
            reward = rewards[row.id]
            facts = {"tokens": self._model.token_count(chats[row.id][-1].content), "chat_tokens": reward.tokens}
            if reward.value is None:
                too_long = f"chat of more than {self._model.max_tokens:,} tokens"
                scores.append(Score(id=row.id, skipped=too_long, facts=facts))
            else:
                scores.append(Score(id=row.id, values={"mean_reward": reward.value}, facts=facts))
        return scores


def _reason(row: Rewrite | Pair) -> str:
    """Return the reason why a row can have no reward; empty where it can."""
    text = row.output if isinstance(row, Pair) else row.after.instruction
    if not text.strip():
        return EMPTY
    return "" if isinstance(row, Pair) or row.after.operator in WAYS else NO_OPERATOR


def finish(scores: Sequence[Score], options: Mapping[str, Option]) -> list[Score]:
    """Return the scores of all rows scaled by length, as the option says."""
    scaling = options["length_scaling"]
    counts = {score.id: int(str(score.facts["tokens"])) for score in scores if score.values}
    if scaling == "none" or not counts:
        return list(scores)
    mean = math.fsum(counts.values()) / len(counts)
    factors = {
        id: tokens / mean if scaling == "times_tokens" else mean / tokens if tokens else 0.0
        for id, tokens in counts.items()
    }
    return [
        replace(score, values={"mean_reward": score.values["mean_reward"] * factors[score.id]})
        if score.id in factors
        else score
        for score in scores
    ]
