"""Feature rows of candidates: one float32 row per customer and product.

NaN means that there is nothing to measure: never bought, never sold, one
order only. Days are fractional and count back from the cutoff.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numba import njit

from features.history import Ints, Longs
from features.interest import Interest
from features.pairs import FAST_DAYS, SLOW_DAYS, Pairs, Singles
from features.shelf import SHELF_COLUMNS
from features.snapshot import DAY_US
from training.candidates import Candidates
from training.generators.fitted import SOURCES
from training.moment import LEVELS, Moment

_PAIR = (
    "orders_count",
    "days_since_last_order",
    "days_since_first_order",
    "gap_mean_days",
    "gap_spread_days",
    "last_gap_days",
    "orders_decayed_slow",
    "orders_decayed_fast",
    "pieces_per_order",
    "spend_per_order",
    "days_over_gap",
    "days_over_last_gap",
    "visits_since_last_order",
    "orders_per_visit",
    "orders_decayed_per_visit",
    "rank_own",
)
_GROUP = (
    "orders_count",
    "days_since_last_order",
    "gap_mean_days",
    "orders_decayed_slow",
    "orders_decayed_fast",
    "days_over_gap",
    "orders_decayed_per_visit",
    "product_share",
)
_INTEREST = (
    "views_decayed",
    "carts_decayed",
    "inquiries_decayed",
    "days_since_last",
)
_CUSTOMER = (
    "visits_count",
    "days_since_last_visit",
    "visits_decayed_slow",
    "visits_decayed_fast",
    "lines_per_visit",
    "lines_per_visit_last_10",
    "products_count",
    "products_per_line",
    "spend_per_line",
)
_GROUPS = LEVELS[1:]
_SCORED = tuple(
    name.lower().replace("-", "_").replace(" ", "_") for name in SOURCES[1:]
)

COLUMNS: tuple[str, ...] = (
    *(f"product_{name}" for name in _PAIR),
    *(f"{level}_{name}" for level in _GROUPS for name in _GROUP),
    *(f"interest_{name}" for name in _INTEREST),
    *(f"customer_{name}" for name in _CUSTOMER),
    *(f"shelf_{name}" for name in SHELF_COLUMNS),
    *(f"score_{name}" for name in _SCORED),
    "price_over_usual",
)
"""Names of the features, in the order of the matrix."""

AGAIN = np.arange(len(COLUMNS))
"""Columns of the again lane."""

NEW = np.array([i for i, name in enumerate(COLUMNS) if not name.startswith("product_")])
"""Columns of the new lane: it has no pair history."""


def feature_rows(moment: Moment, found: Candidates) -> Singles:
    """Features of candidates, shape ``[row, len(COLUMNS)]``.

    Args:
        moment: history at the cutoff.
        found: candidates at the same moment.
    """
    out = np.full((len(found.customer), len(COLUMNS)), np.nan, dtype=np.float32)
    customer = customer_columns(moment)
    trips = customer[:, _CUSTOMER.index("visits_decayed_slow")]
    place = len(_PAIR)
    out[:, :place] = _pair_columns(moment, found, trips)
    own = np.where(found.pair >= 0, moment.pairs["product"].slow[found.pair], 0.0)
    for level in _GROUPS:
        block = _group_columns(moment, level, found, trips, own)
        out[:, place : place + len(_GROUP)] = block
        place += len(_GROUP)
    out[:, place : place + len(_INTEREST)] = _interest_columns(moment, found)
    place += len(_INTEREST)
    out[:, place : place + len(_CUSTOMER)] = customer[found.customer]
    spend_per_line = out[:, place + _CUSTOMER.index("spend_per_line")]
    place += len(_CUSTOMER)
    for name in SHELF_COLUMNS:
        out[:, place] = getattr(moment.shelf, name)[found.product]
        place += 1
    out[:, place : place + len(_SCORED)] = found.scores.T
    out[:, -1] = _over(moment.shelf.price[found.product], spend_per_line)
    return out


def _pair_columns(moment: Moment, found: Candidates, trips: Singles) -> Singles:
    pairs = moment.pairs["product"]
    out = np.full((len(found.pair), len(_PAIR)), np.nan, dtype=np.float32)
    rows = np.flatnonzero(found.pair >= 0)
    at = found.pair[rows]
    customer = found.customer[rows]
    orders = pairs.orders[at]
    last = (moment.cutoff_us - pairs.last_us[at]) / DAY_US
    first = (moment.cutoff_us - pairs.first_us[at]) / DAY_US
    since = _visits_from(moment, customer, pairs.last_us[at] + 1)
    chances = _visits_from(moment, customer, pairs.first_us[at])
    columns = (
        orders,
        last,
        first,
        pairs.gap_mean[at],
        pairs.gap_spread[at],
        pairs.last_gap[at],
        pairs.slow[at],
        pairs.fast[at],
        pairs.quantity[at] / orders,
        pairs.spend[at] / orders,
        _over(last, pairs.gap_mean[at]),
        _over(last, pairs.last_gap[at]),
        since,
        _over(orders, chances),
        _over(pairs.slow[at], trips[customer]),
        found.place[rows],
    )
    out[rows] = np.column_stack(columns).astype(np.float32)
    return out


def _group_columns(
    moment: Moment, level: str, found: Candidates, trips: Singles, own: Singles
) -> Singles:
    """What the customer buys in the product's subcategory, category or brand."""
    pairs = moment.pairs[level]
    out = np.full((len(found.product), len(_GROUP)), np.nan, dtype=np.float32)
    at = find_pairs(pairs, found.customer, moment.group_of[level][found.product])
    rows = np.flatnonzero(at >= 0)
    at = at[rows]
    last = (moment.cutoff_us - pairs.last_us[at]) / DAY_US
    columns = (
        pairs.orders[at],
        last,
        pairs.gap_mean[at],
        pairs.slow[at],
        pairs.fast[at],
        _over(last, pairs.gap_mean[at]),
        _over(pairs.slow[at], trips[found.customer[rows]]),
        _over(own[rows], pairs.slow[at]),
    )
    out[rows] = np.column_stack(columns).astype(np.float32)
    return out


