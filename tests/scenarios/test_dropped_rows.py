"""Rows that evolution leaves out are counted: in closing lines, in `kit store show`, below tables."""

import io
import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import pytest
from rich.console import Console

from kit.catalogue import Catalogue
from kit.catalogue.experiments import SamplingSpec
from kit.catalogue.scales import Scale
from kit.engines import Request
from kit.engines.fake import FakeEngine
from kit.errors import KitError
from kit.plan import Plan
from kit.plan.adhoc import Workbench
from kit.plan.planning import plan_tables
from kit.records import Completion
from kit.report import make_grid, terminal
from kit.report.drops import drops_of
from kit.report.formats import as_json, markdown
from kit.run.worker import JobContext, run_job
from kit.store import Artifact, Job, Store
from tests.conftest import Kit

MODELS = ["smollm2-135m-instruct", "smollm2-36l"]
REPLIES: Mapping[int, Sequence[tuple[str, str]]] = {
    0: [("### Final task\nNew.", "stop")] * 4 + [("Task.", "stop"), ("### Ways", "length")],
    1: [("### Final task\nNew.", "stop")] * 2 + [("Task.", "stop")] * 4,
}
"""Place of the evolver -> reply to each row, and the reason why it ended; from the seventh row on the same again."""
NO, CUT, NOT_DRAWN = (
    "no heading of the fourth part",
    "cut at the token limit before the heading of the fourth part",
    "not drawn, for sides of equal size",
)
LIMIT = "1 cut at 512 tokens (--max-tokens)"


@pytest.fixture(autouse=True)
def fake(monkeypatch: pytest.MonkeyPatch) -> dict[str, Sequence[tuple[str, str]]]:
    """Give every scale the fake engine, and that engine the replies of REPLIES; returns replies by a model's key."""
    scale_of, replies = Catalogue.scale, dict[str, Sequence[tuple[str, str]]]()

    def scale(self: Catalogue, name: str) -> Scale:
        found = scale_of(self, name)
        return found.model_copy(update={"engine": found.engine.model_copy(update={"name": "fake"})})

    def generate(self: FakeEngine, requests: Sequence[Request], *_: Any) -> list[Completion]:
        known = replies[self._base]
        found = [known[int(request.id.rpartition("/")[2]) % len(known)] for request in requests]
        return [
            Completion(id=request.id, text=text, tokens=3, finish_reason=reason)
            for request, (text, reason) in zip(requests, found, strict=True)
        ]

    monkeypatch.setattr(Catalogue, "scale", scale)
    monkeypatch.setattr(FakeEngine, "generate", generate)
    return replies


def run_evolution(plan: Plan, root: Path, replies: dict[str, Sequence[tuple[str, str]]]) -> list[str]:
    """Run a plan up to its evolved instructions, in this process; returns the errors of the jobs that failed."""
    store, told = Store.open(root), list[str]()
    context = JobContext(
        rank=0,
        world=1,
        mirror=None,
        unsafe_exec=False,
        emit=lambda kind, **fields: told.append(fields["reason"]) if kind == "failed" else None,
    )
    for job in plan.jobs.values():
        store.plan(job)
        if job.stage == "convert" or job.params.get("kind") == "package":  # the fake engine reads no weights
            if not store.has(job.key):
                with store.scratch(job.key) as out:
                    (out / "weights").write_text("none\n", encoding="utf-8")
                    store.commit(job, out, rows=1, facts={}, provenance={})
        elif job.stage == "fetch" or (job.stage == "evolve" and all(map(store.has, job.inputs.values()))):
            if job.params.get("step") == "rewrite" and job.inputs["model"] not in replies:
                replies[job.inputs["model"]] = REPLIES[len(replies)]
            run_job(store, job.key, context)
    context.close()
    return told


def bench_of(seeds: Path, models: Sequence[str]) -> Workbench:
    bench = Workbench("smoke")
    setting = {
        "scenario": "auto_evol_instruct",
        "breadth": True,
        "seed": 42,
        "evolve": SamplingSpec(temperature=0.7, top_p=0.95, max_tokens=512),
    }
    bench.evolve_together(seeds, setting, models, 1)
    return bench


@pytest.fixture
def seeds(tmp_path: Path) -> Path:
    found = tmp_path / "mine.json"
    found.write_text(json.dumps([{"instruction": f"Task {n}", "input": f"on {n}"} for n in range(6)]), encoding="utf-8")
    return found


