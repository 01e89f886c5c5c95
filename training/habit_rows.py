"""Feature rows of habits: one float32 row per pair of customer and product group.

NaN means that there is nothing to measure, such as a gap after one purchase.
Counts of a group are rates, so that they mean the same in a sample of customers.
"""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np

from features.history import Array, Floats, Longs
from features.pairs import FAST_DAYS, SLOW_DAYS, Singles
from training.habits import Bought
from training.rhythm import Rhythm

_WINDOWS = (7, 28, 56, 84)

COLUMNS: tuple[str, ...] = (
    "group",
    "purchases_count",
    *(f"purchases_count_{days}d" for days in _WINDOWS[1:]),
    "purchases_decayed_slow",
    "purchases_decayed_fast",
    "days_since_last",
    "days_since_first",
    "gap_mean",
    "gap_median",
    "gap_longest",
    "gap_last",
    "gap_mean_last_3",
    "since_over_mean",
    "since_over_median",
    "since_over_longest",
    "since_over_last_3",
    "pieces_mean",
    "pieces_last_over_mean",
    "cycle_days",
    "cycle_spread",
    "cycle_passed",
    "share_of_visits",
    "share_of_visits_84d",
    "visits_since_last",
    "visits_since_over_usual",
    "visits_count",
    *(f"visits_count_{days}d" for days in _WINDOWS),
    "days_since_last_visit",
    "since_visit_over_usual",
    "groups_per_visit",
    "groups_7d_over_usual",
    "groups_28d_over_usual",
    "group_purchases_per_buyer",
    "group_share_of_customers",
    "group_trend",
    "service_life_days",
    "since_over_service_life",
)
"""Names of the features, in the order of the matrix; the first is a category."""


Rates = Mapping[str, Floats]
"""Columns that say what all customers do with a group, ``[group]``."""


def habit_rows(
    bought: Bought, rhythm: Rhythm, rates: Rates, life_days: Floats, keep: Longs
) -> Singles:
    """Features of some pairs, shape ``[kept pair, len(COLUMNS)]``.

    Args:
        bought: purchase days before the cutoff.
        rhythm: of the same pairs.
        rates: of the groups at the same cutoff.
        life_days: service life by group, NaN: unknown.
        keep: positions of the pairs.
    """
    out = np.empty((len(keep), len(COLUMNS)), np.float32)

    def put(columns: dict[str, Array]) -> None:
        for name, values in columns.items():
            out[:, COLUMNS.index(name)] = values[keep]

    # One after the other, so that not all are held in double precision at once.
    put(_pair_columns(bought, rhythm))
    put(_customer_columns(bought))
    put({name: values[bought.group] for name, values in rates.items()})
    put(_life_columns(bought, life_days))
    return out


def _pair_columns(bought: Bought, rhythm: Rhythm) -> dict[str, Array]:
    n, counts, last = len(bought.customer), bought.counts, bought.last
    pair = np.repeat(np.arange(n), counts)
    age = bought.today - bought.day
    since, first = bought.today - last, bought.today - bought.day[bought.offsets[:-1]]
    gaps = counts - 1.0
    mean = _over(last - bought.day[bought.offsets[:-1]], gaps)
    median, longest = _gap_statistics(bought)
    before = [_before_last(bought, places) for places in (1, 3)]
    pieces = _over(np.bincount(pair, bought.pieces, minlength=n), counts)
    visits = bought.visits_since(
        bought.customer, bought.day[bought.offsets[:-1]].astype(np.float64)
    )
    visits_84d = bought.visits_since(bought.customer, bought.today - 84)
    visits_since = bought.visits_since(bought.customer, last + 1.0)
    recent = {days: bought.since(days) for days in _WINDOWS[1:]}
    last_3 = (last - before[1]) / 3
    return {
        "group": bought.group,
        "purchases_count": counts,
        **{f"purchases_count_{days}d": found for days, found in recent.items()},
        "purchases_decayed_slow": np.bincount(
            pair, 2 ** (-age / SLOW_DAYS), minlength=n
        ),
        "purchases_decayed_fast": np.bincount(
            pair, 2 ** (-age / FAST_DAYS), minlength=n
        ),
        "days_since_last": since,
        "days_since_first": first,
        "gap_mean": mean,
        "gap_median": median,
        "gap_longest": longest,
        "gap_last": last - before[0],
        "gap_mean_last_3": last_3,
        "since_over_mean": _over(since, mean),
        "since_over_median": _over(since, median),
        "since_over_longest": _over(since, longest),
        "since_over_last_3": _over(since, last_3),
        "pieces_mean": pieces,
        "pieces_last_over_mean": _over(bought.pieces[bought.offsets[1:] - 1], pieces),
        "cycle_days": rhythm.cycle,
        "cycle_spread": rhythm.sigma,
        "cycle_passed": rhythm.passed,
        "share_of_visits": _over(counts, visits),
        "share_of_visits_84d": _over(recent[84], visits_84d),
        "visits_since_last": visits_since,
        "visits_since_over_usual": visits_since * _over(counts, visits),
    }


