"""A store with made-up rows of some smoke tables, the page that is written from it, and a browser that shows pages."""

from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from kit.cli import pages
from kit.plan import Plan
from kit.plan.planning import plan_tables
from kit.store import Store
from tests.page import documents
from tests.page.made_run import fill

if TYPE_CHECKING:
    from tests.page.browsing import Browser

TABLES = ("2", "13", "figure-4", "figure-6")


@pytest.fixture(scope="session")
def page_plan() -> Plan:
    return plan_tables(TABLES, "smoke")


@pytest.fixture(scope="session")
def made_store(tmp_path_factory: pytest.TempPathFactory, page_plan: Plan) -> Store:
    store = Store.open(tmp_path_factory.mktemp("made") / "store")
    fill(store, page_plan)
    return store


@pytest.fixture(scope="session")
def page_file(tmp_path_factory: pytest.TempPathFactory, made_store: Store) -> Path:
    out = tmp_path_factory.mktemp("page") / "report.html"
    pages.write_page(TABLES, "smoke", made_store.root, [], out)
    return out


@pytest.fixture(scope="session")
def browser(tmp_path_factory: pytest.TempPathFactory) -> "Iterator[Browser]":
    """A Chromium that all tests of a process share; skips, with the cure, where there is none to drive."""
    cure = "sh requirements/setup.sh --dev"
    pytest.importorskip("selenium", reason=f"no selenium in this environment, which drives the browser; {cure}")
    pytest.importorskip("axe_playwright_python", reason=f"no axe-core in this environment; {cure}")
    from tests.page.browsing import Browser, lacking

    if reason := lacking():
        pytest.skip(reason)
    shown = Browser(tmp_path_factory.mktemp("browser"))
    yield shown
    shown.close()


@pytest.fixture(scope="session")
def small(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return documents.small(tmp_path_factory.mktemp("small") / "a page & more.html")


@pytest.fixture(scope="session")
def hostile(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return documents.hostile(tmp_path_factory.mktemp("hostile") / "hostile.html")


@pytest.fixture(scope="session")
def large(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return documents.large(tmp_path_factory.mktemp("large") / "large.html")
