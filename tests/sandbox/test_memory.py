"""All that programs may hold at a time fits into what the kit is held to."""

import contextlib
import json
import os
import resource
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from kit import containers
from kit.errors import RequestError
from kit.machine import cgroups
from kit.sandbox import Program, Sandbox, client, lock, open_sandbox, pool

GIB = 1 << 30
FILLING = {
    "in blocks": "held = []\ndef f(n):\n    while len(held) < 800: held.append(bytes(range(256)) * 4096)\n"
    "    return ['x' * (1 << 20)] * n",
    "one text": "def f(n):\n    global held\n    held = bytearray(b'x') * (800 << 20)\n    return 'x' * (20 << 20)",
    "pages of a map": "import ctypes\nlibc = ctypes.CDLL(None)\nlibc.malloc.restype = ctypes.c_void_p\nheld = []\n"
    "def f(n):\n    while len(held) < 50:\n        held.append(libc.malloc(ctypes.c_size_t(16 << 20)))\n"
    "        ctypes.memset(held[-1], 1, 16 << 20)\n    return [1.5] * 10**6",
}
"""Candidates that hold nearly all they may, and reply so that their tester does too."""
KEEPING = "kept = []\nwhile True: kept.append(f(8)); kept.append(bytes(range(256)) * 4096 * 32)"
"""Tests that keep what they are given, and take more until there is none."""
HELD = """
import json, sys
sys.path.insert(0, {root!r})
from kit.machine import cgroups
from kit.sandbox import Program, open_sandbox
programs = [Program(id=str(n), code=code, tests={tests!r}, cpu_s=20) for code in {codes!r} for n in range(4)]
with open_sandbox() as sandbox:
    reasons = [verdict.reason for verdict in sandbox.run(programs)]
    print(json.dumps([sandbox.workers, cgroups.memory_kills(), reasons]))
"""


def test_the_parts_of_a_program_fill_what_is_kept_for_it() -> None:
    # Candidate and tester could hold 1 GiB each where one was reckoned for both.
    assert lock.MEMORY_BYTES + lock.TESTER_BYTES + lock.BESIDE_BYTES <= cgroups.PROGRAM_BYTES


