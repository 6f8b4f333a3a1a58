"""Densities of distances, as the authors draw them: a histogram, and a smooth curve by Gaussian kernels.

The curve is what ``scipy.stats.gaussian_kde`` gives with Scott's rule; the authors' script is
https://github.com/HypherX/Evolution-Analysis/blob/c4dd6074c8cbd1de40f5768c54021bf150e65e33/Plot_figure/plot_diversity.py
"""

import math
from collections.abc import Sequence

RANGE = (0.0, 1.0)
"""The distances that are drawn; all distances count for the curve, those in the range alone for the histogram."""
BINS = 100
POINTS = 1000
VALUES_AT_ONCE = 4096
Line = tuple[tuple[float, ...], tuple[float, ...]]
"""Places along the horizontal axis, and the density at each."""


def histogram(values: Sequence[float], bins: int = BINS) -> Line | None:
    """Return the middle of each bin and the density in it, which sum up to 1 over the range; None if it holds no value.

    A value between two bins counts for the upper one, and the range's end for the last.
    """
    import numpy as np

    counts, edges = np.histogram(values, bins=np.linspace(*RANGE, bins + 1))
    if not counts.sum():
        return None
    middles, density = (edges[:-1] + edges[1:]) / 2, counts / (counts.sum() * np.diff(edges))
    return tuple(middles.tolist()), tuple(density.tolist())


def smooth(values: Sequence[float], points: int = POINTS) -> Line | None:
    """Return a density by Gaussian kernels over the range; None where the values do not differ.

    The kernels' standard deviation is that of the values, with n - 1, times ``n ** (-1 / 5)`` (Scott's rule).
    """
    import numpy as np

    low, high = RANGE
    found = np.asarray(values, dtype=np.float64)
    spread = float(found.std(ddof=1)) if len(found) > 1 else 0.0
    if not spread > 0:
        return None
    width = spread * len(found) ** (-1 / 5)
    x = np.linspace(low, high, points)
    y = np.zeros(points)
    for start in range(0, len(found), VALUES_AT_ONCE):
        part = found[start : start + VALUES_AT_ONCE]
        y += np.exp(-0.5 * ((x[:, None] - part) / width) ** 2).sum(axis=1)
    y /= len(found) * width * math.sqrt(2 * math.pi)
    return tuple(x.tolist()), tuple(y.tolist())
