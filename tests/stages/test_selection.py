"""Stages ``score`` and ``select``: which rows are scored and kept, and the facts that a report shows."""

import json
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from types import ModuleType, SimpleNamespace
from typing import Any

import pytest

from kit.errors import KitError, RequestError
from kit.files.parts import Parts
from kit.measures import CurveMeasure, Measure
from kit.records import Curve, Instruction, Pair, Score, read_rows, write_rows
from kit.stages import score, select
from tests import tiny_model

METRIC = "made_up"
PAIRS = [Pair(id=f"x/{n}", instruction=f"i{n}", output="1" * size) for n, size in enumerate([3, 0, 5, 3, 4, 3])]


class Lengths:
    """Scores a row by a text of it; an empty text has no score."""

    def __init__(self) -> None:
        self.fingerprint: Mapping[str, Any] = {"device": "none"}

    def score(self, rows: Sequence[Any], progress: Any) -> list[Score]:
        progress(len(rows))
        texts = [row.output if isinstance(row, Pair) else row.id for row in rows]
        return [
            Score(id=row.id, values={"size": float(len(text))}) if text else Score(id=row.id, skipped="no answer")
            for row, text in zip(rows, texts, strict=True)
        ]


@pytest.fixture
def metric(monkeypatch: pytest.MonkeyPatch) -> ModuleType:
    """A metric of the size of a row's text, as a module."""
    module = ModuleType(f"kit.metrics.{METRIC}")
    vars(module).update(
        VERSION=1, READS="pairs", ROLE="", WHOLE=False, KEEPS={"size": "highest"}, OPTIONS={},
        METRICS={"size": Measure(title="Size", unit="", kind="mean", counts="rows")},
        open=lambda model, settings: Lengths(),
    )  # fmt: skip
    monkeypatch.setitem(sys.modules, module.__name__, module)
    return module


def folder_of(path: Path, rows: Sequence[Any] = PAIRS, name: str = "pairs.jsonl") -> Path:
    path.mkdir(exist_ok=True)
    write_rows(path / name, rows)
    return path


def scored(folder: Path, inputs: dict[str, Path], **params: Any) -> Any:
    """Run the stage, and return its summary; what it writes lies in FOLDER/scores."""
    context: Any = SimpleNamespace(
        rank=0, world=1, parts=Parts(folder / "parts", "k"), progress=lambda *_: None
    )  # fmt: skip
    (folder / "scores").mkdir()
    wanted = {"metric": METRIC, "first": None, "options": {}, **params}
    return score.run(wanted, inputs, folder / "scores", context)


def picked(folder: Path, pairs: Path, **params: Any) -> Any:
    """Run the stage, and return its summary; what it writes lies in FOLDER/kept."""
    (folder / "kept").mkdir()
    inputs = {"pairs": pairs, **({"scores": folder / "scores"} if (folder / "scores").exists() else {})}
    wanted = {"by": "size", "kept_fraction": 0.5, "keeps": "highest", **params}
    return select.run(wanted, inputs, folder / "kept", SimpleNamespace())  # type: ignore[arg-type]


def ids_in(path: Path) -> list[str]:
    return [json.loads(line)["id"] for line in path.read_text(encoding="utf-8").splitlines()]


# score


def test_scores_stand_beside_their_mean_and_the_rows_without_one(metric: ModuleType, tmp_path: Path):
    summary = scored(tmp_path, {"pairs": folder_of(tmp_path / "pairs")})
    rows: list[Score] = read_rows(tmp_path / "scores/scores.jsonl", Score)
    assert [(row.id, row.values.get("size"), row.skipped) for row in rows[:2]] == [
        ("x/0", 3.0, ""),
        ("x/1", None, "no answer"),
    ]
    (result,) = [json.loads(line) for line in (tmp_path / "scores/results.jsonl").read_text().splitlines()]
    assert (result["metric"], result["value"], result["n"], result["unit"]) == ("size", 3.6, 5, "rows")
    assert result["failures"] == {"no answer": 1}
    assert (summary.rows, summary.facts) == (6, {"skipped": {"no answer": 1}, "scorer": {"device": "none"}})


def test_no_reason_no_count(metric: ModuleType, tmp_path: Path):
    summary = scored(tmp_path, {"pairs": folder_of(tmp_path / "pairs", PAIRS[2:])})
    assert "skipped" not in summary.facts


ALPACA = [{"instruction": f"i{n}", "input": "", "output": "1" * (n + 1)} for n in range(5)]
SEEDS = {"seeds": "alpaca", "format": "alpaca"}
ROWS = {
    "all": ({"rows": None}, 5),
    "the scale's seeds": ({"rows": 4}, 4),
    # the one took the other's place
    "fewer of them": ({"rows": 4, "first": 2}, 2),
    "more than there are": ({"rows": 4, "first": 9}, 4),
}


