"""Rows on their way from the engine to the kernel, cut by customer.

A row is a line of 64-bit words: the hash of its customer first, then its times,
then all else. Rows come in any order and lie bucket by bucket in memory or on
disk, so a part of the customers, some buckets in a row, is read from few places.
"""

from __future__ import annotations

import errno
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from threading import Lock
from typing import Any

import numpy as np
from numba import njit

from features.contracts import SettingError
from features.history import Array, Ints, Longs

BUCKETS = 1024
"""Into so many the customers are cut; a part is of one or more."""

BUCKET_SHIFT = 33
"""Bits of a key above this one say which bucket it belongs to."""


@dataclass
class Memory:
    """Bytes that spools may hold before they write to disk."""

    free: int


@dataclass
class Spool:
    """The rows of one table, in memory while it lasts and then on disk.

    Several threads may add to it.

    Attributes:
        path: where the later batches are.
        n_words: words of a row.
        memory: shared by all spools of a reader, which are filled one by one.
        n_buckets: of customers.
        held: batches in memory, bucket by bucket, shape ``[row, word]``.
        starts: of every batch, the row at which each bucket starts, and its end.
        digest: two sums over all rows, equal for equal rows in any order.
        known: smallest ``max(ts, known_at)`` of all rows, microseconds.
        rows: how many there are.
    """

    path: Path
    n_words: int
    memory: Memory
    n_buckets: int = BUCKETS
    held: list[Longs] = field(default_factory=list[Longs])
    starts: list[Ints] = field(default_factory=list[Ints])
    digest: Array = field(default_factory=lambda: np.zeros(2, np.uint64))
    known: int = np.iinfo(np.int64).max
    rows: int = 0
    _lock: Lock = field(default_factory=Lock)

    def add(self, words: Longs) -> None:
        """Append rows, shape ``[word, row]``: key, ``ts``, ``known_at``, ...

        Raises:
            SettingError: the disk is full.
        """
        if not words.shape[1]:
            return
        by_bucket, starts, digest, known = _scatter(words, self.n_buckets)
        with self._lock:
            self.starts.append(starts)
            self.rows += words.shape[1]
            self.digest += digest
            self.known = min(self.known, int(known))
            if by_bucket.nbytes <= self.memory.free:
                self.memory.free -= by_bucket.nbytes
                self.held.append(by_bucket)
                return
            # No batch is held after this one: the file's follow those in memory.
            self.memory.free = 0
            self._write(by_bucket)

    def _write(self, rows: Longs) -> None:
        try:
            with self.path.open("ab") as file:
                file.write(rows.data)
        except OSError as error:
            raise SettingError(
                f"TMPDIR: expected room for the rows of {self.path.name}, got "
                f"{(error.strerror or str(error)).lower()} in {self.path.parent}; "
                "free it, or name another folder"
            ) from None

    def part(self, first: int, end: int) -> Longs:
        """The rows of the buckets ``first`` to ``end``, shape ``[row, word]``.

        Returns:
            Batch by batch as they came, by bucket in each.

        Raises:
            OSError: the file cannot be read, or has become shorter.
        """
        spans = [(int(starts[first]), int(starts[end])) for starts in self.starts]
        words = np.empty((sum(b - a for a, b in spans), self.n_words), np.int64)
        at = 0
        for batch, (a, b) in zip(self.held, spans, strict=False):
            words[at : at + b - a] = batch[a:b]
            at += b - a
        if at < len(words):
            self._read(spans[len(self.held) :], words[at:])
        return words

    def _read(self, spans: Sequence[tuple[int, int]], words: Longs) -> None:
        """Fill in the rows of the batches on disk."""
        sizes = [int(starts[-1]) for starts in self.starts[len(self.held) :]]
        with self.path.open("rb", buffering=0) as file:
            before = at = 0
            for (a, b), size in zip(spans, sizes, strict=True):
                # Of nothing there is no view to read into.
                if b > a:
                    file.seek((before + a) * self.n_words * 8)
                    view = words[at : at + b - a].data.cast("B")
                    if file.readinto(view) != len(view):
                        said = "fewer rows than were written"
                        raise OSError(errno.EIO, said, str(self.path))
                at += b - a
                before += size


@njit(cache=True, nogil=True)  # pyright: ignore[reportUntypedFunctionDecorator]
def _scatter(words: Any, n_buckets: int) -> Any:
    n_words, n = words.shape
    starts = np.zeros(n_buckets + 1, np.int32)
    buckets = np.empty(n, np.int32)
    for i in range(n):
        key = np.uint64(words[0, i]) >> np.uint64(BUCKET_SHIFT)
        buckets[i] = key % np.uint64(n_buckets)
        starts[buckets[i] + 1] += 1
    for bucket in range(n_buckets):
        starts[bucket + 1] += starts[bucket]
    ends, out = starts[:-1].copy(), np.empty((n, n_words), np.int64)
    digest, known = np.zeros(2, np.uint64), np.int64(0x7FFF_FFFF_FFFF_FFFF)
    for i in range(n):
        at = ends[buckets[i]]
        ends[buckets[i]] += 1
        known = min(known, max(words[1, i], words[2, i]))
        # Murmur's mixing of 64 bits, over all words of the row.
        h = np.uint64(n_words)
        for j in range(n_words):
            word = words[j, i]
            out[at, j] = word
            h ^= np.uint64(word)
            h *= np.uint64(0xFF51AFD7ED558CCD)
            h ^= h >> np.uint64(33)
        digest[0] += h
        digest[1] += h * (h | np.uint64(1))
    return out, starts, digest, known
