"""Events that follow one another: carts that were bought, orders after a question.

Whether an event was followed is not known when it happens. So a row is made of
the event and of the one that it goes with, and is known from the moment when
both were: a cutoff lets it in only then.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import NamedTuple

import numba
import numpy as np

from features.history import Bools, Events, Ints, Longs, fixed
from features.snapshot import DAY_US

_NEVER = np.iinfo(np.int64).max


@dataclass(frozen=True)
class Span:
    """When the other event may happen: ``[least, most)`` after the row's own time.

    In microseconds; negative: before it.
    """

    least: int
    most: int


def within(days: int) -> Span:
    """At the same moment, or afterwards within so many days."""
    return Span(0, days * DAY_US)


def after(days: int) -> Span:
    """The other came at the same moment, or at most so many days before."""
    return Span(-days * DAY_US, 1)


ANY_BEFORE = Span(-(2**62), 0)
"""The other came before, however long."""


class _Track(NamedTuple):
    """Events as arrays; ``key`` is the code that partners share, -1: none."""

    offsets: Longs
    ts: Longs
    known_at: Longs
    key: Ints


@numba.njit(cache=True, nogil=True)
def _partners(
    rows: _Track, others: _Track, n_keys: int, least: int, most: int
) -> tuple[Longs, Longs]:
    """For each row, the partner that was known first, and since when both were.

    Others of a key are chained in order of time; since rows come in that order
    too, a chain's head only moves on. A customer whose rows were known in the
    order of time takes linear time. Late ones are looked through by every row
    whose span they lie in, at worst (the later, the earlier known) all of them.

    Returns:
        Moments (the largest integer: no partner) and places of the partners
        (-1: none), each of shape ``[row]``.
    """
    moment = np.full(len(rows.ts), _NEVER)
    partner = np.full(len(rows.ts), -1, np.int64)
    head = np.full(n_keys, -1, np.int64)
    following = np.empty(len(others.ts), np.int64)
    for c in range(len(rows.offsets) - 1):
        first, end = others.offsets[c], others.offsets[c + 1]
        for j in range(end - 1, first - 1, -1):
            if others.key[j] >= 0:
                following[j] = head[others.key[j]]
                head[others.key[j]] = j
        for i in range(rows.offsets[c], rows.offsets[c + 1]):
            if rows.key[i] < 0:
                continue
            j, ts = head[rows.key[i]], rows.ts[i]
            while j >= 0 and others.ts[j] - ts < least:
                j = following[j]
            head[rows.key[i]] = j
            since = max(ts, rows.known_at[i])
            # Once both are known, no other that comes later is known earlier.
            while j >= 0 and others.ts[j] - ts < most and moment[i] > since:
                if others.ts[j] >= moment[i]:
                    break
                both = max(since, max(others.ts[j], others.known_at[j]))
                if both < moment[i]:
                    moment[i], partner[i] = both, j
                j = following[j]
        for j in range(first, end):
            if others.key[j] >= 0:
                head[others.key[j]] = -1
    return moment, partner


def followed(
    rows: Events, others: Events, span: Span, *, by: str | None = None
) -> Events:
    """The rows that go with another event of the same customer.

    Args:
        rows: the events that become rows.
        others: the events that they go with; the same customers.
        span: when the other may happen.
        by: code column that both must share, such as ``product``; rows where
            it is unknown go with none. None: any other will do.

    Returns:
        Rows with a partner, ordered by customer, ``ts``, ``known_at``: their
        columns and ``days_apart``, the days between the two (not negative).
        ``known_at`` is the moment from which the row and one partner were
        known, and had happened; of several partners, that of the first known.
    """
    pair = _track(rows, by), _track(others, by)
    n_keys = max(int(track.key.max(initial=-1)) for track in pair) + 1
    moment, partner = _partners(*pair, n_keys, span.least, span.most)
    found = partner >= 0
    apart = np.abs(others.ts[partner[found]] - rows.ts[found]) / DAY_US
    made = rows.take(found)
    made = replace(made, columns={**made.columns, "days_apart": apart})
    return known_from(made, moment[found])


def known_from(events: Events, moment: Longs) -> Events:
    """The events as known from other moments, shape ``[row]``, in order again."""
    order = np.lexsort((moment, events.ts, events.customer))
    return replace(
        events,
        customer=events.customer[order],
        ts=events.ts[order],
        known_at=moment[order],
        columns={name: column[order] for name, column in events.columns.items()},
    )


def only(events: Events, keep: Bools, *columns: str) -> Events:
    """The rows to keep, with the named columns."""
    narrow = {name: events.columns[name] for name in columns}
    return replace(events, columns=narrow).take(keep)


def _track(events: Events, by: str | None) -> _Track:
    key = events.columns[by] if by else np.zeros(len(events), np.int32)
    arrays = (events.offsets, events.ts, events.known_at, key)
    return _Track(*(fixed(array) for array in arrays))
