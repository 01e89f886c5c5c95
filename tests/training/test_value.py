"""What customers are worth, and the baseline of it."""

from __future__ import annotations

from collections.abc import Callable
from datetime import datetime, timedelta

import numpy as np
import pyarrow as pa
import pytest

from features.assemble import assemble
from features.history import History
from features.snapshot import Snapshot
from training.btyd import fit_gamma_gamma
from training.metrics import MODEL
from training.value import predict_value
from training.value_quality import BASELINE, LAST_WINDOW, value_quality

CUTOFF = datetime(2024, 7, 1)


def test_spend_is_pulled_towards_the_mean_by_few_visits() -> None:
    random = np.random.default_rng(0)
    mean = random.gamma(4, 10, 2000)
    n = random.integers(2, 30, 2000).astype(np.float64)
    observed = np.array(
        [random.gamma(3 * k, m / (3 * k)) for k, m in zip(n, mean, strict=True)]
    )
    model = fit_gamma_gamma(n, observed)
    few, many = model.expected_spend(np.array([1.0, 100.0]), np.array([100.0, 100.0]))
    assert mean.mean() < few < many < 100.5


def test_value_has_one_finite_row_per_customer(
    read_history: Callable[..., History],
) -> None:
    rows = [
        {
            "customer_id": f"c{c:02}",
            "product_id": "p",
            "order_id": f"{c}-{n}",
            "ts": CUTOFF - timedelta(days=(7 + c % 5) * n),
            "quantity": 1.0,
            "amount": 4.0,
        }
        for c in range(30)
        for n in range(1, 4 + c % 4)
    ]
    profiles = [{"customer_id": "c00", "acquisition_cost": 2.0}]
    history = read_history({"purchases": rows, "customers": profiles}, CUTOFF)
    features = assemble(history, [CUTOFF])
    table = predict_value(history, features, Snapshot(CUTOFF, 14), None)
    assert table.column("customer_id").to_pylist() == [f"c{c:02}" for c in range(30)]
    orders, spend, year = (
        table.column(name).to_numpy()
        for name in ("expected_orders", "expected_spend", "expected_spend_365d")
    )
    assert np.isfinite(orders).all() and (orders >= 0).all() and (orders < 14).all()
    assert spend == pytest.approx(orders * 4.0, rel=0.05)
    assert (year > spend).all()
    assert table.column("clv").is_valid().to_pylist() == [True] + [False] * 29


def test_quality_of_value_by_hand(read_history: Callable[..., History]) -> None:
    # Three customers, 10 a fortnight each; one of the lines is a return.
    rows = [
        {
            "customer_id": f"c{c}",
            "product_id": "p",
            "order_id": f"{c}-{n}",
            "ts": CUTOFF - timedelta(days=14 * n + 3),
            "quantity": 1.0,
            "amount": 10.0,
        }
        for c in range(3)
        for n in range(4)
    ]
    back = {"ts": CUTOFF - timedelta(days=1), "quantity": -1.0, "amount": -4.0}
    history = read_history({"purchases": [*rows, rows[0] | back]}, CUTOFF)
    table = pa.table({"expected_spend": [10.0, 20.0, 0.0]})
    spent = np.array([10.0, 24.0, 2.0])
    found = value_quality(table, history, Snapshot(CUTOFF, 14), spent, seed=0)
    assert found.spent == pytest.approx(12)
    ours, last = found.models[MODEL], found.models[LAST_WINDOW]
    assert ours == pytest.approx({"mae": 2.0, "spearman": 1.0, "total": 30 / 36})
    # 6, 10 and 10 in the last window.
    assert last["mae"] == pytest.approx((4 + 14 + 8) / 3)
    assert last["total"] == pytest.approx(26 / 36)
    assert found.mae_gain[LAST_WINDOW].value == pytest.approx(26 / 3 - 2)
    assert set(found.models) == {MODEL, BASELINE, LAST_WINDOW}
    assert found.models[BASELINE]["total"] > 0
