"""The rows of every JSONL file: frozen, slotted, made from JSON and turned back into it, and nothing else."""

import json
import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass, field, fields
from pathlib import Path
from typing import Any, ClassVar, Self, TypeAlias

from kit.errors import RequestError, shown
from kit.measures import Measure
from kit.reading.jsonlines import read_objects

ROLES = ("user", "assistant")
"""Roles of the two texts of one pair of a history."""

Json: TypeAlias = "bool | int | float | str | list[Json] | dict[str, Json] | None"


@dataclass(frozen=True, slots=True, kw_only=True)
class Row:
    """Base of all rows: how a row is made from a JSON object and turned back into one."""

    KIND: ClassVar[str] = "row"

    @classmethod
    def from_json(cls, value: Mapping[str, Any], where: str = "") -> Self:
        """Make a row from a decoded JSON object.

        Raises:
            RequestError: a field is missing, or one is not known; the message names ``where`` and the field.
        """
        names = {f.name for f in fields(cls)}
        if unknown := sorted(set(value) - names):
            raise RequestError(
                f"{where}: {cls.__name__} has no field {shown(unknown[0])}; wanted {', '.join(sorted(names))}"
            )
        try:
            return cls(**value)
        except TypeError as error:
            raise RequestError(f"{where}: {cls.__name__}: {str(error).partition('() ')[2]}") from error

    def to_json(self) -> dict[str, Any]:
        """Return the row as a JSON object with every field."""
        return asdict(self)


@dataclass(frozen=True, slots=True, kw_only=True)
class Turn(Row):
    """One turn of a chat: a text, and the role that says it."""

    role: str
    """``system``, ``user`` or ``assistant``."""
    content: str
    """The text; a prompt template has its ``{placeholders}`` here."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ChatRow(Row):
    """A row whose instruction is the last turn of a chat: the turns before it, in LLaMA-Factory's alpaca layout."""

    system: str = ""
    """The system prompt; evolution carries it over as it was."""
    history: tuple[tuple[str, str], ...] = ()
    """Earlier turns, oldest first: what the user said and what was answered; carried over too."""

    @classmethod
    def from_json(cls, value: Mapping[str, Any], where: str = "") -> Self:
        """Make a row from a decoded JSON object, with tuples in ``history`` where JSON has lists.

        Raises:
            RequestError: as :meth:`Row.from_json`, or ``history`` holds something else than pairs of texts.
        """
        return super(ChatRow, cls).from_json({**value, **parse_history(value, where)}, where)

    def to_json(self) -> dict[str, Any]:
        """Return the row as a JSON object, without ``system`` and ``history`` where they are empty."""
        return {name: value for name, value in asdict(self).items() if value or name not in ("system", "history")}

    def turns_before(self) -> tuple[Turn, ...]:
        """Return the chat up to the instruction: the system prompt, then the history's questions and answers."""
        turns = [Turn(role=role, content=text) for pair in self.history for role, text in zip(ROLES, pair, strict=True)]
        return (*([Turn(role="system", content=self.system)] if self.system else []), *turns)


