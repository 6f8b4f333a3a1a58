"""The line of the job at work, on a terminal and in a log file, by a clock that the test sets."""

import io
from collections.abc import Mapping
from typing import Any

import pytest
from rich.console import Console

from kit.report import live
from kit.report.terminal import Live
from kit.run.progress import JobProgress
from kit.store import Job


def job(name: str) -> Job:
    return Job(id=name, stage="answer", version="1", environment="cpu", lock="", params={}, inputs={})


ANSWER, SFT = job("answer/ifeval"), job("sft/alpaca")


class Clock:
    """A clock whose seconds the test sets."""

    def __init__(self) -> None:
        self.now = 1000.0

    def __call__(self) -> float:
        return self.now


def phase(text: str) -> dict[str, Any]:
    return {"done": 0, "total": 0, "tokens": 0, "phase": text}


def count(done: int, total: int, tokens: int = 0) -> dict[str, Any]:
    return {"done": done, "total": total, "tokens": tokens}


Events = list[tuple[float, Mapping[str, Any]]]
# (second, event)..., the second when it is looked at -> what it says
STATES: dict[str, tuple[Events, float, str]] = {
    "nothing said yet": ([], 3, "at work, 3 s"),
    # it said 0/1: of the one job of the run
    "a worker starts": ([(0, phase("starting a worker"))], 7, "starting a worker, 7 s"),
    "an engine starts": (
        [(0, phase("starting a worker")), (7, phase("starting the engine vllm"))],
        40,
        "starting the engine vllm, 33 s",
    ),
    "a phase said twice goes on": (
        [(0, phase("starting the trainer")), (5, phase("starting the trainer"))],
        9,
        "starting the trainer, 9 s",
    ),
    "an engine for the next model, after rows": (
        [(0, count(0, 4)), (8, count(4, 4)), (9, phase("starting the engine vllm"))],
        12,
        "starting the engine vllm, 3 s",
    ),
    "at work on something else, after rows": (
        [(0, count(0, 4)), (8, count(4, 4)), (20, phase("at work"))],
        25,
        "at work, 5 s",
    ),
    "over a thousand seconds": ([(0, phase("starting the trainer"))], 1234.4, "starting the trainer, 1,234 s"),
    "no row yet": ([(0, phase("starting the engine vllm")), (50, count(0, 541))], 62, "0/541, 12 s"),
    # the engine's start was counted as if rows had been answered meanwhile: 1.0 rows/s, 421 s left
    "rates count from the first row on": (
        [(0, phase("starting the engine vllm")), (60, count(0, 541)), (120, count(120, 541, 7200))],
        120,
        "120/541, 2.0 rows/s, 120 tok/s, 210 s left",
    ),
    # a trainer's first word comes with its first step
    "steps count from the first one on": (
        [(0, phase("starting the trainer")), (90, count(1, 21, 500)), (110, count(11, 21, 5500))],
        110,
        "11/21, 0.5 rows/s, 250 tok/s, 20 s left",
    ),
    "the first step": ([(0, phase("starting the trainer")), (90, count(1, 21, 500))], 95, "1/21, 5 s"),
    "all rows": ([(0, count(0, 4)), (8, count(4, 4))], 8, "4/4, 0.5 rows/s"),
    "a second pass over the rows": ([(0, count(0, 4)), (8, count(4, 4)), (9, count(0, 4))], 14, "0/4, 5 s"),
    "another number of rows": ([(0, count(0, 4)), (8, count(3, 4)), (9, count(3, 6))], 14, "3/6, 5 s"),
    "a row in five minutes": (
        [(0, count(0, 4)), (300, count(1, 4, 60))],
        300,
        "1/4, 0.0033 rows/s, 0.2 tok/s, 900 s left",
    ),
    "a large file": ([(0, count(0, 52002)), (10, count(26001, 52002))], 10, "26,001/52,002, 2,600.1 rows/s, 10 s left"),
    "nothing to count": ([(0, phase("starting the sandbox")), (2, count(0, 0))], 5, "at work, 5 s"),
}


@pytest.mark.parametrize("events, now, wanted", STATES.values(), ids=list(STATES))
def test_state(events: Events, now: float, wanted: str):
    progress = JobProgress(job=ANSWER, since=0.0)
    for second, fields in events:
        progress.update(fields, second)
    assert progress.state(now) == wanted


def logged(total: int = 1) -> tuple[Live, Clock, io.StringIO]:
    """Return the display of a run whose output is a file."""
    clock, out = Clock(), io.StringIO()
    return Live(Console(file=out, width=200), total, clock), clock, out


def line(event: str, made: Job, tail: str) -> str:
    return f"{event:8}{made.key[:10]}  {made.id:62} {tail}\n"


