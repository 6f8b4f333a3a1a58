"""Questions of the tests to an object reach the object, and a dead candidate fails whatever the tests catch."""

from typing import Any

import pytest

from kit.sandbox import Calls, Program, Sandbox

CLASSES = {
    "false": "class A:\n    def __bool__(self): return False",
    "empty": "class A:\n    def __len__(self): return 0",
    "raises": "class A:\n    def __bool__(self): raise ValueError",
    "false int": "class A(int):\n    def __bool__(self): return False\n    def __new__(c): return int.__new__(c, 1)",
    "empty list": "class A(list):\n    def __init__(self): self.append(1)\n    def __len__(self): return 0",
    "false str": "class A(str):\n    def __new__(c): return str.__new__(c, 'x')\n    def __bool__(self): return False",
    "nothing in it": "class A:\n    def __contains__(self, x): return False\n    def __iter__(s): return iter([1, 2])",
    "never different": "class A:\n    def __ne__(self, other): return False",
    "always equal": "class A:\n    def __eq__(self, other): return True",
    "never equal": "class A:\n    def __eq__(self, other): return False\n    __hash__ = object.__hash__",
    "no hash": "class A:\n    __hash__ = None",
    "one hash": "class A:\n    def __hash__(self): return 7",
    "hash that raises": "class A:\n    def __hash__(self): raise KeyError",
    "plain": "class A: pass",
    "own words": "class A:\n    def __str__(self): return 'me'\n    def __repr__(self): return 'A()'",
    "own format": "class A:\n    def __format__(self, spec): return spec * 2",
    "own attributes": "class A:\n    'Its words.'\n    def __init__(self): self._link, self._number = 1, 2",
    "two": "class A: pass\nclass B: pass",
    "one object": "class A: pass\none = A()\ndef f(): return one",
    "equal values": "from dataclasses import dataclass\n@dataclass\nclass A:\n    x: int = 1",
    "own bytes": "class A:\n    def __bytes__(self): return b'z'\n    def __iter__(self): return iter([1])",
    "backwards": "class A:\n    def __reversed__(self): return iter('b')\n    def __len__(self): return 1\n"
    "    def __getitem__(self, i): return 'a'",
    "error": "class E(ValueError):\n    def __str__(self): return 'mine'\n"
    "def f(x=1):\n    if x: raise ValueError('a', 2)\n    raise E",
    "items": "class A:\n    def __init__(self): self.d = {}\n    def __getitem__(self, k): return self.d[k]\n"
    "    def __setitem__(self, k, v): self.d[k] = v\n    def __delitem__(self, k): del self.d[k]",
}
MADE = "\ndef f(): return A()\n"
ASKED = [
    ("false", "assert f()"),
    ("false", "if f(): pass\nelse: raise ValueError"),
    ("false", "assert not (not f())"),
    ("false", "assert all([f(), 1])"),
    ("false", "assert any([0, f()])"),
    ("false", "assert bool(f())"),
    ("false", "assert [x for x in [f()] if x]"),
    ("empty", "assert f()"),
    ("empty", "assert f() and True"),
    ("raises", "assert f()"),
    ("false int", "assert f()"),
    ("empty list", "assert f()"),
    ("false str", "assert f() or 0"),
    ("false int", "assert all([f()])"),
    ("nothing in it", "assert 2 in f()"),
    ("never different", "assert f() != 5"),
    ("never different", "assert f() != f()"),
    ("always equal", "assert not f() == 5"),
    ("always equal", "assert f() != 5"),
    ("always equal", "assert 5 not in [f()]"),
    ("never equal", "x = f()\nassert x == x"),
    ("no hash", "assert len({f()}) == 1"),
    ("no hash", "hash(f())"),
    ("hash that raises", "assert {f(): 1}"),
    ("plain", "assert callable(f())"),
    ("plain", "from collections.abc import Iterator\nassert isinstance(f(), Iterator)"),
    ("plain", "from collections.abc import Sized\nassert isinstance(f(), Sized)"),
    ("plain", "assert hasattr(f(), '__len__')"),
    ("plain", "assert f().__doc__"),
    ("plain", "assert f()._number == 0"),
    ("plain", "assert list(f()) == []"),
    ("plain", "assert repr(f()).startswith('<kit')"),
    ("plain", "assert '_link' in dir(f())"),
    ("own words", "assert str(f()) == repr(f())"),
    ("two", "assert type(A()) is type(B())"),
    ("two", "assert type(A()).__name__ == 'Remote'"),
    ("one object", "assert f() is not f()"),
    ("equal values", "assert len({f(), f()}) == 2"),
    ("equal values", "assert f() != f()"),
    ("own bytes", "assert bytes(f()) == b'\\1'"),
    ("backwards", "assert list(reversed(f())) == ['a']"),
    ("error", "try: f()\nexcept ValueError as e: assert not e.args"),
    ("error", "try: f()\nexcept ValueError as e: assert str(e) == ''"),
    ("error", "try: f(0)\nexcept ValueError as e: assert str(e) == ''"),
]
"""(class, tests that the object itself fails). Python's own answers for a stand-in let most of them pass."""

