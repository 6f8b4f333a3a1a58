"""The plan of a table: which jobs there are, and that each says what the paper's protocol says."""

from collections import Counter
from functools import lru_cache
from pathlib import Path
from typing import Any

import pytest
import yaml

from kit.catalogue import Catalogue, manifests_folder
from kit.plan import Plan, digest
from kit.plan.planning import plan_manifest, plan_tables
from kit.store import Job

ROOT = Path(__file__).resolve().parent.parent


@lru_cache
def planned(table: str, scale: str) -> Plan:
    return plan_tables([table], scale)


def stage(plan: Plan, name: str) -> list[Job]:
    return [job for job in plan.jobs.values() if job.stage == name]


@pytest.fixture(scope="module")
def protocol(reference_data: Path) -> dict[str, Any]:
    found: dict[str, Any] = yaml.safe_load((reference_data / "paper/protocol.yaml").read_text(encoding="utf-8"))
    return found


@pytest.mark.parametrize("table", ["1", "2"])
def test_the_papers_jobs(table: str):
    counts = Counter(job.stage for job in planned(table, "paper").jobs.values())
    # 2 evolvers x 3 seed sets; x 6 bases; a model is tested on the 1, 2 or 2 benchmarks of its seed set's domain
    assert (counts["evolve"], counts["respond"], counts["sft"]) == (6, 6, 36)
    assert (counts["answer"], counts["grade"]) == (60, 60)
    assert len(planned(table, "paper").cells[f"table-{table}"]) == 2 * 6 * 8


# evolve, respond, sft, answer, grade; a model is tested on the 1, 2 or 2 benchmarks of its seed set's domain
COUNTS = {
    "9": (0, 0, 3 * 6, 5 * 6, 5 * 6),  # 3 seed sets x 6 bases
    "10": (18, 18, 18, 30, 30),  # 2 evolvers x 3 seed sets x 3 rounds, one base
    "12": (12, 12, 12, 24, 24),  # 2 evolvers x 6 temperatures, one seed set of 2 benchmarks, one base
    "figure-1": (18, 18, 21, 35, 35),  # and round 0 of each seed set, which both evolvers share
    "11": (6, 6, 42, 70, 70),  # 2 evolvers x 3 seed sets x 7 bases
    "4": (2 * 3 * 3, 6, 2 * 3 * 3, 2 * 3 * 5, 30),  # 2 evolvers x 3 seed sets, 3 steps; x 3 bases
    "3": (2 * 5, 2, 12, 6 * 12, 6 * 12),  # 2 evolvers x 5 steps of AutoIF, 6 bases, 6 benchmarks
    "5": (3, 1, 5, 5, 5),  # three rounds of one evolver, all of its pairs and four picks
    "15": (6, 2, 2, 2, 2),  # three rounds of two evolvers
    "figure-6": (0, 0, 12, 12, 6),  # 2 bases x 3 fractions x 2 picks, whose answers are compared
    "figure-7": (0, 0, 4, 4, 3),  # 3 fractions, each against all pairs
    # Table 1 has round 1 of 10's 3 (6 evolve, 6 sft, 10 answers), 0.7 of 12's 6 temperatures (2, 2, 4), 11's evolution;
    # Table 10 all of 5 but its four picks, and all of 15; Figure 6 Figure 7's picks, and Table 9 its whole set
    "all": (
        6 + 6 + 10 + 18 + 12 + 10,
        42 + 6,
        36 + 36 + 12 + 18 + 18 + 12 + 10 + 42 + 4 + 12,
        60 + 60 + 72 + 30 + 30 + 20 + 20 + 70 + 4 + 12 + 1,
        332 + 30 + 4 + 6 + 3,
    ),
}


@pytest.mark.parametrize("table, counts", COUNTS.items())
def test_jobs_of_each_table_and_of_all(table: str, counts: tuple[int, ...]):
    found = Counter(job.stage for job in planned(table, "paper").jobs.values())
    assert tuple(found[name] for name in ("evolve", "respond", "sft", "answer", "grade")) == counts


def test_all_is_every_table_in_order():
    names = [
        "table-1",
        "table-2",
        "table-3",
        "table-4",
        "table-5",
        "table-9",
        "table-10",
        "table-11",
        "table-12",
        "table-13",
        "table-14",
        "table-15",
        "figure-1",
        "figure-2",
        "figure-3",
        "figure-4",
        "figure-5",
        "figure-6",
        "figure-7",
        "trajectories",
    ]
    assert list(planned("all", "smoke").tables) == names
    for name in names:
        alone = planned(name, "smoke")
        assert alone.jobs.keys() <= planned("all", "smoke").jobs.keys()
        assert alone.cells[name] == planned("all", "smoke").cells[name]


