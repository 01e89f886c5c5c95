"""What fresh events could change: offers, and products that they bring in.

The same rows are learned from at past moments and answered from by the service.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from features.history import Array, Bools, Floats, Ints, Longs
from features.pairs import Singles
from features.snapshot import DAY_US
from training.fold_in import FoldIn
from training.since import Since

GROUPS = ("just bought", "stranger just bought", "again", "new", "stranger")
"""Bought since; bought before only; never bought. Of strangers, whom the snapshot does
not know, what they bought since and all else: that they had not bought it before says
nothing."""

JUST, STRANGER_JUST, AGAIN, NEW, STRANGER = range(len(GROUPS))

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

    @property
    def just(self) -> Bools:
        """Bought since the snapshot, ``[row]``."""
        return self.group <= STRANGER_JUST

    @property
    def is_new(self) -> Bools:
        """Never bought as far as is known, ``[row]``."""
        return self.group >= NEW

    def take(self, keep: Bools | Longs) -> Rows:
        """The same rows, only those to keep, or in that order."""
        return Rows(self.product[keep], self.group[keep], self.base[keep], self.x[keep])


def rows_of(
    shop: Shop, before: Before, since: Since, now_us: int, *, fold: bool = True
) -> Rows:
    """Offers, products of the events, and what ALS brings in besides.

    Args:
        shop: the snapshot's products.
        before: the snapshot's customer.
        since: their events.
        now_us: moment of the answer, microseconds.
        fold: False: ALS moves nothing, which saves its solve.
    """
    shift = _shift(shop.fold, before, since) if fold else None
    product = _pool(shop, before, since, shift)
    base = _base(shop, before, product)
    at = places_of(since.product, product)
    just = (at >= 0) & (since.orders[at] > 0)
    owned = places_of(before.bought, product) >= 0
    known = before.bought.size > 0
    other = np.where(owned, AGAIN, NEW) if known else STRANGER
    group = np.where(just, JUST if known else STRANGER_JUST, other).astype(np.int8)
    interest = np.where(at >= 0, since.interest[at], 0.0)
    something = bool((since.orders > 0).any())
    columns = {
        "bought_something": float(something),
        "only_looked": float(not something),
        "not_offered": np.arange(product.size) >= before.product.size,
        "als_shift": 0.0 if shift is None else _along(shop.fold, shift, product),
        "interest": np.log1p(interest),
        "kin_bought": _kin_bought(shop.kind, since, product) & ~just,
        "kin_interest": np.log1p(_kin_interest(shop.kind, since, product, interest)),
        **_of_just(shop, before, since, now_us, product, base, at, just),
    }
    x = np.zeros((product.size, len(COLUMNS)))
    for place, name in enumerate(COLUMNS):
        x[:, place] = columns[name]
    return Rows(product, group, base, x)


def _of_just(
    shop: Shop,
    before: Before,
    since: Since,
    now_us: int,
    product: Ints,
    base: Floats,
    at: Longs,
    just: Bools,
) -> dict[str, Floats]:
    """Columns of products just bought; 0 for all others."""
    age = np.clip((now_us - since.bought_us[at]) / DAY_US, 0.0, DELAY_DAYS)
    owned = places_of(before.bought, product)
    weight = np.append(before.weight, np.float32(0))[owned]
    columns = {
        "base": base,
        "rebuy": shop.rebuy[product],
        "prior": np.log1p(weight),
        "days_since": age,
        "more_orders": np.log(np.maximum(since.orders[at], 1)),
        "kin_prior": np.log1p(_kin_weight(shop.kind, before, product)),
    }
    return {name: np.where(just, column, 0.0) for name, column in columns.items()}


def places_of(ascending: Ints, wanted: Ints) -> Longs:
    """Place of each wanted product among distinct ascending ones, -1: none."""
    if not ascending.size:
        return np.full(wanted.size, -1)
    at = np.searchsorted(ascending, wanted)
    at[at == ascending.size] = 0
    return np.where(ascending[at] == wanted, at, -1)


def _base(shop: Shop, before: Before, product: Ints) -> Floats:
    """Offers have their score; others sell as to anyone, but below the offers.

    What is no offer was no candidate, or was cut off below the worst new one.
    """
    worst = float(before.score[before.is_new.astype(bool)].min(initial=np.inf))
    rest = np.minimum(shop.popular[product[before.product.size :]], worst)
    return np.concatenate((before.score.astype(np.float64), rest))


def _shift(fold: FoldIn, before: Before, since: Since) -> Singles:
    """How the events move the customer's factors, ``[factor]``."""
    liked = np.union1d(before.bought, since.product)
    was = np.zeros(liked.size)
    was[np.searchsorted(liked, before.bought)] = before.weight
    now = was.copy()
    now[np.searchsorted(liked, since.product)] += since.orders + since.interest
    column = fold.column[liked]
    keep = (column >= 0) & (now > 0)
    old, new = fold.moved(column[keep], was[keep], now[keep])
    return (new - old).astype(np.float32)


def _along(fold: FoldIn, shift: Singles, product: Ints) -> Singles:
    """Change of the ALS score, ``[product]``; 0 where there are no factors."""
    column = fold.column[product]
    change = np.zeros(product.size, dtype=np.float32)
    known = column >= 0
    change[known] = fold.factors[column[known]] @ shift
    return change


def _pool(shop: Shop, before: Before, since: Since, shift: Singles | None) -> Ints:
    """The offers in their order, then the others by code."""
    touched = since.product[(since.orders > 0) | (since.interest > 0)]
    stranger = not before.bought.size
    most = STRANGER_EXTRA if stranger else EXTRA
    parts = [touched, shop.sellers[:most] if stranger else touched]
    if shift is not None and shift.any():
        open_ = shop.available.copy()
        for barred in (before.product, before.bought, touched):
            open_[barred] = False
        rise = shop.fold.factors @ shift
        rise[~open_[shop.fold.items]] = -np.inf
        start = max(rise.size - most, 0)
        best = np.argpartition(rise, start)[start:] if start else np.arange(rise.size)
        parts.append(shop.fold.items[best[rise[best] > 0]])
    more = np.unique(np.concatenate(parts))
    more = more[places_of(np.sort(before.product), more) < 0]
    return np.concatenate((before.product, more)).astype(np.int32)


def _kin_bought(kind: Ints, since: Since, product: Ints) -> Bools:
    """Whether something of the same subcategory was bought since, ``[product]``."""
    kinds = kind[since.product[since.orders > 0]]
    return np.isin(kind[product], kinds[kinds >= 0])


def _kin_interest(kind: Ints, since: Since, product: Ints, own: Floats) -> Floats:
    """Interest in others of the same subcategory since, ``[product]``."""
    total = _by_kind(kind, since.product, since.interest, product)
    # Rounding must not make a little less than nothing of it.
    return np.where(total > own * (1 + 1e-9), total - own, 0.0)


def _kin_weight(kind: Ints, before: Before, product: Ints) -> Floats:
    """Decayed orders with the product's subcategory before the snapshot."""
    return _by_kind(kind, before.bought, before.weight, product)


def _by_kind(kind: Ints, some: Ints, weight: Array, product: Ints) -> Floats:
    """Sum of weights within each product's subcategory; 0 where it has none."""
    mine, theirs = kind[product], kind[some]
    size = max(int(mine.max(initial=-1)), int(theirs.max(initial=-1))) + 2
    # Code -1 counts in the first place, which nobody reads.
    total = np.bincount(theirs + 1, weight, size)
    return np.where(mine >= 0, total[mine + 1], 0.0)
