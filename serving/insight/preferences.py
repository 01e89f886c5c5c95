"""What a customer buys in most often: category, channel and hour of the day.

The feature table knows how much the favourite counts, but not which it is; so these
three are counted on the order lines.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import pyarrow as pa
from numba import njit

from features.history import Array, Bools, History, Longs
from features.shelf import category_of
from features.snapshot import DAY_US

YEAR_DAYS = 365
HOURS = 24
_HOUR_US = DAY_US // HOURS


def preferences(history: History, cutoff_us: int) -> pa.Table:
    """Favourites of the last 365 days, as known at the cutoff.

    Args:
        history: all input, or a part of it; rows at or after the cutoff, or known
            later, are not read.
        cutoff_us: microseconds since 1970-01-01.

    Returns:
        One row for every customer of the history, ordered by id: ``customer_id``;
        ``preferred_category``, that of most purchased lines; ``preferred_channel``
        and ``preferred_hour`` (0 to 23, as the times are given), those of most
        orders, by the first line of each. Returns do not count; of two that are
        equal, the earlier in the alphabet or the day. Null: no purchase in the
        window that says so.
    """
    lines, n = history.purchases, len(history.customers)
    start = cutoff_us - YEAR_DAYS * DAY_US
    keep = lines.before(cutoff_us) & lines.bought & (lines.ts >= start)
    customer = lines.customer[keep]
    category, names = category_of(history.products)
    of_line = category[lines.columns["product"][keep]]
    first = _first_of_orders(customer, lines.columns["order"][keep])
    buyer = customer[first]
    hour = (lines.ts[keep][first] // _HOUR_US % HOURS).astype(np.int32)
    return pa.table(
        {
            "customer_id": pa.array(history.customers, pa.string()),
            "preferred_category": _texts(_favourite(customer, of_line, n), names),
            "preferred_channel": _channel(history, buyer, keep, first, n),
            "preferred_hour": _numbers(_favourite(buyer, hour, n)),
        }
    )


def _channel(
    history: History, buyer: Array, keep: Bools, first: Longs, n: int
) -> pa.Array:
    lines = history.purchases
    if "channel" not in lines.columns:
        return pa.nulls(n, pa.dictionary(pa.int32(), pa.string()))
    channel = lines.columns["channel"][keep][first]
    return _texts(_favourite(buyer, channel, n), lines.words["channel"])


def _first_of_orders(customer: Array, order: Array) -> Longs:
    """Rows of the first line of every order; lines are in order of customer and time."""
    if not len(order):
        return np.empty(0, np.int64)
    return np.flatnonzero(_is_first(customer, order, int(order.max()) + 1))


def _favourite(customer: Array, code: Array, n: int) -> Longs:
    """The most frequent code of each customer, the lowest of equals, -1: none.

    Args:
        customer: ascending, shape ``[event]``.
        code: of the event, below 0: not known; same shape.
        n: number of customers.
    """
    width = int(code.max(initial=-1)) + 1
    return _most_frequent(customer, code, n, width)


@njit(cache=True, nogil=True)  # pyright: ignore[reportUntypedFunctionDecorator]
def _is_first(customer: Any, order: Any, n_orders: int) -> Any:
    # An order id may be given to several customers; each has a first line of it.
    seen = np.full(n_orders, -1, np.int32)
    found = np.zeros(len(order), np.bool_)
    for row in range(len(order)):
        found[row] = seen[order[row]] != customer[row]
        seen[order[row]] = customer[row]
    return found


@njit(cache=True, nogil=True)  # pyright: ignore[reportUntypedFunctionDecorator]
def _most_frequent(customer: Any, code: Any, n: int, width: int) -> Any:
    best = np.full(n, -1, np.int64)
    count = np.zeros(width, np.int32)
    start = 0
    while start < len(customer):
        who, end = customer[start], start
        while end < len(customer) and customer[end] == who:
            if code[end] >= 0:
                count[code[end]] += 1
            end += 1
        most = 0
        for row in range(start, end):
            one = code[row]
            if one < 0:
                continue
            if count[one] > most or (count[one] == most and one < best[who]):
                most = count[one]
                best[who] = one
        for row in range(start, end):
            if code[row] >= 0:
                count[code[row]] = 0
        start = end
    return best


def _texts(codes: Longs, names: Sequence[str]) -> pa.Array:
    indices = pa.array(codes.astype(np.int32), mask=codes < 0)
    return pa.DictionaryArray.from_arrays(indices, pa.array(list(names), pa.string()))


def _numbers(codes: Longs) -> pa.Array:
    return pa.array(codes.astype(np.int16), mask=codes < 0)
