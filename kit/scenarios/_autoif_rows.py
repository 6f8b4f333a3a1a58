"""Rows between the steps of AutoIF: constraints with what was written to check them."""

from dataclasses import dataclass
from typing import Any

from kit.records import Instruction


@dataclass(frozen=True, slots=True, kw_only=True)
class WithSamples(Instruction):
    """A constraint with the texts that an evolver wrote to check it."""

    samples: list[str]
    """Texts, each of which should hold a check function and its cases as one JSON object."""


@dataclass(frozen=True, slots=True, kw_only=True)
class WithFunctions(Instruction):
    """A constraint with the check functions that were kept for it."""

    functions: list[str]
    """Python source of each function that agrees with enough of the cases."""
    cases: list[dict[str, Any]]
    """Cases that were kept, each with its ``input`` and ``output``."""
