"""Selection of tests: those that run by default, and those that need the reference data."""

import re
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import hypothesis
import pytest

# With a deadline a verdict would depend on how busy the machine is.
hypothesis.settings.register_profile("kit", deadline=None, suppress_health_check=[hypothesis.HealthCheck.too_slow])
hypothesis.settings.load_profile("kit")

OPT_IN = ("slow", "network", "images")
SHARED = Path(__file__).resolve().parents[2] / "shared"
SAMPLE = Path(__file__).resolve().parent / "data" / "sample"
NO_SHARED = "no reference data (../shared/data) beside the project"
SKIPPED = pytest.StashKey[int]()
SAMPLED = pytest.StashKey[int]()


Kit = Callable[..., tuple[int, str, str]]
"""Runs the command line with some words: exit code, standard output, standard error."""


@pytest.fixture
def kit(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Kit:
    """Run the command line in an empty folder: exit code, standard output, standard error."""
    from kit.cli import main

    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("KIT_STORE", raising=False)

    def call(*words: str) -> tuple[int, str, str]:
        monkeypatch.setattr(sys, "argv", ["kit", *words])
        with pytest.raises(SystemExit) as ended:
            main()
        return int(ended.value.code or 0), *capsys.readouterr()

    return call


@pytest.fixture(scope="session")
def shared() -> Path:
    """The folder of the reference data, for tests marked ``shared``: no sample can replace it for them."""
    if not (SHARED / "data").is_dir():
        pytest.skip(NO_SHARED)
    return SHARED


@pytest.fixture(scope="session")
def reference_data(request: pytest.FixtureRequest) -> Path:
    """A folder laid out as ``../shared``: the sample in the project, and the whole data where they are available.

    Its name, ``sample`` or ``shared``, says which numbers to expect.
    """
    return request.param


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    """Run a test that uses ``reference_data`` once for each folder that exists."""
    if "reference_data" not in metafunc.fixturenames:
        return
    folders = [pytest.param(SAMPLE, id="sample")]
    if (SHARED / "data").is_dir():
        folders.append(pytest.param(SHARED, id="shared", marks=pytest.mark.shared))
    metafunc.parametrize("reference_data", folders, indirect=True, scope="session")


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """Deselect tests that ``-m`` does not select; skip and count tests whose data are missing."""
    asked = set(re.findall(r"\w+", config.option.markexpr))
    unasked = [name for name in OPT_IN if name not in asked]
    left_out = [item for item in items if any(item.get_closest_marker(name) for name in unasked)]
    if left_out:
        config.hook.pytest_deselected(items=left_out)
        items[:] = [item for item in items if item not in set(left_out)]
    if (SHARED / "data").is_dir():
        return
    lacking = [item for item in items if item.get_closest_marker("shared")]
    for item in lacking:
        item.add_marker(pytest.mark.skip(reason=NO_SHARED), append=False)
    config.stash[SKIPPED] = len(lacking)


def pytest_collection_finish(session: pytest.Session) -> None:
    """Count the tests that run on the sample only."""
    if not (SHARED / "data").is_dir():
        taken = ("reference_data" in getattr(item, "fixturenames", ()) for item in session.items)
        session.config.stash[SAMPLED] = sum(taken)


def pytest_sessionfinish(session: pytest.Session) -> None:
    """Tell the process that started this one what it counted, where tests run in several (pytest-xdist)."""
    if hasattr(session.config, "workeroutput"):
        counts = [session.config.stash.get(key, 0) for key in (SKIPPED, SAMPLED)]
        session.config.workeroutput["counts"] = counts


@pytest.hookimpl(optionalhook=True)
def pytest_testnodedown(node: Any, error: object) -> None:
    """Take what a process counted; each of them collects every test, so they all count the same."""
    if counts := getattr(node, "workeroutput", {}).get("counts"):
        node.config.stash[SKIPPED], node.config.stash[SAMPLED] = counts


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter, config: pytest.Config) -> None:
    """Print how many tests did not run on the whole data."""
    if count := config.stash.get(SKIPPED, 0):
        terminalreporter.write_line(f"{count} tests skipped: {NO_SHARED}", yellow=True)
    if count := config.stash.get(SAMPLED, 0):
        terminalreporter.write_line(f"{count} tests read the sample in tests/data alone: {NO_SHARED}", yellow=True)
