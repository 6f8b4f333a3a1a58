"""A process is told apart from those that get its number later, and from those of other machines."""

import os
import subprocess
import sys
from dataclasses import replace

from kit.machine.identity import own_identity, own_place, still_runs


def test_this_process_runs():
    own = own_identity()
    assert own.pid == os.getpid()
    assert own.place == own_place() != ""
    assert still_runs(own) is True


def test_another_process_with_its_number_is_not_it():
    assert still_runs(replace(own_identity(), born="1")) is False


def test_a_process_that_ended_does_not_run():
    script = "from kit.machine.identity import own_identity as i; o = i(); print(o.pid, o.born, flush=True); input()"
    command = [sys.executable, "-c", script]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as child:
        assert child.stdout is not None
        pid, born = child.stdout.readline().split()
        found = replace(own_identity(), pid=int(pid), born=born)
        assert still_runs(found) is True
        child.communicate("\n")
    assert still_runs(found) is False


def test_nobody_knows_of_another_machine():
    assert still_runs(replace(own_identity(), place="another")) is None
    assert still_runs(replace(own_identity(), place="")) is None
    assert still_runs(replace(own_identity(), born="")) is None
