"""How soon products are bought again after a purchase, as past customers did."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from scipy.special import logit

from features.history import Bools, Floats, Ints, Longs
from features.pairs import Lines, Singles
from features.snapshot import DAY_US
from training.moment import Moment, Sorted

STRENGTH = 20.0
"""Purchases of a product from which its own rate says more than its group's."""

MIN_GAPS = 10
"""With fewer returns to a product, the usual gap is its group's."""


@dataclass(frozen=True)
class Rebuy:
    """Per product code, shape ``[product]``.

    Attributes:
        log_odds: of P(the buyer buys it again within the horizon of a purchase).
        gap_days: median days to the next order of those who bought it again; the
            subcategory's where few did; NaN: too few there, too.
    """

    log_odds: Singles
    gap_days: Singles


def rebuy_at(ordered: Sorted, moment: Moment, horizon_days: int) -> Rebuy:
    """Re-buying as known at a moment.

    Args:
        ordered: sorted lines; those at or after the moment, or known later, are
            not read.
        moment: tells the groups of products.
        horizon_days: after a purchase; purchases whose horizon is not over by the
            moment do not count.
    """
    item, ts, gap = _orders(ordered.lines["product"], moment.cutoff_us)
    over = ts < moment.cutoff_us - horizon_days * DAY_US
    again = gap < horizon_days
    levels = [moment.group_of[level] for level in ("category", "subcategory")]
    rate = _rates(item[over], again[over], levels, moment.n_products)
    back = np.isfinite(gap)
    own = _medians(item[back], gap[back], moment.n_products)
    kind = moment.group_of["subcategory"]
    among = np.append(
        _medians(kind[item[back]], gap[back], int(kind.max()) + 1), np.nan
    )
    usual = np.where(np.isnan(own), among[kind], own)
    return Rebuy(logit(rate).astype(np.float32), usual.astype(np.float32))


def _orders(lines: Lines, cutoff_us: int) -> tuple[Ints, Longs, Floats]:
    """Item and time of every order, and days to the next of the same customer."""
    rows = np.flatnonzero((lines.ts < cutoff_us) & (lines.known_at < cutoff_us))
    key = lines.customer[rows].astype(np.int64) * lines.n_items + lines.item[rows]
    order = lines.order[rows]
    first = np.ones(len(rows), dtype=np.bool_)
    first[1:] = (np.diff(key) != 0) | (np.diff(order) != 0)
    rows, key = rows[first], key[first]
    ts = lines.ts[rows]
    gap = np.full(len(rows), np.inf)
    same = np.flatnonzero(np.diff(key) == 0)
    gap[same] = (ts[same + 1] - ts[same]) / DAY_US
    return lines.item[rows], ts, gap


def _rates(item: Ints, again: Bools, levels: list[Ints], n: int) -> Floats:
    """Shares bought again, drawn to the group's, ``[product]``; never 0 or 1."""
    # Of all purchases; a half purchase of either kind, so that it is no certainty.
    rate = np.full(n, (again.sum() + 0.5) / (len(again) + 1.0))
    for group in (*levels, np.arange(n, dtype=np.int32)):
        of, known = group[item], group[item] >= 0
        size = int(group.max(initial=-1)) + 1
        count = np.bincount(of[known], minlength=size)
        hits = np.bincount(of[known], again[known], minlength=size)
        at = np.flatnonzero(group >= 0)
        own = (hits[group[at]] + STRENGTH * rate[at]) / (count[group[at]] + STRENGTH)
        rate[at] = own
    return rate


def _medians(group: Ints, gap: Floats, n: int) -> Floats:
    """Median gap by group, NaN below ``MIN_GAPS``, ``[group]``."""
    known = group >= 0
    group, gap = group[known], gap[known]
    gap = gap[np.lexsort((gap, group))]
    size = np.bincount(group, minlength=n)
    start = np.cumsum(size) - size
    median = np.full(n, np.nan)
    enough = np.flatnonzero(size >= MIN_GAPS)
    low, high = (size[enough] - 1) // 2, size[enough] // 2
    at = start[enough]
    median[enough] = (gap[at + low] + gap[at + high]) / 2
    return median
