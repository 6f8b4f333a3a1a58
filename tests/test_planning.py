"""Plans of users' manifests and of scales: views, limits, machines, notes on files, and the errors that name them."""

from collections import Counter
from pathlib import Path

import pytest

from kit.catalogue import Catalogue, manifests_folder
from kit.catalogue.entries import Dataset
from kit.errors import RequestError
from kit.plan import Plan
from kit.plan.planner import make_plan
from kit.plan.planning import Machine, check_machine, largest_scale, locks, plan_manifest, plan_tables
from kit.run import batches
from kit.run.launch import Shape
from kit.store import Store
from tests.test_plan import ROOT, planned, stage


def own_plan(folder: Path, *edits: tuple[str, str], more: str = "", models: str = "", end: str = "") -> Plan:
    """Plan examples/two-evolvers.toml with some words exchanged, its experiment once more, and further tables."""
    text = (ROOT / "examples" / "two-evolvers.toml").read_text(encoding="utf-8")
    (folder / "my-seeds.json").write_text('[{"instruction": "a"}]', encoding="utf-8")
    head, experiment = text.partition("[[experiment]]")[::2]
    again = "[[experiment]]" + experiment.replace('id = "which-evolver"', more) if more else ""
    for old, new in edits:
        assert old in experiment
        experiment = experiment.replace(old, new)
    path = folder / "own.toml"
    path.write_text(f"{head}{models}\n[[experiment]]{experiment}\n{again}\n{end}", encoding="utf-8")
    return plan_manifest(path)


def seed_data(id: str, rates: str, more: str = "") -> str:
    """An experiment with two bases on a seed set as it stands."""
    return f"""
[[experiment]]
id = "{id}"
seeds = "alpaca"
base = ["smollm2-29l", "smollm2-31l"]
round = 0
seed = 42
benchmarks = ["gsm8k"]
sft = {{ learning_rate = {rates}, epochs = 1, global_batch_size = 4, warmup_ratio = 0.0, max_length_tokens = 64 }}
{more}
"""


def plan_of(folder: Path, *experiments: str, title: str = "own") -> Plan:
    head = f'schema = 1\nscale = "smoke"\ntitle = "{title}"\n'
    (folder / "own.toml").write_text(head + "".join(experiments), encoding="utf-8")
    return plan_manifest(folder / "own.toml")


def test_experiments_that_fill_the_same_cells_have_a_table_each(tmp_path: Path):
    # the second was left out in silence
    plan = own_plan(tmp_path, ("temperature = 0.7", "temperature = 0.2"), more='id = "warmer"')
    titles = {name: table.title for name, table in plan.tables.items()}
    assert titles == {
        "own.which-evolver": "Two evolvers on ten seeds: which-evolver",
        "own.warmer": "Two evolvers on ten seeds: warmer",
    }
    evolved = stage(plan, "evolve")
    assert {job.params["sampling"]["temperature"] for job in evolved} == {0.2, 0.7}
    ids = [job.id for job in plan.jobs.values()]
    assert len(set(ids)) == len(ids)
    warmer = "my-seeds/smollm2-36l/round-1~evolve.temperature=0.7"
    assert {id for id in ids if "~" in id} >= {f"evolve/{warmer}", f"respond/{warmer}"}
    assert not {cell.keys for cell in plan.cells["own.warmer"]} & {
        cell.keys for cell in plan.cells["own.which-evolver"]
    }


def test_experiments_with_different_cells_share_one_table(tmp_path: Path):
    edit = ('benchmarks = ["ifeval", "gsm8k"]', 'benchmarks = ["mbpp"]')
    plan = own_plan(tmp_path, edit, more='id = "the-rest"')
    assert list(plan.tables) == ["own"]
    assert {column.benchmark for column in plan.tables["own"].columns} == {"mbpp", "ifeval", "gsm8k"}
    assert all(len(cell.keys) == 1 for cell in plan.cells["own"])


