"""Stage ``judge``: who asks the judge, which changes give another key, and what is written, with the fake engine."""

import json
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import pytest

from kit import prompts
from kit.benchmarks import alpacafarm
from kit.catalogue import Catalogue, manifests_folder
from kit.catalogue.scales import Scale
from kit.catalogue.served import Served
from kit.cli import listing
from kit.engines import fake, vllm
from kit.errors import KitError, RequestError
from kit.files.parts import Parts
from kit.judges import local, server
from kit.judges.server import Reply
from kit.judges.settings import ServerSettings
from kit.plan import planning
from kit.plan.options import point_of_options
from kit.plan.planner import Planner
from kit.reading.jsonlines import read_objects
from kit.run.launch import Shape
from kit.stages import judge
from kit.store import Job
from tests.word_chat import WordChat

MINE = {"model": "m", "base_url": "http://127.0.0.1:1/v1"}
Change = Callable[["Setting"], None]


class Setting:
    """A scale with its entry for AlpacaFarm, and a server, each of which a test may change."""

    def __init__(self) -> None:
        self.catalogue = Catalogue(manifests_folder())
        self.scale: Scale = self.catalogue.scale("smoke")
        self.entry = dict(MINE)

    def edit(self, **changes: Any) -> None:
        found = self.scale.benchmarks["alpacafarm"].model_copy(update=changes)
        self.scale = self.scale.model_copy(update={"benchmarks": {"alpacafarm": found}})

    def cast(self, player: str) -> None:
        self.scale = self.scale.model_copy(update={"cast": {**self.scale.cast, "gpt-4": player}})

    def serve(self, **fields: Any) -> None:
        self.cast("mine")
        self.edit(judge_by="text")
        self.entry |= fields

    def jobs(self) -> dict[str, Job]:
        """Return stage -> the plan's last job of it."""
        self.catalogue.__dict__["served"] = {"mine": Served.model_validate(self.entry)}
        planner = Planner(self.catalogue, self.scale, "smoke", planning.locks())
        planner.need("grade", point_of_options(seeds="alpaca", base="llama-3.2-3b").with_benchmark("alpacafarm"))
        return {job.stage: job for job in planner.plan.jobs.values()}


def planned(*changes: Change) -> dict[str, Job]:
    setting = Setting()
    for change in changes:
        change(setting)
    return setting.jobs()


def served(setting: Setting) -> None:
    setting.serve()


# plan


def test_a_local_judge_runs_where_models_run():
    jobs = planned()
    job = jobs["judge"]
    kind = Shape.of(job).kind
    assert (job.worker, kind.accelerated, kind.network, kind.untrusted) == ("text", True, False, False)
    assert sorted(job.inputs) == ["completions", "data", "model"]
    assert (job.inputs["completions"], jobs["grade"].inputs["verdicts"]) == (jobs["answer"].key, job.key)
    assert (job.resources["rows"], job.resources["judge"]) == (32, "smollm2-135m-instruct")  # both orders of 16
    assert job.version == f"judge-1.alpacafarm-1.vllm-{vllm.VERSION}"
    assert (jobs["grade"].version, jobs["grade"].worker) == ("grade-2.alpacafarm-1", "sandbox")
    assert "sampling" not in job.params  # labels are not drawn
    assert jobs["answer"].params["engine"] == job.params["engine"]  # one engine start for both


def test_a_served_judge_is_asked_by_a_worker_of_its_own():
    job = planned(served, lambda s: s.serve(price_in=1.0, price_out=2.0, budget_money=5.0))["judge"]
    assert (job.worker, Shape.of(job).kind.asks, Shape.of(job).kind.accelerated) == ("ask", True, False)
    assert (sorted(job.inputs), "engine" in job.params) == (["completions", "data"], False)
    assert job.params["served"] == {"model": "m"}
    assert job.params["sampling"] == {"temperature": 0.0, "top_p": 1.0, "max_tokens": 2048}
    assert job.params["thoughts"] == "think-tags-1"
    # 32 questions of 900 tokens, and replies of 350
    assert {name: job.resources[name] for name in ("questions", "asked_tokens", "money")} == {
        "questions": 32,
        "asked_tokens": 40_000,
        "money": 0.0512,
    }
    assert ServerSettings.from_source(job.resources["source"]).name == "mine"


