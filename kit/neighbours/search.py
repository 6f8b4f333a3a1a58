"""Search every row's nearest other row, exactly, in blocks whose size follows from a budget of memory.

Blocks of approximate squared distances are products of matrices in float32. Their errors have a bound that holds for
every order of summation, so each block names all columns that may hold a row's nearest neighbour, mostly one. The
distances of these alone are computed anew in float64, from the differences: small ones lose no digit, and no block size
and no number of threads moves a bit of the result. A block serves its rows and its columns, so that each pair of rows
is multiplied once.
"""

import math
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from kit.errors import RequestError

if TYPE_CHECKING:
    import numpy as np
    import numpy.typing as npt

    Floats = npt.NDArray[np.float64]
    Indices = npt.NDArray[np.int64]
    Vectors = npt.NDArray[np.float32]

BUDGET_BYTES = 256 * 2**20
"""Memory of all blocks together, beside the vectors themselves."""
LARGEST_BLOCK = 4096
"""Most rows of a block; larger ones are no faster."""
FEW = 8
"""Rows are taken out of a block to be compared where they are fewer than one in so many; else all are compared."""
ROUNDING = 2.0**-24
"""Relative error of one operation in float32."""
SMALLEST_BLOCK = 16
"""Rows of a block where the budget holds fewer; less than a megabyte."""
LARGEST_LENGTH = 1e18
"""Greatest length of a vector; the square of a longer one may overflow in float32."""