def test_experiments_that_leave_cells_blank_have_a_table_each(tmp_path: Path):
    # refused before: "no experiment of the table evolves with …"
    edit = ('evolver = ["smollm2-135m-instruct", "smollm2-36l"]', 'evolver = ["smollm2-36l"]')
    plan = own_plan(tmp_path, edit, ('["ifeval", "gsm8k"]', '["mbpp"]'), more='id = "the-rest"')
    assert {name: len(cells) for name, cells in plan.cells.items()} == {"own.which-evolver": 1, "own.the-rest": 10}


def test_a_limit_of_the_scale_that_lowers_a_number_is_noted(tmp_path: Path):
    plan = own_plan(tmp_path, ("epochs = 1", "epochs = 5"), ('base = ["smollm2-29l"]', 'base = ["llama-3.2-3b"]'))
    (tuned,) = {job.params["epochs"] for job in stage(plan, "sft")}
    assert f"sft.epochs: 5 asked for, scale smoke takes {tuned} at most" in plan.notes
    assert "llama-3.2-3b is played by smollm2-29l, as scale smoke casts it" in plan.notes
    assert planned("2", "smoke").notes == [note for note in planned("2", "smoke").notes if "asked for" not in note]


def test_a_manifest_is_accepted_wherever_a_table_is(tmp_path: Path):
    # `kit plan own.toml`, `kit report own.toml`: "no table named"
    plan = own_plan(tmp_path)
    path = str(tmp_path / "own.toml")
    assert plan_tables([path], "auto").jobs == plan.jobs
    for names, scale, message in (
        ([path, "2"], "auto", f"{path}: a manifest is planned by itself; it was named together with others"),
        ([path], "mini", f"{path}: a manifest names its scale itself; leave --scale mini out, or edit it"),
    ):
        with pytest.raises(RequestError) as error:
            plan_tables(names, scale)
        assert str(error.value) == message


def test_a_base_model_neither_evolves_nor_responds(tmp_path: Path):
    # it was fetched and its engine opened before the missing chat template was noticed
    with pytest.raises(RequestError) as error:
        own_plan(tmp_path, ('responder = "smollm2-135m-instruct"', 'responder = "qwen-2-7b"'))
    assert str(error.value).startswith("qwen-2-7b is a base model, without a chat template of its own; what evolves")


def test_a_users_model_needs_a_chat_template(tmp_path: Path):
    # it was called a base model, whatever its folder holds
    sizes = "parameters = 1\nlayers = 1\nhidden = 1\nintermediate = 1\nheads = 1\nkv_heads = 1\nvocab = 1\ncontext = 9"
    hub = 'hub = { repo = "me/mine", revision = "' + "0" * 40 + '" }'
    model = f'[models.mine]\n{hub}\n{sizes}\nlicence = "mine"\n'
    edit = ('responder = "smollm2-135m-instruct"', 'responder = "mine"')
    with pytest.raises(RequestError) as error:
        own_plan(tmp_path, edit, models=model)
    assert str(error.value).endswith(
        "own.toml: models.mine: it evolves, responds or answers, which takes a chat template; "
        "set chat = true if its folder brings one"
    )
    assert stage(own_plan(tmp_path, edit, models=f"{model}chat = true\n"), "respond")


def test_rows_of_ones_own_file_are_counted_for_the_estimate(tmp_path: Path):
    # "about 1.2 min" for a plan that takes twice that: evolution, responses and training counted as nothing
    plan = own_plan(tmp_path)
    for name in ("evolve", "respond"):
        assert [job.resources["rows"] for job in stage(plan, name)] == [1, 1]
    assert all(job.resources["wall_s"] > 0 for job in stage(plan, "sft"))
    url = '[datasets.far]\nurl = "https://a.example/far.json"\nformat = "alpaca"\nlicence = "x"\n'
    seeds = '[seeds]\nalpaca = { dataset = "far" }\n'
    note = "datasets.far.rows: missing, so no time is estimated for what reads its rows"
    assert note in plan_of(tmp_path, seed_data("e", "1e-5"), url, seeds).notes
    known = plan_of(tmp_path, seed_data("e", "1e-5"), url, seeds.replace(" }", ", rows = 5 }"))
    assert note not in known.notes
    # a record that is not used is not looked at
    (tmp_path / "far.json").write_text('[{"instruction": "a"}, {"text": "b"}]', encoding="utf-8")
    file = url.replace('url = "https://a.example/far.json"', 'file = "far.json"')
    assert plan_of(tmp_path, seed_data("e", "1e-5"), file, seeds.replace(" }", ", rows = 1 }")).jobs


