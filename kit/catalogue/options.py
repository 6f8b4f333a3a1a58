"""Strict types of the options that scenarios take beside the fields of every setting."""

from typing import Annotated, Any, Literal

from pydantic import Field

from kit.reading.documents import Strict
from kit.reading.values import Rows, Tokens

MOST_TEXTS = 10_000
"""Most texts that a model writes for one row, or for one prompt."""

Texts = Annotated[int, Field(gt=0, le=MOST_TEXTS)]
Share = Annotated[float, Field(gt=0, le=1)]


class ScenarioOptions(Strict):
    """Options of a scenario's steps; each step says which it takes, and has a default for each of them."""

    times: Texts | None = None
    """Number of times that the prompt with all seed constraints is sent."""
    samples: Texts | None = None
    """Number of texts, each with a check function and its cases, that are written for one constraint."""
    threshold: Share | None = None
    """Share of the cases that a check function has to get right."""
    minimum_functions: Texts | None = None
    """Fewest different check functions of a constraint, of those whose source runs without an error."""
    minimum_cases: Texts | None = None
    """Fewest different cases of a constraint, whether a function agrees with them or not."""
    equal_size: Literal["constraints", "records"] | None = None
    """Rows of which every evolver keeps as many as the one with the fewest: constraints before they are joined with
    queries (the paper's rule), or the joined records (its repository's)."""
    queries: Rows | None = None
    """Number of queries that are joined with one constraint."""

    def given(self) -> dict[str, Any]:
        """Return the options that have a value."""
        return {name: value for name, value in self.model_dump().items() if value is not None}


class ScaleOptions(ScenarioOptions):
    """Options of one scenario at one scale; they replace those of experiments."""

    evolve_max_tokens: Tokens | None = None
    """Upper limit on the length of a text that the evolver writes, in the place of the scale's limit."""
    evolve_temperature: float | None = Field(default=None, ge=0, le=2)
    """Temperature of the evolver, in the place of the experiment's: a small model keeps to a form when it is low."""
