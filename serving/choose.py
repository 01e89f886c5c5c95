"""Which products of a pool make a list, where its best n will not do.

**Diversity** is maximal marginal relevance (Carbonell and Goldstein, SIGIR 1998,
section 2): a list grows by the product with the largest

    (1 - diversity) * relevance - diversity * likeness

where *relevance* is what the list is weighted by (the calibrated probability,
unless ``weight_by`` says otherwise) as a share of the best in the pool, 0 to 1,
and *likeness* the largest of the likenesses to the lines above: the share of the
levels category, subcategory and brand, of those that the shop knows, in which two
products agree. With 0 it is the list by relevance; with 1 the best product, and
below it whatever resembles the list least. The marginal relevance never rises
down a list, since likeness only grows; it is the score that is shown.

**Quotas** are reserved only where the list does not meet them by itself. All
choices are greedy. At most so many per category and at most n in all is a
matroid, where a greedy choice finds as many products as there can be.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from serving.rules import NO_RULES, Rules
from serving.wishes import Wishes

_BELOW = 10.0
"""Filled lines stand so far below the offers; relevance differs by 2 at most."""


@dataclass(frozen=True)
class Pool:
    """Products that may stand in one customer's list, best first, offers first.

    Attributes:
        product: int32 ``[row]``, distinct.
        offer: row of the offers; -1: fills the list.
        worth: what the list is weighted by, ``[row]``.
        is_new: never bought by the customer, ``[row]``.
    """

    product: npt.NDArray[np.int32]
    offer: npt.NDArray[np.int64]
    worth: npt.NDArray[np.float64]
    is_new: npt.NDArray[np.bool_]


@dataclass(frozen=True)
class Choice:
    """Rows of a pool in the order shown.

    Attributes:
        gains: marginal relevance of each; None: ordered as the pool is.
        meets: whether it is full, and all quotas are met.
    """

    rows: npt.NDArray[np.int64]
    gains: list[float] | None
    meets: bool


def choose(pool: Pool, ask: Wishes) -> Choice:
    """The list from a pool, ``ask.n`` rows where so many pass the cap."""
    rules = ask.rules or NO_RULES
    arrived = ask.arrived[pool.product] if rules.min_new_arrivals else None
    draft = _drafted(pool, ask, None)
    if arrived is not None and not _enough(arrived, draft.taken, rules):
        draft = _drafted(pool, ask, arrived)
    meets = (
        len(draft.taken) == ask.n
        and (arrived is None or _enough(arrived, draft.taken, rules))
        and _shared(pool, draft.taken, rules, ask.n)
    )
    if rules.diversity == 0:
        return Choice(np.sort(np.array(draft.taken, dtype=np.int64)), None, meets)
    # Reserved lines were taken out of turn.
    final, among = Draft(pool, ask, capped=False), np.zeros(pool.product.size, bool)
    among[draft.taken] = True
    final.take(ask.n, among)
    return Choice(np.array(final.taken, dtype=np.int64), final.gains, meets)


def _drafted(pool: Pool, ask: Wishes, arrived: npt.NDArray[np.bool_] | None) -> Draft:
    """Quotas first, then the best of the rest; ``arrived`` None: no quota of them."""
    rules = ask.rules or NO_RULES
    draft = Draft(pool, ask)
    if arrived is not None:
        draft.take(rules.min_new_arrivals, arrived)
    if (slots := rules.new_slots(ask.n)) is not None:
        draft.share(slots, ask.n)
    draft.take(ask.n)
    return draft


def _enough(arrived: npt.NDArray[np.bool_], rows: list[int], rules: Rules) -> bool:
    return int(arrived[rows].sum()) >= rules.min_new_arrivals


def _shared(pool: Pool, rows: list[int], rules: Rules, n: int) -> bool:
    slots = rules.new_slots(n)
    return slots is None or int(pool.is_new[rows].sum()) == slots


class Draft:
    """A list that grows.

    Attributes:
        taken: rows of the pool, in the order taken.
        gains: marginal relevance of each when it was taken.
    """

    def __init__(self, pool: Pool, ask: Wishes, *, capped: bool = True) -> None:
        rules, size = ask.rules or NO_RULES, pool.product.size
        self.taken: list[int] = []
        self.gains: list[float] = []
        self._pool = pool
        self._news = 0
        self._cap = rules.max_per_category if capped else None
        self._used: dict[int, int] = {}
        self._category = ask.catalogue.category.take(pool.product)
        self._diversity = rules.diversity
        if rules.diversity > 0:
            self._tier = np.where(pool.offer < 0, _BELOW, 0.0)
            self._own = (1 - rules.diversity) * _relevance(pool) - self._tier
            self._levels = _levels(pool, ask)
            self._likeness = np.zeros(size)
        else:
            self._tier = np.zeros(size)
            self._own = -np.arange(size, dtype=np.float64)
        # Rows that are taken or closed gain minus infinity.
        self._gain = self._own.copy()

    def take(self, upto: int, among: npt.NDArray[np.bool_] | None = None) -> None:
        """Grows to ``upto`` rows, or to as many as are open ``among`` these."""
        if not self._own.size:
            return
        while len(self.taken) < upto:
            gain = self._gain if among is None else np.where(among, self._gain, -np.inf)
            row = int(gain.argmax())
            if gain[row] == -np.inf:
                return
            self._put(row)

    def share(self, slots: int, n: int) -> None:
        """Grows to ``slots`` rows of products never bought and ``n`` in all.

        Stops short where a lane has no more.
        """
        new = self._pool.is_new
        while (before := len(self.taken)) < n:
            more_new, more_again = self._news < slots, before - self._news < n - slots
            among = new if not more_again else ~new if not more_new else None
            self.take(before + 1, among)
            if len(self.taken) == before:
                return

    def _put(self, row: int) -> None:
        self.taken.append(row)
        self.gains.append(float(self._gain[row] + self._tier[row]))
        self._news += int(self._pool.is_new[row])
        self._own[row] = self._gain[row] = -np.inf
        code = int(self._category[row])
        if self._cap is not None and code >= 0:
            used = self._used[code] = self._used.get(code, 0) + 1
            if used >= self._cap:
                full = self._category == code
                self._own[full] = self._gain[full] = -np.inf
        if self._diversity > 0:
            shared = (self._levels == self._levels[:, row : row + 1]).sum(axis=0)
            np.maximum(self._likeness, shared / len(self._levels), out=self._likeness)
            self._gain = self._own - self._diversity * self._likeness


def _levels(pool: Pool, ask: Wishes) -> npt.NDArray[np.int32]:
    """Codes of the pool by level, ``[level, row]``; unknown ones are like no other."""
    levels = np.stack([level.take(pool.product) for level in ask.catalogue.levels])
    alone = -1 - np.arange(pool.product.size, dtype=np.int32)
    return np.where(levels >= 0, levels, alone)


def _relevance(pool: Pool) -> npt.NDArray[np.float64]:
    """Worth as a share of the best among the offers, and among the others."""
    worth = np.maximum(pool.worth, 0)
    offers = pool.offer >= 0
    relevance = np.zeros(worth.size)
    for tier in (offers, ~offers):
        best = float(worth[tier].max(initial=0))
        if best > 0:
            relevance[tier] = worth[tier] / best
    return relevance
