"""Scenarios, the ways to evolve instructions. A scenario is a file of this folder that satisfies :class:`Scenario`.

A scenario is its steps, in order; a round goes through all of them, and each is a job of its own. A step reads what the
step before it wrote; the first one reads the seeds, or what the round before wrote.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Literal, Protocol

from kit import registry
from kit.engines import Request
from kit.errors import RequestError, did_you_mean, shown
from kit.prompts import Pack
from kit.records import Completion, Instruction
from kit.sandbox import Sandbox
from kit.workers import find_kind


@dataclass(frozen=True, slots=True, kw_only=True)
class Work:
    """Rows and parameters that a step works on."""

    rows: Sequence[Any]
    """Rows of its own evolver: what the step before it wrote, or the last round, or the seeds."""
    params: Mapping[str, Any]
    """``round`` (1 for the first) and ``seed``; ``breadth`` where a model writes; ``options`` where the step takes
    some."""
    sides: Sequence[Sequence[Any]] = ()
    """The same rows of every evolver of the experiment, in its order; for a step with ``sides="all"``."""
    side: int = 0
    """Place of its own evolver among the sides."""
    data: Mapping[str, Sequence[Instruction]] = field(default_factory=dict)
    """Seed sets that the step names in its own ``data``."""


class Tools(Protocol):
    """Interface of what a step works with; each is there for the kind of worker that has it, else a KitError."""

    @property
    def pack(self) -> Pack:
        """Return those templates that the step names in its ``prompts``."""
        ...

    def generate(self, requests: Sequence[Request]) -> Sequence[Completion]:
        """Ask the evolver, with the sampling of the job; one completion a request, in order."""
        ...

    def sandbox(self) -> Sandbox:
        """Return the sandbox, where model-written code runs."""
        ...

    def progress(self, done: int, total: int) -> None:
        """Report how far the step is, as often as it likes; while the evolver is asked, ``generate`` does."""
        ...


@dataclass(frozen=True, slots=True, kw_only=True)
class Made:
    """Rows that a step wrote, and what became of the others."""

    rows: Sequence[Instruction]
    dropped: Mapping[str, int] = field(default_factory=dict)
    """Reason -> how many rows were left out for it; the artifact's facts hold it. A step without ``expects``
    counts here every row that it reads and leaves out."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Amount:
    """Numbers that a step is expected to write."""

    texts: int
    """Texts of the evolver; 0 for a step in which no model writes."""
    rows: int
    """Rows."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Step:
    """One step of a scenario: what it does, and what it needs for that."""

    run: Callable[[Work, Tools], Made]
    """Makes rows out of rows; the same work gives the same rows."""
    version: int = 1
    """Raised when this step alone gives other rows: the steps before it are not computed anew."""
    worker: str = "text"
    """The kind of worker that runs it, a name of :data:`kit.workers.KINDS`; none that fetches."""
    prompts: Sequence[str] = ()
    """Ids of the templates that it may use."""
    sides: Literal["own", "all"] = "own"
    """``all``: it reads the rows of every evolver of the experiment, whatever a table shows of them. Each evolver's job
    gets the same sides in the same order and writes its own part."""
    data: Sequence[str] = ()
    """Seed sets that it reads beside its rows, by the names that a scale gives rows to."""
    makes: type[Instruction] = Instruction
    """Type of the rows that it writes: a scenario may add fields of its own to an instruction's. The last step's rows
    are plain instructions."""
    expects: Callable[[Sequence[int]], int] | None = None
    """Expected number of rows, by that of each side; None where every row of its own side is kept. For estimates; not
    asked where the number of a side is not known."""
    options: Mapping[str, Any] = field(default_factory=dict)
    """Options that it takes, each with its default: fields of :class:`~kit.catalogue.options.ScenarioOptions`. Only
    these are in the key of its jobs, in ``params["options"]``."""
    amount: Callable[[Sequence[int], int, Mapping[str, Any]], Amount] | None = None
    """Expected numbers, by the rows of each side, the place of its own side and the options, with ``max_tokens`` where
    a model writes; for a step that does not write one text a row. It stands in the place of ``expects``."""


class Scenario(Protocol):
    """Interface of a file in ``kit/scenarios``: the names that its module must define."""

    VERSION: int
    """Raised when the same rows evolve differently; part of the key of every step."""
    STEPS: Mapping[str, Step]
    """Name -> step, in order. A name is in the key where there are several.

    Three names more are optional. ``check_data(data, options)``: see :func:`check_data`. ``RESPONSE_PROMPT``: id of the
    template by which its instructions are answered, where ``respond.with_input`` and ``respond.without_input`` do not;
    each of them has an input then.
    ``ROUNDS``: the most rounds, if there is a limit.
    """


def steps_of(scenario: str) -> Mapping[str, Step]:
    """Return the steps of a scenario, in order.

    Raises:
        RequestError: there is no such scenario, or its version or its steps are not as :class:`Scenario` has it.
    """
    module = registry.load("scenarios", scenario)
    version, found = (getattr(module, name, None) for name in ("VERSION", "STEPS"))
    if type(version) is not int:
        raise RequestError(f"scenarios/{scenario}.py: VERSION: found {shown(version)}, wanted a whole number")
    where = f"scenarios/{scenario}.py: STEPS"
    if not isinstance(found, Mapping) or not all(isinstance(step, Step) for step in found.values()):
        raise RequestError(f"{where}: found {shown(found)}, wanted a Step for each name")
    if not found:
        raise RequestError(f"{where}: no step; wanted one at least")
    for name, step in found.items():
        _check_step(name, step, where)
    if len(found) == 1 and next(iter(found.values())).version != 1:
        raise RequestError(f"{where}: a version of the only step; raise the scenario's VERSION")
    name, last = list(found.items())[-1]
    if last.makes is not Instruction:
        raise RequestError(f"{where}: {name} is the last step and makes {last.makes.__name__}; wanted Instruction")
    return found


def options_of(scenario: str) -> dict[str, Any]:
    """Return the options that a scenario's steps take, each with its default."""
    return {name: value for step in steps_of(scenario).values() for name, value in step.options.items()}


