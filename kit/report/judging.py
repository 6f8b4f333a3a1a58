"""Sums up who judged a table's answers, and how much of what was said could be read, from the verdicts' facts."""

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from kit.errors import listed
from kit.store import Artifact, Job, Store

COUNTS = ("unreadable", "thoughts", "cut_at_limit", "too_long", "tokens", "prompt_tokens")
"""Counts of a verdict job's facts that are summed."""
MOST_MODELS = 8
"""Names that a server reports which the sentence lists; a server may report a new one with each reply."""


@dataclass(slots=True, kw_only=True)
class Judging:
    """All verdicts of one judge on the answers to one benchmark, or on the instructions that one metric scores."""

    benchmark: str
    """The benchmark, or the metric."""
    judge: str
    """Name of the judge in the manifests."""
    by: str = "text"
    """``labels`` where the likelihoods of labels were asked for, and no reply."""
    jobs: int = 0
    """Number of answered tests, or of instruction sets, that it judged."""
    questions: int = 0
    counts: Counter[str] = field(default_factory=Counter)
    """One of :data:`COUNTS` -> its sum."""
    models: Counter[str] = field(default_factory=Counter)
    """Name that the server reports -> questions that it answered; empty for a local model."""
    money: float = 0.0
    """Price of all replies, where the server has prices."""

    def add(self, artifact: Artifact) -> None:
        """Add the facts of one job's verdicts; what is no number there, as only others write it, counts nothing."""
        facts = artifact.facts
        self.jobs += 1
        self.questions += artifact.rows
        self.counts.update({name: _number(facts.get(name)) for name in COUNTS})
        models = facts.get("models")
        if isinstance(models, Mapping):
            self.models.update({str(name): _number(count) for name, count in models.items()})
        price = facts.get("money")
        self.money += price if type(price) in (int, float) else 0.0  # type: ignore[operator]

    def to_json(self) -> dict[str, Any]:
        """Return it as a JSON object."""
        fields = {
            "benchmark": self.benchmark,
            "judge": self.judge,
            "judge_by": self.by,
            "models": dict(sorted(self.models.items())),
        }
        return fields | {
            "questions": self.questions,
            **{name: self.counts[name] for name in COUNTS},
            "money": self.money,
        }

    def line(self) -> str:
        """Return a sentence: who judged, how many questions, how many replies could not be read."""
        reported = sorted(set(self.models) - {self.judge})
        names = f" (the server reports {listed(reported, MOST_MODELS)})" if reported else ""
        names += " (the label whose likelihood is highest above its mean)" * (self.by == "labels")
        parts = [f"{self.questions:,} questions", f"{self.counts['unreadable']:,} without a verdict that could be read"]
        for name, phrase in (
            ("cut_at_limit", "replies cut at the limit"),
            ("too_long", "questions too long to be asked"),
            ("thoughts", "thoughts taken off"),
        ):
            if count := self.counts[name]:
                parts.append(f"{count:,} {phrase}")
        if self.models:
            parts.append(f"{self.counts['prompt_tokens'] + self.counts['tokens']:,} tokens")
        if self.money:
            parts.append(f"{self.money:,.2f} of money" if self.money >= 0.01 else "less than 0.01 of money")
        return f"{self.benchmark}: judged by {self.judge}{names}: {', '.join(parts)}."


def _number(value: Any) -> int:
    """Return a count as it is; 0 for what is none."""
    return value if type(value) is int and value >= 0 else 0


def judgings(keys: Iterable[str], jobs: Mapping[str, Job], store: Store) -> list[Judging]:
    """Return who judged the answers or instructions behind some numbers, as far as the store has the verdicts.

    Args:
        keys: keys of gradings and scorings; each counts once.
        jobs: the plan's jobs.
        store: where the verdicts are.
    """
    found: dict[tuple[str, ...], Judging] = {}
    for key in dict.fromkeys(key for grade in keys for key in verdict_keys(grade, jobs)):
        job = jobs[key]
        if store.has(key):
            asks = job.params.get("benchmark", job.params.get("metric"))
            names = tuple(str(name) for name in (asks, job.resources.get("judge")))
            by = str(job.params.get("judge_by", "text"))
            found.setdefault((*names, by), Judging(benchmark=names[0], judge=names[1], by=by)).add(store.get(key))
    return list(found.values())


def verdict_keys(grade: str, jobs: Mapping[str, Job]) -> Sequence[str]:
    """Return the keys of the verdicts that a grading or scoring reads: one, or none."""
    key = jobs[grade].inputs.get("verdicts") if grade in jobs else None
    return [key] if key in jobs and key is not None and jobs[key].stage == "judge" else []
