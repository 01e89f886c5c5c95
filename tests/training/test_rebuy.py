from __future__ import annotations

from collections.abc import Callable
from datetime import datetime, timedelta
from typing import Any

import numpy as np
import pytest
from scipy.special import expit

from features.history import History
from training.moment import moment_at, sort_history
from training.rebuy import Rebuy, rebuy_at

CUTOFF = datetime(2024, 6, 1)
HORIZON = 14
PRODUCTS = [
    {"product_id": "milk", "category": "food", "subcategory": "dairy"},
    {"product_id": "soap", "category": "home", "subcategory": "wash"},
]


def lines(product: str, customer: str, *days_ago: float) -> list[dict[str, Any]]:
    return [
        {
            "customer_id": customer,
            "product_id": product,
            "ts": CUTOFF - timedelta(days=ago),
            "order_id": f"{customer}{product}{ago}",
            "quantity": 1.0,
            "amount": 1.0,
        }
        for ago in days_ago
    ]


def known(days: Any) -> float | None:
    return None if np.isnan(days) else float(days)


@pytest.fixture
def of(read_history: Callable[..., History]) -> Callable[..., dict[str, Any]]:
    def make(rows: list[dict[str, Any]], until: datetime = CUTOFF) -> dict[str, Any]:
        ordered = sort_history(
            read_history({"purchases": rows, "products": PRODUCTS}, until)
        )
        made: Rebuy = rebuy_at(ordered, moment_at(ordered, CUTOFF, HORIZON), HORIZON)
        ids = ordered.history.products.ids.tolist()
        return {
            name: (float(expit(made.log_odds[i])), known(made.gap_days[i]))
            for i, name in enumerate(ids)
        }

    return make


def test_rates_are_drawn_to_those_of_the_group(of: Callable[..., Any]) -> None:
    # Milk after 7, 7 and 30 days; the last purchase, 10 days ago, has its horizon
    # ahead of it. Soap twice, never again.
    rows = lines("milk", "a", 54, 47, 40, 10)
    rows += lines("soap", "a", 60) + lines("soap", "b", 50)
    made = of(rows)
    everything = (2 + 0.5) / (5 + 1)
    milk = soap = everything
    for _ in range(3):  # category, subcategory, product: all the same lines here
        milk = (2 + 20 * milk) / (3 + 20)
        soap = 20 * soap / (2 + 20)
    assert made["milk"][0] == pytest.approx(milk, rel=1e-5)
    assert made["soap"][0] == pytest.approx(soap, rel=1e-5)


def test_the_usual_gap_is_the_median_of_those_who_came_back(
    of: Callable[..., Any],
) -> None:
    # Ten gaps: five of 4 days and five of 10, so the median lies between.
    rows = lines("milk", "a", *range(100, 100 - 24, -4))
    rows += lines("milk", "b", *range(100, 49, -10))
    made = of(rows + lines("soap", "c", 9, 8))
    assert made["milk"][1] == 7.0
    # One gap is too few, also in its subcategory.
    assert made["soap"][1] is None


def test_rows_at_or_after_the_cutoff_change_nothing(of: Callable[..., Any]) -> None:
    rows = lines("milk", "a", 54, 47, 40) + lines("soap", "b", 50)
    later = rows + lines("milk", "a", 0, -1) + lines("soap", "b", -2)
    assert of(later, CUTOFF + timedelta(days=3)) == of(rows)
