"""Rows on their way from the engine to the kernel, cut into parts of customers.

A row is a line of 64-bit words: the hash of its customer first, then its times,
then all else. Rows come in any order and go to disk part by part, so memory
holds one batch on the way in and one part on the way out, whatever the size.
"""

from __future__ import annotations

import errno
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from numba import njit

from features.contracts import SettingError
from features.history import Array, Floats, Ints, Longs

PART_SHIFT = 33
"""Bits of a key above this one say which part it belongs to."""

WORD_BITS = 63
"""A word that holds codes is never negative."""

_SIGN = np.int64(0x7FFF_FFFF_FFFF_FFFF)
_INFINITY = np.int64(0x7FF0_0000_0000_0000)
_NAN = np.int64(0x7FF8_0000_0000_0000)
_NEGATIVE_ZERO = np.int64(-0x8000_0000_0000_0000)


def put_floats(values: Floats, words: Longs, column: int) -> None:
    """Write floats as words of the same order; NaN comes after all others."""
    _put_floats(values.view(np.int64), words, column)


def put_codes(codes: Ints, words: Longs, column: int, bit: int) -> None:
    """Write codes from -1 on into the bits of a word from ``bit`` on."""
    _put_codes(codes, words, column, bit)


def codes_of_words(words: Longs, column: int, bit: int, width: int) -> Ints:
    """The codes again, of so many bits."""
    field = (words[:, column] >> bit) & ((1 << width) - 1)
    return (field - 1).astype(np.int32)


def floats_of_words(words: Longs) -> Floats:
    """The floats again; -0.0 has become 0.0, and all NaN are one."""
    return np.where(words < 0, words ^ _SIGN, words).view(np.float64)


@dataclass
class Memory:
    """Bytes that spools may hold before they write to disk."""

    free: int


@dataclass
class Spool:
    """The rows of one table, in memory while it lasts and then on disk.

    Attributes:
        path: where the later batches are.
        n_words: words of a row.
        n_parts: of customers.
        memory: shared by all spools of a reader.
        held: batches in memory, part by part, shape ``[row, word]``.
        starts: of every batch, the row at which each part starts, and its end.
        digest: two sums over all rows, equal for equal rows in any order.
        known: smallest ``max(ts, known_at)`` of all rows, microseconds.
        rows: how many there are.
    """

    path: Path
    n_words: int
    n_parts: int
    memory: Memory
    held: list[Longs] = field(default_factory=list[Longs])
    starts: list[Longs] = field(default_factory=list[Longs])
    digest: Array = field(default_factory=lambda: np.zeros(2, np.uint64))
    known: Longs = field(
        default_factory=lambda: np.array([np.iinfo(np.int64).max], np.int64)
    )
    rows: int = 0

    def add(self, words: Longs) -> None:
        """Append rows, shape ``[row, word]``: key, ``ts``, ``known_at``, ...

        Raises:
            SettingError: the disk is full.
        """
        if not len(words):
            return
        by_part, counts = _scatter(words, self.n_parts, self.digest, self.known)
        self.starts.append(np.concatenate(([0], np.cumsum(counts))))
        self.rows += len(words)
        if by_part.nbytes <= self.memory.free:
            self.memory.free -= by_part.nbytes
            self.held.append(by_part)
            return
        # No batch is held after this one: the file's follow those in memory.
        self.memory.free = 0
        try:
            with self.path.open("ab") as file:
                file.write(by_part.data)
        except OSError as error:
            raise SettingError(
                f"TMPDIR: expected room for the rows of {self.path.name}, got "
                f"{(error.strerror or str(error)).lower()} in {self.path.parent}; "
                "free it, or name another folder"
            ) from None

    def part(self, part: int) -> Longs:
        """The rows of a part in the order they came, shape ``[row, word]``.

        Raises:
            OSError: the file cannot be read, or has become shorter.
        """
        sizes = [int(batch[part + 1] - batch[part]) for batch in self.starts]
        words = np.empty((sum(sizes), self.n_words), np.int64)
        at = 0
        for batch, starts in zip(self.held, self.starts, strict=False):
            rows = batch[starts[part] : starts[part + 1]]
            words[at : at + len(rows)] = rows
            at += len(rows)
        if at == len(words):
            return words
        on_disk = range(len(self.held), len(sizes))
        with self.path.open("rb", buffering=0) as file:
            first = 0
            for i in on_disk:
                # Of nothing there is no view to read into.
                if sizes[i]:
                    file.seek((first + int(self.starts[i][part])) * self.n_words * 8)
                    view = words[at : at + sizes[i]].data.cast("B")
                    if file.readinto(view) != len(view):
                        said = "fewer rows than were written"
                        raise OSError(errno.EIO, said, str(self.path))
                at += sizes[i]
                first += int(self.starts[i][-1])
        return words


def in_order(words: Longs, customer: Ints, n_customers: int) -> tuple[Longs, Longs]:
    """The rows of known customers, by customer, then by every word after the key.

    Args:
        words: shape ``[row, word]``.
        customer: code of every row; -1: the row is left out.
        n_customers: codes are below it.

    Returns:
        Rows, and where those of each customer start, shape ``[customer + 1]``.
    """
    return _in_order(words, customer, n_customers)


def codes_within(keys: Longs, offsets: Longs) -> Ints:
    """Codes from 0 on for the keys of each customer, in order of appearance."""
    return _codes_within(keys, offsets)


