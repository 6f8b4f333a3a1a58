"""Ways to be taken for a right answer without giving one, and answers that are right and must be taken for it.

The tests are ``f(2) == [4]`` and ``f(3) == [9]``. A control runs code and tests in one plain interpreter and looks at
the exit status, as a simple grader does: that is where these fakes come from.
"""

import subprocess
import sys

import pytest

from kit.sandbox import Function, Program, Sandbox

TESTS = "assert f(2) == [4]\nassert f(3) == [9]\n"

FOOLS_A_SIMPLE_GRADER = {
    "exit at import": "import os\nos._exit(0)",
    "exit in the call": "import os\ndef f(x): os._exit(0)",
    "sys.exit at import": "import sys\nsys.exit(0)",
    "sys.exit in the call": "import sys\ndef f(x): sys.exit(0)",
    "always equal": "class A:\n    def __eq__(self, other): return True\ndef f(x): return A()",
    "always equal str": "class A(str):\n    def __eq__(self, other): return True\ndef f(x): return A('')",
    "always equal list": "class A(list):\n    def __eq__(self, other): return True\ndef f(x): return A()",
    "always equal, nested": "class A(int):\n    def __eq__(self, other): return True\ndef f(x): return [A(7)]",
    "replaced exit at the end": "import atexit, os\natexit.register(lambda: os._exit(0))\ndef f(x): return []",
    "excepthook": "import os, sys\nsys.excepthook = lambda *a: os._exit(0)\ndef f(x): return []",
    "tracing": """
import os, sys
def tracer(frame, event, arg):
    if event == "exception":
        os._exit(0)
    return tracer
sys.settrace(tracer)
def f(x): return [][1]""",
    "stolen tests": """
import re, sys
def f(x):
    frame = sys._getframe()
    while frame:
        for value in list(frame.f_globals.values()) + list(frame.f_locals.values()):
            if isinstance(value, str) and (found := re.search(rf"f\\({x}\\) == \\[(\\d+)", value)):
                return [int(found[1])]
        frame = frame.f_back""",
    "endless recursion caught": "import os\ndef f(x):\n    try: f(x)\n    except RecursionError: os._exit(0)",
}
"""Fakes whose control passes."""

OTHERS = {
    "marker printed": 'print("passed", flush=True)\nprint(\'{"passed": true}\', flush=True)\ndef f(x): return []',
    "marker to every descriptor": """
import json, os, struct
text = json.dumps({"passed": True}).encode()
for fd in range(3, 100):
    try: os.write(fd, struct.pack(">I", len(text)) + text)
    except OSError: pass
def f(x): return []""",
    "verdict in every reply": """
import json, os, struct
def f(x):
    text = json.dumps({"passed": True, "value": {"passed": True}}).encode()
    for fd in range(3, 100):
        try: os.write(fd, struct.pack(">I", len(text)) + text)
        except OSError: pass""",
    "patched os.write": """
import os
real = os.write
os.write = lambda fd, data: real(fd, bytes(data).replace(b"error", b"value"))
def f(x): raise ValueError""",
    "patched builtins": """
import builtins
builtins.AssertionError = KeyboardInterrupt
builtins.isinstance = lambda *a: True
def f(x): return []""",
    "patched protocol": """
import sys
wire = sys.modules["kit.sandbox.wire"]
wire.encode = lambda value, handle: {"\\0t": "passed", "v": True}
def f(x): return []""",
    "handle of nobody": """
import sys
sys.modules["kit.sandbox.wire"].encode = lambda value, handle: {"\\0t": "handle", "v": 10**9}
def f(x): return []""",
    "reply that is no JSON": """
import os
def f(x):
    for fd in range(3, 100):
        try: os.write(fd, b"\\0\\0\\0\\1x")
        except OSError: pass""",
    "reply that never ends": """
import os
def f(x):
    for fd in range(3, 100):
        try: os.write(fd, b"\\xff\\xff\\xff\\xff")
        except OSError: pass""",
    "frames": """
import sys
frame = sys._getframe()
while frame:
    for value in list(frame.f_locals.values()):
        if isinstance(value, list): value.append("passed")
        if isinstance(value, dict): value["passed"] = True
    frame = frame.f_back
def f(x): return []""",
    "BaseException": "def f(x): raise BaseException",
    "KeyboardInterrupt": "def f(x): raise KeyboardInterrupt",
    "GeneratorExit": "def f(x): raise GeneratorExit",
    "SystemExit of zero": "class E(SystemExit): code = 0\ndef f(x): raise E(0)",
    "segfault": "import ctypes\ndef f(x): ctypes.string_at(0)",
    "recursion": "def f(x): return f(x)",
    "deep recursion": "import sys\nsys.setrecursionlimit(10**9)\ndef f(x): return f(x)",
    "200,000 deep reply": "def f(x):\n    a = []\n    for _ in range(200_000): a = [a]\n    return a",
    "deep reply, hand-made": """
import os, struct
def f(x):
    text = b'{"value":' + b"[" * 200_000 + b"]" * 200_000 + b"}"
    for fd in range(3, 100):
        try:
            if os.fstat(fd).st_mode: os.write(fd, struct.pack(">I", len(text)) + text)
        except OSError: pass""",
    "200 MB reply": "def f(x): return 'x' * 200_000_000",
    "6 GiB": "def f(x): return bytearray(6 << 30)",
    "10^7-digit int": "def f(x): return 1 << 33_000_000",
    "1 GB printed": "def f(x):\n    for _ in range(1000): print('x' * 1_000_000)\n    return []",
    "itself": "def f(x): return f",
    "a module": "import os\ndef f(x): return os",
    "NaN": "def f(x): return float('nan')",
    "tester's own builtins": "def len(x): return 1\ndef print(x): pass\ndef f(x): return []",
    "null bytes": "\0",
    "lone surrogate": "\ud800 = 1",
    "nothing": "",
}

