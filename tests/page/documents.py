"""Pages with made-up rows for the browser's tests: small, hostile and large ones, written as the kit writes its own."""

import base64
import hashlib
import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from kit.audit.checking import audit_paper
from kit.catalogue.claims import read_claims
from kit.check.findings import VERDICTS, Finding
from kit.claims import on_printed
from kit.items import Item
from kit.items.lineage import ScoredRow, Step
from kit.page import SCHEMA, Contents, Page
from kit.page.rows import RowSet, item_json, prompt_json, score_json, ways_json
from kit.page.runs import Cost, Runs, Setting
from kit.page.tables import CellView, CurveView, RowView, TableView
from kit.page.texts import clean_all
from kit.page.writing import html
from kit.records import Turn, Verdict

QWEN, LLAMA = "qwen-2-7b-instruct", "llama-3.1-8b-instruct"
STATES = {"right": [1, 1], "wrong": [0, 1], "partly": [1, 2], "unread": [0, 0]}
SMALL = 12
"""Items of each model in the small page."""
SOLVED = {QWEN: (0, 1, 2, 3, 7), LLAMA: (0, 3, 4)}
"""Places of the items that a model has right in the small page: 1, 2 and 7 are Qwen's alone, 4 is Llama's alone."""
HOSTILE_IDS = (
    "</script><script>window.hacked=1</script>",
    "javascript:window.hacked=1",
    "a&b#c=d%20e+f?g/../h",
    "100% %zz",
    "\u202ereversed",
    "constructor",
    "__proto__",
    "\u6f22\u5b57 \U0001f600 'quoted\" \\u0041",
)
LONG = 100_000
"""Characters of the long text."""
HOSTILE_TEXTS = (
    "</script><script>window.hacked = 1</script><!--<script>",
    "<img src=x onerror='window.hacked = 1'> &lt;b&gt; <svg onload=window.hacked=1>",
    "[link](javascript:window.hacked=1) {{ 7 * 7 }} ${window.hacked=1}",
    "right to left: \u202eevil\u202c, \x1b[31mred\x1b[0m \x07 \x00 half \ud83d",
    "x" * LONG,
)
PICTURE = (
    "<svg xmlns='http://www.w3.org/2000/svg' width='900' height='120'><path d='M0 9L900 99' stroke='black'/></svg>"
)


def item(id: str, state: str = "right", text: str = "", **fields: Any) -> Item:
    """Return an item with an outcome, and a prompt of its own."""
    values: dict[str, Any] = {
        "prompt": (Turn(role="system", content="Answer."), Turn(role="user", content=f"What is {id}?")),
        "problem": {"question": f"What is {id}?", "answer": "42"},
        "text": text or f"The answer to {id} is 42.",
        "finish_reason": "stop",
        "prompt_tokens": 9,
        "tokens": 12,
        "scores": {"pass@1": STATES[state]},
        "answer": "42",
        "reason": "" if state == "right" else "the tests fail",
        "state": state,
    }
    return Item(id=id, **{**values, **fields})