def command(models: Sequence[str]) -> list[str]:
    named = [word for model in models for word in ("--evolver", model, "--out", f"{model}.json")]
    return ["evolve", "--scenario", "auto_evol_instruct", "--seeds", "mine.json", "--scale", "smoke", *named]


def test_one_evolver_keeps_all_that_has_a_fourth_part(
    seeds: Path, tmp_path: Path, kit: Kit, fake: dict[str, Sequence[tuple[str, str]]]
):
    assert run_evolution(bench_of(seeds, MODELS[:1]).plan, tmp_path / "store", fake) == []
    code, out, _ = kit(*command(MODELS[:1]), "--store", "store")
    assert (code, out) == (0, f"4 instructions, {LIMIT}, 1 left out: {CUT}, 1 left out: {NO}: {MODELS[0]}.json\n")
    written = json.loads((tmp_path / f"{MODELS[0]}.json").read_text(encoding="utf-8"))
    assert written == [{"id": f"mine/{n}", "instruction": "New.", "input": f"on {n}", "output": ""} for n in range(4)]


def test_several_evolvers_in_one_command_get_sets_of_equal_size(
    seeds: Path, tmp_path: Path, kit: Kit, fake: dict[str, Sequence[tuple[str, str]]]
):
    plan = bench_of(seeds, MODELS).plan
    assert [job.id for job in plan.jobs.values() if job.stage == "evolve"] == [
        f"evolve/mine/{model}/round-1/{step}" for model in MODELS for step in ("rewrite", "extract")
    ] + [f"evolve/mine/{model}/round-1/draw" for model in MODELS]
    assert run_evolution(plan, tmp_path / "store", fake) == []
    code, out, _ = kit(*command(MODELS), "--store", "store")
    assert (code, out) == (
        0,
        f"2 instructions, {LIMIT}, 1 left out: {CUT}, 1 left out: {NO}, 2 left out: {NOT_DRAWN}: {MODELS[0]}.json\n"
        f"2 instructions, 4 left out: {NO}: {MODELS[1]}.json\n",
    )
    assert [len(json.loads((tmp_path / f"{model}.json").read_text(encoding="utf-8"))) for model in MODELS] == [2, 2]
    (extract,) = [job.key for job in plan.jobs.values() if job.id == f"evolve/mine/{MODELS[0]}/round-1/extract"]
    code, out, _ = kit("store", "show", extract, "--store", "store", "--json")
    facts = json.loads(out)["facts"]
    assert (code, facts["dropped"], facts["rows_read"]) == (0, {NO: 1, CUT: 1}, 6)


