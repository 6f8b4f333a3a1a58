"""The hash table of a set: read in one process, built again in another, so that both sets behave alike to the last.

A set iterates in the order of its table, and the table depends on how the set came about: the literal
``{12, 13, 14, 15, 16}`` iterates as 16, 12, 13, 14, 15, and ``set(list({12, 13, 14, 15, 16}))`` as 12, 13, 14, 15, 16.
No operation of Python asks for a table of a given size, or puts an item into a given slot, so the table is read from,
and written to, the memory of CPython's ``PySetObject`` (the same from 3.7 to 3.13):
https://github.com/python/cpython/blob/v3.11.7/Include/cpython/setobject.h
"""

import ctypes
import operator
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import chain
from typing import Any

SMALLEST = 8
"""Slots of the smallest table; every table has a power of two of them."""


class _Entry(ctypes.Structure):
    _fields_ = (("key", ctypes.c_void_p), ("hash", ctypes.c_ssize_t))


class _Head(ctypes.Structure):
    _fields_ = (
        ("references", ctypes.c_ssize_t),
        ("type", ctypes.c_void_p),
        ("fill", ctypes.c_ssize_t),
        ("used", ctypes.c_ssize_t),
        ("mask", ctypes.c_ssize_t),
        ("table", ctypes.c_void_p),
        ("hash", ctypes.c_ssize_t),
        ("finger", ctypes.c_ssize_t),
    )


@dataclass(frozen=True, slots=True)
class Table:
    """Hash table of a set: the slots where items stand, and the slots where items have been."""

    size: int
    """Number of slots."""
    finger: int
    """The slot, modulo the size, where the next ``pop`` begins to search."""
    slots: tuple[int, ...]
    """The slot of each item, in the order of iteration."""
    removed: tuple[int, ...]
    """The slots whose item was removed: they count when the table grows."""

    @classmethod
    def of(cls, size: int, finger: int, slots: Sequence[int], removed: Sequence[int]) -> "Table":
        """Return the table of the four parts of :meth:`parts`.

        Raises:
            TypeError: they are no numbers.
        """
        return cls(operator.index(size), operator.index(finger), tuple(slots), tuple(removed))

    def parts(self) -> tuple[int, int, list[int], list[int]]:
        """Return what stands for it in JSON."""
        return self.size, self.finger, list(self.slots), list(self.removed)

    def is_possible(self, items: int) -> bool:
        """Return whether a set of so many items can have this table, as CPython grows its tables."""
        taken = (*self.slots, *self.removed)
        filled = len(taken)
        return (
            self.size >= SMALLEST
            and self.size & (self.size - 1) == 0
            and len(self.slots) == items
            and len(set(taken)) == filled
            and all(0 <= slot < self.size for slot in taken)
            and list(self.slots) == sorted(self.slots)
            and 0 <= self.finger < 1 << 62
            and 5 * filled < 3 * (self.size - 1)
            and (self.size == SMALLEST or 8 * filled >= self.size)
        )


def read(items: set[Any] | frozenset[Any]) -> Table:
    """Return the table of a set."""
    head = _Head.from_address(id(items))
    words = memoryview(ctypes.string_at(head.table, (head.mask + 1) * ctypes.sizeof(_Entry))).cast("q")
    slots, removed = [], []
    for slot, (key, hash_) in enumerate(zip(words[::2], words[1::2], strict=True)):
        if hash_ == -1:  # no object has this hash
            removed.append(slot)
        elif key:
            slots.append(slot)
    return Table(head.mask + 1, head.finger, tuple(slots), tuple(removed))


def build(kind: type[set[Any]] | type[frozenset[Any]], items: Sequence[Any], table: Table) -> Any:
    """Return a set or frozenset of these items with this table.

    Where the items have other hashes here (those of ``None``, of NaN and of objects without a value are addresses), the
    table would lose them: then the set is built in the order of the items. So it is where no set of these items has
    such a table, for the candidate may send anything.
    """
    plain = kind(items)
    if len(plain) != len(items) or not table.is_possible(len(items)):
        return plain
    if read(plain) == table and all(map(operator.is_, plain, items)):
        return plain
    made = _of_size(kind, table.size)
    _fill(made, items, table)
    return made if all(item in made for item in items) else plain


def _of_size(kind: type[set[Any]] | type[frozenset[Any]], size: int) -> Any:
    """Return a set with a table of this size: one that takes over n items from a set gets more than 2 n slots."""
    return kind(set(range(size // 2 - 1)))


def _dummy() -> int:
    """Return the address that stands in a slot whose item was removed."""
    scratch = {0}
    scratch.discard(0)
    return int(ctypes.cast(_Head.from_address(id(scratch)).table, ctypes.POINTER(_Entry))[0].key)


def _fill(made: Any, items: Sequence[Any], table: Table) -> None:
    """Put the items into the slots of a set, in place of those that are there."""
    head = _Head.from_address(id(made))
    before = list(made)
    entries = {slot: (id(item), hash(item)) for slot, item in zip(table.slots, items, strict=True)}
    entries |= dict.fromkeys(table.removed, (_dummy(), -1))
    words = (ctypes.c_ssize_t * (2 * table.size))(
        *chain.from_iterable(entries.get(n, (0, 0)) for n in range(table.size))
    )
    for item in items:
        ctypes.pythonapi.Py_IncRef(ctypes.py_object(item))
    ctypes.memmove(head.table, words, ctypes.sizeof(words))
    head.used, head.fill, head.finger = len(items), len(items) + len(table.removed), table.finger
    for item in before:
        ctypes.pythonapi.Py_DecRef(ctypes.py_object(item))