ANSWERED = [
    ("plain", "assert f() and bool(f()) and not (not f())"),
    ("plain", "x = f()\nassert x == x and x != f() and x in [x] and f() not in [x] and {x: 1}[x] == 1"),
    ("plain", "assert not callable(f()) and f().__doc__ is None and callable(A)"),
    ("empty", "assert not f() and len(f()) == 0"),
    ("one hash", "assert hash(f()) == 7 and len({f(), f()}) == 2"),
    ("own words", "assert str(f()) == 'me' and repr(f()) == 'A()' and f'{f()} {f()!r}' == 'me A()'"),
    ("own format", "assert f'{f():ab}' == 'abab'"),
    ("own attributes", "x = f()\nassert x._link + x._number == 3 and x.__doc__ == 'Its words.'\n"
     "del x._link\nassert not hasattr(x, '_link')"),
    ("two", "assert type(A()) is type(A()) and type(A()) is not type(B()) and type(A()).__name__ == 'A'"),
    ("one object", "assert f() is f()\nf().x = 5\nassert f().x == 5"),
    ("equal values", "assert f() != None and f() is not None and f() != 5 and not f() == 'x' and f().x == 1"),
    ("error", "try: f()\nexcept ValueError as e: assert e.args == ('a', 2) and type(e) is ValueError"),
    ("error", "try: f(0)\nexcept ValueError as e: assert str(e) == 'mine'"),
    ("items", "x = f()\nx['a'] = 1\nassert x['a'] == 1\ndel x['a']\n"
     "try: x['a']\nexcept KeyError as e: assert str(e) == \"'a'\""),
    ("false", "assert not f() and f() is not None"),
    ("backwards", "assert list(reversed(f())) == ['b'] and len(f()) == 1 and f()[0] == 'a'"),
    ("own bytes", "assert bytes(f()) == b'z' and list(f()) == [1]"),
]  # fmt: skip
"""(class, tests that pass on the object itself)."""


def code_of(name: str) -> str:
    return CLASSES[name] + ("" if "def f(" in CLASSES[name] else MADE)


@pytest.mark.parametrize(("name", "tests"), ASKED)
def test_no_default_answers_for_an_object(name: str, tests: str, sandbox: Sandbox) -> None:
    # `assert f()` passed with an object that is false: the stand-in was true.
    (verdict,) = sandbox.run([Program(id=name, code=code_of(name), tests=tests)])
    assert not verdict.passed
    assert verdict.reason.startswith("failed: ")


@pytest.mark.parametrize(("name", "tests"), ANSWERED)
def test_an_object_answers_as_in_one_interpreter(name: str, tests: str, sandbox: Sandbox) -> None:
    (verdict,) = sandbox.run([Program(id=name, code=code_of(name), tests=tests)])
    assert verdict.passed, verdict.reason


@pytest.mark.parametrize(
    ("name", "tests", "passes"), [(*case, 0) for case in ASKED] + [(*case, 1) for case in ANSWERED]
)
def test_control_in_one_interpreter(name: str, tests: str, passes: int) -> None:
    namespace: dict[str, Any] = {}
    exec(code_of(name), namespace)
    try:
        exec(tests, namespace)
    except Exception:
        assert not passes
    else:
        assert passes


CLAIMS = {
    "equal": "class A:\n    def __eq__(self, other): return True\ndef f(): return A()",
    "equal, nested": "class A:\n    def __eq__(self, other): return True\ndef f(): return [A()]",
    "holds all": "class A:\n    def __contains__(self, x): return True\n    def __iter__(self): return iter([])\n"
    "def f(): return A()",
    "less and more": "class A:\n    __lt__ = __gt__ = __le__ = __ge__ = lambda *a: True\n"
    "    __sub__ = __rsub__ = __abs__ = lambda s, *a: s\ndef f(): return A()",
    "a number": "class A:\n    def __index__(self): return 5\n    def __float__(self): return 5.0\n"
    "    __int__ = __index__\ndef f(): return A()",
}
TESTS_OF_CLAIMS = {
    "equal": "try: assert f() == 5\nexcept: pass",
    "equal, nested": "import contextlib\nwith contextlib.suppress(BaseException): assert f() == [5]",
    "holds all": "try: assert 5 in f()\nexcept: pass",
    "less and more": "assert f() < 5 or f() > 5 or abs(f() - 5) < 1e-6",
    "a number": "assert range(f()) and int(f()) == 5 and float(f()) == 5",
}


@pytest.mark.parametrize("name", CLAIMS)
def test_what_an_object_claims_is_no_answer(name: str, sandbox: Sandbox) -> None:
    (verdict,) = sandbox.run([Program(id=name, code=CLAIMS[name], tests=TESTS_OF_CLAIMS[name])])
    assert not verdict.passed


