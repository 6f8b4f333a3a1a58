"""The kit's manifests: every name exists, computed values are right, and pinned files have their hashes."""

import gzip
import hashlib
import json
import re
from importlib.metadata import PackageNotFoundError, distribution
from pathlib import Path
from typing import Any

import pytest
import yaml

from kit import registry
from kit.catalogue import Catalogue, manifests_folder, paper
from kit.catalogue.entries import Dataset, Model
from kit.plan.estimate import parameters
from kit.plan.planning import plan_tables
from kit.plan.sources import BUNDLED

CATALOGUE = Catalogue(manifests_folder())
ROOT = Path(__file__).resolve().parent.parent
SOURCES = ROOT / "tests" / "data" / "SOURCES.md"
SCALES = ["smoke", "mini", "one-gpu", "one-80gb", "paper"]
TABLES = CATALOGUE.names("tables")
IN_PAPER = {name: file for name in TABLES if (file := CATALOGUE.table(name).paper)}
"""Table -> the paper's file; without those of which the paper prints no table or figure."""
PINNED = {name: data for name, data in CATALOGUE.datasets.items() if data.url}
REWARD = "internlm-2-7b-reward"
UNCHECKED = "sharegpt-v3"
"""The data set of which nothing but the address and the commit is known."""


def is_hex(text: str, length: int) -> bool:
    return len(text) == length and set(text) <= set("0123456789abcdef")


def rows_in(path: Path, format: str) -> int:
    if path.is_dir():
        return len(registry.load("benchmarks", format).read(path))
    raw = gzip.decompress(path.read_bytes()) if path.suffix == ".gz" else path.read_bytes()
    text = raw.decode("utf-8")
    return len(json.loads(text)) if format in ("alpaca", "alpacafarm", "first-turns") else len(text.splitlines())


# Models


@pytest.mark.parametrize("name", sorted(CATALOGUE.models))
def test_parameters_follow_from_the_sizes(name: str):
    model = CATALOGUE.models[name]
    assert model.parameters == parameters(model, qkv_bias=name.startswith("qwen"))


@pytest.mark.parametrize("name", sorted(name for name, model in CATALOGUE.models.items() if model.stack))
def test_a_stacked_model_has_the_sizes_of_its_source(name: str):
    model = CATALOGUE.models[name]
    assert model.stack is not None
    whole = CATALOGUE.models[model.stack.model]
    layers = model.stack.indices()
    assert len(layers) == model.layers
    assert set(layers) <= set(range(whole.layers))
    same = ("hidden", "intermediate", "heads", "kv_heads", "vocab", "context", "tied_embeddings", "licence")
    assert all(getattr(model, key) == getattr(whole, key) for key in same)


def test_revisions_are_commits():
    revisions = {name: model.hub.revision for name, model in CATALOGUE.models.items() if model.hub}
    assert [name for name, revision in revisions.items() if revision is None] == [REWARD]
    assert all(is_hex(revision, 40) for revision in revisions.values() if revision)


FOUND_LATER = {
    "Qwen/Qwen2-72B-Instruct-GPTQ-Int4": "6b82a333287651211b1cae443ff2d2a6802597b9",
    "Qwen/Qwen2.5-72B-Instruct-GPTQ-Int4": "de16ae5d56f73657b43d4cab6c4925600aa6de8d",
    "hugging-quants/Meta-Llama-3.1-70B-Instruct-GPTQ-INT4": "1b0ae7f9d6da8b79f36fdc24912f950ecb2b6e91",
}
"""Repository -> a commit of which a page was seen: https://huggingface.co/REPOSITORY/tree/COMMIT, or one of a file."""


def test_models_are_pinned_as_found(reference_data: Path):
    pins = {
        pin["id"]: pin
        for pin in yaml.safe_load((reference_data / "design/pins.yaml").read_text(encoding="utf-8"))["models"]
    }
    sizes = {"layers", "hidden", "intermediate", "heads", "kv_heads", "vocab", "context", "tied_embeddings", "gated"}
    for name, model in CATALOGUE.models.items():
        if model.hub and model.hub.repo in FOUND_LATER:
            assert model.hub.revision == FOUND_LATER[model.hub.repo]
        elif model.hub:
            pin = pins[model.hub.repo]
            assert (name, model.hub.revision, model.parameters) == (name, pin["revision"], pin["params"])
            known = sizes if model.kind != "embedder" else sizes - {"kv_heads", "tied_embeddings"}
            assert {key: getattr(model, key) for key in known} == {key: pin[key] for key in known}, name


