"""Reward of a response: what a reward model makes of it as the answer to its instruction, for files of one's own."""

from collections.abc import Mapping
from pathlib import Path

from kit.measures import Measure
from kit.metrics import Keeps, Option, Reads, Role, ScoreSettings
from kit.metrics._rewards import Rewarder, Shown
from kit.records import Pair, Turn

VERSION = 1
READS: Reads = "pairs"
ROLE: Role = "rewarder"
WHOLE = False
METRICS = {"reward": Measure(title="Reward of the response", unit="reward", kind="mean", counts="rows")}
KEEPS: Mapping[str, Keeps] = {"reward": "highest"}
OPTIONS: Mapping[str, Option] = {}
EMPTY = "empty text"


def open(model: Path | None, settings: ScoreSettings) -> Rewarder:  # noqa: A001 - the verb that every metric has
    """Load the reward model of a folder.

    Raises:
        RequestError: the folder holds no reward model.
    """
    assert model is not None, "a rewarder has a folder"
    from kit.rewards import open_reward_model

    opened = open_reward_model(model, dtype=settings.dtype, max_tokens=settings.max_tokens or None)
    return Rewarder(opened, "reward", chat_of)


def chat_of(row: Pair) -> Shown:
    """Return a pair's chat: what was said before, the instruction with its input in a line of its own, the response."""
    if not row.output.strip():
        return EMPTY
    question = f"{row.instruction}\n{row.input}" if row.input else row.instruction
    return (
        *row.turns_before(),
        Turn(role="user", content=question),
        Turn(role="assistant", content=row.output),
    )
