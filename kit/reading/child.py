"""A process of its own for reading that may take all time and memory there is: a JSON line in, a JSON line out.

Completions, answers in mathematics and chat templates are read so. The script sets its limits itself, and the kernel
ends the process where a text exceeds them: then there is no answer, and the exit code says why.
"""

import contextlib
import json
import subprocess
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any


class Child:
    """A running Python script that answers each JSON line on its stdin with one on its stdout."""

    def __init__(
        self,
        script: Path,
        *,
        flags: Sequence[str] = ("-P", "-s", "-B"),
        environment: Mapping[str, str] | None = None,
        quiet: bool = False,
    ) -> None:
        """Start the script, with pipes for its messages and answers.

        Args:
            script: its file.
            flags: options of Python; by default no folder of the user's is searched for modules, and no file is
                written.
            environment: variables beside ``PYTHONHASHSEED``, which is 0, so that hashes, and with them the order of
                sets, are the same in every run; by default there are no others.
            quiet: whether nobody sees what it prints on stderr; otherwise :meth:`last_error` reads it, and a script
                that prints much waits for ever.
        """
        self.process = subprocess.Popen(
            [sys.executable, *flags, str(script)],
            env={**(environment or {}), "PYTHONHASHSEED": "0"},
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL if quiet else subprocess.PIPE,
        )

    def send(self, message: Mapping[str, Any]) -> None:
        r"""Send a message; a process that has ended shows by the answer that it does not give.

        Halves of a surrogate pair stay halves, where JSON's ``\ud83d\ude00`` would join them.
        """
        assert self.process.stdin
        with contextlib.suppress(BrokenPipeError):
            self.process.stdin.write(json.dumps(message, ensure_ascii=False).encode("utf-8", "surrogatepass") + b"\n")
            self.process.stdin.flush()

    def receive(self) -> dict[str, Any] | None:
        """Return the next message of the process; None where it has ended."""
        assert self.process.stdout
        line = self.process.stdout.readline()
        return json.loads(line) if line.endswith(b"\n") else None

    def ask(self, message: Mapping[str, Any]) -> dict[str, Any] | None:
        """Send a message and return the answer; None where the process has ended."""
        self.send(message)
        return self.receive()

    def last_error(self) -> str:
        """Return the last line that a process which has ended printed on stderr."""
        assert self.process.stderr
        lines = self.process.stderr.read().decode("utf-8", "replace").strip().splitlines()
        return lines[-1] if lines else "no message"

    def end(self) -> int:
        """Close the script's stdin, at which it ends, and return its exit code; below 0 a signal ended it."""
        with self.process as process:
            assert process.stdin
            with contextlib.suppress(BrokenPipeError):  # of a message that it has not read
                process.stdin.close()
            return process.wait()

    def kill(self) -> int:
        """End the script at once, whatever it is busy with, and return its exit code."""
        self.process.kill()
        return self.end()
