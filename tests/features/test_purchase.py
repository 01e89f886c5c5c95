from __future__ import annotations

import math
from collections.abc import Callable
from datetime import datetime, timedelta
from typing import Any

import pytest

from features.assemble import assemble
from features.history import History

ReadHistory = Callable[..., History]
CUTOFF = datetime(2024, 3, 1)
US = timedelta(microseconds=1)


def line(ts: datetime, order: str, product: str, **more: Any) -> dict[str, Any]:
    row = {
        "customer_id": "a",
        "product_id": product,
        "ts": ts,
        "order_id": order,
        "quantity": 1.0,
        "amount": 10.0,
        "list_amount": None,
        "channel": "web",
    }
    return row | more


# Friday 2 February at 9, Saturday 10 at 18, twice on Tuesday 20.
PURCHASES = [
    line(datetime(2024, 2, 2, 9), "o1", "p1", amount=8.0, list_amount=10.0),
    line(datetime(2024, 2, 2, 9), "o1", "p2", quantity=3.0, amount=30.0),
    line(datetime(2024, 2, 10, 18), "o2", "p1", channel="store"),
    line(datetime(2024, 2, 20, 12), "o3", "p1"),
    line(datetime(2024, 2, 20, 15), "o4", "p3", amount=20.0, list_amount=20.0),
    line(datetime(2024, 2, 25), "o5", "p3", quantity=-1.0, amount=-20.0),
]
PRODUCTS = [
    {"product_id": "p1", "category": "milk", "subcategory": None, "brand": "x"},
    {"product_id": "p2", "category": "milk", "subcategory": None, "brand": "y"},
    {"product_id": "p3", "category": None, "subcategory": None, "brand": "y"},
]


@pytest.fixture
def row(read_history: ReadHistory) -> dict[str, Any]:
    tables = {"purchases": PURCHASES, "products": PRODUCTS}
    return assemble(read_history(tables, CUTOFF), [CUTOFF]).to_pylist()[0]


def test_orders_are_not_lines_days_or_returns(row: dict[str, Any]) -> None:
    assert row["orders_count"] == 4
    assert row["orders_count_14d"] == 2
    assert row["days_count"] == 3
    assert row["lines_count"] == 5
    assert row["returned_lines_count"] == 1
    assert row["days_since_last_order"] == 9 + 9 / 24
    assert row["days_since_first_order"] == 27 + 15 / 24


def test_spend_is_net_of_returns(row: dict[str, Any]) -> None:
    assert row["spend_sum"] == 8 + 30 + 10 + 10 + 20 - 20
    assert row["spend_sum_7d"] == -20
    assert row["line_amount_max"] == 30
    assert row["order_amount_mean"] == 58 / 4


def test_gaps_lie_between_days_with_an_order(row: dict[str, Any]) -> None:
    # 2nd at 9 to 10th at 18: 8.375 days; to the 20th at 12: 9.75 days.
    assert row["days_gap_mean"] == pytest.approx((8.375 + 9.75) / 2)
    assert row["days_gap_last"] == 9.75
    assert row["overdue_mean"] == pytest.approx(9.375 / 9.0625)


def test_discount_counts_lines_with_a_list_amount_only(row: dict[str, Any]) -> None:
    assert row["discount_share"] == pytest.approx(1 - 28 / 30)


def test_variety_and_loyalty(row: dict[str, Any]) -> None:
    assert row["products_distinct"] == 3
    assert row["categories_distinct"] == 1
    assert row["brands_distinct"] == 2
    assert row["product_top_share"] == 3 / 5
    assert row["category_top_share"] == 1
    assert row["channel_top_share"] == 3 / 4
    assert row["channels_distinct"] == 2


def test_shares_of_orders_by_clock(row: dict[str, Any]) -> None:
    assert row["weekend_orders_share"] == 1 / 4
    assert row["morning_orders_share"] == 1 / 4
    assert row["evening_orders_share"] == 1 / 4


def test_habits_by_weekday_and_block_of_six_hours(row: dict[str, Any]) -> None:
    # Friday 9, Saturday 18, Tuesday 12, Tuesday 15.
    assert row["weekday_top_share"] == 2 / 4
    assert row["six_hours_top_share"] == 2 / 4
    assert row["night_orders_share"] == 0


def test_amounts_by_order_are_sums_of_its_lines(row: dict[str, Any]) -> None:
    # 38, 10, 10, 20: mean 19.5, squares 342.25 + 2 * 90.25 + .25 = 523 over 3.
    spread = math.sqrt(523 / 3)
    assert row["order_amount_max"] == 38
    assert row["order_amount_spread"] == pytest.approx(spread)
    assert row["order_amount_variation"] == pytest.approx(spread / (58 / 4))
    assert row["order_quantity_mean"] == (4 + 1 + 1 + 1) / 4
    assert row["order_amount_trend_90d"] == 1


