"""The measure of growth tells linear reading from quadratic."""

import pytest

from tests import growth
from tests.growth import assert_linear


def test_a_linear_reading_passes_and_a_quadratic_one_fails(monkeypatch: pytest.MonkeyPatch) -> None:
    """A slow linear reading is no fault; a quadratic one is named with its four times."""
    monkeypatch.setattr(growth, "TRIES", 2)
    assert_linear(lambda text: list(text * 20), lambda n: "a" * n)
    monkeypatch.setattr(growth, "FAST_S", 0.001)  # a fast machine reads the short texts below in 0.05 s
    with pytest.raises(AssertionError, match=r"2, 4, 16 times: .* that is no linear growth"):
        assert_linear(lambda text: [sum(map(ord, text[at:])) for at in range(len(text))], lambda n: "a" * n, size=800)


def test_a_text_beyond_the_caches_is_one_step_and_no_growth() -> None:
    """Four times the text cost 15 times as much, on a busy machine, in a reading that is linear."""
    slower = 2**14
    lengths = []

    def read(text: str) -> None:
        lengths.append(len(text))
        for _ in range(200 if len(text) > slower else 50):
            sum(map(ord, text))

    assert_linear(read, lambda n: "a" * n, size=slower // 2)
    assert max(lengths) == 8 * slower
