"""A worker's standard input: the worker itself watches it, and libraries find it empty."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

ASK = """
import kit.run.worker, os, sys, time
kit.run.worker._close_stdin(lifeline={lifeline})
try:
    print("answer", repr(input("Do you wish to run the custom code? [y/N] ")))
except EOFError:
    print("nobody")
print(repr(sys.stdin.read()), os.read(0, 9), flush=True)
time.sleep(600 if {lifeline} else 0)
"""


def start(lifeline: bool) -> "subprocess.Popen[str]":
    code = ASK.format(lifeline=lifeline)
    return subprocess.Popen([sys.executable, "-c", code], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)


@pytest.mark.parametrize("lifeline", [True, False])
def test_questions_of_a_library_get_no_answer(lifeline: bool):
    # transformers asks whether it may run a folder's code, and a `yes` that came down the pipe was an answer
    with start(lifeline) as worker:
        assert worker.stdin
        assert worker.stdout
        worker.stdin.write("yes\nyes\n")
        worker.stdin.flush()
        assert worker.stdout.readline().endswith("nobody\n")
        assert worker.stdout.readline() == "'' b''\n"
        worker.stdin.close()  # the lifeline: it ends at once
        assert worker.wait(60) == (137 if lifeline else 0)


def test_modules_are_not_imported_from_the_users_folder(tmp_path: Path):
    # `-m` puts it in front of everything else: a model's folder with a torch.py was run
    from kit.run.launch import Shape, settings
    from kit.workers import KINDS

    (tmp_path / "json.py").write_text("print('run')")
    given = settings(Shape(kind=KINDS["text"], environment="cpu", world=1), cpu=False)
    done = subprocess.run(
        [sys.executable, "-m", "kit.run.worker", "--help"],
        cwd=tmp_path,
        env=dict(os.environ) | given,
        capture_output=True,
        text=True,
        check=True,
    )
    assert done.stdout.startswith("usage: kit.run.worker")
