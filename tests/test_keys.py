"""A job's key changes with everything that can change an output byte, and with nothing else."""

import dataclasses
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from kit import prompts, registry
from kit.benchmarks import humaneval
from kit.catalogue import Catalogue, manifests_folder
from kit.catalogue.entries import Dataset, Model
from kit.catalogue.experiments import Experiment
from kit.catalogue.scales import Scale
from kit.engines import vllm
from kit.errors import RequestError
from kit.plan import Plan, planning
from kit.plan.planner import make_plan
from kit.prompts import pins
from kit.scenarios import evol_instruct
from kit.stages import answer, convert, evolve, fetch, grade, respond, sft

FOLDER = manifests_folder()
Change = Callable[["Setting"], None]


class Setting:
    """Parts that a plan is made from, each of which a test may change."""

    def __init__(self) -> None:
        self.catalogue = Catalogue(FOLDER)
        self.scale: Scale = self.catalogue.scale("mini")
        self.locks = planning.locks()

    def edit_scale(self, part: str, **changes: Any) -> None:
        if part:
            changes = {part: getattr(self.scale, part).model_copy(update=changes)}
        self.scale = self.scale.model_copy(update=changes)

    def edit_experiments(self, part: str, **changes: Any) -> None:
        def edited(experiment: Experiment) -> Experiment:
            inner = {part: getattr(experiment, part).model_copy(update=changes)} if part else changes
            return experiment.model_copy(update=inner)

        found = {"qwen-2": edited(self.catalogue.experiments["qwen-2"])}
        self.catalogue.__dict__["experiments"] = {**self.catalogue.experiments, **found}

    def edit_model(self, name: str, model: Model) -> None:
        self.catalogue.__dict__["models"] = {**self.catalogue.models, name: model}

    def edit_data(self, name: str, **changes: Any) -> None:
        data: Dataset = self.catalogue.datasets[name].model_copy(update=changes)
        self.catalogue.__dict__["datasets"] = {**self.catalogue.datasets, name: data}

    def plan(self) -> Plan:
        return make_plan(self.catalogue, {"table-2": self.catalogue.table("2")}, self.scale, "mini", self.locks)


def keys(change: Change) -> dict[str, str]:
    """Return id -> key of a plan whose parts are changed."""
    setting = Setting()
    change(setting)
    return {job.id: key for key, job in setting.plan().jobs.items()}


def changed(change: Change) -> set[str]:
    """Return the stages whose keys change; in capitals those of which only some keys do."""
    before, after = keys(lambda _: None), keys(change)
    assert before.keys() == after.keys()
    moved = {id for id in before if before[id] != after[id]}
    stages = {id.partition("/")[0] for id in moved}
    return {s if all(i in moved for i in before if i.startswith(f"{s}/")) else s.upper() for s in stages}


def new_revision(setting: Setting) -> None:
    package = setting.catalogue.models["smollm2-135m-instruct"]
    assert package.package is not None
    new = package.package.model_copy(update={"sha256": "0" * 64})
    setting.edit_model("smollm2-135m-instruct", package.model_copy(update={"package": new}))


def new_lock(setting: Setting) -> None:
    setting.locks = setting.locks | {"cpu": "0" * 64}