def test_a_plan_shows_what_judges_are_asked():
    local_judge = planned()["judge"]
    assert listing.price([local_judge]).endswith(" min, 32 questions to judges")
    priced = planned(served, lambda s: s.serve(price_in=10.0, price_out=30.0, budget_money=5.0))["judge"]
    assert listing.price([priced]) == "32 questions to judges, 40,000 tokens at servers, 0.62 of money"
    assert listing.price([planned()["grade"]]) == ""


def by_text(setting: Setting) -> None:
    setting.edit(judge_by="text")


MOVES: dict[str, tuple[Change, Change, bool]] = {
    "asked in another way": (lambda s: None, by_text, True),
    "another judge": (lambda s: None, lambda s: s.cast("smollm2-36l"), True),
    "another protocol": (lambda s: None, lambda s: s.edit(protocol="paper"), True),
    "fewer problems": (lambda s: None, lambda s: s.edit(rows=3), True),
    "a longer reply": (by_text, lambda s: s.edit(judge_max_tokens=99), True),
    "a longer reply, where none is written": (lambda s: None, lambda s: s.edit(judge_max_tokens=99), False),
    "a judge's role": (lambda s: None, lambda s: s.edit(judge="qwen-2-7b-instruct"), False),  # has the same player
    "a served model": (served, lambda s: s.serve(model="n"), True),
    "its address": (served, lambda s: s.serve(base_url="http://127.0.0.1:2/v1"), False),
    "its prices": (served, lambda s: s.serve(price_in=1.0, price_out=1.0, budget_money=1.0), False),
    "its budget": (served, lambda s: s.serve(budget_tokens=99, partial=True), False),
    "its pace": (served, lambda s: s.serve(in_flight=1, per_minute=9, timeout_s=3.0, retries=1), False),
}


@pytest.mark.parametrize(("start", "change", "moves"), MOVES.values(), ids=list(MOVES))
def test_what_is_in_a_judges_key(start: Change, change: Change, moves: bool):
    before, after = planned(start), planned(start, change)
    assert (before["judge"].key != after["judge"].key, before["grade"].key != after["grade"].key) == (moves, moves)


VERSIONS = {
    "the stage": (judge, "VERSION", {"judge", "grade"}),
    "the questions": (alpacafarm, "JUDGE_ASKS", {"judge", "grade"}),
    "the grader": (alpacafarm, "VERSION", {"grade"}),
    "the prompts of the answers": (alpacafarm, "ASKS", {"answer", "judge", "grade"}),
}


@pytest.mark.parametrize(("module", "name", "stages"), VERSIONS.values(), ids=list(VERSIONS))
def test_a_new_version_moves_the_keys(module: Any, name: str, stages: set[str], monkeypatch: pytest.MonkeyPatch):
    before = planned()
    monkeypatch.setattr(module, name, getattr(module, name) + 1)
    after = planned()
    assert {stage for stage in before if before[stage].key != after[stage].key} == stages


def test_a_new_wording_asks_the_judge_again_and_no_model(monkeypatch: pytest.MonkeyPatch):
    before, kit = planned(), prompts.load("kit")
    chat = kit.chat("pairwise.judge")
    words = {**kit.templates, "pairwise.judge": (chat[0].__class__(role="user", content="So? " + chat[0].content),)}  # type: ignore[attr-defined]
    monkeypatch.setattr(prompts, "load", lambda name, *_: prompts.Templates(name="kit", templates=words))
    after = planned()
    assert {stage for stage in before if before[stage].key != after[stage].key} == {"judge", "grade"}


REFUSED: dict[str, tuple[Change, str]] = {
    "no judge": (
        lambda s: s.edit(judge=None),
        "smoke.toml: benchmarks.alpacafarm.judge: missing, and a judge decides about this benchmark's answers; wanted "
        "the name of a model, or of one of the paper's that the cast has a player for",
    ),
    "a judge that nobody plays": (
        lambda s: s.edit(judge="gpt-5"),
        "smoke.toml: cast: no player for the model named 'gpt-5'; did you mean 'gpt-4'?",
    ),
    "labels of a server": (
        lambda s: (s.serve(), s.edit(judge_by="labels"))[0],
        "smoke.toml: benchmarks.alpacafarm.judge_by: found 'labels', and mine is asked at a server, which gives no "
        "likelihoods of labels; wanted 'text'",
    ),
    "a base model": (
        lambda s: s.cast("llama-3.2-3b"),
        "llama-3.2-3b is a base model, without a chat template of its own; what evolves, responds or answers needs "
        "one; did you mean 'llama-3.1-8b-instruct'?",
    ),
    "a pack without the words": (
        lambda s: s.edit(prompts="opencompass"),
        "prompt pack 'opencompass' has no template 'respond.with_input'; known: ceval, ceval.example, "
        "gsm8k, humaneval, math, mbpp, mmlu, mmlu.example; a manifest may name another pack for this job",
    ),
}


