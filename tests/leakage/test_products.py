"""What a product turns out to be later changes nothing of an earlier cutoff."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from features.assemble import assemble
from features.engine import Tables
from features.history import History

ReadHistory = Callable[[Mapping[str, Any], datetime], History]

CUTOFF = datetime(2024, 3, 1)
LATER = datetime(2024, 5, 1)
US = timedelta(microseconds=1)


def line(customer: str, product: str, ts: datetime, order: str) -> dict[str, Any]:
    return {
        "customer_id": customer,
        "product_id": product,
        "ts": ts,
        "order_id": order,
        "quantity": 1.0,
        "amount": 1.0,
    }


LINES = [
    line("a", "tea", datetime(2024, 1, 10), "1"),
    line("a", "mug", datetime(2024, 2, 20), "2"),
]


def test_a_browsed_product_counts_whether_or_not_it_is_bought_later(
    read_history: ReadHistory,
) -> None:
    browses = [
        {
            "customer_id": "a",
            "ts": datetime(2024, 2, 10),
            "kind": "view",
            "product_id": product,
        }
        for product in ("pot", "mug")
    ]
    sold = [*LINES, line("a", "pot", CUTOFF + US, "3")]
    before, after = (
        assemble(read_history({"purchases": sold, "browses": browses}, until), [CUTOFF])
        for until in (CUTOFF, LATER)
    )
    assert before["browsed_products_distinct_30d"].to_pylist() == [2.0]
    assert before.equals(after)


@pytest.mark.parametrize(
    ("launched", "categories"),
    [(datetime(2024, 2, 20), 2.0), (datetime(2024, 2, 20) + US, 1.0), (CUTOFF, 1.0)],
)
def test_a_product_sold_before_its_launch_has_no_category_yet(
    read_history: ReadHistory, launched: datetime, categories: float
) -> None:
    products = [
        {"product_id": "tea", "category": "drinks", "launched_at": None},
        {"product_id": "mug", "category": "dishes", "launched_at": launched},
    ]
    before, after = (
        assemble(
            read_history({"purchases": LINES, "products": products}, until), [CUTOFF]
        )
        for until in (CUTOFF, LATER)
    )
    assert before["categories_distinct"].to_pylist() == [categories]
    assert before.equals(after)


def test_two_histories_of_one_input_at_once_are_refused(shop_dir: Path) -> None:
    with Tables(shop_dir) as tables:
        parts = tables.parts(LATER, customers_per_part=5)
        next(parts)
        tables.history(CUTOFF)
        with pytest.raises(ValueError, match="open the input twice"):
            list(parts)
