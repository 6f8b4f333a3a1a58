"""A text that takes its reader's time, memory or life fails alone, in every grader, and the run goes on."""

import json
import os
import random
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from kit import registry
from kit.benchmarks import Judged, _reading_time, followbench
from kit.benchmarks._reading_time import NotRead, graded, not_in_time, read_each
from kit.cli import main
from kit.errors import KitError, RequestError
from kit.records import Grade, Problem
from kit.run import processes
from kit.sandbox import Program, Reply, Verdict
from tests.benchmarks import hostile_readers

CPU_S = 0.3
LATE = "not read in time (0.3 s of CPU time)"
ENDS = {
    "loop": LATE,
    "loop_caught": LATE,
    "loop_in_a_pattern": LATE,
    "loop_in_c": LATE,
    "loop_writing": LATE,
    "memory": "could not be read: MemoryError",
    "huge": "could not be read: MemoryError",
    "stack": "could not be read: its reader ended by SIGSEGV",
    "recursion": "could not be read: RecursionError: maximum recursion depth exceeded",
    "abort": "could not be read: its reader ended by SIGABRT",
    "segmentation_fault": "could not be read: its reader ended by SIGSEGV",
    "leave": "could not be read: its reader ended with exit code 3",
    "leave_at_once": "could not be read: its reader ended with exit code 0",
    "number": "could not be read: ValueError: Exceeds the limit (4300 digits) for integer string conversion: value has "
    "5000 digits; use sys.set_int_max_str_digits() to increase the limit",
    "closed_output": "could not be read: its reader ended with exit code 1",
}
"""Attack that a text starts in its reader -> the reason of its grade."""