@dataclass(frozen=True, slots=True, kw_only=True)
class Instruction(ChatRow):
    """A seed instruction, or the instruction that an evolver made of it."""

    id: str
    """``<seed set>/<position in the source file, from 0>``; evolution keeps it."""
    instruction: str
    """The question or task."""
    input: str = ""
    """The material that the instruction is about; evolution carries it over as it was."""
    output: str = ""
    """The answer that a seed set brings along; empty once evolved."""
    operator: str = ""
    """The operator (way of evolving) that made this row; empty for a seed."""
    finish_reason: str = ""
    """Reason why the rewrite ended, as in :class:`Completion`; empty for a seed."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Pair(ChatRow):
    """An instruction with its response: one training example."""

    id: str
    """Id of the instruction."""
    instruction: str
    """The question or task."""
    input: str = ""
    """The material that the instruction is about."""
    output: str
    """The response."""
    finish_reason: str = ""
    """Reason why the response ended, as in :class:`Completion`."""


def parse_history(row: Mapping[str, Any], where: str) -> dict[str, tuple[tuple[str, str], ...]]:
    """Return the field ``history`` of a decoded row, with tuples for its lists; an empty dictionary if absent.

    Raises:
        RequestError: it is no list of pairs of texts.
    """
    found = row.get("history")
    if found in (None, "", [], ()):
        return {"history": ()} if "history" in row else {}
    wanted = 'wanted a list of pairs ["what the user said", "what was answered"]'
    if not isinstance(found, list | tuple):
        raise RequestError(f"{where}: 'history': found {type(found).__name__}, {wanted}")
    for number, pair in enumerate(found):
        texts = pair if isinstance(pair, list | tuple) else None
        if texts is None or len(texts) != len(ROLES) or not all(isinstance(text, str) for text in texts):
            kinds = type(pair).__name__ if texts is None else f"[{', '.join(type(text).__name__ for text in texts)}]"
            raise RequestError(f"{where}: 'history'[{number}]: found {kinds}, {wanted}")
    return {"history": tuple((question, answer) for question, answer in found)}


@dataclass(frozen=True, slots=True, kw_only=True)
class Problem(Row):
    """One item of a benchmark, with all fields of its file."""

    id: str
    """The benchmark's own id, as text (``HumanEval/0``, ``11``); a position where it has none."""
    data: dict[str, Any]
    """The item's own fields, as its file has them."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Completion(Row):
    """A model's text for one prompt."""

    id: str
    """Id of the problem, or of the instruction."""
    text: str
    """The text that the model wrote, without special tokens."""
    prompt_tokens: int = 0
    """Length of the prompt, tokens."""
    tokens: int = 0
    """Length of the text, tokens."""
    finish_reason: str = ""
    """``stop``, ``length`` for a text cut at the limit, ``too_long`` for a prompt that leaves no room for a token (its
    text is empty, no model was asked); empty where a file from elsewhere does not say."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Grade(Row):
    """The verdict on one completion: units right and units judged for each metric."""

    id: str
    """Id of the problem."""
    scores: Mapping[str, Sequence[float]]
    """metric -> [units right, units judged], as in ``{"accuracy": [1, 1]}``; for means [sum of scores, units]."""
    answer: str = ""
    """The answer that the grader found in the completion."""
    reason: str = ""
    """Reason why the answer is wrong, where the grader gives one."""
    cpu_s: float = 0.0
    """CPU seconds that model-written code took; 0 where none ran. No part of the row: no two runs agree on it."""

    def to_json(self) -> dict[str, Any]:
        """Return the row as a JSON object, without ``cpu_s``."""
        return {name: value for name, value in asdict(self).items() if name != "cpu_s"}


@dataclass(frozen=True, slots=True, kw_only=True)
class Question(Row):
    """One question to a judge: about one completion, or about one part of it."""

    id: str
    """Id of the problem; where a problem has several questions, ``<problem id>#<name of the part>``."""
    turns: tuple[Turn, ...]
    """The chat that asks it."""
    labels: tuple[str, ...]
    """The answers that it allows, as the judge is asked to write them; two at least, none the start of another."""
    is_open: bool = False
    """Whether a reply may give another answer of the kind, for instance any number; then ``labels`` are those among
    which a judge chooses that is asked for likelihoods, and writes no reply."""
    group: str = ""
    """Shared by questions that ask the same in another order; their labels stand so that those of one place agree."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Verdict(Row):
    """A judge's answer to one question."""

    id: str
    """Id of the question."""
    label: str
    """One of the question's labels; empty where the reply has none that can be read."""
    text: str = ""
    """The judge's reply, without its thoughts; empty for a judge that was asked by the likelihood of the labels."""
    model: str = ""
    """Name of the model that answered, as the server reports it; empty for a local model, whose key tells it."""
    prompt_tokens: int = 0
    """Length of the question, tokens."""
    tokens: int = 0
    """Length of the whole reply, tokens."""
    finish_reason: str = ""
    """Reason why the reply ended, as in :class:`Completion`."""
    thoughts: int = 0
    """Number of parts ``<think> ... </think>`` that were taken off the reply."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Probe(Row):
    """A text that an evolver was asked for, with the probability of each of its tokens."""

    id: str
    """Id of the row that it was asked about."""
    text: str
    """The text, without special tokens."""
    probabilities: Sequence[float]
    """Probability of each token when it was chosen, 0 to 1 with seven digits after the point, the token that ended the
    text included; empty where no token was written."""
    finish_reason: str = ""
    """Reason why the text ended, as in :class:`Completion`."""
    prompts: str = ""
    """Prompt pack in whose words it was asked for."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Score(Row):
    """The score of one row of an instruction set: a value for each of a metric's numbers, or a reason why not."""

    id: str
    """Id of the row."""
    values: Mapping[str, float] = field(default_factory=dict)
    """Id of a number -> its value for this row; empty where the row could not be scored."""
    skipped: str = ""
    """Reason why the row has no value; empty where it has one."""
    facts: Mapping[str, Json] = field(default_factory=dict)
    """Numbers counted on the way, for instance tokens; not written where there are none."""

    def to_json(self) -> dict[str, Any]:
        """Return the row as a JSON object, without ``skipped`` and ``facts`` where they are empty."""
        return {name: value for name, value in asdict(self).items() if value or name in ("id", "values")}