def _customer_columns(bought: Bought) -> dict[str, Array]:
    """The rhythm of the customer's visits, on the rows of the pairs."""
    n = len(bought.visits) - 1
    everyone, total = np.arange(n, dtype=np.int32), np.diff(bought.visits)
    who = np.repeat(everyone, total)
    visits = {
        days: bought.visits_since(everyone, bought.today - days) for days in _WINDOWS
    }
    groups = {
        days: np.bincount(
            who[late], bought.groups[late].astype(np.float64), minlength=n
        )
        for days in _WINDOWS
        for late in [bought.visit_day >= bought.today - days]
    }
    last = np.full(n, np.nan)
    has = np.flatnonzero(total)
    last[has] = bought.today - bought.visit_day[bought.visits[has + 1] - 1]
    season = _WINDOWS[-1]
    columns = {
        "visits_count": total,
        **{f"visits_count_{days}d": found for days, found in visits.items()},
        "days_since_last_visit": last,
        "since_visit_over_usual": last * visits[season] / season,
        "groups_per_visit": _over(groups[season], visits[season]),
        "groups_7d_over_usual": _over(groups[7], groups[season] * 7 / season),
        "groups_28d_over_usual": _over(groups[28], groups[season] * 28 / season),
    }
    return {name: values[bought.customer] for name, values in columns.items()}


def group_rates(bought: Bought, n: int) -> Rates:
    """What all customers do with each of ``n`` groups, as known at the cutoff."""
    buyers = np.bincount(bought.group, minlength=n)
    n_customers = max(len(np.unique(bought.customer)), 1)
    of_day = np.repeat(bought.group, bought.counts)
    week, weeks = (
        np.bincount(of_day[bought.day >= bought.today - days], minlength=n)
        for days in (7, 56)
    )
    return {
        "group_purchases_per_buyer": _over(np.bincount(of_day, minlength=n), buyers),
        "group_share_of_customers": buyers / n_customers,
        "group_trend": _over(week, weeks / 8),
    }


def _life_columns(bought: Bought, life_days: Floats) -> dict[str, Array]:
    life = life_days[bought.group]
    return {
        "service_life_days": life,
        "since_over_service_life": _over(bought.today - bought.last, life),
    }


def _gap_statistics(bought: Bought) -> tuple[Floats, Floats]:
    """Median and longest days between purchases, ``[pair]``; NaN below two."""
    n = len(bought.customer)
    pair = np.repeat(np.arange(n), bought.counts)
    same = pair[1:] == pair[:-1]
    of, gap = pair[1:][same], np.diff(bought.day)[same]
    gap = gap[np.lexsort((gap, of))]
    counts = bought.counts - 1
    starts = np.cumsum(counts) - counts
    has = counts > 0
    median, longest = np.full(n, np.nan), np.full(n, np.nan)
    low = gap[starts[has] + (counts[has] - 1) // 2]
    median[has] = (low + gap[starts[has] + counts[has] // 2]) / 2
    longest[has] = gap[starts[has] + counts[has] - 1]
    return median, longest


def _before_last(bought: Bought, places: int) -> Floats:
    """Day of the purchase so many before the last, ``[pair]``; NaN: there is none."""
    at = bought.offsets[1:] - 1 - places
    has = at >= bought.offsets[:-1]
    return np.where(has, bought.day[np.where(has, at, 0)], np.nan)


def _over(above: Array, below: Array) -> Floats:
    """Element by element; NaN where the divisor is not positive."""
    known = below > 0
    return np.where(known, above / np.where(known, below, 1.0), np.nan)
