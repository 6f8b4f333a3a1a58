"""Not a test: stands in for ``kit/stages/grade.py`` in a container, and does what a job must not."""

import socket
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from kit.stages import Context, Summary

VERSION = 1


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
    (out / "rows.jsonl").write_text("{}\n")
    return Summary(rows=1, facts={"tokens": 0})
