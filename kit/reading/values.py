"""The kinds of values that a manifest and the command line take: names, paths, addresses, numbers within bounds."""

from collections.abc import Callable
from typing import Annotated

from pydantic import AfterValidator, Field

from kit.reading import places

Sha256 = Annotated[str, Field(pattern=r"^[0-9a-f]{64}$")]
"""64 lower-case hex digits."""
GitBlob = Annotated[str, Field(pattern=r"^[0-9a-f]{40}$")]
"""40 lower-case hex digits: sha1 of ``blob <size>``, a zero byte, and the bytes."""
Commit = Annotated[str, Field(pattern=r"^[0-9a-f]{40}$")]
"""40 lower-case hex digits; a branch's name says something else tomorrow."""


def _without(fault: Callable[[str], str | None]) -> AfterValidator:
    """Return the check of a text by one of :mod:`kit.reading.places`."""

    def check(value: str) -> str:
        if found := fault(value):
            raise ValueError(found)
        return value

    return AfterValidator(check)


Name = Annotated[str, _without(places.name_fault)]
"""Of a model, a data set, a role or a seed set."""
InnerPath = Annotated[str, _without(places.inner_path_fault)]
"""A path that stays inside its folder."""
Address = Annotated[str, _without(places.data_address_fault)]
"""https, and a file's name at its end."""
OwnPath = Annotated[str, Field(min_length=1, max_length=4095)]
"""A path of the user's own, relative to the manifest or absolute; Linux takes no longer one."""
Title = Annotated[str, Field(max_length=300)]
"""What stands above a table."""

# Whole numbers: each bound is far above any real use, and low enough that a plan is made at once and no sum overflows.
MOST_TOKENS = 100_000_000
"""Ten times the longest context of any model."""
MOST_ROWS = 1_000_000_000
"""A hundred times the largest set of instructions."""
MOST_ROUNDS = 100
"""Each round is a job of its own; the paper has three."""
MOST_EPOCHS = 1000
"""A model has long learnt its pairs by heart."""
MOST_BATCH = 1_000_000
"""Pairs in one step, sequences in one batch."""
MOST_RANK = 65_536
"""No model has a matrix with a shorter side longer than this, so a higher rank adds nothing."""
MOST_LAYERS = 1000
"""The deepest models have some 130."""
LARGEST_SEED = 2**32 - 1
"""numpy, which the trainer seeds too, takes no larger one and none below 0."""
LONGEST_NAME = places.LONGEST_NAME
MOST_NAMES = 100
"""Names in one list of an experiment or a table; the paper's longest has 6."""

Tokens = Annotated[int, Field(gt=0, le=MOST_TOKENS)]
Rows = Annotated[int, Field(gt=0, le=MOST_ROWS)]
Size = Annotated[int, Field(gt=0, le=100_000_000)]
"""A side of a model's matrices, or its vocabulary; the largest have some 260,000."""
Layers = Annotated[int, Field(gt=0, le=MOST_LAYERS)]
Gib = Annotated[int, Field(ge=0, le=1_000_000)]
"""Memory of one machine or device: a million GiB is a thousand of the largest."""
Devices = Annotated[int, Field(ge=0, le=100_000)]
"""GPUs; the largest machines have some ten thousand."""
Names = Annotated[list[str], Field(min_length=1, max_length=MOST_NAMES)]
