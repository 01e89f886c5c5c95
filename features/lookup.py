"""Ids by their 64-bit hash: as dense codes, and as a set that grows.

The engine hashes an id where it reads it; what is done for every row is done on
numbers, which is several times faster than to join or to compare texts.
"""

from __future__ import annotations

from dataclasses import dataclass
from threading import Lock
from typing import Any

import numpy as np
import pyarrow as pa
from numba import njit

from features.history import Array, Ints, Longs


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


class Met:
    """Ids that have been met, told by their hash; several threads may ask.

    Attributes:
        size: how many there are.
    """

    def __init__(self) -> None:
        # Key and second hash; a second hash of 0: the slot is free.
        self._slots = np.zeros((2, 2), np.int64)
        self._lock = Lock()
        self.size = 0

    def first(self, keys: Longs, ids: pa.StringArray, wanted: Array) -> Longs:
        """Positions of the wanted ids that had not been met; now they have.

        Args:
            keys: hashes of the ids.
            ids: without nulls.
            wanted: bool; the others are passed by.

        Raises:
            ValueError: two ids have the same hash.
        """
        others = _second_hash(ids)
        with self._lock:
            # At most half full, also if all of them are new.
            most = 2 * (self.size + len(keys))
            if len(self._slots) < most:
                known = self._slots[self._slots[:, 1] != 0]
                self._slots = np.zeros((1 << (most - 1).bit_length(), 2), np.int64)
                again = np.ones(len(known), np.bool_)
                _meet(self._slots, known[:, 0].copy(), known[:, 1].copy(), again)
            found = _meet(self._slots, keys, others, wanted)
            if len(found) and found[-1] < 0:
                raise ValueError("ids: expected different hashes, got two of one hash")
            self.size += len(found)
            return found


def _second_hash(ids: pa.StringArray) -> Longs:
    """Another hash of each, so that two ids of one hash are told apart; never 0.

    For all of them first: a loop that hashed and looked up would wait for memory at
    every row.
    """
    if not len(ids):
        return np.empty(0, np.int64)
    _, offsets, letters = ids.buffers()
    ends = np.frombuffer(offsets, np.int32)[ids.offset : ids.offset + len(ids) + 1]
    return _hash_of_texts(ends, np.frombuffer(letters or b"", np.uint8))


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


@njit(cache=True, nogil=True)  # pyright: ignore[reportUntypedFunctionDecorator]
def _meet(slots: Any, keys: Any, others: Any, wanted: Any) -> Any:
    """Positions of the keys that are new; a last one of -1: one hash for two ids."""
    found = np.empty(len(keys) + 1, np.int64)
    n_open = 0
    # Most are known and where they should be: seen without a branch, so that the
    # next look need not wait for this one.
    for i in range(len(keys)):
        at = _slot(keys[i], len(slots))
        found[n_open] = i
        is_new = (slots[at, 0] != keys[i]) | (slots[at, 1] != others[i])
        n_open += wanted[i] & is_new
    n = 0
    for j in range(n_open):
        i = found[j]
        at = _slot(keys[i], len(slots))
        while slots[at, 1] and slots[at, 0] != keys[i]:
            at = (at + 1) & (len(slots) - 1)
        if not slots[at, 1]:
            slots[at, 0], slots[at, 1] = keys[i], others[i]
            found[n] = i
            n += 1
        elif slots[at, 1] != others[i]:
            found[n] = -1
            return found[: n + 1]
    return found[:n]


@njit(cache=True, nogil=True)  # pyright: ignore[reportUntypedFunctionDecorator]
def _hash_of_texts(ends: Any, letters: Any) -> Any:
    """FNV-1a of 64 bits, with the lowest bit set."""
    found = np.empty(len(ends) - 1, np.int64)
    for i in range(len(found)):
        h = np.uint64(0xCBF29CE484222325)
        for j in range(ends[i], ends[i + 1]):
            h = (h ^ np.uint64(letters[j])) * np.uint64(0x100000001B3)
        found[i] = np.int64(h | np.uint64(1))
    return found
