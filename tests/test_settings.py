"""Tables 6, 7 and 8: printed settings of training and seed sets, against manifests/ and changed copies of them."""

import json
import re
import shutil
from pathlib import Path
from typing import Any

import pytest

from kit.catalogue import manifests_folder
from kit.catalogue.experiments import Lora, Sft
from kit.check import settings as settings_check
from kit.check.settings import Manifests, Setting, Training, check
from kit.errors import RequestError
from kit.plan import planning
from tests.conftest import Kit

ROOT = Path(__file__).resolve().parent.parent
EXPERIMENTS = "experiments/evol_instruct.toml"
FULL = ("qwen-2.5-0.5b", "qwen-2.5-1.5b", "qwen-2.5-3b", "qwen-2.5-7b")
LORA = ("qwen-2.5-14b", "qwen-2.5-32b", "qwen-2.5-72b")
RATES = dict(zip(FULL + LORA, (1e-5, 1e-5, 7e-6, 7e-6, 5e-5, 5e-5, 5e-5), strict=True))
"""Learning rates of the size series, as Table 7 prints them."""


@pytest.fixture
def manifests(tmp_path: Path) -> Path:
    """A copy of manifests/ that a test may change."""
    return Path(shutil.copytree(manifests_folder(), tmp_path / "manifests"))


