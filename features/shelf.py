"""Product features at a cutoff: what sells, to whom again, at what price.

The promotion plan is the only thing here that speaks of days after the cutoff,
and only in rows known before it.
"""

from __future__ import annotations

from dataclasses import dataclass, fields

import numpy as np

from features.history import ALWAYS, Events, History, Ints, Longs, Products
from features.pairs import Pairs, Singles
from features.snapshot import DAY_US

WEEK_DAYS, MONTH_DAYS, SEASON_DAYS = 7, 28, 84


@dataclass(frozen=True)
class Shelf:
    """One value per product, float32, shape ``[product]``.

    Attributes:
        lines_7d, lines_28d, lines_84d: purchased lines in the last days.
        trend: lines of the last 28 days over a third of the 84; NaN: no sale.
        buyers: customers who ever bought it.
        repeat_rate: share of them with two orders or more; NaN: no buyer.
        orders_per_buyer: orders over buyers; NaN: no buyer.
        gap: mean days between orders of repeat buyers; NaN: none.
        price: net paid per line in the last 84 days; NaN: no sale.
        price_change: net per line of the last 28 days over ``price``.
        discount: share of the list amount not paid in the last 28 days.
        days_since_first: days since the shop first sold it; NaN: never.
        mailer, display: largest known reach of a plan that is in force at
            some moment of ``[cutoff, cutoff + horizon)``; 0: none known.
        mailer_days, display_days: days of the horizon in which such plans are in
            force, each day counted by its plan's reach; 0: none known.
        mailer_before: the reach of mailers in the 28 days before the cutoff.
    """

    lines_7d: Singles
    lines_28d: Singles
    lines_84d: Singles
    trend: Singles
    buyers: Singles
    repeat_rate: Singles
    orders_per_buyer: Singles
    gap: Singles
    price: Singles
    price_change: Singles
    discount: Singles
    days_since_first: Singles
    mailer: Singles
    display: Singles
    mailer_days: Singles
    display_days: Singles
    mailer_before: Singles


SHELF_COLUMNS: tuple[str, ...] = tuple(field.name for field in fields(Shelf))


def shelf_at(
    history: History, pairs: Pairs, cutoff_us: int, horizon_days: int
) -> Shelf:
    """Product features as known at the cutoff.

    Args:
        history: rows at or after the cutoff, or known later, are not read.
        pairs: customer x product history at the same cutoff.
        cutoff_us: microseconds since 1970-01-01.
        horizon_days: how far ahead a known promotion plan counts.
    """
    n = len(history.products)
    events = history.purchases
    sold = events.before(cutoff_us) & events.bought
    counts, amounts, listed = {}, {}, {}
    for days in (WEEK_DAYS, MONTH_DAYS, SEASON_DAYS):
        rows = np.flatnonzero(sold & (events.ts >= cutoff_us - days * DAY_US))
        counts[days] = _count(events, rows, n)
        amounts[days] = _count(events, rows, n, "amount")
        listed[days] = _count(events, rows, n, "list_amount")
    buyers = np.bincount(pairs.item, minlength=n).astype(np.float64)
    again = np.bincount(pairs.item[pairs.orders > 1], minlength=n)
    orders = np.bincount(pairs.item, pairs.orders, minlength=n)
    gaps = pairs.orders > 1
    gap_sum = np.bincount(pairs.item[gaps], pairs.gap_mean[gaps], minlength=n)
    first = np.full(n, np.iinfo(np.int64).max, dtype=np.int64)
    np.minimum.at(first, pairs.item, pairs.first_us)
    price = _ratio(amounts[SEASON_DAYS], counts[SEASON_DAYS])
    month_price = _ratio(amounts[MONTH_DAYS], counts[MONTH_DAYS])
    horizon_us = cutoff_us + horizon_days * DAY_US
    values: dict[str, np.ndarray] = {
        "lines_7d": counts[WEEK_DAYS],
        "lines_28d": counts[MONTH_DAYS],
        "lines_84d": counts[SEASON_DAYS],
        "trend": _ratio(3 * counts[MONTH_DAYS], counts[SEASON_DAYS]),
        "buyers": buyers,
        "repeat_rate": _ratio(again, buyers),
        "orders_per_buyer": _ratio(orders, buyers),
        "gap": _ratio(gap_sum, again),
        "price": price,
        "price_change": _ratio(month_price, price),
        "discount": 1 - _ratio(amounts[MONTH_DAYS], listed[MONTH_DAYS]),
        "days_since_first": np.where(buyers > 0, (cutoff_us - first) / DAY_US, np.nan),
        "mailer": _reach(history, "mailer", cutoff_us, cutoff_us, horizon_us),
        "display": _reach(history, "display", cutoff_us, cutoff_us, horizon_us),
        "mailer_days": _days(history, "mailer", cutoff_us, horizon_us),
        "display_days": _days(history, "display", cutoff_us, horizon_us),
        "mailer_before": _reach(
            history, "mailer", cutoff_us, cutoff_us - MONTH_DAYS * DAY_US, cutoff_us
        ),
    }
    return Shelf(**{name: values[name].astype(np.float32) for name in SHELF_COLUMNS})


