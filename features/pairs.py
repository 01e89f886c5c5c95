"""Customer x product history: what each customer bought, how often, how lately.

The lines of a history are sorted once (``lines``); each cutoff is then one
pass over them (``pairs_at``), for products and in the same way for their
subcategories and categories.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
from numba import njit

from features.history import History, Ints, Longs, owners_of
from features.snapshot import DAY_US

Singles = npt.NDArray[np.float32]

SLOW_DAYS = 60.0
"""Half-life of the slow decayed count: a shopper's standing needs."""

FAST_DAYS = 15.0
"""Half-life of the fast decayed count: what they are using now."""


@dataclass(frozen=True)
class Lines:
    """Purchased lines (no returns), sorted by customer, item, time, order.

    Attributes:
        item: product, subcategory or category codes, shape ``[line]``.
        n_customers, n_items: code ranges of ``customer`` and ``item``.
    """

    customer: Ints
    item: Ints
    ts: Longs
    known_at: Longs
    order: Ints
    quantity: Singles
    spend: Singles
    n_customers: int
    n_items: int


@dataclass(frozen=True)
class Pairs:
    """One row per customer and item bought before the cutoff.

    Attributes:
        offsets: pairs of customer ``c`` are ``offsets[c]:offsets[c + 1]``,
            shape ``[customer + 1]``; by item code within a customer.
        item: item codes, shape ``[pair]``.
        orders: distinct orders with the item.
        last_us, first_us: time of the last and the first order.
        gap_mean, gap_spread: mean and standard deviation of the days between
            orders; NaN below two and three orders.
        last_gap: days between the last two orders; NaN below two.
        slow, fast: orders, each halved per ``SLOW_DAYS``, ``FAST_DAYS`` of age.
        quantity: pieces.
        spend: net paid, shop currency.
    """

    offsets: Longs
    item: Ints
    orders: Ints
    last_us: Longs
    first_us: Longs
    gap_mean: Singles
    gap_spread: Singles
    last_gap: Singles
    slow: Singles
    fast: Singles
    quantity: Singles
    spend: Singles

    def __len__(self) -> int:
        return len(self.item)

    @property
    def customer(self) -> Ints:
        """Customer code of every pair, shape ``[pair]``."""
        return owners_of(self.offsets)


@dataclass(frozen=True)
class Visits:
    """Orders of every customer before the cutoff, by time.

    Attributes:
        offsets: orders of customer ``c`` are ``offsets[c]:offsets[c + 1]``.
        ts: time of each order, microseconds, shape ``[order]``.
        lines: purchased lines in it.
        spend: net paid, shop currency.
    """

    offsets: Longs
    ts: Longs
    lines: Ints
    spend: Singles


def lines(history: History, groups: Sequence[Ints | None]) -> tuple[Lines, ...]:
    """The purchased lines of a history, sorted for ``pairs_at``.

    Args:
        history: returns (negative quantity) are left out.
        groups: one per result: item code of each product, shape ``[product]``,
            -1: the line is left out. None: the product itself.

    Returns:
        Every line, whatever its time: the cutoff comes later.
    """
    events = history.purchases
    bought = np.flatnonzero(events.bought)
    order = events.columns["order"][bought]
    by = np.lexsort((order, events.ts[bought], events.customer[bought]))
    rows = bought[by]
    product = events.columns["product"][rows]
    shared = Lines(
        customer=events.customer[rows],
        item=product,
        ts=events.ts[rows],
        known_at=events.known_at[rows],
        order=order[by],
        quantity=events.columns["quantity"][rows].astype(np.float32),
        spend=events.columns["amount"][rows].astype(np.float32),
        n_customers=len(history.customers),
        n_items=len(history.products),
    )
    return tuple(_by_item(shared, group) for group in groups)


def _by_item(shared: Lines, group: Ints | None) -> Lines:
    """Lines by customer and item; time and order stay sorted within."""
    item = shared.item if group is None else group[shared.item]
    n_items = shared.n_items if group is None else int(group.max(initial=-1)) + 1
    keep = np.flatnonzero(item >= 0)
    key = shared.customer[keep].astype(np.int64) * max(n_items, 1) + item[keep]
    rows = keep[np.argsort(key, kind="stable")]
    return Lines(
        customer=shared.customer[rows],
        item=item[rows].astype(np.int32),
        ts=shared.ts[rows],
        known_at=shared.known_at[rows],
        order=shared.order[rows],
        quantity=shared.quantity[rows],
        spend=shared.spend[rows],
        n_customers=shared.n_customers,
        n_items=n_items,
    )