class Made:
    """Sets, blocks and jobs of a page that is being made up."""

    def __init__(self) -> None:
        self.sets: dict[str, RowSet] = {}
        self.blocks: dict[str, Any] = {}
        self.jobs: dict[str, Any] = {}

    def items(self, id: str, evolver: str, items: Sequence[Item], benchmark: str = "humaneval", **fields: Any) -> None:
        """Add the items of a grading; models that were asked the same share a block of prompts."""
        prompts = {"prompts": {clean_all(one.id): prompt_json(one) for one in items}}
        asked = next((name for name, block in self.blocks.items() if block == prompts), f"p-{id}")
        self.blocks |= {f"b-{id}": {"items": [item_json(one) for one in items]}, asked: prompts}
        self.add(
            id, "items", benchmark, evolver, len(items), block=f"b-{id}", prompts=asked, metrics=["pass@1"], **fields
        )

    def pairs(self, id: str, evolver: str, ways: Mapping[str, Sequence[Step]]) -> None:
        """Add the pairs that a model was tuned on."""
        self.blocks[f"b-{id}"] = ways_json({name: tuple(way) for name, way in ways.items()})
        self.add(id, "pairs", "", evolver, len(ways), block=f"b-{id}")

    def scores(self, id: str, evolver: str, rows: Sequence[ScoredRow]) -> None:
        """Add rows that a metric scored."""
        self.blocks[f"b-{id}"] = {"rows": [score_json(row) for row in rows]}
        self.blocks[f"t-{id}"] = ways_json({row.id: row.steps for row in rows})
        self.add(id, "scores", "ifd", evolver, len(rows), block=f"b-{id}", texts=f"t-{id}", metrics=["ifd"])

    def add(self, id: str, kind: Any, benchmark: str, evolver: str, count: int, **fields: Any) -> None:
        """Add a set, and the job that made it out of another one."""
        key, fetched = (hashlib.sha256(name.encode(errors="backslashreplace")).hexdigest() for name in (id, benchmark))
        self.sets[id] = RowSet(
            id=id,
            kind=kind,
            title=f"{benchmark or kind}: {evolver}",
            job=key,
            benchmark=benchmark,
            at={"evolver": evolver},
            count=count,
            numbers=[("table-2", f"{evolver}, {benchmark}", "match: as recorded")],
            **fields,
        )
        facts = [("commit", "c0ffee"), ("image", "none: it ran without a container"), ("machine", "Test CPU, 2 cores")]
        made = {
            "stage": "grade",
            "params": {"benchmark": benchmark},
            "facts": facts,
            "command": f"kit store show {key[:12]}",
        }
        self.jobs[key] = {"id": f"{kind}/{benchmark}/{evolver}", "inputs": {"data": fetched, "gone": "b" * 64}, **made}
        self.jobs[fetched] = {**made, "id": f"fetch/{benchmark or 'alpaca'}", "inputs": {}}

    def write(self, file: Path, *, served: bool = False) -> Path:
        """Write the page into a file, and return its path."""
        file.write_text(html(self.page(served=served)), encoding="utf-8")
        return file

    def page(self, *, served: bool = False) -> Page:
        """Return the page, with a table whose numbers lead to the sets, a figure, claims and the audit."""
        blocks = {**self.blocks, "jobs": {"jobs": clean_all(self.jobs)}}
        sets = [clean_all(one.to_json()) for one in self.sets.values()]
        claims = read_claims()
        cost = Cost(stage="grade", jobs=4, rows=48, seconds=90.0, gpu_seconds=3600.0)
        facts = (("commit", "c0ffee"), ("machine", "Test CPU"))
        return Page(
            contents=Contents(
                scale="smoke",
                store=None,  # type: ignore[arg-type]
                grids=(),
                findings=[finding(verdict) for verdict in VERDICTS],
                printed_claims=on_printed(claims.claim[:12], claims.claim),
                families=claims.families,
                audit=audit_paper([]),
            ),
            tables=(table(list(self.sets)), figure(list(self.sets))),
            runs=Runs(settings=[Setting(facts=facts, jobs=4, seconds=90.0)], costs=[cost], total=cost),
            head={"schema": SCHEMA, "served": served, "scale": "smoke", "sets": sets},
            blocks={id: json.dumps(block).encode() for id, block in blocks.items()},
        )


def finding(verdict: str) -> Finding:
    """Return a finding on a number, with a verdict."""
    return Finding(check="expected", table="table-2", what="a", passed=True, detail="a reason", verdict=verdict)


def table(sets: Sequence[str]) -> TableView:
    """Return a table in which each verdict stands, and whose numbers lead to sets; ten columns, wider than a phone."""
    lines = [sets[place : place + 10] for place in range(0, len(sets), 10)] or [[]]
    rows = [
        RowView(names=(f"model {line}", "llama-3-8b"), cells=tuple(cell(line, place, found) for place in range(10)))
        for line, found in enumerate(lines)
    ]
    return TableView(
        **_view("table-2", "Scores of the tuned models"),
        axes=("evolver", "base"),
        columns=tuple(f"Benchmark {place}" for place in range(10)),
        rows=tuple(rows),
        curves=(),
    )


def cell(line: int, place: int, sets: Sequence[str]) -> CellView:
    """Return a number; those after the last set lead nowhere, and the last is none."""
    if place == 9:
        return CellView(ours="", paper="")
    verdict = ("", *VERDICTS)[(line + place) % 5]
    found = (sets[place],) if place < len(sets) else ()
    return CellView(
        ours="33.33 \N{PLUS-MINUS SIGN}13.6",
        paper="62.00",
        verdict=verdict,
        why="why",
        sets=found,
        name=f"cell {place}",
    )


def figure(sets: Sequence[str]) -> TableView:
    """Return a figure, with curves that lead to sets."""
    return TableView(
        **_view("figure-3", "Scores by round"),
        axes=(),
        columns=(),
        rows=(),
        curves=tuple(CurveView(name=f"curve {id}", verdict="match", why="why", sets=(id,)) for id in sets[:2]),
        picture=f"data:image/svg+xml;base64,{base64.b64encode(PICTURE.encode()).decode()}",
        picture_text="A line that falls.",
    )


