"""One request to a server by the ``openai`` client, and what came back: an answer, or a failure and what it means."""

import json
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from enum import Enum
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

from kit.catalogue.served import Served
from kit.errors import RequestError, one_line, shown
from kit.judges import deadlines
from kit.judges.environment import Access
from kit.judges.pacing import retry_after
from kit.judges.replies import Question
from kit.reading.places import is_this_machine
from kit.reading.values import MOST_TOKENS

if TYPE_CHECKING:
    import httpx2
    import openai
    from openai import OpenAI

MAX_REPLY_BYTES = 8 << 20
"""Most bytes of an answer; the longest reply of any model has less than one million."""
LONGEST_REASON = 200
"""Characters of a server's own words that a message shows."""
LONGEST_MODEL = 200
"""Characters of a model's name as the server reports it, and of a finish reason; both go into every verdict."""
COMPUTED_NOTHING = frozenset((429, 503))
"""Statuses at which a server says that it has not begun; what else may pass may have been charged."""
MAY_PASS = frozenset((408, 409, 425, 429))
"""Statuses below 500 that the same request may not meet again."""
QUESTIONS_OWN = frozenset((400, 413, 422))
"""Statuses that refuse one question: it is too long, or a filter stops it."""


class Meaning(Enum):
    """The consequence of a failure for its question and for the job."""

    MAY_PASS = "it is sent again; if that does not help, the job ends, to be run again"
    UNREADABLE = "it is sent again; if that does not help, the question is unanswered"
    UNANSWERED = "the question is unanswered, and asking again would not help"
    ENDS = "no question would be answered; the job ends"


