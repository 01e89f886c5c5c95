"""Rows of event tables in the smallest types, and rows that came later."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np

from features.assemble import OF_EVENTS
from features.contracts import Table
from features.dimension import columns_read
from features.history import Array, Events, Longs

READ = columns_read(OF_EVENTS)
"""By name of the table, the columns of ``Events`` that features read."""

_FLOATS = (np.float16, np.float32)
_INTEGERS = (np.int8, np.int16)


class FreshEvent(NamedTuple):
    """A row of an event table that came later.

    Attributes:
        ts, known_at: microseconds since 1970-01-01.
        values: by column of the contract; None: null.
    """

    table: Table
    ts: int
    known_at: int
    values: Mapping[str, Any]


@dataclass(frozen=True)
class KeptEvents:
    """Rows of one event table in the order of ``Events``, in the smallest types.

    Attributes:
        offsets: rows of customer ``c`` are ``offsets[c]:offsets[c + 1]``.
        ts: microseconds, ``[row]``.
        late: rows that were known later than they happened, ascending.
        known_at: of these, microseconds.
        columns: those that features read, by name.
        words: of each column of texts.
    """

    offsets: Longs
    ts: Longs
    late: Longs
    known_at: Longs
    columns: Mapping[str, Array]
    words: Mapping[str, tuple[str, ...]]

    def of(self, customers: Sequence[int | None]) -> tuple[Array, Array, Array, Array]:
        """Place in ``customers``, ``ts``, ``known_at`` and place of each of their rows."""
        bounds = [
            (0, 0) if c is None else self.offsets[c : c + 2].tolist() for c in customers
        ]
        owner = np.repeat(
            np.arange(len(bounds), dtype=np.int32), [high - low for low, high in bounds]
        )
        rows = np.concatenate([np.arange(low, high) for low, high in bounds])
        ts = self.ts[rows]
        known = ts
        if len(self.late):
            place = np.minimum(np.searchsorted(self.late, rows), len(self.late) - 1)
            known = np.where(self.late[place] == rows, self.known_at[place], ts)
        return owner, ts, known, rows

    @classmethod
    def keep(cls, events: Events, wanted: set[str]) -> KeptEvents:
        """The rows with the wanted columns."""
        late = np.flatnonzero(events.known_at != events.ts)
        return cls(
            offsets=events.offsets,
            ts=events.ts,
            late=late,
            known_at=events.known_at[late],
            columns={
                name: narrow(column)
                for name, column in events.columns.items()
                if name in wanted
            },
            words={name: w for name, w in events.words.items() if name in wanted},
        )


def narrow(values: Array) -> Array:
    """The same values in the smallest type that holds each of them exactly."""
    if np.issubdtype(values.dtype, np.floating):
        for dtype in _FLOATS:
            with np.errstate(over="ignore"):
                small = values.astype(dtype)
            if np.array_equal(small.astype(np.float64), values, equal_nan=True):
                return small
        return values
    low, high = int(values.min(initial=0)), int(values.max(initial=0))
    for dtype in _INTEGERS:
        if np.iinfo(dtype).min <= low and high <= np.iinfo(dtype).max:
            return values.astype(dtype)
    return values.astype(np.int32)