def test_an_evolver_of_whom_nothing_is_kept_fails_by_name_and_the_other_waits_for_it(
    seeds: Path, tmp_path: Path, fake: dict[str, Sequence[tuple[str, str]]], monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setitem(REPLIES, 1, [("Task.", "stop")] * 6)  # type: ignore[arg-type]
    plan = bench_of(seeds, MODELS).plan
    assert run_evolution(plan, tmp_path / "store", fake) == [
        "of this evolver's 6 replies on mine none is kept: 6 no heading of the fourth part; wanted '### Final task' on "
        "a line of its own and the new instruction below it; a larger evolver keeps to the form"
    ]
    store = Store.open(tmp_path / "store")
    left = [job.id for key, job in plan.jobs.items() if job.stage == "evolve" and not store.has(key)]
    assert left == [
        f"evolve/mine/{MODELS[1]}/round-1/extract",
        *(f"evolve/mine/{model}/round-1/draw" for model in MODELS),
    ]


def test_tables_show_what_was_left_out(tmp_path: Path, fake: dict[str, Sequence[tuple[str, str]]]):
    plan = plan_tables(["4"], "smoke")
    assert run_evolution(plan, tmp_path / "store", fake) == []
    store = Store.open(tmp_path / "store")
    grid = make_grid("table-4", plan, store)
    # 8 rows; which model is planned first is the view's affair, so it is read from the plan
    players = [job.id.split("/")[2] for job in plan.jobs.values() if job.params.get("step") == "rewrite"][:2]
    sentences = [
        sentence
        for seed_set in ("alpaca", "gsm8k-train", "code-alpaca")
        for sentence in (
            f"{seed_set}/{players[0]}/round-1/extract left out 2 of 8 rows: 1 {CUT}, 1 {NO}",
            f"{seed_set}/{players[1]}/round-1/extract left out 4 of 8 rows: 4 {NO}",
            f"{seed_set}/{players[0]}/round-1/draw left out 2 of 6 rows: 2 {NOT_DRAWN}",
        )
    ]
    assert sorted(drops.text() for drops in grid.drops) == sorted(sentences)
    console = Console(file=io.StringIO(), width=200)
    console.print(terminal.grid_table(grid, 200))
    shown = console.file.getvalue()  # type: ignore[attr-defined]
    text = markdown(grid)
    for sentence in sentences:
        assert f"{sentence}." in shown
        assert f"\n- {sentence}\n" in text
    (table,) = as_json([grid])["tables"]
    first = grid.drops[0]
    assert table["left_out"][0] == {
        "job": first.job,
        "key": first.key,
        "rows_read": first.read,
        "dropped": dict(first.reasons),
    }


def test_a_table_from_which_nothing_was_left_out_says_nothing(tmp_path: Path):
    plan = plan_tables(["2"], "smoke")
    grid = make_grid("table-2", plan, Store.open(tmp_path / "store"))
    assert grid.drops == ()
    assert "left_out" not in as_json([grid])["tables"][0]
    assert "left out" not in markdown(grid)


def artifact(facts: dict[str, Any]) -> Artifact:
    job = Job(
        id="evolve/s/m/round-1",
        stage="evolve",
        version="evolve-1",
        environment="grade",
        lock="",
        params={},
        inputs={},
    )
    return Artifact(
        folder=Path("store/artifacts/k"), key="k" * 64, job=job, files={}, rows=1, facts=facts, provenance={}
    )


def test_reasons_stand_by_their_counts():
    found = drops_of(artifact({"dropped": {"a": 1, "b": 3}, "rows_read": 1200}), "evolve/s/m/round-1")
    assert found is not None
    assert found.text() == "s/m/round-1 left out 4 of 1,200 rows: 3 b, 1 a"
    assert drops_of(artifact({}), "evolve/s/m/round-1") is None


BAD_FACTS: dict[str, tuple[dict[str, Any], str]] = {
    "no counts": ({"dropped": 3, "rows_read": 4}, "found 3 left out of 4 rows"),
    "a text": ({"dropped": {"a": "3"}, "rows_read": 4}, "found {'a': '3'} left out of 4 rows"),
    "below 0": ({"dropped": {"a": -1}, "rows_read": 4}, "found {'a': -1} left out of 4 rows"),
    "a truth value": ({"dropped": {"a": True}, "rows_read": 4}, "found {'a': True} left out of 4 rows"),
    "no rows": ({"dropped": {"a": 1}}, "found {'a': 1} left out of None rows"),
}


@pytest.mark.parametrize("facts, found", BAD_FACTS.values(), ids=list(BAD_FACTS))
def test_counts_that_are_none(facts: dict[str, Any], found: str):
    with pytest.raises(KitError) as caught:
        drops_of(artifact(facts), "evolve/s/m/round-1")
    assert str(caught.value) == (
        f"store/artifacts/k: {found}, wanted a count for each reason; `kit store check` finds what was changed, and "
        "what is removed from the store is computed anew"
    )


BAD_OPTIONS = {
    "queries": ("--queries q.txt", "--queries q.txt: auto_evol_instruct reads none; leave it out"),
    "an option": (
        "--set samples=3",
        "--set samples=3: auto_evol_instruct takes no option 'samples'; it takes none",
    ),
    "an evolver without a file": (
        "--evolver smollm2-36l",
        "--evolver is given 2 times and --out 1 time; wanted a file for each evolver, in the same order",
    ),
    "an evolver twice": (
        "--evolver smollm2-135m-instruct --out b.json",
        "--evolver smollm2-135m-instruct: given twice; wanted models that differ",
    ),
    "a file twice": (
        "--evolver smollm2-36l --out ./a.json",
        "--out {folder}/a.json: given twice; wanted a file for each evolver",
    ),
    "another scenario": (
        "--scenario auto_evol --evolver smollm2-36l --out b.json",
        "--scenario: given 2 times, and it takes one value; leave the others out",
    ),
}


@pytest.mark.parametrize("words, message", BAD_OPTIONS.values(), ids=list(BAD_OPTIONS))
def test_options_that_are_refused_before_a_model_is_loaded(
    words: str, message: str, seeds: Path, tmp_path: Path, kit: Kit
):
    start = "evolve --scenario auto_evol_instruct --seeds mine.json --evolver smollm2-135m-instruct --out a.json"
    code, _, errors = kit(*f"{start} --scale smoke {words}".split())
    assert (code, errors) == (2, f"error: {message.format(folder=tmp_path)}\n")