def test_a_log_file_has_a_line_a_minute():
    # half an hour of silence while 541 answers were written
    shown, clock, out = logged()
    shown("progress", ANSWER, phase("starting a worker"))
    shown("start", ANSWER, {})
    shown("progress", ANSWER, phase("starting the engine vllm"))
    wanted = ""
    for second in range(1, 241):
        clock.now = 1000.0 + second
        if second == 100:
            shown("progress", ANSWER, count(0, 541))
        if second in (110, 180, 239):
            shown("progress", ANSWER, count(second - 100, 541))
        shown.tick()
        wanted += {
            60: line("running", ANSWER, "starting the engine vllm, 60 s"),
            120: line("running", ANSWER, "10/541, 0.5 rows/s, 1,062 s left"),
            180: line("running", ANSWER, "80/541, 1.0 rows/s, 461 s left"),
            240: line("running", ANSWER, "139/541, 0.99 rows/s, 405 s left"),
        }.get(second, "")
        assert out.getvalue() == wanted, second
    shown("done", ANSWER, {"rows": 541, "seconds": 241.0})
    assert out.getvalue() == wanted + line("done", ANSWER, "541 rows in 241.0 s")


def test_an_ended_job_has_a_line_and_there_is_none_between_jobs():
    shown, clock, out = logged(total=3)
    shown("start", SFT, {})
    clock.now += 59
    shown("done", SFT, {"rows": 1, "seconds": 59.0})
    clock.now += 200
    shown.tick()  # no job is at work
    settled = line("done", SFT, "1 rows in 59.0 s")
    assert out.getvalue() == settled
    shown("progress", ANSWER, phase("starting a worker"))
    clock.now += 1
    shown.tick()
    assert out.getvalue() == settled + line("running", ANSWER, "starting a worker, 1 s; 1 of 3 jobs settled")


def test_the_thread_ends_with_the_run(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(live, "CHECK_S", 0.001)
    shown, clock, out = logged()
    with shown:
        shown("start", ANSWER, {})
        clock.now += 60
        while not out.getvalue():  # the thread writes it; nobody else ticks
            assert shown.thread.is_alive()
    assert not shown.thread.is_alive()
    assert out.getvalue() == line("running", ANSWER, "at work, 60 s")


class Closed(io.StringIO):
    """A pipe whose reader is gone."""

    def write(self, text: str) -> int:
        raise OSError(28, "No space left on device")


def test_a_log_that_cant_be_written_ends_the_run_not_the_thread_alone(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(live, "CHECK_S", 0.001)
    clock = Clock()
    shown = Live(Console(file=Closed(), width=200), 1, clock)
    with shown:
        shown("start", ANSWER, {})
        clock.now += 60
        shown.thread.join()
        with pytest.raises(OSError, match="No space left on device"):
            shown("progress", ANSWER, count(1, 2))


def on_terminal(shown: Live, out: io.StringIO) -> list[str]:
    """Return the changing lines as they are now, without the characters of the bar."""
    out.truncate(0)
    shown.console.print(shown.bar.get_renderable())
    return [" ".join(line.split()).strip("\0 ") for line in out.getvalue().splitlines()]


def terminal(total: int, width: int = 120) -> tuple[Live, Clock, io.StringIO]:
    clock, out = Clock(), io.StringIO()
    console = Console(file=out, width=width, force_terminal=True, color_system=None, legacy_windows=False)
    return Live(console, total, clock), clock, out


def test_the_changing_line():
    shown, clock, out = terminal(total=1)
    lines = []
    for seconds, event, fields in (
        (2, "progress", phase("starting a worker")),
        (5, "start", {}),
        (1, "progress", phase("starting the engine vllm")),
        (90, "progress", count(0, 4)),
        (10, "progress", count(1, 4, 50)),
    ):
        shown(event, ANSWER, fields)
        clock.now += seconds
        (line,) = on_terminal(shown, out)  # one job: no line of jobs, which said 0/1
        lines.append(line.replace("━", "").replace("╸", "").replace("╺", "").split(maxsplit=1))
    assert [(name, " ".join(rest.split())) for name, rest in lines] == [
        ("answer/ifeval", "starting a worker, 2 s 0:00:02"),
        ("answer/ifeval", "at work, 5 s 0:00:05"),
        ("answer/ifeval", "starting the engine vllm, 1 s 0:00:06"),
        ("answer/ifeval", "0/4, 90 s 0:01:36"),
        ("answer/ifeval", "1/4, 0.01 rows/s, 0.5 tok/s, 300 s left 0:01:46"),
    ]


def test_jobs_are_counted_where_there_is_more_than_one():
    shown, _, out = terminal(total=2)
    shown("cached", SFT, {"rows": 3})
    shown("start", ANSWER, {})
    first, second = on_terminal(shown, out)
    assert (first.split()[0], "1/2" in first, second.split()[0]) == ("jobs", True, "answer/ifeval")


@pytest.mark.parametrize("width", [80, 100, 160])
def test_a_long_job_name_does_not_cut_the_progress(width: int):
    shown, clock, out = terminal(total=1, width=width)
    long = job("answer/hendrycks_math/gsm8k-train/smollm2-135m-instruct/smollm2-29l/round-1")
    shown("start", long, {})
    shown("progress", long, count(0, 541))
    clock.now += 60
    shown("progress", long, count(120, 541, 7000))
    (line,) = on_terminal(shown, out)
    assert line.startswith("answer/hendryc")
    assert "120/541, 2.0 rows/s, 117 tok/s, 210 s left" in line
