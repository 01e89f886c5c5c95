"""What customers are worth: orders and spend to come, and lifetime value."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
import pyarrow as pa

from features.history import History
from features.snapshot import Snapshot
from training.btyd import Baseline, fit_baseline, past_orders
from training.lifetime import lifetime_value
from training.spend import Spend

YEAR_DAYS = 365


@dataclass(frozen=True)
class Worth:
    """What is fitted at a cutoff, on many customers.

    Attributes:
        baseline: how often and for how much they buy.
        levels: by days, the factor of ``Spend.relative_spend``; empty where spend is
            the baseline's.
    """

    baseline: Baseline
    levels: Mapping[int, float]


def worth_of(
    history: History, features: pa.Table, snapshot: Snapshot, spend: Spend | None
) -> Worth:
    """Fit at a cutoff; see ``predict_value``."""
    past = past_orders(history, snapshot.cutoff_us)
    baseline = fit_baseline(past)
    levels = {
        days: spend.level(features, past, baseline, days)
        for days in (snapshot.horizon_days, YEAR_DAYS)
        if spend is not None
    }
    return Worth(baseline, levels)


def predict_value(
    history: History,
    features: pa.Table,
    snapshot: Snapshot,
    spend: Spend | None,
    worth: Worth | None = None,
) -> pa.Table:
    """Orders and spend expected after a cutoff, and lifetime value with its terms.

    Args:
        history: rows at or after the cutoff are not read.
        features: rows of ``assemble`` at this cutoff.
        snapshot: the cutoff, and the label window.
        spend: fitted; None: spend is the baseline's.
        worth: of the same cutoff and spend; None: of these customers.

    Returns:
        One row per customer with a purchase before the cutoff, ordered by id:
        ``customer_id``, ``expected_orders`` and ``expected_spend`` in the label
        window, ``expected_spend_365d`` (net of returns, shop currency), then the
        columns of ``lifetime_value``.

    Raises:
        ValueError: the features are of other customers.
    """
    past = past_orders(history, snapshot.cutoff_us)
    customer = past.visits.customer
    if not np.array_equal(features.column("customer").to_numpy(), customer):
        raise ValueError(
            f"value: expected features of the {len(customer)} customers with a purchase "
            f"before {snapshot.cutoff}, got {features.num_rows} other rows"
        )
    worth = worth or worth_of(history, features, snapshot, spend)
    baseline = worth.baseline
    near, far = (
        baseline.expected_spend(past, days)
        if spend is None or worth.levels[days] <= 0
        else spend.relative_spend(features, past, baseline, days) * worth.levels[days]
        for days in (snapshot.horizon_days, YEAR_DAYS)
    )
    expected = {
        "customer_id": pa.array(history.customers[customer], pa.string()),
        "expected_orders": baseline.expected_orders(past, snapshot.horizon_days),
        "expected_spend": near,
        "expected_spend_365d": far,
    }
    lifetime = lifetime_value(past, baseline, features)
    return pa.table(
        expected | dict(zip(lifetime.column_names, lifetime.columns, strict=True))
    )
