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


class _Chains(NamedTuple):
    """One customer's events, and for each the later ones of its key.

    All by place among the customer's events, -1: none; longer than a customer
    needs.

    Attributes:
        known: since when the event was known and had happened.
        following: the next one.
        earlier: the next one that was known earlier.
        jump: one further on in the chain of these; the last one jumps to itself.
        length: of the rest of that chain.
    """

    known: Longs
    following: Longs
    earlier: Longs
    jump: Longs
    length: Longs


@numba.njit(cache=True, nogil=True)
def _partners(
    rows: _Track, others: _Track, n_keys: int, least: int, most: int
) -> tuple[Longs, Longs]:
    """For each row, the partner that was known first, and since when both were.

    Others of a key are chained in order of time; since rows come in that order
    too, a chain's head only moves on. From there a row goes on to others that
    were known earlier, in steps and jumps: ``n`` events take at most about
    ``n log n``, in whatever order they became known.

    Returns:
        Moments (the largest integer: no partner) and places of the partners
        (-1: none), each of shape ``[row]``.
    """
    moment = np.full(len(rows.ts), _NEVER)
    partner = np.full(len(rows.ts), -1, np.int64)
    head = np.full(n_keys, -1, np.int64)
    most_others = np.diff(others.offsets).max() if len(others.offsets) > 1 else 0
    places = np.empty((5, most_others), np.int64)
    chains = _Chains(places[0], places[1], places[2], places[3], places[4])
    for c in range(len(rows.offsets) - 1):
        first, end = others.offsets[c], others.offsets[c + 1]
        other_ts, key = others.ts[first:end], others.key[first:end]
        for j in range(len(key) - 1, -1, -1):
            if key[j] >= 0:
                chains.known[j] = max(other_ts[j], others.known_at[first + j])
                _chain(chains, j, int(head[key[j]]))
                head[key[j]] = j
        for i in range(rows.offsets[c], rows.offsets[c + 1]):
            if rows.key[i] < 0:
                continue
            j, ts = head[rows.key[i]], rows.ts[i]
            while j >= 0 and other_ts[j] - ts < least:
                j = chains.following[j]
            head[rows.key[i]] = j
            if j < 0 or other_ts[j] - ts >= most:
                continue
            # Once both are known, no other that comes later is known earlier.
            since = max(ts, rows.known_at[i])
            while chains.known[j] > since and chains.earlier[j] >= 0:
                to = chains.jump[j]
                if other_ts[to] - ts >= most or chains.known[to] <= since:
                    to = chains.earlier[j]
                if other_ts[to] - ts >= most:
                    break
                j = to
            moment[i], partner[i] = max(since, chains.known[j]), first + j
        for j in range(len(key)):
            if key[j] >= 0:
                head[key[j]] = -1
    return moment, partner


@numba.njit(cache=True, nogil=True)
def _chain(chains: _Chains, j: int, following: int) -> None:
    """Put an event, known since ``chains.known[j]``, before those that follow it.

    Jumps are as long as lets any place of a chain be reached in a logarithmic
    number of jumps and steps.

    Args:
        chains: already holds the events that follow.
        j: place of the event.
        following: place of the next one, -1: none.

    Source: Myers, "An applicative random-access stack", 1983.
    """
    known, jump, length = chains.known, chains.jump, chains.length
    earlier = following
    while earlier >= 0 and known[earlier] >= known[j]:
        earlier = chains.earlier[earlier]
    chains.following[j], chains.earlier[j] = following, earlier
    jump[j], length[j] = j, 0
    if earlier >= 0:
        once = jump[earlier]
        are_even = length[earlier] - length[once] == length[once] - length[jump[once]]
        jump[j] = jump[once] if are_even else earlier
        length[j] = length[earlier] + 1


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