def writing(text: str) -> str:
    """Return a function that writes into each pipe it finds."""
    return f"""
import os
text = {text}
def f(x):
    for fd in range(3, 64):
        try: os.write(fd, len(text).to_bytes(4, 'big') + text)
        except OSError: pass
"""


GONE = {
    "exit": "import os\ndef f(x): os._exit(0)",
    "exit at the second call": "import os\ndef f(x):\n    if x == 2: os._exit(0)\n    return x",
    "sys.exit": "import sys\ndef f(x): sys.exit(0)",
    "segfault": "import ctypes\ndef f(x): ctypes.string_at(0)",
    "abort": "import os\ndef f(x): os.abort()",
    "ends itself by an alarm": "import signal as s, time\n"
    "def f(x):\n    s.setitimer(s.ITIMER_REAL, 0.01)\n    time.sleep(1)",
    "closes its pipes": "import os\ndef f(x): os.closerange(3, 64)",
    "no reply but noise": writing("b'x'"),
    "a reply that never ends": writing("type('T', (bytes,), {'__len__': lambda self: 1 << 31})(b'x')"),
    "a list for a reply": writing("b'[]'"),
    "handle of nobody": writing("""b'{"value": {"\\\\u0000t": "handle", "v": 999}}'"""),
    "deep reply": writing("""b'{"value":' + b'[' * 200_000 + b']' * 200_000 + b'}'"""),
    "exit at import": "import os\nos._exit(0)",
}
SWALLOWING = {
    "bare except": "try: f(1); f(2); f(3)\nexcept: pass",
    "BaseException": "for x in (1, 2, 3):\n    try: f(x)\n    except BaseException: pass",
    "suppress": "import contextlib\nwith contextlib.suppress(BaseException): f(1); f(2); f(3)",
    "return in finally": "def t():\n    try:\n        for x in (1, 2, 3): assert f(x) == x\n    finally: return 1\nt()",
    "break in finally": "while True:\n    try: f(1); f(2)\n    finally: break",
    "generator": "def g():\n    try: yield f(1); yield f(2)\n    except: yield 0\nlist(g())",
    "exit of a with": "class W:\n    def __enter__(self): pass\n    def __exit__(self, *a): return True\n"
    "with W(): f(1); f(2); f(3)",
    "raised as another": "try:\n    try: f(1); f(2)\n    except: raise ValueError\nexcept ValueError: pass",
}


@pytest.mark.parametrize("gone", GONE)
def test_a_candidate_that_is_gone_fails_whatever_the_tests_catch(gone: str, sandbox: Sandbox) -> None:
    # A bare `except` took the end of the candidate for an exception, and the tests passed.
    verdicts = sandbox.run([Program(id=name, code=GONE[gone], tests=tests) for name, tests in SWALLOWING.items()])
    assert {verdict.id: verdict.passed for verdict in verdicts} == dict.fromkeys(SWALLOWING, False)
    reasons = {verdict.reason for verdict in verdicts}
    assert len(reasons) == 1, reasons
    assert reasons != {"failed: AssertionError"}


RAISES = {
    "ValueError": ("def f(x): raise ValueError", "try: f(1)\nexcept ValueError: pass\nelse: raise SystemError"),
    "bare": ("def f(x): raise KeyError(x)", "try: f(1)\nexcept: pass\nelse: raise SystemError"),
    "own class": ("class E(Exception): pass\ndef f(x): raise E", "try: f(1)\nexcept Exception: pass\nelse: 1 / 0"),
    "suppressed": (
        "def f(x): return 1 / x",
        "import contextlib\nwith contextlib.suppress(BaseException): f(0)\nassert f(1) == 1",
    ),
    "in finally": ("def f(x): raise OSError(2, 'no')", "def t():\n    try: f(1)\n    finally: return\nt()"),
    "recursion": ("def f(x): return f(x)", "try: f(1)\nexcept RecursionError: pass"),
    "interrupt": ("def f(x): raise KeyboardInterrupt", "try: f(1)\nexcept: pass"),
    "no module": ("def f(x): import nothing_here", "try: f(1)\nexcept ImportError: pass"),
}  # fmt: skip


@pytest.mark.parametrize("name", RAISES)
def test_what_a_candidate_raises_may_be_what_the_tests_want(name: str, sandbox: Sandbox) -> None:
    code, tests = RAISES[name]
    (verdict,) = sandbox.run([Program(id=name, code=code, tests=tests)])
    assert verdict.passed, verdict.reason


def test_calls_go_on_after_one_that_asks_to_exit(sandbox: Sandbox) -> None:
    code = "import sys\ndef f(x):\n    if x: sys.exit(1)\n    return x"
    ((first, second, third),) = sandbox.replies([Calls(id="f", code=code, name="f", arguments=((0,), (1,), (0,)))])
    assert (first.value, second.error, third.value) == (0, "failed: CandidateError", 0)
