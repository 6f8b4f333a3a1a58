"""Overlap of training rows with test items: by 8-grams of normalised words (docs/decisions/0008-contamination.md)."""

from dataclasses import dataclass

VERSION = 1
"""Raised when the same rows and items give another overlap: counts that were kept are counted anew."""
GRAM = 8
"""Words that stand side by side in one gram."""
SHARE = 0.5
"""The share of a test item's grams above which a row repeats the item."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Item:
    """One item of a test set, by the text that a model is asked with."""

    test: str
    """Name of the benchmark, or of the user's own file."""
    id: str
    """The item's id in its set."""
    text: str
    """The question, without options, examples and answer."""


@dataclass(frozen=True, slots=True, kw_only=True, order=True)
class Match:
    """A training row that repeats a test item."""

    row: int
    """Position of the row, from 0."""
    item: int
    """Position of the item, from 0."""
    shared: int
    """Number of the item's grams that the row has."""
    grams: int
    """Number of the item's grams; 1 for an item of fewer words than a gram, which is compared as a whole."""
