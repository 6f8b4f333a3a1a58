"""The three tools open what the kit writes for them: values, counts, each item's scores, hostile texts."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from kit.exports import expected, gradings_of, item_values
from kit.exports.texts import whole
from kit.items import graded_items
from kit.report import stored_results
from tests.exports.conftest import Exported
from tests.exports.filled import BENCHMARKS, COMMIT, HOSTILE

Read = Callable[..., Any]
NOT_KNOWN = ("8.6: The Action SHOULD have an agent", "3.2: The Application SHOULD have a url",
             "5.1: The SoftwareApplication id SHOULD be an absolute URI",
             "22.2: The Root Data Entity SHOULD have a link", "22.3: The `publisher` property")  # fmt: skip
"""Recommendations that are not followed: who ran a job, who publishes it and where the kit lies are not known."""


@pytest.fixture(scope="module")
def by_harness(exported: Exported, read: Read, tmp_path_factory: pytest.TempPathFactory) -> Any:
    """Return all that lm-evaluation-harness finds, read once."""
    return read("read_harness.py", exported.folder / "lm-eval", tmp_path_factory.mktemp("harness"))


@pytest.fixture(scope="module")
def by_inspect(exported: Exported, read: Read) -> Any:
    """Return all that Inspect finds, read once."""
    return read("read_inspect.py", exported.folder / "inspect")


def test_the_harness_reads_every_number_and_sample(exported: Exported, by_harness: Any):
    found = by_harness
    gradings, _ = gradings_of(exported.plan, exported.store, "kit")
    assert len(gradings) == 2 * len(BENCHMARKS)
    assert set(found) == {one.model.replace("/", "__") for one in gradings}
    for one in gradings:
        model, task = found[one.model.replace("/", "__")], str(one.job.params["benchmark"])
        graded = graded_items(exported.store, one.key)
        results = stored_results(exported.store, one.key, graded.metrics)
        numbers = dict(model["results"][task])
        assert (numbers.pop("name"), numbers.pop("sample_len")) == (task, len(graded.items))
        assert numbers.pop("alias") == task
        wanted = {f"{name},none": result.value for name, result in results.items()}
        assert numbers == wanted | {f"{name}_stderr,none": result.stderr for name, result in results.items()}
        assert [row["id"] for row in model["tasks"][task]] == [item.id for item in graded.items]
        for row, item in zip(model["tasks"][task], graded.items, strict=True):
            assert row["values"] == item_values(item)
            assert (row["text"], row["answer"]) == (whole(item.text), whole(item.answer))
            assert (row["target"], row["reason"], row["state"]) == (whole(expected(item)), item.reason, item.state)
            assert [one["text"] for one in row["verdicts"]] == [whole(one.text) for one in item.verdicts]
    items = sum(len(graded_items(exported.store, one.key).items) for one in gradings)
    assert sum(model["written_alike"] for model in found.values()) == items


def test_the_harness_prints_our_table(by_harness: Any):
    table = next(iter(by_harness.values()))["table"]
    assert "|gsm8k" in table
    lost = next(line for line in table.splitlines() if "|alpacafarm_lose" in line)
    assert "↓" in lost  # it was shown as better where more is lost
    assert "↑" in next(line for line in table.splitlines() if "|alpacafarm_win " in line)


def test_inspect_reads_every_log_and_sample(exported: Exported, by_inspect: Any):
    found = by_inspect
    gradings, _ = gradings_of(exported.plan, exported.store, "kit")
    assert (len(found["logs"]), found["evals"]) == (len(gradings), len(gradings))
    logs = {log["key"]: log for log in found["logs"].values()}
    total = 0
    for one in gradings:
        log, graded = logs[one.key], graded_items(exported.store, one.key)
        results = stored_results(exported.store, one.key, graded.metrics)
        assert (log["version"], log["status"], log["commit"]) == (2, "success", COMMIT)
        assert (log["task"], log["model"]) == (graded.benchmark, one.model)
        assert log["created"] == "2026-01-31T11:00:00+00:00"
        assert list(log["scores"]) == list(results)
        for name, result in results.items():
            numbers = dict(log["scores"][name])
            assert (numbers.pop("stderr"), numbers.pop("n")) == (result.stderr, result.n)
            assert numbers.pop("scored") == sum(bool(item.scores.get(name, (0, 0))[1]) for item in graded.items)
            assert list(numbers.values()) == [result.value]
        for sample, item in zip(log["samples"], graded.items, strict=True):
            assert (sample["id"], sample["text"], sample["tokens"]) == (item.id, whole(item.text), item.tokens)
            assert sample["input"] == [[turn.role, whole(turn.content)] for turn in item.prompt]
            assert sample["target"] == whole(expected(item))
            scores = {name: [value, whole(item.answer), item.reason] for name, value in item_values(item).items()}
            assert sample["scores"] == scores
            assert sample["verdicts"] == [whole(verdict.text) for verdict in item.verdicts]
            assert sample["stop"] == {"stop": "stop", "length": "max_tokens"}.get(item.finish_reason, "model_length")
        total += len(graded.items)
    assert found["samples"] == total


def test_hostile_texts_come_back_as_they_were(by_inspect: Any):
    found = by_inspect
    texts = {sample["text"] for log in found["logs"].values() for sample in log["samples"]}
    assert {text.encode("utf-8", "backslashreplace").decode() for text in HOSTILE} <= texts
    assert "half of a character \\ud83d and the other \\ude00" in texts
    ids = {sample["id"] for log in found["logs"].values() for sample in log["samples"]}
    assert "Mini/0" in ids


@pytest.mark.parametrize("folder", ["ro-crate", "ro-crate-data"])
@pytest.mark.parametrize("profile", ["ro-crate-1.1", "process-run-crate-0.5"])
def test_the_validator_accepts_the_crate(profile: str, folder: str, exported: Exported, read: Read):
    found = read("read_crate.py", exported.folder / folder, profile, "REQUIRED")
    assert (found["issues"], found["passed"]) == ([], True)
    assert found["checks"] > 40
    assert found["main"] == "tables.csv"
    assert found["actions"] == len(exported.plan.jobs)
    inside = {str(path.relative_to(exported.folder / folder)) for path in (exported.folder / folder).rglob("*.*")}
    inside = {name for name in inside if (exported.folder / folder / name).is_file()}
    assert set(found["files"]) | {"ro-crate-metadata.json"} == inside


def test_what_is_recommended_and_known_stands_in_the_crate(exported: Exported, read: Read):
    found = read("read_crate.py", exported.folder / "ro-crate", "process-run-crate-0.5", "RECOMMENDED")
    assert [issue for issue in found["issues"] if not any(known in issue for known in NOT_KNOWN)] == []
    assert all(any(known in issue for issue in found["issues"]) for known in NOT_KNOWN)


def test_the_validator_refuses_a_crate_that_lost_a_file(exported: Exported, read: Read, tmp_path: Path):
    import shutil

    shutil.copytree(exported.folder / "ro-crate", tmp_path / "crate")
    (tmp_path / "crate" / "tables.csv").unlink()
    found = read("read_crate.py", tmp_path / "crate", "ro-crate-1.1", "REQUIRED")
    assert not found["passed"]
