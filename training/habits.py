"""How often each customer buys each product group: habits as known at a cutoff.

A group is the product's category, or the product itself where it has none. The
lines are sorted once (``sort_habits``); each cutoff is one pass over them. Several
orders of a day are one purchase.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from scipy import ndimage

from features.history import (
    Array,
    Bools,
    Floats,
    History,
    Ints,
    Longs,
    Products,
    offsets_of,
)
from features.snapshot import DAY_US

_DAYS = 1 << 20
"""Days of the years that a timestamp can have fit in half of this."""


@dataclass(frozen=True)
class Habits:
    """Purchased lines, sorted by customer, group and time; all arrays ``[line]``.

    Attributes:
        group: codes into ``names``.
        ts, known_at: microseconds since 1970-01-01.
        names: of the groups.
        life_days: service life of a group's products, the median of those known;
            NaN: unknown, shape ``[group]``.
        n_customers: codes of customers are below it.
    """

    customer: Ints
    group: Ints
    ts: Longs
    known_at: Longs
    quantity: Floats
    names: Array
    life_days: Floats
    n_customers: int


@dataclass(frozen=True)
class Bought:
    """Purchase days of every pair of customer and group before a cutoff.

    Attributes:
        customer, group: shape ``[pair]``, ordered by customer, then group.
        day: since 1970, ascending within a pair, shape ``[purchase]``.
        offsets: purchases of a pair are ``day[offsets[p]:offsets[p + 1]]``.
        pieces: bought on that day, same shape as ``day``.
        visit_day: days on which a customer bought anything, ``[visit]``.
        visits: those of a customer are ``visit_day[visits[c]:visits[c + 1]]``.
        groups: how many groups were bought on each of them.
        cutoff_us: microseconds.
    """

    customer: Ints
    group: Ints
    day: Longs
    offsets: Longs
    pieces: Floats
    visit_day: Longs
    visits: Longs
    groups: Longs
    cutoff_us: int

    @property
    def today(self) -> float:
        """The cutoff in days since 1970, a fraction where it is not midnight."""
        return self.cutoff_us / DAY_US

    @property
    def counts(self) -> Longs:
        """Purchases of each pair, ``[pair]``."""
        return np.diff(self.offsets)

    @property
    def last(self) -> Longs:
        """Day of the last purchase of each pair, ``[pair]``."""
        return self.day[self.offsets[1:] - 1]

    def since(self, days: float) -> Longs:
        """Purchases of each pair in the last days before the cutoff, ``[pair]``."""
        pair = np.repeat(np.arange(len(self.customer)), self.counts)
        late = self.day >= self.today - days
        return np.bincount(pair[late], minlength=len(self.customer))

    def visits_since(self, customer: Ints, day: Array | float) -> Longs:
        """Visits of each customer on or after a day, shape ``[row]``."""
        n = len(self.visits) - 1
        who = np.repeat(np.arange(n, dtype=np.int64), np.diff(self.visits))
        at = np.searchsorted(
            _key(who, self.visit_day), _key(customer, np.ceil(day).astype(np.int64))
        )
        return self.visits[customer + 1] - at


def sort_habits(history: History, customers: Bools | None = None) -> Habits:
    """The lines of a history by customer, group and day; returns are left out.

    Args:
        history: whatever is known in it; a cutoff comes later.
        customers: whose, shape ``[customer]``; None: everyone's.
    """
    lines, products = history.purchases, history.products
    group_of = group_of_product(products)
    keep = (
        lines.bought if customers is None else lines.bought & customers[lines.customer]
    )
    rows = np.flatnonzero(keep)
    group = group_of[lines.columns["product"][rows]]
    by = np.lexsort((lines.ts[rows], group, lines.customer[rows]))
    names = np.array([*products.words["category"], *products.ids], dtype=object)
    life = np.full(len(names), np.nan)
    known = np.flatnonzero(products.service_life_days > 0)
    if len(known):
        codes = np.unique(group_of[known])
        life[codes] = ndimage.median(
            products.service_life_days[known], group_of[known], codes
        )
    return Habits(
        customer=lines.customer[rows][by],
        group=group[by],
        ts=lines.ts[rows][by],
        known_at=lines.known_at[rows][by],
        quantity=lines.columns["quantity"][rows][by],
        names=names,
        life_days=life,
        n_customers=len(history.customers),
    )


def bought_before(habits: Habits, cutoff_us: int) -> Bought:
    """What every customer had bought of every group, as known at the cutoff."""
    keep = (habits.ts < cutoff_us) & (habits.known_at < cutoff_us)
    customer, group = habits.customer[keep], habits.group[keep]
    day = habits.ts[keep] // DAY_US
    new_pair = np.r_[True, (np.diff(customer) != 0) | (np.diff(group) != 0)][: len(day)]
    new_day = np.flatnonzero(new_pair | np.r_[True, np.diff(day) != 0][: len(day)])
    pieces = habits.quantity[keep]
    visits, groups = np.unique(
        _key(customer[new_day], day[new_day]), return_counts=True
    )
    first = np.flatnonzero(new_pair)
    return Bought(
        customer=customer[first],
        group=group[first],
        day=day[new_day],
        offsets=np.append(np.searchsorted(new_day, first), len(new_day)),
        pieces=np.add.reduceat(pieces, new_day) if len(new_day) else np.zeros(0),
        visit_day=visits % _DAYS - _DAYS // 2,
        visits=offsets_of((visits // _DAYS).astype(np.int32), habits.n_customers),
        groups=groups,
        cutoff_us=cutoff_us,
    )


def days_to_next(
    habits: Habits, customer: Ints, group: Ints, cutoff_us: int, until_us: int
) -> Floats:
    """Days from a cutoff to the first purchase of each pair at or after it.

    Args:
        habits: with what came later.
        customer: code of each pair, shape ``[pair]``.
        group: the same.
        cutoff_us: microseconds.
        until_us: only what had happened and was known before is seen.

    Returns:
        Shape ``[pair]``, fractional days; infinite where no purchase follows.
    """
    later = (
        (habits.ts >= cutoff_us) & (habits.ts < until_us) & (habits.known_at < until_us)
    )
    n_groups = len(habits.names)
    key = habits.customer[later].astype(np.int64) * n_groups + habits.group[later]
    found, first = np.unique(key, return_index=True)
    wanted = customer.astype(np.int64) * n_groups + group
    days = np.full(len(wanted), np.inf)
    if len(found):
        at = np.minimum(np.searchsorted(found, wanted), len(found) - 1)
        has = found[at] == wanted
        days[has] = (habits.ts[later][first][at[has]] - cutoff_us) / DAY_US
    return days


def group_of_product(products: Products) -> Ints:
    """Group of each product: its category; without one, a group of its own."""
    n_words = len(products.words["category"])
    alone = n_words + np.arange(len(products), dtype=np.int32)
    return np.where(products.category >= 0, products.category, alone)


def _key(customer: Array, day: Array) -> Longs:
    """One number per customer and day, in their order; days may be before 1970."""
    return customer.astype(np.int64) * _DAYS + day + _DAYS // 2
