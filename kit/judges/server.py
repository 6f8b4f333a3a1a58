"""Ask a model that a server answers for: each question once, within the budget, every reply kept.

A reply is kept under the hash of what was asked (:mod:`kit.judges.replies`), what a request may cost is set aside
before it is sent (:mod:`kit.judges.budget`), and failures that may pass are waited for (:mod:`kit.judges.pacing`). So a
run that was killed goes on where it was: it asks nothing again whose reply had come, and spends no more than is left.
"""

import logging
import os
import threading
from collections.abc import Callable, Iterable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor, as_completed
from dataclasses import dataclass
from decimal import Decimal
from pathlib import Path

from kit.engines import Request, Sampling
from kit.errors import LONGEST_NAME, KitError, RequestError, one_line
from kit.judges.budget import Budget, Cost, cost
from kit.judges.environment import Access, read_access
from kit.judges.pacing import LONGEST_PAUSE_S, Clock, EndedError, Pace, back_off
from kit.judges.replies import Kept, Question, Replies, open_replies
from kit.judges.settings import ServerSettings
from kit.judges.wire import Answer, Failure, Line, Meaning
from kit.records import Row

_logger = logging.getLogger(__name__)
__all__ = ["Estimate", "Progress", "Reply", "ServerSettings", "ask", "estimate"]

Progress = Callable[[int, int, int], None]
"""Takes the questions answered so far, their number, and the tokens of the replies so far."""
TOKENS_A_TURN, TOKENS_A_CHAT = 16, 128
"""Most tokens that a chat template adds: for each turn, and once, for its marks and a system prompt of its own."""
UNREADABLE_ATTEMPTS = 3
"""Most times that a question is sent whose replies can't be read."""
UNANSWERED_AT_FIRST = 20
"""Number of questions that may be unanswered before the first is answered; then the server is at fault, not they."""
AT_ONCE = 4096
"""Questions that are handed to the threads at a time."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Reply(Row):
    """A server's reply to one request; or the reason why there is none that can be read."""

    id: str
    """Id of the request."""
    text: str
    """The whole reply, thoughts included; empty where there is none."""
    model: str
    """Name of the model, as the server reports it."""
    prompt_tokens: int
    """Length of the question, tokens; 0 where the server does not say."""
    tokens: int
    """Length of the reply, tokens; 0 where the server does not say."""
    finish_reason: str
    """Reason why the reply ended, as in :class:`~kit.records.Completion`."""
    reason: str = ""
    """Reason why the question is unanswered; empty where it is answered."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Estimate:
    """The most that some requests can cost, each question asked once, and once alone."""

    questions: int
    """Number of different questions."""
    tokens: int
    """Most tokens of questions and replies."""
    money: Decimal | None
    """Most money; None without prices."""


def estimate(requests: Sequence[Request], sampling: Sampling, server: ServerSettings) -> Estimate:
    """Return the most that requests can cost.

    No text has more tokens than bytes, and no reply more than its limit; a chat template adds some.

    Raises:
        RequestError: a request is none that a server can be asked.
    """
    questions = _questions(requests, sampling, server).values()
    most = _most(questions, server)
    money = None if server.entry.price_in is None else most.money
    return Estimate(questions=len(questions), tokens=most.tokens, money=money)


def ask(
    requests: Sequence[Request],
    sampling: Sampling,
    server: ServerSettings,
    replies: Path,
    progress: Progress,
    *,
    phase: Callable[[str], None] = lambda _: None,
    clock: Clock | None = None,
    environment: Mapping[str, str] | None = None,
) -> list[Reply]:
    """Ask a server, and return one reply for each request, in the order of the requests.

    Args:
        requests: chats whose last turn is the user's; requests that ask the same share a reply.
        sampling: settings for drawing the next token.
        server: the server.
        replies: folder that outlives the job, with a file for each reply.
        progress: is told how far it is.
        phase: is told, once, that another run is waited for, which asks with the same folder of replies.
        clock: the time that waits are measured by.
        environment: the variables that hold the key and the address; this process's by default.

    Raises:
        RequestError: a variable is not set, a request can't be asked, or the budget is less than it may cost.
        KitError: the server can't be reached, refuses or answers nothing, or the budget is reached; what was answered
            is kept.
    """
    access = read_access(server, os.environ if environment is None else environment)
    asked = _questions(requests, sampling, server)
    with open_replies(replies, lambda: _say_waiting(server, replies, phase)) as kept:
        found = {sha256: reply for sha256, question in asked.items() if (reply := kept.find(question))}
        missing = [question for sha256, question in asked.items() if sha256 not in found]
        budget = Budget(kept.folder, server.name, server.entry, _kept_cost(server, asked, found))
        _check_budget(missing, server, budget)
        progress(len(found), len(asked), 0)
        if missing:
            line = _line(server, access)
            try:
                asker = _Asker(server, line, kept, budget, clock or Clock())
                while missing:  # again where the job had given up, and a reply in flight then showed a sound server
                    _ask_all(missing, asker, found, len(asked), progress)
                    answered = any(not one.reason for one in found.values())
                    missing = [question for question in missing if question.sha256 not in found] if answered else []
            finally:
                line.close()
    _check_answered(found, server, replies)
    return [_reply(request, found[Question.of(request, server.entry.model, sampling).sha256]) for request in requests]


def _say_waiting(server: ServerSettings, replies: Path, phase: Callable[[str], None]) -> None:
    """Say that another run is waited for: in the job's phase, and with the folder in its log."""
    name = one_line(one_line(server.name), LONGEST_NAME)
    phase(f"waiting to ask {name} after another run")
    _logger.info("served.%s: waiting: another run asks servers, and holds %s", name, one_line(str(replies / "lock")))


