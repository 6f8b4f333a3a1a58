"""Scenarios, the ways to evolve instructions. A scenario is a file of this folder that satisfies :class:`Scenario`."""

from collections.abc import Callable, Mapping, Sequence
from typing import Any, Protocol

from kit.engines import Request
from kit.prompts import Pack
from kit.records import Completion, Instruction

Generate = Callable[[Sequence[Request]], Sequence[Completion]]
"""Asks the evolver, with the sampling of the job; one completion a request, in order."""


class Scenario(Protocol):
    """Interface of a file in ``kit/scenarios``: the names that its module must define."""

    VERSION: int
    """Raised when the same rows evolve differently."""
    PROMPTS: Sequence[str]
    """Ids of the templates that it may use."""

    def evolve(
        self, rows: Sequence[Instruction], params: Mapping[str, Any], pack: Pack, generate: Generate
    ) -> list[Instruction]:
        """Evolve the instructions by one round.

        Args:
            rows: the last round's instructions, or the seeds.
            params: ``round`` (1 for the first), ``seed``, and the scenario's own.
            pack: whose wording asks.
            generate: the evolver.
        """
        ...
