"""Favourites, counted by hand on drawn order lines."""

from __future__ import annotations

from datetime import datetime, timedelta
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq

from features.engine import Tables
from features.snapshot import to_us
from serving.insight.preferences import preferences

CUTOFF = datetime(2024, 6, 1)
YEAR_AGO = CUTOFF - timedelta(days=365)

# customer, product, moment, order, quantity, channel
Line = tuple[str, str, datetime, str, int, str | None]


def found(folder: Path, lines: list[Line]) -> dict[str, list[object]]:
    ids, products, ts, orders, quantity, channel = zip(*lines, strict=True)
    purchases = pa.table(
        {
            "customer_id": pa.array(ids),
            "product_id": pa.array(products),
            "ts": pa.array(ts, pa.timestamp("us")),
            "order_id": pa.array(orders),
            "quantity": pa.array(quantity),
            "amount": pa.array([1.0] * len(ids)),
            "channel": pa.array(channel, pa.string()),
        }
    )
    pq.write_table(purchases, folder / "purchases.parquet")
    catalogue = {
        "product_id": ["milk", "tea", "rug"],
        "category": ["food", "food", "home"],
    }
    pq.write_table(pa.table(catalogue), folder / "products.parquet")
    with Tables(folder) as tables:
        history = tables.history(datetime(2024, 7, 1))
    return preferences(history, to_us(CUTOFF)).to_pydict()


def test_most_lines_and_most_orders(tmp_path: Path) -> None:
    morning, evening = datetime(2024, 5, 1, 9, 30), datetime(2024, 5, 2, 18, 59)
    rows = found(
        tmp_path,
        [
            # Two lines at home beat one of food; two web orders beat one in the store.
            ("a", "rug", morning, "1", 1, "web"),
            ("a", "rug", evening, "2", 1, "store"),
            ("a", "milk", evening + timedelta(days=1), "3", 1, "web"),
            # One order each: the earlier in the alphabet and the day.
            ("b", "tea", evening, "4", 1, "web"),
            ("b", "rug", morning, "5", 1, "store"),
        ],
    )
    assert rows["customer_id"] == ["a", "b"]
    assert rows["preferred_category"] == ["home", "food"]
    assert rows["preferred_channel"] == ["web", "store"]
    assert rows["preferred_hour"] == [18, 9]


def test_an_order_counts_once_for_channel_and_hour(tmp_path: Path) -> None:
    nine, ten = datetime(2024, 5, 1, 9), datetime(2024, 5, 2, 10)
    rows = found(
        tmp_path,
        [
            ("a", "milk", nine, "1", 1, "web"),
            ("a", "tea", nine, "1", 1, "web"),
            ("a", "rug", nine, "1", 1, "web"),
            ("a", "rug", ten, "2", 1, "app"),
            ("a", "rug", ten + timedelta(days=1), "3", 1, "app"),
        ],
    )
    assert (rows["preferred_channel"], rows["preferred_hour"]) == (["app"], [10])


def test_two_customers_may_have_the_same_order_id(tmp_path: Path) -> None:
    noon = datetime(2024, 5, 1, 12)
    lines: list[Line] = [
        ("a", "milk", noon, "1", 1, "web"),
        ("a", "milk", noon, "2", 1, "web"),
        ("b", "tea", noon, "1", 1, "app"),
    ]
    rows = found(tmp_path, lines)
    assert rows["preferred_channel"] == ["web", "app"]


def test_window_returns_and_what_came_later(tmp_path: Path) -> None:
    us = timedelta(microseconds=1)
    rows = found(
        tmp_path,
        [
            ("a", "milk", YEAR_AGO, "1", 1, "web"),
            ("a", "rug", YEAR_AGO - us, "2", 1, "app"),
            ("a", "rug", YEAR_AGO - us, "3", 1, "app"),
            ("a", "rug", CUTOFF, "4", 1, "app"),
            ("a", "rug", CUTOFF, "5", 1, "app"),
            ("a", "rug", CUTOFF - us, "6", -1, "app"),
            ("b", "milk", YEAR_AGO - us, "7", 1, "web"),
            ("c", "bag", CUTOFF - us, "8", 1, None),
        ],
    )
    # b bought a day too early; c a product without a category, in no channel.
    assert rows["preferred_category"] == ["food", None, None]
    assert rows["preferred_channel"] == ["web", None, None]
    assert rows["preferred_hour"] == [0, None, 23]