@dataclass(frozen=True, slots=True, kw_only=True)
class Result(Row):
    """One number of one benchmark: a metric's value with its standard error."""

    metric: str
    """The metric's id, as the tables' columns name it."""
    value: float
    """A share of 0 to 1, a mean or a count, as the metric's measure says."""
    stderr: float
    """Standard error of ``value`` over the rows (:mod:`kit.measures.estimates`)."""
    n: int
    """Units judged; for a mean, rows."""
    unit: str
    """Name of the units: ``items``, ``prompts``, ``instructions`` or ``rows``."""
    failures: dict[str, int] = field(default_factory=dict)
    """reason -> how many of the wrong ones it explains."""
    groups: int | None = None
    """Groups that the value is a mean over; None, and not written, for other kinds."""
    step: float | None = None
    """The most by which one unit that turns out otherwise moves the value; None, and not written, for a share: 1/n."""

    def to_json(self) -> dict[str, Any]:
        """Return every field; ``groups`` and ``step`` only where there is one."""
        return {name: value for name, value in asdict(self).items() if value is not None}

    def is_sound(self, measure: Measure) -> bool:
        """Return whether a grading can have written it: numbers that its measure allows, over at least one unit."""
        texts = type(self.metric) is str and type(self.unit) is str
        errors = [number for number in (self.stderr, self.step, self.groups) if number is not None]
        finite = all(type(number) in (int, float) and 0 <= number < math.inf for number in errors)
        return texts and finite and measure.allows(self.value) and type(self.n) is int and self.n > 0


@dataclass(frozen=True, slots=True, kw_only=True)
class Turned(Row):
    """Items of a benchmark that came out otherwise when the same model answered them again in another batch order."""

    metric: str
    """The metric's id; ``texts`` where the texts themselves are compared."""
    n: int
    """Items that were compared."""
    turned: int
    """Items that differ: in a character of the text, or in the score."""
    gained: int = 0
    """Items whose score rose in the second run; 0 for texts."""
    lost: int = 0
    """Items whose score fell in the second run; 0 for texts."""
    rms: float = 0.0
    """Root of the mean square of the differences of all items' scores, in the terms of the metric's value: where an
    item is right or wrong, the root of ``turned / n``. Two such runs over N items differ by ``rms / sqrt(N)``, one
    standard error; a count differs by N times that."""

    def is_sound(self) -> bool:
        """Return whether a comparison can have written it."""
        counts = (self.n, self.turned, self.gained, self.lost)
        whole = type(self.metric) is str and all(type(count) is int and count >= 0 for count in counts)
        fits = whole and self.n > 0 and self.gained + self.lost <= self.turned <= self.n
        return fits and type(self.rms) in (int, float) and 0 <= self.rms < math.inf