@pytest.mark.parametrize(("change", "message"), REFUSED.values(), ids=list(REFUSED))
def test_a_judge_that_can_not_be_planned(change: Change, message: str):
    with pytest.raises(RequestError) as raised:
        planned(change)
    assert str(raised.value) == message


def test_a_judge_with_nothing_to_do():
    setting = Setting()
    found = setting.scale.benchmarks["gsm8k"].model_copy(update={"judge": "gpt-4"})
    scale = setting.scale.model_copy(update={"benchmarks": {"gsm8k": found}})
    planner = Planner(setting.catalogue, scale, "smoke", planning.locks())
    with pytest.raises(RequestError) as raised:
        planner.need("grade", point_of_options(seeds="alpaca", base="llama-3.2-3b").with_benchmark("gsm8k"))
    assert str(raised.value) == (
        "smoke.toml: benchmarks.gsm8k.judge: found 'gpt-4', and no judge decides about this benchmark's answers; "
        "leave it out"
    )


# run

PROBLEMS = [{"instruction": f"Say {n}.", "output": f"No {n}."} for n in range(3)]
PARAMS: dict[str, Any] = {
    "benchmark": "alpacafarm",
    "protocol": "default",
    "rows": 2,
    "prompts": "kit",
    "judge_by": "text",
    "sampling": {"temperature": 0.0, "top_p": 1.0, "max_tokens": 64},
    "engine": {"name": "fake", "max_model_len": 512},
}
BETTER, WORSE, EQUAL = "Reply 1 is better", "Reply 1 is worse", "Both replies are equal"


class Context:
    """Answers with what a test wants, and keeps what was asked."""

    rank, world, mirror = 0, 1, None
    parts = Parts(None, "")

    def __init__(self, replies: Sequence[str] = ()) -> None:
        self.given = list(replies)
        self.asked: list[Any] = []
        self.source: dict[str, Any] = {}
        self.replies = Path("replies")
        self.opened = 0

    def engine(self, model: Path, settings: Any) -> Any:
        self.opened += 1
        return fake.open(model, settings)

    def generate(self, requests: Sequence[Any], engine: Any, sampling: Any) -> Any:
        self.asked += requests
        rows = engine.generate(requests, sampling)
        return [row.__class__(**{**row.to_json(), "text": text}) for row, text in zip(rows, self.given, strict=True)]

    def pack(self, name: str, ids: Sequence[str], folder: Path | None = None) -> Any:
        return prompts.only(prompts.load(name, folder), ids)

    def progress(self, done: int, total: int, tokens: int = 0) -> None:
        pass

    def phase(self, text: str) -> None:
        pass


def inputs(folder: Path, texts: Sequence[str]) -> dict[str, Path]:
    for name, rows in (
        ("data", PROBLEMS),
        ("completions", [{"id": str(number), "text": text} for number, text in enumerate(texts)]),
    ):
        (folder / name).mkdir()
        lines = "".join(json.dumps(row) + "\n" for row in rows)
        (folder / name / f"{name}.jsonl").write_text(lines, encoding="utf-8")
    (folder / "out").mkdir()
    return {"data": folder / "data", "completions": folder / "completions", "model": folder / "m"}


def verdicts(folder: Path) -> dict[str, str]:
    return {row["id"]: row["label"] for _, row in read_objects(folder / "out" / "verdicts.jsonl")}


