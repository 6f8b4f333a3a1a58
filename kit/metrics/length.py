"""Length of an instruction in tokens of the scoring model, as the authors sort by it (their select_data.py)."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from kit.files.texts import HALF
from kit.measures import Measure
from kit.metrics import Keeps, Option, Progress, Reads, Role, ScoreSettings
from kit.records import Pair, Score
from kit.scoring.pairs import HALF_CHARACTER

VERSION = 1
READS: Reads = "pairs"
ROLE: Role = "scorer"
WHOLE = False
METRICS = {
    "instruction_length": Measure(
        title="Instruction length", unit="tokens", digits=1, kind="mean", counts="rows", lowest=0.0
    )
}
KEEPS: Mapping[str, Keeps] = {"instruction_length": "lowest"}
OPTIONS: Mapping[str, Option] = {}
AT_ONCE = 1024
"""Rows whose tokens are in memory at a time."""


def open(model: Path | None, settings: ScoreSettings) -> "Length":  # noqa: A001 - the verb that every metric has
    """Load the tokenizer of a model's folder."""
    del settings
    assert model is not None, "a scorer has a folder"
    from kit.models.tokenizer import load_tokenizer

    return Length(load_tokenizer(model))


class Length:
    """Counts tokens; the instruction alone, without its input and without special tokens."""

    def __init__(self, tokenizer: Any) -> None:
        self.fingerprint: Mapping[str, Any] = {}
        self._tokenizer = tokenizer

    def score(self, rows: Sequence[Pair], progress: Progress) -> list[Score]:
        """Return the number of tokens of each row's instruction, or the reason why it has none."""
        found: list[Score] = []
        for start in range(0, len(rows), AT_ONCE):
            found += self._counted(rows[start : start + AT_ONCE])
            progress(len(found))
        return found

    def _counted(self, rows: Sequence[Pair]) -> list[Score]:
        """Return the scores of some rows, whose tokens are all in memory."""
        sound = [row.instruction for row in rows if not HALF.search(row.instruction)]
        ids = iter(self._tokenizer(sound, add_special_tokens=False, verbose=False)["input_ids"] if sound else [])
        return [
            Score(id=row.id, skipped=HALF_CHARACTER)
            if HALF.search(row.instruction)
            else Score(id=row.id, values={"instruction_length": float(len(next(ids)))})
            for row in rows
        ]
