"""Fitted probabilities recover the true ones of a simulated shop whose law is exact."""

from __future__ import annotations

from datetime import datetime, timedelta
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from scipy.optimize import minimize
from scipy.special import logit

from features.config import Config, PropensityConfig
from features.engine import Tables
from features.history import Floats
from features.simulate.shop import TRUTHS, simulate
from features.simulate.truths import truths_of
from training import build

EXACT = (
    "start=2024-01-01",
    "end=2025-01-01",
    # Only unplanned orders, at the customer's own rate until the dropout.
    "replenished_items=0",
    "campaigns=1",
    "uplift=0",
    "uplift_spread=0",
    # Nothing that a customer does tells of orders to come: whoever browses before an
    # order is likelier to buy than the rate says, and a model may well know that.
    "browses_per_order=0",
    "presale_contacts=0",
    "products=200",
)
CUTOFF, HORIZON = datetime(2024, 12, 2), 14


def true_probability(folder: Path, customers: list[str], days: int) -> Floats:
    """P(an order within so many days) by law, from the rate and the days until the dropout."""
    table = pq.read_table(folder / TRUTHS / "customers.parquet").to_pandas()
    truth = table.set_index("customer_id").loc[customers]
    end = CUTOFF + timedelta(days=days)
    until = truth["dropout_at"].fillna(end).clip(upper=end)
    there = (until - CUTOFF).dt.total_seconds().clip(lower=0) / 86_400
    return -np.expm1(-(truth["unplanned_orders_per_day"] * there).to_numpy())


def recalibration(fitted: Floats, share: Floats) -> tuple[float, float]:
    """Slope and intercept of a logistic regression of shares on the fitted log odds."""
    x = logit(fitted)

    def loss(parameters: Floats) -> float:
        z = parameters[0] * x + parameters[1]
        return float(np.mean(np.logaddexp(0, z) - share * z))

    slope, intercept = minimize(loss, [1.0, 0.0]).x
    return float(slope), float(intercept)


def test_fitted_probabilities_recover_the_true_ones(tmp_path: Path) -> None:
    shop = tmp_path / "shop"
    # Many customers at few cutoffs: two windows of them are calibrated on.
    simulate(shop, 15_000, truths_of(EXACT), seed=7)
    config = Config(
        data=str(shop),
        cutoff=CUTOFF,
        horizon_days=HORIZON,
        propensity=PropensityConfig(max_cutoffs=6, seeds=1),
    )
    with Tables(shop) as tables:
        history = tables.history(CUTOFF)
    features = build.build_features(history, config)
    today = build.at_cutoff(features, CUTOFF)
    model = build.fit_propensity(history, features, config)
    fitted = model.probability(today, HORIZON)
    ids: list[str] = today.column("customer_id").cast(pa.string()).to_pylist()
    true = true_probability(shop, ids, HORIZON)
    slope, intercept = recalibration(fitted, true)
    assert 0.95 <= slope <= 1.05
    assert abs(intercept) < 0.1
    # A week and four weeks are asked of the same model.
    for days, furthest in ((7, 1.05), (28, 1.1)):
        others = model.probability(today, days), true_probability(shop, ids, days)
        slope, intercept = recalibration(*others)
        assert 0.95 <= slope <= furthest
        assert abs(intercept) < 0.1
    # The same without the log odds, and in total.
    assert np.polyfit(fitted, true, 1)[0] == pytest.approx(1.0, abs=0.05)
    assert fitted.mean() == pytest.approx(true.mean(), rel=0.05)
    # Nobody's rate is known: the order is the truth's as far as counts tell it.
    assert np.corrcoef(fitted, true)[0, 1] > 0.8
