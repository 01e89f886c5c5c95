"""The kernel: one customer's ordered events -> every feature at every cutoff.

It walks each customer once. A row is let in at the first cutoff that lies
after both its time and the moment it was known; that test stands in one
place, ``_let_in``. Rows that were known late may have to go in between others,
so a customer who has one is walked anew for every cutoff.

A *stream* is the rows of one ``(where, per)`` pair. A feature is computed from
a window of a stream, in order of time, so sums do not depend on an engine.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import NamedTuple, TypeVar, cast

import numba
import numpy as np

from features.declare import Aggregate, Statistic
from features.history import Array, Events, Floats, Longs
from features.snapshot import DAY_US

F = TypeVar("F", bound=Callable[..., object])


def _compiled(function: F) -> F:
    # Compiled once per installation; without fastmath, so sums keep their order.
    # All kernels stand in this file: the cache does not see changes of others.
    return cast(F, numba.njit(cache=True)(function))


class _Input(NamedTuple):
    """Columns of shape ``[row]``, or ``[column, row]`` for those by position."""

    ts: Longs
    known_at: Longs
    wheres: Array  # bool
    codes: Array  # int32
    values: Array  # float64


class _Streams(NamedTuple):
    """What a cutoff may know of one customer; refilled for the next one.

    ``kind`` is ``[stream, 2]``: positions of ``where`` and ``per``, -1: none.
    ``rows`` and ``times`` are ``[stream, row]``, filled up to ``length``.
    ``seen`` is ``[stream, code]``: the walk in which ``per`` last met a code.
    """

    kind: Longs
    rows: Longs
    times: Longs
    length: Longs
    seen: Longs


@_compiled
def _of_rows(
    op: int, s: _Streams, i: int, a: int, b: int, weights: Floats, at: int, p: float
) -> float:
    """Counts and ages of the events ``a`` to ``b`` of stream ``i``."""
    times = s.times[i]
    if op == Statistic.COUNT:
        return float(b - a)
    if op == Statistic.DECAY:
        total = 0.0
        for j in range(a, b):
            weight = weights[s.rows[i, j]] if len(weights) else 1.0
            if not np.isnan(weight):
                total += weight * 0.5 ** ((at - times[j]) / DAY_US / p)
        return total
    if op == Statistic.PERIODS:
        length, n, last = np.int64(p * DAY_US), 0, np.int64(-1)
        for j in range(a, b):
            # The last microsecond before the cutoff is in period 0.
            period = (at - 1 - times[j]) // length
            n += period != last
            last = period
        return float(n)
    if a == b:
        return np.nan
    return (at - times[b - 1 if op == Statistic.AGE_LAST else a]) / DAY_US


@_compiled
def _of_numbers(op: int, values: Floats, rows: Longs) -> float:
    """Statistics of a number column over the rows, nulls (NaN) left out."""
    n, total, top, last = 0, 0.0, -np.inf, np.nan
    for i in range(len(rows)):
        value = float(values[rows[i]])
        if not np.isnan(value):
            n += 1
            total += value
            top = max(top, value)
            last = value
    if op == Statistic.TOTAL:
        return total
    if op == Statistic.LAST or n == 0:
        return last
    if op == Statistic.GREATEST:
        return top
    mean = total / n
    if op == Statistic.MEAN:
        return mean
    squares = 0.0
    for i in range(len(rows)):
        value = float(values[rows[i]])
        if not np.isnan(value):
            squares += (value - mean) ** 2
    return np.sqrt(squares / (n - 1)) if n > 1 else np.nan


@_compiled
def _of_codes(op: int, codes: Longs, rows: Longs, call: int, marks: Longs) -> float:
    """Distinct codes, or the share of the most frequent; -1 is left out.

    ``marks``, shape ``[2, code]``, holds the call that last met a code and how
    often it did, so that nothing has to be cleared between calls.
    """
    n, different, top = 0, 0, 0
    for i in range(len(rows)):
        code = codes[rows[i]]
        if code >= 0:
            n += 1
            if marks[0, code] != call:
                marks[0, code] = call
                marks[1, code] = 0
                different += 1
            marks[1, code] += 1
            top = max(top, marks[1, code])
    if op == Statistic.DISTINCT:
        return float(different)
    return float(top) / n if n else np.nan


@_compiled
def _of_gaps(op: int, times: Longs) -> float:
    """Statistics of the days between consecutive events."""
    n = len(times) - 1
    if n < 1:
        return np.nan
    if op == Statistic.GAP_LAST:
        return (times[n] - times[n - 1]) / DAY_US
    mean = (times[n] - times[0]) / DAY_US / n
    if op == Statistic.GAP_MEAN:
        return mean
    if op == Statistic.GAP_SPREAD:
        squares = 0.0
        for i in range(n):
            squares += ((times[i + 1] - times[i]) / DAY_US - mean) ** 2
        return np.sqrt(squares / (n - 1)) if n > 1 else np.nan
    gaps = np.sort(times[1:] - times[:-1])
    if op == Statistic.GAP_GREATEST:
        return gaps[n - 1] / DAY_US
    return (gaps[n // 2] + gaps[(n - 1) // 2]) / 2 / DAY_US


@_compiled
def _let_in(table: _Input, s: _Streams, row: int, end: int, at: int, walk: int) -> int:
    """Append the rows from ``row`` on that were known before ``at``.

    The only place that decides what a cutoff may know.

    Returns:
        The first row at or after the cutoff, or ``end``.
    """
    while row < end and table.ts[row] < at:
        if table.known_at[row] < at:
            for i in range(len(s.kind)):
                where, per = s.kind[i, 0], s.kind[i, 1]
                if where >= 0 and not table.wheres[where, row]:
                    continue
                code = table.codes[per, row] if per >= 0 else -1
                if code >= 0:
                    if s.seen[i, code] == walk:
                        continue
                    s.seen[i, code] = walk
                s.rows[i, s.length[i]] = row
                s.times[i, s.length[i]] = table.ts[row]
                s.length[i] += 1
        row += 1
    return row


@_compiled
def _fill(
    table: _Input,
    s: _Streams,
    at: int,
    plan: Longs,
    parameters: Floats,
    marks: Longs,
    calls: int,
    out: Floats,
) -> None:
    """All features of one customer at one cutoff, into ``out``, ``[feature]``."""
    for f in range(len(plan)):
        op, i, column, window = plan[f, 0], plan[f, 1], plan[f, 2], plan[f, 3]
        b = int(s.length[i])
        a = int(np.searchsorted(s.times[i, :b], at - window)) if window else 0
        if op >= Statistic.GAP_MEAN:
            out[f] = _of_gaps(op, s.times[i, a:b])
        elif op >= Statistic.DISTINCT:
            out[f] = _of_codes(
                op, table.codes[column], s.rows[i, a:b], calls + f, marks
            )
        elif op >= Statistic.TOTAL:
            out[f] = _of_numbers(op, table.values[column], s.rows[i, a:b])
        else:
            weights = table.values[column] if column >= 0 else parameters[:0]
            out[f] = _of_rows(op, s, i, a, b, weights, at, parameters[f])


@_compiled
def _walk(
    table: _Input,
    offsets: Longs,
    cutoffs: Longs,
    s: _Streams,
    plan: Longs,
    parameters: Floats,
    marks: Longs,
) -> Floats:
    """Every customer once; ``plan`` is operation, stream, column, window (µs)."""
    n_customers, n_cutoffs = len(offsets) - 1, len(cutoffs)
    out = np.empty((n_customers, n_cutoffs, len(plan)))
    walk = 0
    for c in range(n_customers):
        start, end = offsets[c], offsets[c + 1]
        is_late = np.any(table.known_at[start:end] > table.ts[start:end])
        row = start
        for k in range(n_cutoffs):
            if k == 0 or is_late:
                row = start
                walk += 1
                s.length[:] = 0
            row = _let_in(table, s, row, end, cutoffs[k], walk)
            # One mark per feature, and none used twice.
            calls = 1 + (c * n_cutoffs + k) * len(plan)
            _fill(table, s, cutoffs[k], plan, parameters, marks, calls, out[c, k])
    return out


def _stack(events: Events, names: Sequence[str], dtype: type) -> Array:
    """The named columns as one array of shape ``[name, row]``."""
    stacked = np.empty((len(names), len(events)), dtype)
    for i, name in enumerate(names):
        if name not in events.columns:
            raise ValueError(
                f"fold: expected a column {name!r}, got {sorted(events.columns)}; "
                "add it where the dimension reads its events"
            )
        stacked[i] = events.columns[name]
    return stacked


def _fixed(array: Longs) -> Longs:
    """A read-only view: whoever made the array, the kernel compiles only once."""
    view = np.ascontiguousarray(array).view()
    view.flags.writeable = False
    return view


def _distinct(names: Sequence[str]) -> list[str]:
    """Names without the empty one and repeats, in order of appearance."""
    return [name for name in dict.fromkeys(names) if name]


def fold(events: Events, cutoffs_us: Longs, declared: Sequence[Aggregate]) -> Floats:
    """Every declared feature of every customer at every cutoff.

    Args:
        events: ordered by customer, then time. ``where`` columns are boolean,
            ``per`` and code columns int32, others numbers.
        cutoffs_us: ascending; only rows with ``ts < cutoff`` and ``known_at <
            cutoff`` count, windows are ``[cutoff - window, cutoff)``.
        declared: the features, at least one.

    Returns:
        Shape ``[customer, cutoff, feature]``; NaN is the feature's null.

    Raises:
        ValueError: a feature names a column that the events do not have.
    """
    of_codes = (Statistic.DISTINCT, Statistic.TOP_SHARE)
    coded = [a.column if a.statistic in of_codes else "" for a in declared]
    numeric = ["" if a.statistic in of_codes else a.column for a in declared]
    wheres = _distinct([a.where for a in declared])
    codes = _distinct([a.per for a in declared] + coded)
    values = _distinct(numeric)
    pairs = list(dict.fromkeys((a.where, a.per) for a in declared))
    table = _Input(
        _fixed(events.ts),
        _fixed(events.known_at),
        _stack(events, wheres, np.bool_),
        _stack(events, codes, np.int32),
        _stack(events, values, np.float64),
    )
    longest = int(np.diff(events.offsets).max(initial=0))
    n_codes = int(table.codes.max(initial=-1)) + 1
    streams = _Streams(
        np.array(
            [
                (wheres.index(w) if w else -1, codes.index(p) if p else -1)
                for w, p in pairs
            ],
            np.int64,
        ),
        np.empty((len(pairs), longest), np.int64),
        np.empty((len(pairs), longest), np.int64),
        np.zeros(len(pairs), np.int64),
        np.zeros((len(pairs), n_codes), np.int64),
    )
    plan = [
        (
            int(a.statistic),
            pairs.index((a.where, a.per)),
            codes.index(code) if code else values.index(value) if value else -1,
            (a.window_days or 0) * DAY_US,
        )
        for a, code, value in zip(declared, coded, numeric, strict=True)
    ]
    return _walk(
        table,
        _fixed(events.offsets),
        _fixed(cutoffs_us),
        streams,
        np.array(plan, np.int64),
        np.array([a.parameter for a in declared]),
        np.zeros((2, n_codes), np.int64),
    )
