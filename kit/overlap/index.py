"""An index of test items by their grams, in which many training rows are looked up at once with numpy.

A word is a 64-bit number, a gram a polynomial of its words' numbers, and a row's grams are looked up in the sorted
numbers of all items' grams. Two grams may have one number by chance, so what was found is counted again by the words
themselves: the outcome is that of comparing words, and no number decides it.
"""

from collections import defaultdict
from collections.abc import Iterator, Sequence
from dataclasses import replace
from hashlib import blake2b
from itertools import chain, groupby, repeat
from operator import itemgetter
from typing import TYPE_CHECKING, Any, TypeAlias

from kit.overlap import GRAM, SHARE, Match
from kit.overlap.words import Gram, each_gram, words

if TYPE_CHECKING:
    import numpy

Numbers: TypeAlias = "numpy.ndarray[Any, Any]"
FACTOR = 0x9E3779B97F4A7C15
"""The odd number to whose powers the words of a gram are multiplied."""
SPARSE_BITS = 4
"""log2 of the entries that the table has for each gram, which tells most grams to be in no item; 2**24 at most."""
TOGETHER = 2_000
"""Rows that are looked up at once: some 5 MB of numbers each."""
COMMON = 64
"""Items that have a gram, above which it is a phrase of many, and may be left out of those that are looked up."""
MOST_PAIRS = 1 << 22
"""Pairs of a row's gram and an item that has it, which are counted at once; a single row may have more."""


def grams(found: Sequence[bytes]) -> set[Gram]:
    """Return the grams of a text's words; a text of fewer words has none."""
    return set(each_gram(found))


def _number(word: bytes) -> int:
    """Return the number of a word, the same on every machine; never 0, which stands for words that no item has."""
    return int.from_bytes(blake2b(word, digest_size=8).digest(), "little") | 1


