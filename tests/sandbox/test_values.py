"""Values that cross the pipes behave on the other side as the test wrote them, or as the candidate returned them."""

import json
import random
from collections.abc import Callable
from typing import Any

import pytest

from kit.sandbox import Program, Sandbox, settable, wire


def no_handle(value: Any) -> int:
    raise TypeError


def sent(value: Any) -> Any:
    """Return the value as it arrives."""
    return wire.decode(json.loads(json.dumps(wire.encode(value, no_handle))), lambda n: n)


def churned(seed: int) -> set[Any]:
    """Return a set with a history: items added, removed, popped and merged."""
    dice = random.Random(seed)
    items: set[Any] = set()
    for _ in range(dice.randrange(250)):
        item = dice.choice([dice.randrange(2000), str(dice.randrange(300)), (1, dice.randrange(9)), dice.random(), -1])
        choice = dice.randrange(12)
        if choice < 6:
            items.add(item)
        elif choice < 9:
            items.discard(item)
        elif choice == 9 and items:
            items.pop()
        elif choice == 10:
            items |= {dice.randrange(99) for _ in range(dice.randrange(40))}
        else:
            items = dice.choice([items.copy, lambda made=items: made - {1, 2, 3}, lambda made=items: made & made])()
    return items


def cleared() -> set[int]:
    items = set(range(1000))
    items -= set(range(1, 1000))
    return items


SETS: dict[str, Callable[[], Any]] = {
    "literal": lambda: {12, 13, 14, 15, 16},  # MBPP 341: its third test
    "built one by one": lambda: set([12, 13, 14, 15, 16]),  # noqa: C405 (another table than the literal's)
    "comprehension": lambda: {n for n in [12, 13, 14, 15, 16]},  # noqa: C416
    "union": lambda: {1, 9} | {17, 25, 33},
    "colliding": lambda: {8, 16, 24, 0},
    "colliding, other order": lambda: {0, 24, 16, 8},
    "hashes that differ in high bits": lambda: {n << 61 for n in range(5)} | {1},
    "strings": lambda: {"the", "quick", "brown", "fox", "jumps", "over", "lazy", "dog"},
    "frozenset": lambda: frozenset([40, 8, 0, 16]),
    "of a dict": lambda: set(dict.fromkeys([5, 21, 13, 37])),
    "grown and shrunk": cleared,
    "first removed": lambda: (made := {16, 0, 8}, made.discard(16))[0],
    "popped": lambda: (made := set(range(30, 60)), made.pop(), made.pop())[0],
    "copy of one with holes": lambda: (made := set(range(40)), made.difference_update(range(0, 40, 3)))[0].copy(),
    "empty": set,
    "emptied": lambda: (made := {1, 2, 3}, made.clear())[0],
    "large": lambda: {n * n for n in range(60_000)},
} | {f"churned {seed}": lambda seed=seed: churned(seed) for seed in range(60)}  # type: ignore[dict-item,misc]


@pytest.mark.parametrize("name", SETS)
def test_a_set_keeps_its_order_and_its_future(name: str) -> None:
    # A set was built again from its items: another table, another order, `tuple(set)` right where it is wrong.
    original = SETS[name]()
    other = sent(original)
    assert (type(other), other, list(other)) == (type(original), original, list(original))
    assert settable.read(other) == settable.read(original)
    if isinstance(original, set):
        for n in range(40):  # what is added and popped from here on goes the same way
            original.add(n * 31)
            other.add(n * 31)
            assert list(original) == list(other)
        while original:
            assert original.pop() == other.pop()


@pytest.mark.parametrize(
    "table",
    [
        pytest.param([8, 0, [0, 1], []], id="an item in another's slot"),
        pytest.param([8, 0, [3, 1], []], id="not in order"),
        pytest.param([8, 0, [1, 1], []], id="one slot for two"),
        pytest.param([8, 0, [1], []], id="too few slots"),
        pytest.param([8, 0, [1, 8], []], id="beyond the end"),
        pytest.param([8, 0, [1, 2], [3, 4, 5, 6, 7, 0]], id="no free slot"),
        pytest.param([9, 0, [1, 2], []], id="no power of two"),
        pytest.param([1 << 40, 0, [1, 2], []], id="larger than any set of two"),
        pytest.param([8, -1, [1, 2], []], id="pops before the start"),
    ],
)
def test_a_table_that_cannot_be_is_not_built(table: list[Any]) -> None:
    made = wire.decode({wire.TAG: "set", "v": [1, 2], "table": table}, no_handle)
    assert made == {1, 2}
    assert 1 in made
    assert 2 in made
    assert settable.read(made) == settable.read({1, 2})