@pytest.mark.parametrize("scale", ["smoke", "paper"])
def test_seed_data_is_trained_on_as_it_stands(scale: str):
    plan = planned("9", scale)
    assert stage(plan, "evolve") == stage(plan, "respond") == []
    known = Catalogue(manifests_folder())
    for job in stage(plan, "sft"):
        rows = known.scale(scale).seeds[job.params["seeds"]]
        assert plan.jobs[job.inputs["pairs"]].id == f"fetch/{rows.dataset}"
        assert (job.params["format"], job.params["rows"]) == (known.datasets[rows.dataset].format, rows.rows)


@pytest.mark.shared
def test_the_sizes_are_trained_as_the_protocol_says(shared: Path):
    scaling = yaml.safe_load((shared / "paper/protocol.yaml").read_text(encoding="utf-8"))["sft"]["scaling"]
    plan = planned("11", "paper")
    groups = {base: group for group in scaling["groups"] for base in group["models"]}
    tuned = stage(plan, "sft")
    assert Counter(plan.jobs[job.inputs["base"]].id.removeprefix("fetch/") for job in tuned) == dict.fromkeys(groups, 6)
    for job in tuned:
        group = groups[plan.jobs[job.inputs["base"]].id.removeprefix("fetch/")]
        wanted = {name: scaling[name] for name in ("epochs", "global_batch_size", "lr_scheduler", "warmup_ratio")}
        wanted |= {name: group[name] for name in ("tuning", "learning_rate")}
        assert {name: job.params[name] for name in wanted} == wanted
        lora = {name: group["lora"][name] for name in ("rank", "alpha", "dropout")} if "lora" in group else None
        assert job.params["lora"] == lora
    responder = {plan.jobs[job.inputs["model"]].id for job in stage(plan, "respond")}
    assert responder == {"fetch/llama-3.1-70b-instruct"}


@pytest.mark.shared
def test_rounds_and_temperatures_are_the_protocols(shared: Path):
    scenarios = yaml.safe_load((shared / "paper/protocol.yaml").read_text(encoding="utf-8"))["scenarios"]
    rounds, warm = scenarios["rounds"], scenarios["temperature"]
    plan = planned("10", "paper")
    assert {row["round"] for row in plan.tables["table-10"].rows} | {0} == set(rounds["rounds"])
    assert {cell.at["base"] for cell in plan.cells["table-10"]} == {rounds["model"]}
    assert {cell.at["evolver"] for cell in plan.cells["table-10"]} == set(rounds["evolvers"])
    plan = planned("12", "paper")
    found = [job.params["sampling"]["temperature"] for job in stage(plan, "evolve")]
    assert sorted(set(found)) == warm["temperatures"]
    assert {job.params["seeds"] for job in stage(plan, "evolve")} == {warm["data"]}
    assert {job.params["sampling"]["temperature"] for job in stage(plan, "respond")} == {
        0.0
    }  # the evolver's alone varies


@pytest.mark.parametrize("scale", ["smoke", "mini", "one-gpu", "one-80gb", "paper"])
@pytest.mark.parametrize(
    "table", ["1", "2", "5", "9", "10", "11", "12", "15", "figure-1", "figure-3", "figure-6", "all"]
)
def test_every_input_of_a_plan_is_in_it(table: str, scale: str):
    plan = planned(table, scale)
    seen: set[str] = set()
    for key, job in plan.jobs.items():
        assert job.key == key
        assert set(job.inputs.values()) <= seen  # each stands after its inputs
        seen.add(key)
    cells = {key for cells in plan.cells.values() for address in cells for key in address.keys}
    assert plan.needs(cells) == set(plan.jobs)  # no job without a use
    assert len({job.id for job in plan.jobs.values()}) == len(plan.jobs)
    assert digest(plan) == digest(plan_tables([table], scale))


