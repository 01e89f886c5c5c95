"""A row of an event table as 64-bit words, from the engine to the kernel's arrays."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import pyarrow as pa
from numba import njit

from features.contracts import Column
from features.history import Array, Events, Floats, Ints, Longs
from features.lookup import Lookup
from features.ordered import codes_within, in_order
from features.spool import Spool

WORD_BITS = 63
"""A word that holds codes is never negative."""

_SIGN = np.int64(0x7FFF_FFFF_FFFF_FFFF)
_INFINITY = np.int64(0x7FF0_0000_0000_0000)
_NAN = np.int64(0x7FF8_0000_0000_0000)
_NEGATIVE_ZERO = np.int64(-0x8000_0000_0000_0000)

_CALLED = {"product_id": "product", "order_id": "order"}
"""Names in ``Events`` of the columns that are no longer ids."""


def called(column: Column) -> str:
    """The name in ``Events`` of a column of the contract."""
    return _CALLED.get(column.name, column.name)


@dataclass(frozen=True)
class Layout:
    """Which word of a row holds a column, after key, ``ts`` and ``known_at``.

    Codes share words: each takes only the bits that its largest one needs.

    Attributes:
        plain: numbers, flags and hashes, one word each.
        packed: codes by column name: word, lowest bit, number of bits.
        n_words: of a row.
    """

    plain: tuple[Column, ...]
    packed: Mapping[str, tuple[int, int, int]]
    n_words: int

    @classmethod
    def of(cls, columns: Iterable[Column], n_codes: Mapping[str, int]) -> Layout:
        """The layout of columns, those with codes as many as given."""
        plain = tuple(column for column in columns if column.name not in n_codes)
        word, bit, packed = 3 + len(plain), 0, dict[str, tuple[int, int, int]]()
        for name, n in n_codes.items():
            width = (n + 1).bit_length()
            if bit + width > WORD_BITS:
                word, bit = word + 1, 0
            packed[name] = (word, bit, width)
            bit += width
        return cls(plain, packed, word + bool(bit))

    def pack(self, batch: pa.RecordBatch, lookups: Mapping[str, Lookup]) -> Longs:
        """A batch of ``Reader`` as words, shape ``[word, row]``; see ``Spool.add``."""
        words = np.zeros((self.n_words, batch.num_rows), np.int64)
        words[0] = batch.column("key").to_numpy().view(np.int64)
        for j, name in enumerate(("ts", "known"), start=1):
            times = batch.column(name).cast(pa.timestamp("us")).cast(pa.int64())
            words[j] = times.to_numpy()
        for j, column in enumerate(self.plain, start=3):
            values = batch.column(column.name).to_numpy()
            if column.dtype in ("number", "flag"):
                put_floats(values, words[j])
            else:
                words[j] = values.view(np.int64)
        for name, (word, bit, _) in self.packed.items():
            keys = batch.column(name).to_numpy().view(np.int64)
            put_codes(lookups[name].find(keys), words[word], bit)
        return words

    def unpack(self, columns: Longs, offsets: Longs) -> dict[str, Array]:
        """The columns by their names in ``Events``.

        Args:
            columns: every word after the key of rows in order, ``[word, row]``.
            offsets: where the rows of each customer start, ``[customer + 1]``.
        """
        found: dict[str, Array] = {}
        for word, column in zip(columns[2:], self.plain, strict=False):
            if column.dtype in ("number", "flag"):
                found[column.name] = floats_of_words(word)
            else:
                found[called(column)] = codes_within(word, offsets)
        for name, (word, bit, width) in self.packed.items():
            codes = codes_of_words(columns[word - 1], bit, width)
            found[_CALLED.get(name, name)] = codes
        return found


@dataclass(frozen=True)
class Coded:
    """One event table on its way, and the words of its codes."""

    spool: Spool
    layout: Layout
    words: Mapping[str, tuple[str, ...]]

    def events(self, keys: Lookup, buckets: tuple[int, int]) -> Events:
        """The rows of the customers of some buckets, ordered.

        Args:
            keys: those of the customers, in the order of their codes.
            buckets: the first, and the one after the last.
        """
        rows = self.spool.part(*buckets)
        columns, offsets = in_order(rows, keys.find(rows[:, 0]), keys.size)
        return Events(
            customer=np.repeat(np.arange(keys.size, dtype=np.int32), np.diff(offsets)),
            ts=columns[0],
            known_at=columns[1],
            columns=self.layout.unpack(columns, offsets),
            words=self.words,
            offsets=offsets,
        )


def put_floats(values: Floats, words: Longs) -> None:
    """Write floats as words of the same order; NaN comes after all others."""
    _put_floats(values.view(np.int64), words)


def put_codes(codes: Ints, words: Longs, bit: int) -> None:
    """Write codes from -1 on into the bits of words from ``bit`` on."""
    _put_codes(codes, words, bit)


def codes_of_words(words: Longs, bit: int, width: int) -> Ints:
    """The codes again, of so many bits."""
    return _codes_of_words(words, bit, width)


def floats_of_words(words: Longs) -> Floats:
    """The floats again; -0.0 has become 0.0, and all NaN are one."""
    return _bits_of_words(words).view(np.float64)


@njit(cache=True, nogil=True)  # pyright: ignore[reportUntypedFunctionDecorator]
def _put_floats(bits: Any, words: Any) -> None:
    for i in range(len(bits)):
        word = bits[i]
        if (word & _SIGN) > _INFINITY:
            word = _NAN
        elif word < 0:
            word = word ^ _SIGN if word != _NEGATIVE_ZERO else np.int64(0)
        words[i] = word


@njit(cache=True, nogil=True)  # pyright: ignore[reportUntypedFunctionDecorator]
def _put_codes(codes: Any, words: Any, bit: int) -> None:
    for i in range(len(codes)):
        words[i] |= np.int64(codes[i] + 1) << bit


@njit(cache=True, nogil=True)  # pyright: ignore[reportUntypedFunctionDecorator]
def _bits_of_words(words: Any) -> Any:
    bits = np.empty_like(words)
    for i in range(len(words)):
        bits[i] = words[i] ^ _SIGN if words[i] < 0 else words[i]
    return bits


@njit(cache=True, nogil=True)  # pyright: ignore[reportUntypedFunctionDecorator]
def _codes_of_words(words: Any, bit: int, width: int) -> Any:
    codes = np.empty(len(words), np.int32)
    mask = (np.int64(1) << width) - 1
    for i in range(len(words)):
        codes[i] = ((words[i] >> bit) & mask) - 1
    return codes
