"""Expected spend by fitted trees, on a drawn shop."""

from __future__ import annotations

import json
from collections.abc import Callable
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pytest

from features.assemble import assemble
from features.config import SpendConfig
from features.history import History
from features.snapshot import Snapshot
from training import spend
from training.build import at_cutoff
from training.spend import Spend, fit_spend
from training.value import predict_value

UNTIL = datetime(2024, 7, 1)
CUTOFFS = [UNTIL - timedelta(days=14 * n) for n in range(8, -1, -1)]


@pytest.fixture
def lines() -> list[dict[str, Any]]:
    """120 customers; one in three stopped in March, all spend 5 to 40 a visit."""
    random = np.random.default_rng(0)
    rows: list[dict[str, Any]] = []
    for c in range(120):
        day, end = float(random.uniform(0, 30)), 80 if c % 3 == 0 else 182
        while day < end:
            ids = {
                "customer_id": f"c{c:03}",
                "product_id": "p",
                "order_id": f"{c}{day}",
            }
            amount = float(random.gamma(3, 2 + c % 10))
            ts = datetime(2024, 1, 1) + timedelta(days=day)
            rows.append({**ids, "ts": ts, "quantity": 1.0, "amount": amount})
            day += float(random.exponential(5 + c % 7))
    return rows


@pytest.fixture
def history(
    read_history: Callable[..., History], lines: list[dict[str, Any]]
) -> History:
    return read_history({"purchases": lines}, UNTIL)


@pytest.fixture
def features(history: History) -> pa.Table:
    return assemble(history, CUTOFFS)


def fit(history: History, features: pa.Table, window: int = 28) -> Spend:
    model = fit_spend(history, features, window, SpendConfig(threads=1), seed=3)
    assert model is not None
    return model


def expected(model: Spend | None, history: History, rows: pa.Table, days: int) -> Any:
    table = predict_value(history, rows, Snapshot(UNTIL, days), model)
    return table.column("expected_spend").to_numpy()


def test_total_is_the_baselines_at_any_horizon(
    history: History, features: pa.Table
) -> None:
    model = fit(history, features)
    rows = at_cutoff(features, UNTIL)
    for days in (7, 28, 365):
        ours, baseline = (expected(m, history, rows, days) for m in (model, None))
        assert (ours >= 0).all()
        assert ours.sum() == pytest.approx(baseline.sum())
        assert not np.allclose(ours, baseline)


def test_window_is_half_of_what_was_observed_at_most(
    history: History, features: pa.Table
) -> None:
    assert fit(history, features, 28).window_days == 28
    # The earliest cutoff lies 112 days back.
    assert fit(history, features, 365).window_days == 56


def test_who_went_silent_is_expected_to_spend_less(
    history: History, features: pa.Table
) -> None:
    rows = at_cutoff(features, UNTIL)
    ours = expected(fit(history, features), history, rows, 28)
    silent = np.arange(120) % 3 == 0
    assert ours[silent].mean() < 0.2 * ours[~silent].mean()


def test_saved_model_expects_the_same_and_so_does_the_same_seed(
    history: History, features: pa.Table, tmp_path: Path
) -> None:
    rows = at_cutoff(features, UNTIL)
    model = fit(history, features)
    rest = json.loads(json.dumps(spend.save(model, tmp_path)))
    once = expected(model, history, rows, 28)
    for other in (spend.load(tmp_path, rest), fit(history, features)):
        assert (expected(other, history, rows, 28) == once).all()


def test_rows_of_other_customers_are_refused(
    history: History, features: pa.Table
) -> None:
    rows = at_cutoff(features, UNTIL).slice(1)
    with pytest.raises(ValueError, match="expected features of the 120 customers"):
        expected(None, history, rows, 28)
    with pytest.raises(ValueError, match="expected features of the 120 customers"):
        fit(history, features.slice(1))


def test_rows_after_the_cutoff_change_nothing(
    read_history: Callable[..., History], lines: list[dict[str, Any]]
) -> None:
    cutoff = CUTOFFS[-3]
    found: list[Any] = []
    for some in (lines, [row for row in lines if row["ts"] < cutoff]):
        history = read_history({"purchases": some}, cutoff)
        features = assemble(history, CUTOFFS[:-2])
        model = fit(history, features)
        rows = at_cutoff(features, cutoff)
        found.append(predict_value(history, rows, Snapshot(cutoff, 28), model))
    assert found[0].equals(found[1])


def test_nothing_to_learn_from_is_no_model(
    history: History, features: pa.Table
) -> None:
    rows = at_cutoff(features, UNTIL)
    assert fit_spend(history, rows, 28, SpendConfig(), seed=3) is None
