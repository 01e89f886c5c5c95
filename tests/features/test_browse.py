from __future__ import annotations

from collections.abc import Callable
from datetime import datetime, timedelta
from typing import Any

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


def test_without_browses_every_browse_feature_is_null(
    read_history: ReadHistory,
) -> None:
    table = assemble(read_history({"purchases": PURCHASES}, CUTOFF), [CUTOFF])
    assert table["browses_count"].to_pylist() == [None, None]
    assert table["days_since_last_browse"].to_pylist() == [None, None]
