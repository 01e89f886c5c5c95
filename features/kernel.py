"""The kernel: one customer's ordered events -> every feature at every cutoff.

It walks each customer once. A row is let in at the first cutoff that lies
after both its time and the moment it was known; that test stands in one
place, ``_let_in``. A row that came to be known after a cutoff it belongs before
has to go in between others, so then the customer is walked anew.

A *stream* is the rows of one ``(where, per)`` pair, a *frame* a window of it.
A feature is computed from the rows of its frame in order of time, so sums do
not depend on an engine, on other cutoffs, or on how customers are cut into
slices. Where a frame holds what it held at the cutoff before, a feature that
does not look at the age of rows is taken over.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, NamedTuple, TypeVar, cast

import numba
import numpy as np

from features.feature import Statistic
from features.history import Array, Floats, Longs
from features.plan import Steps
from features.snapshot import DAY_US

F = TypeVar("F", bound=Callable[..., object])

_LN_2 = float(np.log(2.0))
_NEVER = np.iinfo(np.int64).max


def _compiled(function: F) -> F:
    # Compiled once per installation; without fastmath, so sums keep their order.
    # All kernels stand in this file: the cache does not see changes of others.
    # Nothing is allocated inside, so no references are counted (``_nrt``), which
    # makes a value two and a half times cheaper.
    options: dict[str, Any] = {"cache": True, "nogil": True, "_nrt": False}
    return cast(F, numba.njit(**options)(function))


def _part(function: F) -> F:
    # Inlined, so that the tuples of arrays cost nothing to hand down.
    return cast(F, numba.njit(cache=True, nogil=True, inline="always")(function))


class Input(NamedTuple):
    """Columns of shape ``[row]``, or ``[column, row]`` for those by position.

    ``offsets`` has shape ``[customer + 1]``.
    """

    ts: Longs
    known_at: Longs
    wheres: Array  # bool
    codes: Array  # int32
    values: Floats
    offsets: Longs


class Work(NamedTuple):
    """What a cutoff may know of one customer; refilled for the next one.

    ``rows`` and ``times`` are ``[stream, row]``, filled up to ``length``.
    ``seen`` is ``[stream, code]``: the walk in which ``per`` last met a code.
    ``ends`` is ``[stream, cutoff]``: how long the stream was, and ``starts``,
    ``[cutoff]``, where a frame of it begins. ``marks`` is ``[2, code]``: the call that last met a code
    and how often, so that nothing has to be cleared between calls; ``sums``,
    ``[code]``, goes with it. ``met`` is ``[row]``, scratch. ``counts`` is how
    many calls and walks there were. ``decays`` and ``upto``, ``[feature]``, are
    decayed sums as of the last row they hold, and how many rows that are.
    """

    rows: Longs
    times: Longs
    length: Longs
    seen: Longs
    ends: Longs
    starts: Longs
    marks: Longs
    sums: Floats
    met: Longs
    counts: Longs
    decays: Floats
    upto: Longs


@_part
def _of_rows(
    op: int,
    f: int,
    w: Work,
    i: int,
    a: int,
    b: int,
    values: Floats,
    v: int,
    at: int,
    p: float,
) -> float:
    """Counts and ages of the events ``a`` to ``b`` of stream ``i``."""
    times = w.times
    if op == Statistic.COUNT:
        return float(b - a)
    if op == Statistic.DECAY:
        # Carried on from event to event, so each is weighed once, and the sum
        # does not depend on which cutoffs are asked for.
        rate, total = -_LN_2 / (p * DAY_US), w.decays[f]
        for j in range(w.upto[f], b):
            weight = values[v, w.rows[i, j]] if v >= 0 else 1.0
            if j > 0:
                total *= np.exp(rate * (times[i, j] - times[i, j - 1]))
            if not np.isnan(weight):
                total += weight
        w.decays[f], w.upto[f] = total, b
        return total * np.exp(rate * (at - times[i, b - 1]))
    if op == Statistic.PERIODS:
        length, different, last = np.int64(p * DAY_US), 0, np.int64(-1)
        for j in range(a, b):
            # The last microsecond before the cutoff is in period 0.
            period = (at - 1 - times[i, j]) // length
            different += period != last
            last = period
        return float(different)
    return (at - times[i, b - 1 if op == Statistic.AGE_LAST else a]) / DAY_US


@_part
def _of_numbers(
    op: int, w: Work, i: int, a: int, b: int, values: Floats, v: int
) -> float:
    """Statistics of number column ``v`` over the rows, nulls (NaN) left out."""
    rows = w.rows
    if op == Statistic.TRAILING:
        j = b
        while j > a and values[v, rows[i, j - 1]] == 0.0:
            j -= 1
        return float(b - j)
    n, total, top, last = 0, 0.0, -np.inf, np.nan
    for j in range(a, b):
        value = values[v, rows[i, j]]
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
    for j in range(a, b):
        value = values[v, rows[i, j]]
        if not np.isnan(value):
            squares += (value - mean) ** 2
    return float(np.sqrt(squares / (n - 1))) if n > 1 else np.nan


@_part
def _of_codes(op: int, w: Work, i: int, a: int, b: int, codes: Array, c: int) -> float:
    """Distinct codes, or the share of the most frequent; -1 is left out."""
    n, different, top = 0, 0, 0
    marks, rows = w.marks, w.rows
    w.counts[0] += 1
    call = w.counts[0]
    for j in range(a, b):
        code = codes[c, rows[i, j]]
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


@_part
def _of_groups(
    op: int,
    w: Work,
    i: int,
    a: int,
    b: int,
    codes: Array,
    c: int,
    values: Floats,
    v: int,
) -> float:
    """Statistics of the sums of a number by code, in order of appearance."""
    n = 0
    marks, rows, sums, met = w.marks, w.rows, w.sums, w.met
    w.counts[0] += 1
    call = w.counts[0]
    for j in range(a, b):
        code, value = codes[c, rows[i, j]], values[v, rows[i, j]]
        if code < 0 or np.isnan(value):
            continue
        if marks[0, code] != call:
            marks[0, code] = call
            sums[code] = 0.0
            met[n] = code
            n += 1
        sums[code] += value
    if n == 0:
        return np.nan
    total, top = 0.0, -np.inf
    for j in range(n):
        total += sums[met[j]]
        top = max(top, sums[met[j]])
    if op == Statistic.GROUP_GREATEST:
        return float(top)
    mean = float(total / n)
    if op == Statistic.GROUP_MEAN:
        return mean
    squares = 0.0
    for j in range(n):
        squares += (sums[met[j]] - mean) ** 2
    return float(np.sqrt(squares / (n - 1))) if n > 1 else np.nan


@_part
def _of_gaps(op: int, w: Work, i: int, a: int, b: int) -> float:
    """Statistics of the days between consecutive events."""
    times, gaps = w.times, w.met
    n = b - a - 1
    if n < 1:
        return np.nan
    if op == Statistic.GAP_LAST:
        return (times[i, b - 1] - times[i, b - 2]) / DAY_US
    mean = (times[i, b - 1] - times[i, a]) / DAY_US / n
    if op == Statistic.GAP_MEAN:
        return mean
    if op == Statistic.GAP_SPREAD:
        squares = 0.0
        for j in range(a + 1, b):
            squares += ((times[i, j] - times[i, j - 1]) / DAY_US - mean) ** 2
        return float(np.sqrt(squares / (n - 1))) if n > 1 else np.nan
    top = np.int64(0)
    for j in range(n):
        gaps[j] = times[i, a + j + 1] - times[i, a + j]
        top = max(top, gaps[j])
    if op == Statistic.GAP_GREATEST:
        return top / DAY_US
    _sort(gaps, n)
    return (gaps[n // 2] + gaps[(n - 1) // 2]) / 2 / DAY_US


@_compiled
def _sort(values: Longs, n: int) -> None:
    """The first ``n`` in place, by Shell's method with Knuth's steps."""
    step = 1
    while step < n // 3:
        step = 3 * step + 1
    while step > 0:
        for j in range(step, n):
            value, k = values[j], j - step
            while k >= 0 and values[k] > value:
                values[k + step] = values[k]
                k -= step
            values[k + step] = value
        step //= 3


@_part
def _let_in(
    table: Input, streams: Longs, w: Work, row: int, end: int, at: int, walk: int
) -> int:
    """Append the rows from ``row`` on that were known before ``at``.

    The only place that decides what a cutoff may know.

    Returns:
        The first row at or after the cutoff, or ``end``.
    """
    while row < end and table.ts[row] < at:
        if table.known_at[row] < at:
            for i in range(len(streams)):
                where, per = streams[i, 0], streams[i, 1]
                if where >= 0 and not table.wheres[where, row]:
                    continue
                code = table.codes[per, row] if per >= 0 else -1
                if code >= 0:
                    if w.seen[i, code] == walk:
                        continue
                    w.seen[i, code] = walk
                w.rows[i, w.length[i]] = row
                w.times[i, w.length[i]] = table.ts[row]
                w.length[i] += 1
        row += 1
    return row


@_part
def _came_late(table: Input, row: int, end: int, since: int, at: int) -> bool:
    """Whether a row from before ``since`` came to be known between it and ``at``.

    With ``_NEVER`` for both: whether any row came to be known late.
    """
    while row < end and table.ts[row] < since:
        known = table.known_at[row]
        if known > table.ts[row] and (since == _NEVER or since <= known < at):
            return True
        row += 1
    return False


@_part
def _one(
    table: Input, steps: Steps, f: int, w: Work, i: int, a: int, b: int, at: int
) -> float:
    """One feature of the rows of its frame, which are not empty."""
    op, column, weight = steps.plan[f, 0], steps.plan[f, 1], steps.plan[f, 2]
    if op >= Statistic.GAP_MEAN:
        return _of_gaps(op, w, i, a, b)
    if op >= Statistic.GROUP_MEAN:
        return _of_groups(op, w, i, a, b, table.codes, column, table.values, weight)
    if op >= Statistic.DISTINCT:
        return _of_codes(op, w, i, a, b, table.codes, column)
    if op >= Statistic.TOTAL:
        return _of_numbers(op, w, i, a, b, table.values, column)
    return _of_rows(op, f, w, i, a, b, table.values, column, at, steps.parameters[f])


@_part
def _fill(
    table: Input,
    steps: Steps,
    w: Work,
    cutoffs: Longs,
    places: Longs,
    c: int,
    first_k: int,
    end_k: int,
    out: Floats,
) -> None:
    """All features of customer ``c`` at the cutoffs of a walk.

    Feature by feature: the next cutoff most often asks for the same again.
    """
    frames, plan = steps.frames, steps.plan
    for v in range(len(frames)):
        i, window, a = frames[v, 0], frames[v, 1], 0
        for k in range(first_k, end_k):
            if window:
                low = cutoffs[k] - window
                while a < w.ends[i, k] and w.times[i, a] < low:
                    a += 1
            w.starts[k] = a
        for f in range(frames[v, 2], frames[v, 3]):
            op, target, before = plan[f, 0], plan[f, 3], -1
            is_of_age = op < Statistic.TOTAL and op != Statistic.COUNT
            for k in range(first_k, end_k):
                if places[c, k] < 0:
                    continue
                a, b = int(w.starts[k]), int(w.ends[i, k])
                if a == b:
                    value = steps.empty[f]
                elif op == Statistic.COUNT:
                    value = float(b - a)
                elif (
                    before < 0
                    or is_of_age
                    or a != w.starts[before]
                    or b != w.ends[i, before]
                ):
                    value = _one(table, steps, f, w, i, a, b, cutoffs[k])
                else:
                    value = out[target, places[c, before]]
                out[target, places[c, k]] = value
                before = k


@_compiled
def walk(
    table: Input, steps: Steps, w: Work, cutoffs: Longs, places: Longs, out: Floats
) -> None:
    """Every customer once; ``out`` is ``[feature, place]``."""
    for c in range(len(table.offsets) - 1):
        start, end = table.offsets[c], table.offsets[c + 1]
        is_late = _came_late(table, start, end, _NEVER, _NEVER)
        first_k = 0
        while first_k < len(cutoffs):
            if places[c, first_k] < 0:
                first_k += 1
                continue
            w.counts[1] += 1
            for i in range(len(w.length)):
                w.length[i] = 0
            for f in range(len(w.upto)):
                w.decays[f], w.upto[f] = 0.0, 0
            row, k = start, first_k
            while k < len(cutoffs):
                if is_late and k > first_k:
                    since = cutoffs[k - 1]
                    if _came_late(table, start, end, since, cutoffs[k]):
                        break
                row = _let_in(
                    table, steps.streams, w, row, end, cutoffs[k], w.counts[1]
                )
                for i in range(len(w.length)):
                    w.ends[i, k] = w.length[i]
                k += 1
            _fill(table, steps, w, cutoffs, places, c, first_k, k, out)
            first_k = k