@njit(cache=True, nogil=True)  # pyright: ignore[reportUntypedFunctionDecorator]
def _put_floats(bits: Any, words: Any, column: int) -> None:
    for i in range(len(bits)):
        word = bits[i]
        if (word & _SIGN) > _INFINITY:
            word = _NAN
        elif word < 0:
            word = word ^ _SIGN if word != _NEGATIVE_ZERO else np.int64(0)
        words[i, column] = word


@njit(cache=True, nogil=True)  # pyright: ignore[reportUntypedFunctionDecorator]
def _put_codes(codes: Any, words: Any, column: int, bit: int) -> None:
    for i in range(len(codes)):
        words[i, column] |= np.int64(codes[i] + 1) << bit


@njit(cache=True, nogil=True)  # pyright: ignore[reportUntypedFunctionDecorator]
def _scatter(words: Any, n_parts: int, digest: Any, known: Any) -> Any:
    n, n_words = words.shape
    counts = np.zeros(n_parts, np.int64)
    parts = np.empty(n, np.int32)
    for i in range(n):
        part = (np.uint64(words[i, 0]) >> np.uint64(PART_SHIFT)) % np.uint64(n_parts)
        parts[i] = part
        counts[part] += 1
        known[0] = min(known[0], max(words[i, 1], words[i, 2]))
        # Murmur's mixing of 64 bits, over all words of the row.
        h = np.uint64(n_words)
        for j in range(n_words):
            h ^= np.uint64(words[i, j])
            h *= np.uint64(0xFF51AFD7ED558CCD)
            h ^= h >> np.uint64(33)
        digest[0] += h
        digest[1] += h * (h | np.uint64(1))
    ends = np.cumsum(counts) - counts
    out = np.empty_like(words)
    for i in range(n):
        at = ends[parts[i]]
        ends[parts[i]] += 1
        for j in range(n_words):
            out[at, j] = words[i, j]
    return out, counts


@njit(cache=True, nogil=True)  # pyright: ignore[reportUntypedFunctionDecorator]
def _is_less(words: Any, a: int, b: int) -> Any:
    for j in range(1, words.shape[1]):
        if words[a, j] != words[b, j]:
            return words[a, j] < words[b, j]
    return False


@njit(cache=True, nogil=True)  # pyright: ignore[reportUntypedFunctionDecorator]
def _sort(words: Any, rows: Any, scratch: Any) -> None:
    """Merge sort; blocks of 16 by insertion, which is fast on ordered rows."""
    n = len(rows)
    for low in range(0, n, 16):
        for i in range(low + 1, min(low + 16, n)):
            row, j = rows[i], i - 1
            while j >= low and _is_less(words, row, rows[j]):
                rows[j + 1] = rows[j]
                j -= 1
            rows[j + 1] = row
    width = 16
    while width < n:
        for low in range(0, n - width, 2 * width):
            middle, high = low + width, min(low + 2 * width, n)
            if not _is_less(words, rows[middle], rows[middle - 1]):
                continue
            scratch[low:middle] = rows[low:middle]
            left, right = low, middle
            for to in range(low, high):
                if left == middle:
                    break
                if right < high and _is_less(words, rows[right], scratch[left]):
                    rows[to] = rows[right]
                    right += 1
                else:
                    rows[to] = scratch[left]
                    left += 1
        width *= 2


@njit(cache=True, nogil=True)  # pyright: ignore[reportUntypedFunctionDecorator]
def _in_order(words: Any, customer: Any, n_customers: int) -> Any:
    offsets = np.zeros(n_customers + 1, np.int64)
    for i in range(len(customer)):
        if customer[i] >= 0:
            offsets[customer[i] + 1] += 1
    offsets = np.cumsum(offsets)
    ends = offsets[:-1].copy()
    rows = np.empty(offsets[-1], np.int64)
    for i in range(len(customer)):
        if customer[i] >= 0:
            rows[ends[customer[i]]] = i
            ends[customer[i]] += 1
    scratch = np.empty_like(rows)
    out = np.empty((len(rows), words.shape[1]), np.int64)
    for c in range(n_customers):
        a, b = offsets[c], offsets[c + 1]
        _sort(words, rows[a:b], scratch[a:b])
        for i in range(a, b):
            for j in range(words.shape[1]):
                out[i, j] = words[rows[i], j]
    return out, offsets


@njit(cache=True, nogil=True)  # pyright: ignore[reportUntypedFunctionDecorator]
def _codes_within(keys: Any, offsets: Any) -> Any:
    codes = np.empty(len(keys), np.int32)
    longest = 1
    for c in range(len(offsets) - 1):
        longest = max(longest, offsets[c + 1] - offsets[c])
    n_slots = 2
    while n_slots < 2 * longest:
        n_slots *= 2
    slots = np.empty(n_slots, np.int64)
    held = np.empty(n_slots, np.int32)
    owner = np.full(n_slots, -1, np.int64)
    for c in range(len(offsets) - 1):
        n = 0
        for i in range(offsets[c], offsets[c + 1]):
            # Most often the line before is of the same order.
            if i > offsets[c] and keys[i] == keys[i - 1]:
                codes[i] = codes[i - 1]
                continue
            at = keys[i] & (n_slots - 1)
            while owner[at] == c and slots[at] != keys[i]:
                at = (at + 1) & (n_slots - 1)
            if owner[at] != c:
                owner[at], slots[at], held[at] = c, keys[i], n
                n += 1
            codes[i] = held[at]
    return codes
