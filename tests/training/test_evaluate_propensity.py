"""Propensity beside its baselines: also where everybody, or nobody, buys."""

from __future__ import annotations

from collections.abc import Callable
from datetime import datetime, timedelta
from typing import Any

import numpy as np
import pytest

from features.config import Config
from features.snapshot import Snapshot
from training.propensity_quality import baseline_scores, figures

CUTOFF = datetime(2024, 7, 1)


@pytest.mark.filterwarnings("error")
@pytest.mark.parametrize(("ends", "rate"), [(0, 1.0), (120, 0.0)])
def test_everybody_or_nobody_bought_in_every_past_window(
    read_history: Callable[..., Any], ends: int, rate: float
) -> None:
    rows = [
        {
            "customer_id": f"c{customer}",
            "product_id": "p",
            "order_id": f"{customer}-{day}",
            "ts": CUTOFF - timedelta(days=day + customer % 3),
            "quantity": 1.0,
            "amount": 5.0,
        }
        for customer in range(20)
        for day in range(ends, 170, 4)
    ]
    history = read_history({"purchases": rows}, CUTOFF)
    scores = baseline_scores(history, Snapshot(CUTOFF, 14), Config())
    for name in ("recency", "recency-frequency logistic"):
        assert scores[name] == pytest.approx(np.full(20, rate))
    for score in scores.values():
        found = figures(np.full(20, rate), score)
        assert np.isnan(found["auc"])
        assert 0 <= found["brier"] < 0.2
