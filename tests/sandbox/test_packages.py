"""numpy in programs and tests, on both tiers: what it does, what it still may not, and how its values cross."""

import json
from pathlib import Path
from typing import Any

import numpy
import pytest

from kit.errors import KitError
from kit.sandbox import Calls, Program, Sandbox, arrays, lock, open_sandbox, packages, selftest, wire

COMPUTES = """
import numpy as np
def total(xs): return np.sum(xs)
def doubled(xs): return np.array(xs) * 2
def drawn(): return [int(n) for n in np.random.randint(0, 1000, 3)]
def turned(a): return a.T, isinstance(a, np.ndarray), {1: np.bool_(True)}, np.float32(1.5), [np.int64(3)]
def solves():
    a = np.array([[2.0, 1], [1, 3]])
    np.linalg.eig(a), np.linalg.svd(np.ones((150, 150))), np.fft.fft([1, 2, 3.0]), np.ma.array([1])
    np.dot(np.ones((300, 300)), np.ones((300, 300))), np.polyfit([1, 2, 3], [1, 2, 3], 1), np.convolve([1, 2], [1, 2])
    return np.linalg.solve(a, [3.0, 4.0])
"""
TESTS = """
import numpy as np
assert drawn() == [684, 559, 629]  # the same in every program
assert total([1, 2]) == 3 and isinstance(total([1]), np.integer) and total([0.5]) == 0.5
assert (doubled([1, 2]) == [2, 4]).all() and doubled([]).shape == (0,)
turned_, is_array, flags, half, counts = turned(np.arange(6).reshape(2, 3))
assert turned_.tolist() == [[0, 3], [1, 4], [2, 5]] and is_array is True
assert flags == {1: True} and type(half) is np.float32 and type(counts[0]) is np.int64 and counts == [3]
np.testing.assert_allclose(solves(), [1.0, 1.0])
"""
EVALPLUS = """
import numpy as np

def is_floats(x) -> bool:
    return isinstance(x, float) or (isinstance(x, list | tuple) and all(isinstance(i, float) for i in x))

def assertion(out, exp, atol):
    exact_match = out == exp
    if atol == 0 and is_floats(exp):
        atol = 1e-6
    if not exact_match and atol != 0:
        assert type(out) == type(exp)
        np.testing.assert_allclose(out, exp, rtol=1e-07, atol=atol)
    else:
        assert exact_match

assertion(third(1), 0.3333333, 0)
assertion(third(3), 1.0, 0)
"""


def test_programs_have_numpy(sandbox: Sandbox) -> None:
    # Ended in ModuleNotFoundError: 0 %, exit 0.
    (verdict,) = sandbox.run([Program(id="a", code=COMPUTES, tests=TESTS, cpu_s=10)])
    assert (verdict.passed, verdict.reason) == (True, "")


def test_tests_as_evalplus_writes_them(sandbox: Sandbox) -> None:
    right, wrong = "def third(x): return x / 3\n", "def third(x): return x / 3.001\n"
    verdicts = sandbox.run([Program(id=code, code=code, tests=EVALPLUS, names=("third",)) for code in (right, wrong)])
    assert [v.reason for v in verdicts] == ["", "failed: AssertionError"]


def test_what_may_be_imported_is_said(sandbox: Sandbox) -> None:
    assert sandbox.packages == {"numpy": numpy.__version__} == packages.versions()


@pytest.mark.parametrize("name", ["pytest", "pydantic", "pyseccomp", "pip", "_pytest.config"])
def test_no_other_package_can_be_imported(name: str, sandbox: Sandbox) -> None:
    code = "def load(name):\n    __import__(name)\n"
    ((reply,),) = sandbox.replies([Calls(id="a", code=code, name="load", arguments=((name,),))])
    assert reply.error == "failed: ModuleNotFoundError"


