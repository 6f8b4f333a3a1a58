"""Not a test: replaces ``kit/stages/grade.py`` in a container, and tries things that a job must not do."""

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
WORKER = "sandbox"
OPEN: list[int] = []
"""Descriptors that one job leaves open for the next job of its worker."""


def run(params: Mapping[str, Any], inputs: Mapping[str, Path], out: Path, context: Context) -> Summary:
    """Do the action that the parameters name, or write one row."""
    action = params["action"]
    if action == "write into the code":
        Path("/opt/kit/escaped").write_text("out")
    if action == "touch an input":
        (inputs["before"] / "rows.jsonl").write_text("changed")
    if action == "touch the store":
        Path("/store/jobs/made-up.json").write_text("{}")
    if action == "open a connection":
        socket.create_connection(("192.0.2.1", 80), timeout=5)
    if action == "fill the memory":
        data = bytearray()
        while True:
            data += b"x" * (32 << 20)
    if action == "leave a link":
        (out / "link").symlink_to("/etc/passwd")
    if action == "read an input":
        (inputs["before"] / "rows.jsonl").read_text()
    (out / "rows.jsonl").write_text("{}\n")
    if action in AFTER_OUTPUT:
        AFTER_OUTPUT[action](out)
    return Summary(rows=1, facts={"tokens": 0})


def keep_open(out: Path) -> None:
    """Keep a file and a folder open for the next job; they are committed before it runs."""
    OPEN[:] = [os.open(out / "rows.jsonl", os.O_WRONLY), os.open(out, os.O_RDONLY)]


def write_to_open_file(out: Path) -> None:
    """Write to the file and folder that another job left open."""
    file, folder = OPEN
    os.write(file, b"forged")
    with contextlib.suppress(FileNotFoundError):  # the folder is gone, not moved away
        os.write(os.open("artifact.json", os.O_CREAT | os.O_WRONLY, dir_fd=folder), b"forged")
    (out / "rows.jsonl").write_text("rewritten")


def replace_by_link(out: Path) -> None:
    """Replace the output folder by a link."""
    shutil.rmtree(out)
    out.symlink_to("/etc")


def send(*lines: str) -> None:
    """Write lines to standard output that are marked as events."""
    for line in lines:
        sys.stdout.write(f"\x1ekit {line}\n")
    sys.stdout.flush()


def send_invalid_events(out: Path) -> None:
    """Send events that are malformed, or that name a job of another worker."""
    key = json.dumps(out.name)
    send('{"event": "start", "key": "../../outside"}', '{"event": "failed", "key": "other", "reason": "sabotage"}')
    send("[" * 200_000, f'{{"event": "done", "key": {key}, "rows": {"9" * 5000}, "seconds": 1}}')
    send('{"event": "start", "key": "a\\u0000b"}', f'{{"event": "failed", "key": {key}}}')
    send(f'{{"event": "computed", "key": {key}, "rows": "many", "facts": [], "provenance": 1}}')
    send(f'{{"event": "progress", "key": {key}, "done": NaN, "total": 0, "tokens": 0}}')


def send_done(out: Path) -> None:
    """Send the event ``done`` without an artifact, and exit."""
    send(json.dumps({"event": "done", "key": out.name, "rows": 1, "seconds": 1.0}))
    os._exit(0)


def start_large_child(out: Path) -> None:
    """Start a child that the kernel kills for memory, while this process lives."""
    subprocess.run([sys.executable, "-c", "b = bytearray(2 << 30); b[::4096] = b'x' * len(b[::4096])"], check=False)


def hold_the_interpreter(out: Path) -> None:
    """Start a match that never ends, and that lets no other thread run."""
    print("matching", flush=True)
    re.match(r"(a+)+$", "a" * 60 + "b")


AFTER_OUTPUT = {
    "keep a file open": keep_open,
    "write to the open file": write_to_open_file,
    "leave a hard link": lambda out: os.link(out / "rows.jsonl", out.parent / "spare"),
    "leave a pipe": lambda out: os.mkfifo(out / "pipe"),
    "become a link": replace_by_link,
    "send invalid events": send_invalid_events,
    "send done": send_done,
    "fill the memory in a child": start_large_child,
    "hold the interpreter": hold_the_interpreter,
}
