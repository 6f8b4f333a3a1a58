"""The rule by which artifacts keep their files: rows always, models as long as ``--keep`` and jobs to come want them.

Rows of text and numbers are small and cost hours; models fill the disk. So the rules differ in models alone:

- ``results``: a model that no job to come needs gives its files back;
- ``weights``: tuned models, and folders of the user's own, stay; copies of published models go;
- ``all``: everything stays.
"""

from collections.abc import Callable
from typing import cast

from kit import registry
from kit.errors import RequestError, did_you_mean, shown
from kit.store import Job

ALL = "all"
RULES = ("results", "weights", ALL)
"""Values of ``--keep``; the first keeps least."""
PUBLISHED, OWN = "published", "own"
"""Values of a stage's ``MODEL``: a copy of a published model, or a model that nobody else has."""


def check_rule(option: str, value: str) -> str:
    """Return a rule that is known.

    Raises:
        RequestError: there is no such rule.
    """
    if value not in RULES:
        hint = did_you_mean(value, RULES)
        hint = hint if "did you mean" in hint else ""  # the rules stand before it already
        raise RequestError(f"{option} {shown(value)}: wanted {', '.join(RULES)}{hint}")
    return value


def model_in(job: Job) -> str:
    """Return whose model a job writes, :data:`PUBLISHED` or :data:`OWN`; empty where it writes rows."""
    module = registry.load("stages", job.stage)
    choose = getattr(module, "model", None)
    return cast(str, choose(job.params)) if choose else cast(str, getattr(module, "MODEL", ""))


def gives_back(rule: str) -> Callable[[Job], bool]:
    """Return a function that tells whether a job's artifact gives its files back when no job to come needs them."""
    gone = {"results": (PUBLISHED, OWN), "weights": (PUBLISHED,), ALL: ()}[rule]
    return lambda job: bool(gone) and model_in(job) in gone
