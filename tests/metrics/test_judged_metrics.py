"""Metrics whose scores a judge gives, as stages plan and run them: who is asked, which keys move, what is written."""

import json
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import pytest

from kit import prompts, registry
from kit.catalogue import Catalogue, manifests_folder
from kit.catalogue.points import make_point
from kit.catalogue.scales import MetricRows, Scale
from kit.catalogue.served import Served
from kit.cli import listing
from kit.engines import EngineSettings, fake
from kit.errors import KitError, RequestError
from kit.files.parts import Parts
from kit.judges import local, server
from kit.judges.server import Reply
from kit.judges.settings import ServerSettings
from kit.metrics import difficulty_level, difficulty_score
from kit.models import packaged_model
from kit.plan import planning
from kit.plan.options import point_of_options
from kit.plan.planner import Planner
from kit.reading.jsonlines import read_objects
from kit.records import Instruction
from kit.run.launch import Shape
from kit.stages import judge, score
from kit.store import Job
from tests.word_chat import WordChat

CATALOGUE = Catalogue(manifests_folder())
ROLE = "qwen-2.5-72b-instruct"
MINE = {"model": "m", "base_url": "http://127.0.0.1:1/v1"}
Change = Callable[["Setting"], None]


class Setting:
    """A metric at a round of evolution and its entry in the scale, each of which a test may change."""

    def __init__(self) -> None:
        self.catalogue = Catalogue(manifests_folder())
        self.scale: Scale = CATALOGUE.scale("smoke")
        self.metric, self.round, self.judge = "difficulty_score", 1, ROLE
        self.entry = dict(MINE)

    def edit(self, **changes: Any) -> None:
        found = self.scale.metrics.get(self.metric, MetricRows()).model_copy(update=changes)
        self.scale = self.scale.model_copy(update={"metrics": {**self.scale.metrics, self.metric: found}})

    def cast(self, player: str) -> None:
        self.scale = self.scale.model_copy(update={"cast": {**self.scale.cast, ROLE: player}})

    def serve(self, **fields: Any) -> None:
        self.cast("mine")
        self.edit(judge_by="text")
        self.entry |= fields

    def jobs(self) -> dict[str, Job]:
        """Return stage -> the plan's last job of it."""
        self.catalogue.__dict__["served"] = {"mine": Served.model_validate(self.entry)}
        planner = Planner(self.catalogue, self.scale, "smoke", planning.locks())
        at = {"seeds": "alpaca", "evolver": "llama-3.1-8b-instruct", "round": self.round}
        point = make_point(self.catalogue.experiments["rounds"], at)
        setting = point.setting.model_copy(update={"judge": self.judge})
        planner.need("score", point.__class__(experiment=None, at={}, setting=setting).with_benchmark(self.metric))
        return {job.stage: job for job in planner.plan.jobs.values()}


def planned(*changes: Change) -> dict[str, Job]:
    setting = Setting()
    for change in changes:
        change(setting)
    return setting.jobs()


def by_text(setting: Setting) -> None:
    setting.edit(judge_by="text")


def served(setting: Setting) -> None:
    setting.serve()


def levels(setting: Setting) -> None:
    setting.metric = "difficulty_level"


def seeds(setting: Setting) -> None:
    setting.round = 0


# plan


def test_a_local_judge_of_instructions_runs_where_models_run():
    jobs = planned()
    job, scoring = jobs["judge"], jobs["score"]
    assert (job.worker, Shape.of(job).kind.accelerated, scoring.worker) == ("text", True, "cpu")
    assert job.inputs == {"instructions": jobs["evolve"].key, "model": job.inputs["model"]}
    assert scoring.inputs == {"instructions": jobs["evolve"].key, "verdicts": job.key}
    assert (job.resources["judge"], job.resources["questions"]) == ("smollm2-135m-instruct", 8)
    assert (job.resources["rows"], scoring.resources["rows"]) == (8, 8)
    assert job.version.startswith("judge-1.difficulty_score-1.vllm-")
    assert scoring.version == "score-1.difficulty_score-1"
    assert job.params["engine"] == jobs["evolve"].params["engine"]  # one engine start for both
    assert (job.params["labels"], "sampling" in job.params) == (local.RULE, False)
    assert {"respond", "sft", "answer", "grade"}.isdisjoint(jobs)