def _line(server: ServerSettings, access: Access) -> Line:
    """Return the way to a server.

    Raises:
        RequestError: the environment names proxies or certificates that can't be used.
    """
    try:
        return Line(server.entry, access)
    except RequestError as error:
        raise RequestError(f"served.{server.name}: {error}") from error


def _questions(requests: Sequence[Request], sampling: Sampling, server: ServerSettings) -> dict[str, Question]:
    """Return the different questions of requests, by their hashes, in order."""
    made = (Question.of(request, server.entry.model, sampling) for request in requests)
    return {question.sha256: question for question in made}


def _reply(request: Request, kept: Kept) -> Reply:
    fields = ("text", "model", "prompt_tokens", "tokens", "finish_reason", "reason")
    return Reply(id=request.id, **{name: getattr(kept, name) for name in fields})


def _most(questions: Iterable[Question], server: ServerSettings) -> Cost:
    """Return the most that questions can cost."""
    total = Cost()
    for question in questions:
        turns = question.content["turns"]
        prompt = TOKENS_A_CHAT + sum(TOKENS_A_TURN + len(turn["content"].encode()) for turn in turns)
        total += cost(server.entry, prompt, question.content["sampling"]["max_tokens"])
    return total


def _kept_cost(
    server: ServerSettings, asked: Mapping[str, Question], found: Mapping[str, Kept]
) -> Callable[[str, str], Cost | None]:
    """Return the function by which :class:`Budget` learns what a reply came to whose process was killed at once."""

    def kept_cost(sha256: str, reservation: str) -> Cost | None:
        kept = found.get(sha256)
        if kept is None or kept.reservation != reservation or kept.reason:
            return None
        return _came_to(server, asked[sha256], kept)

    return kept_cost


def _came_to(server: ServerSettings, question: Question, kept: Kept) -> Cost:
    """Return what an answer cost; without the server's count, the most that it can have cost.

    No question has 0 tokens, and a reply has its end at least: some servers write 0 where they do not count.
    """
    if not kept.prompt_tokens or not kept.tokens:
        return _most([question], server)
    return cost(server.entry, kept.prompt_tokens, kept.tokens)


def _check_budget(missing: Sequence[Question], server: ServerSettings, budget: Budget) -> None:
    """Check that the budget suffices for all that is to be asked; for the first question, if a part will do.

    Raises:
        RequestError: it does not.
    """
    partial = server.entry.partial
    if not missing or not (fault := budget.fault(_most(missing[:1] if partial else missing, server))):
        return
    which = "the first of them costs" if partial else "they cost"
    cure = "raise it" if partial else "raise it, or begin all the same with partial = true"
    raise RequestError(
        f"served.{server.name}: {len(missing):,} questions are to be asked, and the budget does not suffice: {which} "
        f"{fault}; {cure}"
    )