@dataclass(frozen=True, slots=True, kw_only=True)
class Curve(Row):
    """One line of a metric's curve, for instance the density of one group."""

    KIND: ClassVar[str] = "curve"

    curve: str
    """The curve's id, as the plug-in's ``CURVES`` names it."""
    group: str = ""
    """The group whose line it is; empty where there is one line alone."""
    x: tuple[float, ...]
    """Places along the horizontal axis, in the unit of the curve's measure."""
    y: tuple[float, ...]
    """The value at each place."""
    error: tuple[float, ...] = ()
    """Standard error of the value at each place; empty, and not written, where there is none."""
    n: int | None = None
    """Values behind the line, for instance of a density; None, and not written, where it is not made of such."""

    def to_json(self) -> dict[str, Any]:
        """Return every field; ``error`` and ``n`` only where there is one."""
        return {name: value for name, value in asdict(self).items() if name not in ("error", "n") or value}

    @classmethod
    def from_json(cls, value: Mapping[str, Any], where: str = "") -> Self:
        """Return the curve of a decoded JSON object.

        Raises:
            RequestError: a field is missing, not known or of another type, or there is not one finite y for each x.
        """
        lists = {name: tuple(value[name]) for name in ("x", "y", "error") if isinstance(value.get(name), list)}
        found = super(Curve, cls).from_json({**value, **lists}, where)
        if fault := found.fault():
            raise RequestError(f"{where}: {fault}")
        return found

    def fault(self) -> str | None:
        """Return a sentence on the first invalid field; None if every field is valid."""
        for name in ("curve", "group"):
            if type(getattr(self, name)) is not str:
                return f"Curve: {name!r}: found {type(getattr(self, name)).__name__}, wanted a text"
        for name in ("x", "y", "error"):
            numbers = getattr(self, name)
            if type(numbers) is not tuple or not all(type(n) in (int, float) and math.isfinite(n) for n in numbers):
                return f"Curve: {name!r}: wanted a list of finite numbers"
        if not self.x or len(self.x) != len(self.y):
            return f"Curve: found {len(self.x)} x and {len(self.y)} y, wanted one y for each x, and at least one"
        if self.error and (len(self.error) != len(self.x) or min(self.error) < 0):
            return f"Curve: found {len(self.error)} errors of {len(self.x)} x, wanted one for each, none below 0"
        if self.n is not None and (type(self.n) is not int or self.n < 1):
            return f"Curve: 'n': found {self.n!r}, wanted a whole number above 0"
        return None


def dump_line(value: Mapping[str, Any]) -> str:
    """Return one JSON line, the same bytes for the same value: sorted keys, no blanks, UTF-8 kept, NaN refused."""
    return json.dumps(value, ensure_ascii=False, sort_keys=True, separators=(",", ":"), allow_nan=False) + "\n"


def write_rows(path: Path, rows: Iterable[Row]) -> int:
    r"""Write one row a line and return their number; a lone surrogate, which a model can emit, becomes ``\\udXXX``."""
    count = 0
    with path.open("w", encoding="utf-8", errors="backslashreplace", newline="\n") as file:
        for row in rows:
            file.write(dump_line(row.to_json()))
            count += 1
    return count


def read_rows(path: Path, kind: type[Row]) -> list[Any]:
    """Return every row of a JSONL file that the kit wrote."""
    return [kind.from_json(value, where) for where, value in read_objects(path)]
