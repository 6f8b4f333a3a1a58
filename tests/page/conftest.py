"""A store with made-up rows of some smoke tables, and the page that is written from it."""

from pathlib import Path

import pytest

from kit.cli import pages
from kit.plan import Plan
from kit.plan.planning import plan_tables
from kit.store import Store
from tests.page.made_run import fill

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