def _view(name: str, title: str) -> dict[str, Any]:
    notes = ("Units behind a cell: 12.",)
    found = {"how_to_read": "Points", "disclaimer": "Made up", "players": {QWEN: "smollm2-36l"}, "notes": notes}
    return {
        "name": name,
        "label": name.title().replace("-", " "),
        "title": title,
        "counts": "1 match",
        **found,
        "findings": (("no", "alive", "all zero"),),
    }


def small(file: Path) -> Path:
    """Write the page of two models, of few items each."""
    return small_page().write(file)


def small_page() -> Made:
    """Return a page with two models' answers to HumanEval, judged answers, two sets of pairs and of scores."""
    made = Made()
    for id, evolver in (("s1", QWEN), ("s2", LLAMA)):
        items = [
            item(f"HumanEval/{place}", "right" if place in SOLVED[evolver] else "wrong", text=code(evolver, place))
            for place in range(SMALL)
        ]
        made.items(id, evolver, items, trained_on="r1" if evolver == QWEN else "r2")
    verdicts = (Verdict(id="q1", label="Yes", text="It follows."), Verdict(id="q2", label="", model="gpt-4"))
    judged = [item(f"follow/{place}", state, verdicts=verdicts) for place, state in enumerate(STATES)]
    made.items("s3", QWEN, judged, "followbench", note="The judge's prompts are not known.")
    for id, scored, evolver in (("r1", "c1", QWEN), ("r2", "c2", LLAMA)):
        made.pairs(id, evolver, {f"alpaca/{place}": way(evolver, place) for place in range(5)})
        made.scores(scored, evolver, [score(evolver, place) for place in range(5)])
    return made


def code(evolver: str, place: int) -> str:
    """Return a model's answer: the same from both where the place is 0, else one word of each differs."""
    return f"def solve(x):\n    return x + {place if place == 0 or evolver == QWEN else -place}\n"


def way(evolver: str, place: int) -> tuple[Step, ...]:
    """Return a row's way in two rounds: the first adds words, the second leaves all as it is."""
    seed = f"Name {place} animals that sleep."
    longer = f"Name {place} animals that sleep through the winter, {evolver}."
    rounds = [Step(label=f"round {number}, deepening", text=longer, by=evolver) for number in (1, 2)]
    return (Step(label="seed instruction", text=seed), *rounds, Step(label="response", text="Bears.", by=evolver))


def score(evolver: str, place: int) -> ScoredRow:
    """Return a row with its number; the last has none."""
    value = {"ifd": 0.5 + place / 10 + (evolver == LLAMA) / 100}
    skipped = "the response is empty" if place == 4 else ""
    return ScoredRow(
        id=f"alpaca/{place}", values={} if skipped else value, skipped=skipped, steps=way(evolver, place), verdicts=()
    )


def hostile(file: Path) -> Path:
    """Write a page whose every text, id, title and note was written by somebody who means harm."""
    made = Made()
    for number, name in enumerate(HOSTILE_TEXTS[:4]):
        evil = {
            "verdicts": (Verdict(id=name, label=name, text=name, model=name),),
            "prompt": (Turn(role="user", content=name),),
            "problem": {name: name},
            "answer": name,
            "reason": name,
            "finish_reason": name,
        }
        items = [
            item(id, "wrong", text=HOSTILE_TEXTS[place % len(HOSTILE_TEXTS)], **evil)
            for place, id in enumerate(HOSTILE_IDS)
        ]
        made.items(f"s{number}", name, items, f"humaneval{name}" if number > 1 else "humaneval", note=name, store=name)
    steps = tuple(Step(label=f"round {text}", text=text, by=text) for text in HOSTILE_TEXTS)
    made.pairs("r8", HOSTILE_TEXTS[0], dict.fromkeys(HOSTILE_IDS, steps))
    rows = [ScoredRow(id=id, values={}, skipped=HOSTILE_TEXTS[1], steps=steps, verdicts=()) for id in HOSTILE_IDS]
    made.scores("c9", HOSTILE_TEXTS[1], rows)
    return made.write(file)


def large(file: Path) -> Path:
    """Write a page with 20 sets of 1,000 items: one in four is right, one in a hundred has the word needle."""
    made = Made()
    for number in range(20):
        items = [
            item(
                f"gsm8k/{place}",
                "right" if place % 4 == 0 else "wrong",
                text=f"{'Needle' if place % 100 == 0 else 'Straw'} {number} {place}",
            )
            for place in range(1000)
        ]
        made.items(f"s{number}", f"model-{number}", items, "gsm8k")
    return made.write(file)
