"""Selections behind a table: rows kept and of how many, the score at which they were cut, rows without a score."""

import math
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from fractions import Fraction
from typing import Any

from kit.errors import KitError
from kit.plan import Plan
from kit.report.drops import is_count
from kit.store import Artifact, Store


@dataclass(frozen=True, slots=True, kw_only=True)
class Selected:
    """The part of a set that one job kept."""

    job: str
    """Id of the job, without its stage: ``alpaca/llama-3-8b/round-0/ifd-0.05``."""
    key: str
    """Key of the job."""
    by: str
    """Id of the number that decided, or ``random``."""
    fraction: float
    """Part of the rows that was asked for."""
    kept: int
    read: int
    """Number of rows of the whole set."""
    keeps: str = ""
    """End of the order that was kept, ``highest`` or ``lowest``; empty for a random part."""
    cut: float | None = None
    """Score of the row that was kept last; None for a random part."""
    equal_left_out: int = 0
    """Rows of the same score as that one which were left out, being later in the set."""
    without_score: Mapping[str, int] = field(default_factory=dict)
    """Reason -> number of rows that have no score; such rows are left out."""

    def text(self) -> str:
        """Return a sentence: how many rows were kept of how many, by what, how it was rounded, and where it was cut."""
        asked = Fraction(str(self.fraction)) * self.read  # as digits, as the rows were counted
        rounded = "" if asked == self.kept else f", rounded from {float(asked):,.2f}"
        parts = [f"{self.job} kept {self.kept:,} of {self.read:,} rows ({100 * self.fraction:g} %{rounded})"]
        if self.cut is None:
            parts.append("drawn at random")
        else:
            parts.append(f"{self.keeps} {self.by} first, cut at {self.cut:.5g}")
        if self.equal_left_out:
            parts.append(f"{self.equal_left_out:,} later rows of this very score left out")
        parts += [f"{count:,} without a score: {reason}" for reason, count in self.without_score.items()]
        return ", ".join(parts)

    def to_json(self) -> dict[str, Any]:
        """Return it as a JSON object."""
        names = ("job", "key", "by", "fraction", "kept", "read", "keeps", "cut", "equal_left_out")
        return {**{name: getattr(self, name) for name in names}, "without_score": dict(self.without_score)}


def selections_behind(keys: Iterable[str], plan: Plan, store: Store) -> tuple[Selected, ...]:
    """Return the selections behind some jobs, in the plan's order; of those that the store has.

    Args:
        keys: keys of the jobs, which are a table's.
        plan: the plan.
        store: the store.

    Raises:
        KitError: an artifact's facts are no selection's.
    """
    needed = plan.needs(keys)
    picks = [key for key, job in plan.jobs.items() if key in needed and job.stage == "select" and store.has(key)]
    return tuple(selected(store.get(key), plan.jobs[key].id) for key in picks)


def selected(artifact: Artifact, id: str) -> Selected:
    """Return the part of a set that a selection kept, from the facts of its artifact.

    Args:
        artifact: the job's.
        id: the job's id in the plan.

    Raises:
        KitError: its facts are none that a selection writes; a head may have been written by others.
    """
    facts = artifact.facts
    without, cut, equal = facts.get("without_score", {}), facts.get("cut"), facts.get("equal_left_out", 0)
    fraction, by, keeps = facts.get("kept_fraction"), facts.get("by"), facts.get("keeps", "")
    counts = [facts.get("rows_read"), equal, *(without.values() if isinstance(without, dict) else [None])]
    numbers: list[Any] = [fraction, *([] if cut is None else [cut])]
    texts = isinstance(by, str) and isinstance(keeps, str)
    finite = all(type(number) in (int, float) and math.isfinite(number) for number in numbers)
    if not (texts and finite and all(map(is_count, counts))):
        raise KitError(
            f"{artifact.folder}: its facts are no selection's; `kit store check` finds what was changed, and what is "
            "removed from the store is computed anew"
        )
    return Selected(
        job=id.removeprefix("select/"),
        key=artifact.key,
        by=str(by),
        fraction=float(str(fraction)),
        kept=artifact.rows,
        read=int(str(counts[0])),
        keeps=str(keeps),
        cut=None if cut is None else float(str(cut)),
        equal_left_out=int(str(equal)),
        without_score={str(reason): count for reason, count in without.items()},
    )
