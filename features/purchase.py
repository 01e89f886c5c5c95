"""Dimension 1: what a customer bought, how often, how regularly.

An order is a distinct ``order_id`` with at least one line that is no return. A
day is a distinct calendar day (of the table's own clock) with an order. Lines
with a negative quantity are returns: they lower spend and never make an order.
A line is discounted if it cost less than its list amount. A repeat is a line of
a product that the customer had bought before.
"""

from __future__ import annotations

import numpy as np

from features.contracts import PURCHASES
from features.declare import ALL, Rows, difference, ratio
from features.dimension import BY_DAY, Derived, Stream, dimension, of_product
from features.followed import ANY_BEFORE, followed, only
from features.history import Array, Events, History, Longs
from features.snapshot import DAY_US

MONEY = "shop currency"
NET = "net of returns"
RETURNED = "lines returned for one bought; may exceed 1"
LINES = Rows(where="bought")
RETURNS = Rows(where="returned")
DISCOUNTED = Rows(where="discounted")
WITH_ORDER = "days with an order"
ORDERS = Rows(where="bought", per="order")
DAYS = Rows(where="bought", per="day")
WINDOWS = (7, 14, 30, 60, 90, 180, 365, None)


def _bought(lines: Events, _: History) -> Array:
    return lines.bought