class Index:
    """Test items by their grams, in which rows are looked up."""

    def __init__(self, texts: Sequence[str]) -> None:
        """Index the texts of test items; an item without a word is never found."""
        import numpy as np

        self.items = [words(text) for text in texts]
        """The words of each item."""
        self.short: dict[Gram, list[int]] = defaultdict(list)
        """Words of an item that has fewer than a gram -> positions of the items that are these words."""
        self.vocabulary = {word: _number(word) for found in self.items for word in found}
        for item, found in enumerate(self.items):
            if 0 < len(found) < GRAM:
                self.short[tuple(found)].append(item)
        numbers, owners = self._grams([[found] for found in self.items])
        pairs = np.unique(np.stack([numbers, owners.astype(np.uint64)], axis=1), axis=0) if len(numbers) else None
        self.sizes = np.zeros(len(texts), np.int64)
        """Number of different grams of each item."""
        self.known: Numbers = np.zeros(0, np.uint64)
        """Numbers of all grams, sorted, each once."""
        self.starts: Numbers = np.zeros(1, np.int64)
        """Start of each gram's items in :attr:`owners`, and the end of the last one's."""
        self.owners: Numbers = np.zeros(0, np.int64)
        self.wanted: Numbers = np.ones(len(texts), np.int64)
        """Number of its grams in the index that a row has at least which repeats an item."""
        if pairs is not None:
            self.sizes = np.bincount(pairs[:, 1].astype(np.int64), minlength=len(texts))
            self.known, starts = np.unique(pairs[:, 0], return_index=True)
            self._keep(pairs[:, 1].astype(np.int64), np.append(starts, len(pairs)))
        bits = min(len(self.known).bit_length() + SPARSE_BITS, 24)
        self.shift = np.uint64(64 - bits)
        """Number of the lowest bits of a gram's number that :attr:`filter` does not look at."""
        self.filter = np.zeros(1 << bits, np.bool_)
        """Whether an item's gram has a number with these highest bits."""
        self.filter[self.known >> self.shift] = True

    def _keep(self, owners: Numbers, starts: Numbers) -> None:
        """Leave grams that many items have out of the index: of each item half of its grams at most.

        A row that has more than half of an item's grams has at least one of the others. A phrase that begins ten
        thousand items would else be counted for each of them, in every row that has it.

        Args:
            owners: the items of each gram, gram by gram.
            starts: start of each gram's items, and the end of the last one's.
        """
        import numpy as np

        gram_of = np.repeat(np.arange(len(starts) - 1), np.diff(starts))
        shared_by = np.diff(starts)[gram_of]
        order = np.lexsort((-shared_by, owners))  # item by item, the commonest first
        first = np.cumsum(self.sizes) - self.sizes
        rank = np.arange(len(order)) - first[owners[order]]
        left_out = np.zeros(len(owners), np.bool_)
        most = (SHARE * self.sizes).astype(np.int64)
        left_out[order] = (shared_by[order] > COMMON) & (rank < most[owners[order]])
        self.wanted = most + 1 - np.bincount(owners[left_out], minlength=len(self.sizes))
        self.owners = owners[~left_out]
        counts = np.bincount(gram_of[~left_out], minlength=len(starts) - 1)
        self.known = self.known[counts > 0]
        self.starts = np.append(0, np.cumsum(counts[counts > 0]))

    def find(self, rows: Sequence[Sequence[str]]) -> list[Match]:
        """Return the rows that repeat an item, with the item, in the order of rows and items.

        Args:
            rows: the texts of each row; no gram runs from one text into the next.
        """
        found: list[Match] = []
        for start in range(0, len(rows), TOGETHER):
            spoken = [[words(text) for text in row] for row in rows[start : start + TOGETHER]]
            for row, likely in groupby(sorted(set(self._candidates(spoken))), key=itemgetter(0)):
                items = [item for _, item in likely]
                found += [replace(match, row=start + row) for match in self._matches(spoken[row], items)]
        return found

    def _matches(self, row: Sequence[Sequence[bytes]], items: Sequence[int]) -> Iterator[Match]:
        """Yield which of some items a row repeats, counted by words."""
        whole = {tuple(text) for text in row if len(text) < GRAM}
        own = {item: grams(self.items[item]) for item in items}
        wanted = set[Gram]().union(*own.values())
        there = {gram for text in row for gram in each_gram(text) if gram in wanted}
        for item in items:
            if not own[item]:
                if tuple(self.items[item]) in whole:
                    yield Match(row=0, item=item, shared=1, grams=1)
            elif (shared := len(own[item] & there)) > SHARE * len(own[item]):
                yield Match(row=0, item=item, shared=shared, grams=len(own[item]))

    def _candidates(self, rows: Sequence[Sequence[Sequence[bytes]]]) -> Iterator[tuple[int, int]]:
        """Yield rows with the items that they repeat, as far as the numbers of grams tell."""
        import numpy as np

        for row, texts in enumerate(rows):
            for text in texts:
                if 0 < len(text) < GRAM:
                    yield from ((row, item) for item in self.short.get(tuple(text), ()))
        numbers, owners = self._grams(rows)
        likely = np.flatnonzero(self.filter[numbers >> self.shift])
        if not len(likely) or not len(self.known):
            return
        places = np.minimum(np.searchsorted(self.known, numbers[likely]), len(self.known) - 1)
        same = self.known[places] == numbers[likely]
        # each gram of a row once, then an entry for each item that has it
        once = np.unique(owners[likely][same] * len(self.known) + places[same])
        row_of, gram = once // len(self.known), once % len(self.known)
        counts = self.starts[gram + 1] - self.starts[gram]
        ends = np.cumsum(counts)
        start = 0
        while start < len(once):
            # whole rows, as many as fit, one at least
            end = int(np.searchsorted(ends, ends[start] - counts[start] + MOST_PAIRS, "right"))
            if end < len(once):
                cut = int(np.searchsorted(row_of, row_of[end]))
                end = cut if cut > start else int(np.searchsorted(row_of, row_of[start], "right"))
            part = slice(start, end)
            offsets = np.arange(counts[part].sum()) - np.repeat(
                ends[part] - counts[part] - ends[start] + counts[start], counts[part]
            )
            items = self.owners[np.repeat(self.starts[gram[part]], counts[part]) + offsets]
            pairs, shared = np.unique(
                np.repeat(row_of[part], counts[part]) * len(self.items) + items, return_counts=True
            )
            enough = pairs[shared >= self.wanted[pairs % len(self.items)]]
            yield from zip((enough // len(self.items)).tolist(), (enough % len(self.items)).tolist(), strict=True)
            start = end

    def _grams(self, rows: Sequence[Sequence[Sequence[bytes]]]) -> tuple[Numbers, Numbers]:
        """Return the numbers of all grams of some rows' texts, and the row of each."""
        import numpy as np

        texts = [(row, text) for row, texts in enumerate(rows) for text in texts if len(text) >= GRAM]
        lengths = np.fromiter((len(text) for _, text in texts), np.int64, len(texts))
        spoken = chain.from_iterable(text for _, text in texts)
        numbers = np.fromiter(map(self.vocabulary.get, spoken, repeat(0)), np.uint64, int(lengths.sum()))
        count = max(len(numbers) - GRAM + 1, 0)
        total = np.zeros(count, np.uint64)
        for place in range(GRAM):
            total = total * np.uint64(FACTOR) + numbers[place : place + count]
        text_of = np.repeat(np.arange(len(texts)), lengths)
        inside = text_of[:count] == text_of[GRAM - 1 :]
        owners = np.fromiter((row for row, _ in texts), np.int64, len(texts))
        return total[inside], owners[text_of[:count][inside]]
