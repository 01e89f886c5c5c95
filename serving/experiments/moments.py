"""Counts, means and covariances of an arm: all that the statistics read."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import reduce
from itertools import combinations
from operator import add
from typing import Any

import ibis.expr.types as ir
import numpy as np
from tea_tasting.aggr import Aggregates, read_aggregates

from features.history import Floats

_GROUP = "_group"


@dataclass(frozen=True, eq=False)
class Moments:
    """First and second moments of some columns over a group of customers.

    Attributes:
        columns: names, in the order of the arrays.
        count: customers.
        mean: shape ``[column]``.
        cov: sample covariances (divisor ``count - 1``), ``[column, column]``;
            nan with fewer than two customers.
    """

    columns: tuple[str, ...]
    count: int
    mean: Floats
    cov: Floats

    def places(self, columns: Sequence[str]) -> list[int]:
        """Where the columns stand."""
        return [self.columns.index(column) for column in columns]

    def __add__(self, other: Moments) -> Moments:
        """Moments of both groups together; they must share no customer."""
        if self.columns != other.columns:
            raise ValueError("moments: expected the same columns in the same order")
        n = self.count + other.count
        apart = other.mean - self.mean
        within = _scatter(self) + _scatter(other)
        between = np.outer(apart, apart) * (self.count * other.count / n)
        return Moments(
            self.columns,
            n,
            self.mean + apart * (other.count / n),
            (within + between) / (n - 1) if n > 1 else np.full_like(self.cov, np.nan),
        )


def pooled(parts: Iterable[Moments]) -> Moments:
    """Moments of several groups together."""
    return reduce(Moments.__add__, parts)


def moments_of(values: Mapping[str, Floats]) -> Moments:
    """Moments of columns in memory, each of shape ``[customer]``."""
    rows = np.column_stack(list(values.values())).astype(np.float64)
    n, k = rows.shape
    cov = np.cov(rows, rowvar=False, ddof=1).reshape(k, k) if n > 1 else None
    if cov is None:
        cov = np.full((k, k), np.nan)
    return Moments(tuple(values), n, rows.mean(axis=0), cov)


def read_moments(
    rows: ir.Table, columns: Sequence[str], by: Sequence[str]
) -> dict[tuple[str, ...], Moments]:
    """Moments of every group, aggregated in the engine in one pass.

    Args:
        rows: one row per customer; no nulls in ``columns``.
        columns: numbers or flags.
        by: text columns whose values make a group.

    Returns:
        By the group's values; groups without a customer are missing.
    """
    names = tuple(dict.fromkeys(columns))
    # The moments come of one column by group; its values are told apart by length.
    columns_by: list[Any] = [rows[b] for b in by]
    parts = [c.length().cast("string") + ":" + c for c in columns_by]
    keyed = rows.mutate(**{_GROUP: reduce(add, parts)})
    read = read_aggregates(
        keyed,
        _GROUP,
        has_count=True,
        mean_cols=names,
        var_cols=names,
        cov_cols=tuple(combinations(names, 2)),
    )
    return {_values(str(key)): _moments(names, found) for key, found in read.items()}


def _values(key: str) -> tuple[str, ...]:
    values: list[str] = []
    while key:
        length, rest = key.split(":", 1)
        values.append(rest[: int(length)])
        key = rest[int(length) :]
    return tuple(values)


def _moments(names: tuple[str, ...], found: Aggregates) -> Moments:
    cov = np.array(
        [[found.var(a) if a == b else found.cov(a, b) for b in names] for a in names],
        dtype=np.float64,
    )
    mean = np.array([found.mean(name) for name in names], dtype=np.float64)
    return Moments(names, found.count(), mean, cov)


def _scatter(moments: Moments) -> Floats:
    if moments.count < 2:
        return np.zeros_like(moments.cov)
    return moments.cov * (moments.count - 1)
