"""The kernel: one customer's ordered events -> every feature at every cutoff.

It walks each customer once. A row is let in at the first cutoff that lies
after both its time and the moment it was known; that test stands in one
place, ``_let_in``. A row that came to be known after a cutoff it belongs before
has to go in between others, so then the customer is walked anew.

A *stream* is the rows of one ``(where, per)`` pair, a *frame* a window of it.
A feature is computed from the rows of its frame in order of time, so sums do
not depend on an engine, on other cutoffs, or on how customers are cut into
slices. Where a frame begins at the row that it began at before, a feature goes on
from there.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, NamedTuple, TypeVar, cast

import numba
import numpy as np

from features.feature import Statistic
from features.history import Array, Bools, Floats, Longs
from features.plan import Steps
from features.snapshot import DAY_US

F = TypeVar("F", bound=Callable[..., object])

_LN_2 = float(np.log(2.0))
_NEVER = np.iinfo(np.int64).max

_FEW = 24
"""So many new gaps are put into their places one by one."""


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
    ``ends`` is ``[stream, cutoff]``: how long the stream was.

    ``begin``, ``stop``, ``at``, ``place`` and ``fresh`` are ``[asked]``: of the frames
    of one window that are asked for and hold rows, in order of time, the rows, the
    cutoff, where the results go, and whether it holds others than the frame before.

    ``marks`` is ``[2, code]``: the call that last met a code and how often, so that
    nothing has to be cleared between calls; ``sums``, ``[code]``, goes with it.
    ``met`` is ``[row]``, scratch. ``counts`` is how many calls and walks there were.

    ``before`` is ``[chain, row]``: where the stream last had the code of a row, -1:
    never, and the largest integer for an unknown code; ``chained``, ``[chain]``, how
    many rows have it. ``last`` is ``[chain, code, 2]``: the walk and the place that
    last met a code.
    """

    rows: Longs
    times: Longs
    length: Longs
    seen: Longs
    ends: Longs
    begin: Longs
    stop: Longs
    at: Longs
    place: Longs
    fresh: Bools
    marks: Longs
    sums: Floats
    met: Longs
    counts: Longs
    before: Longs
    chained: Longs
    last: Longs


@_part
def _of_rows(
    op: int, w: Work, i: int, n: int, values: Floats, v: int, p: float, out: Floats
) -> None:
    """Counts and ages of the events of stream ``i`` in each of ``n`` frames."""
    times = w.times
    if op == Statistic.COUNT:
        for m in range(n):
            out[w.place[m]] = w.stop[m] - w.begin[m]
    elif op == Statistic.DECAY:
        # Carried on from event to event, so each is weighed once, and the sum
        # does not depend on which cutoffs are asked for.
        rate, total, upto = -_LN_2 / (p * DAY_US), 0.0, np.int64(0)
        for m in range(n):
            b = w.stop[m]
            for j in range(upto, b):
                weight = values[v, w.rows[i, j]] if v >= 0 else 1.0
                if j > 0:
                    total *= np.exp(rate * (times[i, j] - times[i, j - 1]))
                if not np.isnan(weight):
                    total += weight
            upto = b
            out[w.place[m]] = total * np.exp(rate * (w.at[m] - times[i, b - 1]))
    elif op == Statistic.PERIODS:
        length = np.int64(p * DAY_US)
        for m in range(n):
            different, last = 0, np.int64(-1)
            for j in range(w.begin[m], w.stop[m]):
                # The last microsecond before the cutoff is in period 0.
                period = (w.at[m] - 1 - times[i, j]) // length
                different += period != last
                last = period
            out[w.place[m]] = different
    else:
        for m in range(n):
            j = w.stop[m] - 1 if op == Statistic.AGE_LAST else w.begin[m]
            out[w.place[m]] = (w.at[m] - times[i, j]) / DAY_US


