"""Densities of distances: each worked out by hand."""

import math

import pytest

from kit.neighbours.density import histogram, smooth


def test_a_histogram_is_a_density_over_the_range():
    # between two bins: the upper one; the end of the range: the last bin; what is beyond counts nowhere
    middles, density = histogram([0.1, 0.25, 0.25, 1.0, 1.5, 3.0], bins=4)
    assert middles == (0.125, 0.375, 0.625, 0.875)
    assert density == (0.25 * 4, 0.5 * 4, 0.0, 0.25 * 4)


def test_a_histogram_of_nothing_in_the_range():
    assert histogram([1.5, 2.0]) is None


def test_a_smooth_density_by_hand():
    values = [0.2, 0.6]
    width = math.sqrt(2 * 0.2**2) * 2 ** (-1 / 5)  # Scott's rule, n - 1
    bell = lambda x, middle: math.exp(-0.5 * ((x - middle) / width) ** 2) / (width * math.sqrt(2 * math.pi))  # noqa: E731
    x, y = smooth(values, points=5)
    assert x == (0.0, 0.25, 0.5, 0.75, 1.0)
    assert y == pytest.approx([(bell(one, 0.2) + bell(one, 0.6)) / 2 for one in x], rel=1e-12)


def test_as_scipy_has_it():
    stats = pytest.importorskip("scipy.stats")
    values = [((7 * number) % 101) / 90 for number in range(200)]
    x, y = smooth(values)
    assert len(x) == 1000
    assert y == pytest.approx(stats.gaussian_kde(values, bw_method="scott")(x).tolist(), rel=1e-9)


@pytest.mark.parametrize("values", [[], [0.5], [0.5, 0.5]], ids=["none", "one", "two alike"])
def test_no_smooth_density_without_a_spread(values):
    assert smooth(values) is None
