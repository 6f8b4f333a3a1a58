"""Rows that the page's explorer shows: sets of items, pairs and scores, and the jobs behind them, as JSON documents.

Each set has a short id (``s3``) and a block of rows that the page opens when it is asked for. Blocks of the same
content are one block: the problems of a benchmark stand once, however many models answered them.
"""

import hashlib
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Literal

from kit.catalogue.axes import Coordinates, value_text
from kit.errors import KitError
from kit.items import Graded, Item, graded_items
from kit.items.lineage import ScoredRow, Step, Ways, scored_rows, training_rows
from kit.page.texts import clean, clean_all
from kit.records import Verdict
from kit.store import Job, Store


@dataclass(slots=True, kw_only=True)
class RowSet:
    """One set of rows that the explorer lists: its place, its size, and the blocks that hold its rows."""

    id: str
    kind: Literal["items", "pairs", "scores"]
    title: str
    job: str
    """Key of the job that made it, or of the training that read it."""
    count: int = 0
    at: Mapping[str, str] = field(default_factory=dict)
    """axis -> value, of the first number that leads to it."""
    benchmark: str = ""
    """Name of the benchmark or metric; empty for pairs."""
    metrics: Sequence[str] = ()
    """Ids of the numbers that its rows have."""
    block: str = ""
    """Id of the block with its rows; empty where they can't be read."""
    prompts: str = ""
    """Id of the block with the problems of its items."""
    texts: str = ""
    """Id of the block with the texts of its scored rows."""
    trained_on: str = ""
    """Id of the set of pairs that the answering model was tuned on."""
    numbers: list[tuple[str, str, str]] = field(default_factory=list)
    """Table, place in it, and the number with its verdict, of each that is counted from these rows."""
    store: str = ""
    """Name of the store, where it is another than the page's own."""
    note: str = ""
    """Sentence on what is not known of the rows, or on why there are none."""

    def to_json(self) -> dict[str, Any]:
        """Return the set as the page's head has it; empty fields are left out."""
        names = tuple(self.__dataclass_fields__)
        return {name: found for name in names if (found := getattr(self, name)) or name in ("id", "count")}