def test_replies_become_verdicts(tmp_path: Path):
    replies = [f"Fine. {BETTER}", f"<think>{BETTER}</think> {WORSE.upper()}", "I don't know.", EQUAL]
    context = Context(replies)
    summary = judge.run(PARAMS, inputs(tmp_path, ["one", "two \ud83d"]), tmp_path / "out", context)  # type: ignore[arg-type]
    assert verdicts(tmp_path) == {"0#first": BETTER, "1#first": WORSE, "0#second": "", "1#second": EQUAL}
    names = ("labels", "unreadable", "thoughts", "models")
    assert [summary.facts[name] for name in names] == [{EQUAL: 1, BETTER: 1, WORSE: 1}, 1, 1, {}]
    assert (summary.rows, summary.facts["engine"]) == (4, {"engine": "fake"})
    asked = [request.turns[0].content for request in context.asked]
    # a half character ended the job: no tokenizer takes one
    assert "Reply 1:\n\ntwo \ufffd\n\nReply 2:\n\nNo 1." in asked[1]
    assert "Reply 1:\n\nNo 1.\n\nReply 2:\n\ntwo \ufffd" in asked[3]


def test_labels_are_scored_where_no_reply_is_wanted(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(local, "open_chat", lambda model, settings: WordChat())
    monkeypatch.setattr(
        fake.FakeEngine,
        "loglikelihood",
        lambda self, pairs: [[-1.0 if ("one" in text[:80]) == (label == BETTER) else -2.0] for text, label in pairs],
    )
    params = {name: value for name, value in PARAMS.items() if name != "sampling"} | {"judge_by": "labels"}
    context = Context()
    summary = judge.run(params | {"protocol": "paper"}, inputs(tmp_path, ["one", "two"]), tmp_path / "out", context)  # type: ignore[arg-type]
    assert verdicts(tmp_path) == {"0": BETTER, "1": WORSE}
    assert (summary.facts["tokens"], summary.facts["unreadable"], context.asked) == (0, 0, [])


def test_a_server_is_asked_by_its_settings(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    def ask(
        requests: Sequence[Any], sampling: Any, settings: Any, replies: Path, progress: Any, *, phase: Any
    ) -> list[Reply]:
        assert (sampling.max_tokens, settings.name, replies) == (64, "mine", Path("replies"))
        assert (progress, phase) == (context.progress, context.phase)  # a wait for another run was not reported
        fields = {"model": "m-0613", "prompt_tokens": 100, "tokens": 10, "finish_reason": "stop"}
        none = {**dict.fromkeys(fields, ""), "prompt_tokens": 0, "tokens": 0, "reason": "refused"}
        told = [{"text": BETTER, **fields}, {"text": "", **none}]
        return [Reply(id=request.id, **fields) for request, fields in zip(requests, told, strict=True)]  # type: ignore[arg-type]

    monkeypatch.setattr(server, "ask", ask)
    context = Context()
    entry = Served.model_validate(MINE | {"price_in": 10.0, "price_out": 30.0, "budget_money": 1.0})
    context.source = dict(ServerSettings(name="mine", entry=entry).to_source())
    params = {name: value for name, value in PARAMS.items() if name != "engine"} | {"served": {"model": "m"}}
    summary = judge.run(params | {"protocol": "paper"}, inputs(tmp_path, ["one", "two"]), tmp_path / "out", context)  # type: ignore[arg-type]
    assert verdicts(tmp_path) == {"0": BETTER, "1": ""}
    assert {name: summary.facts[name] for name in ("server", "models", "unreadable", "unanswered", "money")} == {
        "server": "mine",
        "models": {"m-0613": 1},
        "unreadable": 1,
        "unanswered": {"refused": 1},
        "money": 0.0013,
    }
    assert context.opened == 0
    with pytest.raises(KitError) as raised:  # a job's file is no place to name another model in
        judge.run(params | {"served": {"model": "n"}}, {**inputs_again(tmp_path)}, tmp_path / "out", context)  # type: ignore[arg-type]
    assert str(raised.value) == "served.mine: found the model 'm', the job wants 'n'; plan it again"


def inputs_again(folder: Path) -> dict[str, Path]:
    return {name: folder / name for name in ("data", "completions")}


def test_completions_of_other_problems(tmp_path: Path):
    with pytest.raises(KitError) as raised:
        judge.run(PARAMS, inputs(tmp_path, ["one"]), tmp_path / "out", Context())  # type: ignore[arg-type]
    assert str(raised.value) == "alpacafarm: 1 completions don't go with 2 problems in order"


def test_a_judge_that_has_nothing_to_say_is_not_started(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(alpacafarm, "questions", lambda *_: [])  # all items by rule
    context = Context()
    summary = judge.run(PARAMS, inputs(tmp_path, ["one", "two"]), tmp_path / "out", context)  # type: ignore[arg-type]
    assert (summary.rows, context.opened, verdicts(tmp_path)) == (0, 0, {})
