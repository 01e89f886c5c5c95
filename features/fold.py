"""The kernel: one customer's ordered events -> every feature at every cutoff.

It walks each customer once. A row is let in at the first cutoff that lies
after both its time and the moment it was known; that test stands in one
place, ``_let_in``. Rows that were known late may have to go in between others,
so a customer who has one is walked anew for every cutoff.

A *stream* is the rows of one ``(where, per)`` pair. Features are computed from
a window of a stream, in order of time, so sums do not depend on an engine.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TypeVar, cast

import numba
import numpy as np

from features.declare import Aggregate, Statistic
from features.history import Array, Events, Floats, Longs
from features.snapshot import DAY_US

F = TypeVar("F", bound=Callable[..., object])


def _compiled(function: F) -> F:
    # Compiled once per installation; without fastmath, so sums keep their order.
    return cast(F, numba.njit(cache=True)(function))


# Operation codes as plain integers, which compile and cache faster than enums.
COUNT, DECAY, PERIODS = (
    int(s) for s in (Statistic.COUNT, Statistic.DECAY, Statistic.PERIODS)
)
AGE_LAST, AGE_FIRST = int(Statistic.AGE_LAST), int(Statistic.AGE_FIRST)
TOTAL, MEAN, SPREAD = (
    int(s) for s in (Statistic.TOTAL, Statistic.MEAN, Statistic.SPREAD)
)
GREATEST, LAST = int(Statistic.GREATEST), int(Statistic.LAST)
DISTINCT, TOP_SHARE = int(Statistic.DISTINCT), int(Statistic.TOP_SHARE)
GAP_MEAN, GAP_SPREAD = int(Statistic.GAP_MEAN), int(Statistic.GAP_SPREAD)
GAP_MEDIAN, GAP_GREATEST = int(Statistic.GAP_MEDIAN), int(Statistic.GAP_GREATEST)
GAP_LAST = int(Statistic.GAP_LAST)
# Families of operations start at these codes.
_NUMBERS, _CODES, _GAPS = TOTAL, DISTINCT, GAP_MEAN


@_compiled
def _first_at_or_after(times: Longs, n: int, moment: int) -> int:
    """Position of the first of ``times[:n]`` (ascending) not before ``moment``."""
    low, high = 0, n
    while low < high:
        middle = (low + high) // 2
        if times[middle] < moment:
            low = middle + 1
        else:
            high = middle
    return low


@_compiled
def _of_rows(
    op: int,
    times: Longs,
    rows: Longs,
    weights: Floats,
    a: int,
    b: int,
    at: int,
    p: float,
) -> float:
    """Counts and ages of the events ``a`` to ``b`` of a stream."""
    if op == COUNT:
        return float(b - a)
    if op == DECAY:
        total = 0.0
        for i in range(a, b):
            weight = weights[rows[i]] if len(weights) else 1.0
            if not np.isnan(weight):
                total += weight * 0.5 ** ((at - times[i]) / DAY_US / p)
        return total
    if op == PERIODS:
        length, n, last = np.int64(p * DAY_US), 0, np.int64(-1)
        for i in range(a, b):
            # The last moment before the cutoff is in period 0.
            period = (at - 1 - times[i]) // length
            if period != last:
                n += 1
            last = period
        return float(n)
    if a == b:
        return np.nan
    return (at - times[b - 1 if op == AGE_LAST else a]) / DAY_US


@_compiled
def _of_numbers(op: int, values: Floats, rows: Longs, a: int, b: int) -> float:
    """Statistics of a number column, nulls (NaN) left out."""
    n, total, top, last = 0, 0.0, -np.inf, np.nan
    for i in range(a, b):
        value = values[rows[i]]
        if not np.isnan(value):
            n += 1
            total += value
            top = max(top, value)
            last = value
    if op == TOTAL:
        return total
    if op == LAST or n == 0:
        return last
    if op == GREATEST:
        return top
    mean = total / n
    if op == MEAN:
        return mean
    squares = 0.0
    for i in range(a, b):
        value = values[rows[i]]
        if not np.isnan(value):
            squares += (value - mean) ** 2
    return np.sqrt(squares / (n - 1)) if n > 1 else np.nan


@_compiled
def _of_codes(
    op: int, codes: Array, rows: Longs, a: int, b: int, stamp: int, marks: Longs
) -> float:
    """Distinct codes, or the share of the most frequent; -1 is left out.

    ``marks``, shape ``[2, code]``, holds the stamp of the last call that met a
    code and how often: no clearing between calls.
    """
    n, different, top = 0, 0, 0
    for i in range(a, b):
        code = codes[rows[i]]
        if code >= 0:
            n += 1
            if marks[0, code] != stamp:
                marks[0, code] = stamp
                marks[1, code] = 0
                different += 1
            marks[1, code] += 1
            top = max(top, marks[1, code])
    if op == DISTINCT:
        return float(different)
    return top / n if n else np.nan


@_compiled
def _of_gaps(op: int, times: Longs, a: int, b: int) -> float:
    """Statistics of the days between consecutive events."""
    n = b - a - 1
    if n < 1:
        return np.nan
    if op == GAP_LAST:
        return (times[b - 1] - times[b - 2]) / DAY_US
    mean = (times[b - 1] - times[a]) / DAY_US / n
    if op == GAP_MEAN:
        return mean
    if op == GAP_SPREAD:
        squares = 0.0
        for i in range(a + 1, b):
            squares += ((times[i] - times[i - 1]) / DAY_US - mean) ** 2
        return np.sqrt(squares / (n - 1)) if n > 1 else np.nan
    gaps = np.sort(times[a + 1 : b] - times[a : b - 1])
    if op == GAP_GREATEST:
        return gaps[n - 1] / DAY_US
    return (gaps[n // 2] + gaps[(n - 1) // 2]) / 2 / DAY_US


@_compiled
def _let_in(
    row: int,
    end: int,
    at: int,
    ts: Longs,
    known_at: Longs,
    streams: Longs,
    wheres: Array,
    codes: Array,
    seen: Array,
    stamp: int,
    rows: Array,
    times: Array,
    n: Longs,
) -> int:
    """Append to every stream the rows before the cutoff ``at``.

    The only place that decides what a cutoff may know.

    Args:
        row, end: where to go on, and the end of the customer's rows.
        streams: for each stream: where, per (-1: none), offset into ``seen``.
        seen: the stamp under which a stream last met a code of its ``per``.
        rows, times, n: the streams, shapes ``[stream, row]``, and lengths.

    Returns:
        The first row at or after the cutoff.
    """
    while row < end and ts[row] < at:
        if known_at[row] < at:
            for s in range(len(streams)):
                where, per, offset = streams[s]
                if where >= 0 and not wheres[where, row]:
                    continue
                if per >= 0:
                    code = codes[per, row]
                    if code >= 0:
                        if seen[offset + code] == stamp:
                            continue
                        seen[offset + code] = stamp
                rows[s, n[s]] = row
                times[s, n[s]] = ts[row]
                n[s] += 1
        row += 1
    return row


@_compiled
def _walk(
    offsets: Longs,
    ts: Longs,
    known_at: Longs,
    cutoffs: Longs,
    wheres: Array,
    codes: Array,
    values: Array,
    streams: Longs,
    seen: Array,
    n_codes: int,
    plan: Longs,
    parameters: Floats,
) -> Array:
    """All features; ``plan`` holds operation, stream, column and window (µs)."""
    n_customers, n_streams = len(offsets) - 1, len(streams)
    out = np.empty((n_customers, len(cutoffs), len(plan)))
    longest = np.max(offsets[1:] - offsets[:-1]) if n_customers else 0
    rows = np.empty((n_streams, longest), np.int64)
    times = np.empty((n_streams, longest), np.int64)
    n = np.zeros(n_streams, np.int64)
    marks = np.zeros((2, n_codes), np.int64)
    walks, calls = 0, 0
    none = np.empty(0)
    for c in range(n_customers):
        start, end = offsets[c], offsets[c + 1]
        late = np.any(known_at[start:end] > ts[start:end])
        row = start
        for k in range(len(cutoffs)):
            at = cutoffs[k]
            if k == 0 or late:
                row = start
                walks += 1
                n[:] = 0
            row = _let_in(
                row,
                end,
                at,
                ts,
                known_at,
                streams,
                wheres,
                codes,
                seen,
                walks,
                rows,
                times,
                n,
            )
            for f in range(len(plan)):
                op, s, column, window = plan[f]
                b = n[s]
                a = _first_at_or_after(times[s], b, at - window) if window else 0
                if op >= _GAPS:
                    out[c, k, f] = _of_gaps(op, times[s], a, b)
                elif op >= _CODES:
                    calls += 1
                    out[c, k, f] = _of_codes(
                        op, codes[column], rows[s], a, b, calls, marks
                    )
                elif op >= _NUMBERS:
                    out[c, k, f] = _of_numbers(op, values[column], rows[s], a, b)
                else:
                    weights = values[column] if column >= 0 else none
                    out[c, k, f] = _of_rows(
                        op, times[s], rows[s], weights, a, b, at, parameters[f]
                    )
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


def _names(names: Sequence[str]) -> list[str]:
    """Distinct names, empty ones left out, in order of appearance."""
    return [name for name in dict.fromkeys(names) if name]


def _position(names: Sequence[str], name: str) -> int:
    return names.index(name) if name else -1


def fold(events: Events, cutoffs_us: Longs, declared: Sequence[Aggregate]) -> Floats:
    """Every declared feature of every customer at every cutoff.

    Args:
        events: ordered by customer, then time. ``where`` columns are boolean,
            ``per`` and code columns int32, others numbers.
        cutoffs_us: ascending; only rows with ``ts < cutoff`` and ``known_at <
            cutoff`` count, windows are ``[cutoff - window, cutoff)``.
        declared: the features.

    Returns:
        Shape ``[customer, cutoff, feature]``; NaN is the feature's null.

    Raises:
        ValueError: a feature names a column that the events do not have.
    """
    by_code = [_CODES <= a.statistic < _GAPS for a in declared]
    wheres = _names([a.where for a in declared])
    codes = _names(
        [a.per for a in declared]
        + [a.column for a, is_code in zip(declared, by_code, strict=True) if is_code]
    )
    values = _names(
        [a.column for a, is_code in zip(declared, by_code, strict=True) if not is_code]
    )
    code_array = _stack(events, codes, np.int32)
    n_codes = int(code_array.max(initial=-1)) + 1
    pairs = list(dict.fromkeys((a.where, a.per) for a in declared))
    streams = np.array(
        [
            (_position(wheres, where), _position(codes, per), i * n_codes)
            for i, (where, per) in enumerate(pairs)
        ],
        dtype=np.int64,
    )
    plan = np.array(
        [
            (
                int(a.statistic),
                pairs.index((a.where, a.per)),
                _position(codes if is_code else values, a.column),
                (a.window_days or 0) * DAY_US,
            )
            for a, is_code in zip(declared, by_code, strict=True)
        ],
        dtype=np.int64,
    )
    return _walk(
        events.offsets,
        events.ts,
        events.known_at,
        cutoffs_us,
        _stack(events, wheres, np.bool_),
        code_array,
        _stack(events, values, np.float64),
        streams,
        np.zeros(len(pairs) * n_codes, np.int32),
        n_codes,
        plan,
        np.array([a.parameter for a in declared]),
    )
