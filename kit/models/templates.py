"""Chat templates, which are programs that came with a model: found, tried out, and run within limits.

What is promised for one chat: a template takes :data:`CPU_S` seconds of CPU time, 1 GiB of memory and some multiple of
the chat's own length at most, whatever it does; it opens no file and no connection, because jinja2's sandbox gives it
neither and the process that runs it may write none; and each of its errors is one sentence. Time is the processor's, so
a busy machine refuses nothing. The process is started with the first chat and serves all that follow: a chat costs two
tenths of a millisecond, a start one of a second.
"""

import signal
import weakref
from collections.abc import Mapping, Sequence
from pathlib import Path
from types import TracebackType
from typing import Any

from kit.errors import KitError, RequestError
from kit.models.files import read_json
from kit.reading.child import Child
from kit.reading.jsonlines import BYTE_ORDER_MARK
from kit.reading.textfiles import decode, read_bytes

CPU_S = 5
"""CPU seconds for one chat; a long one in the longest template there is takes some milliseconds."""
MAX_TEMPLATE_BYTES = 2**20
"""The most that a template may hold; the longest there is has 30 kB."""
SPARE_CHARACTERS = 1_000_000
"""Most characters that a template may write beside its chat."""
TIMES = 16
"""Most times that a template may write its chat."""
FILE = "chat_template.jinja"
TOKENS = ("bos_token", "eos_token", "pad_token", "unk_token")
"""Special tokens that templates write."""
CURE = "mend it, or take the model's template from another copy"
TRIES: tuple[tuple[tuple[str, str], ...], ...] = (
    (("user", "Hello"),),
    (("system", "Be brief."), ("user", "Hello")),
    (("user", "Hello"), ("assistant", "Hi"), ("user", "Why?")),
    tuple((("user", "assistant")[turn % 2], f"Turn {turn}. " + "word " * 200) for turn in range(99)),
)
"""Chats that a template is tried out on: role and content of each turn. Many refuse some, and none may refuse all, or
leave the user's last turn out of all."""
_MARK = "CONTINUE_FINAL_MESSAGE_TAG "
"""Put behind a turn that is to go on, to find its end in the text; transformers' own, blank and all."""
_CHILD = Path(__file__).with_name("_template_child.py")


class TemplateRefusalError(RequestError):
    """A template refuses a chat by its own ``raise_exception``: roles in a row, or a system turn."""


class TemplateLimitError(RequestError):
    """A template wants more time, memory or characters than one chat may take."""


class Renderer:
    """Renders chats; its process starts with the first one, and ends with this object at the latest."""

    def __init__(self) -> None:
        self._child: Child | None = None
        self._template: str | None = None
        self._end: weakref.finalize[Any, Any] | None = None

    def __enter__(self) -> "Renderer":
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def render(
        self,
        template: str,
        turns: Sequence[Mapping[str, str]],
        tokens: Mapping[str, str],
        *,
        add_generation_prompt: bool = False,
        continue_final_message: bool = False,
    ) -> str:
        """Return a chat in a template's words; the same text as transformers' ``apply_chat_template``.

        Args:
            template: its text.
            turns: each with ``role`` and ``content``, one at least.
            tokens: name -> text of the special tokens that the template may write.
            add_generation_prompt: whether an assistant's turn is opened at the end.
            continue_final_message: whether the last turn is left open, so that it can go on.

        Raises:
            TemplateRefusalError: the template refuses the chat.
            TemplateLimitError: it takes more time, memory or characters than a chat may.
            RequestError: it does not compile, or breaks on the chat; the message names its line.
            KitError: the process does not start.
        """
        if len(template) > MAX_TEMPLATE_BYTES:
            raise TemplateLimitError(f"it has {len(template):,} characters, wanted {MAX_TEMPLATE_BYTES:,} at most")
        chat = [dict(turn) for turn in turns]
        if continue_final_message:
            if "content" not in template:  # transformers refuses it too
                raise RequestError("it has no word of a turn's 'content', and the last turn is to be continued")
            chat[-1]["content"] += _MARK
        context: dict[str, Any] = {"messages": chat, "tools": None, "documents": None, **tokens}
        context["add_generation_prompt"] = add_generation_prompt
        length = sum(len(turn["content"]) for turn in turns)
        text = self._ask(template, context, SPARE_CHARACTERS + TIMES * length, length)
        return _unmarked(text, turns[-1]["content"]) if continue_final_message else text

    def close(self) -> None:
        """End the process; the next chat starts another."""
        if self._end is not None:
            self._end()
        self._child = self._end = self._template = None

    def _ask(self, template: str, context: Mapping[str, Any], most: int, length: int) -> str:
        """Render one chat in the child process."""
        child = self._child or self._start()
        request: dict[str, Any] = {"context": context, "most": most, "cpu_s": CPU_S}
        if template != self._template:
            request["template"] = template
        self._template = None  # until it is known that the process has it
        answer = child.ask(request)
        if answer is None:
            code = child.end()
            self.close()
            raise TemplateLimitError(_failure_reason(code))
        if error := answer.get("error"):
            raise _error(error, template, most, length)
        self._template = template
        text: str = answer["text"]
        return text

    def _start(self) -> Child:
        """Start the child process, and wait until it is ready.

        Raises:
            KitError: it ended before it was ready.
        """
        child = self._child = Child(_CHILD)
        self._end = weakref.finalize(self, child.kill)
        if child.receive() is None:
            last_error = child.last_error()
            self.close()
            raise KitError(
                f"the process that renders chat templates did not start: {last_error}; is the environment the locked "
                "one? jinja2 is in its `cpu` and `cuda` extras"
            )
        return child


