"""Best sellers of the groups the customer buys in, and of those that follow them.

What follows a group is what its buyers start to buy after it: the printer's ink
after the printer, the follow-on milk after the first one. The group itself follows
as often as its buyers come back to it.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import scipy.sparse as sp
from numba import njit

from features.config import RecommendConfig
from features.history import Ints
from features.pairs import Singles
from features.snapshot import DAY_US
from training.generators.generator import drawn, silent_where_zero
from training.moment import Moment


@dataclass(frozen=True)
class Successors:
    """Needs of customers, carried on to what follows.

    Attributes:
        needs: decayed orders, sparse ``[customer code, group]``.
        follows: how far buyers of the row go on to the column, sparse
            ``[group, group]``; see ``_follow``.
        group: group of each item, ``[item]``.
        share: share of the item in its group's sales, ``[item]``.
    """

    items: Ints
    needs: sp.csr_matrix
    follows: sp.csr_matrix
    group: Ints
    share: Singles
    name: str = "category"

    def at(self, moment: Moment) -> Successors:
        """For the customers of a moment."""
        return replace(self, needs=_needs(moment, len(self.follows.indptr) - 1))

    def scores(self, customers: Ints) -> Singles:
        """See ``Generator``."""
        wanted = sp.csr_matrix(self.needs[customers] @ self.follows).toarray()
        return silent_where_zero(wanted[:, self.group] * self.share)


def fit_successors(
    moment: Moment, items: Ints, config: RecommendConfig, seed: int
) -> Successors:
    """Groups are subcategories; products without one are left out.

    Args:
        moment: history at the cutoff.
        items: products that are scored.
        config: ``succession_days``: what is first bought within so many days follows;
            learned from ``max_customers`` at most.
        seed: of the draw.
    """
    group_of = moment.group_of["subcategory"]
    known = items[group_of[items] >= 0]
    lines = moment.shelf.lines_28d
    n_groups = int(group_of.max(initial=-1)) + 1
    pairs = moment.pairs["subcategory"]
    totals = np.bincount(group_of[known], lines[known], minlength=n_groups)
    share = lines[known] / np.maximum(totals, 1.0)[group_of[known]]
    follows = _follow(
        pairs.offsets,
        pairs.item,
        pairs.first_us,
        pairs.orders,
        drawn(moment, config.max_customers, seed),
        config.succession_days * DAY_US,
        n_groups,
    )
    return Successors(
        known,
        _needs(moment, n_groups),
        sp.csr_matrix(follows),
        group_of[known],
        share.astype(np.float32),
    )


def _needs(moment: Moment, n_groups: int) -> sp.csr_matrix:
    pairs = moment.pairs["subcategory"]
    shape = (len(moment.history.customers), n_groups)
    return sp.csr_matrix((pairs.slow, pairs.item, pairs.offsets), shape)


@njit(cache=True, nogil=True)  # pyright: ignore[reportUntypedFunctionDecorator]
def _follow(
    offsets: Any,
    group: Any,
    first: Any,
    orders: Any,
    customers: Any,
    within: int,
    n_groups: int,
) -> Any:
    """How far each group's buyers start on another one soon after it.

    Their share, as far as it lies above that among the buyers of any group: what
    everyone starts on follows nothing. On the diagonal: the share who buy it again.
    """
    counts = np.zeros((n_groups, n_groups), dtype=np.float32)
    buyers, again = np.zeros(n_groups), np.zeros(n_groups)
    for at in range(len(customers)):
        start, end = offsets[customers[at]], offsets[customers[at] + 1]
        for one in range(start, end):
            buyers[group[one]] += 1
            again[group[one]] += orders[one] > 1
            for other in range(start, end):
                later = first[other] - first[one]
                if 0 < later <= within:
                    counts[group[one], group[other]] += 1
    usual = counts.sum(axis=0) / max(buyers.sum(), 1.0)
    for one in range(n_groups):
        if buyers[one] > 0:
            counts[one] = np.maximum(counts[one] / buyers[one] - usual, 0.0)
            counts[one, one] = again[one] / buyers[one]
    return counts
