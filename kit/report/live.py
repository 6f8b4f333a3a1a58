"""The progress of a run: on a terminal a line that changes, in a log file a line a minute."""

import threading
import time
from collections.abc import Callable, Mapping
from typing import Any

from rich.console import Console
from rich.progress import BarColumn, Progress, ProgressColumn, Task, TextColumn, TimeElapsedColumn
from rich.table import Column
from rich.text import Text

from kit.report.escapes import plain
from kit.run.progress import JobProgress
from kit.store import Job

STYLES = {"cached": "dim", "done": "green", "failed": "bold red", "blocked": "yellow", "running": "cyan"}
SILENCE_S = 60.0
"""Seconds without a line, where the output is no terminal, after which one is written on the job at work."""
CHECK_S = 1.0
"""Seconds between two checks whether such a line is due."""


NAME_WIDTH, REST_WIDTH = 16, 66
"""Columns of the changing line: the fewest for a job's name, and those for the rest of the line."""
Clock = Callable[[], float]


class StateColumn(ProgressColumn):
    """A column with the present state of a line, which is asked for at each refresh of the display."""

    def render(self, task: Task) -> Text:
        """Return the present state of the line as text."""
        return Text(task.fields["state"]())


class Live:
    """Display of a run: one line for each finished job; the job at work as a changing line, or a line a minute."""

    def __init__(self, console: Console, total: int, clock: Clock = time.monotonic) -> None:
        self.console = console
        self.total = total
        self.settled = 0
        self.clock = clock
        self.current: JobProgress | None = None
        self.printed_at = clock()
        self.thread_error: BaseException | None = None
        """The error that ended the thread of the line a minute: nobody reads the output any more."""
        self.lock = threading.RLock()
        self.stopped = threading.Event()
        self.thread = threading.Thread(target=self._watch, daemon=True)
        name = Column(no_wrap=True, overflow="ellipsis", max_width=max(NAME_WIDTH, console.width - REST_WIDTH))
        self.bar = Progress(
            TextColumn("{task.description}", markup=False, table_column=name),
            BarColumn(bar_width=10),
            StateColumn(table_column=Column(no_wrap=True)),
            TimeElapsedColumn(),
            console=console,
            get_time=clock,
            transient=True,
            disable=not console.is_terminal,
        )
        self.plan_task = self.bar.add_task(
            "jobs", total=total, state=lambda: f"{self.settled}/{self.total}", visible=total > 1
        )
        self.job_task = self.bar.add_task("", total=None, state=self.state, visible=False)

    def __enter__(self) -> "Live":
        self.bar.start()
        if not self.console.is_terminal:
            self.thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self.stopped.set()
        if self.thread.is_alive():
            self.thread.join()
        self.bar.stop()

    def __call__(self, event: str, job: Job, fields: Mapping[str, Any]) -> None:
        """Show one event of a run, as :func:`kit.run.execute.execute` sends it."""
        if self.thread_error:
            raise self.thread_error
        with self.lock:
            if event == "start":
                self._begin(job)
            elif event == "progress":
                if self.current is None or self.current.job.key != job.key:
                    self._begin(job)
                self._count(fields)
            else:
                self.settled += 1
                self.current = None
                self.bar.update(self.plan_task, completed=self.settled)
                self.bar.update(self.job_task, visible=False)
                self.line(event, job, fields)

    def _begin(self, job: Job) -> None:
        """Show another job as the one at work."""
        self.current = JobProgress(job=job, since=self.clock())
        self.bar.reset(self.job_task, description=plain(job.id), total=None, visible=True)

    def _count(self, fields: Mapping[str, Any]) -> None:
        """Show how far the job at work is."""
        if self.current:
            self.current.update(fields, self.clock())
            self.bar.update(self.job_task, completed=self.current.done, total=self.current.total or None)

    def state(self) -> str:
        """Return the state of the job at work; an empty text if there is none."""
        return plain(self.current.state(self.clock())) if self.current else ""

    def tick(self) -> None:
        """Write a line on the job at work if none was written for a minute."""
        with self.lock:
            if self.current and self.clock() - self.printed_at >= SILENCE_S:
                jobs = f"; {self.settled} of {self.total} jobs settled" if self.total > 1 else ""
                self.write("running", self.current.job, self.state() + jobs)

    def _watch(self) -> None:
        """Check every second whether a line is due, until the run is over."""
        try:
            while not self.stopped.wait(CHECK_S):
                self.tick()
        except (
            OSError,
            SystemExit,
        ) as error:  # rich makes a SystemExit of a broken pipe; the run's own thread takes it
            self.thread_error = error

    def line(self, event: str, job: Job, fields: Mapping[str, Any]) -> None:
        """Write the line of a job that has ended."""
        tail = ""
        if event in ("done", "cached"):
            tail = f"{fields['rows']:,} rows"
            if event == "done":
                tail += f" in {fields['seconds']:.1f} s"
                if fields.get("tokens") and fields["seconds"]:
                    tail += f", {fields['tokens'] / fields['seconds']:.0f} tok/s"
                tail += ", by another run" if fields.get("shared") else ""
        elif event == "failed":
            tail = plain(str(fields["reason"]))
        elif event == "blocked":
            by = plain(str(fields["by"]))  # a key where it is no job of this run
            tail = f"needs {by}, which {'is not made yet' if by.startswith('job ') else 'failed'}"
        self.write(event, job, tail)

    def write(self, event: str, job: Job, tail: str) -> None:
        """Write one line on a job."""
        text = Text.assemble((f"{event:8}", STYLES[event]), f"{job.key[:10]}  {plain(job.id):62} ", (tail, "dim"))
        self.console.print(text, soft_wrap=True)
        self.printed_at = self.clock()