@pytest.fixture
def short(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(_reading_time, "CPU_S", CPU_S)
    monkeypatch.setattr(_reading_time, "MEMORY_BYTES", 1 << 26)  # a GiB takes the time limit to fill


def problems(count: int, **data: Any) -> list[Problem]:
    return [Problem(id=str(number), data=data) for number in range(count)]


def read(texts: Sequence[str], **data: Any) -> list[str | NotRead]:
    return read_each(hostile_readers.codes, "p", problems(len(texts), **data), texts)


def test_every_text_has_its_reading_in_order() -> None:
    texts = ["a", "", "x\ny", "\u2028\x00 \U0001f600", "long " * 100_000]
    assert read(texts) == [f"p {number} {text}" for number, text in enumerate(texts)]


def test_nothing_to_read() -> None:
    assert read([]) == []


def test_the_reason_says_how_long() -> None:
    assert not_in_time(_reading_time.CPU_S) == "not read in time (10 s of CPU time)"


@pytest.mark.parametrize("kind", ENDS)
def test_a_hostile_text_fails_alone(kind: str, short: None) -> None:
    assert read(["before", f"!{kind}", "after", "last"]) == [
        "p 0 before",
        NotRead(ENDS[kind]),
        "p 2 after",
        "p 3 last",
    ]


def test_hostile_texts_one_after_the_other(short: None) -> None:
    kinds = [*ENDS, *reversed(ENDS)]
    assert read([f"!{kind}" for kind in kinds]) == [NotRead(ENDS[kind]) for kind in kinds]


def test_a_text_has_the_time_for_itself_alone(short: None) -> None:
    # each takes a part of the limit, all of them together far more than it
    assert read(["!spend"] * 10, seconds=0.1) == [f"p {number} !spend" for number in range(10)]


def test_time_asleep_does_not_count(short: None) -> None:
    assert read(["!sleep"], seconds=0.6) == ["p 0 !sleep"]


def test_what_a_reader_prints_is_no_answer(capfd: pytest.CaptureFixture[str]) -> None:
    assert read(["!talk", "next"]) == ["p 0 !talk", "p 1 next"]
    assert capfd.readouterr() == ("", "")


@pytest.mark.parametrize("text", ["\ud800", "\udc00\ud800", "\ud83d\ude00", "a\ud83d", "\udcff"])
def test_halves_of_surrogate_pairs_stay_halves(text: str) -> None:
    # written as \ud83d\ude00, two halves are one character where they are read
    assert read([text]) == [f"p 0 {text}"]


@settings(max_examples=20)
@given(texts=st.lists(st.text(st.characters()), max_size=5))
def test_any_text_comes_back(texts: list[str]) -> None:
    assert read(["x" + text for text in texts]) == [f"p {number} x{text}" for number, text in enumerate(texts)]


def test_grades_come_back_whole(short: None) -> None:
    texts = ["one", "!loop", "!memory", "\ud800"]
    found = graded(hostile_readers.grades, "m", problems(4), texts, lambda problem: {"m": [0, 7]})
    assert found == [
        Grade(id="0", scores={"m": [1, 1]}, answer="one", reason="r"),
        Grade(id="1", scores={"m": [0, 7]}, reason=LATE),
        Grade(id="2", scores={"m": [0, 7]}, reason=ENDS["memory"]),
        Grade(id="3", scores={"m": [1, 1]}, answer="\ud800", reason="r"),
    ]


@pytest.mark.parametrize(
    ("kind", "error"),
    [
        ("wrong_request", RequestError("problem 1: wrong kwargs")),
        ("failed_check", KitError("not installed")),
        (
            "killed",
            KitError(
                "problem 1: the process that reads completions was ended from outside 3 times, by SIGKILL; "
                "is memory short on this machine?"
            ),
        ),
    ],
)
def test_what_is_no_fault_of_the_text_is_an_error(kind: str, error: KitError) -> None:
    with pytest.raises(KitError) as raised:
        read(["a", f"!{kind}", "b"])
    assert (type(raised.value), str(raised.value)) == (type(error), str(error))


def test_a_process_that_something_else_ends_reads_the_text_again(tmp_path: Path) -> None:
    # the system's killer of processes takes any when memory is short; that must move no grade
    assert read(["a", "!killed_once", "b"], mark=str(tmp_path / "mark")) == ["p 0 a", "p 1 !killed_once", "p 2 b"]


@pytest.mark.parametrize(
    ("maker", "error"),
    [
        (hostile_readers.unmade, RequestError("no protocol named 'p'")),
        (
            hostile_readers.broken,
            KitError(
                "the process that reads completions (tests.benchmarks.hostile_readers) did not start: ImportError: "
                "No module named 'langdetect'; is the environment the locked one?"
            ),
        ),
        (
            hostile_readers.ended,
            KitError(
                "the process that reads completions (tests.benchmarks.hostile_readers) did not start: exit code -6; "
                "is the environment the locked one?"
            ),
        ),
    ],
)
def test_a_reader_that_cannot_be_made(maker: Any, error: KitError) -> None:
    with pytest.raises(KitError) as raised:
        read_each(maker, "p", problems(1), ["t"])
    assert (type(raised.value), str(raised.value)) == (type(error), str(error))


def dispositions() -> dict[int, Any]:
    return {number: signal.getsignal(number) for number in signal.valid_signals()}


def test_this_process_stays_as_it_was(short: None) -> None:
    before = dispositions(), signal.pthread_sigmask(signal.SIG_BLOCK, ()), signal.getitimer(signal.ITIMER_PROF)
    ticks: list[int] = []
    done = threading.Event()

    def tick() -> None:
        while not done.wait(0.01):
            ticks.append(1)

    neighbour = threading.Thread(target=tick)
    neighbour.start()
    found = read(["!loop_in_c", "!stack", "fine"])
    done.set()
    neighbour.join()
    assert found == [NotRead(LATE), NotRead(ENDS["stack"]), "p 2 fine"]
    assert ticks
    after = dispositions(), signal.pthread_sigmask(signal.SIG_BLOCK, ()), signal.getitimer(signal.ITIMER_PROF)
    assert after == before


def test_works_in_threads(short: None) -> None:
    found: dict[int, Any] = {}
    threads = [
        threading.Thread(target=lambda n=n: found.update({n: read([f"{n}", "!loop", "z"])}))  # type: ignore[misc]
        for n in range(3)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert found == {n: [f"p 0 {n}", NotRead(LATE), "p 2 z"] for n in range(3)}


def test_limits_hold_where_the_signal_was_blocked_or_ignored(short: None) -> None:
    # what a process inherits from the one that starts it: an ignored signal would never have ended it
    old = signal.signal(signal.SIGPROF, signal.SIG_IGN)
    signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGPROF})
    try:
        assert read(["!loop", "x"]) == [NotRead(LATE), "p 1 x"]
    finally:
        signal.pthread_sigmask(signal.SIG_UNBLOCK, {signal.SIGPROF})
        signal.signal(signal.SIGPROF, old)