@pytest.mark.parametrize("reads", ["pairs", "instructions"])
@pytest.mark.parametrize(("params", "count"), ROWS.values(), ids=list(ROWS))
def test_rows_of_a_seed_set_and_rows_of_a_metric_both_hold(
    params: dict[str, Any], count: int, reads: str, metric: ModuleType, tmp_path: Path
):
    vars(metric)["READS"] = reads
    (tmp_path / "seeds").mkdir()
    (tmp_path / "seeds/alpaca.json").write_text(json.dumps(ALPACA), encoding="utf-8")
    role = "pairs" if reads == "pairs" else "seeds"
    assert scored(tmp_path, {role: tmp_path / "seeds"}, **SEEDS, **params).rows == count
    assert ids_in(tmp_path / "scores/scores.jsonl") == [f"alpaca/{n}" for n in range(count)]  # as the pairs' ids


def test_rewrites_are_matched_by_id(metric: ModuleType, tmp_path: Path):
    seen: list[tuple[str, str]] = []
    vars(metric)["READS"] = "rewrites"
    lengths = Lengths()

    def compute(rows: Sequence[Any], progress: Any) -> list[Score]:
        seen.extend((row.before.instruction, row.after.instruction) for row in rows)
        return lengths.score(rows, progress)

    vars(metric)["open"] = lambda *_: SimpleNamespace(score=compute, fingerprint={})
    before = [Instruction(id=id, instruction=f"old {id}") for id in "abc"]
    after = [Instruction(id=id, instruction=f"new {id}") for id in "ca"]  # a round may leave rows out
    inputs = {
        "before": folder_of(tmp_path / "before", before, "instructions.jsonl"),
        "instructions": folder_of(tmp_path / "after", after, "instructions.jsonl"),
    }
    assert scored(tmp_path, inputs, before={}).rows == 2
    assert seen == [("old c", "new c"), ("old a", "new a")]
    other = folder_of(tmp_path / "other", [Instruction(id="d", instruction="new")], "instructions.jsonl")
    (tmp_path / "again").mkdir()
    with pytest.raises(KitError) as caught:
        scored(tmp_path / "again", inputs | {"instructions": other}, before={})
    assert str(caught.value) == "score: row d is not among those before the round"


CURVE = CurveMeasure(title="Sizes")
GIVEN: dict[str, tuple[dict[str, Any], str]] = {
    "no row": ({"rows": []}, "made_up: there are no rows to score"),
    "no score": ({"rows": [PAIRS[1]]}, "no row could be scored: 1 no answer"),
    "a number of no measure": (
        {"scores": [Score(id="x/0", values={"seize": 1.0})]},
        "made_up: row x/0: found 'seize', wanted size",
    ),
    "neither value nor reason": ({"scores": [Score(id="x/0")]}, "made_up: row x/0: found no value, and no reason why"),
}


@pytest.mark.parametrize(("given", "message"), GIVEN.values(), ids=list(GIVEN))
def test_scores_that_say_nothing_are_refused(given: dict[str, Any], message: str, metric: ModuleType, tmp_path: Path):
    if "scores" in given:
        vars(metric)["open"] = lambda *_: SimpleNamespace(score=lambda *_: given["scores"], fingerprint={})
    with pytest.raises(KitError) as caught:
        scored(tmp_path, {"pairs": folder_of(tmp_path / "pairs", given.get("rows", PAIRS[:1]))})
    assert str(caught.value) == message + (" there is none" if message.endswith("why") else "")


def test_a_curve_that_the_metric_does_not_name_is_refused(metric: ModuleType, tmp_path: Path):
    # it was written, and no table found it
    curves = [Curve(curve="seize", x=(0.0,), y=(1.0,))]
    vars(metric).update(CURVES={"sizes": CURVE}, curves=lambda rows, scores, options: curves)
    with pytest.raises(ValueError, match="no curve named 'seize' in CURVES; known: sizes"):
        scored(tmp_path, {"pairs": folder_of(tmp_path / "pairs")})


# select


