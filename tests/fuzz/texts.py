"""Texts as a model may write them, by accident or not: made from a grammar, kept as recipes.

A recipe is a text, a list of recipes (joined), or a table:

    {"of": recipe, "times": 60000}      the same again and again
    {"of": recipe, "until": 100}        cut off after so many characters
    {"field": "solution"}               a text of the problem's own: its reference, its prompt, its tests
"""

from collections.abc import Mapping
from random import Random
from typing import Any

from tests.fuzz.pieces import FAMILIES

Recipe = Any
MOST_TIMES = 60_000
MOST_CHARACTERS = 250_000
"""A text is cut off here; no model of the kit's scales writes more than a quarter of it."""


def recipe(rng: Random, fields: list[str], depth: int = 4) -> Recipe:
    """Return one recipe of a text, drawn at random.

    Args:
        rng: where it is drawn from.
        fields: names of the problem's own texts.
        depth: how many tables and lists may stand in each other.
    """
    pick = rng.random()
    if depth == 0 or pick < 0.28:
        return rng.choice(rng.choice(FAMILIES))
    if pick < 0.36 and fields:
        return {"field": rng.choice(fields)}
    inner = recipe(rng, fields, depth - 1)
    if pick < 0.56:
        return {"of": inner, "times": times(rng)}
    if pick < 0.64:
        return {"of": inner, "until": int(10 ** (rng.random() * 4))}
    return [inner, *(recipe(rng, fields, depth - 1) for _ in range(rng.randrange(1, 5)))]


def times(rng: Random) -> int:
    """Return how often a piece stands there: mostly a few times, now and then as often as may be."""
    return max(1, int(MOST_TIMES ** (rng.random() ** 1.5)))


def text(made: Recipe, data: Mapping[str, Any]) -> str:
    """Return the text of a recipe.

    Args:
        made: the recipe.
        data: the problem's own fields.
    """
    return _text(made, data)[:MOST_CHARACTERS]


def _text(made: Recipe, data: Mapping[str, Any]) -> str:
    if isinstance(made, str):
        return made
    if isinstance(made, list):
        return "".join(_text(part, data) for part in made)[:MOST_CHARACTERS]
    if "field" in made:
        found = data.get(made["field"], "")
        return found if isinstance(found, str) else str(found)
    inner = _text(made["of"], data)
    if "until" in made:
        return inner[: made["until"]]
    return inner * min(made["times"], MOST_CHARACTERS // max(1, len(inner)) + 1)