SCRIPT = """
import signal, sys
signal.signal(signal.SIGINT, signal.default_int_handler)  # the shell that started the tests may ignore it
from kit.benchmarks import Judged, _reading_time, followbench
from kit.records import Problem
from tests.benchmarks import hostile_readers
_reading_time.CPU_S = float(sys.argv[2])
_reading_time.read_each(
    hostile_readers.codes, "p", [Problem(id="0", data={"mark": sys.argv[1]})], ["!told_then_loop"]
)
"""


@pytest.mark.parametrize(("end", "cpu_s"), [(signal.SIGINT, 1_000), (signal.SIGKILL, 1)])
def test_an_interrupted_run_leaves_no_process(end: signal.Signals, cpu_s: int, tmp_path: Path) -> None:
    mark = tmp_path / "mark"
    root = Path(__file__).resolve().parents[2]
    command = [sys.executable, "-c", SCRIPT, str(mark), str(cpu_s)]
    run = subprocess.Popen(command, cwd=root, env={**os.environ, "PYTHONPATH": str(root)}, stderr=subprocess.DEVNULL)
    while not (mark.exists() and mark.read_text(encoding="ascii")):
        assert run.poll() is None
        time.sleep(0.02)
    run.send_signal(end)
    assert run.wait() == -end
    while alive(int(mark.read_text(encoding="ascii"))):  # after SIGKILL the limit ends it
        assert end == signal.SIGKILL
        time.sleep(0.1)


def alive(pid: int) -> bool:
    """Whether a process is there and no zombie whose parent is slow to look."""
    try:
        return Path(f"/proc/{pid}/stat").read_text(encoding="utf-8").rpartition(")")[2].split()[0] != "Z"
    except (FileNotFoundError, ProcessLookupError):
        return False


class Machine:
    """A sandbox that passes what it is given; it keeps what that was."""

    tier, workers, packages = "none", 1, {"numpy": "1"}

    def __init__(self) -> None:
        self.codes: list[str] = []

    def run(self, programs: Sequence[Program], progress: Any = None) -> list[Verdict]:
        self.codes += [program.code for program in programs]
        return [Verdict(id=program.id, passed=True, reason="", cpu_s=0.5) for program in programs]

    def replies(self, calls: Sequence[Any], progress: Any = None) -> list[list[Reply]]:
        return [[Reply()] for _ in calls]


DATA: dict[str, Any] = {
    "question": "?",
    "answer": "#### 5",
    "problem": "?",
    "solution": r"\boxed{5}",
    "instruction_id_list": ["punctuation:no_comma", "startend:quotation"],
    "kwargs": [{}, {}],
    "prompt": "def f():\n    '''One.'''\n",
    "entry_point": "f",
    "test": "def check(f):\n    assert f() == 1\n",
    "test_list": ["assert f() == 1"],
}
"""One problem that every benchmark can read."""


GRADED = [name for name in registry.names("benchmarks") if not isinstance(registry.load("benchmarks", name), Judged)]
"""Benchmarks that read the texts themselves; of those that a judge decides, FollowBench has rules (see below)."""