@_part
def _of_numbers(
    op: int, w: Work, i: int, n: int, values: Floats, v: int, out: Floats
) -> None:
    """Statistics of number column ``v`` over the rows, nulls (NaN) left out."""
    rows, value = w.rows, np.nan
    # Of how many rows the result so far is, and what it is.
    since, upto, known, held = np.int64(-1), np.int64(0), 0, 0.0
    for m in range(n):
        a, b = w.begin[m], w.stop[m]
        if w.fresh[m] and op == Statistic.TRAILING:
            j = b
            while j > a and values[v, rows[i, j - 1]] == 0.0:
                j -= 1
            value = float(b - j)
        elif w.fresh[m]:
            if a != since:
                since, upto, known = a, a, 0
                held = -np.inf if op == Statistic.GREATEST else 0.0
            for j in range(upto, b):
                number = values[v, rows[i, j]]
                if not np.isnan(number):
                    known += 1
                    if op == Statistic.GREATEST:
                        held = max(held, number)
                    elif op == Statistic.LAST:
                        held = number
                    else:
                        held += number
            upto = b
            if op == Statistic.TOTAL or (
                known and op in (Statistic.GREATEST, Statistic.LAST)
            ):
                value = held
            elif known == 0 or (op == Statistic.SPREAD and known == 1):
                value = np.nan
            else:
                value = held / known
                if op == Statistic.SPREAD:
                    value = _spread(w, i, a, b, values, v, value, known)
        out[w.place[m]] = value


@_part
def _spread(
    w: Work, i: int, a: int, b: int, values: Floats, v: int, mean: float, known: int
) -> float:
    squares = 0.0
    for j in range(a, b):
        number = values[v, w.rows[i, j]]
        if not np.isnan(number):
            squares += (number - mean) ** 2
    return np.sqrt(squares / (known - 1))


@_part
def _distinct(
    w: Work, i: int, n: int, codes: Array, c: int, chain: int, out: Floats
) -> None:
    """How many codes there are; -1 is left out."""
    rows, before, last, walk = w.rows, w.before, w.last, w.counts[1]
    for j in range(w.chained[chain], w.stop[n - 1]):
        code = codes[c, rows[i, j]]
        before[chain, j] = _NEVER
        if code >= 0:
            is_met = last[chain, code, 0] == walk
            before[chain, j] = last[chain, code, 1] if is_met else -1
            last[chain, code, 0], last[chain, code, 1] = walk, j
    w.chained[chain] = max(w.chained[chain], w.stop[n - 1])
    different = 0
    for m in range(n):
        if w.fresh[m]:
            different = 0
            # A code is counted where the frame first has it.
            for j in range(w.begin[m], w.stop[m]):
                different += before[chain, j] < w.begin[m]
        out[w.place[m]] = different


@_part
def _top_share(w: Work, i: int, n: int, codes: Array, c: int, out: Floats) -> None:
    """The share of the most frequent code; -1 is left out."""
    marks, rows, share = w.marks, w.rows, np.nan
    for m in range(n):
        if w.fresh[m]:
            known, top = 0, 0
            w.counts[0] += 1
            call = w.counts[0]
            for j in range(w.begin[m], w.stop[m]):
                code = codes[c, rows[i, j]]
                if code >= 0:
                    known += 1
                    if marks[0, code] != call:
                        marks[0, code] = call
                        marks[1, code] = 0
                    marks[1, code] += 1
                    top = max(top, marks[1, code])
            share = float(top) / known if known else np.nan
        out[w.place[m]] = share


@_part
def _of_groups(
    op: int,
    w: Work,
    i: int,
    n: int,
    codes: Array,
    c: int,
    values: Floats,
    v: int,
    out: Floats,
) -> None:
    """Statistics of the sums of a number by code, in order of appearance."""
    value = np.nan
    for m in range(n):
        if w.fresh[m]:
            value = _of_sums(op, w, i, w.begin[m], w.stop[m], codes, c, values, v)
        out[w.place[m]] = value