def _failure_reason(code: int) -> str:
    """Explain why the process ended while it rendered."""
    if code == -signal.SIGXCPU:
        return f"it takes more than {CPU_S} s of CPU time for one chat; does it loop for ever? {CURE}"
    if code == -signal.SIGKILL:
        return f"its process was killed: is the machine out of memory? If it was not, {CURE}"
    return f"it ended its process (exit code {code}); {CURE}"


def _error(error: Mapping[str, Any], template: str, most: int, length: int) -> RequestError:
    """Return the sentence of an error, with its line where that says more than the template's name."""
    kind, message = error["kind"], plain(error["message"]) or error["kind"]
    if kind == "Refusal":
        return TemplateRefusalError(message)
    shown = kind == "TemplateSyntaxError" or "\n" in template
    place = f"line {error['line']}: " if error["line"] and shown else ""
    if kind == "TooLongError":
        return TemplateLimitError(
            f"{place}it makes more than {most:,} characters of a chat of {length:,}; does it repeat itself? {CURE}"
        )
    if kind == "MemoryError":
        return TemplateLimitError(f"{place}it takes more than 1 GiB of memory for one chat; {CURE}")
    if kind == "RecursionError":
        return TemplateLimitError(f"{place}it nests or calls itself without end; {CURE}")
    return RequestError(f"{place}{message}")


def plain(text: str, longest: int = 300) -> str:
    """Return an error's text in one line of characters that can be printed, cut where it is long."""
    line = " ".join(text[: 10 * longest].split())
    line = "".join(letter if letter.isprintable() else ascii(letter)[1:-1] for letter in line[: 2 * longest])
    return line if len(line) <= longest else f"{line[: longest - 3]}..."


def _unmarked(text: str, content: str) -> str:
    """Return the text up to the end of its last turn, which is to go on.

    Raises:
        RequestError: the template leaves the turn out or changes it.
    """
    place = text.rfind(_MARK.strip())
    if place < 0 or content.strip() not in text:
        raise RequestError("it leaves out or changes the turn that is to be continued; take another template")
    # A template that trims its turns has trimmed the mark's own blank; then the turn's last blanks go too.
    return text[:place] if text.startswith(_MARK, place) else text[:place].rstrip()


def template_text(folder: Path) -> tuple[str, str]:
    """Return a model folder's chat template and the name of the file it is in; two empty texts where it has none.

    Raises:
        RequestError: the file can't be read, is no UTF-8, too large, or holds no template of the name ``default``.
    """
    if (folder / FILE).is_file():
        text = decode(read_bytes(folder / FILE, max_bytes=MAX_TEMPLATE_BYTES), str(folder / FILE))
        return text.lstrip(BYTE_ORDER_MARK), FILE
    config = folder / "tokenizer_config.json"
    found = read_json(config).get("chat_template") if config.is_file() else None
    if isinstance(found, list):
        named = [one for one in found if isinstance(one, dict)]
        found = {one.get("name"): one.get("template") for one in named} if named else None
    if isinstance(found, dict):
        if "default" not in found:
            raise RequestError(
                f"{config}: chat_template has {', '.join(map(repr, list(found)[:5]))} and no 'default', which is the "
                "one that chats are written with; name one so"
            )
        found = found["default"]
    if found is not None and not isinstance(found, str):
        raise RequestError(f"{config}: chat_template: found {type(found).__name__}, wanted a template's text")
    return (found or "").lstrip(BYTE_ORDER_MARK), config.name


def token_texts(folder: Path) -> dict[str, str]:
    """Return the special tokens that tokenizer_config.json names, as a template writes them."""
    config = read_json(folder / "tokenizer_config.json") if (folder / "tokenizer_config.json").is_file() else {}
    named = {name: config.get(name) for name in TOKENS}
    texts = {name: one.get("content") if isinstance(one, dict) else one for name, one in named.items()}
    return {name: one for name, one in texts.items() if isinstance(one, str)}


def try_template(text: str, tokens: Mapping[str, str], where: str) -> None:
    """Refuse a template that does not compile, takes too much of anything, or renders no chat with what the user says.

    It is tried out on a few chats (:data:`TRIES`), one of them long.

    Args:
        text: the template's.
        tokens: special tokens by name.
        where: folder and file, for the message.

    Raises:
        RequestError: as above; a template that refuses some chats, of roles in a row for instance, will do.
    """
    if "{{" not in text and "{%" not in text:
        raise RequestError(
            f"{where}: holds no '{{{{' and no '{{%', so every chat would be the same text; wanted a template in Jinja, "
            "and not a path to one"
        )
    first: RequestError | None = None
    rendered: list[bool] = []
    with Renderer() as renderer:
        for chat in TRIES:
            turns = [{"role": role, "content": content} for role, content in chat]
            try:
                made = renderer.render(text, turns, tokens, add_generation_prompt=True)
                rendered.append(chat[-1][1].strip().casefold() in made.casefold())
            except TemplateLimitError as error:
                raise RequestError(f"{where}: {error}") from error
            except RequestError as error:
                first = first or error
    if first and not rendered:
        raise RequestError(f"{where}: renders no chat: {first}; {CURE}") from first
    if not any(rendered):
        raise RequestError(f"{where}: leaves what the user says out of every chat; {CURE}")