def data_of(scenario: str) -> tuple[str, ...]:
    """Return the names of the seed sets that a scenario's steps read beside their rows."""
    return tuple(dict.fromkeys(name for step in steps_of(scenario).values() for name in step.data))


def check_data(scenario: str, data: Mapping[str, Sequence[Instruction]], options: Mapping[str, Any]) -> None:
    """Check the seed sets that a scenario reads beside its rows, before a model is asked; where its file can tell.

    Args:
        scenario: name of the scenario.
        data: seed sets, by the names of :func:`data_of`.
        options: options that were given; others have their defaults.

    Raises:
        RequestError: a seed set will not do.
    """
    if check := getattr(registry.load("scenarios", scenario), "check_data", None):
        check(data, options_of(scenario) | dict(options))


def check_round(scenario: str, round: int, where: str) -> None:
    """Check that a scenario goes through so many rounds, which is as many as one likes unless its file has ``ROUNDS``.

    Raises:
        RequestError: it goes through fewer.
    """
    most = getattr(registry.load("scenarios", scenario), "ROUNDS", None)
    if most is not None and round > most:
        raise RequestError(f"{where}: {scenario} goes through {most} round; found round {round}, wanted {most} at most")


def response_prompt(scenario: str) -> str:
    """Return the id of the template by which a scenario's instructions are answered; empty for the general ones."""
    return str(getattr(registry.load("scenarios", scenario), "RESPONSE_PROMPT", ""))


def check_inputs(scenario: str, rows: Sequence[Instruction], where: str) -> None:
    """Check that each row has the input that a scenario's own template for responses shows, where it has a template.

    Args:
        scenario: name of the scenario; empty for none.
        rows: instructions to respond to.
        where: their file, for the message.

    Raises:
        RequestError: a row has none.
    """
    without = [row.id for row in rows if not row.input.strip()]
    if without and scenario and response_prompt(scenario):
        raise RequestError(
            f"{where}: {len(without):,} of {len(rows):,} rows have no input, first {shown(without[0])}; {scenario} "
            "shows instruction and input apart, a chat holds both in one turn: evolve from a file of lines or Alpaca's "
            "records, or leave --scenario out"
        )


def _check_step(name: object, step: Step, where: str) -> None:
    """Check a step's name and kind of worker.

    Raises:
        RequestError: one of them is none.
    """
    if not isinstance(name, str) or not name.isidentifier():
        raise RequestError(f"{where}: {shown(name)} is no name of a step; wanted letters, digits and underscores")
    if find_kind(step.worker, f"{where}: {name}: worker").fetches:
        raise RequestError(
            f"{where}: {name}: worker: found {step.worker!r}, which computes nothing; wanted another kind"
        )


def step_name(scenario: str, params: Mapping[str, Any]) -> str:
    """Return the name of the step that a job's parameters name; the only one's where there is one.

    Raises:
        RequestError: there is no such step.
    """
    known = steps_of(scenario)
    name = params.get("step") if len(known) > 1 else next(iter(known))
    if not isinstance(name, str) or name not in known:
        close = did_you_mean(name, known) if isinstance(name, str) else f"; known: {', '.join(known)}"
        raise RequestError(f"scenarios/{scenario}.py: no step named {shown(name)}{close}")
    return name
