"""Damaged files of a user: seeds and pairs, a benchmark's problems, completions of other tools.

A file is refused with a sentence, or what comes back are its own texts, each in its place: none lost, none changed.
"""

import functools
import gzip
import io
import math
from pathlib import Path
from random import Random
from typing import Any

from kit import registry
from kit.benchmarks import Judged
from kit.files.completions import read_completions
from kit.files.formats import open_rows
from kit.files.seeds import instructions_of, read_instructions, read_pairs, read_training
from kit.files.texts import Mended
from kit.files.writing import write_back
from kit.records import Instruction, Pair, Problem
from tests.fuzz import changes, graders, outcomes
from tests.fuzz.outcomes import Ended, FaultError

NAME = "files"
CPU_S = 20.0
ASLEEP_S = 20.0
IN_A_ROW = 100
ALPACA: list[dict[str, Any]] = [
    {"id": "a", "instruction": "Name a colour.", "input": "", "output": "Red."},
    {
        "id": "b",
        "instruction": "Add.",
        "input": "1 and 2",
        "output": "3",
        "system": "Be brief.",
        "history": [["Hi.", "Hello."]],
    },
    {"id": "c", "instruction": "Say something in Greek.", "input": "", "output": "Γειά σου."},
]
CHATS: dict[str, list[dict[str, Any]]] = {
    "sharegpt": [
        {"id": "a", "conversations": [{"from": "human", "value": "Hi."}, {"from": "gpt", "value": "Hello."}]},
        {
            "id": "b",
            "source": "web",
            "conversations": [
                {"from": "system", "value": "Be brief."},
                {"from": "human", "value": "Add 1 and 2."},
                {"from": "gpt", "value": "3"},
                {"from": "human", "value": "In Greek?"},
                {"from": "gpt", "value": "τρία"},
            ],
        },
    ],
    "messages": [
        {"messages": [{"role": "user", "content": "Hi."}, {"role": "assistant", "content": "Hello."}], "tag": 1},
        {
            "messages": [
                {"role": "system", "content": [{"type": "text", "text": "Be brief."}]},
                {"role": "user", "content": "Add 1 and 2.", "name": "Ann"},
                {"role": "assistant", "content": [{"type": "text", "text": "3"}]},
                {"role": "user", "content": "In Greek?"},
                {"role": "assistant", "content": "τρία"},
            ],
        },
    ],
}
"""Chats, by the format of their turns."""
TABLES = ("csv", "parquet")
"""Containers whose bytes are changed; changed values are those of the other layouts."""
ANSWERS = ("completion", "response", "output")
LAYOUTS = ("json", "jsonl", "gzip")


@functools.cache
def problems() -> list[Problem]:
    """Return the problems that completions are read for."""
    rows = [{"question": f"What is {n} + 1?", "answer": f"#### {n + 1}"} for n in range(3)]
    return [Problem(id=str(n), data=row) for n, row in enumerate(rows)]


def document(kind: str) -> list[dict[str, Any]]:
    """Return the records of a kind of file before they are changed."""
    if kind in ("instructions", "training", "pairs"):
        return ALPACA
    if kind in CHATS:
        return CHATS[kind]
    if kind in TABLES:
        return [{name: row[name] for name in ("id", "instruction", "input", "output")} for row in ALPACA]
    if kind == "completions":
        return [{"id": n, "prompt": f"What is {n} + 1?", "completion": f"It is {n + 1}."} for n in range(3)]
    return [dict(problem.data) for problem in graders.problems(kind)[:3]]


def spec(rng: Random, number: int) -> dict[str, Any]:
    """Return one case, drawn at random."""
    own = ("instructions", "training", "pairs", *CHATS, *TABLES)
    kind = rng.choice((*own, "completions", "completions", *graders.names()))
    if kind in TABLES:
        return {"kind": kind, "layout": kind, "changes": [["add", [0], "x", "y"], changes.byte_change(rng)]}
    layout = rng.choice(LAYOUTS)
    made = [changes.value_change(rng, document(kind))]
    if layout != "jsonl" and rng.random() < 0.2:
        made.append(changes.byte_change(rng))
    elif rng.random() < 0.15:
        made.append(["become", rng.choice(changes.KINDS)])
    return {"kind": kind, "layout": layout, "changes": made}


def group(case: dict[str, Any]) -> str:
    """Return what a case is counted under."""
    return f"files: {case['kind']}"


def run(case: dict[str, Any], folder: Path) -> dict[str, Any]:
    """Write the changed file and read it.

    Raises:
        FaultError: anything but rows or a sentence; rows that are not the file's.
    """
    kind = case["kind"]
    path = folder / {"json": "rows.json", "csv": "rows.csv", "parquet": "rows"}.get(case["layout"], "rows.jsonl")
    rows = changes.changed(document(kind), case["changes"][0])
    path.write_bytes(_written(rows, case["layout"]))
    whole = True
    for change in case["changes"][1:]:
        whole = not changes.change_file(path, change)
    if kind in graders.names():
        ended = outcomes.call(lambda: _graded(kind, path))
    else:
        ended = outcomes.call(lambda: _read(kind, path))
    if ended.refused:
        return {"end": outcomes.REFUSED}
    if not path.is_file() or str(path.resolve()).startswith("/dev/"):
        raise FaultError("silent acceptance", f"read from what is no file: {case['changes'][1:]}")
    if not whole or not isinstance(rows, list):
        return {"end": outcomes.ACCEPTED}
    _check(kind, rows, ended)
    same = changes.dumped(rows) == changes.dumped(document(kind))
    return {"end": outcomes.EQUAL if same else outcomes.ACCEPTED}


