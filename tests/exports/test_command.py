"""The three commands of ``kit export`` that write results: what is written, what is refused, the same bytes."""

from pathlib import Path

import pytest

from kit.errors import KitError
from kit.exports import crate, gradings_of, harness, inspect_logs
from kit.exports.texts import dump, file_name
from kit.plan.planning import plan_tables
from kit.store import Store
from tests.conftest import Kit
from tests.exports.conftest import Exported
from tests.exports.filled import commit, filled, own_plan

FORMATS = ("lm-eval", "inspect", "ro-crate")


def contents(folder: Path) -> dict[str, bytes]:
    return {str(path.relative_to(folder)): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


def words(exported: Exported, format: str, out: Path) -> list[str]:
    manifest = next(exported.folder.glob("*.toml"))
    return ["export", format, str(manifest), "--store", str(exported.store.root), "--out", str(out)]


@pytest.mark.parametrize("format", FORMATS)
def test_a_command_writes_the_same_bytes_again(format: str, kit: Kit, exported: Exported, tmp_path: Path):
    for name in ("one", "two"):
        code, out, err = kit(*words(exported, format, tmp_path / name))
        assert (code, err) == (0, "")
        assert f"{len(contents(tmp_path / name)):,} files" in out
    assert contents(tmp_path / "one") == contents(tmp_path / "two")


@pytest.mark.parametrize("format", FORMATS)
def test_a_folder_with_something_in_it_is_refused(format: str, kit: Kit, exported: Exported, tmp_path: Path):
    (tmp_path / "kept").mkdir()
    (tmp_path / "kept" / "mine").write_text("mine")
    code, out, err = kit(*words(exported, format, tmp_path / "kept"))
    assert (code, out) == (2, "")
    assert "the folder is not empty; name a new one, or empty it" in " ".join(err.split())
    assert contents(tmp_path / "kept") == {"mine": b"mine"}


@pytest.mark.parametrize("format", FORMATS)
def test_jobs_that_are_not_done_are_told_with_the_command_that_does_them(
    format: str, kit: Kit, exported: Exported, tmp_path: Path
):
    Store.open(tmp_path / "new")
    given = words(exported, format, tmp_path / "out")
    given[given.index("--store") + 1] = str(tmp_path / "new")
    code, out, err = kit(*given)
    assert (code, out) == (1, "")
    said = " ".join(err.split())
    assert "are not done, the first is " in said
    assert "run: kit reproduce " in said
    assert not (tmp_path / "out").exists()


def test_an_empty_folder_is_filled(kit: Kit, exported: Exported, tmp_path: Path):
    (tmp_path / "empty").mkdir()
    code, _, err = kit(*words(exported, "inspect", tmp_path / "empty"))
    assert (code, err) == (0, "")
    assert contents(tmp_path / "empty")
    assert sorted(path.name for path in tmp_path.iterdir()) == ["empty"]


@pytest.mark.parametrize("format", FORMATS)
def test_a_changed_artifact_is_told_and_nothing_is_left(format: str, kit: Kit, tmp_path: Path):
    plan = own_plan(tmp_path, ("gsm8k",))
    store = filled(tmp_path / "store", plan)
    grading = next(job for job in plan.jobs.values() if job.stage == "grade")
    path = store.root / "artifacts" / grading.key / "grades.jsonl"
    path.write_text(path.read_text().replace('"id":"0"', '"id":"1"', 1))
    code, _, err = kit(
        "export", format, str(tmp_path / "own.toml"), "--store", str(store.root), "--out", str(tmp_path / "o")
    )
    assert code == 1
    assert "grades.jsonl: changed (sha256 differs from the head's)" in " ".join(err.split())
    assert sorted(one.name for one in tmp_path.iterdir()) == ["own.toml", "store"]


def test_gradings_without_a_time_are_dated_1970_aloud(tmp_path: Path):
    plan = own_plan(tmp_path, ("gsm8k",))
    store = filled(tmp_path / "store", plan, provenance={})
    assert "2 gradings do not say when they ran: dated 1970" in harness.write(plan, store, tmp_path / "h", "kit").lines
    assert next((tmp_path / "h").glob("*/results_*")).name == "results_1970-01-01T00-00-00.000000.json"
    inspect_logs.write(plan, store, tmp_path / "i", "kit")
    assert all(path.name.startswith("1970-01-01T00-00-00+00-00_gsm8k_") for path in (tmp_path / "i").iterdir())
    (tmp_path / "c").mkdir()
    crate.write(plan, store, tmp_path / "c", "kit")
    assert "startTime" not in (tmp_path / "c" / "ro-crate-metadata.json").read_text()


def test_scorings_are_left_out_and_counted(tmp_path: Path):
    own_plan(tmp_path, ("gsm8k",))
    plan = plan_tables([str(tmp_path / "own.toml")], "auto")
    scores = plan_tables(["13"], "smoke")
    store = filled(tmp_path / "store", plan)
    plan.jobs |= scores.jobs
    plan.cells |= scores.cells
    count = len({key for cell in scores.cells["table-13"] for key in cell.keys})
    line = f"{count} scorings of instruction sets left out: the format has no place for them"
    assert count > 1
    assert line in harness.write(plan, store, tmp_path / "h", "kit").lines
    assert line in inspect_logs.write(plan, store, tmp_path / "i", "kit").lines
    with pytest.raises(KitError, match="table-13: no number of it is a grading of answers") as refused:
        harness.write(scores, store, tmp_path / "n", "kit")
    assert "kit export ro-crate takes it" in str(refused.value)


def test_models_of_one_name_have_folders_of_their_own(tmp_path: Path):
    plan = own_plan(tmp_path, ("gsm8k",))
    for job in (job for job in plan.jobs.values() if job.stage == "sft"):
        object.__setattr__(job, "id", "sft/the same")
    store = Store.open(tmp_path / "store")
    for job in plan.jobs.values():
        commit(store, job)
    names = [one.model for one in gradings_of(plan, store, "kit")[0]]
    assert len(set(names)) == 2
    assert all(name.startswith("the same-") for name in names)
    harness.write(plan, store, tmp_path / "h", "kit")
    assert {path.name for path in (tmp_path / "h").iterdir()} == set(names)


def test_names_and_json_that_every_system_takes():
    assert file_name("a/b\x00 c..") == "a-b-c"
    assert file_name("///") == "unnamed"
    assert len(file_name("x" * 1000)) == 100
    assert file_name("x" * 1000) != file_name("x" * 1001)
    assert dump({"a": ["\ud83d", float("nan"), 1.5], "\ude00": (1,)}) == (
        '{"a": ["\\\\ud83d", null, 1.5], "\\\\ude00": [1]}'
    )