Progress = Callable[[int, int], None]
"""Called with (pairs of blocks done so far, all of them)."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Neighbours:
    """The nearest other row of each row."""

    index: "Indices"
    """Its position, shape (n,); of several that are equally near the first."""
    distance: "Floats"
    """Squared Euclidean distance to it, shape (n,); 0 for a row that stands there twice."""


def nearest(vectors: "Vectors", *, budget_bytes: int = BUDGET_BYTES, progress: Progress | None = None) -> Neighbours:
    """Return each row's nearest other row and the squared Euclidean distance to it.

    Args:
        vectors: one row for each item, shape (n, d), float32, finite.
        budget_bytes: memory for blocks, beside the vectors; the result does not depend on it.
        progress: told after each pair of blocks.

    Raises:
        RequestError: there are fewer than two rows, or the matrix is of another shape or type, or holds a number that
            is not finite or too large.
    """
    import numpy as np

    squares = _checked_squares(vectors)
    first, firsts = _first_copies(vectors)
    index, distance = np.full(len(vectors), -1, dtype=np.int64), np.full(len(vectors), np.inf)
    if len(firsts) > 1:
        whole = len(firsts) == len(vectors)
        search = _Search(vectors if whole else vectors[firsts], squares[firsts], budget_bytes)
        search.run(progress)
        index[firsts], distance[firsts] = firsts[search.index], search.distance
    _set_copies(first, index, distance)
    return Neighbours(index=index, distance=distance)


def _checked_squares(vectors: "Vectors") -> "Floats":
    """Return the squared length of each row, after a check of all numbers.

    Raises:
        RequestError: as :func:`nearest`.
    """
    import numpy as np

    kind = getattr(vectors, "dtype", type(vectors).__name__)
    if getattr(vectors, "ndim", 0) != 2 or kind != np.float32:
        shape = getattr(vectors, "shape", ())
        raise RequestError(f"vectors: found {kind} of shape {tuple(shape)}, wanted float32 of shape (rows, numbers)")
    if len(vectors) < 2 or vectors.shape[1] < 1:
        raise RequestError(
            f"vectors: found shape {vectors.shape}, wanted two rows or more, each with a number or more; "
            "a row alone has no neighbour"
        )
    squares = np.empty(len(vectors))
    for start in range(0, len(vectors), 4096):
        part = vectors[start : start + 4096].astype(np.float64)
        squares[start : start + 4096] = np.einsum("nd,nd->n", part, part)
    wrong = np.flatnonzero(~(squares <= LARGEST_LENGTH**2))
    if len(wrong):
        row = int(wrong[0])
        found = (
            "a number that is not finite" if not math.isfinite(squares[row]) else f"length {squares[row] ** 0.5:.3g}"
        )
        raise RequestError(
            f"vectors: row {row:,}: {found}, wanted finite numbers and a length of {LARGEST_LENGTH:.0e} at most; "
            "was the model loaded in a type that overflows?"
        )
    return squares


def _first_copies(vectors: "Vectors") -> "tuple[Indices, Indices]":
    """Return for each row the first row that equals it in every number, and the rows that are the first of their kind.

    Copies would all be candidates for each other: a set of one text many times would be a search of all its pairs.
    """
    import numpy as np

    seen: dict[bytes, int] = {}
    first = np.empty(len(vectors), dtype=np.int64)
    for row, vector in enumerate(vectors):
        first[row] = seen.setdefault((vector + np.float32(0)).tobytes(), row)  # -0.0 is 0.0
    return first, np.flatnonzero(first == np.arange(len(vectors)))


def _set_copies(first: "Indices", index: "Indices", distance: "Floats") -> None:
    """Set the neighbour of each row that stands there several times: the first other one, at distance 0."""
    import numpy as np

    later = np.flatnonzero(first != np.arange(len(first)))
    index[later], distance[later] = first[later], 0.0
    for row in later[::-1]:  # the first copy's neighbour is the second: written last
        index[first[row]], distance[first[row]] = row, 0.0


class _Search:
    """The search among rows that all differ, and what it has found so far."""

    def __init__(self, vectors: "Vectors", squares: "Floats", budget_bytes: int) -> None:
        import numpy as np
        import torch

        self.vectors = vectors
        self.tensor = torch.from_numpy(np.ascontiguousarray(vectors))
        self.squares = squares
        self.index = np.full(len(vectors), -1, dtype=np.int64)
        self.distance = np.full(len(vectors), np.inf)
        size = vectors.shape[1]
        # |computed - true| <= gamma * (sum of the terms' sizes), whatever the order: Higham, Accuracy and Stability of
        # Numerical Algorithms, chapter 3. The terms are 2 |a_i b_i|, |a|^2 and |b|^2, in sum 2 (|a|^2 + |b|^2) at most.
        steps = (size + 6) * ROUNDING
        self.relative_error = 2 * steps / (1 - steps) if steps < 0.5 else math.inf
        self.block = _block_rows(budget_bytes // 2, size, len(vectors))
        self.places = max(1, budget_bytes // 4 // 32)  # two int64, twice
        self.pairs_at_once = max(1, budget_bytes // 4 // (8 * 3 * size))

    def run(self, progress: Progress | None) -> None:
        """Compare each block of rows with itself and with those after it."""
        starts = range(0, len(self.vectors), self.block)
        count, done = len(starts) * (len(starts) + 1) // 2, 0
        with _full_precision():
            for start in starts:
                for other in starts[start // self.block :]:
                    self._compare(start, other)
                    done += 1
                    if progress:
                        progress(done, count)

    def _compare(self, start: int, other: int) -> None:
        """Improve what is found for the rows of one block and for those of another by each other."""
        import torch

        rows, columns = slice(start, start + self.block), slice(other, other + self.block)
        products = self._extended(rows, factor=-2.0, ones_first=False) @ self._extended(columns).T
        if start == other:
            products.fill_diagonal_(torch.inf)
        self._improve(products, start, other)
        if start != other:
            self._improve(products.T, other, start)

    def _extended(self, rows: slice, factor: float = 1.0, *, ones_first: bool = True) -> Any:
        """Return rows with a one and their squared length behind, so that one product has all three terms."""
        import torch

        part = self.tensor[rows]
        lengths = torch.from_numpy(self.squares[rows]).to(torch.float32)[:, None]
        ones = torch.ones_like(lengths)
        return torch.cat([part * factor, *((ones, lengths) if ones_first else (lengths, ones))], dim=1)

    def _improve(self, approximate: Any, start: int, other: int) -> None:
        """Compute anew what may be nearer than what is found, for the rows that begin at one place among the others.

        Args:
            approximate: squared distances, shape (rows, others), float32.
            start: position of the first row.
            other: position of the first of the others.
        """
        import numpy as np

        count, width = approximate.shape
        rows = slice(start, start + count)
        error = self.relative_error * (self.squares[rows] + self.squares[other : other + width].max())
        smallest = approximate.amin(dim=1).numpy().astype(np.float64)
        if not math.isfinite(self.relative_error):
            smallest, error = np.full_like(smallest, -np.inf), np.full_like(error, np.inf)
        limit = np.minimum(smallest + 2 * error, self.distance[rows] + error)
        limit[smallest > limit] = -np.inf  # nothing in this block is nearer
        # the next larger float32: rounding must not leave a candidate out
        bound = np.nextafter(limit.astype(np.float32), np.float32(np.inf))
        bound[limit == -np.inf] = -np.inf
        step = max(1, self.places // width)
        for first in range(0, count, step):
            for places in _close_places(approximate[first : first + step], bound[first : first + step]):
                left, right = start + first + places[:, 0], other + places[:, 1]
                for begin in range(0, len(left), self.pairs_at_once):
                    self._take(left[begin : begin + self.pairs_at_once], right[begin : begin + self.pairs_at_once])

    def _take(self, left: "Indices", right: "Indices") -> None:
        """Compute the distances of some pairs exactly, and keep each left row's nearest if it is nearer than before."""
        import numpy as np

        differences = self.vectors[left].astype(np.float64)
        differences -= self.vectors[right]
        distances = np.square(differences, out=differences).sum(axis=1)
        distances[left == right] = np.inf
        order = np.lexsort((right, distances, left))
        rows, firsts = np.unique(left[order], return_index=True)
        best = order[firsts]
        nearer = distances[best] < self.distance[rows]  # equally near ones came first: blocks go upwards
        self.distance[rows[nearer]] = distances[best[nearer]]
        self.index[rows[nearer]] = right[best[nearer]]