def test_seeds_are_judged_as_they_are_read():
    jobs = planned(seeds)
    assert sorted(jobs["judge"].inputs) == ["model", "seeds"]
    params = jobs["judge"].params
    assert (params["seeds"], params["rows"], params["format"], "first" in params) == ("alpaca", 8, "alpaca", False)
    fewer = planned(seeds, lambda s: s.edit(rows=3))["score"]  # of the set, whose own rows stay as they are
    assert (fewer.params["rows"], fewer.params["first"], fewer.resources["rows"]) == (8, 3, 3)
    assert jobs["judge"].id == "judge/difficulty_score/alpaca/round-0"


def test_a_served_judge_of_instructions_is_asked_within_its_budget():
    job = planned(served, lambda s: s.serve(price_in=1.0, price_out=2.0, budget_money=5.0))["judge"]
    assert (job.worker, Shape.of(job).kind.asks, sorted(job.inputs)) == ("ask", True, ["instructions"])
    assert job.params["sampling"] == {"temperature": 0.0, "top_p": 1.0, "max_tokens": 2048}
    assert (job.params["served"], job.params["thoughts"]) == ({"model": "m"}, "think-tags-1")
    assert ServerSettings.from_source(job.resources["source"]).name == "mine"
    # 8 questions of 900 tokens; a reply is a number, and no text of 350 tokens
    assert listing.price([job]) == "8 questions to judges, 7,232 tokens at servers, 0.01 of money"


MOVES: dict[str, tuple[Change, Change, bool, bool]] = {
    "asked in another way": (lambda s: None, by_text, True, True),
    "another judge": (lambda s: None, lambda s: s.cast("smollm2-36l"), True, True),
    "a longer reply": (by_text, lambda s: s.edit(max_tokens=99), True, True),
    "a longer reply, where none is written": (lambda s: None, lambda s: s.edit(max_tokens=99), False, False),
    "fewer rows": (lambda s: None, lambda s: s.edit(rows=3), True, True),
    "fewer seeds": (seeds, lambda s: s.edit(rows=3), True, True),
    "another wording": (lambda s: None, lambda s: s.edit(options={"wording": "reasons"}), True, True),
    "the paper's words": (by_text, lambda s: s.edit(prompts="paper"), True, True),
    "a judge's role": (lambda s: None, lambda s: setattr(s, "judge", "qwen-2-7b-instruct"), False, False),
    "its address": (served, lambda s: s.serve(base_url="http://127.0.0.1:2/v1"), False, False),
}


@pytest.mark.parametrize(("start", "change", "verdicts", "scores"), MOVES.values(), ids=list(MOVES))
def test_what_is_in_the_keys(start: Change, change: Change, verdicts: bool, scores: bool):
    before, after = planned(start), planned(start, change)
    moved = {stage for stage in before if before[stage].key != after[stage].key}
    assert ("judge" in moved, "score" in moved, "evolve" in moved) == (verdicts, scores, False)


VERSIONS = {
    "the questions": (difficulty_score, "JUDGE_ASKS", {"judge", "score"}),
    "the reading of verdicts": (difficulty_score, "VERSION", {"score"}),
}


@pytest.mark.parametrize(("module", "name", "stages"), VERSIONS.values(), ids=list(VERSIONS))
def test_a_new_version_moves_the_keys(module: Any, name: str, stages: set[str], monkeypatch: pytest.MonkeyPatch):
    before = planned()
    monkeypatch.setattr(module, name, getattr(module, name) + 1)
    after = planned()
    assert {stage for stage in before if before[stage].key != after[stage].key} == stages


REFUSED: dict[str, tuple[Change, str]] = {
    "no judge": (
        lambda s: setattr(s, "judge", ""),
        "options: judge: missing, and a judge gives the scores of difficulty_score; wanted the name of a model, or of "
        "one of the paper's that the cast has a player for",
    ),
    "a judge that nobody plays": (
        lambda s: setattr(s, "judge", "gpt-5"),
        "smoke.toml: cast: no player for the model named 'gpt-5'; did you mean 'gpt-4'?",
    ),
    "labels of a server": (
        lambda s: (s.serve(), s.edit(judge_by="labels"))[0],
        "smoke.toml: metrics.difficulty_score.judge_by: found 'labels', and mine is asked at a server, which gives no "
        "likelihoods of labels; wanted 'text'",
    ),
    "a base model": (
        lambda s: s.cast("llama-3.2-3b"),
        "llama-3.2-3b is a base model, without a chat template of its own; what evolves, responds or answers needs "
        "one; did you mean 'llama-3.1-8b-instruct'?",
    ),
    "a wording that nobody has": (
        lambda s: s.edit(options={"wording": "reason"}),
        "difficulty_score: option wording: found 'reason', wanted score or reasons; did you mean 'reasons'?",
    ),
    "reasons in the paper's words": (
        lambda s: s.edit(options={"wording": "reasons"}, prompts="paper"),
        "prompt pack 'paper' has no template 'difficulty.reasons'; did you mean 'difficulty.score'?",
    ),
    "an option of another metric": (
        lambda s: (levels(s), s.edit(options={"wording": "score"}))[0],
        "smoke.toml: metrics.difficulty_level.options: difficulty_level takes no option 'wording'; it takes none",
    ),
}