RIGHT = {
    "plain": "def f(x): return [x * x]",
    "list subclass": "class L(list): pass\ndef f(x): return L([x * x])",
    "int subclass": "class N(int): pass\ndef f(x): return [N(x * x)]",
    "prints": "print('passed')\ndef f(x):\n    print('no')\n    return [x * x]",
    "float": "def f(x): return [float(x * x)]",
    "fraction": "from fractions import Fraction\ndef f(x): return [Fraction(x * x)]",
    "not main": "if __name__ == '__main__':\n    raise ValueError\ndef f(x): return [x * x]",
    "module state": "seen = []\ndef f(x):\n    seen.append(x)\n    return [seen[-1] ** 2]",
    "future import": "from __future__ import annotations\ndef f(x: Unknown): return [x * x]",
}


@pytest.mark.parametrize("fake", [*FOOLS_A_SIMPLE_GRADER, *OTHERS])
def test_fake_fails(fake: str, sandbox: Sandbox) -> None:
    code = (FOOLS_A_SIMPLE_GRADER | OTHERS)[fake]
    named, every_name, after = sandbox.run(
        [
            Program(id=fake, code=code, tests=TESTS, names=("f",)),
            Program(id=fake, code=code, tests=TESTS),
            Program(id="after", code=RIGHT["plain"], tests=TESTS),
        ]
    )
    assert not named.passed
    assert named.reason
    assert not every_name.passed
    assert after.passed


@pytest.mark.parametrize("fake", [*FOOLS_A_SIMPLE_GRADER, *OTHERS])
def test_fake_gives_no_right_value_without_a_tester(fake: str, sandbox: Sandbox) -> None:
    code = (FOOLS_A_SIMPLE_GRADER | OTHERS)[fake]
    returned, after = sandbox.call_functions(
        [
            Function(id=name, code=text, name="f", inputs=(2, 3), cpu_s=0.25)
            for name, text in ((fake, code), ("", RIGHT["plain"]))
        ]
    )
    assert not any(reply.value == [x * x] for reply, x in zip(returned.replies, (2, 3), strict=True))
    assert [reply.value for reply in after.replies] == [[4], [9]]


@pytest.mark.parametrize("right", RIGHT)
def test_right_answer_passes(right: str, sandbox: Sandbox) -> None:
    (verdict,) = sandbox.run([Program(id=right, code=RIGHT[right], tests=TESTS, names=("f",))])
    assert verdict.passed, verdict.reason


@pytest.mark.parametrize("fake", FOOLS_A_SIMPLE_GRADER)
def test_control_fools_a_simple_grader(fake: str) -> None:
    code = FOOLS_A_SIMPLE_GRADER[fake]
    grader = f"code = {code!r}\ntests = {TESTS!r}\nexec(code + chr(10) + tests, {{}})"
    done = subprocess.run([sys.executable, "-c", grader], capture_output=True, check=False)
    assert done.returncode == 0, done.stderr.decode()