ATTACKS = {
    "save": "np.save(path, np.ones(3))",
    "savetxt": "np.savetxt(path, np.ones(3))",
    "tofile": "np.ones(3).tofile(path)",
    "memmap": "np.memmap(path, mode='w+', shape=3)",
    "memmap of a file": "np.memmap('/etc/passwd', mode='r')",
    "load": "np.load('/etc/passwd', allow_pickle=True)",
    "fromfile": "np.fromfile('/etc/hostname', dtype='u1')",
    "loadtxt": "np.loadtxt('/etc/hostname', dtype=str)",
    "genfromtxt of an address": "np.genfromtxt('http://127.0.0.1:9/x')",
    "f2py": "__import__('numpy.f2py').f2py.compile('', verbose=False)",
    "memory": "np.ones(10**9)",
}


@pytest.mark.parametrize("attack", ATTACKS)
def test_numpy_opens_no_way_out(attack: str, sandbox: Sandbox, tmp_path: Any) -> None:
    path = tmp_path / "x"
    code = f"import numpy as np\npath = {str(path)!r}\ndef run():\n    {ATTACKS[attack]}\n    return 'got through'\n"
    ((reply,),) = sandbox.replies([Calls(id=attack, code=code, name="run", arguments=((),))])
    assert reply.value != "got through"
    assert reply.error.startswith("failed: ")
    assert not path.exists()


VALUES = {
    "whole numbers": numpy.arange(6).reshape(2, 3),
    "columns first": numpy.asfortranarray(numpy.arange(6).reshape(2, 3)),
    "every second": numpy.arange(6)[::2],
    "no dimension": numpy.array(3.5),
    "empty": numpy.zeros((0, 4)),
    "flags": numpy.array([True, False]),
    "complex": numpy.array([1 + 2j]),
    "big end first": numpy.array([1, 2], dtype=">i4"),
    "texts": numpy.array(["a", "né"]),
    "days": numpy.array(["2020-01-01"], dtype="datetime64[D]"),
    "a whole number": numpy.int8(-3),
    "a flag": numpy.bool_(True),
    "a fraction": numpy.float32(0.1),
}


@pytest.mark.parametrize("value", VALUES.values(), ids=VALUES)
def test_arrays_cross(value: Any) -> None:
    sent = json.loads(json.dumps(wire.encode([value], int)))
    (got,) = wire.decode(sent, int)
    assert type(got) is type(value)
    assert got.dtype == value.dtype
    assert got.shape == value.shape
    assert got.tolist() == value.tolist()
    if got.shape:
        got[...] = got  # it is the receiver's own


class Sub(numpy.ndarray[Any, Any]):
    """An array that could claim to equal everything."""


@pytest.mark.parametrize(
    "value",
    [numpy.array([[], 1], dtype=object), numpy.zeros(2, dtype=[("a", "i4")]), numpy.ones(2).view(Sub), numpy.array],
    ids=["objects", "records", "subclass", "function"],
)
def test_other_values_stay_where_they_are(value: Any) -> None:
    assert arrays.encode(value) is None
    assert wire.encode(value, lambda _: 7) == {wire.TAG: "handle", "v": 7}


@pytest.mark.parametrize(
    "parts",
    [
        ["|O", [1], "00" * 8],
        ["i4,i4", [1], "00" * 8],
        ["(2,)i4", [1], "00" * 8],
        ["<i8", [2], "00" * 8],
        ["<i8", [-1], "00" * 8],
        ["<i8", [True], "00" * 8],
        ["<i8", ["1"], "00" * 8],
        ["<i8", [1], "zz"],
        ["no such type", [1], ""],
        ["<i8", [1]],
        "",
        None,
    ],
    ids=json.dumps,
)
def test_what_no_array_makes_is_refused(parts: Any) -> None:
    with pytest.raises(wire.WireError):
        wire.decode({wire.TAG: "numpy", "v": parts}, int)


def test_only_its_own_folders_are_readable() -> None:
    sites = packages.found()
    assert [folder.name for folder in packages.folders(sites)] == ["numpy", "numpy.libs"]
    assert not any("site-packages" in str(path) and rights & lock.READ_FILE for path, rights in lock.readable())