def _weekday(lines: Events) -> Longs:
    """0: Monday."""
    # 1970-01-01 was a Thursday.
    return (lines.ts // DAY_US + 3) % 7


def _hour(lines: Events) -> Longs:
    return (lines.ts % DAY_US) // (DAY_US // 24)


def _paid_of_listed(lines: Events, _: History) -> Array:
    listed = lines.columns["list_amount"]
    return np.where(np.isnan(listed), np.nan, lines.columns["amount"])


def _is_discounted(lines: Events, _: History) -> Array:
    """1 below the list amount, 0 not, NaN where the line does not say."""
    listed, paid = lines.columns["list_amount"], lines.columns["amount"]
    return np.where(np.isnan(listed) | np.isnan(paid), np.nan, paid < listed)


def _discounted(lines: Events, history: History) -> Array:
    return lines.bought & (_is_discounted(lines, history) == 1)


def _repeats(history: History) -> Events:
    """Lines of a product that was bought at an earlier time."""
    lines = only(history.purchases, history.purchases.bought, "product")
    return followed(lines, lines, ANY_BEFORE, by="product")


DERIVED = {
    "bought": Derived(("quantity",), _bought),
    "returned": Derived(("quantity",), lambda lines, _: ~lines.bought),
    "day": BY_DAY,
    "category": of_product("category"),
    "brand": of_product("brand"),
    "weekday": Derived((), lambda lines, _: _weekday(lines).astype(np.int32)),
    "six_hours": Derived((), lambda lines, _: (_hour(lines) // 6).astype(np.int32)),
    "weekend": Derived((), lambda lines, _: _weekday(lines) >= 5),
    "morning": Derived((), lambda lines, _: _hour(lines) < 12),
    "evening": Derived((), lambda lines, _: _hour(lines) >= 17),
    "night": Derived((), lambda lines, _: _hour(lines) < 6),
    "paid_of_listed": Derived(("amount", "list_amount"), _paid_of_listed),
    "is_discounted": Derived(("amount", "list_amount"), _is_discounted),
    "discounted": Derived(("quantity", "amount", "list_amount"), _discounted),
}

AGGREGATES = (
    *ORDERS.age("order"),
    *ORDERS.age_of_first("order"),
    *ORDERS.count("orders", *WINDOWS),
    *ORDERS.decayed("orders", 7, 21, 60),
    *DAYS.count("days", 5, 10, 14, 21, 30, 45, 90, 180, None, of=WITH_ORDER),
    *DAYS.decayed("days", 14, 35, 90, of=f"number of {WITH_ORDER}"),
    *DAYS.active("weeks", 7, 28, 56, 84, of="order"),
    *DAYS.active("fortnights", 14, 84, 168, 364, of="order"),
    *DAYS.gaps("days", "mean", "spread", "median", "max", "last", of=WITH_ORDER),
    *DAYS.gaps(
        "days", "mean", "spread", "median", "max", windows=(90, 180), of=WITH_ORDER
    ),
    *ALL.number(
        "spend", "sum", "amount", MONEY, windows=WINDOWS, meaning=f"amount paid {NET}"
    ),
    *ALL.decayed(
        "spend", 21, 60, column="amount", unit=MONEY, of=f"amounts paid {NET}"
    ),
    *LINES.number("line_amount", "mean", "amount", MONEY),
    *LINES.number("line_amount", "spread", "amount", MONEY),
    *LINES.number("line_amount", "max", "amount", MONEY),
    *LINES.count("lines", 3, 7, 14, 21, 45, 90, None),
    *ALL.number(
        "quantity",
        "sum",
        "quantity",
        "pieces",
        windows=(30, 90, None),
        meaning=f"pieces bought {NET}",
    ),
    *RETURNS.count("returned_lines", 90, None),
    *ALL.number(
        "listed",
        "sum",
        "list_amount",
        MONEY,
        windows=(90, None),
        meaning=f"list amount {NET} of the lines that have one",
    ),
    *ALL.number(
        "paid_of_listed",
        "sum",
        "paid_of_listed",
        MONEY,
        windows=(90, None),
        meaning=f"amount paid {NET} for the lines with a list amount",
    ),
    *LINES.distinct("products", "product", 30, 90, None),
    *LINES.distinct("categories", "category", 30, 90, None),
    *LINES.distinct("brands", "brand", 90, None),
    *LINES.top_share("category", "category", 90, None),
    *LINES.top_share("product", "product"),
    *ORDERS.distinct("channels", "channel"),
    *ORDERS.top_share("channel", "channel"),
    *ORDERS.share(
        "weekend_orders", "weekend", meaning="share of orders on a Saturday or Sunday"
    ),
    *ORDERS.share("morning_orders", "morning", meaning="share of orders before 12:00"),
    *ORDERS.share(
        "evening_orders", "evening", meaning="share of orders at 17:00 or later"
    ),
    *ORDERS.share("night_orders", "night", meaning="share of orders before 06:00"),
    *ORDERS.top_share("weekday", "weekday"),
    *ORDERS.top_share("six_hours", "six_hours", of="quarter of the day"),
    *LINES.each("order", "order_amount", "spread", "amount", MONEY),
    *LINES.each("order", "order_amount", "max", "amount", MONEY),
    *LINES.each("order", "order_quantity", "mean", "quantity", "pieces"),
    *LINES.top_share("brand", "brand", 90, None),
    *DISCOUNTED.age("discounted_line"),
    *DISCOUNTED.count("discounted_lines", 90),
    *LINES.share("discounted_lines", "is_discounted", 90, None),
    *RETURNS.age("returned_line"),
    *RETURNS.number(
        "returned",
        "sum",
        "amount",
        MONEY,
        windows=(90,),
        meaning="amount of the lines returned, as given (paid back: negative)",
    ),
)
REPEATS = (
    *ALL.age("repeat", of="line of a product bought before"),
    *ALL.count("repeats", 90, None, of="lines of products bought before"),
)

EXPRESSIONS = (
    difference("overdue_days", "days_since_last_order", "days_gap_mean", "days"),
    ratio("overdue_spreads", "overdue_days", "days_gap_spread", unit="spreads"),
    ratio("days_gap_trend_90d", "days_gap_mean_90d", "days_gap_mean"),
    # Above 1: the customer is later than usual.
    ratio("overdue_mean", "days_since_last_order", "days_gap_mean"),
    ratio("overdue_median", "days_since_last_order", "days_gap_median"),
    ratio("overdue_max", "days_since_last_order", "days_gap_max"),
    ratio("overdue_mean_90d", "days_since_last_order", "days_gap_mean_90d"),
    ratio("days_gap_variation", "days_gap_spread", "days_gap_mean"),
    # Above 1: the customer buys more often than before.
    ratio("orders_trend_7d_30d", "orders_count_7d", "orders_count_30d", times=30 / 7),
    ratio("orders_trend_30d_90d", "orders_count_30d", "orders_count_90d", times=3.0),
    ratio(
        "orders_trend_90d_365d", "orders_count_90d", "orders_count_365d", times=365 / 90
    ),
    ratio("orders_decay_trend", "orders_decay_h7d", "orders_decay_h60d"),
    ratio("spend_trend_30d_90d", "spend_sum_30d", "spend_sum_90d", times=3.0),
    ratio(
        "orders_per_day", "orders_count", "days_since_first_order", unit="orders / day"
    ),
    ratio("order_amount_mean", "spend_sum", "orders_count", unit=MONEY, note=NET),
    ratio(
        "order_amount_mean_90d",
        "spend_sum_90d",
        "orders_count_90d",
        unit=MONEY,
        days=90,
        note=NET,
    ),
    ratio("order_lines_mean", "lines_count", "orders_count", unit="lines"),
    ratio(
        "order_lines_mean_90d",
        "lines_count_90d",
        "orders_count_90d",
        unit="lines",
        days=90,
    ),
    ratio(
        "discount_share",
        "paid_of_listed_sum",
        "listed_sum",
        complement=True,
        unit="share",
    ),
    ratio(
        "discount_share_90d",
        "paid_of_listed_sum_90d",
        "listed_sum_90d",
        complement=True,
        unit="share",
        days=90,
    ),
    ratio("returned_share", "returned_lines_count", "lines_count", note=RETURNED),
    ratio(
        "variety_90d",
        "products_distinct_90d",
        "lines_count_90d",
        unit="share",
        days=90,
    ),
    ratio("spend_trend_90d_365d", "spend_sum_90d", "spend_sum_365d", times=365 / 90),
    ratio("order_amount_trend_90d", "order_amount_mean_90d", "order_amount_mean"),
    ratio("order_amount_variation", "order_amount_spread", "order_amount_mean"),
    ratio(
        "returned_share_90d",
        "returned_lines_count_90d",
        "lines_count_90d",
        days=90,
        note=RETURNED,
    ),
    ratio("repeat_share", "repeats_count", "lines_count", unit="share"),
    ratio(
        "repeat_share_90d",
        "repeats_count_90d",
        "lines_count_90d",
        unit="share",
        days=90,
    ),
    # Lines of products that were new to the customer.
    difference(
        "new_lines_count_90d", "lines_count_90d", "repeats_count_90d", "lines", days=90
    ),
)

PURCHASE = dimension(
    "purchase",
    Stream(PURCHASES, AGGREGATES, DERIVED),
    Stream(
        PURCHASES,
        REPEATS,
        events=_repeats,
        needs={PURCHASES.name: ("quantity", "product")},
    ),
    expressions=EXPRESSIONS,
)
