from __future__ import annotations

from collections.abc import Callable
from datetime import datetime, timedelta
from typing import Any

import numpy as np
import pytest

from features.history import History
from features.snapshot import to_us
from training.catalogue import bought_before, products_table
from training.moment import moment_at, sort_history

CUTOFF = datetime(2024, 6, 1)
DAY, US = timedelta(days=1), timedelta(microseconds=1)


def line(
    customer: str, product: str, ago: timedelta, amount: float = 1.0, quantity=1.0
) -> dict[str, Any]:
    return {
        "customer_id": customer,
        "product_id": product,
        "ts": CUTOFF - ago,
        "order_id": f"{customer} {product} {ago}",
        "quantity": quantity,
        "amount": amount,
    }


ROWS = [
    line("a", "mug", 90 * DAY, 8.0),
    line("a", "mug", 84 * DAY, 6.0),
    line("a", "mug", US, 4.0),
    line("b", "mug", 2 * DAY, 5.0),
    line("b", "mug", 1 * DAY, -5.0, quantity=-1.0),
    line("b", "pot", 85 * DAY, 9.0),
    line("b", "tea", 3 * DAY, 2.0),
]
COLUMNS = (
    "category",
    "subcategory",
    "brand",
    "price",
    "margin_rate",
    "service_life_days",
    "launched_at",
    "available",
)


def master(product: str, **known: Any) -> dict[str, Any]:
    return {"product_id": product, **dict.fromkeys(COLUMNS), **known}


PRODUCTS = [
    master("mug", subcategory="cups", brand="ada"),
    master(
        "tea",
        price=3.0,
        margin_rate=0.4,
        service_life_days=30.0,
        launched_at=datetime(2024, 1, 1),
    ),
    master("jar", category="jars", available=False),
]


@pytest.fixture
def history(read_history: Callable[..., History]) -> History:
    return read_history({"purchases": ROWS, "products": PRODUCTS}, CUTOFF)


@pytest.fixture
def table(history: History) -> dict[str, dict[str, Any]]:
    rows = products_table(moment_at(sort_history(history), CUTOFF, 14)).to_pylist()
    return {row["product_id"]: row for row in rows}


def test_the_masters_price_counts_else_what_was_paid_in_84_days(table):
    assert table["tea"]["price"] == 3.0
    # 6, 4 and 5; the line of 90 days ago and the return are left out.
    assert table["mug"]["price"] == pytest.approx(5.0)
    # Last sold before; never sold.
    assert table["pot"]["price"] is None and table["jar"]["price"] is None


def test_a_product_arrived_when_launched_else_when_first_sold(table):
    assert table["tea"]["arrived_at"] == datetime(2024, 1, 1)
    assert table["mug"]["arrived_at"] == CUTOFF - 90 * DAY
    assert table["jar"]["arrived_at"] is None


def test_what_the_master_does_not_say_is_null(table):
    assert table["mug"]["subcategory"] == "cups" and table["mug"]["brand"] == "ada"
    assert table["tea"]["margin_rate"] == 0.4
    assert table["tea"]["service_life_days"] == 30.0
    for name in ("subcategory", "brand", "margin_rate", "service_life_days"):
        assert table["pot"][name] is None
    assert not table["jar"]["available"] and table["pot"]["available"]


def test_each_product_was_last_bought_at_its_latest_purchase(history):
    offsets, product, last = bought_before(history, np.array([0, 1], dtype=np.int32))
    ids = [history.products.ids[row] for row in product]
    assert offsets.tolist() == [0, 1, 4]
    assert ids == ["mug", "mug", "pot", "tea"]
    # The return of b's mug is no purchase.
    ago = (US, 2 * DAY, 85 * DAY, 3 * DAY)
    assert last.tolist() == [to_us(CUTOFF - one) for one in ago]
