"""A row of an event table as 64-bit words, from the engine to the kernel's arrays."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass

import numpy as np
import pyarrow as pa

from features.contracts import Column
from features.history import Array, Events, Longs
from features.lookup import Lookup
from features.spool import (
    WORD_BITS,
    Spool,
    codes_of_words,
    codes_within,
    floats_of_words,
    in_order,
    put_codes,
    put_floats,
)

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
        """A batch of ``Reader`` as rows of words; see ``Spool.add``."""
        words = np.zeros((batch.num_rows, self.n_words), np.int64)
        words[:, 0] = batch.column(0).to_numpy().view(np.int64)
        for j in (1, 2):
            times = batch.column(j).cast(pa.timestamp("us")).cast(pa.int64())
            words[:, j] = times.to_numpy()
        for j, column in enumerate(self.plain, start=3):
            values = batch.column(column.name).to_numpy()
            if column.dtype in ("number", "flag"):
                put_floats(values, words, j)
            else:
                words[:, j] = values.view(np.int64)
        for name, (word, bit, _) in self.packed.items():
            keys = batch.column(name).to_numpy().view(np.int64)
            put_codes(lookups[name].find(keys), words, word, bit)
        return words

    def unpack(self, rows: Longs, offsets: Longs) -> dict[str, Array]:
        """The columns by their names in ``Events``, of rows in order."""
        columns: dict[str, Array] = {}
        for j, column in enumerate(self.plain, start=3):
            word = np.ascontiguousarray(rows[:, j])
            if column.dtype in ("number", "flag"):
                columns[column.name] = floats_of_words(word)
            else:
                columns[called(column)] = codes_within(word, offsets)
        for name, (word, bit, width) in self.packed.items():
            columns[_CALLED.get(name, name)] = codes_of_words(rows, word, bit, width)
        return columns


@dataclass(frozen=True)
class Coded:
    """One event table on its way, and the words of its codes."""

    spool: Spool
    layout: Layout
    words: Mapping[str, tuple[str, ...]]

    def events(self, keys: Lookup, part: int, n_customers: int) -> Events:
        """The rows of the customers of a part, ordered."""
        rows = self.spool.part(part)
        customer = keys.find(rows[:, 0].copy())
        rows, offsets = in_order(rows, customer, n_customers)
        return Events(
            customer=np.repeat(
                np.arange(n_customers, dtype=np.int32), np.diff(offsets)
            ),
            ts=np.ascontiguousarray(rows[:, 1]),
            known_at=np.ascontiguousarray(rows[:, 2]),
            columns=self.layout.unpack(rows, offsets),
            words=self.words,
            offsets=offsets,
        )
