"""Ids as dense codes, by their 64-bit hash, in a table that fits the cache.

The engine hashes an id where it reads it; only numbers leave it, which is
several times faster than to join or to hand out texts.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numba import njit

from features.history import Ints, Longs


@dataclass(frozen=True)
class Lookup:
    """An open hash table.

    Attributes:
        keys: shape ``[slot]``, a power of two.
        codes: int32, shape ``[slot]``; -1: the slot is free.
        size: number of keys.
    """

    keys: Longs
    codes: Ints

    size: int

    @classmethod
    def of(cls, keys: Longs) -> Lookup:
        """The table in which key ``i`` has code ``i``.

        Raises:
            ValueError: a key stands twice.
        """
        n_slots = 1 << max(1, (2 * len(keys)).bit_length())
        table = cls(
            np.zeros(n_slots, np.int64), np.full(n_slots, -1, np.int32), len(keys)
        )
        if not _insert(table.keys, table.codes, keys):
            raise ValueError("keys: expected each one once, got one twice")
        return table

    def find(self, keys: Longs) -> Ints:
        """The code of every key, -1: none, shape ``[key]``."""
        return _find(self.keys, self.codes, keys)


@njit(cache=True, nogil=True)  # pyright: ignore[reportUntypedFunctionDecorator]
def _slot(key: Any, n_slots: int) -> Any:
    # The low bits of an engine's hash are as good as any, but not all of them
    # may be left: parts of customers are made by others of the same bits.
    return (key * np.int64(-7046029254386353131) >> np.int64(20)) & (n_slots - 1)


@njit(cache=True, nogil=True)  # pyright: ignore[reportUntypedFunctionDecorator]
def _insert(slots: Any, codes: Any, keys: Any) -> Any:
    for code in range(len(keys)):
        at = _slot(keys[code], len(slots))
        while codes[at] >= 0:
            if slots[at] == keys[code]:
                return False
            at = (at + 1) & (len(slots) - 1)
        slots[at], codes[at] = keys[code], code
    return True


@njit(cache=True, nogil=True)  # pyright: ignore[reportUntypedFunctionDecorator]
def _find(slots: Any, codes: Any, keys: Any) -> Any:
    found = np.empty(len(keys), np.int32)
    for i in range(len(keys)):
        at = _slot(keys[i], len(slots))
        while codes[at] >= 0 and slots[at] != keys[i]:
            at = (at + 1) & (len(slots) - 1)
        found[i] = codes[at]
    return found
