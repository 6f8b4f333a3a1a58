"""A sandbox, and replies of a model with a check function and its cases, for the tests of the cross-check."""

import json
from collections.abc import Iterator
from typing import Any

import pytest

from kit.sandbox import Sandbox, open_sandbox
from kit.scenarios._cross_check import Rule, cross_check

SHORT = "def evaluate(response):\n    return len(response) < 4"
LONG = "def evaluate(response):\n    return len(response) >= 4"
CASES = {"a": True, "bb": True, "ccc": True, "dddd": False, "eeeee": False}
"""Input -> what a right function gives."""
MISLEADING = {"f": False, "ffffff": True}
"""Input -> what no right function gives."""


def text_of(function: Any, cases: dict[str, Any]) -> str:
    held = {"func": function, "cases": [{"input": given, "output": wanted} for given, wanted in cases.items()]}
    return f"Here it is.\n```json\n{json.dumps(held)}\n```\nIt checks the length."


@pytest.fixture(scope="module")
def sandbox() -> Iterator[Sandbox]:
    with open_sandbox() as opened:
        yield opened


def check(texts: list[str], sandbox: Sandbox, **rule: Any) -> Any:
    (checked,) = cross_check([texts], sandbox, Rule(**rule))
    return checked