def test_a_line_is_discounted_below_its_list_amount(row: dict[str, Any]) -> None:
    # Two lines say what they were listed at, one of them cost less.
    assert row["discounted_lines_count_90d"] == 1
    assert row["discounted_lines_share"] == row["discounted_lines_share_90d"] == 1 / 2
    assert row["days_since_last_discounted_line"] == 27 + 15 / 24


def test_repeats_are_lines_of_products_bought_before(row: dict[str, Any]) -> None:
    # p1 again on the 10th and on the 20th; the returned p3 is no line.
    assert row["repeats_count"] == row["repeats_count_90d"] == 2
    assert row["repeat_share"] == row["repeat_share_90d"] == 2 / 5
    assert row["new_lines_count_90d"] == 3
    assert row["days_since_last_repeat"] == 9.5


def test_brand_loyalty_and_returns(row: dict[str, Any]) -> None:
    # p1 three times is brand x, p2 and p3 are brand y.
    assert row["brand_top_share"] == row["brand_top_share_90d"] == 3 / 5
    assert row["days_since_last_returned_line"] == 5
    assert row["returned_sum_90d"] == -20
    assert row["returned_share_90d"] == 1 / 5


def test_overdue_in_days_and_in_spreads(row: dict[str, Any]) -> None:
    overdue = 9.375 - 9.0625
    spread = math.sqrt(2) * (9.75 - 9.0625)
    assert row["overdue_days"] == pytest.approx(overdue)
    assert row["overdue_spreads"] == pytest.approx(overdue / spread)
    assert row["days_gap_trend_90d"] == 1
    # 38 of spend, less 20 returned, in 90 and in 365 days alike.
    assert row["spend_trend_90d_365d"] == pytest.approx(365 / 90)


@pytest.mark.parametrize(
    ("shift", "count"), [(-US, 0), (timedelta(0), 1), (US, 1)], ids=["out", "at", "in"]
)
def test_windows_of_lines_are_half_open(
    read_history: ReadHistory, shift: timedelta, count: int
) -> None:
    edge = CUTOFF - timedelta(days=90) + shift
    discounted = {"amount": 8.0, "list_amount": 10.0}
    lines = [
        line(edge - timedelta(days=9), "o0", "p1"),
        line(edge, "o1", "p1", **discounted),
        line(edge, "o1", "p2", quantity=-1.0, amount=-3.0),
    ]
    row = assemble(read_history({"purchases": lines}, CUTOFF), [CUTOFF]).to_pylist()[0]
    assert row["discounted_lines_count_90d"] == row["repeats_count_90d"] == count
    assert row["returned_sum_90d"] == -3 * count
    assert row["discounted_lines_share_90d"] == (1 if count else None)


@pytest.mark.parametrize(
    ("known_at", "repeats"), [(CUTOFF - US, 1), (CUTOFF, 0), (CUTOFF + US, 0)]
)
@pytest.mark.parametrize("late", [0, 1], ids=["first known late", "second known late"])
def test_a_repeat_is_one_once_both_lines_are_known(
    read_history: ReadHistory, known_at: datetime, repeats: int, late: int
) -> None:
    lines = [
        line(datetime(2024, 2, 1), "o1", "p1"),
        line(datetime(2024, 2, 9), "o2", "p1"),
        # In any case known, so that the customer has a row, and two orders.
        line(datetime(2024, 1, 1), "o3", "p2"),
        line(datetime(2024, 1, 2), "o4", "p3"),
    ]
    rows = [{"known_at": None, **row} for row in lines]
    rows[late]["known_at"] = known_at
    history = read_history({"purchases": rows}, CUTOFF + timedelta(days=9))
    row = assemble(history, [CUTOFF]).to_pylist()[0]
    assert row["repeats_count"] == repeats
    assert row["days_since_last_repeat"] == (21 if repeats else None)


def test_regularity_counts_periods_back_from_the_cutoff(row: dict[str, Any]) -> None:
    # Weeks back from 1 March: 9 days ago is week 1, 19.25 week 2, 27.6 week 3.
    assert row["weeks_active_28d"] == 3
    assert row["fortnights_active_84d"] == 2


def test_a_customer_who_only_returned_has_no_row(read_history: ReadHistory) -> None:
    returned = PURCHASES[-1] | {"customer_id": "b", "order_id": "o6", "quantity": -1.0}
    later = returned | {"order_id": "o7", "ts": CUTOFF, "quantity": 1.0}
    history = read_history({"purchases": [*PURCHASES, returned]}, CUTOFF)
    assert list(history.customers) == ["a"]
    history = read_history(
        {"purchases": [*PURCHASES, returned, later]}, CUTOFF + timedelta(days=1)
    )
    table = assemble(history, [CUTOFF, CUTOFF + timedelta(microseconds=1)])
    assert table["customer_id"].to_pylist() == ["a", "a", "b"]
