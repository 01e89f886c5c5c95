"""What one customer did since a snapshot: events, summed by product."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from features.config import RecommendConfig
from features.history import Floats, Ints, Longs
from features.pairs import Singles

BOUGHT, RETURNED, VIEWED, CARTED, FAVOURED, ASKED = range(6)
"""Kinds of fresh events; searches count as views."""

KINDS: Mapping[str, Mapping[str, int]] = {
    "browses": {
        "view": VIEWED,
        "search": VIEWED,
        "cart": CARTED,
        "favourite": FAVOURED,
    },
    "inquiries": {"presale": ASKED},
}
"""Kind of an event by table and its ``kind``; others do not count. Of ``purchases``
the quantity tells."""


@dataclass(frozen=True)
class Fresh:
    """One customer's events since the snapshot, in any order, ``[event]``.

    Attributes:
        kind: ``BOUGHT`` … ``ASKED``.
        product: codes.
        ts: microseconds since 1970-01-01.
        quantity: pieces bought or returned, positive; of other kinds not read.
    """

    kind: npt.NDArray[np.int8]
    product: Ints
    ts: Longs
    quantity: Singles

    def __len__(self) -> int:
        return len(self.ts)


@dataclass(frozen=True)
class Since:
    """The same by product, ascending, ``[product]``.

    Attributes:
        orders: purchases at distinct times; 0: none, or as many pieces returned.
        bought_us: time of the last purchase; 0 where ``orders`` is.
        interest: weighted views, carts and questions, a purchase being 1.
        shown_us, shown: time and kind of the latest of these; 0 and -1: none.
    """

    product: Ints
    orders: Longs
    bought_us: Longs
    interest: Floats
    shown_us: Longs
    shown: npt.NDArray[np.int8]


def since_of(fresh: Fresh, weights: Floats) -> Since:
    """Events summed by product; their order does not matter.

    A return takes pieces of the purchases since the snapshot back. Of earlier
    purchases it takes nothing, as in a build.

    Args:
        fresh: events, at least one.
        weights: of each kind, see ``weights_of``.
    """
    by = np.lexsort((fresh.kind, fresh.ts, fresh.product))
    kind, ts, quantity = fresh.kind[by], fresh.ts[by], fresh.quantity[by]
    product, row = np.unique(fresh.product[by], return_inverse=True)
    n = len(product)
    bought, returned = kind == BOUGHT, kind == RETURNED
    pieces = np.bincount(row, quantity * bought, n)
    back = np.bincount(row, quantity * returned, n)
    kept = (back == 0) | (pieces > back)
    buys = np.flatnonzero(bought & kept[row])
    fresh_order = np.ones(len(buys), dtype=np.bool_)
    fresh_order[1:] = (np.diff(row[buys]) != 0) | (np.diff(ts[buys]) != 0)
    orders = np.bincount(row[buys[fresh_order]], minlength=n)
    last = np.zeros(n, dtype=np.int64)
    # Rows ascend by time within a product: the last assignment is the latest.
    last[row[buys]] = ts[buys]
    looks = np.flatnonzero(kind >= VIEWED)
    shown_us, shown = np.zeros(n, dtype=np.int64), np.full(n, -1, dtype=np.int8)
    shown_us[row[looks]], shown[row[looks]] = ts[looks], kind[looks]
    interest = np.bincount(row, weights[kind], n).astype(np.float64)
    return Since(product, orders, last, interest, shown_us, shown)


def weights_of(config: RecommendConfig) -> Floats:
    """Interest of an event by kind, where a purchase has 1; of purchases 0."""
    cart = config.cart_weight
    return np.array([0, 0, config.view_weight, cart, cart, config.inquiry_weight])