def test_every_model_of_the_protocol_is_here_or_left_out_on_purpose(reference_data: Path):
    models = yaml.safe_load((reference_data / "paper/protocol.yaml").read_text(encoding="utf-8"))["models"]
    asked = {model["id"] for role in ("evolvers", "response_generators", "judges") for model in models[role]}
    for scenario, bases in models["base_models"].items():
        asked |= set(bases) if scenario not in ("source", "hub_ids") else set()
    # gpt-4 is a service
    assert asked - set(CATALOGUE.models) == {"gpt-4"}
    for evolver in models["evolvers"]:
        hub = CATALOGUE.models[evolver["id"]].hub
        assert hub is not None
        assert hub.repo == evolver["hub_id"]


def packaged(model: Model) -> Path:
    assert model.package is not None
    try:
        found = distribution(model.package.name)
    except PackageNotFoundError:
        pytest.skip(f"{model.package.name} is not installed")
    assert found.version == model.package.version
    return next(Path(str(found.locate_file(file))) for file in found.files or () if file.name == model.package.file)


def test_the_packaged_model_is_the_pinned_one():
    model = CATALOGUE.models["smollm2-135m-instruct"]
    with packaged(model).open("rb") as file:
        digest = hashlib.file_digest(file, "sha256").hexdigest()
    assert model.package is not None
    assert digest == model.package.sha256


# Data sets


@pytest.mark.parametrize("name", sorted(PINNED))
def test_addresses_hold_a_commit(name: str):
    data = PINNED[name]
    assert data.url is not None
    place = re.fullmatch(
        r"https://(?:raw\.githubusercontent\.com/([^/]+)/([^/]+)|huggingface\.co/datasets/([^/]+)/([^/]+)/resolve)/(.+)",
        data.url,
    )
    assert place
    owner, repo = place[1] or place[3], place[2] or place[4]
    commit, *path = place[5].split("/")
    assert owner and repo and path and is_hex(commit, 40)
    assert data.sha256 is None or is_hex(data.sha256, 64)
    assert (data.rows is None) == (name == UNCHECKED)


ABSENT = {"mmlu"}
"""Sets with a pinned sha256 that the reference data lacks."""


@pytest.mark.parametrize("name", sorted(name for name, data in PINNED.items() if data.sha256 and name not in ABSENT))
def test_the_pinned_hash_is_the_sources(name: str):
    data = PINNED[name]
    named = [line for line in SOURCES.read_text(encoding="utf-8").splitlines() if f"`{data.mirror}`" in line]
    assert [data.sha256 in line for line in named] == [True]


def test_the_pinned_bytes_are_the_reference_bytes(reference_data: Path):
    pinned = {name: data for name, data in PINNED.items() if data.sha256 and name not in ABSENT}
    whole = {"shared": sorted(pinned), "sample": ["humaneval"]}[
        reference_data.name
    ]  # of the others, the sample has rows
    paths = {name: reference_data / "data" / str(pinned[name].mirror) for name in whole}
    found = {name: hashlib.sha256(path.read_bytes()).hexdigest() for name, path in paths.items()}
    assert found == {name: pinned[name].sha256 for name in whole}
    assert [rows_in(paths[name], pinned[name].format) for name in whole] == [pinned[name].rows for name in whole]


def test_unknown_hashes_are_four_and_git_knows_two_of_them():
    # the address alone held them: a damaged file in between was taken for the right one
    found = {name: data.git_blob for name, data in PINNED.items() if data.sha256 is None and not data.files}
    assert found == {
        "alpaca-52k": "3779ddbc040543ab1834ef216c983d6fcc06cc9a",
        "code-alpaca-20k": "4599591b17572755907bd945e34d25a956dcab09",
        UNCHECKED: None,
        "ceval": None,
    }


def test_the_pinned_hashes_of_several_files_are_the_sources():
    data = CATALOGUE.datasets["followbench"]
    lines = SOURCES.read_text(encoding="utf-8").splitlines()
    named = {name: [line for line in lines if f"`{data.mirror}/{name}`" in line] for name in data.files}
    assert {name: [data.files[name] in line for line in found] for name, found in named.items()} == {
        name: [True] for name in data.files
    }


