"""Customer x product interest short of a purchase: looks, carts, questions."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from features.history import Events, History, Ints, Longs, offsets_of, owners_of
from features.pairs import FAST_DAYS, Singles
from features.snapshot import DAY_US

_KINDS = {
    "views": ("browses", ("view", "search")),
    "carts": ("browses", ("cart", "favourite")),
    "inquiries": ("inquiries", ("presale",)),
}


@dataclass(frozen=True)
class Interest:
    """One row per customer and product with an event before the cutoff.

    Attributes:
        offsets: rows of customer ``c`` are ``offsets[c]:offsets[c + 1]``,
            shape ``[customer + 1]``; by product code within a customer.
        item: product codes, shape ``[row]``.
        views: views and searches, each halved per ``FAST_DAYS`` of age.
        carts: carts and favourites, the same.
        inquiries: questions before a purchase, the same.
        last_us: time of the last event.
    """

    offsets: Longs
    item: Ints
    views: Singles
    carts: Singles
    inquiries: Singles
    last_us: Longs

    def __len__(self) -> int:
        return len(self.item)

    @property
    def customer(self) -> Ints:
        """Customer code of every row, shape ``[row]``."""
        return owners_of(self.offsets)


def interest_at(history: History, cutoff_us: int) -> Interest:
    """Interest as known at the cutoff; without events, no rows.

    Args:
        history: rows at or after the cutoff, or known later, are not read.
        cutoff_us: microseconds since 1970-01-01.
    """
    n = len(history.products)
    keys: list[Longs] = []
    times: list[Longs] = []
    kinds: list[Ints] = []
    for number, (table, words) in enumerate(_KINDS.values()):
        events: Events | None = getattr(history, table)
        if events is None or "product" not in events.columns:
            continue
        wanted = [events.words["kind"].index(w) for w in words]
        rows = np.flatnonzero(
            events.before(cutoff_us)
            & (events.columns["product"] >= 0)
            & np.isin(events.columns["kind"], wanted)
        )
        product = events.columns["product"][rows]
        keys.append(events.customer[rows].astype(np.int64) * n + product)
        times.append(events.ts[rows])
        kinds.append(np.full(len(rows), number, dtype=np.int32))
    key = np.concatenate([np.zeros(0, np.int64), *keys])
    ts = np.concatenate([np.zeros(0, np.int64), *times])
    kind = np.concatenate([np.zeros(0, np.int32), *kinds])
    pair, row = np.unique(key, return_inverse=True)
    weight = 2.0 ** (-(cutoff_us - ts) / DAY_US / FAST_DAYS)
    views, carts, inquiries = (
        np.bincount(row, weight * (kind == i), len(pair)).astype(np.float32)
        for i in range(len(_KINDS))
    )
    last = np.zeros(len(pair), dtype=np.int64)
    last[row[np.argsort(ts, kind="stable")]] = np.sort(ts, kind="stable")
    customer = (pair // max(n, 1)).astype(np.int32)
    return Interest(
        offsets_of(customer, len(history.customers)),
        (pair % max(n, 1)).astype(np.int32),
        views,
        carts,
        inquiries,
        last,
    )