def test_items_that_are_equal_are_one() -> None:
    # {1, 2} == {1, 1} would hold if a candidate could send a set with one item twice
    made = wire.decode({wire.TAG: "set", "v": [1, 1], "table": [8, 0, [1, 2], []]}, no_handle)
    assert (made, len(made)) == ({1}, 1)


def loop() -> list[Any]:
    made: list[Any] = [1]
    made.append(made)
    return made


def test_an_object_in_two_places_is_one_object() -> None:
    row = [0]
    rows, other, (first, second) = sent([[row] * 3, {"row": row}, (row, [0])])
    assert rows[0] is rows[1] is rows[2] is other["row"] is first
    assert first is not second
    itself = sent(loop())
    assert itself[1] is itself
    one, two, three = sent([nan := float("nan"), nan, float("nan")])
    assert one is two
    assert one is not three


def test_a_tuple_that_holds_itself_is_refused() -> None:
    made: tuple[list[Any]] = ([],)
    made[0].append(made)
    with pytest.raises(wire.WireError):
        sent(made)


CASES = {
    "MBPP 341: tuple of a set": (
        "def f(s): return tuple(s)",
        "assert f({1, 2, 3}) == tuple({1, 2, 3})\nassert f({12, 13, 14, 15, 16}) == (16, 12, 13, 14, 15)",
    ),
    "first of a set": ("def f(s): return next(iter(s))", "assert f({12, 13, 14, 15, 16}) == 16"),
    "pop": ("def f(s): return [s.pop() for _ in range(3)]", "assert f({12, 13, 14, 15, 16}) == [16, 12, 13]"),
    "set inside": ("def f(d): return list(d['a'][0])", "assert f({'a': [{12, 13, 14, 15, 16}]})[0] == 16"),
    "set of a comprehension": ("def f(s): return list(s)", "s = {n for n in range(12, 17)}\nassert f(s) == list(s)"),
    "set with a history": (
        "def f(s): return list(s)",
        "s = {8, 0, 16, 24}\ns.discard(8)\ns.add(32)\nassert f(s) == list(s)",
    ),
    "set of words": ("def f(s): return list(s)", "s = set('to be or not to be'.split())\nassert f(s) == list(s)"),
    "set that comes back": ("def f(s): return s", "s = {12, 13, 14, 15, 16}\nassert list(f(s)) == list(s)"),
    "set that was made there": ("def f(): return {12, 13, 14, 15, 16}", "assert str(f()) == '{16, 12, 13, 14, 15}'"),
    "set that was built there": ("def f(): return set(range(12, 17))", "assert str(f()) == '{12, 13, 14, 15, 16}'"),
    "frozenset": ("def f(s): return list(s), s in {s}", "s = frozenset({12, 14, 16})\nassert f(s) == (list(s), True)"),
    "keyword": ("def f(*, s): return tuple(s)", "assert f(s={12, 13, 14, 15, 16})[0] == 16"),
    "order of a dict": (
        "def f(d): return list(d), d.popitem()",
        "d = {3: 0, 1: 0, 2: 0}\ndel d[3]\nd[3] = 1\nassert f(d) == ([1, 2, 3], (3, 1))",
    ),
    "one list twice": ("def f(a, b):\n    a.append(1)\n    return b, a is b", "x = []\nassert f(x, x) == ([1], True)"),
    "equal lists": ("def f(a, b):\n    a.append(1)\n    return b, a is b", "assert f([], []) == ([], False)"),
    "rows of one list": ("def f(m):\n    m[0][0] = 1\n    return m", "assert f([[0] * 2] * 2) == [[1, 0], [1, 0]]"),
    "rows that come back": ("def f(): return [[0]] * 2", "m = f()\nm[0][0] = 1\nassert m == [[1], [1]]"),
    "list that holds itself": ("def f(a): return a[0] is a", "a = []\na.append(a)\nassert f(a)"),
    "word by is": ("def f(a): return a is 'add'", "assert f('add')\nassert not f(''.join(['a', 'dd']))"),
    "nan by identity": (
        "def f(a): return a[0] in a[1:]", "n = float('nan')\nassert f([n, n])\nassert not f([n, float('nan')])",
    ),
    "signs": (
        "from math import copysign\ndef f(a): return copysign(1, a)",
        "assert [f(x) for x in (0.0, -0.0, float('nan'), -float('nan'), float('-inf'))] == [1, -1, 1, -1, -1]",
    ),
    "types": (
        "def f(*a): return [type(x).__name__ for x in a]",
        "from collections import *\nassert f(True, 1, 1.0, (), [], frozenset(), deque(), OrderedDict(), Counter(), b'',"
        " defaultdict(), bytearray(), ..., range(1)) == ['bool', 'int', 'float', 'tuple', 'list', 'frozenset', "
        "'deque', 'OrderedDict', 'Counter', 'bytes', 'defaultdict', 'bytearray', 'ellipsis', 'range']",
    ),
    "defaultdict makes": (
        "def f(d): return d[5] + [1]", "from collections import defaultdict\nassert f(defaultdict(list)) == [1]",
    ),
    "defaultdict comes back": (
        "from collections import defaultdict\ndef f(): return defaultdict(lambda: 7)", "assert f()['x'] == 7",
    ),
    "deque of three": (
        "def f(d):\n    d.append(4)\n    return d", "from collections import deque\nd = f(deque([1, 2, 3], 3))\n"
        "assert (list(d), d.maxlen) == ([2, 3, 4], 3)",
    ),
    "function": ("def f(g, x): return g(x) + 1", "assert f(lambda x: 2 * x, 4) == 9"),
    "function that calls back": ("def f(g): return g(h)\ndef h(x): return x + 1", "assert f(lambda k: k(4)) == 5"),
    "function that comes back": ("def f(g): return g", "g = lambda: 1\nassert f(g) is g"),
    "function that raises": (
        "def f(g):\n    try: g()\n    except ZeroDivisionError: return 1", "assert f(lambda: 1 / 0) == 1",
    ),
    # A function of Python's own could not be passed: a TypeError of the tester's failed the completion.
    "built-in key": ("def f(x, g): return sorted(x, key=g)", "assert f(['aa', 'b'], len) == ['b', 'aa']"),
    "built-in of a list": ("def f(g, x): return g(x)", "assert f(max, [1, 4, 2]) == 4"),
    "method of a type": ("def f(g, x): return [g(s) for s in x]", "assert f(str.upper, ['a']) == ['A']"),
    "function of a module": ("def f(g, x): return g(x)", "import math\nassert f(math.sqrt, 9) == 3"),
    "an item": (
        "def f(g, s): return max(s, key=g)", "import operator as o; assert f(o.itemgetter(1), [(2, 1), (1, 2)])[1]",
    ),
    "partial": ("def f(g): return g(3)", "import functools\nassert f(functools.partial(pow, 2)) == 8"),
    "key": ("def f(g): return sorted([3, 1, 2], key=g)", "assert f(lambda x: -x) == [3, 2, 1]"),
    "generator": ("def f(g): return next(g), sum(g)", "assert f(n for n in range(4)) == (0, 6)"),
    "iterator, once": ("def f(g): return next(g)", "i = iter([1, 2])\nassert (f(i), next(i)) == (1, 2)"),
    "defaultdict of the tests": (
        "def f(d): return d[5]", "from collections import defaultdict\nassert f(defaultdict(lambda: 7)) == 7",
    ),
    "halves of a character": ("def f(s): return len(s)", r"assert (f('\ud83d\ude00'), f('\U0001f600')) == (2, 1)"),
    "halves that come back": (r"def f(): return '\ud83d' + '\ude00'", r"assert [*f()] == ['\ud83d', '\ude00']"),
    "halves in a key": (
        "def f(d): return {k: len(k) for k in d}",
        r"assert f({'\ud83d\ude00': 1, '\U0001f600': 2}) == {'\ud83d\ude00': 2, '\U0001f600': 1}",
    ),
    "halves in an error": (
        r"def f(): raise ValueError('\ud83d' + '\ude00')", "try: f()\nexcept ValueError as e: assert len(str(e)) == 2",
    ),
    "halves in an error of the tests": (
        "def f(g):\n    try: g()\n    except KeyError as e: return len(e.args[0])",
        "def g(): raise KeyError('\\ud83d' + '\\ude00')\nassert f(g) == 2",
    ),
    "halves for a name": (
        r"f = type('A', (), {'\ud83d\ude00': 1, '\U0001f600': 2})()",
        r"assert (getattr(f, '\ud83d\ude00'), getattr(f, '\U0001f600')) == (1, 2)",
    ),
    "halves by keyword": ("def f(**k): return [*k]", r"assert [len(k) for k in f(**{'\ud83d\ude00': 1})] == [2]"),
    "halves in a set": ("def f(s): return {*s}", r"assert f({'\ud83d\ude00', '\U0001f600'}) == {'\ud83d\ude00', '😀'}"),
    "halves from an iterator": (r"def f(): return iter(['\ud83d\ude00'])", "assert [len(x) for x in f()] == [2]"),
    "halves the other way round": ("def f(s): return s[::-1]", r"assert f('\ud83d\ude00') == '\ude00\ud83d'"),
    "lone halves and others": (
        "def f(s): return s", "s = 'a\\ude00\\ud83d😀\\x00\\x7f\\ufeff\\\\u0041'\nassert f(s) == s",
    ),
    "time zone": (
        "def f(t): return t.utcoffset().seconds",
        "from datetime import *\nassert f(datetime(2026, 1, 2, tzinfo=timezone(timedelta(hours=2)))) == 7200",
    ),
}  # fmt: skip
"""Name -> (candidate, tests). In a plain interpreter each passes."""