@pytest.mark.shared
def test_the_pinned_bytes_of_several_files_are_the_reference_bytes(shared: Path):
    data = CATALOGUE.datasets["followbench"]
    folder = shared / "data" / str(data.mirror)
    assert {name: hashlib.sha256((folder / name).read_bytes()).hexdigest() for name in data.files} == data.files
    assert rows_in(folder, "followbench") == data.rows


def test_the_bundled_files_have_the_hashes_that_the_manifest_pins():
    several = {name: data for name, data in CATALOGUE.datasets.items() if data.bundled and data.files}
    found = {
        name: {path.name: hashlib.sha256(path.read_bytes()).hexdigest() for path in (BUNDLED / name).iterdir()}
        for name in several
    }
    assert found == {name: data.files for name, data in several.items()}


@pytest.mark.parametrize("name", sorted(name for name, data in CATALOGUE.datasets.items() if data.bundled))
def test_bundled_sets_hold_what_smoke_takes(name: str):
    data: Dataset = CATALOGUE.datasets[name]
    path = ROOT / "kit" / "bundled" / str(data.bundled)
    smoke = CATALOGUE.scale("smoke")
    asked = [use.rows or 0 for use in (*smoke.seeds.values(), *smoke.benchmarks.values()) if use.dataset == name]
    assert asked
    assert rows_in(path, data.format) >= asked[0]


# Scales


@pytest.mark.parametrize("name", SCALES)
def test_a_scale_names_what_exists(name: str):
    scale = CATALOGUE.scale(name)
    models, data = CATALOGUE.models, CATALOGUE.datasets
    assert set(scale.cast) <= {*models, *CATALOGUE.served}
    assert set(scale.cast.values()) <= {*models, *CATALOGUE.served}
    assert set(scale.tensor_parallel) <= set(scale.cast.values())
    for experiment in CATALOGUE.experiments.values():
        roles = ("evolver", "responder", "judge")
        assert {name for role in roles for name in experiment.values(role)} - {""} <= set(scale.cast)
        assert set(experiment.values("base")) & set(scale.cast)
        assert set(experiment.values("seeds")) <= set(scale.seeds)
    for table in TABLES:
        for group in CATALOGUE.table(table).columns:
            measures = {measure.partition(".")[0] for measure in group.measures}
            assert measures - set(registry.names("metrics")) <= set(scale.benchmarks)
    assert {*scale.metrics} <= set(registry.names("metrics"))
    assert {data[seeds.dataset].format for seeds in scale.seeds.values()} == {"alpaca", "gsm8k", "lines", "first-turns"}
    assert all(data[use.dataset].format == benchmark for benchmark, use in scale.benchmarks.items())


@pytest.mark.parametrize("name", SCALES)
def test_a_scale_stays_within_files_and_windows(name: str):
    scale = CATALOGUE.scale(name)
    for use in (*scale.seeds.values(), *scale.benchmarks.values()):
        held = CATALOGUE.datasets[use.dataset].rows
        assert use.rows is None or held is None or use.rows <= held
    players = set(scale.cast.values()) - set(CATALOGUE.served)
    asked = [model for name in players if (model := CATALOGUE.models[name]).kind != "embedder"]  # it cuts longer texts
    assert all(model.context >= scale.engine.max_model_len for model in asked)
    assert all(use.max_tokens < scale.engine.max_model_len for use in scale.benchmarks.values())


def test_at_paper_scale_every_model_plays_itself():
    scale = CATALOGUE.scale("paper")
    assert all(role == player for role, player in scale.cast.items())
    assert all(use.rows is None for use in (*scale.seeds.values(), *scale.benchmarks.values()))
    assert all(use.protocol == "paper" for use in scale.benchmarks.values())


def test_small_scales_ask_for_no_gpu_and_no_bf16():
    for name in ("smoke", "mini"):
        scale = CATALOGUE.scale(name)
        assert (scale.environment, scale.hardware.gpus) == ("cpu", 0)
        assert scale.engine.dtype == scale.training.dtype == "float32"


@pytest.mark.parametrize("name", ["smoke", "mini"])
def test_small_scales_need_no_account_and_no_hub(name: str):
    assert all(CATALOGUE.models[model].hub is None for model in CATALOGUE.scale(name).cast.values())


def test_one_gpu_needs_no_account():
    assert not any(CATALOGUE.models[model].gated for model in CATALOGUE.scale("one-gpu").cast.values())


