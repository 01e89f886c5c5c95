"""A history as orders and returns with their groups: pure functions on arrays."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from features.history import Events, History
from serving.insight.kpis import By

CENTS = 10_000.0
"""Money is added up in so many parts of the unit: sums of whole numbers do not depend
on the order of the rows, nor on how customers are cut into parts."""

PROFILE: dict[By, str] = {
    "segment": "segment",
    "region": "region",
    "member_tier": "member_tier",
}
"""Groupings of customers, and their column of the profile in force."""

ROWS: dict[By, str] = {"channel": "channel", "campaign": "campaign_id"}
"""Groupings of orders, and their column of ``purchases``."""

Codes = npt.NDArray[np.int32]
Longs = npt.NDArray[np.int64]


@dataclass(frozen=True)
class Orders:
    """Orders and returned lines, by customer, then time; all ``[row]``.

    Attributes:
        customer: codes, ascending.
        ts: microseconds since 1970-01-01 UTC; of an order its first purchased line's.
        is_order: False: a returned line, which is no order.
        net: paid, in ``CENTS`` of the shop currency; mostly negative for returns.
        codes: by grouping of ``ROWS``; -1: not known. The first line that names a
            channel or a campaign speaks for the whole order.
    """

    customer: Codes
    ts: Longs
    is_order: npt.NDArray[np.bool_]
    net: npt.NDArray[np.float64]
    codes: Mapping[By, Codes]

    def __len__(self) -> int:
        return len(self.ts)


def orders_of(purchases: Events) -> Orders:
    """The orders and returns of order lines.

    Args:
        purchases: with ``order``, ``quantity``, ``amount``, ``channel`` and
            ``campaign_id``.
    """
    net = np.nan_to_num(np.round(purchases.columns["amount"] * CENTS))
    bought = np.flatnonzero(purchases.bought)
    returned = np.flatnonzero(~purchases.bought)
    number, count = _numbered(purchases, bought)
    first = _first(number, bought, count)
    row = np.concatenate([first, returned])
    order = np.argsort(row)
    row = row[order]
    codes: dict[By, Codes] = {}
    for by, name in ROWS.items():
        code = purchases.columns[name]
        named = code[bought] >= 0
        spoken = _first(number[named], bought[named], count)
        of_order = np.where(spoken < 0, -1, code[spoken])
        codes[by] = np.concatenate([of_order, code[returned]])[order].astype(np.int32)
    return Orders(
        customer=purchases.customer[row],
        ts=purchases.ts[row],
        is_order=(np.arange(len(order)) < count)[order],
        net=np.concatenate(
            [np.bincount(number, net[bought], minlength=count), net[returned]]
        ).astype(np.float64)[order],
        codes=codes,
    )


def _numbered(purchases: Events, rows: Longs) -> tuple[Longs, int]:
    """The order of each row as a number of its own, and how many there are."""
    # A code tells orders of one customer apart; each customer gets a range of codes.
    order, owner = purchases.columns["order"].astype(np.int64), purchases.customer
    starts = np.flatnonzero(np.append(True, owner[1:] != owner[:-1])[: len(owner)])
    if not len(starts):
        return np.zeros(0, dtype=np.int64), 0
    low = np.minimum.reduceat(order, starts)
    span = np.maximum.reduceat(order, starts) - low + 1
    base = np.cumsum(span) - span - low
    of_customer = np.zeros(int(owner[-1]) + 1, dtype=np.int64)
    of_customer[owner[starts]] = base
    wide = of_customer[owner[rows]] + order[rows]
    there = np.zeros(int(span.sum()), dtype=np.bool_)
    there[wide] = True
    dense = np.cumsum(there) - 1
    return dense[wide], int(there.sum())


def _first(number: Longs, rows: Longs, count: int) -> Longs:
    """The first row of each number, rows ascending; -1: it has none."""
    found = np.full(count, -1, dtype=np.int64)
    # The last one assigned stays.
    found[number[::-1]] = rows[::-1]
    return found


def profile_words(history: History, by: By) -> pa.Array | None:
    """The word of each customer in the profile in force; null: not known.

    Returns:
        ``[customer]``; None: the table or the column says nothing of anybody.
    """
    profiles, name = history.profiles, PROFILE[by]
    if profiles is None or not len(profiles) or name not in profiles.column_names:
        return None
    owner = np.asarray(profiles["customer"].to_numpy())
    # Ordered by the moment from which a row is valid: the last one is in force.
    last = np.searchsorted(owner, np.arange(len(history.customers)), side="right") - 1
    there = (last >= 0) & (owner[np.maximum(last, 0)] == np.arange(len(last)))
    rows = pa.array(np.maximum(last, 0), mask=~there)
    return profiles[name].cast(pa.string()).take(rows).combine_chunks()
