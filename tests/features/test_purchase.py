from __future__ import annotations

from collections.abc import Callable
from datetime import datetime, timedelta
from typing import Any

import pytest

from features.assemble import assemble
from features.history import History

ReadHistory = Callable[..., History]
CUTOFF = datetime(2024, 3, 1)


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
