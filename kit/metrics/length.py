"""Length of an instruction in tokens of the scoring model, as the authors sort by it (their select_data.py)."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from kit.measures import Measure
from kit.metrics import Keeps, Option, Progress, Reads, Role, ScoreSettings
from kit.records import Pair, Score

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
        """Return the number of tokens of each row's instruction."""
        found = [Score(id=row.id, values={"instruction_length": float(self._count(row.instruction))}) for row in rows]
        progress(len(found))
        return found

    def _count(self, text: str) -> int:
        return len(self._tokenizer(text, add_special_tokens=False)["input_ids"])