class Explorer:
    """Sets and blocks of rows behind the numbers of one store, each read once."""

    def __init__(self, store: Store, *, name: str = "", prefix: str = "") -> None:
        self.store = store
        self.sets: dict[str, RowSet] = {}
        """Key of a grading, scoring or training -> its set."""
        self.blocks: dict[str, bytes] = {}
        """Id of a block -> its JSON."""
        self._name, self._prefix = name, prefix

    def add(self, key: str, table: str, place: str, at: Coordinates, said: str = "") -> RowSet | None:
        """Return the set of rows that a number is counted from; None while its job is not done.

        Args:
            key: key of a grading or a scoring.
            table: name of the number's table.
            place: place of the number in it, for people.
            at: coordinates of the number.
            said: the number with its verdict and the reason.
        """
        if not self.store.has(key):
            return None
        if key not in self.sets:
            job = self.store.get(key).job
            self.sets[key] = self._read(job, {axis: value_text(value) for axis, value in at.items()})
        found = self.sets[key]
        if (table, place, said) not in found.numbers:
            found.numbers.append((table, place, said))
        return found

    def jobs(self) -> dict[str, Job]:
        """Return the jobs behind the sets by key: those that made them, and all whose artifacts these read."""
        found: dict[str, Job] = {}
        waiting = list(self.sets)
        while waiting:
            key = waiting.pop()
            if key not in found and self.store.has(key):
                found[key] = self.store.get(key).job
                waiting += found[key].inputs.values()
        return found

    def _read(self, job: Job, at: Mapping[str, str]) -> RowSet:
        """Return a new set with its blocks; where its rows can't be read, it has a note that says why."""
        kind: Literal["items", "scores"] = "items" if job.stage == "grade" else "scores"
        name = str(job.params.get("benchmark", job.params.get("metric", "")))
        places = ", ".join(value for axis, value in at.items() if value != name)
        found = self._new(kind, f"{name}: {places}" if places else name, job.key)
        found.at, found.benchmark = at, name
        try:
            if kind == "items":
                self._fill_items(found, graded_items(self.store, job.key))
            else:
                self._fill_scores(found, scored_rows(self.store, job.key))
        except KitError as error:
            found.note = f"Its rows can't be shown: {error}"
        return found

    def _new(self, kind: Literal["items", "pairs", "scores"], title: str, key: str) -> RowSet:
        letter = {"items": "s", "pairs": "r", "scores": "c"}[kind]
        id = f"{self._prefix}{letter}{len(self.sets) + 1}"
        return RowSet(id=id, kind=kind, title=title, job=key, store=self._name)

    def _fill_items(self, found: RowSet, graded: Graded) -> None:
        """Give a set the items of a grading, their problems, and the pairs that the model was tuned on."""
        found.count, found.metrics, found.note = len(graded.items), tuple(graded.metrics), graded.note
        found.block = self._block({"items": [item_json(item) for item in graded.items]})
        found.prompts = self._block({"prompts": {clean(item.id): prompt_json(item) for item in graded.items}})
        found.trained_on = self._training(graded.job)

    def _fill_scores(self, found: RowSet, rows: Sequence[ScoredRow]) -> None:
        """Give a set the scored rows and their texts."""
        found.count = len(rows)
        found.metrics = tuple(dict.fromkeys(name for row in rows for name in row.values))
        found.texts = self._block(ways_json({row.id: row.steps for row in rows}))
        found.block = self._block({"rows": [score_json(row) for row in rows]})

    def _training(self, grading: Job) -> str:
        """Return the id of the set of pairs behind a grading; empty where its model was not tuned here."""
        answers = grading.inputs["completions"]
        made = self.store.get(answers).job if self.store.has(answers) else grading
        key = made.inputs.get("adapter", made.inputs.get("model", ""))
        if not key or not self.store.has(key) or (tuning := self.store.get(key).job).stage != "sft":
            return ""
        if key not in self.sets:
            found = self.sets[key] = self._new("pairs", f"pairs: {tuning.id.partition('/')[2]}", key)
            try:
                ways = training_rows(self.store, key)
                found.count, found.block = len(ways), self._block(ways_json(ways))
            except KitError as error:
                found.note = f"Its rows can't be shown: {error}"
        return self.sets[key].id

    def _block(self, document: Any) -> str:
        """Return the id of the block with this content, which is made if there is none yet."""
        content = json.dumps(document, ensure_ascii=False, separators=(",", ":")).encode()
        id = f"b{hashlib.sha256(content).hexdigest()[:12]}"
        self.blocks[id] = content
        return id


def item_json(item: Item) -> dict[str, Any]:
    """Return an item as a block has it, with all its texts made safe to show."""
    fields = {
        "id": item.id,
        "text": item.text,
        "finish": item.finish_reason,
        "tokens": item.tokens,
        "scores": {name: list(score) for name, score in item.scores.items()},
        "state": item.state,
        "answer": item.answer,
        "reason": item.reason,
        "verdicts": [verdict_json(verdict) for verdict in item.verdicts],
    }
    return {name: clean_all(value) for name, value in fields.items() if value or name in ("id", "text", "state")}


def prompt_json(item: Item) -> dict[str, Any]:
    """Return what an item asked: the chat's turns, and the problem's own fields as text."""
    turns = [{"role": clean(turn.role), "content": clean(turn.content)} for turn in item.prompt]
    return {"turns": turns, "problem": clean(json.dumps(item.problem, ensure_ascii=False, indent=1))}


def verdict_json(verdict: Verdict) -> dict[str, str]:
    """Return a judge's verdict as a block has it."""
    return {"id": verdict.id, "label": verdict.label, "text": verdict.text, "model": verdict.model}


def ways_json(ways: Ways) -> dict[str, Any]:
    """Return rows with their texts from seed instruction to response."""
    return {"rows": [{"id": clean(id), "texts": [step_json(step) for step in way]} for id, way in ways.items()]}


def step_json(step: Step) -> dict[str, str]:
    """Return one text on a row's way as a block has it."""
    return {"label": clean(step.label), "text": clean(step.text), "by": clean(step.by)}


def score_json(row: ScoredRow) -> dict[str, Any]:
    """Return a scored row as a block has it; its texts stand in another block."""
    verdicts = [clean_all(verdict_json(verdict)) for verdict in row.verdicts]
    fields = {"values": clean_all(dict(row.values)), "skipped": clean(row.skipped), "verdicts": verdicts}
    return {"id": clean(row.id), **{name: value for name, value in fields.items() if value}}
