"""Are the features that were trained on those that a day's own history gives?

A row of a training cutoff was folded over a history that goes on after it. Computed
once more from what was known on that day, as in serving, it must be the same; if not,
later rows reach it.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

KEYS = ("customer", "customer_id", "cutoff")


def skewed(trained: pa.Table, served: pa.Table) -> tuple[str, ...]:
    """Columns that differ in a row, in order; a column that one lacks differs.

    Args:
        trained: rows of one cutoff from the feature table.
        served: the same cutoff, from the history as it was on that day.
    """
    ids = [_texts(table, "customer_id") for table in (trained, served)]
    if ids[0] != ids[1]:
        return ("customer_id",)
    names = [name for name in trained.column_names if name not in KEYS]
    return tuple(
        name
        for name in names
        if name not in served.column_names
        or not _equal(trained.column(name), served.column(name))
    ) + tuple(
        name
        for name in served.column_names
        if name not in KEYS and name not in trained.column_names
    )


def _texts(table: pa.Table, name: str) -> Sequence[str | None]:
    return table.column(name).cast(pa.string()).to_pylist()


def _equal(one: pa.ChunkedArray, other: pa.ChunkedArray) -> bool:
    if pa.types.is_dictionary(one.type) or pa.types.is_dictionary(other.type):
        return bool(one.cast(pa.string()).equals(other.cast(pa.string())))
    numbers = [
        np.asarray(pc.fill_null(column.cast(pa.float64()), np.nan))
        for column in (one, other)
    ]
    return bool(np.array_equal(numbers[0], numbers[1], equal_nan=True))
