"""The process that calls one model-written function on all of its inputs and says what came back.

It knows the code and the inputs, and nothing of what is expected: values are compared by the kit, in its own process.
Each call is made as the first one. The source is executed anew in an empty namespace, the input is read anew from its
text, and random numbers start alike, so that what one call left behind in the function's own names is gone in the next.
"""

import json
import os
import sys
import time
from typing import Any

from kit.sandbox import exceptions, packages, plain, wire


def run(codes: int, replies: int) -> None:
    """Read the job and write one line for loading the source, one for each call, and one for the end.

    Args:
        codes: where the job comes from.
        replies: where the lines go. The function inherits it: a line is what a function says, never a verdict.
    """
    job = wire.receive(codes)
    os.close(codes)
    lines = Lines(replies, job["token"])
    try:
        code = compile(job["code"], "<function>", "exec", dont_inherit=True)
        exec(code, {})
    except BaseException as error:
        lines.write(json.dumps({"error": exceptions.name_of(error)}))
        return
    lines.write("true")
    draws = "random" in job["code"]  # starting random numbers anew takes longer than a call
    for number in job["order"]:
        lines.write(_answer(code, job["name"], job["inputs"][number], draws=draws))
    lines.write("end")


def _answer(code: Any, name: str, argument: str, *, draws: bool) -> str:
    """Return the text of what one call gives: a value, or the name of an error."""
    try:
        if draws:
            packages.seed(sys.modules)
        namespace: dict[str, Any] = {}
        exec(code, namespace)
        if name not in namespace:
            raise NameError(name)
        return plain.text_of(namespace[name](json.loads(argument)))
    except BaseException as error:
        return json.dumps({"error": exceptions.name_of(error)})


class Lines:
    """Numbered lines on a pipe, each with the job's token and the CPU nanoseconds of this process so far."""

    def __init__(self, fd: int, token: str) -> None:
        self.fd = fd
        self.token = token
        self.count = 0

    def write(self, text: str) -> None:
        """Write one line, all of it, with its number."""
        data = memoryview(f"{self.token} {self.count} {time.process_time_ns()} {text}\n".encode())
        self.count += 1
        while data:
            data = data[os.write(self.fd, data) :]
