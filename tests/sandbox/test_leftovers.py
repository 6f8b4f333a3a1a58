"""Nothing of an earlier program is left in the memory that a later one has."""

import pytest

from kit.sandbox import Calls, Function, Program, Sandbox, open_sandbox

SCAN = '''
import ctypes, os, re

libc = ctypes.CDLL(None)
libc.sbrk.restype = ctypes.c_void_p
PATTERN = re.compile(rb"M[A]RKED-\\d{9}")  # it does not match itself
CHUNK = 1 << 16

def pages(start, end, pipe):
    """What can be read from so many addresses: a write from one that is not mapped fails, and does no harm."""
    read_end, write_end = pipe
    while start < end:
        size = min(CHUNK, end - start)
        written = libc.write(write_end, ctypes.c_void_p(start), ctypes.c_size_t(size))
        if written <= 0:
            start = (start & ~0xFFF) + 0x1000
            continue
        yield os.read(read_end, written)
        start += written

def in_memory():
    """The first mark in the heap, and in what lies around Python's objects, the libraries and the stack."""
    pipe = os.pipe()
    top = libc.sbrk(0)
    around = [id(object()), id([]), id(bytes(600)), id(os), ctypes.cast(libc.write, ctypes.c_void_p).value,
              ctypes.addressof(ctypes.create_string_buffer(1 << 20))]
    ranges = [(top - (96 << 20), top)] + [(place - (48 << 20), place + (48 << 20)) for place in around]
    tail = b""
    for start, end in ranges:
        for data in pages(max(start, 0x10000) & ~0xFFF, end, pipe):
            if found := PATTERN.search(tail + data):
                return found[0].decode()
            tail = data[-32:]
    return ""

def in_new_memory():
    """The first mark in memory that is given out without being emptied first."""
    for size in [32, 64, 200, 512, 1000, 4000, 10_000, 70_000, 1 << 20, 5 << 20]:
        libc.malloc.restype = ctypes.c_void_p
        for _ in range(64):
            place = libc.malloc(ctypes.c_size_t(size))
            if found := PATTERN.search(ctypes.string_at(place, size)):
                return found[0].decode()
    return ""

def in_numpy():
    import numpy
    for size in [8, 100, 1000, 10_000, 1 << 20]:
        for _ in range(32):
            if found := PATTERN.search(numpy.empty(size, numpy.uint8).tobytes()):
                return found[0].decode()
    return ""

def in_objects():
    """The first mark in anything that the collector knows, or that a frame holds."""
    import gc, sys
    found, frame = list(gc.get_objects()), sys._getframe()
    while frame:
        found += [*frame.f_locals.values()]
        frame = frame.f_back
    for value in found:
        if type(value) in (dict, list, tuple, set):
            value = [*value, *(value.values() if type(value) is dict else ())]
            for item in value:
                if type(item) in (str, bytes, bytearray):
                    text = item.encode("utf-8", "replace") if type(item) is str else bytes(item)
                    if match := PATTERN.search(text):
                        return match[0].decode()
    return ""
'''
WAYS = ("in_memory", "in_new_memory", "in_numpy", "in_objects")
OWN = SCAN + "\nown = ['MARKED-' + str(10**8 + 7)]\n"


def mark(number: int) -> str:
    return f"MARKED-{10**8 + number}"


def fill(sandbox: Sandbox) -> None:
    """Run programs whose code, tests, setup, names, arguments and replies hold marks; some pass and some die."""
    programs = [
        Program(
            id=f"{kind} {size}",
            code=f"text = '{mark(1)}' * {size}\n# {mark(2) * size}\ndef f(x): return x + text",
            tests=f"x = '{mark(4)}' * {size}\nassert (f(x) == x + '{mark(1)}' * {size}) is {kind == 'right'}",
            setup=f"expected = '{mark(5)}' * {size}",
        )
        for size in (1, 9, 300, 4000, 100_000)
        for kind in ("right", "wrong")
    ]
    programs.append(Program(id="dies", code=f"import os\ntext = '{mark(6)}' * 999\nos._exit(0)", tests=mark(7) * 999))
    sandbox.run(programs)
    code = "def f(x, n): return x * n"
    arguments = tuple((mark(8), n) for n in (1, 20, 500, 10_000, 200_000))
    sandbox.replies([Calls(id="calls", code=code, name="f", arguments=arguments)] * 2)
    inputs = tuple(mark(9) * n for n in (1, 20, 500, 10_000))
    sandbox.call_functions([Function(id="f", code=f"# {mark(3)}\ndef f(x): return x", name="f", inputs=inputs)])


@pytest.fixture(scope="module", params=[1, 2], ids=["tier1", "tier2"])
def used(request: pytest.FixtureRequest) -> Sandbox:  # type: ignore[misc]
    """One fork server that has run programs full of marks."""
    with open_sandbox(workers=1, force_tier=request.param) as sandbox:
        server = sandbox.servers[0].process.pid  # type: ignore[attr-defined]
        fill(sandbox)
        assert sandbox.servers[0].process.pid == server  # type: ignore[attr-defined]
        yield sandbox


@pytest.mark.parametrize("way", WAYS)
def test_a_later_program_finds_nothing_of_earlier_ones(way: str, used: Sandbox) -> None:
    # The fork server read code and replies; what it had freed, each later program inherited.
    (reply,) = used.replies([Calls(id=way, code=SCAN, name=way, arguments=((),), cpu_s=60)])[0]
    assert (reply.value, reply.error) == ("", "")


@pytest.mark.parametrize("way", ["in_memory", "in_objects"])
def test_control_finds_a_mark_of_its_own(way: str, used: Sandbox) -> None:
    (reply,) = used.replies([Calls(id=way, code=OWN, name=way, arguments=((),), cpu_s=60)])[0]
    assert (reply.value, reply.error) == (mark(7), "")


def test_control_finds_what_was_freed(used: Sandbox) -> None:
    code = SCAN + (
        "\ndef freed():\n    place = libc.malloc(ctypes.c_size_t(1000))\n    libc.free.argtypes = [ctypes.c_void_p]\n"
        "    ctypes.memmove(place + 64, ('MARKED-' + str(10**8 + 7)).encode(), 16)\n    libc.free(place)\n"
        "    return in_new_memory() or in_memory()\nlibc.malloc.restype = ctypes.c_void_p\n"
    )
    (reply,) = used.replies([Calls(id="freed", code=code, name="freed", arguments=((),), cpu_s=60)])[0]
    assert (reply.value, reply.error) == (mark(7), "")


def test_what_is_left_unread_is_no_other_programs(used: Sandbox) -> None:
    # A program ends before its tester has read the tests: the next one's must not begin with them.
    long = "def f(x): return x\n" + "#" * (1 << 20)
    first = Program(id="a", code="while True: pass", tests="assert f(1) == 2\n" + "#" * (1 << 20), cpu_s=0.1)
    after = Program(id="b", code=long, tests="assert f(1) == 1")
    verdicts = used.run([first, after, after])
    assert [verdict.passed for verdict in verdicts] == [False, True, True]