class _Asker:
    """Asks single questions, for several threads; the first that can't go on ends the job for all."""

    def __init__(self, server: ServerSettings, line: Line, replies: Replies, budget: Budget, clock: Clock) -> None:
        self.server = server
        self.line = line
        self.replies = replies
        self.budget = budget
        self.clock = clock
        self.pace = Pace(server.entry.per_minute, clock)
        self.ended = threading.Event()

    def answer(self, question: Question) -> Kept:
        """Ask a question until it is answered or known to stay unanswered, keep the reply, and return it.

        Raises:
            EndedError: another question has ended the job.
            KitError: the server or the budget ends it.
        """
        try:
            attempt = 0
            while True:
                self.pace.take_turn(self.ended)
                kept = self._try(question, attempt)
                if kept:
                    return kept
                attempt += 1
        except EndedError:
            raise
        except BaseException:
            self.ended.set()
            raise

    def _try(self, question: Question, attempt: int) -> Kept | None:
        """Send a question once; return None, after a wait, if it is to be sent again."""
        reservation = self.budget.set_aside(question.sha256, most := _most([question], self.server), self.ended)
        answer = self.line.send(question, self.clock.date())
        if isinstance(answer, Answer):
            kept = Kept(
                text=answer.text,
                model=answer.model,
                prompt_tokens=answer.prompt_tokens or 0,
                tokens=answer.tokens or 0,
                finish_reason=answer.finish_reason,
                reservation=reservation,
            )
            self.replies.keep(question, kept)
            self.budget.settle(reservation, _came_to(self.server, question, kept))
            return kept
        self.budget.settle(reservation, most if answer.may_cost else Cost())
        return self._after_failure(question, attempt, answer)

    def _after_failure(self, question: Question, attempt: int, failure: Failure) -> Kept | None:
        """Return the question as unanswered, or None after a wait.

        Raises:
            KitError: the failure ends the job.
        """
        left = self.server.entry.retries - attempt
        if failure.meaning is Meaning.UNREADABLE:
            left = min(left, UNREADABLE_ATTEMPTS - 1 - attempt)
        where, again = f"served.{self.server.name}", "what was answered is kept; run it again to go on"
        if failure.meaning is Meaning.ENDS:
            raise KitError(f"{where}: {failure.reason}")
        if failure.meaning is Meaning.UNANSWERED or (failure.meaning is Meaning.UNREADABLE and left <= 0):
            kept = Kept(text="", model="", prompt_tokens=0, tokens=0, finish_reason="", reason=failure.reason)
            self.replies.keep(question, kept)
            return kept
        if left <= 0:
            times = f"{attempt + 1} times in a row: " * (attempt > 0)
            raise KitError(f"{where}: {times}{failure.reason}; {again}")
        wait = failure.retry_after_s or 0.0
        if wait > LONGEST_PAUSE_S:
            raise KitError(f"{where}: {failure.reason}: it wants to be left alone for {wait:,.0f} s; {again}")
        if wait:
            self.pace.pause(wait)
        self.clock.wait(back_off(question.sha256, attempt, failure.retry_after_s), self.ended)
        return None


def _ask_all(
    missing: Sequence[Question], asker: _Asker, found: dict[str, Kept], total: int, progress: Progress
) -> None:
    """Ask questions, ``in_flight`` at a time, and add their replies to those that were found.

    Raises:
        KitError: a question ended the job. Those in flight are waited for, and their replies kept.
    """
    tokens = 0
    unanswered = sum(bool(kept.reason) for kept in found.values())
    answered = len(found) - unanswered
    if unanswered >= UNANSWERED_AT_FIRST and not answered:
        return
    asker.ended.clear()
    with ThreadPoolExecutor(asker.server.entry.in_flight, thread_name_prefix="ask") as pool:
        try:
            for begin in range(0, len(missing), AT_ONCE):
                part = missing[begin : begin + AT_ONCE]
                asked = {pool.submit(asker.answer, question): question.sha256 for question in part}
                for future in as_completed(asked):
                    try:
                        kept = future.result()
                    except EndedError:  # another one's error says why
                        continue
                    found[asked[future]] = kept
                    tokens += kept.tokens
                    answered, unanswered = answered + (not kept.reason), unanswered + bool(kept.reason)
                    progress(len(found), total, tokens)
                    if unanswered >= UNANSWERED_AT_FIRST and not answered:
                        asker.ended.set()
        except BaseException:
            asker.ended.set()
            raise


def _check_answered(found: Mapping[str, Kept], server: ServerSettings, replies: Path) -> None:
    """Check that at least one question is answered: else the server is at fault, and no verdict would mean anything.

    Raises:
        KitError: none is.
    """
    reasons = [kept.reason for kept in found.values()]
    if reasons and all(reasons):
        raise KitError(
            f"served.{server.name}: none of {len(reasons):,} questions was answered; the first: {reasons[0]}; mend the "
            f"server's entry, then remove *.unanswered.json in {replies} to ask again"
        )