@pytest.mark.parametrize("cores", [1, 2, 3, 16, 64])
def test_a_container_holds_what_its_programs_may(cores: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(containers, "memory_bytes", lambda: 512 * GIB)
    cap = int(containers.memory_cap(cores).removesuffix("g")) * GIB
    assert cgroups.programs_within(cap) >= cores
    assert cap >= cgroups.KIT_BYTES + cores * (lock.MEMORY_BYTES + lock.TESTER_BYTES + lock.BESIDE_BYTES)


@pytest.mark.parametrize(
    ("wanted", "limit_gib", "free_gib", "programs"),
    [
        (2, None, None, 2),
        (2, 4, None, 2),
        (2, 3.9, None, 1),
        (8, 4, 64, 2),
        (8, 4, 3, 1),
        (8, None, 7, 4),
        (8, 64, 64, 8),
        (1, 2.5, 0.1, 1),
    ],
)
def test_no_more_programs_than_fit(wanted: int, limit_gib: float | None, free_gib: float | None, programs: int) -> None:
    limit, free = (None if gib is None else int(gib * GIB) for gib in (limit_gib, free_gib))
    assert pool.parallel_programs(wanted, limit, free) == programs


@pytest.mark.parametrize("limit_gib", [0.25, 1, 2.4])
def test_where_not_one_fits_the_sandbox_says_so(limit_gib: float, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(pool, "memory_limit", lambda: int(limit_gib * GIB))
    with pytest.raises(RequestError) as caught:
        open_sandbox(workers=1)
    assert str(caught.value) == (
        "the sandbox needs 2.5 GiB of memory, so that a program may fill what it is allowed; the control group of this "
        f"process is held to {limit_gib:.1f} GiB. Give its container or service more, as with podman's or docker's "
        "--memory=3g"
    )


def test_a_group_is_held_to_what_those_above_it_are(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    # A service in a slice that is held to 2 GiB was taken for one that is held to nothing.
    for folder, text in (("a", "2147483648"), ("a/b", "max"), ("a/b/c", "8589934592")):
        (tmp_path / folder).mkdir()
        (tmp_path / folder / "memory.max").write_text(f"{text}\n")
    real = cgroups._read
    monkeypatch.setattr(cgroups, "CGROUPS", tmp_path)
    monkeypatch.setattr(
        cgroups, "_read", lambda path: "0::/a/b/c\n" if str(path) == "/proc/self/cgroup" else real(path)
    )
    assert cgroups.memory_limit() == 2 << 30


def test_free_memory_is_what_the_kernel_says() -> None:
    total = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
    assert 0 < (cgroups.free_memory() or 0) <= total


def test_the_processes_of_a_program_have_these_limits() -> None:
    """Asked of the kernel while a program runs: address space of candidate and tester."""
    seen: dict[str, int] = {}

    class Seen(client.Watch):
        def __init__(self, **options: object) -> None:
            super().__init__(**options)  # type: ignore[arg-type]
            deadline = time.monotonic() + 60
            while time.monotonic() < deadline:  # they lower them as soon as they run
                for name, pid in zip(("candidate", "tester"), self.pids, strict=True):
                    seen[name] = resource.prlimit(pid, resource.RLIMIT_AS)[1]
                if seen == {"candidate": lock.MEMORY_BYTES, "tester": lock.TESTER_BYTES}:
                    break

    with open_sandbox(workers=1) as sandbox, pytest.MonkeyPatch.context() as patch:
        patch.setattr(client, "Watch", Seen)
        code = "import time\ndef f(): time.sleep(0.5)"
        assert sandbox.run([Program(id="f", code=code, tests="f()", names=("f",), cpu_s=60)])[0].passed
    assert seen == {"candidate": lock.MEMORY_BYTES, "tester": lock.TESTER_BYTES}


def test_no_program_passes_through_the_fork_server(sandbox: Sandbox) -> None:
    """Its memory stays what it was, whatever passes: 31 MiB of code, of tests and of replies."""

    def held() -> int:
        status = Path(f"/proc/{sandbox.servers[0].process.pid}/status").read_text()  # type: ignore[attr-defined]
        return int(next(line for line in status.splitlines() if line.startswith("VmHWM")).split()[1]) << 10

    before = held()
    large = "# " + "x" * (31 << 20)
    programs = [
        Program(id="code", code=f"def f(): return 1\n{large}", tests="assert f() == 1", cpu_s=60),
        Program(id="tests", code="def f(): return 1", tests=f"assert f() == 1\n{large}", cpu_s=60),
        Program(id="reply", code="def f(): return 'x' * (31 << 20)", tests="assert len(f()) == 31 << 20", cpu_s=60),
    ]
    assert [verdict.reason for verdict in sandbox.run(programs * 2)] == [""] * 6
    assert held() - before < lock.BESIDE_BYTES // 8


@contextlib.contextmanager
def memory_group(limit: int) -> Iterator[Path]:
    """A control group of ours that is held to so much memory; skips where none can be made."""
    own = next((line.split(":", 2)[2] for line in Path("/proc/self/cgroup").read_text().splitlines()
                if line.split(":", 2)[1] == "memory"), None)  # fmt: skip
    if own is None:
        pytest.skip("no control groups of the first version, which take a process without any setting up")
    folder = cgroups.CGROUPS / "memory" / own.lstrip("/") / f"kit-test-{os.getpid()}"
    try:
        folder.mkdir()
    except OSError as error:
        pytest.skip(f"no control group can be made here: {error}")
    try:
        (folder / "memory.limit_in_bytes").write_text(str(limit))
        yield folder
    finally:
        folder.rmdir()


@pytest.mark.slow
@pytest.mark.timeout(3600)
@pytest.mark.parametrize(("limit_gib", "workers"), [(4, 2), (2.5, 1)])
def test_programs_that_fill_both_sides_stay_within_their_group(limit_gib: float, workers: int) -> None:
    # Two of them on two cores reached 4,014 of 4,096 MiB: with a larger kit the kernel would have killed one.
    root = str(Path(pool.__file__).parents[2])
    code = HELD.format(root=root, tests=KEEPING, codes=list(FILLING.values()))
    limit = int(limit_gib * GIB)
    with memory_group(limit) as folder:
        join = f'echo $$ > {folder / "cgroup.procs"} && exec "$@"'
        words = ["sh", "-c", join, "sh", sys.executable, "-c", code]
        done = subprocess.run(words, capture_output=True, text=True, check=False)
        peak = int((folder / "memory.max_usage_in_bytes").read_text())
        failures = int((folder / "memory.failcnt").read_text())
    assert done.returncode == 0, done.stderr
    found, kills, reasons = json.loads(done.stdout)
    print(f"peak {peak >> 20} of {limit >> 20} MiB, {found} at a time")
    assert (found, kills, failures) == (min(workers, len(os.sched_getaffinity(0))), 0, 0)
    assert set(reasons) == {"failed: MemoryError"}
    assert found * lock.MEMORY_BYTES < peak < limit - cgroups.KIT_BYTES // 2