AFTER_EVOLVING = {"evolve", "respond", "sft", "answer", "grade"}
COUNTS = {
    "temperature of the evolver": (lambda s: s.edit_experiments("evolve", temperature=0.3), AFTER_EVOLVING),
    "top_p of the evolver": (lambda s: s.edit_experiments("evolve", top_p=0.9), AFTER_EVOLVING),
    "temperature of the responder": (
        lambda s: s.edit_experiments("respond", temperature=0.7),
        AFTER_EVOLVING - {"evolve"},
    ),
    "seed": (lambda s: s.edit_experiments("", seed=43), AFTER_EVOLVING),
    "learning rate": (lambda s: s.edit_experiments("sft", learning_rate=1e-5), {"sft", "answer", "grade"}),
    "rows of a seed set": (
        lambda s: s.edit_scale("", seeds={n: r.model_copy(update={"rows": 3}) for n, r in s.scale.seeds.items()}),
        AFTER_EVOLVING,
    ),
    "weights": (new_revision, {"convert", "FETCH", *AFTER_EVOLVING}),
    "dtype of the engine": (lambda s: s.edit_scale("engine", dtype="bfloat16"), AFTER_EVOLVING),
    "batch of the engine": (lambda s: s.edit_scale("engine", max_num_seqs=8), AFTER_EVOLVING),
    "batch-invariant mode": (lambda s: s.edit_scale("engine", batch_invariant=True), AFTER_EVOLVING),
    "dtype of training": (lambda s: s.edit_scale("training", dtype="bfloat16"), {"sft", "answer", "grade"}),
    "micro-batch": (lambda s: s.edit_scale("training", tokens_per_micro_batch=64), {"sft", "answer", "grade"}),
    "chat template": (lambda s: s.edit_scale("chat", template="{{ messages }}"), {"sft", "answer", "grade"}),
    "lock of the engine's environment": (new_lock, {"convert", *AFTER_EVOLVING}),
    "bytes of a data file": (
        lambda s: s.edit_data("gsm8k-test", sha256="0" * 64),
        {"FETCH", "ANSWER", "GRADE"},
    ),
    "git blob of a data file without a sha256": (
        lambda s: s.edit_data("gsm8k-test", sha256=None, git_blob="0" * 40),
        {"FETCH", "ANSWER", "GRADE"},
    ),
    "protocol": (
        lambda s: s.edit_scale(
            "", benchmarks={n: r.model_copy(update={"protocol": "default"}) for n, r in s.scale.benchmarks.items()}
        ),
        {"grade"},
    ),
}


@pytest.mark.parametrize("change, stages", COUNTS.values(), ids=list(COUNTS))
def test_changes_that_give_another_key(change: Change, stages: set[str]):
    assert changed(change) == stages


COUNTS_NOT = {
    "nothing": lambda s: None,
    "address, where the sha256 is known": lambda s: s.edit_data("gsm8k-test", url="https://a.example/b/test.jsonl"),
    "git blob, where the sha256 is known": lambda s: s.edit_data("gsm8k-test", git_blob="0" * 40),
    "place in the mirror": lambda s: s.edit_data("gsm8k-test", mirror="elsewhere/test.jsonl"),
    "note": lambda s: s.edit_data("gsm8k-test", note="a note", licence="another"),
    "title": lambda s: s.edit_scale("", title="another"),
    "machine": lambda s: s.edit_scale("hardware", machine="a100-80gb", memory_gib=99),
    "lock of another environment": lambda s: s.locks.update(cuda="0" * 64),
    "gate": lambda s: s.edit_model(
        "smollm2-135m-instruct", s.catalogue.models["smollm2-135m-instruct"].model_copy(update={"gated": True})
    ),
}


@pytest.mark.parametrize("change", COUNTS_NOT.values(), ids=list(COUNTS_NOT))
def test_changes_that_keep_the_key(change: Change):
    assert changed(change) == set()


def test_a_file_with_a_git_blob_id_has_one_key_for_all_addresses():
    def fetched(**changes: Any) -> str:
        known = keys(lambda s: s.edit_data("gsm8k-test", sha256=None, **changes))
        return known["fetch/gsm8k-test"]

    other = "https://a.example/b/test.jsonl"
    assert fetched(git_blob="0" * 40) == fetched(git_blob="0" * 40, url=other) != fetched(git_blob="1" * 40)
    assert fetched() != fetched(url=other)  # where nothing else is known, the address is


VERSIONS = {
    "fetch": (fetch, "VERSION", {"fetch", "convert", *AFTER_EVOLVING}),
    "convert": (convert, "VERSION", {"convert", *AFTER_EVOLVING}),
    "evolve": (evolve, "VERSION", AFTER_EVOLVING),
    "scenario": (evol_instruct, "VERSION", AFTER_EVOLVING),
    "engine": (vllm, "VERSION", AFTER_EVOLVING),
    "respond": (respond, "VERSION", AFTER_EVOLVING - {"evolve"}),
    "sft": (sft, "VERSION", {"sft", "answer", "grade"}),
    "answer": (answer, "VERSION", {"answer", "grade"}),
    "benchmark's questions": (humaneval, "ASKS", {"answer", "grade"}),
    # It moved the answers too: whoever mended a grader paid for every completion again.
    "benchmark's grader": (humaneval, "VERSION", {"grade"}),
    "grade": (grade, "VERSION", {"grade"}),
}


@pytest.mark.parametrize("module, name, stages", VERSIONS.values(), ids=list(VERSIONS))
def test_a_new_version_gives_another_key(module: Any, name: str, stages: set[str], monkeypatch: pytest.MonkeyPatch):
    before = keys(lambda _: None)
    monkeypatch.setattr(module, name, getattr(module, name) + 1)
    after = keys(lambda _: None)
    assert {id.partition("/")[0] for id in before if before[id] != after[id]} == stages