@pytest.mark.parametrize("name", CASES)
def test_behaves_as_in_one_interpreter(name: str, sandbox: Sandbox) -> None:
    code, tests = CASES[name]
    (verdict,) = sandbox.run([Program(id=name, code=code, tests=tests, names=("f",))])
    assert verdict.passed, verdict.reason


@pytest.mark.filterwarnings("ignore:.is. with:SyntaxWarning")
@pytest.mark.parametrize("name", CASES)
def test_control_passes_in_one_interpreter(name: str) -> None:
    code, tests = CASES[name]
    namespace: dict[str, Any] = {}
    exec(code, namespace)
    exec(tests, namespace)


@pytest.mark.parametrize(
    "code",
    [
        "def f(s): return tuple(s)",
        "def f(s):\n    out = ()\n    for x in s: out += (x,)\n    return out",
        "def f(s): return (*s,)",
        "def f(s): return tuple(list(s))",
        "def f(s): return tuple(s.copy())",
    ],
)
def test_the_order_of_a_set_is_no_right_answer(code: str, sandbox: Sandbox) -> None:
    tests = "assert f({12, 13, 14, 15, 16}) == (12, 13, 14, 15, 16)"
    (verdict,) = sandbox.run([Program(id="341", code=code, tests=tests, names=("f",))])
    assert (verdict.passed, verdict.reason) == (False, "failed: AssertionError")


