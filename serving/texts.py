"""Text columns of a published version, read where they are mapped."""

from __future__ import annotations

from bisect import bisect_left, bisect_right
from collections.abc import Iterable
from copy import copy
from typing import Protocol

import pyarrow as pa

_STEP = 64
"""Every 64th id is held in memory; the rest of the search reads the map."""


class Told(Protocol):
    """Texts by code."""

    def __getitem__(self, code: int, /) -> str: ...


class Texts:
    """An Arrow text column, read without copies; null reads as empty text."""

    def __init__(self, column: pa.Array) -> None:
        _, bounds, data = column.buffers()
        first, size = column.offset, len(column)
        # Arrow may leave out the bounds of an empty column.
        view = memoryview(bounds if size else bytes(4)).cast("B").cast("i")
        self._bounds = view[first : first + size + 1]
        self._data = memoryview(b"" if data is None else data).cast("B")

    def __len__(self) -> int:
        return len(self._bounds) - 1

    def raw(self, row: int) -> bytes:
        """UTF-8 of a row."""
        return bytes(self._data[self._bounds[row] : self._bounds[row + 1]])

    def __getitem__(self, row: int) -> str:
        """Text of a row."""
        return str(self._data[self._bounds[row] : self._bounds[row + 1]], "utf-8")


class SortedIds(Texts):
    """Distinct ids in ascending order of their UTF-8, found by binary search.

    A hash table of a million ids would cost each worker 100 MB and half a
    second at every swap; this costs 1 MB and a few microseconds a look-up.
    """

    def __init__(self, column: pa.Array) -> None:
        super().__init__(column)
        self._marks = [self.raw(row) for row in range(0, len(self), _STEP)]
        self._hidden: frozenset[int] = frozenset()

    def without(self, rows: Iterable[int]) -> SortedIds:
        """The same ids; those of some rows are not found."""
        found = copy(self)
        found._hidden = frozenset(rows)
        return found

    def row(self, identifier: str) -> int | None:
        """The row of an id, None if it is not there."""
        key = identifier.encode("utf-8", "surrogatepass")
        low = max(bisect_right(self._marks, key) - 1, 0) * _STEP
        high = min(low + _STEP, len(self))
        row = bisect_left(range(high), key, low, high, key=self.raw)
        is_there = row < high and self.raw(row) == key and row not in self._hidden
        return row if is_there else None