def pairs_at(lines: Lines, cutoff_us: int) -> Pairs:
    """Customer x item history as known at the cutoff.

    Args:
        lines: sorted lines; those with ``ts`` or ``known_at`` at or after the
            cutoff are not read.
        cutoff_us: microseconds since 1970-01-01.
    """
    arrays = _walk(
        lines.customer,
        lines.item,
        lines.ts,
        lines.known_at,
        lines.order,
        lines.quantity,
        lines.spend,
        lines.n_customers,
        cutoff_us,
    )
    return Pairs(*arrays)


def visits_at(history: History, cutoff_us: int) -> Visits:
    """Every order as known at the cutoff, by customer and time."""
    events = history.purchases
    keep = events.before(cutoff_us) & events.bought
    customer, ts = events.customer[keep], events.ts[keep]
    order = events.columns["order"][keep]
    by = np.lexsort((order, ts, customer))
    customer, ts, order = customer[by], ts[by], order[by]
    starts = np.ones(len(by), dtype=np.bool_)
    starts[1:] = (np.diff(customer) != 0) | (np.diff(order) != 0)
    at = np.flatnonzero(starts)
    amount = events.columns["amount"][keep][by]
    spend = np.add.reduceat(amount, at) if len(at) else np.zeros(0)
    n_customers = len(history.customers)
    return Visits(
        offsets=np.searchsorted(customer[at], np.arange(n_customers + 1)).astype(
            np.int64
        ),
        ts=ts[at],
        lines=np.diff(np.append(at, len(by))).astype(np.int32),
        spend=spend.astype(np.float32),
    )


@njit(cache=True)  # pyright: ignore[reportUntypedFunctionDecorator]
def _walk(
    customer: Any,
    item: Any,
    ts: Any,
    known_at: Any,
    order: Any,
    quantity: Any,
    spend: Any,
    n_customers: int,
    cutoff: int,
) -> Any:
    """Fold sorted lines into pairs, in the order of ``Pairs``' fields."""
    n = 0
    last_c, last_i = -1, -1
    for row in range(len(ts)):
        if ts[row] >= cutoff or known_at[row] >= cutoff:
            continue
        if customer[row] != last_c or item[row] != last_i:
            n += 1
            last_c, last_i = customer[row], item[row]
    offsets = np.zeros(n_customers + 1, dtype=np.int64)
    items = np.empty(n, dtype=np.int32)
    orders = np.zeros(n, dtype=np.int32)
    last = np.zeros(n, dtype=np.int64)
    first = np.zeros(n, dtype=np.int64)
    sums = np.zeros((n, 7), dtype=np.float64)
    at, last_c, last_i, last_order = -1, -1, -1, -1
    for row in range(len(ts)):
        if ts[row] >= cutoff or known_at[row] >= cutoff:
            continue
        if customer[row] != last_c or item[row] != last_i:
            at += 1
            last_c, last_i, last_order = customer[row], item[row], -1
            items[at] = last_i
            offsets[last_c + 1] += 1
            first[at] = ts[row]
        sums[at, 0] += quantity[row]
        sums[at, 1] += spend[row]
        if order[row] == last_order:
            continue
        last_order = order[row]
        if orders[at] > 0:
            gap = (ts[row] - last[at]) / DAY_US
            sums[at, 2] += gap * gap
            sums[at, 3] = gap
        orders[at] += 1
        last[at] = ts[row]
        age = (cutoff - ts[row]) / DAY_US
        sums[at, 4] += 2.0 ** (-age / SLOW_DAYS)
        sums[at, 5] += 2.0 ** (-age / FAST_DAYS)
    mean = np.full(n, np.nan, dtype=np.float32)
    spread = np.full(n, np.nan, dtype=np.float32)
    last_gap = np.full(n, np.nan, dtype=np.float32)
    for pair in range(n):
        gaps = orders[pair] - 1
        if gaps > 0:
            average = (last[pair] - first[pair]) / DAY_US / gaps
            mean[pair] = average
            last_gap[pair] = sums[pair, 3]
            if gaps > 1:
                variance = sums[pair, 2] / gaps - average * average
                spread[pair] = np.sqrt(max(variance, 0.0))
    return (
        np.cumsum(offsets),
        items,
        orders,
        last,
        first,
        mean,
        spread,
        last_gap,
        sums[:, 4].astype(np.float32),
        sums[:, 5].astype(np.float32),
        sums[:, 0].astype(np.float32),
        sums[:, 1].astype(np.float32),
    )