@pytest.mark.parametrize(("change", "message"), REFUSED.values(), ids=list(REFUSED))
def test_a_judge_of_instructions_that_can_not_be_planned(change: Change, message: str):
    with pytest.raises(RequestError) as raised:
        planned(change)
    assert str(raised.value) == message


def test_a_metric_without_a_judge_asks_nobody():
    planner = Planner(CATALOGUE, CATALOGUE.scale("smoke"), "smoke", planning.locks())
    assert planner.judge(point_of_options(judge="nobody").with_benchmark("length")) is None


# run

SEEDS = [{"instruction": "Name a river.", "input": "of Asia"}, {"instruction": "Prove it."}, {"instruction": "Go."}]
PARAMS: dict[str, Any] = {
    "metric": "difficulty_score",
    "options": {"wording": "score"},
    "seeds": "mine",
    "format": "alpaca",
    "rows": None,
    "first": 2,
    "prompts": "kit",
    "judge_by": "text",
    "sampling": {"temperature": 0.0, "top_p": 1.0, "max_tokens": 64},
    "engine": {"name": "fake", "max_model_len": 512},
}


class Context:
    """Answers with what a test wants, and keeps what was asked."""

    rank, world, mirror = 0, 1, None
    parts = Parts(None, "")

    def __init__(self, replies: Sequence[str] = ()) -> None:
        self.given = list(replies)
        self.asked: list[Any] = []
        self.source: dict[str, Any] = {}
        self.replies = Path("replies")

    def phase(self, text: str) -> None:
        """Take what a job says while it waits."""

    def engine(self, model: Path, settings: Any) -> Any:
        return fake.open(model, settings)

    def generate(self, requests: Sequence[Any], engine: Any, sampling: Any) -> Any:
        self.asked += requests
        rows = engine.generate(requests, sampling)
        return [row.__class__(**{**row.to_json(), "text": text}) for row, text in zip(rows, self.given, strict=True)]

    def pack(self, name: str, ids: Sequence[str], folder: Path | None = None) -> Any:
        return prompts.only(prompts.load(name, folder), ids)

    def progress(self, done: int, total: int, tokens: int = 0) -> None:
        pass


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A folder with seeds, and with places for what the two stages write."""
    for name in ("seeds", "judge", "score"):
        (tmp_path / name).mkdir()
    (tmp_path / "seeds" / "mine.json").write_text(json.dumps(SEEDS), encoding="utf-8")
    return tmp_path


def run(folder: Path, context: Context, params: Mapping[str, Any] = PARAMS) -> tuple[Any, Any]:
    """Run the judge, then the scoring; return the two summaries."""
    inputs = {"seeds": folder / "seeds", "model": folder / "m"}
    asked = judge.run(params, inputs, folder / "judge", context)  # type: ignore[arg-type]
    inputs = {"seeds": folder / "seeds", "verdicts": folder / "judge"}
    return asked, score.run(params, inputs, folder / "score", context)  # type: ignore[arg-type]


def rows(path: Path) -> list[dict[str, Any]]:
    return [row for _, row in read_objects(path)]


def test_replies_become_scores(folder: Path):
    context = Context(["<think>5</think> 15", "a lot"])
    asked, summary = run(folder, context)
    assert [request.id for request in context.asked] == ["mine/0", "mine/1"]  # the first two rows
    assert rows(folder / "score" / "scores.jsonl") == [
        {"id": "mine/0", "values": {"difficulty_score": 15.0}},
        {"id": "mine/1", "skipped": "reply is no number", "values": {}},
    ]
    (result,) = rows(folder / "score" / "results.jsonl")
    assert (result["metric"], result["value"], result["n"], result["failures"]) == (
        "difficulty_score",
        15.0,
        1,
        {"reply is no number": 1},
    )
    assert (asked.facts["labels"], asked.facts["unreadable"], asked.facts["thoughts"]) == ({"15": 1}, 1, 1)
    assert (summary.rows, summary.facts) == (2, {"skipped": {"reply is no number": 1}})


def test_labels_become_levels(folder: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(local, "open_chat", lambda model, settings: WordChat())
    monkeypatch.setattr(
        fake.FakeEngine,
        "loglikelihood",
        lambda self, pairs: [[-1.0 if (label == "hard") == ("Prove" in text) else -2.0] for text, label in pairs],
    )
    params = {name: value for name, value in PARAMS.items() if name != "sampling"}
    params |= {"metric": "difficulty_level", "options": {}, "judge_by": "labels"}
    run(folder, Context(), params)
    found = [row["values"] for row in rows(folder / "score" / "scores.jsonl")]
    assert [[name for name, value in one.items() if value] for one in found] == [["very_easy"], ["hard"]]
    values = {row["metric"]: row["value"] for row in rows(folder / "score" / "results.jsonl")}
    assert values == {name: float(name in ("very_easy", "hard")) for name in difficulty_level.METRICS}


def test_a_server_is_asked_about_instructions(folder: Path, monkeypatch: pytest.MonkeyPatch):
    def ask(
        requests: Sequence[Any], sampling: Any, settings: Any, replies: Path, progress: Any, phase: Any = None
    ) -> list[Reply]:
        assert (sampling.max_tokens, settings.name, len(requests)) == (64, "mine", 2)
        fields = {"model": "m-0613", "prompt_tokens": 100, "tokens": 10, "finish_reason": "stop"}
        none = {**dict.fromkeys(fields, ""), "prompt_tokens": 0, "tokens": 0, "reason": "refused"}
        told = [{"text": "40", **fields}, {"text": "", **none}]
        return [Reply(id=request.id, **fields) for request, fields in zip(requests, told, strict=True)]  # type: ignore[arg-type]

    monkeypatch.setattr(server, "ask", ask)
    context = Context()
    entry = Served.model_validate(MINE | {"price_in": 10.0, "price_out": 30.0, "budget_money": 1.0})
    context.source = dict(ServerSettings(name="mine", entry=entry).to_source())
    params = {name: value for name, value in PARAMS.items() if name != "engine"} | {"served": {"model": "m"}}
    asked, summary = run(folder, context, params)
    assert (asked.facts["unanswered"], asked.facts["money"], asked.facts["models"]) == (
        {"refused": 1},
        0.0013,
        {"m-0613": 1},
    )
    assert summary.facts["skipped"] == {"no reply of the judge": 1}


def test_no_rows_to_ask_about(folder: Path):
    (folder / "instructions").mkdir()
    (folder / "instructions" / "instructions.jsonl").touch()
    for stage, message in (
        (judge, "difficulty_score: there are no rows to ask a judge about"),
        (score, "difficulty_score: there are no rows to score"),
    ):
        with pytest.raises(KitError) as raised:
            stage.run(PARAMS, {"instructions": folder / "instructions"}, folder / "judge", Context())  # type: ignore[arg-type]
        assert str(raised.value) == message


def test_a_reply_that_nobody_can_read_gives_no_number(folder: Path):
    with pytest.raises(KitError) as raised:
        run(folder, Context(["a lot", "101"]))
    assert str(raised.value) == ("no row could be scored: 1 number is not from 0 to 100, 1 reply is no number")


@pytest.mark.real
def test_a_model_of_135_million_parameters_tells_instructions_apart(request: pytest.FixtureRequest):
    model = packaged_model("smollm2-135m-instruct", request.config.rootpath / ".cache")
    settings = EngineSettings(name="transformers", dtype="float32", max_model_len=256)
    engine = registry.load("engines", "transformers").open(model, settings)
    texts = ("Say hello.", "Prove that there are infinitely many primes of the form 4k + 3.")
    asked = [Instruction(id=str(number), instruction=text) for number, text in enumerate(texts)]
    for metric, options in ((difficulty_level, {}), (difficulty_score, difficulty_score.OPTIONS)):
        questions = metric.questions(asked, prompts.load("kit"), options)
        scored = local.score_labels(questions, engine, local.open_chat(model, settings), lambda *_: None)
        verdicts = {verdict.id: verdict for verdict in local.by_labels(questions, scored)}
        found = metric.judged(asked, verdicts, options)
        assert all(score.values and not score.skipped for score in found)
        assert len({tuple(score.values.values()) for score in found}) > 1
    engine.close()
