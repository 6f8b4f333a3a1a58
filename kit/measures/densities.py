"""Densities by Gaussian kernels, for plots of how values spread; the order of the values moves no digit."""

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from kit.errors import RequestError

if TYPE_CHECKING:
    import numpy

BLOCK = 2**20
"""Numbers computed at a time: values times places; more would only take memory."""


def gaussian_density(values: Sequence[float], places: Sequence[float]) -> list[float]:
    """Return the density of the values at each place; see :func:`density_with_error`."""
    return density_with_error(values, places)[0]


def density_with_error(values: Sequence[float], places: Sequence[float]) -> tuple[list[float], list[float]]:
    """Return the density of the values at each place, the mean of Gaussians about them, and its standard error.

    The Gaussians are as wide as Scott's rule says: ``h = s * n^(-1/5)``, where ``s`` is the sample's standard deviation
    (n - 1)::

        density(x) = mean(g_i(x)),    g_i(x) = exp(-((x - v_i) / h)^2 / 2) / (h * sqrt(2 pi))
        error(x) = sqrt((mean(g_i(x)^2) - density(x)^2) / (n - 1))

    The error is that of a mean of n, for a given width; what the smoothing adds is not in it.

    Args:
        values: a sample, in any order; a numpy array is taken as it is.
        places: where the density is wanted.

    Returns:
        One number for each place, in values per unit: over all places there are it integrates to 1. Values near a limit
        have a part of their Gaussian beyond it. And its standard error at each place.

    Raises:
        RequestError: a value or a place is not finite, or no two values differ, so that no width follows from them.

    Source:
        Scott, Multivariate Density Estimation (1992); the same densities as scipy.stats.gaussian_kde by default.
    """
    import numpy as np

    sample, wanted = _numbers(values, "value"), _numbers(places, "place")
    sample = np.sort(sample)
    width = _width(sample)
    sums, squares = np.zeros(len(wanted)), np.zeros(len(wanted))
    step = max(1, BLOCK // max(1, len(wanted)))
    for first in range(0, len(sample), step):
        distances = (wanted[:, None] - sample[None, first : first + step]) / width
        heights = np.exp(-0.5 * distances**2)
        sums += heights.sum(axis=1)
        squares += (heights**2).sum(axis=1)
    height, count = width * np.sqrt(2 * np.pi), len(sample)
    means = sums / count
    variances = np.maximum(squares / count - means**2, 0.0) / (count - 1)
    return (sums / (count * height)).tolist(), (np.sqrt(variances) / height).tolist()


def clustered_density(groups: Sequence[Sequence[float]], places: Sequence[float]) -> tuple[list[float], list[float]]:
    """Return the density of all values at each place, and its standard error where the values of a group go together.

    The density is that of :func:`density_with_error`. With ``S_g(x)`` the sum of the Gaussians of group g, which has
    ``n_g`` of the n values::

        error(x) = sqrt(sum((S_g(x) - n_g * density(x))^2)) / n

    Args:
        groups: a sample in groups that are independent of each other, for instance the tokens of each text.
        places: where the density is wanted.

    Raises:
        RequestError: as :func:`density_with_error`.
    """
    import numpy as np

    wanted = _numbers(places, "place")
    samples = [np.sort(_numbers(group, "value")) for group in groups if len(group)]
    sample = np.sort(np.concatenate(samples)) if samples else np.empty(0)
    width = _width(sample)
    height = width * np.sqrt(2 * np.pi)
    sums = np.empty((len(samples), len(wanted)))
    for number, group in enumerate(samples):
        sums[number] = np.exp(-0.5 * ((wanted[:, None] - group[None, :]) / width) ** 2).sum(axis=1) / height
    density = np.sort(sums, axis=0).sum(axis=0) / len(sample)
    sizes = np.array([len(group) for group in samples])
    squares = np.sort((sums - sizes[:, None] * density) ** 2, axis=0).sum(axis=0)
    return density.tolist(), (np.sqrt(squares) / len(sample)).tolist()


def histogram_density(values: Sequence[float], low: float, high: float, bins: int) -> tuple[list[float], list[float]]:
    """Return the middle of each of some bins of equal width, and the density in it; over all bins it sums up to 1.

    A value between two bins counts for the upper one, and ``high`` for the last.

    Args:
        values: a sample, each from ``low`` to ``high``; at least one.
        low: where the first bin begins.
        high: where the last bin ends.
        bins: number of bins.
    """
    import numpy as np

    heights, edges = np.histogram(values, bins=np.linspace(low, high, bins + 1), density=True)
    return ((edges[:-1] + edges[1:]) / 2).tolist(), heights.tolist()


def _numbers(values: Sequence[float], name: str) -> "numpy.ndarray[Any, Any]":
    """Return numbers as an array, each of which is finite.

    Raises:
        RequestError: one is not finite.
    """
    import numpy as np

    numbers = np.asarray(values, dtype=np.float64)
    if not np.isfinite(numbers).all():
        number = int(np.flatnonzero(~np.isfinite(numbers))[0])
        raise RequestError(f"density: {name} {number} is {float(numbers[number])}; wanted finite numbers")
    return numbers


def _width(sample: "numpy.ndarray[Any, Any]") -> float:
    """Return the width of the Gaussians by Scott's rule.

    Raises:
        RequestError: no two values differ.
    """
    width = float(sample.std(ddof=1)) * len(sample) ** -0.2 if len(sample) > 1 else 0.0
    if not width:
        raise RequestError(
            f"density: of {len(sample):,} values no two differ; wanted two that do, to take a width from"
        )
    return width
