import signal
import subprocess
import sys
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest

from kit.benchmarks import _algebra, _algebra_child
from kit.benchmarks._algebra import KEPT_BYTES, NOT_IN_TIME, PEAK_BYTES, TOO_LARGE, Algebra, Verdict, too_large
from kit.errors import KitError

FOR_EVER = r"\int_0^1 \frac{x^x \sin x}{\log(x+e^x)} dx"
"""sympy looks for this integral much longer than any limit, though nothing in it is large."""


@pytest.fixture(scope="module")
def algebra() -> Iterator[Algebra]:
    with Algebra() as opened:
        yield opened


@pytest.mark.parametrize(
    ("answer", "wanted", "same"),
    [
        (r"\frac12", "0.5", True),
        (r"\frac \pi4 + 2", r"2+\frac{\pi}{4}", True),
        ("x^2-1", "(x-1)(x+1)", True),  # needs simplify, which imports half of sympy when it first runs
        (r"\sqrt{8}", r"2\sqrt2", True),
        ("x=5", "5", True),
        ("2+3=5", "5", True),
        ("2,1", "1,2", True),
        ("(2,1)", "(1,2)", False),
        (r"\begin{pmatrix}1\\2\end{pmatrix}", r"\begin{bmatrix} 1 \\ 2 \end{bmatrix}", True),
        (r"5\%", "5", True),
        ("25", "5", False),
        ("", "5", False),
        (r"\frac{", "5", False),
        ("yes", "no", False),
    ],
)
def test_compares_as_mathematics(answer: str, wanted: str, same: bool, algebra: Algebra) -> None:
    assert algebra.compare(answer, wanted) == Verdict(same)


@pytest.mark.parametrize(
    "text",
    [
        "9^{9^{9^9}}",
        "9^9^9",
        "2^{10000000}",
        "(9999!)!",
        "123456!",
        r"\frac{9^{99^{99}}}{2}",
        "1" * 401,
        "x+" * 501,
        "(" * 9 + "x" + ")" * 9,
    ],
)
def test_what_is_plainly_too_large_is_told(text: str, algebra: Algebra) -> None:
    assert algebra.compare(text, "5") == Verdict(False, TOO_LARGE)


@pytest.mark.parametrize(
    "text", ["e^{x^2}", "2^{3^2}", "10^{10}", "2^{100}", "5!", r"\binom{10}{3}", "((x+1)^2+1)^2", "1" * 400]
)
def test_ordinary_powers_are_not(text: str) -> None:
    assert not too_large(text)