def render(name: str, turns: list[dict[str, str]], **given: Any) -> str:
    jinja2 = pytest.importorskip("jinja2")
    # As transformers sets it up; an undefined bos_token is what a tokenizer without one gives.
    environment = jinja2.Environment(trim_blocks=True, lstrip_blocks=True)
    template = environment.from_string(CATALOGUE.scale(name).chat.template)
    return template.render(messages=turns, **({"eos_token": "</s>", "add_generation_prompt": False} | given))


@pytest.mark.parametrize("name", SCALES)
def test_the_prompt_is_the_start_of_the_whole_chat(name: str):
    user, assistant = {"role": "user", "content": " a {b}\n"}, {"role": "assistant", "content": "\nc "}
    prompt = render(name, [user], add_generation_prompt=True)
    whole = render(name, [user, assistant])
    end = CATALOGUE.scale(name).chat.end_of_turn or "</s>"
    assert whole.startswith(prompt)
    # what is said stays as it is, blanks and all, up to the token that ends the turn
    assert whole.removeprefix(prompt).startswith("\nc " + end)
    assert " a {b}\n" in prompt


@pytest.mark.parametrize(
    ("name", "wanted"),
    [
        ("paper", "<s>### user\nhi\n\n### assistant\n"),
        ("one-80gb", "<s>### user\nhi\n\n### assistant\n"),
        ("one-gpu", "<s>### user\nhi\n\n### assistant\n"),
        ("mini", "<|im_start|>user\nhi<|im_end|>\n<|im_start|>assistant\n"),
        ("smoke", "<|im_start|>user\nhi<|im_end|>\n<|im_start|>assistant\n"),
    ],
)
def test_templates_in_full(name: str, wanted: str):
    turns = [{"role": "user", "content": "hi"}]
    assert render(name, turns, bos_token="<s>", add_generation_prompt=True) == wanted


# Experiments and tables


def test_tables_1_and_2_differ_in_evolvers_alone():
    first, second = (CATALOGUE.experiments[name] for name in ("llama-3.1", "qwen-2"))
    assert first.values("evolver") != second.values("evolver")
    assert first.model_dump(exclude={"id", "evolver"}) == second.model_dump(exclude={"id", "evolver"})


def test_training_is_the_papers(reference_data: Path):
    main = yaml.safe_load((reference_data / "paper/protocol.yaml").read_text(encoding="utf-8"))["sft"]["main"]
    for experiment in CATALOGUE.experiments.values():
        if experiment.id == "sizes":  # Table 7's, see test_plan.py
            continue
        sft = experiment.setting({axis: experiment.values(axis)[0] for axis in experiment.axes()}).sft
        assert (sft.tuning, sft.learning_rate, sft.epochs) == (main["tuning"], main["learning_rate"], main["epochs"])
        assert (sft.global_batch_size, sft.lr_scheduler) == (main["global_batch_size"], main["lr_scheduler"])
        assert (sft.warmup_ratio, sft.max_length_tokens) == (main["warmup_ratio"], main["max_sequence_length"])


def test_one_table_is_of_a_number_in_the_papers_text():
    assert set(TABLES) - set(IN_PAPER) == {"trajectories"}


@pytest.mark.parametrize("name", IN_PAPER)
def test_a_table_has_the_papers_rows_and_columns(name: str):
    view = CATALOGUE.table(name)
    printed = paper.table(IN_PAPER[name]).of_series(view.series)
    assert view.title == printed.title[0].upper() + printed.title[1:]
    if not printed.row:  # a figure whose numbers are not released
        assert view.draw is not None
        return
    table = plan_tables([name], "paper").tables[name]
    assert [column.printed or column.id for column in table.columns] == [column.id for column in printed.column]
    rows = [row for at in table.rows if (row := printed.row_at({**at, **view.at}))]
    assert [row for row, before in zip(rows, [None, *rows], strict=False) if row is not before] == printed.row
    assert len(plan_tables([name], "paper").cells[name]) == sum(len(row.values) for row in rows)
    assert len(rows) == len(table.rows)


@pytest.mark.parametrize("path", sorted(manifests_folder().glob("[est]*/*.toml")), ids=lambda path: path.stem)
def test_the_line_below_the_schema_is_the_command_with_its_price(path: Path):
    schema, line = path.read_text(encoding="utf-8").splitlines()[:2]
    assert schema.startswith("#:schema ")
    command, _, price = line.removeprefix("# ").partition("     ")
    assert command.startswith("make reproduce TABLE=")
    assert "GB" in price or "minutes" in price
