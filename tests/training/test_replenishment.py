"""Due dates: by hand, and against what happened."""

from __future__ import annotations

from collections.abc import Callable
from datetime import datetime, timedelta
from typing import Any

import numpy as np
import pytest

from features.snapshot import Snapshot
from training.replenishment import cycles, predict_replenishment

CUTOFF = datetime(2024, 6, 1)


def shop(read_history: Callable[..., Any], gaps: dict[str, list[int]]) -> Any:
    """Customers who buy coffee with the given gaps, the last time five days ago."""
    rows: list[dict[str, Any]] = []
    for customer, between in gaps.items():
        day = CUTOFF - timedelta(days=5 + sum(between))
        for place, gap in enumerate([*between, 0]):
            ids = {
                "customer_id": customer,
                "product_id": "p",
                "order_id": f"{customer}{place}",
            }
            rows.append({**ids, "ts": day, "quantity": 1.0, "amount": 4.0})
            day += timedelta(days=gap)
    products = [{"product_id": "p", "category": "coffee"}]
    return read_history({"purchases": rows, "products": products}, CUTOFF)


def test_gaps_are_between_days_of_purchase(read_history: Callable[..., Any]) -> None:
    found = cycles(
        shop(read_history, {"a": [10, 10], "b": []}), Snapshot(CUTOFF, 14).cutoff_us
    )
    assert found.customer.tolist() == [0]  # b bought once: no gap
    assert found.gaps.tolist() == [2.0]
    assert np.exp(found.log_mean) == pytest.approx([10.0])
    assert found.log_var == pytest.approx([0.0])
    assert found.days_since_last.tolist() == [5.0]


def test_regular_buyer_is_due_after_the_usual_gap(
    read_history: Callable[..., Any],
) -> None:
    gaps = {"a": [20] * 8, **{f"c{i}": [10, 30, 15, 25, 20] for i in range(5)}}
    table = predict_replenishment(
        shop(read_history, gaps), Snapshot(CUTOFF, 14)
    ).to_pylist()
    ann = next(row for row in table if row["customer_id"] == "a")
    assert ann["product_group"] == "coffee"
    assert not ann["abstain"]
    assert ann["due_p10"] < ann["due_at"] < ann["due_p90"]
    # Last bought five days ago, every twenty days: about fifteen to go.
    assert abs((ann["due_at"] - CUTOFF).days - 15) <= 3


def test_dates_and_probability_are_of_one_distribution(
    read_history: Callable[..., Any],
) -> None:
    random = np.random.default_rng(4)
    rows: list[dict[str, Any]] = []
    for customer in range(300):
        # Half of the habits end at some time in the half year, unannounced.
        day, end = 0.0, 180 * (random.random() if customer % 2 else 1.0)
        while day < end:
            ids = {"customer_id": f"c{customer:03}", "product_id": "p"}
            ts = CUTOFF - timedelta(days=180 - day)
            order = {"order_id": f"{customer}-{day}", "quantity": 1.0, "amount": 4.0}
            rows.append({**ids, **order, "ts": ts})
            day += float(random.gamma(9, (3 + customer % 50) / 9)) + 1
    history = read_history({"purchases": rows}, CUTOFF)
    table = predict_replenishment(history, Snapshot(CUTOFF, 14))
    probability = table.column("probability").to_numpy()
    assert probability.min() < 0.25 and probability.max() > 0.9
    for name, share in (("due_p10", 0.1), ("due_at", 0.5), ("due_p90", 0.9)):
        due = table.column(name).to_numpy() < np.datetime64(CUTOFF + timedelta(14))
        assert (due == (probability > share)).all()


def test_few_cycles_and_ended_habits_abstain(read_history: Callable[..., Any]) -> None:
    gaps = {"few": [10], "gone": [1] * 8, **{f"c{i}": [10] * 6 for i in range(5)}}
    table = predict_replenishment(
        shop(read_history, gaps), Snapshot(CUTOFF, 14)
    ).to_pylist()
    abstain = {row["customer_id"]: row["abstain"] for row in table}
    assert abstain["few"]
    assert abstain["gone"]  # usually daily, five days ago
    assert not abstain["c0"]


def test_dates_never_lie_before_the_cutoff(read_history: Callable[..., Any]) -> None:
    table = predict_replenishment(
        shop(read_history, {"late": [2, 2, 2, 2], "a": [30, 30]}), Snapshot(CUTOFF, 14)
    )
    for name in ("due_p10", "due_at", "due_p90"):
        assert min(table.column(name).to_pylist()) >= CUTOFF
    assert all(0 <= p <= 1 for p in table.column("probability").to_pylist())


def test_product_without_a_category_is_a_group_of_its_own(
    read_history: Callable[..., Any],
) -> None:
    rows = [
        {
            "customer_id": "a",
            "product_id": product,
            "order_id": f"{product}{days}",
            "ts": CUTOFF - timedelta(days=days),
            "quantity": 1.0,
            "amount": 1.0,
        }
        for product in ("p", "q")
        for days in (3, 9)
    ]
    history = read_history({"purchases": rows}, CUTOFF)
    table = predict_replenishment(history, Snapshot(CUTOFF, 14))
    assert table.column("product_group").to_pylist() == ["p", "q"]
