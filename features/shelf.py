"""Product features at a cutoff: what sells, to whom again, at what price.

The promotion plan is the only thing here that speaks of days after the cutoff,
and only in rows known before it.
"""

from __future__ import annotations

from dataclasses import dataclass, fields

import numpy as np

from features.history import (
    ALWAYS,
    Array,
    Bools,
    Events,
    Floats,
    History,
    Ints,
    Longs,
    Products,
)
from features.pairs import Pairs, Singles
from features.snapshot import DAY_US

WEEK_DAYS, MONTH_DAYS, SEASON_DAYS = 7, 28, 84

_NEVER = int(np.iinfo(np.int64).max)


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


@dataclass(frozen=True)
class Counts:
    """What customers bought of every product by a cutoff; groups of customers add up.

    All but ``active`` of shape ``[product]``, or ``[days, product]`` for the last
    ``WEEK_DAYS``, ``MONTH_DAYS``, ``SEASON_DAYS``.

    Attributes:
        lines: purchased lines.
        amount, list_amount: paid for them and before discounts, shop currency.
        buyers: customers who ever bought it.
        repeat_buyers: with two orders or more.
        orders: of all buyers together.
        gap_days: sum over repeat buyers of their mean days between orders.
        buyers_lately: customers whose last purchase of it lies within a horizon
            before the cutoff.
        first_us: first purchase; the largest integer: none.
        active: customers with a purchase in the last ``SEASON_DAYS``.
    """

    lines: Floats
    amount: Floats
    list_amount: Floats
    buyers: Floats
    repeat_buyers: Floats
    orders: Floats
    gap_days: Floats
    buyers_lately: Floats
    first_us: Longs
    active: int

    def __add__(self, other: Counts) -> Counts:
        """Of both groups of customers together; no customer may be in both."""
        return Counts(
            self.lines + other.lines,
            self.amount + other.amount,
            self.list_amount + other.list_amount,
            self.buyers + other.buyers,
            self.repeat_buyers + other.repeat_buyers,
            self.orders + other.orders,
            self.gap_days + other.gap_days,
            self.buyers_lately + other.buyers_lately,
            np.minimum(self.first_us, other.first_us),
            self.active + other.active,
        )


def counts_at(
    history: History, pairs: Pairs, cutoff_us: int, horizon_days: int
) -> Counts:
    """Counts of a history's customers as known at the cutoff.

    Args:
        history: rows at or after the cutoff, or known later, are not read.
        pairs: customer x product history at the same cutoff.
        cutoff_us: microseconds since 1970-01-01.
        horizon_days: of ``buyers_lately``.
    """
    n = len(history.products)
    events = history.purchases
    sold = events.before(cutoff_us) & events.bought
    lines, amount, listed = (np.zeros((3, n)) for _ in range(3))
    for i, days in enumerate((WEEK_DAYS, MONTH_DAYS, SEASON_DAYS)):
        rows = np.flatnonzero(sold & (events.ts >= cutoff_us - days * DAY_US))
        lines[i] = _count(events, rows, n)
        amount[i] = _count(events, rows, n, "amount")
        listed[i] = _count(events, rows, n, "list_amount")
    repeat = pairs.orders > 1
    first = np.full(n, _NEVER, dtype=np.int64)
    np.minimum.at(first, pairs.item, pairs.first_us)
    late = pairs.last_us >= cutoff_us - horizon_days * DAY_US
    season = pairs.last_us >= cutoff_us - SEASON_DAYS * DAY_US

    def of(rows: Bools | slice, weight: Array | None = None) -> Floats:
        counted = np.bincount(pairs.item[rows], weight, minlength=n)
        return counted.astype(np.float64)

    return Counts(
        lines,
        amount,
        listed,
        buyers=of(slice(None)),
        repeat_buyers=of(repeat),
        orders=of(slice(None), pairs.orders),
        gap_days=of(repeat, pairs.gap_mean[repeat]),
        buyers_lately=of(late),
        first_us=first,
        active=len(np.unique(pairs.customer[season])),
    )


def shelf_of(
    counts: Counts, history: History, cutoff_us: int, horizon_days: int
) -> Shelf:
    """Product features as known at the cutoff.

    Args:
        counts: of all customers at the cutoff.
        history: of its products; plans known at or after the cutoff are not read.
        cutoff_us: microseconds since 1970-01-01.
        horizon_days: how far ahead a known promotion plan counts.
    """
    week, month, season = counts.lines
    price = _ratio(counts.amount[2], season)
    is_sold = counts.first_us < _NEVER
    age = (cutoff_us - np.where(is_sold, counts.first_us, 0)) / DAY_US
    horizon_us = cutoff_us + horizon_days * DAY_US
    values: dict[str, np.ndarray] = {
        "lines_7d": week,
        "lines_28d": month,
        "lines_84d": season,
        "trend": _ratio(3 * month, season),
        "buyers": counts.buyers,
        "repeat_rate": _ratio(counts.repeat_buyers, counts.buyers),
        "orders_per_buyer": _ratio(counts.orders, counts.buyers),
        "gap": _ratio(counts.gap_days, counts.repeat_buyers),
        "price": price,
        "price_change": _ratio(_ratio(counts.amount[1], month), price),
        "discount": 1 - _ratio(counts.amount[1], counts.list_amount[1]),
        "days_since_first": np.where(is_sold, age, np.nan),
        "mailer": _reach(history, "mailer", cutoff_us, cutoff_us, horizon_us),
        "display": _reach(history, "display", cutoff_us, cutoff_us, horizon_us),
        "mailer_days": _days(history, "mailer", cutoff_us, horizon_us),
        "display_days": _days(history, "display", cutoff_us, horizon_us),
        "mailer_before": _reach(
            history, "mailer", cutoff_us, cutoff_us - MONTH_DAYS * DAY_US, cutoff_us
        ),
    }
    return Shelf(**{name: values[name].astype(np.float32) for name in SHELF_COLUMNS})


def arrived_at(counts: Counts, products: Products) -> Longs:
    """When each product came into the range, microseconds, ``[product]``.

    ``launched_at``, else the first purchase; ``ALWAYS`` where neither is known.
    """
    first = np.where(counts.first_us == _NEVER, ALWAYS, counts.first_us)
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