def _close_places(approximate: Any, bound: "Vectors") -> "Iterator[Indices]":
    """Yield the places of a block at which a distance is within its row's bound, shape (places, 2), in order."""
    import numpy as np
    import torch

    asked = np.flatnonzero(bound > -np.inf)
    if not len(asked):
        return
    if len(asked) * FEW < len(bound):
        places = (approximate[torch.from_numpy(asked)] <= torch.from_numpy(bound[asked])[:, None]).nonzero().numpy()
        places[:, 0] = asked[places[:, 0]]
        yield places
    else:
        yield (approximate <= torch.from_numpy(bound)[:, None]).nonzero().numpy()


def _block_rows(budget_bytes: int, size: int, rows: int) -> int:
    """Return the rows of a block: the most whose products and extended copies fit into the budget.

    ``4 b^2`` bytes of products and ``b^2`` of comparisons, and two copies of ``b`` rows with two numbers more, while
    they are put together twice: ``5 b^2 + 16 b (size + 2) = budget``.
    """
    linear = 16 * (size + 2)
    found = (math.sqrt(linear**2 + 20 * budget_bytes) - linear) / 10
    return min(max(int(found), SMALLEST_BLOCK), LARGEST_BLOCK, rows)


@contextmanager
def _full_precision() -> Iterator[None]:
    """Multiply in full float32, whatever the process has chosen: the bound of the errors is that of float32."""
    import torch

    chosen = torch.get_float32_matmul_precision()
    torch.set_float32_matmul_precision("highest")
    try:
        yield
    finally:
        torch.set_float32_matmul_precision(chosen)