@pytest.fixture
def kit(kit: Kit, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Kit:
    """Run the command line in an empty folder, beside the changed manifests."""
    (tmp_path / "here").mkdir()
    monkeypatch.chdir(tmp_path / "here")
    return kit


def change(folder: Path, name: str, old: str, new: str) -> None:
    """Replace the first ``old`` in a manifest by another text."""
    text = (folder / name).read_text(encoding="utf-8")
    assert old in text
    (folder / name).write_text(text.replace(old, new, 1), encoding="utf-8")


def failed(found: list[Setting]) -> dict[str, str]:
    """Return the failed settings, each with its reason."""
    return {setting.what: setting.detail for setting in found if not setting.passed}


def verdicts(found: list[Setting]) -> dict[str, str]:
    return {setting.what.partition(", ")[2]: setting.verdict for setting in found}


# the tree as it is


def test_every_experiment_has_the_settings_of_table_6():
    found = check(["table-6"])
    names = ["learning_rate", "epochs", "devices", "per_device_batch_size", "gradient_accumulation_steps"]
    names += ["lr_scheduler", "warmup_ratio", "max_sequence_length"]
    assert verdicts(found) == dict.fromkeys(names, "match")
    values = {setting.what.partition(", ")[2]: (setting.ours, setting.paper) for setting in found}
    assert values["learning_rate"] == ((2e-5,), 2e-5)
    assert values["per_device_batch_size"] == ((64,), 1)
    assert values["gradient_accumulation_steps"] == ((64,), 8)
    assert found[3].detail == "64, the paper prints 1; global_batch_size holds the product, 8 x 1 x 8"


def test_table_8_differs_only_in_alpaca_with_a_reason():
    found = check(["table-8"])
    assert verdicts(found) == {"alpaca": "off", "gsm8k-train": "match", "code-alpaca": "match"}
    assert failed(found) == {}
    assert found[0].detail == (
        "52,002, the paper prints 51,983; known: all rows of the pinned file; which 19 the paper leaves out is not "
        "known (docs/deviations.md: Alpaca rows)"
    )


def test_every_printed_value_of_a_table_is_compared():
    for name, more in (("table-6", 0), ("table-7", 1), ("table-8", 0)):  # who is tuned whole is a line more
        printed = Manifests(manifests_folder()).printed(name)
        assert len(check([name])) == len(printed.row) + more


def test_every_known_difference_exists_and_is_explained():
    known = Manifests(manifests_folder()).deviations
    page = (ROOT / "docs" / "deviations.md").read_text(encoding="utf-8")
    found = {setting.what: setting for table, _ in known for setting in check([table])}
    for (table, setting), one in known.items():
        assert found[f"{table}, {setting}"].verdict == "off"
        (row,) = (line for line in page.splitlines() if line.startswith(f"| {one.section} |"))
        assert settings_check.written(one.paper) in row
        assert settings_check.written(one.ours) in row


# changed manifests


def test_a_changed_learning_rate_is_named_with_its_file(manifests: Path):
    change(manifests, EXPERIMENTS, "learning_rate = 2.0e-5", "learning_rate = 3.0e-5")
    where = f"{EXPERIMENTS}: experiment 'llama-3.1', base "
    wrong = "sft.learning_rate: found 3e-05, wanted 2e-05"
    bases = ("mistral-7b-v0.3", "deepseek-7b", "llama-3.2-3b")
    places = [f"{where}{base!r}: {wrong}" for base in bases]
    assert failed(check(["table-6"], manifests)) == {"table-6, learning_rate": "; ".join([*places, "and 3 more"])}


SCALE = "scales/paper.toml"
DATASETS = "datasets.toml"
CHANGES = {
    "devices": (SCALE, "gpus = 8", "gpus = 4", "table-6, devices", f"{SCALE}: hardware.gpus: found 4, wanted 8"),
    "limit": (
        SCALE,
        "[chat]",
        "[limits]\nepochs = 2\n\n[chat]",
        "table-6, epochs",
        f"{SCALE}: limits.epochs: found 2, wanted 3",
    ),
    "rows taken": (
        SCALE,
        'dataset = "gsm8k-train"',
        'dataset = "gsm8k-train", rows = 7000',
        "table-8, gsm8k-train",
        f"{SCALE}: seeds.gsm8k-train.rows: found 7,000, wanted 7,473",
    ),
    "rows of a file": (
        DATASETS,
        "rows = 20022",
        "rows = 20021",
        "table-8, code-alpaca",
        f"{DATASETS}: datasets.code-alpaca-20k.rows: found 20,021, wanted 20,022",
    ),
    "known difference, other value": (
        DATASETS,
        "rows = 52002",
        "rows = 52001",
        "table-8, alpaca",
        f"{DATASETS}: datasets.alpaca-52k.rows: found 52,001, wanted 51,983",
    ),
    "difference that nobody knows": (
        "deviations.toml",
        'setting = "alpaca"',
        'setting = "alpaca-9k"',
        "table-8, alpaca",
        f"{DATASETS}: datasets.alpaca-52k.rows: found 52,002, wanted 51,983",
    ),
}


@pytest.mark.parametrize("file, old, new, what, reason", CHANGES.values(), ids=list(CHANGES))
def test_a_changed_manifest_fails_by_name(manifests: Path, file: str, old: str, new: str, what: str, reason: str):
    change(manifests, file, old, new)
    found = failed(check([what.partition(",")[0]], manifests))
    assert {name: detail.split("; ")[0] for name, detail in found.items()} == {what: reason}


def test_a_changed_batch_fails_both_its_factors(manifests: Path):
    change(manifests, EXPERIMENTS, "global_batch_size = 64", "global_batch_size = 32")
    found = failed(check(["table-6"], manifests))
    assert list(found) == ["table-6, per_device_batch_size", "table-6, gradient_accumulation_steps"]
    assert all("sft.global_batch_size: found 32, wanted 64" in detail for detail in found.values())


# Table 7's models


def training(base: str, scenario: str = "evol_instruct", **changes: Any) -> Training:
    """Return a training of the size series as Table 7 prints it, with changes."""
    adapter = {"tuning": "lora", "lora": Lora(rank=8, alpha=8)} if base in LORA else {}
    printed = {"epochs": 2, "global_batch_size": 64, "warmup_ratio": 0.03, "max_length_tokens": 2048}
    sft = Sft(**{"learning_rate": RATES.get(base, 2e-5), **printed, **adapter, **changes})
    where = f"experiments/sizes.toml: experiment 'sizes', base {base!r}"
    return Training(where=where, experiment="sizes", scenario=scenario, base=base, sft=sft)


def table_7(trainings: list[Training]) -> list[Setting]:
    """Return the findings on Table 7 if the size series has these trainings."""
    manifests = Manifests(manifests_folder())
    vars(manifests)["trainings"] = trainings
    return list(settings_check.check_table("table-7", manifests))


def test_the_size_series_passes_as_printed():
    found = table_7([training(base) for base in RATES])
    assert (failed(found), set(verdicts(found).values()), len(found)) == ({}, {"match"}, 15)
    shown = {setting.what.partition(", ")[2]: setting.detail for setting in found}
    assert shown["tuning"] == "full / lora, the paper prints full / lora"
    assert shown["lora_target"] == "all-linear, the paper prints all_modules; all-linear is peft's word for it"
    assert shown["learning_rate of qwen-2.5-3b, qwen-2.5-7b"] == (
        "7e-06, the paper prints 7e-06; in 1 experiment of evol_instruct"
    )


SIZES = {
    "rank": ({"qwen-2.5-32b": {"lora": Lora(rank=16, alpha=8)}}, ["lora_rank"], "sft.lora.rank: found 16, wanted 8"),
    "rate of one": (
        {"qwen-2.5-1.5b": {"learning_rate": 7e-6}},
        ["learning_rate of qwen-2.5-0.5b, qwen-2.5-1.5b"],
        "sft.learning_rate: found 7e-06, wanted 1e-05",
    ),
    "whole where the paper has an adapter": (
        {"qwen-2.5-14b": {"tuning": "full", "lora": None}},
        ["tuning", "lora_rank", "lora_alpha", "lora_dropout"],
        "sft.tuning: found full, wanted lora",
    ),
    "adapter where the paper trains all": (
        {"qwen-2.5-7b": {"tuning": "lora", "lora": Lora(rank=8, alpha=8)}},
        ["tuning"],
        "sft.tuning: found lora, wanted full",
    ),
}


@pytest.mark.parametrize("changes, what, reason", SIZES.values(), ids=list(SIZES))
def test_a_changed_size_fails_by_name(changes: dict[str, dict[str, Any]], what: list[str], reason: str):
    found = failed(table_7([training(base, **changes.get(base, {})) for base in RATES]))
    (base,) = changes
    assert list(found) == [f"table-7, {name}" for name in what]
    assert found[f"table-7, {what[0]}"] == f"experiments/sizes.toml: experiment 'sizes', base {base!r}: {reason}"


def test_a_size_that_no_experiment_trains_fails():
    found = failed(table_7([training(base) for base in RATES if base != "qwen-2.5-72b"]))
    assert found["table-7, tuning"] == "experiments/: no experiment trains qwen-2.5-72b"
    assert "table-7, learning_rate of qwen-2.5-14b, qwen-2.5-32b, qwen-2.5-72b" in found
    assert "table-7, learning_rate of qwen-2.5-0.5b, qwen-2.5-1.5b" not in found


def test_a_base_in_two_tables_belongs_to_the_one_of_its_scenario():
    # AutoIF trains Qwen-2.5-7B too, with the settings of Table 6
    series, autoif = training("qwen-2.5-7b"), training("qwen-2.5-7b", scenario="autoif", learning_rate=2e-5, epochs=3)
    manifests = Manifests(manifests_folder())
    vars(manifests)["trainings"] = [series, autoif]
    assert manifests.trainings_of("all") == [series]
    assert manifests.trainings_of(None) == [autoif]
    assert failed(list(settings_check.check_table("table-6", manifests))) == {}


def test_a_printed_parameter_that_the_kit_does_not_know_is_named(manifests: Path):
    change(manifests, "paper/table-6.toml", 'parameter = "epochs"', 'parameter = "epoch"')
    with pytest.raises(RequestError) as error:
        check(["table-6"], manifests)
    assert str(error.value) == ("paper/table-6.toml: row.parameter: no setting named 'epoch'; did you mean 'epochs'?")


# the command line


def test_settings_need_no_job_and_no_store(kit: Kit, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(planning, "plan_tables", lambda *_: pytest.fail("a table was planned"))
    code, out, err = kit("verify", "6", "table-8", "6")
    assert (code, err, list(Path.cwd().iterdir())) == (0, "", [])
    lines = out.splitlines()
    assert [line.split()[0] for line in lines[:-1]] == ["match"] * 8 + ["off", "match", "match"]
    assert lines[-1] == ("11 printed settings against manifests/ at scale paper: 10 match, 1 off and known, 0 off.")


def test_settings_are_one_json_document(kit: Kit):
    code, out, _ = kit("verify", "8", "--json")
    document = json.loads(out)
    assert (code, document["passed"], document["scale"], document["tables"]) == (0, True, None, ["table-8"])
    assert [(found["ours"], found["paper"], found["verdict"]) for found in document["findings"]] == [
        ([52002], 51983, "off"),
        ([7473], 7473, "match"),
        ([20022], 20022, "match"),
    ]


def test_a_setting_that_is_off_ends_with_1(kit: Kit, manifests: Path, monkeypatch: pytest.MonkeyPatch):
    change(manifests, EXPERIMENTS, "learning_rate = 2.0e-5", "learning_rate = 3.0e-5")
    monkeypatch.setattr(settings_check, "manifests_folder", lambda: manifests)
    code, out, _ = kit("verify", "6")
    assert (code, re.findall("^FAIL  (.*?):", out, re.MULTILINE)) == (1, ["table-6, learning_rate"])
    assert json.loads(kit("verify", "6", "--json")[1])["passed"] is False


def test_settings_and_results_in_one_call(kit: Kit):
    code, out, _ = kit("verify", "2", "6", "--scale", "smoke")
    assert code == 1  # Table 2 is not computed
    assert "FAIL         stored    table-2: not done:" in out
    assert "match table-6, learning_rate:" in out
    code, out, _ = kit("verify", "6", "2", "--scale", "smoke", "--json")
    document = json.loads(out)
    assert (code, document["scale"], document["tables"]) == (1, "smoke", ["table-2", "table-6"])
    assert {found["check"] for found in document["findings"]} >= {"stored", "setting"}


@pytest.mark.parametrize("words", ["plan 6", "reproduce 6 --dry-run", "report 6", "fetch 6", "plan 2 6"])
def test_no_job_computes_settings(kit: Kit, words: str):
    code, _, err = kit(*words.split())
    assert (code, err) == (
        2,
        "error: table-6 has no job: it prints settings and counts, which nothing computes; `kit verify 6` compares it "
        "with manifests/\n",
    )
    assert list(Path.cwd().iterdir()) == []


def test_settings_cannot_be_recorded(kit: Kit):
    code, _, err = kit("verify", "2", "6", "--record")
    assert (code, err) == (2, "error: --record: table-6: no job computes it, so there is nothing to record\n")
