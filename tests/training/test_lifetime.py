"""The business formula of lifetime value, by hand."""

from __future__ import annotations

from collections.abc import Callable
from datetime import datetime, timedelta
from typing import Any

import numpy as np
import pyarrow as pa
import pytest

from features.history import History
from features.snapshot import to_us
from training import baselines, btyd
from training.lifetime import LIFETIME_YEARS, lifetime_value

CUTOFF = datetime(2024, 7, 1)


@pytest.fixture
def history(read_history: Callable[..., History]) -> History:
    """Customers 0 to 29 with up to six visits of two orders, 5 and 15 in money."""
    rows: list[dict[str, Any]] = []
    for c in range(30):
        for n in range(1 + c % 6):
            for part, amount in enumerate((5.0, 15.0)):
                ids = {"customer_id": f"c{c:02}", "product_id": "p"}
                ts = datetime(2024, 1, 1) + timedelta(days=c + 20 * n, hours=part)
                order = {"order_id": f"{c}-{n}-{part}", "ts": ts}
                rows.append({**ids, **order, "quantity": 1.0, "amount": amount})
    return read_history({"purchases": rows}, CUTOFF)


def features(cost: list[float | None]) -> pa.Table:
    return pa.table(
        {
            "customer": pa.array(range(len(cost)), pa.int32()),
            "acquisition_cost": pa.array(cost, pa.float64()),
        }
    )


def value(history: History, cost: list[float | None]) -> pa.Table:
    past = btyd.past_orders(history, to_us(CUTOFF))
    return lifetime_value(past, btyd.fit_baseline(past), features(cost))


def test_formula_is_the_product_of_its_terms_over_the_cost(history: History) -> None:
    table = value(history, [8.0] * 30)
    term = {name: table.column(name).to_numpy() for name in table.column_names}
    assert term["average_order_value"].tolist() == [10.0] * 30
    v = baselines.visits(history, to_us(CUTOFF))
    model = baselines.fit_bg_nbd(v)
    # Two orders a visit; a year of 365 days.
    rate = 2 * 365 * (model.r + v.x) / (model.alpha + v.T)
    assert term["repurchases_per_year"] == pytest.approx(rate)
    years = term["remaining_lifetime_years"]
    assert (years > 0).all() and (years <= LIFETIME_YEARS).all()
    assert term["clv"] == pytest.approx(10.0 * rate * years / 8.0)


def test_value_is_null_where_the_cost_is_unknown_or_zero(history: History) -> None:
    table = value(history, [None, 0.0, 2.0] * 10)
    known = table.column("clv").is_valid().to_pylist()
    assert known == [False, False, True] * 10
    cost = table.column("acquisition_cost").to_pylist()
    assert cost == [None, 0.0, 2.0] * 10
    assert np.isfinite(table.column("remaining_lifetime_years").to_numpy()).all()
