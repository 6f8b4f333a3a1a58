"""Random numbers of the tests: a completion that knows them beforehand has not solved anything."""

from pathlib import Path
from typing import Any

import pytest

from kit.benchmarks import humaneval
from kit.sandbox import Program, Sandbox, client

ENCODED = """
import random
def encode(s): return s[::-1]
for _ in range(50):
    word = ''.join(random.choice('abcdefgh') for _ in range(random.randint(5, 15)))
    assert f(encode(word)) == word
"""
ROLLED = """
import random
for _ in range(50):
    n = random.randint(0, 10**6)
    assert f(n % 7) % 7 == n % 7 and f(n % 7) == n
"""
SHUFFLED = "import random\nfor _ in range(9):\n    a = [*range(30)]\n    random.shuffle(a)\n    assert f([0] * 30) == a"
GAUSSIAN = "import statistics\na = statistics.NormalDist().samples(5)\nassert f(5) == a"
NUMPY = "import numpy\na = numpy.random.randint(0, 1000, 20)\nassert f(20) == a.tolist()"
HELPER = "import random\nSECRET = [random.random() for _ in range(3)]"

REPLAYS = {
    "draws the words": ("""
import random
def f(s):
    return ''.join(random.choice('abcdefgh') for _ in range(random.randint(5, 15)))""", ENCODED),
    "draws them from a start of its own": ("""
import random
r = random.Random(0)
words = [''.join(r.choice('abcdefgh') for _ in range(r.randint(5, 15))) for _ in range(50)]
def f(s): return words.pop(0)""", ENCODED),
    "sets the start again": ("""
import random
random.seed(0)
state = random.getstate()
def f(s):
    global state
    random.setstate(state)
    word = ''.join(random.choice('abcdefgh') for _ in range(random.randint(5, 15)))
    state = random.getstate()
    return word""", ENCODED),
    "numbers, twice each": (
        "import random\nseen = []\ndef f(x):\n"
        "    seen.append(random.randint(0, 10**6) if len(seen) % 2 == 0 else seen[-1])\n    return seen[-1]", ROLLED,
    ),
    "a shuffle": ("import random\ndef f(a):\n    a = [*range(30)]\n    random.shuffle(a)\n    return a", SHUFFLED),
    "numbers that are drawn inside the library": (
        "import statistics\ndef f(n): return statistics.NormalDist().samples(n)", GAUSSIAN,
    ),
    "numpy's": ("import numpy\ndef f(n): return numpy.random.randint(0, 1000, n).tolist()", NUMPY),
    "whatever the kit's own code seeds with": (
        "import random, sys\nfrom kit.sandbox import packages\npackages.seed(sys.modules)\n"
        "def f(s): return ''.join(random.choice('abcdefgh') for _ in range(random.randint(5, 15)))", ENCODED,
    ),
}  # fmt: skip
"""Name -> (candidate, tests); each passed, without computing anything, while both processes drew alike."""


@pytest.mark.parametrize("name", REPLAYS)
def test_drawing_what_the_tests_draw_is_no_answer(name: str, sandbox: Sandbox) -> None:
    code, tests = REPLAYS[name]
    (verdict,) = sandbox.run([Program(id=name, code=code, tests=tests, names=("f",))])
    assert (verdict.passed, verdict.reason) == (False, "failed: AssertionError")


@pytest.mark.parametrize("name", [name for name in REPLAYS if name != "numpy's"])
def test_control_passes_where_the_tests_draw_from_a_known_start(
    name: str, sandbox: Sandbox, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(client.secrets, "token_hex", lambda size: "00")  # the seed of the candidate's own numbers
    code, tests = REPLAYS[name]
    (verdict,) = sandbox.run([Program(id=name, code=code, tests=tests, names=("f",))])
    assert verdict.passed, verdict.reason


def test_what_a_setup_draws_is_unknown_too(sandbox: Sandbox) -> None:
    code = "import random\ndrawn = [random.random() for _ in range(3)]\ndef f(): return drawn"
    (verdict,) = sandbox.run([Program(id="f", code=code, setup=HELPER, tests="assert f() == SECRET", names=("f",))])
    assert not verdict.passed


HONEST = {
    "right": ("def f(s): return s[::-1]", ENCODED, ""),
    "right, and draws itself": (
        "import random\ndef f(s):\n    order = [*range(len(s))]\n    random.shuffle(order)\n"
        "    out = [''] * len(s)\n    for i in order: out[-1 - i] = s[i]\n    return ''.join(out)", ENCODED, "",
    ),
    "wrong": ("def f(s): return s", ENCODED, "failed: AssertionError"),
    "raises": ("def f(s): return s[99]", ENCODED, "failed: IndexError"),
    "right for numbers": ("def f(x, y): return x + y", "import random\nfor _ in range(100):\n"
        "    x, y = random.randint(0, 1000), random.randint(0, 1000)\n    assert f(x, y) == x + y", ""),
    "tests with a start of their own": (
        "def f(n): return n", "import random\nrng = random.Random(42)\nassert f(3) == 3 and rng.random() > 0.6", "",
    ),
    "tests that seed": (
        "def f(n): return n", "import random\nrandom.seed(5)\nx = random.random()\nassert f(x) == x", "",
    ),
    "numpy": ("def f(a): return a * 2", "import numpy\na = numpy.random.rand(4)\nassert (f(a) == 2 * a).all()", ""),
}  # fmt: skip


def test_honest_completions_have_one_verdict(sandbox: Sandbox) -> None:
    programs = [Program(id=name, code=code, tests=tests, names=("f",)) for name, (code, tests, _) in HONEST.items()]
    wanted = {name: reason for name, (_, _, reason) in HONEST.items()}
    for _ in range(4):
        assert {verdict.id: verdict.reason for verdict in sandbox.run(programs)} == wanted


def test_only_tests_that_draw_run_twice(sandbox: Sandbox, monkeypatch: pytest.MonkeyPatch) -> None:
    runs: list[Any] = []
    real = client.run_safely
    monkeypatch.setattr(client, "run_safely", lambda *args: runs.append(args[2].get("seed")) or real(*args))
    names = ("right", "wrong", "tests with a start of their own")
    sandbox.run([Program(id=name, code=HONEST[name][0], tests=HONEST[name][1], names=("f",)) for name in names])
    assert len([seed for seed in runs if seed is None]) == 3
    assert len([seed for seed in runs if seed is not None]) == 1


REPLAYED = {
    "HumanEval/38": "lambda s: ''.join(choice(letters) for i in range(randint(10, 20)))",
    "HumanEval/50": "lambda s: ''.join(choice(letters) for i in range(randint(10, 20)))",
}


@pytest.mark.shared
def test_the_two_problems_that_a_replay_solved(shared: Path, sandbox: Sandbox) -> None:
    problems = [p for p in humaneval.read(shared / "data" / "humaneval" / "HumanEval.jsonl.gz") if p.id in REPLAYED]
    fakes = [
        f"    pass\nfrom random import choice, randint\nimport string\nletters = string.ascii_lowercase\n"
        f"{p.data['entry_point']} = {REPLAYED[p.id]}\n"
        for p in problems
    ]
    right = [str(p.data["canonical_solution"]) for p in problems]
    grades = humaneval.grade(problems, fakes, "paper", sandbox)
    assert [grade.scores["humaneval"][0] for grade in grades] == [0, 0]
    assert [g.scores["humaneval"][0] for g in humaneval.grade(problems, right, "paper", sandbox)] == [1, 1]
