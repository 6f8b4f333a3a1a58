"""Waits before a request: doubled, drawn from what is asked, never less than the server wants, so many a minute."""

import threading
import time
from collections.abc import Iterator
from typing import ClassVar

import pytest

from kit.judges.pacing import Clock, EndedError, Pace, back_off, retry_after

NOW = 1_700_000_000.0  # Tue, 14 Nov 2023 22:13:20 GMT


class Standing(Clock):
    """A clock that moves when somebody waits, and then alone."""

    moved: ClassVar[list[float]] = [0.0]

    def now(self) -> float:
        return self.moved[0]

    def wait(self, seconds: float, ended: threading.Event) -> None:
        if ended.is_set():
            raise EndedError
        self.moved[0] += seconds


@pytest.fixture
def clock() -> Iterator[Standing]:
    Standing.moved = [0.0]
    yield Standing()


@pytest.mark.parametrize(
    ("headers", "seconds"),
    [
        ({}, None),
        ({"retry-after": "30"}, 30.0),
        ({"retry-after": "1.5"}, 1.5),
        ({"retry-after": "0"}, 0.0),
        ({"retry-after": "-3"}, 0.0),
        ({"retry-after": "nan"}, None),
        ({"retry-after": "inf"}, None),
        ({"retry-after": "soon"}, None),
        ({"retry-after": ""}, None),
        ({"retry-after": "Tue, 14 Nov 2023 22:13:50 GMT"}, 30.0),
        ({"retry-after": "Tue, 14 Nov 2023 22:13:00 GMT"}, 0.0),
        ({"retry-after": "Tuesday, 14-Nov-23 22:13:50 GMT"}, 30.0),
        ({"retry-after": "Tue, 14 Nov 99999 22:13:50 GMT"}, None),
        ({"retry-after-ms": "1500", "retry-after": "30"}, 1.5),
        ({"retry-after-ms": "x", "retry-after": "30"}, 30.0),
        ({"retry-after": "1e9"}, 1e9),
        ({"retry-after": "\xff\udcff"}, None),
        # a clock that is an hour behind made a minute an hour, at which the job ends
        ({"retry-after": "Tue, 14 Nov 2023 23:14:20 GMT", "date": "Tue, 14 Nov 2023 23:13:20 GMT"}, 60.0),
        ({"retry-after": "Tue, 14 Nov 2023 22:14:20 GMT", "date": "soon"}, 60.0),
    ],
)
def test_retry_after_is_read_in_all_its_forms(headers: dict[str, str], seconds: float | None):
    assert retry_after(headers, NOW) == seconds


def test_a_date_without_a_zone_is_read_in_utc(monkeypatch: pytest.MonkeyPatch):
    # it was read in this machine's zone: nine hours early, or late
    monkeypatch.setenv("TZ", "XXX-9")
    time.tzset()
    try:
        assert retry_after({"retry-after": "Tue Nov 14 22:14:20 2023"}, NOW) == 60.0
    finally:
        monkeypatch.undo()
        time.tzset()


def test_waits_double_up_to_a_limit_and_differ_from_question_to_question():
    for attempt in range(12):
        full = min(60.0, 2.0**attempt)
        waits = {back_off(f"{number:064x}", attempt, None) for number in range(50)}
        assert len(waits) == 50 and full / 2 <= min(waits) and max(waits) <= full
    assert back_off("a", 3, None) == back_off("a", 3, None)
    assert back_off("a", 2000, None) <= 60
    assert back_off("a", 0, 90.0) == 90.0


def test_so_many_requests_a_minute(clock: Standing):
    pace, ended, times = Pace(3, clock), threading.Event(), []
    for _ in range(10):
        pace.take_turn(ended)
        times.append(clock.now())
    assert times == [0, 0, 0, 60, 60, 60, 120, 120, 120, 180]


def test_no_request_in_a_pause(clock: Standing):
    pace, ended = Pace(None, clock), threading.Event()
    pace.pause(30)
    pace.pause(10)  # a shorter one ends none
    pace.take_turn(ended)
    assert clock.now() == 30


def test_who_waits_ends_with_the_job(clock: Standing):
    pace, ended = Pace(1, clock), threading.Event()
    pace.take_turn(ended)
    ended.set()
    with pytest.raises(EndedError):
        pace.take_turn(ended)
    with pytest.raises(EndedError):
        Pace(None, clock).take_turn(ended)
    with pytest.raises(EndedError):
        Clock().wait(1e6, ended)
