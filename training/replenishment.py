"""When a customer will need a product group again: a distribution, not a date.

The days between purchases of a group are taken as log-normal around a personal
cycle that is shrunk to the cycle of the group (normal-normal on log days). The
due date is conditional on the days that have passed already, so it is as of the
cutoff and moves on while a customer is overdue. One calibration, learned a horizon
earlier, makes up for habits that ended; dates and probability are read from the
same calibrated distribution, so a group is due within the horizon by its date
where it is by its probability at even odds.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import pyarrow as pa
from scipy.stats import norm

from features.history import Array, Floats, History, Ints
from features.snapshot import DAY_US, Snapshot
from training.calibration import Platt, fit_platt

MIN_GAPS = 3
"""Fewer completed cycles than this say too little: abstain."""

MAX_SPREAD = 3.0
"""Abstain where the upper decile of the wait is this often the cycle."""

MAX_OVERDUE = 3.0
"""Abstain past this many cycles without a purchase: the habit has ended."""

_MAX_DAY = 1 << 16
"""Days since 1970 stay below this until the year 2149."""


@dataclass(frozen=True)
class Cycles:
    """Completed gaps of (customer, group) pairs with two purchase days or more.

    Arrays of shape ``[pair]``, ordered by customer, then group; ``log_mean``
    and ``log_var`` (unbiased, 0 for one gap) are over log days.
    """

    customer: Ints
    group: Ints
    gaps: Floats
    log_mean: Floats
    log_var: Floats
    days_since_last: Floats


def cycles(history: History, cutoff_us: int) -> Cycles:
    """Gaps between purchase days of each customer and group before a cutoff."""
    lines = history.purchases
    group = _group_of_product(history)[lines.columns["product"]]
    keep = lines.before(cutoff_us) & lines.bought
    day = lines.ts[keep] // DAY_US
    # One number per customer, group and day, so that one sort makes them distinct.
    n_groups = len(_group_names(history))
    pair = lines.customer[keep].astype(np.int64) * n_groups + group[keep]
    pair, day = np.divmod(np.unique(pair * _MAX_DAY + day), _MAX_DAY)
    same = pair[1:] == pair[:-1]
    log_gap = np.log(np.diff(day)[same])
    pair_of_gap = np.cumsum(~same)[same]
    starts = np.flatnonzero(np.r_[True, ~same])[: len(pair)]
    n = len(starts)
    gaps = np.bincount(pair_of_gap, minlength=n).astype(np.float64)
    has = gaps > 0
    total = np.bincount(pair_of_gap, weights=log_gap, minlength=n)
    mean = np.divide(total, gaps, out=np.zeros(n), where=has)
    square = np.bincount(
        pair_of_gap, weights=(log_gap - mean[pair_of_gap]) ** 2, minlength=n
    )
    last = day[np.r_[starts[1:], len(day)][:n] - 1]
    return Cycles(
        customer=(pair[starts[has]] // n_groups).astype(np.int32),
        group=(pair[starts[has]] % n_groups).astype(np.int32),
        gaps=gaps[has],
        log_mean=mean[has],
        log_var=(square / np.maximum(gaps - 1, 1))[has],
        days_since_last=(cutoff_us / DAY_US - last[has]).astype(np.float64),
    )


def predict_replenishment(history: History, snapshot: Snapshot) -> pa.Table:
    """Due dates of every product group that a customer bought on two days or more.

    Returns:
        Ordered by customer and group: ``customer_id``, ``product_group`` (the
        category; the product's id where it has none), ``due_at`` (median), ``due_p10``, ``due_p90``,
        ``probability`` (due within the horizon) and ``abstain`` (too few
        cycles, too wide a spread, or the habit has ended).
    """
    c = cycles(history, snapshot.cutoff_us)
    mu, sigma = _shrunk(c)
    passed = _passed(c, mu, sigma)
    left = 1 - passed

    calibration = _calibration(history, snapshot)

    def wait(share: float) -> Floats:
        """Days from the cutoff at which ``share`` of such customers have bought."""
        raw = calibration.inverse(share)
        quantile = np.exp(mu + sigma * norm.ppf(passed + raw * left))
        return np.maximum(quantile - c.days_since_last, 0.0)

    probability = calibration(_due_within(c, snapshot.horizon_days))
    low, median, high = wait(0.1), wait(0.5), wait(0.9)
    cycle = np.exp(mu)
    abstain = (
        (c.gaps < MIN_GAPS)
        | (high > MAX_SPREAD * cycle)
        | (c.days_since_last > MAX_OVERDUE * cycle)
    )
    groups = _group_names(history)
    return pa.table(
        {
            "customer_id": pa.array(history.customers[c.customer], pa.string()),
            "product_group": pa.array(groups[c.group], pa.string()),
            "due_at": _dates(snapshot, median),
            "due_p10": _dates(snapshot, low),
            "due_p90": _dates(snapshot, high),
            "probability": probability,
            "abstain": abstain,
        }
    )


def _group_of_product(history: History) -> Ints:
    """Group of each product: its category, or a group of its own."""
    products = history.products
    alone = len(products.words["category"]) + np.arange(len(products), dtype=np.int32)
    return np.where(products.category >= 0, products.category, alone)


def _group_names(history: History) -> Array:
    """Name of each group: the categories, then the ids of all products."""
    categories = np.array(history.products.words["category"], dtype=object)
    return np.concatenate([categories, history.products.ids])


def _passed(c: Cycles, mu: Floats, sigma: Floats) -> Floats:
    """Share of such gaps that are shorter than the days passed already."""
    z = (np.log(np.maximum(c.days_since_last, 0.5)) - mu) / sigma
    # Far in the tail the condition leaves nothing to divide by.
    return np.minimum(norm.cdf(z), 1 - 1e-9)


def _due_within(c: Cycles, days: int) -> Floats:
    """P(the next purchase of the group falls within ``days``), habits never end."""
    mu, sigma = _shrunk(c)
    passed = _passed(c, mu, sigma)
    end = norm.cdf((np.log(c.days_since_last + days) - mu) / sigma)
    return np.clip((end - passed) / (1 - passed), 0, 1)


def _calibration(history: History, snapshot: Snapshot) -> Platt:
    """What habits that ended do to the probability, learned one horizon earlier.

    No change where the history does not reach back that far.
    """
    past = snapshot.earlier(snapshot.horizon_days)
    c = cycles(history, past.cutoff_us)
    if not len(c.gaps):
        return Platt()
    lines = history.purchases
    later = (lines.ts >= past.cutoff_us) & (lines.ts < past.label_end_us) & lines.bought
    n_groups = len(_group_names(history))
    group = _group_of_product(history)[lines.columns["product"][later]]
    bought = lines.customer[later].astype(np.int64) * n_groups + group
    label = np.isin(c.customer.astype(np.int64) * n_groups + c.group, bought)
    return fit_platt(_due_within(c, past.horizon_days), label.astype(np.float64))


def _shrunk(c: Cycles) -> tuple[Floats, Floats]:
    """Mean and spread of log days per pair, personal shrunk to group.

    The weights follow from the variances found: within pairs (pooled over all)
    and between the pairs of a group.
    """
    if not len(c.gaps):
        return np.zeros(0), np.ones(0)
    degrees = np.maximum(c.gaps - 1, 0)
    pooled = float(np.sum(degrees * c.log_var) / max(float(degrees.sum()), 1.0))
    pooled = max(pooled, 0.05)
    weight = np.bincount(c.group, weights=c.gaps)
    group_mean = np.divide(
        np.bincount(c.group, weights=c.gaps * c.log_mean),
        weight,
        out=np.zeros(len(weight)),
        where=weight > 0,
    )[c.group]
    between = float(np.average((c.log_mean - group_mean) ** 2, weights=c.gaps))
    between = max(between - pooled / float(np.mean(c.gaps)), 0.02)
    trust = c.gaps / (c.gaps + pooled / between)
    mu = trust * c.log_mean + (1 - trust) * group_mean
    # Four pooled degrees of freedom steady the spread of short histories.
    spread = (degrees * c.log_var + 4 * pooled) / (degrees + 4)
    return mu, np.sqrt(spread + (1 - trust) * between)


def _dates(snapshot: Snapshot, wait_days: Floats) -> pa.Array:
    # Beyond ten years a date says nothing and would overflow later arithmetic.
    wait = (np.minimum(wait_days, 3650.0) * DAY_US).astype(np.int64)
    return pa.array(snapshot.cutoff_us + wait, pa.timestamp("us"))