def arrived_at(history: History, cutoff_us: int) -> Longs:
    """When each product came into the range, microseconds, ``[product]``.

    ``launched_at``, else the first purchase known before the cutoff; ``ALWAYS``
    where neither is known.
    """
    lines, products = history.purchases, history.products
    sold = lines.before(cutoff_us) & lines.bought
    never = np.iinfo(np.int64).max
    first = np.full(len(products), never, dtype=np.int64)
    np.minimum.at(first, lines.columns["product"][sold], lines.ts[sold])
    first[first == never] = ALWAYS
    return np.where(products.launched == ALWAYS, first, products.launched)


def subcategory_of(products: Products) -> tuple[Ints, tuple[str, ...]]:
    """Finest known group of every product; the category where none has a finer one.

    Returns:
        Codes, ``[product]``, -1: unknown; and the text of each code.
    """
    return _first_known(products, "subcategory", "category")


def category_of(products: Products) -> tuple[Ints, tuple[str, ...]]:
    """Category of every product; the subcategory where none has a category.

    Returns:
        As of ``subcategory_of``.
    """
    return _first_known(products, "category", "subcategory")


def _first_known(
    products: Products, level: str, instead: str
) -> tuple[Ints, tuple[str, ...]]:
    codes: dict[str, Ints] = {
        "subcategory": products.subcategory,
        "category": products.category,
    }
    if not (codes[level] >= 0).any():
        level = instead
    return codes[level], products.words[level]


def _count(
    events: Events, rows: np.ndarray, n: int, column: str | None = None
) -> np.ndarray:
    weights = None if column is None else events.columns[column][rows]
    products = events.columns["product"][rows]
    return np.bincount(products, weights, minlength=n).astype(np.float64)


def _ratio(above: np.ndarray, below: np.ndarray) -> np.ndarray:
    """Element by element; NaN where the divisor is zero or unknown."""
    known = below > 0
    return np.where(known, above / np.where(known, below, 1.0), np.nan)


def _reach(
    history: History, kind: str, cutoff_us: int, start_us: int, end_us: int
) -> np.ndarray:
    product, share, _ = _plans(history, kind, cutoff_us, start_us, end_us)
    reach = np.zeros(len(history.products))
    np.maximum.at(reach, product, share)
    return reach


def _days(history: History, kind: str, cutoff_us: int, end_us: int) -> np.ndarray:
    product, share, days = _plans(history, kind, cutoff_us, cutoff_us, end_us)
    return np.bincount(product, share * days, minlength=len(history.products))


def _plans(
    history: History, kind: str, cutoff_us: int, start_us: int, end_us: int
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Product, reach, and days within the window of every plan known by the cutoff."""
    plans = history.promotions
    if plans is None or kind not in plans.words:
        return np.zeros(0, dtype=np.int32), np.zeros(0), np.zeros(0)
    rows = np.flatnonzero(
        (plans.kind == plans.words.index(kind))
        & (plans.known_at < cutoff_us)
        & (plans.starts < end_us)
        & (plans.ends > start_us)
    )
    starts = np.maximum(plans.starts[rows], start_us)
    ends = np.minimum(plans.ends[rows], end_us)
    # A plan without a stated reach is taken to hold everywhere.
    share = np.nan_to_num(plans.reach[rows], nan=1.0)
    return plans.product[rows], share, (ends - starts) / DAY_US
