"""The nearest other row of each row: exact, the same for every block size, and refused where there can be none."""

import numpy as np
import pytest

from kit.errors import RequestError
from kit.neighbours import nearest

TINY = 1
"""A budget that no block fits into: blocks of the least size."""


def brute_force(vectors):
    """Every pair in float64, row by row; of equal distances the first."""
    rows = vectors.astype(np.float64)
    index, distance = np.empty(len(rows), dtype=np.int64), np.empty(len(rows))
    for row in range(len(rows)):
        found = np.square(rows - rows[row]).sum(axis=1)
        found[row] = np.inf
        index[row] = found.argmin()
        distance[row] = found[index[row]]
    return index, distance


def drawn(rows, size, seed=0):
    return np.random.default_rng(seed).standard_normal((rows, size)).astype(np.float32)


def of_length_one(vectors):
    return (vectors / np.linalg.norm(vectors, axis=1, keepdims=True)).astype(np.float32)


def close_pairs(count=80):
    """Rows of length one in pairs that lie 1e-7 to 1e-3 apart: products of float32 alone see no distance there."""
    rows = of_length_one(drawn(count, 64))
    steps = np.logspace(-7, -3, count, dtype=np.float64)[:, None] * of_length_one(drawn(count, 64, seed=1))
    return np.concatenate([rows, (rows + steps).astype(np.float32)])


def copies():
    rows = of_length_one(drawn(120, 16))
    rows[[7, 50, 119]] = rows[3]
    rows[1] = rows[0] = 0.0
    rows[1, 2] = -0.0
    return rows


SETS = {
    "length one": of_length_one(drawn(150, 24)),
    "other lengths": drawn(150, 5) * np.linspace(0.01, 300, 150, dtype=np.float32)[:, None],
    "close pairs": close_pairs(),
    "copies": copies(),
    "all the same": np.ones((60, 8), dtype=np.float32),
    "on a grid, with ties": np.stack(np.meshgrid(*[np.arange(5)] * 3), axis=-1).reshape(-1, 3).astype(np.float32),
    "far from the origin": drawn(100, 12) + np.float32(1e4),
    "one number a row": drawn(200, 1),
    "two rows": drawn(2, 3),
}


@pytest.mark.parametrize("budget", [TINY, 200_000, 256 * 2**20], ids=["least", "some blocks", "one block"])
@pytest.mark.parametrize("vectors", SETS.values(), ids=list(SETS))
def test_as_brute_force_whatever_the_block_size(vectors, budget):
    found, (index, distance) = nearest(vectors, budget_bytes=budget), brute_force(vectors)
    assert found.distance.tolist() == distance.tolist()
    assert found.index.tolist() == index.tolist()


def test_exact_on_2000_rows():
    vectors = of_length_one(drawn(2_000, 32))
    found, (index, distance) = nearest(vectors), brute_force(vectors)
    assert found.distance.tolist() == distance.tolist()
    assert found.index.tolist() == index.tolist()


def test_three_rows_by_hand():
    found = nearest(np.array([[0, 0], [3, 4], [3, 0]], dtype=np.float32))
    assert (found.index.tolist(), found.distance.tolist()) == ([2, 2, 0], [9.0, 16.0, 9.0])


def test_no_matrix_of_all_pairs_is_made(monkeypatch):
    import torch

    sizes = []
    product = torch.Tensor.__matmul__
    monkeypatch.setattr(
        torch.Tensor, "__matmul__", lambda self, other: sizes.append(len(self) * other.shape[1]) or product(self, other)
    )
    nearest(drawn(1_200, 4), budget_bytes=2**18)
    assert sizes
    assert max(sizes) * 4 <= 2**18


def test_progress_ends_at_all_pairs_of_blocks():
    told = []
    nearest(drawn(50, 3), budget_bytes=TINY, progress=lambda done, count: told.append((done, count)))
    assert told == [(done, 10) for done in range(1, 11)]  # four blocks


BAD = {
    "one row": (drawn(1, 3), "vectors: found shape (1, 3), wanted two rows or more, each with a number or more; a row "
                "alone has no neighbour"),
    "float64": (np.zeros((3, 2)), "vectors: found float64 of shape (3, 2), wanted float32 of shape (rows, numbers)"),
    "a list": ([[1.0], [2.0]], "vectors: found list of shape (), wanted float32 of shape (rows, numbers)"),
    "not a number": (
        np.array([[0, 1], [np.nan, 1]], dtype=np.float32),
        "vectors: row 1: a number that is not finite, wanted finite numbers and a length of 1e+18 at most; was the "
        "model loaded in a type that overflows?",
    ),
    "too long": (
        np.array([[3e19, 4e19], [0, 1]], dtype=np.float32),
        "vectors: row 0: length 5e+19, wanted finite numbers and a length of 1e+18 at most; was the model loaded in a "
        "type that overflows?",
    ),
}  # fmt: skip


@pytest.mark.parametrize(("vectors", "message"), BAD.values(), ids=list(BAD))
def test_what_has_no_neighbours_is_refused(vectors, message):
    with pytest.raises(RequestError) as caught:
        nearest(vectors)
    assert str(caught.value) == message
