"""The times at which a request may be sent: so many a minute, none in a pause, later after each failure."""

import math
import random
import threading
import time
from collections import deque
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC
from email.utils import parsedate_to_datetime

FIRST_WAIT_S, LONGEST_WAIT_S = 1.0, 60.0
"""Seconds before the first repeat, and the most before any: each wait is twice the one before it."""
LONGEST_PAUSE_S = 600.0
"""Seconds of a pause that is waited for; a server that wants a longer one ends the job, to be run again later."""
MINUTE_S = 60.0


class EndedError(Exception):
    """Another request has ended the job; this one is not sent."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Clock:
    """The time that waits are measured by; a test's runs faster."""

    speed: float = 1.0
    """Seconds of this clock in a second."""

    def now(self) -> float:
        """Return the seconds since a moment that never changes."""
        return time.monotonic() * self.speed

    def date(self) -> float:
        """Return seconds since 1970, as servers count them."""
        return time.time()

    def wait(self, seconds: float, ended: threading.Event) -> None:
        """Wait for some seconds of this clock.

        Raises:
            EndedError: the job has ended, before or while it waited.
        """
        if ended.wait(max(0.0, seconds) / self.speed):
            raise EndedError


class Pace:
    """Holds requests back: ``per_minute`` within any 60 seconds, and none during a pause; threads share it."""

    def __init__(self, per_minute: int | None, clock: Clock) -> None:
        self.per_minute = per_minute
        self.clock = clock
        self._lock = threading.Lock()
        self._sent: deque[float] = deque(maxlen=per_minute)
        """Times of the last requests, as many as a minute may have."""
        self._pause_ends = -math.inf

    def take_turn(self, ended: threading.Event) -> None:
        """Wait until one more request may be sent, and count it.

        Raises:
            EndedError: the job has ended.
        """
        while (wait := self._next_wait()) > 0:
            self.clock.wait(wait, ended)
        if ended.is_set():
            raise EndedError

    def pause(self, seconds: float) -> None:
        """Let no request be sent for some seconds."""
        with self._lock:
            self._pause_ends = max(self._pause_ends, self.clock.now() + seconds)

    def _next_wait(self) -> float:
        """Return the seconds to wait; if there are none, a request counts as sent now."""
        with self._lock:
            now = self.clock.now()
            wait = self._pause_ends - now
            if self.per_minute is not None and len(self._sent) == self.per_minute:
                wait = max(wait, self._sent[0] + MINUTE_S - now)
            if wait <= 0 and self.per_minute is not None:
                self._sent.append(now)
            return wait


def back_off(asked: str, attempt: int, retry_after_s: float | None) -> float:
    """Return the seconds to wait before a request is repeated.

    They double with each attempt, up to :data:`LONGEST_WAIT_S`, and are shortened by a share of up to a half, drawn
    from what is asked and the attempt, so that requests that failed together do not come back together.

    Args:
        asked: hash of what is asked.
        attempt: number of the attempt that failed, from 0.
        retry_after_s: seconds that the server wants; never less is waited.
    """
    wait = min(LONGEST_WAIT_S, FIRST_WAIT_S * 2.0 ** min(attempt, 30))
    wait *= random.Random(f"{asked}/{attempt}").uniform(0.5, 1.0)
    return max(wait, retry_after_s or 0.0)


def retry_after(headers: Mapping[str, str], date: float) -> float | None:
    """Return the seconds that a server wants to be left alone; None if it does not say, or says what can't be read.

    Args:
        headers: the headers of its answer: ``retry-after-ms`` (OpenAI's and Azure's), or ``retry-after`` with seconds
            or an HTTP date (RFC 9110, 10.2.3), which counts from the answer's own ``date``: the two clocks may differ.
        date: seconds since 1970, for an answer without a date of its own.
    """
    for name, unit in (("retry-after-ms", 1000.0), ("retry-after", 1.0)):
        try:
            seconds = float(headers.get(name, "nan")) / unit
        except ValueError:
            continue
        if math.isfinite(seconds):
            return max(0.0, seconds)
    wanted, sent = (_seconds(headers.get(name, "")) for name in ("retry-after", "date"))
    return None if wanted is None else max(0.0, wanted - (date if sent is None else sent))


def _seconds(date: str) -> float | None:
    """Return an HTTP date as seconds since 1970; None if it is none. One without a zone is in UTC, as HTTP has it."""
    try:
        found = parsedate_to_datetime(date)
        return (found if found.tzinfo else found.replace(tzinfo=UTC)).timestamp()
    except (ValueError, TypeError, OverflowError):
        return None