def _interest_columns(moment: Moment, found: Candidates) -> Singles:
    """What the customer looked at, asked about or put in a cart."""
    interest = moment.interest
    out = np.full((len(found.product), len(_INTEREST)), np.nan, dtype=np.float32)
    at = find_pairs(interest, found.customer, found.product)
    rows = np.flatnonzero(at >= 0)
    at = at[rows]
    out[rows] = np.column_stack(
        (
            interest.views[at],
            interest.carts[at],
            interest.inquiries[at],
            (moment.cutoff_us - interest.last_us[at]) / DAY_US,
        )
    )
    return out


def customer_columns(moment: Moment) -> Singles:
    """Shopping habits, one row per customer code, ``[customer, column]``."""
    visits, pairs = moment.visits, moment.pairs["product"]
    sizes = np.diff(visits.offsets)
    n = len(sizes)
    customer = np.repeat(np.arange(n), sizes)
    age = (moment.cutoff_us - visits.ts) / DAY_US
    last = np.full(n, np.nan)
    active = np.flatnonzero(sizes)
    last[active] = age[visits.offsets[active + 1] - 1]
    recent = visits.offsets[customer + 1] - np.arange(len(customer)) <= 10
    lines = np.bincount(customer, visits.lines, minlength=n)
    spend = np.bincount(customer, visits.spend, minlength=n)
    late = np.bincount(customer[recent], visits.lines[recent], minlength=n)
    products = np.diff(pairs.offsets)
    columns = (
        sizes,
        last,
        np.bincount(customer, 2.0 ** (-age / SLOW_DAYS), minlength=n),
        np.bincount(customer, 2.0 ** (-age / FAST_DAYS), minlength=n),
        _over(lines, sizes),
        _over(late, np.minimum(sizes, 10)),
        products,
        _over(products, lines),
        _over(spend, lines),
    )
    return np.column_stack(columns).astype(np.float32)


def _visits_from(moment: Moment, customer: Ints, moments_us: Longs) -> Longs:
    """Orders of each row's customer at or after a moment, ``[row]``."""
    at = _place_in(moment.visits.offsets, moment.visits.ts, customer, moments_us)
    return moment.visits.offsets[customer + 1] - at


def find_pairs(pairs: Pairs | Interest, customer: Ints, item: Ints) -> Longs:
    """Pair row of each customer and item, -1: none, shape ``[row]``."""
    if not len(pairs):
        return np.full(len(customer), -1, dtype=np.int64)
    at = _place_in(pairs.offsets, pairs.item, customer, item)
    inside = np.minimum(at, len(pairs) - 1)
    found = (at < pairs.offsets[customer + 1]) & (pairs.item[inside] == item)
    return np.where(found & (item >= 0), at, -1)


@njit(cache=True, nogil=True)  # pyright: ignore[reportUntypedFunctionDecorator]
def _place_in(offsets: Any, values: Any, customer: Any, wanted: Any) -> Any:
    """First of the customer's ascending values that is not below the wanted."""
    places = np.empty(len(customer), dtype=np.int64)
    for row in range(len(customer)):
        low, high = offsets[customer[row]], offsets[customer[row] + 1]
        while low < high:
            middle = (low + high) // 2
            if values[middle] < wanted[row]:
                low = middle + 1
            else:
                high = middle
        places[row] = low
    return places


def _over(above: np.ndarray, below: np.ndarray) -> Singles:
    """Element by element; NaN where the divisor is not positive."""
    known = below > 0
    ratio = np.where(known, above / np.where(known, below, 1.0), np.nan)
    return ratio.astype(np.float32)
