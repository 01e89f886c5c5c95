"""All that the recommender knows at one cutoff, computed from sorted lines."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime

import numpy as np

from features.history import History, Ints
from features.interest import Interest, interest_at
from features.pairs import Lines, Pairs, Visits, lines, pairs_at, visits_at
from features.shelf import (
    Counts,
    Shelf,
    category_of,
    counts_at,
    shelf_of,
    subcategory_of,
)
from features.snapshot import to_us

LEVELS: tuple[str, ...] = ("product", "subcategory", "category", "brand")
"""Groups of products for which a customer's history is kept."""


@dataclass(frozen=True)
class Sorted:
    """The lines of a history, sorted for every level; serves all cutoffs.

    Attributes:
        group_of: item code of every product by level, shape ``[product]``,
            -1: unknown.
    """

    history: History
    group_of: dict[str, Ints]
    lines: dict[str, Lines]


@dataclass(frozen=True)
class Moment:
    """History as known at a cutoff.

    Attributes:
        cutoff_us: microseconds since 1970-01-01.
        customers: codes of customers with a purchase before the cutoff,
            ascending, shape ``[active]``.
        pairs: customer x item history by level.
        interest: what customers looked at, asked about, put in a cart.
        visits: orders of every customer.
        counts: what all customers bought, also those who are not in the history.
        shelf: product features, from the counts.
        group_of: as in ``Sorted``.
    """

    history: History
    cutoff_us: int
    customers: Ints
    pairs: dict[str, Pairs]
    interest: Interest
    visits: Visits
    counts: Counts
    shelf: Shelf
    group_of: dict[str, Ints]

    @property
    def n_products(self) -> int:
        """Number of product codes."""
        return len(self.history.products)


def sort_history(history: History) -> Sorted:
    """Sort once for all cutoffs."""
    group_of = {
        "product": np.arange(len(history.products), dtype=np.int32),
        "subcategory": subcategory_of(history.products)[0],
        "category": category_of(history.products)[0],
        "brand": history.products.brand,
    }
    groups = [group_of[level] for level in LEVELS]
    by_level = dict(zip(LEVELS, lines(history, groups), strict=True))
    return Sorted(history, group_of, by_level)


def moment_at(
    ordered: Sorted,
    cutoff: datetime,
    horizon_days: int,
    counts: Counts | None = None,
) -> Moment:
    """Everything as known at the cutoff.

    Args:
        ordered: sorted lines; those at or after the cutoff, or known later,
            are not read.
        cutoff: naive UTC.
        horizon_days: how far ahead a known promotion plan counts.
        counts: of all customers at the cutoff, where the history has some of them
            only; None: it has all.
    """
    cutoff_us = to_us(cutoff)
    pairs = {level: pairs_at(ordered.lines[level], cutoff_us) for level in LEVELS}
    bought = pairs["product"]
    if counts is None:
        counts = counts_at(ordered.history, bought, cutoff_us, horizon_days)
    return Moment(
        history=ordered.history,
        cutoff_us=cutoff_us,
        customers=np.flatnonzero(np.diff(bought.offsets)).astype(np.int32),
        pairs=pairs,
        interest=interest_at(ordered.history, cutoff_us),
        visits=visits_at(ordered.history, cutoff_us),
        counts=counts,
        shelf=shelf_of(counts, ordered.history, cutoff_us, horizon_days),
        group_of=ordered.group_of,
    )
