"""Way of each row of an instruction set: its seed instruction, what each round made of it, and the response."""

import os
from collections.abc import Callable, Mapping
from dataclasses import dataclass, fields
from functools import partial

from kit.errors import KitError
from kit.items import checked_rows, model_of, verdicts_by_row
from kit.reading.jsonlines import read_objects
from kit.records import Instruction, Pair, Probe, Score, Verdict
from kit.stages import INSTRUCTIONS, PAIRS, PROBES, SCORES, input_instructions, input_pairs
from kit.store import Artifact, Job, Store


@dataclass(frozen=True, slots=True, kw_only=True)
class Step:
    """A text on a row's way: the seed instruction, a rewrite, the response."""

    label: str
    """Name of the step: ``seed instruction``, ``round 1, concretizing``, ``response``."""
    text: str
    by: str = ""
    """Name of the model that wrote it; empty where none did."""


Ways = dict[str, tuple[Step, ...]]
"""Id of a row -> the steps on its way, oldest first."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ScoredRow:
    """A row of an instruction set as a metric scored it."""

    id: str
    values: Mapping[str, float]
    """Id of a number -> its value for this row; empty where the row could not be scored."""
    skipped: str
    """Reason why the row has no value; empty where it has one."""
    steps: tuple[Step, ...]
    verdicts: tuple[Verdict, ...]
    """The judge's replies about this row; none where no judge was asked."""


def training_rows(store: Store, key: str) -> Ways:
    """Return the pairs that a job of stage ``sft`` trains on, each with its way.

    Raises:
        KitError: an artifact is missing, was changed, or has given its files back.
    """
    job = store.get(key).job
    return _pairs(store, job.inputs["pairs"], job)


def scored_rows(store: Store, key: str) -> list[ScoredRow]:
    """Return the rows that a job of stage ``score`` scored, in its order, each with its way.

    Raises:
        KitError: an artifact is missing, was changed, or has given its files back.
    """
    artifact = store.get(key)
    scores: list[Score] = checked_rows(store, artifact, SCORES, Score)
    ways = _scored_ways(store, artifact.job)
    verdicts = verdicts_by_row(store, artifact.job, ways)
    return [
        ScoredRow(
            id=score.id,
            values=score.values,
            skipped=score.skipped,
            steps=ways.get(score.id, ()),
            verdicts=tuple(verdicts.get(score.id, ())),
        )
        for score in scores
    ]


def _scored_ways(store: Store, job: Job) -> Ways:
    """Return the ways of the rows that a scoring read: pairs, probes or instructions."""
    if "pairs" in job.inputs:
        return _pairs(store, job.inputs["pairs"], job)
    if "probes" in job.inputs:
        made = store.get(job.inputs["probes"])
        probes: list[Probe] = checked_rows(store, made, PROBES, Probe)
        by = model_of(store, made.job)
        return {row.id: (Step(label="text that the evolver was asked for", text=row.text, by=by),) for row in probes}
    return _instructions(store, job)


def _pairs(store: Store, key: str, reader: Job) -> Ways:
    """Return the ways of the pairs of an artifact: those of a file, or responses to instructions."""
    made = store.get(key)
    if made.job.stage == "select":
        kept: list[Pair] = checked_rows(store, made, PAIRS, Pair)
        ways = _pairs(store, made.job.inputs["pairs"], made.job)
        return {row.id: ways.get(row.id, ()) for row in kept}
    if PAIRS not in made.files or made.job.stage != "respond":
        reading = input_pairs(reader.params, store.input_folder(key), reader.stage)
        return {row.id: (_seed(row), Step(label="response of the file", text=row.output)) for row in reading.rows}
    pairs: list[Pair] = checked_rows(store, made, PAIRS, Pair)
    ways, by = _instructions(store, made.job), model_of(store, made.job)
    responses = {row.id: Step(label="response", text=row.output, by=by) for row in pairs}
    return {row.id: (*ways.get(row.id, (_seed(row),)), responses[row.id]) for row in pairs}


def _instructions(store: Store, reader: Job) -> Ways:
    """Return the ways of the instructions that a job starts from."""
    if "instructions" in reader.inputs:
        return _evolved(store, reader.inputs["instructions"])
    if "seeds" in reader.inputs:
        reading = input_instructions(reader.params, {"seeds": store.input_folder(reader.inputs["seeds"])})
        return {row.id: (_seed(row),) for row in reading.rows}
    sides = sorted(role for role in reader.inputs if role.startswith("side-"))
    found: Ways = {}
    for role in sides:  # the own side last: it is the one whose texts stay
        found |= _evolved(store, reader.inputs[role])
    return found | (_evolved(store, reader.inputs[f"side-{reader.params['side']}"]) if sides else {})


def _evolved(store: Store, key: str) -> Ways:
    """Return the ways of the instructions that a step of evolution wrote."""
    made = store.get(key)
    if made.job.stage != "evolve":
        raise KitError(f"{made.job.id}: found a job of stage {made.job.stage}, wanted one of stage evolve")
    rows = _plain_instructions(store, made)
    before, by = _instructions(store, made.job), model_of(store, made.job)
    label = partial(_label, made.job)
    return {row.id: _with_rewrite(before.get(row.id, ()), row, label, by) for row in rows}


def _plain_instructions(store: Store, made: Artifact) -> list[Instruction]:
    """Return the instructions that a step wrote, without the further fields that its scenario gives its rows."""
    os.close(store.open_file(made, INSTRUCTIONS, checked=True))
    names = {one.name for one in fields(Instruction)}
    return [
        Instruction.from_json({name: value for name, value in row.items() if name in names}, where)
        for where, row in read_objects(made.folder / INSTRUCTIONS)
    ]


def _with_rewrite(
    way: tuple[Step, ...], row: Instruction, label: Callable[[Instruction], str], by: str
) -> tuple[Step, ...]:
    """Return a way with a rewrite after it; without one where a step has left the text as it was."""
    text = _text(row)
    return way if way and way[-1].text == text else (*way, Step(label=label(row), text=text, by=by))


def _label(job: Job, row: Instruction) -> str:
    """Return the name of a rewrite: its round, the scenario's step, and the operator that made it."""
    parts = [f"round {job.params['round']}", str(job.params.get("step", "")), row.operator]
    return ", ".join(part for part in parts if part)


def _seed(row: Instruction | Pair) -> Step:
    """Return a seed file's row as the first step of its way."""
    return Step(label="seed instruction", text=_text(row))


def _text(row: Instruction | Pair) -> str:
    """Return the instruction as it was asked: earlier turns, the instruction, its input."""
    turns = [f"{turn.role}: {turn.content}" for turn in row.turns_before()]
    return "\n\n".join([*turns, row.instruction, *([row.input] if row.input else [])])
