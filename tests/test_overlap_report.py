"""The overlap of training sets with a table's benchmarks, counted from a store's artifacts and kept there."""

import json
import shutil
from dataclasses import replace
from pathlib import Path

import pytest

from kit.overlap import index
from kit.plan import Plan
from kit.plan.planning import plan_tables
from kit.records import Pair, write_rows
from kit.report import Grid, Overlap, make_grid, overlap_line, terminal
from kit.report.formats import as_json, markdown
from kit.report.overlaps import with_overlaps
from kit.store import Store

BUNDLED = Path(__file__).resolve().parents[1] / "kit" / "bundled"
QUESTIONS = [json.loads(line)["question"] for line in (BUNDLED / "mini-gsm8k.jsonl").read_text("utf-8").splitlines()]
LONG = sorted(QUESTIONS, key=len)[-2:]
EVOLVERS = ("qwen-2-72b-instruct", "qwen-2-7b-instruct")


def keep(plan: Plan, store: Store, key: str, files: dict[str, Path | list[Pair]]) -> None:
    """Put a job's artifact into the store: files of the bundled sets, or pairs."""
    with store.scratch(key) as out:
        for name, content in files.items():
            if isinstance(content, Path):
                shutil.copyfile(content, out / name)
            else:
                write_rows(out / name, content)
        store.commit(plan.jobs[key], out, rows=1, facts={}, provenance={})


def pairs(*texts: str) -> list[Pair]:
    return [Pair(id=str(n), instruction=text, output="Yes.") for n, text in enumerate(texts)]


@pytest.fixture(scope="module")
def plan() -> Plan:
    return plan_tables(["2", "9"], "smoke")


def fetch(plan: Plan, store: Store, *names: str) -> None:
    for key, job in plan.jobs.items():
        if job.stage == "fetch" and str(job.params.get("name", "")).removesuffix(".jsonl") in names:
            keep(plan, store, key, {job.params["name"]: BUNDLED / job.params["name"]})


BENCHMARKS = ("mini-ifeval", "mini-gsm8k", "mini-math", "mini-humaneval", "mini-mbpp")


@pytest.fixture
def store(plan: Plan, tmp_path: Path) -> Store:
    """A store with the benchmarks, and the pairs of GSM8K by both evolvers: of one's 4 rows 3 repeat two items."""
    store = Store.open(tmp_path / "store")
    fetch(plan, store, *BENCHMARKS)
    for key, job in plan.jobs.items():
        if job.stage == "respond" and "gsm8k-train" in job.id:
            leaked = (LONG[0], f"So: {LONG[1]}", LONG[1]) if "smollm2-36l" in job.id else ()
            keep(plan, store, key, {"pairs.jsonl": pairs("What is a colour?", *leaked)})
    return store


def grids(plan: Plan, store: Store) -> list[Grid]:
    return with_overlaps([make_grid(name, plan, store) for name in plan.tables], plan, store)


def test_each_training_set_that_is_there_is_counted_once(plan: Plan, store: Store) -> None:
    second, ninth = grids(plan, store)
    none = dict.fromkeys(("ifeval", "gsm8k", "hendrycks_math", "humaneval", "mbpp"), 0)
    found = [(dict(one.at), one.rows, one.any, dict(one.by)) for one in second.overlaps]
    assert found == [
        ({"evolver": EVOLVERS[0], "seeds": "gsm8k-train"}, 4, 3, none | {"gsm8k": 3}),
        ({"evolver": EVOLVERS[1], "seeds": "gsm8k-train"}, 1, 0, none),
    ]
    assert ninth.overlaps == ()


def test_a_set_of_round_0_is_the_seed_file(plan: Plan, store: Store) -> None:
    fetch(plan, store, "mini-gsm8k-train")
    _, ninth = grids(plan, store)
    assert [(dict(one.at), one.rows, one.any) for one in ninth.overlaps] == [
        ({"seeds": "gsm8k-train", "round": 0}, 8, 0)
    ]
    assert overlap_line(ninth).endswith("): gsm8k-train, round 0 0.00% (0 of 8).")


