"""A session: the kept cases first, then as many new ones as were asked for; counts, and a file a failing case."""

import hashlib
import json
import time
from collections import Counter
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from tests.fuzz.watching import ROOT, Worker
from tests.fuzz.worker import TARGETS, target

CORPUS = Path(__file__).with_name("corpus")
"""Cases that once showed a fault; they run first."""
FAILING = ROOT / ".cache" / "fuzz"
"""Folder where failing cases are written."""


@dataclass(kw_only=True)
class Counts:
    """Counts of the cases of one group, by how they ended."""

    cases: int = 0
    ends: Counter[str] = field(default_factory=Counter)
    """``refused``, ``accepted``, ``accepted as equal`` -> cases."""
    seen: Counter[str] = field(default_factory=Counter)
    """Counts of a target's own: texts, characters, texts that were not read in time."""
    slowest_ms: int = 0
    """CPU time of the slowest case, or of the slowest text of a batch, ms."""
    slowest: Any = None
    """The slowest case, or the slowest text of a batch."""

    def line(self, group: str) -> str:
        """Return the group's line of the summary."""
        parts = [f"{self.cases:,} cases"]
        parts += [f"{count:,} {end}" for end, count in sorted(self.ends.items())]
        parts += [f"{count:,} {what}" for what, count in self.seen.items()]
        return f"{group:26} {', '.join(parts)}, slowest {self.slowest_ms:,} ms"


@dataclass(kw_only=True)
class Failure:
    """A case that showed a fault."""

    target: str
    case: dict[str, Any]
    fault: str
    seen: str
    file: Path

    def __str__(self) -> str:
        return f"{self.target}: {self.fault}: {self.seen}\n    replay: nox -s fuzz -- --replay {self.file}"


class Session:
    """A run of many cases, with its counts and failures."""

    def __init__(self, worker: Worker, say: Callable[[str], None] = print, failing: Path = FAILING) -> None:
        self.worker = worker
        self.say = say
        self.folder = failing
        self.counts: dict[str, Counts] = {}
        self.failures: list[Failure] = []
        self.kept = 0
        """Cases of the corpus that ran."""

    def run(self, name: str, order: dict[str, Any]) -> dict[str, Any]:
        """Run one case of a target; of a batch that failed, find out which of its parts did."""
        module = target(name)
        case, ended = self.worker.run({"target": name, **order}, cpu_s=module.CPU_S, asleep_s=module.ASLEEP_S)
        group = name if "number" in case else module.group(case)  # a case that was not made has nothing but a number
        self._count(group, case, ended)
        if "fault" in ended:
            parts = module.parts(case) if hasattr(module, "parts") else []
            found = [self.run(name, {"case": part}) for part in parts]
            if not any("fault" in one for one in found):
                self._keep(name, case, ended)
        return ended

    def corpus(self, names: Iterable[str] = tuple(TARGETS)) -> None:
        """Run the kept cases of some targets."""
        wanted = set(names)
        for path in sorted(CORPUS.glob("*.json")):
            kept = json.loads(path.read_text(encoding="utf-8"))
            if kept["target"] in wanted:
                self.kept += 1
                self.run(kept["target"], {"case": kept["case"]})

    def some(self, name: str, count: int, seed: int) -> None:
        """Run so many new cases of a target; the same ones for the same seed, on every machine."""
        for number in range(count):
            self.one(name, number, seed)

    def one(self, name: str, number: int, seed: int) -> None:
        """Make and run the case of a number: it depends on the target, the number and the seed alone."""
        self.run(name, {"number": number, "seed": seed})

    def until(self, deadline: float, seed: int, names: Iterable[str] = tuple(TARGETS)) -> None:
        """Run new cases of all targets in turns until the clock (``time.monotonic``) says so."""
        number = 0
        while time.monotonic() < deadline:
            for name in names:
                for _ in range(target(name).IN_A_ROW):
                    self.one(name, number, seed)
                    number += 1

    def _count(self, group: str, case: dict[str, Any], ended: dict[str, Any]) -> None:
        counts = self.counts.setdefault(group, Counts())
        counts.cases += 1
        counts.ends[ended.get("end", "FAULT")] += 1
        counts.seen.update(ended.get("seen", {}) if "fault" not in ended else {})
        if (spent := ended.get("slowest_ms", ended.get("cpu_ms", 0))) > counts.slowest_ms:
            counts.slowest_ms, counts.slowest = spent, ended.get("slowest", case)

    def _keep(self, name: str, case: dict[str, Any], ended: dict[str, Any]) -> None:
        """Write a failing case to a file."""
        text = json.dumps({"target": name, "case": case, **ended}, indent=1, sort_keys=True)
        self.folder.mkdir(parents=True, exist_ok=True)
        digest = hashlib.sha256(json.dumps([name, case], sort_keys=True).encode()).hexdigest()
        path = self.folder / f"{name}-{digest[:12]}.json"
        path.write_text(text + "\n", encoding="utf-8")
        self.failures.append(Failure(target=name, case=case, fault=ended["fault"], seen=ended["seen"], file=path))
        self.say(f"FAULT {self.failures[-1]}")

    def summary(self) -> list[str]:
        """Return the counts, one line a group, and what was found."""
        lines = [counts.line(group) for group, counts in sorted(self.counts.items())]
        total = sum(counts.cases for counts in self.counts.values())
        kinds = Counter(failure.fault for failure in self.failures)
        named = ", ".join(f"{count} {kind}" for kind, count in sorted(kinds.items())) or "no fault"
        return [*lines, f"{total:,} cases, {self.kept} of them kept from before: {named}"]
