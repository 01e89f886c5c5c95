"""Rows of customers that lie together, and how parts of customers are put in one."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import pyarrow as pa

from features.history import Array, Longs
from features.mapped import Growing, Mapped, packed

_OFFSETS = "offsets"


@dataclass(frozen=True)
class CustomerRows:
    """Rows of customers, those of one customer in a row.

    Attributes:
        offsets: rows of customer ``c`` are ``offsets[c]:offsets[c + 1]``, shape
            ``[customer + 1]``.
        arrays: by name, ``[row, ...]``.
        table: further columns of the rows, none of them coded; None: there are none.
    """

    offsets: Longs
    arrays: Mapping[str, Array]
    table: pa.Table | None = None

    @classmethod
    def one_each(
        cls, n: int, arrays: Mapping[str, Array], table: pa.Table | None = None
    ) -> CustomerRows:
        """One row of every customer, of whom there are ``n``."""
        return cls(np.arange(n + 1, dtype=np.int64), arrays, table)

    def between(self, first: int, end: int) -> CustomerRows:
        """The rows of the customers ``first`` to ``end``, without a copy."""
        low, high = self.offsets[first], self.offsets[end]
        return CustomerRows(
            self.offsets[first : end + 1] - low,
            {name: array[low:high] for name, array in self.arrays.items()},
            None if self.table is None else self.table.slice(low, high - low),
        )


def together(parts: Sequence[CustomerRows], order: Longs) -> CustomerRows:
    """The rows of several parts in one.

    Args:
        parts: of the same columns, no customer in two; at least one.
        order: of every customer of the outcome, the place among those of all parts
            one after the other, ``[customer]``.

    Returns:
        Arrays are of the widest type of any part. Rows of a customer stay as they are.
    """
    sizes = np.concatenate([np.diff(part.offsets) for part in parts])
    starts = (np.cumsum(sizes) - sizes)[order]
    offsets = np.append(0, np.cumsum(sizes[order])).astype(np.int64)
    rows = np.repeat(starts - offsets[:-1], sizes[order]) + np.arange(offsets[-1])
    table = None
    if parts[0].table is not None:
        every = [part.table for part in parts if part.table is not None]
        table = pa.concat_tables(every).take(pa.array(rows))
    return CustomerRows(
        offsets,
        {
            name: np.concatenate([part.arrays[name] for part in parts])[rows]
            for name in parts[0].arrays
        },
        table,
    )


def stored(
    files: Mapped, name: str, rows: Mapping[str, CustomerRows]
) -> dict[str, CustomerRows]:
    """Rows of several kinds, mapped from one file.

    Args:
        files: of the folder to write to.
        name: of the file.
        rows: by name of their kind.
    """
    arrays = {
        f"{kind}.{key}": array
        for kind, one in rows.items()
        for key, array in {**one.arrays, _OFFSETS: one.offsets}.items()
    }
    tables = {kind: one.table for kind, one in rows.items() if one.table is not None}
    found, found_tables = packed(files, name, arrays, tables)
    return {
        kind: CustomerRows(
            found[f"{kind}.{_OFFSETS}"],
            {key: found[f"{kind}.{key}"] for key in one.arrays},
            found_tables.get(kind),
        )
        for kind, one in rows.items()
    }


class GrowingRows:
    """Rows of customers on disk, to which those of further customers are added.

    Args:
        files: of the folder to write to.
        name: see ``Growing``.
    """

    def __init__(self, files: Mapped, name: str) -> None:
        self._growing = Growing(files, name)
        self.customers = self.rows = 0

    def add(self, more: CustomerRows) -> None:
        """Append the rows of the customers who follow."""
        # The first bound is the end of those before.
        offsets = more.offsets[1 if self.customers else 0 :] + self.rows
        self._growing.add({**more.arrays, _OFFSETS: offsets}, more.table)
        self.customers += len(more.offsets) - 1
        self.rows += int(more.offsets[-1])

    def read(self) -> CustomerRows:
        """All so far, mapped."""
        arrays, table = self._growing.read()
        return CustomerRows(arrays.pop(_OFFSETS), arrays, table)
