"""CPU time and peak memory: read off files as the kernel writes them, and off real processes."""

import os
import subprocess
import sys
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from kit.run import measuring
from kit.run.measuring import Measurement, Times, cpu_seconds, peak_bytes, tree

TREE = {1: (0, "(init)"), 10: (1, "(worker)"), 11: (10, "(a b) c)"), 12: (11, "(child)"), 20: (1, "(other)")}
"""Id -> parent and name, which may hold blanks and brackets."""


@pytest.fixture
def proc(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Return a folder as the kernel's ``/proc``, in which each process took 1.5 s, a third of it by ended children."""
    monkeypatch.setattr(measuring, "PROC", tmp_path)
    monkeypatch.setattr(measuring, "TICKS", 100)
    for pid, (parent, name) in TREE.items():
        write(tmp_path, pid, parent, name, (60, 40, 30, 20))
    (tmp_path / "self").mkdir()
    (tmp_path / "self" / "clear_refs").write_text("")
    (tmp_path / "meminfo").write_text("")
    return tmp_path


def write(proc: Path, pid: int, parent: int, name: str, ticks: tuple[int, int, int, int], peak_kb: int = 1024) -> None:
    """Write the files of one process: user, system, and the same of ended children, in ticks."""
    (proc / str(pid)).mkdir(exist_ok=True)
    fields = [pid, name, "S", parent, pid, pid, 0, -1, 4194560, 0, 0, 0, 0, *ticks, 20, 0, 1, 0]
    (proc / str(pid) / "stat").write_text(" ".join(map(str, fields)))
    (proc / str(pid) / "status").write_text(f"Name:\tx\nVmPeak:\t9 kB\nVmHWM:\t{peak_kb:8} kB\nVmRSS:\t1 kB\n")


@pytest.mark.parametrize(
    ("root", "below"), [(10, [10, 11, 12]), (12, [12]), (1, [1, 10, 11, 12, 20]), (99, [])], ids=str
)
def test_the_tree_of_a_process(root: int, below: list[int], proc: Path):
    found = tree(root)
    assert sorted(found) == below
    assert cpu_seconds(found) == (pytest.approx(1.5 * len(below)) if below else None)


def test_a_process_that_goes_away_is_not_in_the_tree(proc: Path):
    (proc / "11" / "stat").unlink()
    assert tree(10) == {10: Times(parent=1, cpu_s=1.5)}


def test_a_job_is_measured_from_its_begin_to_its_end(proc: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(os, "getpid", lambda: 10)
    monkeypatch.setitem(sys.modules, "torch", None)
    begun = Measurement.begin()
    assert (proc / "self" / "clear_refs").read_text() == "5"
    write(proc, 10, 1, "(worker)", (160, 40, 250, 20), peak_kb=2048)  # 1 s, and 2.2 s of children that ended
    (proc / "12" / "stat").unlink()  # one of those: its 1.5 s stand in them
    write(proc, 13, 10, "(new)", (25, 0, 0, 0), peak_kb=512)
    found = begun.end()
    # 4.7 s of the worker, 1.5 s of its child and 0.25 s of a new one, less the 4.5 s before
    assert found["cpu_s"] == 1.95
    memory = found["memory"]
    assert (memory["worker_peak_bytes"], memory["worker_peak_since"]) == (2 << 20, "job")
    assert memory["others_peak_bytes"] == (1 << 20) + (512 << 10)
    assert memory["gpu_peak_bytes"] is None


def test_the_ranks_of_a_job_are_measured_together(proc: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(os, "getppid", lambda: 10)
    assert Measurement.begin(world=2).root == 10


def test_where_the_kernel_tells_nothing_nothing_is_recorded(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(measuring, "PROC", tmp_path / "none")
    found = Measurement.begin().end()
    assert found["cpu_s"] is None
    assert (found["memory"]["worker_peak_bytes"], found["memory"]["worker_peak_since"]) == (None, "process")


def test_the_most_that_torch_allocated_on_one_gpu(proc: Path, monkeypatch: pytest.MonkeyPatch):
    reset: list[int] = []
    cuda = SimpleNamespace(
        is_available=lambda: True,
        is_initialized=lambda: True,
        device_count=lambda: 2,
        reset_peak_memory_stats=reset.append,
        max_memory_allocated=lambda device: (3 << 20, 7 << 20)[device],
    )
    monkeypatch.setitem(sys.modules, "torch", SimpleNamespace(cuda=cuda))
    begun = Measurement.begin()
    assert reset == [0, 1]
    assert begun.end()["memory"]["gpu_peak_bytes"] == 7 << 20
    cuda.is_initialized = lambda: False  # nothing is started to find out
    assert Measurement.begin().end()["memory"]["gpu_peak_bytes"] is None


BURN = "import time\nwhile time.process_time() < 0.3: pass"
"""A program that ends after 0.3 s of CPU time, however busy the machine is."""


def test_a_real_childs_time_and_this_processs_memory_count():
    begun = Measurement.begin()
    subprocess.run([sys.executable, "-c", BURN], check=True)
    block = bytearray(96 << 20)
    block[::4096] = b"x" * len(block[::4096])
    del block
    found: dict[str, Any] = begun.end()
    assert found["cpu_s"] >= 0.25  # the kernel counts in hundredths, and cuts each of its counts
    assert found["memory"]["worker_peak_bytes"] >= 96 << 20  # it is no longer resident
    assert found["memory"]["worker_peak_bytes"] <= (peak_bytes(os.getpid()) or 0) + (1 << 20)
    assert found["memory"]["ended_child_peak_bytes"] > 1 << 20
