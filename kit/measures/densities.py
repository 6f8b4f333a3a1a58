"""Densities by Gaussian kernels, for plots of how values spread; the order of the values moves no digit."""

from collections.abc import Sequence

from kit.errors import RequestError

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

    sample, wanted = (np.asarray(numbers, dtype=np.float64) for numbers in (values, places))
    for name, numbers in (("value", sample), ("place", wanted)):
        if not np.isfinite(numbers).all():
            number = int(np.flatnonzero(~np.isfinite(numbers))[0])
            raise RequestError(f"density: {name} {number} is {float(numbers[number])}; wanted finite numbers")
    sample = np.sort(sample)
    width = sample.std(ddof=1) * len(sample) ** -0.2 if len(sample) > 1 else 0.0
    if not width:
        raise RequestError(
            f"density: of {len(sample):,} values no two differ; wanted two that do, to take a width from"
        )
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