def test_sorting_a_set_is(sandbox: Sandbox) -> None:
    code, tests = "def f(s): return tuple(sorted(s))", "assert f({12, 13, 14, 15, 16}) == (12, 13, 14, 15, 16)"
    (verdict,) = sandbox.run([Program(id="341", code=code, tests=tests, names=("f",))])
    assert verdict.passed


@pytest.mark.parametrize(
    ("body", "reason"),
    [
        pytest.param("g.__globals__", "failed: AttributeError", id="its names"),
        pytest.param("g._ask({'ask': 'call', 'args': [eval, ['1'], {}]})", "failed: TypeError", id="another function"),
        pytest.param("g._ask({'ask': 'call', 'args': []})", "failed: ValueError", id="none"),
    ],
)
def test_a_function_of_the_tests_can_be_called_and_no_more(body: str, reason: str, sandbox: Sandbox) -> None:
    program = Program(id="f", code=f"def f(g): return {body}", tests="f(lambda: 1)", names=("f",))
    (verdict,) = sandbox.run([program])
    assert (verdict.passed, verdict.reason) == (False, reason)


@pytest.mark.parametrize("place", ["code", "tests", "setup"])
def test_halves_in_a_source_are_no_character(place: str, sandbox: Sandbox) -> None:
    # JSON made one character of them, and the source became Python that nobody had written.
    sources = {"code": "def f(): return 1", "tests": "assert f() == 1", "setup": "pass"}
    good, bad = ({**sources, place: f"{sources[place]}\n'{end}'"} for end in ("\U0001f600", "\ud83d\ude00"))
    right, wrong = sandbox.run([Program(id="f", names=("f",), **texts) for texts in (good, bad)])
    assert (right.reason, wrong.reason) == ("", "failed: UnicodeEncodeError" if place != "code" else wrong.reason)
    assert not wrong.passed
