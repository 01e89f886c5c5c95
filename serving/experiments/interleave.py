"""A fast test before the real one: two lists dealt into one, whose picks are clicked?

Team draft (Radlinski, Kurup and Joachims, 2008, How does clickthrough data reflect
retrieval quality?, CIKM, section 5): each round both lists give their best product
not yet taken, in an order drawn by hash. Who gave a product gets its clicks. It
compares lists within each customer, so it needs far fewer of them; it does not say
what a list is worth, because both are seen together.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from scipy import stats

from features.history import Ints
from serving.experiments.draft import SECOND


@dataclass(frozen=True)
class Preference:
    """Which list's products were clicked.

    Attributes:
        first, second: customers who clicked more products of that list.
        tied: customers with as many clicks on both.
        share: of the second list among those not tied; null: nobody.
        low, high: exact (Clopper and Pearson) interval of the share.
        p_value: exact sign test of one half; null: nobody.
    """

    first: int
    second: int
    tied: int
    share: float | None
    low: float | None
    high: float | None
    p_value: float | None


def preference(customer: Ints, team: Ints, confidence: float = 0.95) -> Preference:
    """Credit of clicks, one vote a customer.

    Args:
        customer: code of each clicked product's customer, ``[click]``.
        team: which list gave it, ``[click]``.
        confidence: of the interval.
    """
    _, code = np.unique(customer, return_inverse=True)
    lead = np.bincount(code, np.where(team == SECOND, 1.0, -1.0))
    second, first = int((lead > 0).sum()), int((lead < 0).sum())
    tied = int((lead == 0).sum())
    if first + second == 0:
        return Preference(first, second, tied, None, None, None, None)
    found = stats.binomtest(second, first + second)
    interval = found.proportion_ci(confidence, method="exact")
    return Preference(
        first,
        second,
        tied,
        second / (first + second),
        float(interval.low),
        float(interval.high),
        float(found.pvalue),
    )
