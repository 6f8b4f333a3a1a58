"""Not a test: stands in for ``kit/stages/grade.py`` in a container, and does what a job must not."""

import contextlib
import json
import os
import re
import shutil
import socket
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from kit.stages import Context, Summary

VERSION = 1
HELD: list[int] = []
"""Descriptors that one job leaves to the next of its worker."""


def run(params: Mapping[str, Any], inputs: Mapping[str, Path], out: Path, context: Context) -> Summary:
    """Do the deed that the parameters name, or write one row."""
    deed = params["deed"]
    if deed == "escape":
        Path("/opt/kit/escaped").write_text("out")
    if deed == "touch an input":
        (inputs["before"] / "rows.jsonl").write_text("changed")
    if deed == "touch the store":
        Path("/store/jobs/made-up.json").write_text("{}")
    if deed == "call home":
        socket.create_connection(("192.0.2.1", 80), timeout=5)
    if deed == "eat memory":
        hoard = bytearray()
        while True:
            hoard += b"x" * (32 << 20)
    if deed == "leave a link":
        (out / "link").symlink_to("/etc/passwd")
    if deed == "read an input":
        (inputs["before"] / "rows.jsonl").read_text()
    (out / "rows.jsonl").write_text("{}\n")
    if deed in WORSE:
        WORSE[deed](out)
    return Summary(rows=1, facts={"tokens": 0})


def keep_open(out: Path) -> None:
    """Leave the next job a file and a folder that are to be committed first."""
    HELD[:] = [os.open(out / "rows.jsonl", os.O_WRONLY), os.open(out, os.O_RDONLY)]


def write_to_it(out: Path) -> None:
    """Write to what another job left open."""
    file, folder = HELD
    os.write(file, b"forged")
    with contextlib.suppress(FileNotFoundError):  # the folder is gone, not moved away
        os.write(os.open("artifact.json", os.O_CREAT | os.O_WRONLY, dir_fd=folder), b"forged")
    (out / "rows.jsonl").write_text("rewritten")


def be_a_link(out: Path) -> None:
    """Put a link where the output was."""
    shutil.rmtree(out)
    out.symlink_to("/etc")


def say(*lines: str) -> None:
    """Events by hand."""
    for line in lines:
        sys.stdout.write(f"\x1ekit {line}\n")
    sys.stdout.flush()


def say_anything(out: Path) -> None:
    """What is no event, or of no job of this worker."""
    key = json.dumps(out.name)
    say('{"event": "start", "key": "../../outside"}', '{"event": "failed", "key": "other", "reason": "sabotage"}')
    say("[" * 200_000, f'{{"event": "done", "key": {key}, "rows": {"9" * 5000}, "seconds": 1}}')
    say('{"event": "start", "key": "a\\u0000b"}', f'{{"event": "failed", "key": {key}}}')
    say(f'{{"event": "computed", "key": {key}, "rows": "many", "facts": [], "provenance": 1}}')
    say(f'{{"event": "progress", "key": {key}, "done": NaN, "total": 0, "tokens": 0}}')


def say_done(out: Path) -> None:
    """Claim it, and leave."""
    say(json.dumps({"event": "done", "key": out.name, "rows": 1, "seconds": 1.0}))
    os._exit(0)


def feed_a_child(out: Path) -> None:
    """A child that is killed for memory; this process lives."""
    subprocess.run([sys.executable, "-c", "b = bytearray(2 << 30); b[::4096] = b'x' * len(b[::4096])"], check=False)


def hold_the_interpreter(out: Path) -> None:
    """One match that takes for ever, and lets no other thread run."""
    print("matching", flush=True)
    re.match(r"(a+)+$", "a" * 60 + "b")


WORSE = {
    "keep a file open": keep_open,
    "write to it now": write_to_it,
    "leave a hard link": lambda out: os.link(out / "rows.jsonl", out.parent / "spare"),
    "leave a pipe": lambda out: os.mkfifo(out / "pipe"),
    "be a link": be_a_link,
    "say anything": say_anything,
    "say done": say_done,
    "have a child eat memory": feed_a_child,
    "hold the interpreter": hold_the_interpreter,
}