def test_a_comparison_without_end_is_ended_by_its_cpu_time_and_has_its_reason(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    # math-verify's own limit is an alarm, of wall-clock time, that works in the main thread alone and in no C call.
    monkeypatch.setattr(_algebra, "CPU_S", 1)
    with Algebra() as algebra:
        assert algebra.compare(FOR_EVER, "5") == Verdict(False, NOT_IN_TIME)
        assert algebra.compare("4/2", "2") == Verdict(True)  # the next has a process of its own


@pytest.mark.parametrize(
    ("text", "verdict"),
    [
        pytest.param(r"\binom{10^9}{5\cdot 10^8}", Verdict(False, NOT_IN_TIME), id="binomial"),
        pytest.param("{" * 10_000 + "7" + "}" * 10_000, Verdict(False, TOO_LARGE), id="braces"),
        pytest.param("1e999999999", Verdict(False), id="exponent"),
        pytest.param("99999!", Verdict(False, TOO_LARGE), id="factorial"),
        pytest.param(r"\frac{9999!}{9998!}", Verdict(False), id="factorials"),
        pytest.param(r"\sum_{n=1}^{9999} n!", Verdict(False, NOT_IN_TIME), id="sum-of-factorials"),
        pytest.param(r"\left(10^{9999}\right)^{9999}", Verdict(False, NOT_IN_TIME), id="power-of-a-power"),
        pytest.param("x" + "^x" * 400, Verdict(False, NOT_IN_TIME), id="tower-of-letters"),
        # Nothing was said here, though an even number of signs leaves a number as it is.
        pytest.param("-" * 400 + "5", Verdict(False, TOO_LARGE), id="signs"),
        pytest.param("\ud800\0", Verdict(False), id="no-text"),
    ],
)
def test_a_hostile_answer_ends_and_the_next_is_compared(
    text: str, verdict: Verdict, algebra: Algebra, monkeypatch: pytest.MonkeyPatch
) -> None:
    if verdict.reason == NOT_IN_TIME:
        monkeypatch.setattr(_algebra, "CPU_S", 1)
    assert algebra.compare(text, "5") == verdict
    monkeypatch.undo()
    algebra._known.clear()
    assert algebra.compare("4/2", "2") == Verdict(True)


def test_its_cpu_time_ends_it_where_the_signal_was_ignored(monkeypatch: pytest.MonkeyPatch) -> None:
    # A process that ignores SIGXCPU hands that on, and the limit ended nothing.
    monkeypatch.setattr(_algebra, "CPU_S", 1)
    before = signal.signal(signal.SIGXCPU, signal.SIG_IGN)
    try:
        with Algebra() as algebra:
            assert algebra.compare(FOR_EVER, "5") == Verdict(False, NOT_IN_TIME)
    finally:
        signal.signal(signal.SIGXCPU, before)


def child_that(does: str, folder: Path) -> Path:
    """A script that answers as the process does, with a comparison of its own: ``same(answer, wanted)``."""
    script = folder / "child.py"
    script.write_text(
        f"import sys\nsys.path.insert(0, {str(Path(_algebra_child.__file__).parent)!r})\n"
        f"import _algebra_child as child\ndef same(answer, wanted):\n    {does}\n    return answer == wanted\n"
        "child.comparer = lambda: same\nchild.main()\n"
    )
    return script


@pytest.mark.parametrize("stream", ["stdout", "stderr"])
def test_what_a_library_prints_stops_nothing(stream: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    # Nobody read it: when the pipe was full, after 64 KiB of warnings, both processes waited for ever.
    does = f"sys.{stream}.write('x' * 200_000); sys.{stream}.flush()"
    monkeypatch.setattr(_algebra, "_CHILD", child_that(does, tmp_path))
    with Algebra() as algebra:
        assert [algebra.compare(text, "2").same for text in ("1", "2", "3")] == [False, True, False]


def test_the_memory_of_its_parent_is_not_counted(tmp_path: Path) -> None:
    # getrusage counts what the parent filled at the fork: under a kit of 1 GiB, all that was unequal was "too large".
    code = (
        "from kit.benchmarks._algebra import PEAK_BYTES, Algebra\n"
        "full = b'x' * (PEAK_BYTES + (64 << 20))\n"
        "with Algebra() as algebra:\n"
        "    print(algebra.compare('1', '2'), algebra._child is not None)"
    )
    done = subprocess.run([sys.executable, "-c", code], check=True, capture_output=True, text=True)
    assert done.stdout == "Verdict(same=False, reason='') True\n"


@pytest.mark.parametrize(
    ("does", "reason", "kept"),
    [
        pytest.param("None", "", True, id="nothing"),
        pytest.param(f"b'x' * {KEPT_BYTES}", "", False, id="much"),
        pytest.param(f"b'x' * {PEAK_BYTES}", TOO_LARGE, False, id="too-much"),
        pytest.param("b'x' * (1 << 40)", TOO_LARGE, False, id="more-than-there-is"),
        pytest.param("same(answer, wanted)", TOO_LARGE, False, id="depth"),
    ],
)
def test_memory_is_counted_for_the_answer_that_fills_it_alone(
    does: str, reason: str, kept: bool, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(_algebra, "_CHILD", child_that(f"answer != '1' or {does}", tmp_path))
    with Algebra() as algebra:
        assert algebra.compare("1", "2") == Verdict(False, reason)
        assert (algebra._child is not None) is kept
        assert [algebra.compare(text, "2") for text in ("2", "3")] == [Verdict(True), Verdict(False)]


def test_what_is_too_large_is_not_kept_in_memory() -> None:
    with Algebra() as algebra:
        for place in range(3):
            assert algebra.compare("1" * 100_000 + str(place), "5") == Verdict(False, TOO_LARGE)
        assert not algebra._known


def test_works_in_a_thread() -> None:
    found = []

    def compare() -> None:
        with Algebra() as algebra:
            found.append(algebra.compare("4/2", "2").same)

    thread = threading.Thread(target=compare)
    thread.start()
    thread.join()
    assert found == [True]


def test_any_same_keeps_the_first_reason(algebra: Algebra) -> None:
    assert algebra.any_same(["9^9^9", "6"], "5") == Verdict(False, TOO_LARGE)
    assert algebra.any_same(["9^9^9", "5"], "5") == Verdict(True)


@pytest.mark.parametrize("text", ["__import__('os').getcwd()", "exit()", "x", "1e5", "0x10", "1+1", ""])
def test_no_text_is_evaluated_as_python(text: str) -> None:
    # latex2sympy reads every number by sympy.Number(text), which evaluates the text as Python source.
    with pytest.raises(ValueError, match="no text is evaluated as Python here"):
        _algebra_child.number(text)


@pytest.mark.parametrize(
    ("text", "value"), [("12", "12"), ("1.5", "1.50"), (".5", "0.50"), ("3.", "3.00"), ("007", "7")]
)
def test_numbers_are_read(text: str, value: str) -> None:
    found = _algebra_child.number(text)
    assert (str(found) if found.is_Integer else f"{found:.2f}") == value


def test_a_process_that_does_not_start_says_why(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    child = tmp_path / "child.py"
    child.write_text("import math_verify_is_missing\n")
    monkeypatch.setattr(_algebra, "_CHILD", child)
    with pytest.raises(KitError) as error, Algebra() as algebra:
        algebra.compare("1", "2")
    assert str(error.value) == (
        "the process that reads mathematics did not start: ModuleNotFoundError: No module named "
        "'math_verify_is_missing'; is the environment the locked one? math-verify is in its `grade` extra"
    )


def test_grading_plain_answers_imports_no_mathematics() -> None:
    code = (
        "import sys; from kit.benchmarks import gsm8k, hendrycks_math; from kit.records import Problem\n"
        "p = Problem(id='0', data={'question': '?', 'answer': '#### 5', 'problem': '?', 'solution': r'\\boxed{5}'})\n"
        "for module in (gsm8k, hendrycks_math): module.grade([p], ['It is 5'], 'default', None)\n"
        "sys.exit(bool({'sympy', 'math_verify'} & sys.modules.keys()))"
    )
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0
