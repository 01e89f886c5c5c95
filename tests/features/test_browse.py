from __future__ import annotations

from collections.abc import Callable
from datetime import datetime, timedelta
from typing import Any

import pytest

from features.assemble import assemble
from features.history import History

ReadHistory = Callable[..., History]
CUTOFF = datetime(2024, 3, 1)
PURCHASES = [
    {
        "customer_id": customer,
        "product_id": "p1",
        "ts": CUTOFF - timedelta(days=30 + n),
        "order_id": f"{customer}{n}",
        "quantity": 1.0,
        "amount": 1.0,
    }
    for customer in "ab"
    for n in range(2)
]


def event(days: float, kind: str, dwell: float | None = None) -> dict[str, Any]:
    ts = CUTOFF - timedelta(days=days)
    row = {"customer_id": "a", "ts": ts, "kind": kind, "dwell_seconds": dwell}
    return row | {"product_id": "p1"}


BROWSES = [
    event(40, "view", 60.0),
    event(20, "view", 10.0),
    event(10, "search"),
    event(5, "view", 20.0),
    event(3, "cart"),
    event(1, "favourite"),
]


def test_events_are_counted_by_kind_and_window(read_history: ReadHistory) -> None:
    tables = {"purchases": PURCHASES, "browses": BROWSES}
    a, b = assemble(read_history(tables, CUTOFF), [CUTOFF]).to_pylist()
    assert [a[f"views_count_{w}d"] for w in (7, 30, 90)] == [1, 2, 3]
    assert [a[f"searches_count_{w}d"] for w in (7, 30, 90)] == [0, 1, 1]
    assert a["carts_count_7d"] == a["favourites_count_7d"] == 1
    assert a["dwell_sum_30d"] == 30
    assert a["dwell_mean_90d"] == 30
    assert a["days_since_last_browse"] == 1
    assert a["days_since_last_cart"] == 3
    assert a["carts_per_view_90d"] == 1 / 3
    # The dimension has data, so that this customer's zero is a zero.
    assert b["browses_count"] == 0
    assert b["days_since_last_browse"] is None
    assert b["carts_per_view_90d"] is None


def test_habits_and_interests_of_browsing(read_history: ReadHistory) -> None:
    browses = [*BROWSES, event(1.25, "view") | {"product_id": "p2"}]
    products = [
        {"product_id": "p1", "category": "milk"},
        {"product_id": "p2", "category": "bread"},
    ]
    tables = {"purchases": PURCHASES, "browses": browses, "products": products}
    row = assemble(read_history(tables, CUTOFF), [CUTOFF]).to_pylist()[0]
    assert row["days_since_last_view"] == 1.25
    # Days 20, 10, 5, 3, 1.25 and 1 ago: 28 and 29 February at midnight and 18.
    assert row["browse_days_count_30d"] == 6
    assert row["browsed_categories_distinct_90d"] == 2
    assert row["browsed_product_top_share_90d"] == 6 / 7
    assert row["browsed_category_top_share_90d"] == 6 / 7
    ages = (40, 20, 10, 5, 3, 1.25, 1)
    assert row["browses_decay_h7d"] == pytest.approx(sum(0.5 ** (a / 7) for a in ages))
    assert row["browses_trend_30d_90d"] == pytest.approx(3 * 6 / 7)
    assert row["carts_trend_30d_90d"] == 3


def order(ts: datetime, product: str = "p1", **more: Any) -> dict[str, Any]:
    return {**PURCHASES[0], "ts": ts, "order_id": str(ts), "product_id": product} | more


def journey(read: ReadHistory, *lines: dict[str, Any], **late: Any) -> dict[str, Any]:
    """A view and a cart of p1 20 days before the cutoff, a cart of p2, and orders."""
    browses = [
        event(20, "view") | late,
        event(20, "cart") | late,
        event(6, "cart") | {"product_id": "p2"},
    ]
    purchases = [{"known_at": None, **row} for row in (*PURCHASES, *lines)]
    tables = {"purchases": purchases, "browses": browses}
    history = read(tables, CUTOFF + timedelta(days=60))
    return assemble(history, [CUTOFF]).to_pylist()[0]