@dataclass(frozen=True, slots=True, kw_only=True)
class Answer:
    """A reply as the server gave it."""

    text: str
    model: str
    finish_reason: str
    prompt_tokens: int | None
    """Tokens of the question; None where the server does not say."""
    tokens: int | None
    """Tokens of the reply; None where the server does not say."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Failure:
    """The reason why a request has no answer."""

    meaning: Meaning
    reason: str
    """In words, without the key."""
    may_cost: bool
    """Whether the server may have computed a reply, and charge for it."""
    retry_after_s: float | None = None
    """Seconds that the server wants to be left alone."""


class _BodyError(Exception):
    """A body that is not read to its end; the message says why."""


class Line:
    """The way to one server, for several threads: the client with its connections."""

    def __init__(self, entry: Served, access: Access) -> None:
        self.entry = entry
        self.access = access
        self._client = _open_client(entry, access)

    def close(self) -> None:
        """Close all connections to the server."""
        self._client.close()

    def send(self, question: Question, date: float) -> Answer | Failure:
        """Send a question once, and read what comes back.

        Args:
            question: what is asked.
            date: seconds since 1970, by which a date is read that the server names.
        """
        body = self._post(question, date)
        if isinstance(body, Failure):
            return body
        try:
            return self._answer(json.loads(body))
        except (ValueError, RecursionError):
            return self._unreadable(f"no JSON: {self._shown(body.decode(errors='backslashreplace'))}")

    def _post(self, question: Question, date: float) -> bytes | Failure:
        """Send a question; return the body of a success as it came, or the failure."""
        import openai

        create = self._client.chat.completions.with_raw_response.create
        try:
            return create(**self._arguments(question)).http_response.content
        except openai.APIStatusError as error:
            return self._refused(error.response, error.body, date)
        except openai.APITimeoutError:
            return _passing(f"no answer within {self.entry.timeout_s:g} s")
        except openai.APIConnectionError as error:
            return self._lost(error)
        except _BodyError as error:
            return self._unreadable(str(error))
        except Exception as error:  # what nonsense makes of the client; its text may hold what was sent
            return self._unreadable(f"the client fails on it ({type(error).__name__})")

    def _lost(self, error: "openai.APIConnectionError") -> Failure:
        """Return what it means that a connection was not made, or broke."""
        import httpx2

        if deadlines.passed(error.request):
            return _passing(f"no whole answer within {self.entry.timeout_s:g} s")
        before = isinstance(error.__cause__, httpx2.ConnectError)
        cause = type(error.__cause__).__name__ if error.__cause__ else "no connection"
        detail = self._safe(str(error.__cause__ or ""))
        return _passing(f"{cause}: {detail}" if detail else cause, may_cost=not before)

    def _arguments(self, question: Question) -> dict[str, Any]:
        """Return the arguments of the client's method."""
        chosen = question.content["sampling"]
        arguments = {
            "model": self.entry.deployment or self.entry.model,
            "messages": question.content["turns"],
            "temperature": chosen["temperature"],
            self.entry.token_limit: chosen["max_tokens"],
            # a server that knows the header answers a repeated request from its memory
            "extra_headers": {"Idempotency-Key": question.sha256},
        }
        if chosen["top_p"] != 1:
            arguments["top_p"] = chosen["top_p"]
        if "seed" in chosen:
            arguments["seed"] = chosen["seed"]
        return arguments

    def _answer(self, value: Any) -> Answer | Failure:
        """Return the answer of a decoded body, or what is missing in it."""
        try:
            choice = value["choices"][0]
            message = choice["message"]
            text, refusal = message.get("content"), message.get("refusal")
            finish, model = choice.get("finish_reason") or "", value.get("model") or ""
        except (KeyError, IndexError, TypeError, AttributeError):
            return self._unreadable(f"wanted choices[0].message, found {self._shown(value)}")
        if text is None and (refusal or finish == "content_filter"):
            why = "the server's filter stopped the reply"
            if finish != "content_filter":
                why = f"refused: {self._shown(refusal)}"
            return Failure(meaning=Meaning.UNANSWERED, reason=self._safe(why), may_cost=True)
        if text is None and finish == "length":  # all its tokens went into thoughts that the server keeps back
            text = ""
        for name, found in (("message.content", text), ("finish_reason", finish)):
            if not isinstance(found, str):
                return self._unreadable(f"choices[0].{name}: found {self._shown(found)}, wanted a text")
        if not isinstance(model, str):
            return self._unreadable(f"model: found {self._shown(model)}, wanted a text")
        hide, usage = self.access.without_key, value.get("usage")
        return Answer(
            text=hide(text),
            model=one_line(hide(model), LONGEST_MODEL),
            finish_reason=one_line(hide(finish), LONGEST_MODEL),
            prompt_tokens=_count(usage, "prompt_tokens"),
            tokens=_reply_tokens(usage),
        )

    def _unreadable(self, reason: str) -> Failure:
        return Failure(meaning=Meaning.UNREADABLE, reason=self._safe(reason), may_cost=True)

    def _refused(self, response: "httpx2.Response", body: object, date: float) -> Failure:
        """Return what an answer means that is no success."""
        status, entry = response.status_code, self.entry
        if status in (401, 403):  # its body may hold a part of the key
            variable = f"the key in {entry.key_from}" if entry.key_from else "a request without a key; give key_from"
            return Failure(meaning=Meaning.ENDS, reason=f"status {status}: it refuses {variable}", may_cost=False)
        words = self._safe(_message(body))
        reason = f"status {status}{': ' + words if words else ''}"
        if status == 404:
            name = entry.deployment or entry.model
            reason += f"; is base_url right (with /v1 at its end, but for Azure), and {shown(name)} known there?"
            return Failure(meaning=Meaning.ENDS, reason=reason, may_cost=False)
        if status in MAY_PASS or status >= 500:
            after = retry_after(response.headers, date)
            return _passing(reason, may_cost=status not in COMPUTED_NOTHING and status >= 500, retry_after_s=after)
        if status in QUESTIONS_OWN:
            return Failure(meaning=Meaning.UNANSWERED, reason=reason, may_cost=False)
        if 300 <= status < 400:
            reason += ": it leads on to another address, to which no key is sent; give that as base_url"
        return Failure(meaning=Meaning.ENDS, reason=reason, may_cost=False)

    def _shown(self, value: Any) -> str:
        """Return a value of the server's as :func:`shown`; the key is taken out first, as what is cut may end in it."""
        return shown(_each_text(value, self.access.without_key))

    def _safe(self, text: str) -> str:
        """Return a text of the server's for a message: on one line, short, without the key."""
        return one_line(self.access.without_key(text).encode("utf-8", "backslashreplace").decode(), LONGEST_REASON)


def _passing(reason: str, *, may_cost: bool = True, retry_after_s: float | None = None) -> Failure:
    return Failure(meaning=Meaning.MAY_PASS, reason=reason, may_cost=may_cost, retry_after_s=retry_after_s)