def test_the_line_below_a_table(plan: Plan, store: Store) -> None:
    second, ninth = grids(plan, store)
    line = (
        "Training rows that repeat more than half of a test item, by 8-grams (ifeval, gsm8k, hendrycks_math, "
        f"humaneval, mbpp): gsm8k-train, {EVOLVERS[0]} 75.00% (3 of 4); gsm8k-train, {EVOLVERS[1]} 0.00% (0 of 1)."
    )
    assert (overlap_line(second), overlap_line(ninth)) == (line, "")
    assert f"\n{line}\n" in markdown(second)
    assert "Training rows" not in markdown(ninth)
    console = terminal.console()
    with console.capture() as shown:
        console.print(terminal.grid_table(second, console.width))
    assert f"gsm8k-train, {EVOLVERS[0]} 75.00% (3 of 4)" in " ".join(shown.get().split())


def test_the_document_has_them(plan: Plan, store: Store) -> None:
    first, second = as_json(grids(plan, store))["tables"]
    assert [(one["rows"], one["overlapping"], one["share"]) for one in first["overlaps"]] == [(4, 3, 0.75), (1, 0, 0.0)]
    assert first["overlaps"][0]["by"]["gsm8k"] == 3
    assert first["overlaps"][0]["at"] == {"evolver": EVOLVERS[0], "seeds": "gsm8k-train"}
    assert "overlaps" not in second


def test_a_second_report_counts_nothing(plan: Plan, store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    first = grids(plan, store)
    monkeypatch.setattr(index.Index, "find", lambda *_: pytest.fail("counted again"))
    assert grids(plan, store) == first


@pytest.mark.parametrize(
    "content",
    [
        "",
        "[]",
        '{"rows": 1}',
        '{"any": 5, "by": {}, "rows": 4}',
        '{"any": -1, "by": {"gsm8k": 0, "hendrycks_math": 0, "humaneval": 0, "ifeval": 0, "mbpp": 0}, "rows": 4}',
        '{"any": true, "by": {"gsm8k": 0, "hendrycks_math": 0, "humaneval": 0, "ifeval": 0, "mbpp": 0}, "rows": 4}',
        '{"any": 0, "by": {"gsm8k": 3, "hendrycks_math": 0, "humaneval": 0, "ifeval": 0, "mbpp": 0}, "rows": 4}',
        "x" * 20_000,
        "[" * 9_000,  # ended the report with a RecursionError
        "\x00\xff",
    ],
    ids=["empty", "list", "fields", "others", "below-0", "no-number", "less-than-one", "long", "deep", "bytes"],
)
def test_a_count_that_was_damaged_is_made_anew(content: str, plan: Plan, store: Store) -> None:
    first = grids(plan, store)
    kept = sorted((store.root / "overlaps").iterdir())
    assert len(kept) == 2
    for path in kept:
        path.write_text(content, encoding="utf-8")
    assert grids(plan, store) == first


def test_a_link_in_the_place_of_a_count_is_not_followed(plan: Plan, store: Store, tmp_path: Path) -> None:
    first = grids(plan, store)
    other = tmp_path / "other"
    for path in (store.root / "overlaps").iterdir():
        other.write_text('{"any": 0, "by": {}, "rows": 4}', encoding="utf-8")
        path.unlink()
        path.symlink_to(other)
    assert grids(plan, store) == first
    assert other.read_text(encoding="utf-8") == '{"any": 0, "by": {}, "rows": 4}'


def test_a_store_that_lacks_a_benchmark_gives_no_share(plan: Plan, tmp_path: Path, store: Store) -> None:
    (key,) = (key for key, job in plan.jobs.items() if job.params.get("name") == "mini-mbpp.jsonl")
    store.remove(key)
    assert [one.overlaps for one in grids(plan, store)] == [(), ()]


def test_without_numpy_the_table_is_printed_all_the_same(
    plan: Plan, store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("kit.report.overlaps.find_spec", lambda _: None)
    assert [one.overlaps for one in grids(plan, store)] == [(), ()]


def test_pairs_that_are_none_leave_the_table_as_it_is(plan: Plan, store: Store) -> None:
    path = next(store.root.glob("artifacts/*/pairs.jsonl"))
    path.write_text("no JSON\n", encoding="utf-8")
    assert len(grids(plan, store)[0].overlaps) == 1


def test_a_share_of_no_rows_is_none() -> None:
    overlap = Overlap(at={}, key="k", rows=0, any=0, by={"gsm8k": 0})
    assert overlap.share == 0
    assert not replace(overlap, any=1).is_sound(["gsm8k"])
    assert overlap.is_sound(["gsm8k"])


def test_where_no_count_can_be_kept_it_is_made_all_the_same(plan: Plan, store: Store) -> None:
    (store.root / "overlaps").write_text("a file", encoding="utf-8")
    assert [one.any for one in grids(plan, store)[0].overlaps] == [3, 0]