def test_all_and_a_misspelt_table():
    # the other name was passed over in silence
    with pytest.raises(RequestError, match="no table named 'tabel-2'; did you mean 'table-2'"):
        plan_tables(["all", "tabel-2"], "smoke")


def test_a_scale_that_shares_a_model_nobody_knows():
    # a misspelt name left the model on one GPU, and the estimate was six times what it should be
    catalogue = Catalogue(manifests_folder())
    scale = catalogue.scale("paper").model_copy(update={"tensor_parallel": {"qwen-2-72b-instrut": 8}})
    with pytest.raises(RequestError) as error:
        make_plan(catalogue, {"table-2": catalogue.table("2")}, scale, "paper", locks())
    assert str(error.value).startswith(
        "paper.toml: tensor_parallel: no model named 'qwen-2-72b-instrut'; did you mean 'qwen-2-72b-instruct'"
    )


MACHINES = {
    "no GPU": (0, 0, "smoke"),
    "a small GPU": (1, 12, "smoke"),
    "one GPU": (1, 24, "one-gpu"),
    "two of 24 GB": (2, 24, "one-gpu"),
    "one of 48 GB": (1, 48, "one-gpu"),
    "one of 80 GB": (1, 80, "one-80gb"),
    "two of 80 GB": (2, 80, "one-80gb"),
    "eight of 40 GB": (8, 40, "one-gpu"),
    "eight of 80 GB": (8, 80, "paper"),
}


TOO_SMALL = {
    "no GPU": (0, 0, "one-gpu wants 1 GPU of 24 GB, this machine has none that nvidia-smi names; take a smaller"),
    "a small GPU": (1, 12, "one-gpu wants 1 GPU of 24 GB, this machine has 1 of 12 GB; take a smaller"),
    "half of it": (1, 40, "one-80gb wants 1 GPU of 80 GB, this machine has 1 of 40 GB; take a smaller"),
    "one of eight": (1, 80, "paper wants 8 GPUs of 80 GB, this machine has 1 of 80 GB; take a smaller"),
}


@pytest.mark.parametrize("gpus, memory, message", TOO_SMALL.values(), ids=list(TOO_SMALL))
def test_a_machine_that_is_too_small_is_refused(gpus: int, memory: int, message: str):
    # its models were fetched first: 34 GB, or 2 TB
    plan = planned("2", message.partition(" ")[0])
    with pytest.raises(RequestError, match=f"^scale {message}"):
        check_machine(plan, Machine(gpus=gpus, gpu_memory_gib=memory, memory_gib=64))
    check_machine(plan, Machine(gpus=8, gpu_memory_gib=80, memory_gib=64))


@pytest.mark.parametrize("gpus, memory, scale", MACHINES.values(), ids=list(MACHINES))
def test_auto_takes_the_largest_scale_that_fits(gpus: int, memory: int, scale: str):
    machine = Machine(gpus=gpus, gpu_memory_gib=memory, memory_gib=64)
    assert largest_scale(Catalogue(manifests_folder()), machine) == scale


