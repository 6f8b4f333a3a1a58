"""The progress of the job at work: its phase, its counts, and how fast they grow."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from kit.store import Job

AT_WORK = "at work"


@dataclass(slots=True)
class JobProgress:
    """The progress of the job at work: its phase, its counts, and since when."""

    job: Job
    since: float
    """Time at which its phase began, or its first count came, on the display's clock."""
    phase: str = AT_WORK
    """The phase, printed while nothing is counted: ``starting the engine vllm``."""
    done: int = 0
    total: int = 0
    """0: nothing is counted yet."""
    tokens: float = 0
    first_done: int = 0
    """The first count; rates leave out what came before it: an engine's start, a trainer's first step."""
    first_tokens: float = 0

    def update(self, fields: Mapping[str, Any], now: float) -> None:
        """Take over the fields of one ``progress`` event."""
        phase, done, total, tokens = fields.get("phase", ""), fields["done"], fields["total"], fields.get("tokens", 0)
        new_phase = bool(phase) and (phase != self.phase or self.total > 0)
        new_count = not phase and (self.total != total or done < self.done)
        if new_phase or new_count:
            self.since, self.first_done, self.first_tokens = now, done, tokens
        self.phase, self.done, self.total, self.tokens = phase or AT_WORK, done, total, tokens

    def rates(self, now: float) -> tuple[float, float]:
        """Return rows and tokens per second since the first count; 0 where nothing is counted yet."""
        seconds, rows = now - self.since, self.done - self.first_done
        if not self.total or rows <= 0 or seconds <= 0:
            return 0.0, 0.0
        return rows / seconds, max(0.0, self.tokens - self.first_tokens) / seconds

    def state(self, now: float) -> str:
        """Return ``starting the engine vllm, 12 s``, or ``120/541, 3.1 rows/s, 120 tok/s, 136 s left``."""
        seconds, rows = now - self.since, self.done - self.first_done
        if not self.total:
            return f"{self.phase}, {seconds:,.0f} s"
        parts = [f"{self.done:,}/{self.total:,}"]
        if rows and seconds > 0:
            parts.append(f"{rate(rows / seconds, 1)} rows/s")
            if self.tokens > self.first_tokens:
                parts.append(f"{rate((self.tokens - self.first_tokens) / seconds, 0)} tok/s")
            if self.done < self.total:
                parts.append(f"{seconds / rows * (self.total - self.done):,.0f} s left")
        else:
            parts.append(f"{seconds:,.0f} s")
        return ", ".join(parts)


def rate(value: float, digits: int) -> str:
    """Return a rate with this many decimal digits; with two significant digits if it is below 1."""
    return f"{value:,.{digits}f}" if value >= 1 else f"{value:.2g}"
