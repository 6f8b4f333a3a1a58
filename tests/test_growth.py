"""The measure of growth tells linear reading from quadratic."""

import pytest

from tests.growth import assert_linear


def test_a_linear_reading_passes_and_a_quadratic_one_fails() -> None:
    """A slow linear reading is no fault; a quadratic one is named with its three times."""
    assert_linear(lambda text: list(text * 20), lambda n: "a" * n)
    with pytest.raises(AssertionError, match=r"twice, four times: .* that is no linear growth"):
        assert_linear(lambda text: [sum(map(ord, text[at:])) for at in range(len(text))], lambda n: "a" * n, size=800)