@_part
def _of_sums(
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
def _of_gaps(op: int, w: Work, i: int, n: int, out: Floats) -> None:
    """Statistics of the days between consecutive events."""
    times, gaps, value = w.times, w.met, np.nan
    # Of how many rows the gaps so far are.
    since, upto, top = -1, 0, np.int64(0)
    for m in range(n):
        a, b = w.begin[m], w.stop[m]
        if w.fresh[m]:
            n_gaps = b - a - 1
            if a != since:
                since, upto, top = a, a + 1, np.int64(0)
            if n_gaps < 1 or (op == Statistic.GAP_SPREAD and n_gaps == 1):
                value = np.nan
            elif op == Statistic.GAP_LAST:
                value = (times[i, b - 1] - times[i, b - 2]) / DAY_US
            elif op == Statistic.GAP_MEAN or op == Statistic.GAP_SPREAD:
                value = (times[i, b - 1] - times[i, a]) / DAY_US / n_gaps
                if op == Statistic.GAP_SPREAD:
                    squares = 0.0
                    for j in range(a + 1, b):
                        gap = (times[i, j] - times[i, j - 1]) / DAY_US
                        squares += (gap - value) ** 2
                    value = np.sqrt(squares / (n_gaps - 1))
            elif op == Statistic.GAP_GREATEST:
                for j in range(upto, b):
                    top = max(top, times[i, j] - times[i, j - 1])
                value = top / DAY_US
            else:
                _keep_in_order(gaps, w, i, a, upto, b)
                middle = gaps[n_gaps // 2] + gaps[(n_gaps - 1) // 2]
                value = middle / 2 / DAY_US
            upto = b
        out[w.place[m]] = value


@_part
def _keep_in_order(gaps: Longs, w: Work, i: int, a: int, upto: int, b: int) -> None:
    """Put the gaps before the rows ``upto`` to ``b`` among those since ``a``."""
    times = w.times
    if b - upto > _FEW:
        for j in range(upto, b):
            gaps[j - a - 1] = times[i, j] - times[i, j - 1]
        _sort(gaps, b - a - 1)
        return
    for j in range(upto, b):
        gap, k = times[i, j] - times[i, j - 1], j - a - 1
        while k > 0 and gaps[k - 1] > gap:
            gaps[k] = gaps[k - 1]
            k -= 1
        gaps[k] = gap


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
    table: Input, steps: Steps, f: int, w: Work, i: int, n: int, out: Floats
) -> None:
    """One feature of each of ``n`` frames."""
    op, column, second = steps.plan[f, 0], steps.plan[f, 1], steps.plan[f, 2]
    if op >= Statistic.GAP_MEAN:
        _of_gaps(op, w, i, n, out)
    elif op >= Statistic.GROUP_MEAN:
        _of_groups(op, w, i, n, table.codes, column, table.values, second, out)
    elif op == Statistic.TOP_SHARE:
        _top_share(w, i, n, table.codes, column, out)
    elif op == Statistic.DISTINCT:
        _distinct(w, i, n, table.codes, column, second, out)
    elif op >= Statistic.TOTAL:
        _of_numbers(op, w, i, n, table.values, column, out)
    else:
        _of_rows(op, w, i, n, table.values, column, steps.parameters[f], out)


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

    Feature by feature along the cutoffs: most of what one needs, the one before had.
    """
    frames, plan = steps.frames, steps.plan
    for v in range(len(frames)):
        i, window, first, last = frames[v, 0], frames[v, 1], frames[v, 2], frames[v, 3]
        n, a = 0, np.int64(0)
        for k in range(first_k, end_k):
            b, place = w.ends[i, k], places[c, k]
            if window:
                low = cutoffs[k] - window
                while a < b and w.times[i, a] < low:
                    a += 1
            if place >= 0 and a == b:
                for f in range(first, last):
                    out[plan[f, 3], place] = steps.empty[f]
            elif place >= 0:
                w.begin[n], w.stop[n] = a, b
                w.place[n], w.at[n] = place, cutoffs[k]
                w.fresh[n] = n == 0 or a != w.begin[n - 1] or b != w.stop[n - 1]
                n += 1
        if n:
            for f in range(first, last):
                _one(table, steps, f, w, i, n, out[plan[f, 3]])


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
            for chain in range(len(w.chained)):
                w.chained[chain] = 0
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