@pytest.mark.parametrize("protocol", ["paper", "default"])
@pytest.mark.parametrize("name", GRADED)
def test_every_benchmark_reads_within_the_limit(
    name: str, protocol: str, short: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    # a benchmark of one's own that reads its texts otherwise fails here
    module, machine = registry.load("benchmarks", name), Machine()
    monkeypatch.setattr(module, "reader", hostile_readers.codes if module.RUNS_CODE else hostile_readers.grades)
    asked = [Problem(id=str(number), data=DATA) for number in range(4)]
    texts = ["fine", "!loop_in_c", "!stack", "fine too"]
    found: list[Grade] = module.grade(asked, texts, protocol, machine if module.RUNS_CODE else None)
    assert [grade.id for grade in found] == ["0", "1", "2", "3"]
    assert [grade.reason for grade in found][1:3] == [LATE, ENDS["stack"]]
    for grade in found[1:3]:
        assert set(grade.scores) == set(module.METRICS)
        wanted = {"items": 1, "prompts": 1, "instructions": 2}
        assert all(grade.scores[metric] == [0, wanted[measure.counts]] for metric, measure in module.METRICS.items())
        assert (grade.answer, grade.cpu_s) == ("", 0.0)
    for grade, text in ((found[0], "fine"), (found[3], "fine too")):
        assert grade.answer.endswith(text)
        assert all(right == judged for right, judged in grade.scores.values())
    if module.RUNS_CODE:
        assert [text in code for text, code in zip(("fine", "fine too"), machine.codes, strict=True)] == [True, True]


@pytest.mark.parametrize("protocol", ["paper", "default"])
def test_followbench_reads_what_its_rules_decide_within_the_limit(
    protocol: str, short: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(followbench, "rule_reader", hostile_readers.grades)
    problems = followbench.read(Path(__file__).parents[2] / "kit" / "bundled" / "mini-followbench")
    item = next(rows for rows in followbench.by_item(problems).values() if all(map(followbench.has_rule, rows)))
    item = [Problem(id=problem.id, data=problem.data | {"metric": ""}) for problem in item]
    texts = ["fine", "!loop_in_c", "!stack", "fine too", "fine"]
    found = followbench.grade_judged(item, texts, {}, protocol)
    assert [grade.reason for grade in found] == ["r", LATE, ENDS["stack"], "r", "r"]
    hard = [next(value for name, value in grade.scores.items() if "_hsr_l" in name) for grade in found]
    assert hard == [[1, 1], [0, 1], [0, 1], [1, 1], [1, 1]]


@pytest.mark.parametrize("name", registry.names("benchmarks"))
def test_an_unknown_protocol_is_refused(name: str) -> None:
    module, asked = registry.load("benchmarks", name), [Problem(id="0", data=DATA)]
    with pytest.raises(RequestError, match=r"^no protocol named 'papre'; did you mean 'paper'\?$"):
        if isinstance(module, Judged):
            module.grade_judged(asked, [""], {}, "papre")
        else:
            module.grade(asked, [""], "papre", Machine())


HOSTILE_WORKER = f"""
import sys
sys.path.insert(0, {str(Path(__file__).parents[2])!r})
from kit.benchmarks import _reading_time, gsm8k
from kit.run.worker import main
from tests.benchmarks import hostile_readers
_reading_time.CPU_S, _reading_time.MEMORY_BYTES = {CPU_S}, 1 << 26
gsm8k.reader = hostile_readers.grades
sys.exit(main())
"""


def hostile_worker(words: list[str]) -> list[str]:
    """The command line of a worker whose reader of GSM8K's texts does what they say."""
    at = words.index("kit.run.worker")
    return [*words[: at - 1], "-c", HOSTILE_WORKER, *words[at + 1 :]]


def test_kit_grade_goes_on(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    chance = random.Random(9)
    texts = [f"!{chance.choice([*ENDS])}" if chance.random() < 0.5 else f"text {number}" for number in range(24)]
    data, completions, out = (tmp_path / name for name in ("data.jsonl", "completions.jsonl", "grades.jsonl"))
    asked = [{"question": f"q{number}", "answer": "#### 5", "metric": "gsm8k"} for number in range(len(texts))]
    data.write_text("\n".join(map(json.dumps, asked)), encoding="utf-8")
    answered = [{"id": str(number), "text": text} for number, text in enumerate(texts)]
    completions.write_text("\n".join(map(json.dumps, answered)), encoding="utf-8")
    words = ["grade", "gsm8k", "--completions", str(completions), "--data", str(data), "--out", str(out), "--json"]
    started = processes.command
    monkeypatch.setattr(processes, "command", lambda *args, **fields: hostile_worker(started(*args, **fields)))
    monkeypatch.setattr(sys, "argv", ["kit", *words, "--store", str(tmp_path / "store")])
    with pytest.raises(SystemExit) as ended:
        main()
    assert ended.value.code == 0
    rows = [json.loads(line) for line in out.read_text(encoding="utf-8").splitlines()]
    assert [row["reason"] for row in rows] == [ENDS[text[1:]] if text[0] == "!" else "r" for text in texts]
    printed = capsys.readouterr()
    (result,) = json.loads(printed.out)["results"]
    hostile = [ENDS[text[1:]] for text in texts if text[0] == "!"]
    assert result["failures"] == {reason: hostile.count(reason) for reason in sorted(set(hostile))}
    told = [f"{hostile.count(reason)} of 24 completions: {reason}" for reason in sorted(set(hostile))]
    assert printed.err.splitlines() == told
    assert round(result["value"] * result["n"]) == len(texts) - len(hostile)