def test_a_new_wording_gives_another_key(monkeypatch: pytest.MonkeyPatch):
    before = keys(lambda _: None)
    kit = prompts.load("kit")
    templates = {**kit.templates, "evol_instruct.deepen": kit.chat("evol_instruct.breadth")}  # type: ignore[attr-defined]
    monkeypatch.setattr(prompts, "load", lambda name, *_: dataclasses.replace(kit, templates=templates))  # type: ignore[type-var]
    after = keys(lambda _: None)
    assert {id.partition("/")[0] for id in before if before[id] != after[id]} == AFTER_EVOLVING


def test_a_new_wording_changes_only_the_keys_of_jobs_that_use_it(monkeypatch: pytest.MonkeyPatch):
    # The whole pack was hashed: a prompt for one more benchmark moved evolution, training and every answer.
    before = keys(lambda _: None)
    real = prompts.load

    def load(name: str, *_: Any) -> Any:
        found: Any = real(name)
        new = {("mbpp" if name == "opencompass" else "respond.with_input"): found.chat("gsm8k")}
        return dataclasses.replace(found, templates={**found.templates, "one.more": found.chat("gsm8k"), **new})

    monkeypatch.setattr(prompts, "load", load)
    after = keys(lambda _: None)
    moved = {id for id in before if before[id] != after[id]}
    assert {id.partition("/")[0] for id in moved} == {"respond", "sft", "answer", "grade"}
    monkeypatch.setattr(prompts, "load", lambda name, *_: load(name) if name == "opencompass" else real(name))
    after = keys(lambda _: None)
    moved = {id for id in before if before[id] != after[id]}
    assert {"/".join(id.split("/")[:2]) for id in moved} == {"answer/mbpp", "grade/mbpp"}


def test_the_papers_wording_is_in_the_key_before_it_is_fetched(monkeypatch: pytest.MonkeyPatch):
    ids = registry.load("scenarios", "evol_instruct").PROMPTS
    before = prompts.fingerprint("paper", ids)
    pinned = pins.read("paper")
    other = [dataclasses.replace(pin, rendered_sha256="0" * 64) if pin.id == ids[0] else pin for pin in pinned.prompts]
    monkeypatch.setattr(pins, "read", lambda _: dataclasses.replace(pinned, prompts=tuple(other)))
    assert prompts.fingerprint("paper", ids) != before
    assert prompts.fingerprint("paper", ids[1:]) is not None
    assert prompts.fingerprint("paper", ()) is None


def test_a_job_uses_only_templates_that_are_in_its_key():
    with pytest.raises(RequestError, match="has no template 'mbpp'"):
        prompts.only(prompts.load("kit"), ("gsm8k",)).chat("mbpp")


def packs_of(name: str) -> set[str]:
    """Return the packs by which the kit's scales ask a benchmark, without those that are fetched."""
    scales = [Catalogue(FOLDER).scale(scale) for scale in Catalogue(FOLDER).names("scales")]
    return {scale.benchmarks[name].prompts for scale in scales} - {"paper", "followbench"}


@pytest.mark.parametrize("name", registry.names("benchmarks"))
def test_every_benchmark_uses_the_templates_that_it_names(name: str):
    module = registry.load("benchmarks", name)
    data = planning.manifests_folder().parent / "kit" / "bundled"
    stem = f"mini-{name.removeprefix('hendrycks_')}"
    path = next(path for path in data.iterdir() if path.name.partition(".")[0] == stem)
    for pack in packs_of(name):
        assert module.turns(module.read(path)[0], prompts.only(prompts.load(pack), module.PROMPTS))


def test_a_users_file_is_identified_by_its_bytes_not_its_path(tmp_path: Path):
    text = (FOLDER.parent / "examples" / "two-evolvers.toml").read_text(encoding="utf-8")
    found = []
    for place, seeds in (("a", "x"), ("b", "x"), ("c", "y")):
        (tmp_path / place).mkdir()
        (tmp_path / place / "my-seeds.json").write_text(f'[{{"instruction": "{seeds}"}}]', encoding="utf-8")
        (tmp_path / place / "own.toml").write_text(text, encoding="utf-8")
        found.append(set(planning.plan_manifest(tmp_path / place / "own.toml").jobs))
    assert found[0] == found[1] != found[2]
