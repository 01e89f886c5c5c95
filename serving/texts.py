"""Text columns of a published version, read where they are mapped."""

from __future__ import annotations

from collections.abc import Iterable
from copy import copy
from typing import Protocol

import numpy as np
import numpy.typing as npt
import pyarrow as pa
from numba import njit


class Told(Protocol):
    """Texts by code."""

    def __getitem__(self, code: int, /) -> str: ...


class Texts:
    """An Arrow text column, read without copies; null reads as empty text.

    Attributes:
        data: UTF-8 of all rows, one after the other.
        bounds: int32 ``[row + 1]``, of each row in ``data``.
    """

    def __init__(self, column: pa.Array) -> None:
        _, bounds, data = column.buffers()
        first, size = column.offset, len(column)
        # Arrow may leave out the bounds of an empty column.
        view = memoryview(bounds if size else bytes(4)).cast("B").cast("i")
        self._bounds = view[first : first + size + 1]
        self._data = memoryview(b"" if data is None else data).cast("B")
        self.data: npt.NDArray[np.uint8] = np.frombuffer(self._data, np.uint8)
        self.bounds: npt.NDArray[np.int32] = np.frombuffer(self._bounds, np.int32)

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
    second at every swap; this costs nothing and two microseconds a look-up.
    """

    def __init__(self, column: pa.Array) -> None:
        super().__init__(column)
        self._hidden: frozenset[int] = frozenset()

    def without(self, rows: Iterable[int]) -> SortedIds:
        """The same ids; those of some rows are not found."""
        found = copy(self)
        found._hidden = frozenset(rows)
        return found

    def row(self, identifier: str) -> int | None:
        """The row of an id, None if it is not there."""
        key = identifier.encode("utf-8", "surrogatepass")
        row = _find(self.data, self.bounds, np.frombuffer(key, np.uint8))
        return None if row < 0 or row in self._hidden else row


@njit(cache=True, nogil=True)  # pyright: ignore[reportUntypedFunctionDecorator]
def _find(
    data: npt.NDArray[np.uint8],
    bounds: npt.NDArray[np.int32],
    key: npt.NDArray[np.uint8],
) -> int:
    """The row of a key among ascending ones; -1: it is none of them."""
    low, high = 0, bounds.size - 1
    while low < high:
        middle = (low + high) // 2
        if _is_below(data[bounds[middle] : bounds[middle + 1]], key):
            low = middle + 1
        else:
            high = middle
    if low == bounds.size - 1:
        return -1
    found = data[bounds[low] : bounds[low + 1]]
    return -1 if _is_below(key, found) or found.size != key.size else low


@njit(cache=True, nogil=True)  # pyright: ignore[reportUntypedFunctionDecorator]
def _is_below(one: npt.NDArray[np.uint8], other: npt.NDArray[np.uint8]) -> bool:
    """Whether one text stands before another, by their bytes."""
    for k in range(min(one.size, other.size)):
        if one[k] != other[k]:
            return bool(one[k] < other[k])
    return one.size < other.size
