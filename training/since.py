"""What one customer did since a snapshot, and what it could change in their offers."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from features.config import RecommendConfig
from features.history import Array, Bools, Floats, Ints, Longs
from features.pairs import Singles
from features.snapshot import DAY_US
from training.fold_in import FoldIn

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

GROUPS = ("just bought", "again", "new", "stranger")
"""Bought since; bought before only; never bought; anything for customers whom the
snapshot does not know."""

JUST, AGAIN, NEW, STRANGER = range(len(GROUPS))

COLUMNS = (
    "bought_something",
    "only_looked",
    "not_offered",
    "als_shift",
    "interest",
    "kin_bought",
    "kin_interest",
    "base",
    "rebuy",
    "prior",
    "days_since",
    "more_orders",
    "kin_prior",
)
"""Columns of ``Rows.x``; the last six are 0 but for products just bought."""

DELAY_DAYS = 7
"""How long after a snapshot events are learned from; older purchases count as so old."""

EXTRA = 20
"""Products beside the offers that the shift of ALS brings in, at most."""

STRANGER_EXTRA = 50
"""The same for strangers, and as many best sellers."""


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


@dataclass(frozen=True)
class Before:
    """What the snapshot says of one customer; all empty: it does not know them.

    Attributes:
        product, is_new, score: offers, best first, ``[offer]``.
        bought: products bought, ascending; ``weight``: decayed orders of each.
    """

    product: Ints
    is_new: Array
    score: Array
    bought: Ints
    weight: Singles


NOBODY = Before(
    np.zeros(0, np.int32),
    np.zeros(0, np.bool_),
    np.zeros(0, np.float32),
    np.zeros(0, np.int32),
    np.zeros(0, np.float32),
)
"""A customer whom the snapshot does not know."""


@dataclass(frozen=True)
class Shop:
    """What the snapshot says of products, ``[product]``.

    Attributes:
        fold: factors of ALS.
        rebuy: log odds, see ``Rebuy``.
        popular: log odds that any customer buys it within the horizon.
        sellers: available products, best sellers first.
        available: may be offered.
        kind: codes of subcategories, -1: unknown.
    """

    fold: FoldIn
    rebuy: Singles
    popular: Floats
    sellers: Ints
    available: Bools
    kind: Ints


@dataclass(frozen=True)
class Rows:
    """Products whose chance is judged anew.

    Attributes:
        product: distinct codes, ``[row]``; the offers first, in their order.
        group: index into ``GROUPS``.
        base: log odds without the events.
        x: what the events say, ``[row, len(COLUMNS)]``.
    """

    product: Ints
    group: npt.NDArray[np.int8]
    base: Floats
    x: Floats

    def take(self, keep: Bools | Longs) -> Rows:
        """The same rows, only those to keep, or in that order."""
        return Rows(self.product[keep], self.group[keep], self.base[keep], self.x[keep])


def rows_of(shop: Shop, before: Before, since: Since, now_us: int) -> Rows:
    """Offers, products of the events, and what ALS brings in besides.

    Args:
        shop: the snapshot's products.
        before: the snapshot's customer.
        since: their events.
        now_us: moment of the answer, microseconds.
    """
    known = before.bought.size > 0
    old, new = _factors(shop.fold, before, since)
    shift = (new - old).astype(np.float32)
    just = since.product[since.orders > 0]
    product = _pool(shop, before, since, shift, known)
    offered = before.product.size
    base = np.empty(product.size)
    base[:offered] = before.score
    floor = float(before.score[before.is_new.astype(bool)].min(initial=np.inf))
    base[offered:] = np.minimum(shop.popular[product[offered:]], floor)
    was_just = np.isin(product, just)
    owned = np.isin(product, before.bought)
    group = np.where(owned, AGAIN, NEW) if known else np.full(product.size, STRANGER)
    group = np.where(was_just, JUST, group).astype(np.int8)
    x = np.zeros((product.size, len(COLUMNS)))
    x[:, 0 if just.size else 1] = 1.0
    x[offered:, 2] = 1.0
    at = shop.fold.column[product]
    x[at >= 0, 3] = shop.fold.factors[at[at >= 0]] @ shift
    place = np.searchsorted(since.product, product)
    place[place == since.product.size] = 0
    touched = since.product[place] == product
    x[:, 4] = np.log1p(np.where(touched, since.interest[place], 0.0))
    x[:, 5:7] = _kin(shop.kind, product, since, just)
    rows = np.flatnonzero(was_just)
    x[rows, 7], x[rows, 8] = base[rows], shop.rebuy[product[rows]]
    x[rows, 9] = np.log1p(_weight(before, product[rows]))
    age = (now_us - since.bought_us[place[rows]]) / DAY_US
    x[rows, 10] = np.clip(age, 0.0, DELAY_DAYS)
    x[rows, 11] = np.log(since.orders[place[rows]])
    x[rows, 12] = np.log1p(_kin_weight(shop.kind, before, product[rows]))
    return Rows(product, group, base, x)


def _factors(fold: FoldIn, before: Before, since: Since) -> tuple[Floats, Floats]:
    liked = np.union1d(before.bought, since.product)
    was = np.zeros(liked.size)
    was[np.searchsorted(liked, before.bought)] = before.weight
    now = was.copy()
    now[np.searchsorted(liked, since.product)] += since.orders + since.interest
    column = fold.column[liked]
    keep = (column >= 0) & (now > 0)
    return fold.moved(column[keep], was[keep], now[keep])


def _pool(
    shop: Shop, before: Before, since: Since, shift: Singles, known: bool
) -> Ints:
    parts = [since.product[(since.orders > 0) | (since.interest > 0)]]
    open_ = shop.available.copy()
    for barred in (before.product, before.bought, parts[0]):
        open_[barred] = False
    extra = EXTRA
    if not known:
        extra = STRANGER_EXTRA
        parts.append(shop.sellers[:extra])
    if shift.any():
        rise = shop.fold.factors @ shift
        rise[~open_[shop.fold.items]] = -np.inf
        extra = min(extra, rise.size)
        best = np.argpartition(rise, rise.size - extra)[rise.size - extra :]
        parts.append(shop.fold.items[best[rise[best] > 0]])
    more = np.unique(np.concatenate(parts))
    more = more[~np.isin(more, before.product)]
    return np.concatenate((before.product, more)).astype(np.int32)


def _kin(kind: Ints, product: Ints, since: Since, just: Ints) -> Floats:
    """Others of the subcategory: bought since (0 or 1), and the interest in them."""
    out = np.zeros((product.size, 2))
    mine = kind[product]
    out[:, 0] = np.isin(mine, kind[just][kind[just] >= 0]) & ~np.isin(product, just)
    shown = np.flatnonzero(since.interest > 0)
    if shown.size:
        kinds, row = np.unique(kind[since.product[shown]], return_inverse=True)
        total = np.bincount(row, since.interest[shown])
        at = np.searchsorted(kinds, mine)
        at[at == kinds.size] = 0
        own = np.zeros(product.size)
        place = np.searchsorted(since.product, product)
        place[place == since.product.size] = 0
        same = since.product[place] == product
        own[same] = since.interest[place[same]]
        found = (kinds[at] == mine) & (mine >= 0)
        out[:, 1] = np.log1p(np.where(found, np.maximum(total[at] - own, 0), 0.0))
    return out


def _weight(before: Before, product: Ints) -> Floats:
    if not before.bought.size:
        return np.zeros(product.size)
    at = np.searchsorted(before.bought, product)
    at[at == before.bought.size] = 0
    return np.where(before.bought[at] == product, before.weight[at], 0.0)


def _kin_weight(kind: Ints, before: Before, product: Ints) -> Floats:
    """Decayed orders with the product's subcategory before the snapshot."""
    mine, owned = kind[product], kind[before.bought]
    size = max(int(mine.max(initial=-1)), int(owned.max(initial=-1))) + 2
    # Code -1 counts in the first place, which nobody reads.
    total = np.bincount(owned + 1, before.weight, size)
    return np.where(mine >= 0, total[mine + 1], 0.0)
