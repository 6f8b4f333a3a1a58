"""Commands on one's own files plan as a manifest does: the same stages, keys, expected rows and costs."""

import json
from pathlib import Path

import pytest

from kit.catalogue.experiments import SamplingSpec
from kit.plan.adhoc import Workbench
from kit.plan.planning import plan_manifest

MANIFEST = Path(__file__).resolve().parent / "data" / "mine.toml"
MODEL = "smollm2-135m-instruct"
ROWS = 5


@pytest.fixture
def seeds(tmp_path: Path) -> Path:
    found = tmp_path / "mine.json"
    found.write_text(json.dumps([{"instruction": f"Task {n}"} for n in range(ROWS)]), encoding="utf-8")
    return found


def test_evolving_a_file_is_the_job_of_a_manifest_that_names_it(seeds: Path, tmp_path: Path):
    text = MANIFEST.read_text(encoding="utf-8").replace('"seeds.json"', '"mine.json"')
    (tmp_path / "own.toml").write_text(text, encoding="utf-8")
    planned = plan_manifest(tmp_path / "own.toml")
    wanted = [key for key, job in planned.jobs.items() if job.stage == "evolve"]
    bench = Workbench("smoke")
    sampling = SamplingSpec(temperature=0.7, max_tokens=8)
    setting = {"scenario": "evol_instruct", "evolver": MODEL, "seed": 42, "evolve": sampling}
    assert bench.evolve(seeds, setting, 2) == wanted
    assert [bench.plan.jobs[key].id for key in wanted] == ["evolve/mine/round-1", "evolve/mine/round-2"]


def test_jobs_on_files_have_rows_and_costs(seeds: Path):
    # they had none of these, and an engine was started anew where it could have taken the next model's weights
    bench = Workbench("smoke")
    sampling = SamplingSpec(temperature=0.0, max_tokens=8)
    job = bench.plan.jobs[bench.respond(seeds, {"responder": MODEL, "respond": sampling}, count=ROWS)]
    assert (job.id, job.resources["rows"], job.resources["wall_s"] > 0) == ("respond/mine", ROWS, True)
    bench = Workbench("smoke")
    bench.problems("gsm8k", None, rows=3, max_tokens=8)
    job = bench.plan.jobs[bench.answer("gsm8k", MODEL, "", 42)]
    assert (job.id, job.resources["rows"], job.resources["shape"]) == ("answer/gsm8k", 3, MODEL)
    assert job.resources["wall_s"] > 0


def test_a_scales_limits_do_not_cut_what_a_command_asks_for(seeds: Path):
    bench = Workbench("smoke")
    longest = 4 * (bench.catalogue.scale("smoke").limits.respond_max_tokens or 1)
    sampling = SamplingSpec(temperature=0.0, max_tokens=longest)
    job = bench.plan.jobs[bench.respond(seeds, {"responder": MODEL, "respond": sampling})]
    assert job.params["sampling"]["max_tokens"] == longest