FACTS = {"rows_read": 6, "by": "size", "kept_fraction": 0.5}
UNSCORED = {"without_score": {"no answer": 1}}
PICKS: dict[str, tuple[dict[str, Any], list[str], dict[str, Any]]] = {
    # of three rows of size 3 the first is kept
    "highest": ({}, ["x/0", "x/2", "x/4"], {"keeps": "highest", "cut": 3.0, "equal_left_out": 2, **UNSCORED}),
    "lowest": (
        {"keeps": "lowest"},
        ["x/0", "x/3", "x/5"],
        {"keeps": "lowest", "cut": 3.0, "equal_left_out": 0, **UNSCORED},
    ),
    "rounded up": (
        {"kept_fraction": 0.25},
        ["x/2", "x/4"],
        {"keeps": "highest", "kept_fraction": 0.25, "cut": 4.0, "equal_left_out": 0, **UNSCORED},
    ),
}


@pytest.mark.parametrize(("params", "ids", "facts"), PICKS.values(), ids=list(PICKS))
def test_a_part_of_the_pairs_is_kept(
    params: dict[str, Any], ids: list[str], facts: dict[str, Any], metric: ModuleType, tmp_path: Path
):
    pairs = folder_of(tmp_path / "pairs")
    scored(tmp_path, {"pairs": pairs})
    summary = picked(tmp_path, pairs, **params)
    assert (summary.rows, ids_in(tmp_path / "kept/pairs.jsonl")) == (len(ids), ids)
    assert FACTS | facts == {name: summary.facts[name] for name in FACTS | facts}
    kept = {row.id: row for row in read_rows(tmp_path / "kept/pairs.jsonl", Pair)}
    assert all(kept[row.id] == row for row in PAIRS if row.id in kept)  # as they were


def test_a_random_part_looks_at_no_score(tmp_path: Path):
    pairs = folder_of(tmp_path / "pairs")
    summary = picked(tmp_path, pairs, by="random", seed=42)
    (tmp_path / "again").mkdir()
    picked(tmp_path / "again", pairs, by="random", seed=42)
    ids = ids_in(tmp_path / "kept/pairs.jsonl")
    assert (len(ids), ids) == (3, ids_in(tmp_path / "again/kept/pairs.jsonl"))
    assert {"cut", "keeps", "without_score"} & summary.facts.keys() == set()


def test_scores_of_other_pairs_are_refused(metric: ModuleType, tmp_path: Path):
    scored(tmp_path, {"pairs": folder_of(tmp_path / "pairs")})
    with pytest.raises(KitError) as caught:
        picked(tmp_path, folder_of(tmp_path / "fewer", PAIRS[:5]))
    assert str(caught.value) == "select: 6 scores don't go with 5 pairs in order; wanted one for every pair"


def test_no_pair_without_a_score_is_kept(metric: ModuleType, tmp_path: Path):
    # the rest was filled up with rows that nobody had scored
    rows = [*PAIRS[:2], *(Pair(id=f"y/{n}", instruction="i", output="") for n in range(4))]
    pairs = folder_of(tmp_path / "pairs", rows)
    scored(tmp_path, {"pairs": pairs})
    with pytest.raises(KitError) as caught:
        picked(tmp_path, pairs)
    assert str(caught.value) == (
        "select: 3 of 6 pairs are to be kept by size, and too few have a score (5 no answer); lower kept_fraction"
    )


def test_a_model_scores_and_the_pairs_of_highest_ic_ifd_are_kept(tmp_path: Path):
    tiny_model.save(tmp_path / "model")
    rows = [Pair(id=f"x/{n}", instruction="Say it" + "!" * n, output=f"word {n}") for n in range(4)]
    pairs = folder_of(tmp_path / "pairs", rows)
    options = {"boundary": "authors", "only_below_1": False}
    inputs = {"pairs": pairs, "model": tmp_path / "model"}
    scored(tmp_path, inputs, metric="ifd", options=options, dtype="float32", max_tokens=256)
    found: list[Score] = read_rows(tmp_path / "scores/scores.jsonl", Score)
    assert all(row.values["ic_ifd"] == row.values["ifd"] / row.values["instruction_ppl"] for row in found)
    summary = picked(tmp_path, pairs, by="ic_ifd")
    best = sorted(found, key=lambda row: -row.values["ic_ifd"])[:2]
    assert set(ids_in(tmp_path / "kept/pairs.jsonl")) == {row.id for row in best}
    assert summary.facts["cut"] == best[-1].values["ic_ifd"]


def test_more_seeds_than_the_file_has_are_refused(metric: ModuleType, tmp_path: Path):
    (tmp_path / "seeds").mkdir()
    path = tmp_path / "seeds/alpaca.json"
    path.write_text(json.dumps(ALPACA), encoding="utf-8")
    with pytest.raises(RequestError) as caught:
        scored(tmp_path, {"pairs": tmp_path / "seeds"}, **SEEDS, rows=6)
    assert str(caught.value) == f"score.rows: 6 asked for, {path} has 5; lower it or make more pairs"
