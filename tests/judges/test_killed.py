"""A process that is killed while it asks, and run again: no kept reply is asked again, no token over the budget."""

import contextlib
import io
import json
import os
import signal
import subprocess
import sys
from collections import Counter
from pathlib import Path
from typing import Any

from tests.judges import asking_process, serving
from tests.judges.serving import Server

ROOT = Path(__file__).parents[2]
COUNT, IN_FLIGHT = 40, 3


def start(server: Server, replies: Path, budget: int) -> "subprocess.Popen[str]":
    words = [sys.executable, asking_process.__file__, server.url, str(replies), str(COUNT), str(budget)]
    return subprocess.Popen(words, env={**os.environ, "PYTHONPATH": str(ROOT)}, stdout=subprocess.PIPE, text=True)


def kill_after(server: Server, answers: int, process: "subprocess.Popen[str]") -> None:
    """Kill the process at the moment at which the server has sent some more answers."""
    left = [answers]

    def count(question: str) -> None:
        left[0] -= 1
        if left[0] == 0:
            os.kill(process.pid, signal.SIGKILL)

    server.on_answer = count
    process.wait()
    assert process.stdout is not None
    process.stdout.close()
    server.on_answer = lambda question: None


def finish(server: Server, replies: Path, budget: int) -> Any:
    """Ask the same questions in this process, and return what the other one would print."""
    with contextlib.redirect_stdout(io.StringIO()) as out:
        asking_process.main(server.url, str(replies), str(COUNT), str(budget))
    return json.loads(out.getvalue())


def kept(replies: Path) -> set[str]:
    """Return the questions whose replies are kept."""
    files = [json.loads(path.read_text()) for path in replies.glob("*.json")]
    return {file["asked"]["turns"][-1]["content"] for file in files}


def test_a_killed_process_asks_nothing_twice_and_passes_no_budget(tmp_path: Path):
    replies = tmp_path / "replies"
    budget = 15 * 15 + 3 * IN_FLIGHT * 166  # what is answered, and what is in flight at its most
    with Server({"q5": [serving.status(429)], "q25": [serving.status(503)]}, always=serving.slowly(0.01)) as server:
        asked = Counter[str]()
        for answers in (7, 8):
            process = start(server, replies, budget)
            known = kept(replies) if replies.is_dir() else set()
            before = server.record.asked.copy()
            kill_after(server, answers, process)
            assert process.returncode == -signal.SIGKILL
            assert not known & set(server.record.asked - before)
            asked = server.record.asked.copy()
        known = kept(replies)
        assert len(known) >= 15 - 2 * IN_FLIGHT
        assert server.record.charged <= budget
        less = server.record.charged + 200  # for 25 questions of 15 tokens each
        stopped = finish(server, replies, less)
        assert "the budget is reached" in stopped or "the budget does not suffice" in stopped
        assert server.record.charged <= less
        assert finish(server, replies, 100 * budget) == [f"re: q{number}" for number in range(COUNT)]
        assert not known & set(server.record.asked - asked)
        final = server.record.asked.copy()
        assert finish(server, replies, 100 * budget) == [f"re: q{number}" for number in range(COUNT)]
        assert server.record.asked == final
    # only what was in flight at a kill was computed twice
    assert sum(server.record.answered.values()) <= COUNT + 2 * IN_FLIGHT
    assert set(server.record.answered) == {f"q{number}" for number in range(COUNT)}