def _message(body: object) -> str:
    """Return the sentence of an error's body: ``{"error": {"message": ...}}``, or vLLM's ``{"message": ...}``."""
    inner = body.get("error", body) if isinstance(body, Mapping) else body
    found = inner.get("message") if isinstance(inner, Mapping) else inner
    return found if isinstance(found, str) else ""


def _count(usage: Any, name: str) -> int | None:
    """Return a number of tokens that a server reports; None where it is none that can be."""
    found = usage.get(name) if isinstance(usage, Mapping) else None
    return found if type(found) is int and 0 <= found <= MOST_TOKENS else None


def _reply_tokens(usage: Any) -> int | None:
    """Return the tokens of a reply; some servers count thoughts that they keep back in the total alone."""
    prompt, reply, total = (_count(usage, f"{name}_tokens") for name in ("prompt", "completion", "total"))
    return reply if None in (prompt, reply, total) else max(reply, total - prompt)  # type: ignore[type-var, operator]


def _each_text(value: Any, change: Callable[[str], str]) -> Any:
    """Return a JSON value with each of its texts changed, names of fields too."""
    if isinstance(value, str):
        return change(value)
    if isinstance(value, list):
        return [_each_text(part, change) for part in value]
    if isinstance(value, dict):
        return {change(name): _each_text(part, change) for name, part in value.items()}
    return value


def _open_client(entry: Served, access: Access) -> "OpenAI":
    """Return the client: it repeats nothing, follows no redirect, and reads no setting but the manifest's.

    Raises:
        RequestError: the proxies or certificates that the environment names can't be used.
    """
    import openai

    try:
        http = _open_connections(entry, access)
    except ImportError as error:
        raise RequestError(
            "the environment names a SOCKS proxy; wanted http://HOST:PORT (HTTPS_PROXY, ALL_PROXY)"
        ) from error
    except ValueError:  # its text may hold a proxy's password
        raise RequestError(
            "the environment names a proxy that can't be used; wanted http://HOST:PORT (HTTPS_PROXY, ALL_PROXY)"
        ) from None
    except OSError as error:
        raise RequestError(
            f"the certificates that the environment names can't be read: {error.strerror or 'no certificate'} "
            "(SSL_CERT_FILE, SSL_CERT_DIR)"
        ) from error
    if entry.azure_api_version:
        return openai.AzureOpenAI(
            azure_endpoint=access.address,
            azure_deployment=entry.deployment or entry.model,
            api_version=entry.azure_api_version,
            api_key=access.key,
            max_retries=0,
            http_client=http,
        )
    return openai.OpenAI(base_url=access.address, api_key=access.key or "none", max_retries=0, http_client=http)


def _open_connections(entry: Served, access: Access) -> "httpx2.Client":
    """Return the connections that the client uses, with their limits."""
    import httpx2

    connect_s = min(entry.timeout_s, 30.0)
    return httpx2.Client(
        timeout=httpx2.Timeout(entry.timeout_s, connect=connect_s),
        limits=httpx2.Limits(max_connections=entry.in_flight, max_keepalive_connections=0),  # see Deadline
        follow_redirects=False,
        trust_env=not is_this_machine(urlsplit(access.address).hostname or ""),  # proxies, for servers elsewhere
        headers={"Accept-Encoding": "identity"},
        event_hooks={
            "request": [lambda request: deadlines.Deadline.of(request, connect_s + entry.timeout_s)],
            "response": [lambda response: _limit(response, entry.timeout_s)],
        },
    )


def _limit(response: "httpx2.Response", seconds: float) -> None:
    """Let the body of an answer be read up to a size and for a time; it may come without end, or packed."""
    import httpx2

    deadline = response.request.extensions[deadlines.EXTENSION]
    deadline.start(seconds)
    if response.headers.get("content-encoding", "identity") != "identity":
        if response.is_success:
            deadline.stop()
            raise _BodyError("a packed body, which was not asked for")
        del response.headers["content-encoding"]  # its status says enough
    inner = response.stream

    class Limited(httpx2.SyncByteStream):
        def __iter__(self) -> Iterator[bytes]:
            size = 0
            assert isinstance(inner, httpx2.SyncByteStream)
            for block in inner:
                size += len(block)
                if size > MAX_REPLY_BYTES:
                    raise _BodyError(f"a body of more than {MAX_REPLY_BYTES >> 20} MiB")
                yield block

        def close(self) -> None:
            deadline.stop()
            inner.close()  # type: ignore[union-attr]

    response.stream = Limited()