@pytest.mark.parametrize("scale", ["smoke", "paper"])
def test_a_worker_opens_each_model_as_few_times_as_possible(scale: str, tmp_path: Path):
    store = Store.open(tmp_path)
    plan = planned("2", scale)
    pending = dict(plan.jobs)
    opened: dict[str, list[str]] = {}
    while batch := batches.next_batch(pending, plan.jobs, store):
        shape, keys = batch
        assert all(Shape.of(plan.jobs[key]) == shape for key in keys)
        models = [plan.jobs[key].inputs.get("model", "") for key in keys]
        turns = [model for model, before in zip(models, ["-", *models], strict=False) if model != before]
        opened.setdefault(shape.kind.name, []).extend(turns)
        for key in keys:
            assert all(
                store.has(needed) or keys.index(needed) < keys.index(key) for needed in plan.jobs[key].inputs.values()
            )
        for key in keys:
            folder = tmp_path / "artifacts" / key
            folder.mkdir()
            (folder / "artifact.json").touch()
            del pending[key]
    assert pending == {}
    # Twice at most: the paper's responder answers one evolver, then waits for the other, which runs as eight copies.
    assert max(Counter(opened["text"]).values()) == (1 if scale == "smoke" else 2)


ALPACA = "https://raw.githubusercontent.com/tatsu-lab/stanford_alpaca/761dc5bfbdeeffa89b8bff5d038781a4055f796a/alpaca_data.json"
CODE_ALPACA = (
    "https://raw.githubusercontent.com/sahil280114/codealpaca/2f78ddc5c682ed6738ad092bbbfa59ba915afcb0/data/"
    "code_alpaca_20k.json"
)


def data_notes(plan: Plan) -> list[str]:
    return [note for note in plan.notes if "sha256" in note]


def test_a_file_without_a_sha256_is_noted_with_its_check():
    assert data_notes(planned("2", "paper")) == [
        f"alpaca-52k: the sha256 of {ALPACA} is not known; the bytes are checked by their git blob id "
        "3779ddbc040543ab1834ef216c983d6fcc06cc9a, the sha256 is noted when they are fetched",
        f"code-alpaca-20k: the sha256 of {CODE_ALPACA} is not known; the bytes are checked by their git blob id "
        "4599591b17572755907bd945e34d25a956dcab09, the sha256 is noted when they are fetched",
    ]


@pytest.mark.parametrize("scale", ["smoke", "mini", "one-gpu"])
def test_a_bundled_file_or_a_known_sha256_is_no_note(scale: str):
    # smoke's files have no address: they are hashed where they lie, and compared with the manifest
    plan = planned("2", scale)
    kinds = {(data.url is None, data.sha256 is None) for data in data_of(plan)}
    assert kinds == ({(True, False)} if scale == "smoke" else {(False, False)})
    assert data_notes(plan) == []


def data_of(plan: Plan) -> list[Dataset]:
    """The data sets that a plan fetches."""
    known = Catalogue(manifests_folder()).datasets
    names = [job.id.removeprefix("fetch/") for job in stage(plan, "fetch")]
    return [known[name] for name in names if name in known]


HASHES = {
    "nothing known": ("", ["d: the sha256 of {url} is not known; the address is pinned, the bytes are not checked"]),
    "git blob known": (
        f'git_blob = "{"1" * 40}"',
        [
            "d: the sha256 of {url} is not known; the bytes are checked by their git blob id "
            f"{'1' * 40}, the sha256 is noted when they are fetched"
        ],
    ),
    "sha256 known": (f'sha256 = "{"0" * 64}"', []),
    "both known": (f'sha256 = "{"0" * 64}"\ngit_blob = "{"1" * 40}"', []),
}


@pytest.mark.parametrize("hashes, notes", HASHES.values(), ids=list(HASHES))
def test_notes_on_a_data_file_of_a_users_manifest(hashes: str, notes: list[str], tmp_path: Path):
    url = "https://a.example/c/seeds.json"
    text = (ROOT / "tests" / "data" / "tiny.toml").read_text(encoding="utf-8").replace('"mini-alpaca"', '"d"')
    data = f'[datasets.d]\nformat = "alpaca"\nurl = "{url}"\nrows = 9\nlicence = "mine"\n{hashes}\n'
    (tmp_path / "own.toml").write_text(text + "\n" + data, encoding="utf-8")
    assert data_notes(plan_manifest(tmp_path / "own.toml")) == [note.replace("{url}", url) for note in notes]