def test_carts_are_bought_or_unfinished(read_history: ReadHistory) -> None:
    row = journey(read_history, order(CUTOFF - timedelta(days=15)))
    assert [row[f"bought_carts_count_{d}d"] for d in (7, 30, 90)] == [0, 1, 1]
    assert [row[f"unfinished_carts_count_{d}d"] for d in (7, 30, 90)] == [1, 1, 1]
    assert row["bought_carts_share_90d"] == 1 / 2
    assert row["cart_to_buy_days_mean_90d"] == 5
    assert row["bought_views_count_90d"] == row["bought_views_share_90d"] == 1


CART = CUTOFF - timedelta(days=20)
US = timedelta(microseconds=1)


@pytest.mark.parametrize(
    ("ts", "known_at", "bought"),
    [
        (CART - US, None, 0),
        (CART, None, 1),
        (CUTOFF - US, None, 1),
        (CUTOFF, None, 0),
        (CUTOFF + US, CUTOFF - US, 0),
        (CART + US, CUTOFF - US, 1),
        (CART + US, CUTOFF, 0),
        (CART + US, CUTOFF + US, 0),
    ],
)
def test_a_purchase_shows_once_it_has_happened_and_is_known(
    read_history: ReadHistory, ts: datetime, known_at: datetime | None, bought: int
) -> None:
    row = journey(read_history, order(ts, known_at=known_at))
    assert row["bought_carts_count_90d"] == row["bought_views_count_90d"] == bought
    assert row["unfinished_carts_count_90d"] == 2 - bought


@pytest.mark.parametrize(
    ("known_at", "bought", "unfinished"),
    [(CUTOFF - US, 1, 1), (CUTOFF, 0, 1), (CUTOFF + US, 0, 1)],
)
def test_a_cart_known_late_is_neither_bought_nor_unfinished(
    read_history: ReadHistory, known_at: datetime, bought: int, unfinished: int
) -> None:
    row = journey(read_history, order(CART + US), known_at=known_at)
    assert row["bought_carts_count_90d"] == bought
    assert row["unfinished_carts_count_90d"] == unfinished


@pytest.mark.parametrize(
    ("later", "bought"),
    [(timedelta(days=30) - US, 1), (timedelta(days=30), 0)],
)
def test_a_cart_is_bought_within_thirty_days(
    read_history: ReadHistory, later: timedelta, bought: int
) -> None:
    cart = CUTOFF - timedelta(days=50)
    tables = {
        "purchases": [*PURCHASES, order(cart + later, "p9")],
        "browses": [event(50, "cart") | {"product_id": "p9"}],
    }
    row = assemble(read_history(tables, CUTOFF), [CUTOFF]).to_pylist()[0]
    assert row["bought_carts_count_90d"] == bought


@pytest.mark.parametrize(("shift", "count"), [(-US, 0), (timedelta(0), 1), (US, 1)])
def test_bought_carts_are_counted_by_the_time_of_the_cart(
    read_history: ReadHistory, shift: timedelta, count: int
) -> None:
    cart = CUTOFF - timedelta(days=30) + shift
    tables = {
        "purchases": [*PURCHASES, order(CUTOFF - timedelta(days=5), "p9")],
        "browses": [
            event(0, "cart") | {"product_id": "p9", "ts": cart},
            event(2, "view"),
        ],
    }
    row = assemble(read_history(tables, CUTOFF), [CUTOFF]).to_pylist()[0]
    assert row["bought_carts_count_30d"] == row["carts_count_30d"] == count
    assert row["unfinished_carts_count_30d"] == 0
    assert row["bought_carts_count_90d"] == 1


def test_without_browses_every_browse_feature_is_null(
    read_history: ReadHistory,
) -> None:
    table = assemble(read_history({"purchases": PURCHASES}, CUTOFF), [CUTOFF])
    assert table["browses_count"].to_pylist() == [None, None]
    assert table["days_since_last_browse"].to_pylist() == [None, None]
