"""Densities by Gaussian kernels: worked out by hand, and the messages of samples that have none."""

import math
import random

import pytest

from kit.errors import RequestError
from kit.measures.densities import clustered_density, density_with_error, gaussian_density, histogram_density

SAME = "no two differ; wanted two that do, to take a width from"


def by_hand(values: list[float], place: float) -> float:
    """Return the density as its formula has it, one value after the other."""
    n, mean = len(values), math.fsum(values) / len(values)
    width = math.sqrt(math.fsum((value - mean) ** 2 for value in values) / (n - 1)) * n**-0.2
    kernels = math.fsum(math.exp(-(((place - value) / width) ** 2) / 2) for value in values)
    return float(kernels / (n * width * math.sqrt(2 * math.pi)))


def draws(count: int) -> list[float]:
    """Return numbers of 0 to 1, always the same."""
    source = random.Random(7)
    return [source.random() for _ in range(count)]


def test_two_values() -> None:
    # s = sqrt(0.5), h = s / 2^0.2 = 0.615572; both Gaussians are 0.5 away: exp(-0.329877) / (h * 2.506628) = 0.465980
    assert gaussian_density([0.0, 1.0], [0.5]) == [pytest.approx(0.465980, abs=1e-6)]


@pytest.mark.parametrize(
    "values",
    [
        pytest.param([0.1, 0.4, 0.5, 0.99], id="few"),
        pytest.param([share**3 for share in draws(500)], id="skewed"),
        pytest.param([1e6 + value for value in (1.0, 2.0, 4.0)], id="far from 0"),
    ],
)
def test_as_the_formula_has_it(values: list[float]) -> None:
    places = [min(values) + share * (max(values) - min(values)) for share in (-0.5, 0.0, 0.3, 1.0)]
    assert gaussian_density(values, places) == pytest.approx([by_hand(values, place) for place in places], rel=1e-9)


def test_the_order_of_the_values_and_the_blocks_move_no_digit(monkeypatch: pytest.MonkeyPatch) -> None:
    values = draws(1000)
    whole = gaussian_density(values, [-1.0, 0.0, 0.5])
    assert gaussian_density(sorted(values, reverse=True), [-1.0, 0.0, 0.5]) == whole
    monkeypatch.setattr("kit.measures.densities.BLOCK", 21)
    assert gaussian_density(values, [-1.0, 0.0, 0.5]) == pytest.approx(whole, rel=1e-12)


def test_it_integrates_to_1() -> None:
    places = [-3 + 0.01 * number for number in range(701)]
    assert 0.01 * sum(gaussian_density([0.0, 0.2, 0.9, 1.0], places)) == pytest.approx(1, abs=1e-3)


@pytest.mark.parametrize(
    ("values", "places", "message"),
    [
        pytest.param([], [0.5], f"density: of 0 values {SAME}", id="none"),
        pytest.param([0.5], [0.5], f"density: of 1 values {SAME}", id="one"),
        pytest.param([0.5] * 1000, [0.5], f"density: of 1,000 values {SAME}", id="all alike"),
        pytest.param([0.0, 5e-324], [0.5], f"density: of 2 values {SAME}", id="too near for a width"),
        pytest.param([0.5, math.nan], [0.5], "density: value 1 is nan; wanted finite numbers", id="not a number"),
        pytest.param([0.5, 0.6], [0.0, math.inf], "density: place 1 is inf; wanted finite numbers", id="no place"),
    ],
)
def test_samples_without_a_density(values: list[float], places: list[float], message: str) -> None:
    with pytest.raises(RequestError) as error:
        gaussian_density(values, places)
    assert str(error.value) == message


def test_groups_have_the_density_of_all_their_values() -> None:
    values, places = draws(60), [0.0, 0.3, 0.9]
    groups = [values[:7], [], values[7:40], values[40:]]
    assert clustered_density(groups, places)[0] == pytest.approx(gaussian_density(values, places), rel=1e-12)
    assert clustered_density(groups[::-1], places) == clustered_density(groups, places)


def test_groups_of_one_value_have_the_error_of_independent_values() -> None:
    values, places = draws(60), [0.0, 0.3, 0.9]
    _, error = clustered_density([[value] for value in values], places)
    _, independent = density_with_error(values, places)
    assert error == pytest.approx([one * math.sqrt(59 / 60) for one in independent], rel=1e-9)


def test_values_that_stand_together_tell_less() -> None:
    # each value ten times: as many groups as before, ten times the values, and the error of the groups
    values, places = draws(60), [0.3, 0.9]
    _, together = clustered_density([[value] * 10 for value in values], places)
    _, apart = clustered_density([[value] for value in values for _ in range(10)], places)
    assert together == pytest.approx([error * math.sqrt(10) for error in apart], rel=1e-9)


def test_groups_without_a_density() -> None:
    with pytest.raises(RequestError) as error:
        clustered_density([[], [0.5], [0.5]], [0.5])
    assert str(error.value) == f"density: of 2 values {SAME}"


def test_a_histogram_is_a_density() -> None:
    # between two bins: the upper one; the end of the range: the last bin
    middles, heights = histogram_density([0.1, 0.25, 0.25, 1.0], 0.0, 1.0, 4)
    assert middles == [0.125, 0.375, 0.625, 0.875]
    assert heights == [0.25 * 4, 0.5 * 4, 0.0, 0.25 * 4]


def test_the_density_is_scipys() -> None:
    from scipy import stats  # opens a second of modules

    places = [number / 20 for number in range(21)]
    wanted = stats.gaussian_kde(draws(200), bw_method="scott")(places).tolist()
    assert gaussian_density(draws(200), places) == pytest.approx(wanted, rel=1e-9)