@pytest.mark.parametrize("table, family", [("1", "llama-3.1"), ("2", "qwen-2")])
def test_the_models_are_the_protocols(table: str, family: str, protocol: dict[str, Any]):
    plan, models = planned(table, "paper"), protocol["models"]
    fetched = {job.id: job.params for job in stage(plan, "fetch") if job.params["kind"] == "hub"}
    evolvers = [m for m in models["evolvers"] if m["family"] == family]
    responder = models["response_generators"][0]
    wanted = {m["id"]: m["hub_id"] for m in (*evolvers, responder)}
    wanted |= {name: models["base_models"]["hub_ids"][name] for name in models["base_models"]["evol_instruct"]}
    assert {id.removeprefix("fetch/"): params["repo"] for id, params in fetched.items()} == wanted
    assert all(len(params["revision"]) == 40 for params in fetched.values())
    by_key = plan.jobs
    for job in stage(plan, "evolve"):
        assert by_key[job.inputs["model"]].id in {f"fetch/{m['id']}" for m in evolvers}
    assert {by_key[job.inputs["model"]].id for job in stage(plan, "respond")} == {f"fetch/{responder['id']}"}
    bases = Counter(job.id.split("/")[3] for job in stage(plan, "sft"))
    assert bases == dict.fromkeys(models["base_models"]["evol_instruct"], 6)


@pytest.mark.parametrize("table", ["1", "2"])
def test_the_hyperparameters_are_the_protocols(table: str, protocol: dict[str, Any]):
    main = protocol["sft"]["main"]
    wanted = {
        "tuning": main["tuning"],
        "learning_rate": main["learning_rate"],
        "epochs": main["epochs"],
        "global_batch_size": main["global_batch_size"],
        "lr_scheduler": main["lr_scheduler"],
        "warmup_ratio": main["warmup_ratio"],
        "max_length_tokens": main["max_sequence_length"],
        "world": main["devices"],
        "dtype": "bfloat16",
        "sharding": "fsdp",
        "gradient_checkpointing": protocol["sft"]["main_extra"]["gradient_checkpointing"],
        "lora": None,
    }
    for job in stage(planned(table, "paper"), "sft"):
        assert {name: job.params[name] for name in wanted} == wanted


@pytest.mark.parametrize("table", ["1", "2"])
def test_evolution_and_responses_are_the_protocols(table: str, protocol: dict[str, Any]):
    plan = planned(table, "paper")
    breadth = {seeds["id"]: seeds["breadth_method"] for seeds in protocol["seed_data"]}
    drawn = protocol["scenarios"]["evol_instruct"]["sampling"]
    greedy = protocol["response_generation"]["sampling"][1]
    first_round = protocol["scenarios"]["evol_instruct"]["tables_1_and_2_use_round"]
    for job in stage(plan, "evolve"):
        sampling = {name: drawn[0][name] for name in ("temperature", "top_p")} | {"max_tokens": drawn[2]["max_tokens"]}
        assert job.params["sampling"] == sampling
        assert job.params["breadth"] == breadth[job.params["seeds"]]
        assert (job.params["round"], job.params["rows"], job.params["prompts"]) == (first_round, None, "paper")
    for job in stage(plan, "respond"):
        found = job.params["sampling"]
        assert (found["temperature"], found["max_tokens"]) == (greedy["temperature"], greedy["max_tokens"])
        assert job.params["engine"]["dtype"] == protocol["response_generation"]["engine"]["dtype"]
        assert job.params["engine"]["tensor_parallel"] == protocol["response_generation"]["engine"]["tensor_parallel"]


def test_each_model_is_tested_in_its_seeds_domain(protocol: dict[str, Any]):
    names = {"math": "hendrycks_math"}
    wanted = {
        (seeds, names.get(benchmark, benchmark))
        for seeds in ("alpaca", "gsm8k-train", "code-alpaca")
        for benchmark in protocol["evaluated_domain"][seeds]
    }
    found = Counter((job.id.split("/")[2], job.params["benchmark"]) for job in stage(planned("2", "paper"), "answer"))
    assert found == dict.fromkeys(wanted, 2 * 6)
    assert {job.params["protocol"] for job in stage(planned("2", "paper"), "grade")} == {"paper"}


def test_each_round_is_made_from_the_one_before(tmp_path: Path):
    text = (ROOT / "examples" / "two-evolvers.toml").read_text(encoding="utf-8")
    (tmp_path / "my-seeds.json").write_text('[{"instruction": "a"}]', encoding="utf-8")
    path = tmp_path / "own.toml"
    path.write_text(text.replace("round = 1", "round = 2"), encoding="utf-8")
    plan = plan_manifest(path)
    rounds = {key: job.params["round"] for key, job in plan.jobs.items() if job.stage == "evolve"}
    assert sorted(rounds.values()) == [1, 1, 2, 2]
    for key, round in rounds.items():
        inputs = plan.jobs[key].inputs
        assert ("seeds" in inputs, rounds.get(inputs.get("instructions", ""), 0)) == (round == 1, round - 1)
    assert {rounds[job.inputs["instructions"]] for job in stage(plan, "respond")} == {2}