def test_a_package_that_is_not_installed_is_left_out(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(packages, "NAMES", ("numpy", "no_such_package"))
    assert list(packages.found()) == ["numpy"]


UNSEEN = {
    "import": "__import__('num' + 'py')",
    "importlib": "__import__('importlib').import_module('num' + 'py.linalg').linalg",
    "exec": "exec('import n' + 'umpy')",
    "caught": "try:\n        __import__('num' + 'py')\n    except BaseException: raise SystemExit(1)",
    "spec": "assert __import__('importlib.util').util.find_spec('num' + 'py') is not None",
}
"""Ways for a program to ask for numpy without naming it."""


@pytest.mark.parametrize("how", UNSEEN)
@pytest.mark.parametrize("where", ["start", "call", "tests"])
def test_a_package_asked_for_under_a_name_that_cannot_be_seen_is_there(how: str, where: str, sandbox: Sandbox) -> None:
    define = f"def load():\n    {UNSEEN[how]}\n    return 1\n"
    code, tests = ("", define) if where == "tests" else (define, "")
    code += "load()\n" if where == "start" else "def f(): pass\n"
    ((verdict),) = sandbox.run([Program(id=how, code=code, tests=f"{tests}\nassert load() == 1")])
    assert verdict.reason == ""


def test_an_array_crosses_from_a_program_that_does_not_name_its_package(sandbox: Sandbox) -> None:
    code = "def twice(a): return a * 2"
    calls = [Calls(id="a", code=code, name="twice", arguments=((numpy.arange(3),),))]
    ((reply,),) = sandbox.replies(calls)
    assert (reply.value == [0, 2, 4]).all()


def test_only_programs_that_want_a_package_run_where_it_is() -> None:
    # Each server imported numpy at its start: a third of a second each, and forks that cost more.
    seen = "import sys\ndef f(): return any(name == 'num' + 'py' for name in sys.modules)"
    plain = Program(id="plain", code=seen, tests="assert not f()")
    with open_sandbox(workers=1) as sandbox:
        (server,) = sandbox.servers  # type: ignore[attr-defined]
        assert sandbox.run([plain])[0].passed and server.second is None
        named = Program(id="named", code=seen, tests="assert f()  # numpy")
        assert [verdict.reason for verdict in sandbox.run([named, plain])] == ["", ""]
        second = server.with_packages().process
        assert second.poll() is None
    assert second.poll() is not None


@pytest.mark.parametrize("tests", ["f()", "f()  # numpy"])
def test_who_ends_as_if_a_package_were_wanted_gains_nothing(tests: str, sandbox: Sandbox) -> None:
    code = f"import os\ndef f(): os._exit({wire.EXIT_WANTS_PACKAGE})"
    (verdict,) = sandbox.run([Program(id="a", code=code, tests=tests)])
    assert verdict.reason == "candidate died"


def test_a_program_may_hold_the_same_with_a_package_and_without() -> None:
    """Asked of the kernel: what a fork server takes of the address space that its programs may hold."""
    with open_sandbox(workers=1) as sandbox:
        (server,) = sandbox.servers  # type: ignore[attr-defined]
        taken = []
        for each in (server, server.with_packages()):
            status = Path(f"/proc/{each.process.pid}/status").read_text()
            taken.append(int(next(line for line in status.splitlines() if line.startswith("VmSize")).split()[1]) << 10)
    assert abs(taken[0] - taken[1]) < 16 << 20


def test_no_program_runs_in_a_server_with_packages_that_does_not_hold(monkeypatch: pytest.MonkeyPatch) -> None:
    program = Program(id="a", code="import numpy", tests="")
    with open_sandbox(workers=1) as sandbox:
        monkeypatch.setattr(selftest, "failures", lambda _: ["read: got through"])
        for _ in range(2):  # the second time too
            with pytest.raises(KitError, match="read: got through"):
                sandbox.run([program])
        monkeypatch.undo()
        assert sandbox.run([program])[0].passed
