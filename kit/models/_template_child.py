"""The process that renders chat templates: a chat a line in, its text or the reason why there is none a line out.

:mod:`kit.models.templates` starts it as a script of its own, because a template is a program that somebody else wrote:
it may loop for ever, also inside one C call that no signal handler interrupts, and want all the memory there is. The
kernel ends the one and refuses the other.

The environment is transformers' (``transformers.utils.chat_template_utils``), which takes a second to import where this
one takes a tenth: jinja2's immutable sandbox, blocks trimmed, ``break`` and ``continue``, ``{% generation %}``, a
``tojson`` that leaves letters as they are, ``raise_exception`` and ``strftime_now``, which tells one day here.
"""

import json
import os
import resource
import signal
import time
from collections.abc import Callable
from datetime import date
from typing import Any

import jinja2
import jinja2.ext
from jinja2.sandbox import ImmutableSandboxedEnvironment

ADDRESS_SPACE_BYTES = 1 << 30
DATE = date(2024, 7, 26)
"""Date that a template is told if it asks for today: the day that Llama's templates name where they know no other."""
FILENAME = "<template>"
"""Name that jinja2 gives to a template that came as a text."""


class Refusal(jinja2.TemplateError):
    """Error that a template raises itself with ``raise_exception``."""


class TooLongError(Exception):
    """The text is longer than was asked for."""


class Generation(jinja2.ext.Extension):
    """``{% generation %}`` around what the model is to say: rendered as it stands, in a scope of its own."""

    tags = {"generation"}  # noqa: RUF012 - jinja2's own name and type

    def parse(self, parser: Any) -> Any:
        """Take the block for a call with a body."""
        line = next(parser.stream).lineno
        body = parser.parse_statements(("name:endgeneration",), drop_needle=True)
        return jinja2.nodes.CallBlock(self.call_method("_rendered_body"), [], [], body).set_lineno(line)

    def _rendered_body(self, caller: Callable[[], str]) -> str:
        return caller()


def environment() -> jinja2.Environment:
    """Return the environment that templates are compiled in."""
    made = ImmutableSandboxedEnvironment(
        trim_blocks=True, lstrip_blocks=True, extensions=[Generation, jinja2.ext.loopcontrols]
    )
    made.filters["tojson"] = _json
    made.globals["raise_exception"] = _refuse
    made.globals["strftime_now"] = DATE.strftime
    return made


def _json(
    value: Any, ensure_ascii: bool = False, indent: Any = None, separators: Any = None, sort_keys: bool = False
) -> str:
    """JSON in which no letter is escaped for HTML, as jinja2's own filter does."""
    return json.dumps(value, ensure_ascii=ensure_ascii, indent=indent, separators=separators, sort_keys=sort_keys)


def _refuse(message: Any) -> None:
    raise Refusal(str(message))


def lock() -> None:
    """Give up what rendering never needs: files to write, core dumps, more memory than the limit."""
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    resource.setrlimit(resource.RLIMIT_FSIZE, (0, 0))
    resource.setrlimit(resource.RLIMIT_AS, (ADDRESS_SPACE_BYTES, ADDRESS_SPACE_BYTES))
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # a key pressed in the terminal is its parent's business


def limit_cpu(seconds: int) -> None:
    """Have the kernel end this process when it has used that many CPU seconds from now, at most one more."""
    _, hard = resource.getrlimit(resource.RLIMIT_CPU)
    resource.setrlimit(resource.RLIMIT_CPU, (int(time.process_time()) + 1 + seconds, hard))


def rendered(template: jinja2.Template, context: dict[str, Any], most: int) -> str:
    """Return the text of a chat.

    Raises:
        TooLongError: it is longer than ``most`` characters.
    """
    parts, length = [], 0
    for part in template.generate(**context):
        length += len(part)
        if length > most:
            raise TooLongError
        parts.append(part)
    return "".join(parts)


def reason(error: BaseException) -> dict[str, Any]:
    """Return what went wrong: the error's kind, its message, and the template's line where jinja2 knows it."""
    line = error.lineno if isinstance(error, jinja2.TemplateSyntaxError) else None
    trace = error.__traceback__
    while trace is not None and not isinstance(error, jinja2.TemplateSyntaxError):
        if trace.tb_frame.f_code.co_filename == FILENAME:
            line = trace.tb_lineno
        trace = trace.tb_next
    known = (Refusal, TooLongError, MemoryError, RecursionError, jinja2.TemplateSyntaxError)
    kind = next((one.__name__ for one in known if isinstance(error, one)), type(error).__name__)
    return {"kind": kind, "message": str(error)[:2000], "line": line}


def main() -> None:
    """Answer each line of stdin with ``{"text"}`` or ``{"error"}`` until stdin ends."""
    lock()
    words = os.fdopen(os.dup(1), "w", encoding="utf-8", errors="surrogatepass")
    os.dup2(2, 1)  # nothing that a library prints gets among the answers
    asked = os.fdopen(os.dup(0), "r", encoding="utf-8", errors="surrogatepass")
    made, template = environment(), None
    print(json.dumps({"ready": True}), file=words, flush=True)
    for line in asked:
        answer: dict[str, Any]
        try:
            request = json.loads(line)
            limit_cpu(request["cpu_s"])
            if "template" in request:
                template = made.from_string(request["template"])
            assert template is not None
            answer = {"text": rendered(template, request["context"], request["most"])}
        except Exception as error:  # whatever a template's expressions raise
            answer = {"error": reason(error)}
        print(json.dumps(answer, ensure_ascii=False), file=words, flush=True)


if __name__ == "__main__":
    main()