def _written(rows: Any, layout: str) -> bytes:
    """Return the bytes of a file with these rows."""
    if layout == "csv":
        lines = [",".join(f'"{cell}"' for cell in (*row.values(), "")[:5]) for row in rows]
        return "\n".join((",".join([*rows[1], "x"]), *lines, "")).encode()
    if layout == "parquet":
        return _parquet(rows)
    if layout == "jsonl" and isinstance(rows, list):
        return b"\n".join(changes.dumped(row).replace(b"\n", b"") for row in rows) + b"\n"
    data = changes.dumped(rows)
    return gzip.compress(data) if layout == "gzip" else data


def _parquet(rows: Any) -> bytes:
    """Return the bytes of a Parquet file with these rows."""
    import pyarrow
    import pyarrow.parquet

    sink = io.BytesIO()
    pyarrow.parquet.write_table(pyarrow.Table.from_pylist(rows), sink)
    return sink.getvalue()


def _read(kind: str, path: Path) -> Any:
    """The rows of a user's file, by the reader of its kind."""
    if kind == "completions":
        return read_completions(path, problems(), benchmark="gsm8k").texts
    if kind == "instructions":
        return read_instructions(path, "alpaca", "mine")
    if kind in CHATS or kind in TABLES:
        return _written_back(path, folder=path.parent)
    return read_pairs(path) if kind == "pairs" else read_training(path).rows


def _written_back(path: Path, folder: Path) -> Any:
    """The rows of a file, after they were written back and read again.

    Raises:
        FaultError: other rows came back.
    """
    origin = open_rows(path)
    rows = instructions_of(origin, origin.stem)
    write_back(range(len(rows)), origin, folder / "kept")
    kept = [record for _, record in open_rows(folder / "kept", origin.format).records]
    if kept != [record for _, record in origin.records]:
        raise FaultError("silent acceptance", f"{kept!r:.300} written for {origin.records!r:.300}")
    write_back([Pair(**_pair(row)) for row in rows], origin, folder / "answered")
    again = instructions_of(open_rows(folder / "answered", origin.format), origin.stem)
    wanted, found = ([_pair(row) for row in Mended().file_rows(some)] for some in (rows, again))
    if origin.container != "lines" and found != wanted:
        raise FaultError("silent acceptance", f"{found!r:.300} written for {wanted!r:.300}")
    return rows


def _pair(row: Instruction) -> dict[str, Any]:
    """The fields of a row that a pair has."""
    return {name: getattr(row, name) for name in ("id", "instruction", "input", "output", "system", "history")}


def _graded(benchmark: str, path: Path) -> Any:
    """The problems of a file, after texts were graded by them."""
    module = registry.load("benchmarks", benchmark)
    found = module.read(path)
    if isinstance(module, Judged):
        return found  # what a judge decides is made up in graders.py
    sandbox = graders.sandbox() if module.RUNS_CODE else None
    module.grade(found, ["", *["def f(x):\n    return 42"] * (len(found) - 1)], "default", sandbox)
    return found


def _check(kind: str, rows: list[Any], ended: Ended) -> None:
    """Compare what came back with the file's own records."""
    found = ended.value
    if len(found) != (len(problems()) if kind == "completions" else len(rows)):
        raise FaultError("silent acceptance", f"{len(found)} rows of {len(rows)}")
    if kind == "completions":
        # A list of one text is that text: some tools write it so.
        texts = [changes.as_written(leaf) for leaf in _leaves(rows)]
        if lost := [text for text in found if text not in texts]:
            raise FaultError("silent acceptance", f"a text that no record holds: {lost[0][:80]!r}")
    elif kind in CHATS:
        _check_chats(rows, found)
    elif kind in graders.names():
        if strange := [row for row in rows if any(map(_beyond, _leaves(row)))]:
            raise FaultError("silent acceptance", f"a problem with {str(strange[0])[:200]}")
    else:
        for row, one in zip(rows, found, strict=True):
            for name in ("instruction", "input", "output"):
                wanted = changes.as_written(row.get(name) or "")
                if kind != "training" and getattr(one, name) != wanted:
                    raise FaultError("silent acceptance", f"{name}: {getattr(one, name)!r:.80} for {wanted!r:.80}")
                if not isinstance(getattr(one, name), str):
                    raise FaultError("silent acceptance", f"{name}: {type(getattr(one, name)).__name__}")


def _check_chats(rows: list[Any], found: list[Instruction]) -> None:
    """Compare what was said with the texts of the file's turns."""
    texts = {changes.as_written(leaf) for leaf in _leaves(rows) if isinstance(leaf, str)} | {""}
    for one in found:
        said = (one.system, one.instruction, one.output, *(text for pair in one.history for text in pair))
        if lost := [text for text in said if text not in texts]:
            raise FaultError("silent acceptance", f"a text that no turn holds: {lost[0][:80]!r}")


def _leaves(value: Any) -> list[Any]:
    """List the plain values inside a value."""
    inner = value.values() if isinstance(value, dict) else value if isinstance(value, list) else None
    return [value] if inner is None else [leaf for one in inner for leaf in _leaves(one)]


def _beyond(value: Any) -> bool:
    """Return whether a value is none that JSON has."""
    return value in ("@@nan@@", "@@infinity@@", "@@minus-infinity@@", "@@beyond-float@@") or (
        isinstance(value, float) and not math.isfinite(value)
    )
