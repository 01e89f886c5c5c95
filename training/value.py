"""What customers are worth: orders and spend to come, and lifetime value."""

from __future__ import annotations

import numpy as np
import pyarrow as pa

from features.history import History
from features.snapshot import Snapshot
from training.btyd import fit_baseline, past_orders
from training.lifetime import lifetime_value
from training.spend import Spend

YEAR_DAYS = 365


def predict_value(
    history: History, features: pa.Table, snapshot: Snapshot, spend: Spend | None
) -> pa.Table:
    """Orders and spend expected after a cutoff, and lifetime value with its terms.

    Args:
        history: rows at or after the cutoff are not read.
        features: rows of ``assemble`` at this cutoff.
        snapshot: the cutoff, and the label window.
        spend: fitted; None: spend is the baseline's.

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
    baseline = fit_baseline(past)
    near, far = (
        baseline.expected_spend(past, days)
        if spend is None
        else spend.expected_spend(features, past, baseline, days)
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
