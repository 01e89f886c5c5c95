"""Lifetime value by the business formula, every term from what was known.

    CLV = average order value x repurchases x remaining lifetime / acquisition cost

| term | unit | what it is |
|---|---|---|
| average order value | shop currency per order | net spend so far / orders so far; negative where returns exceed it |
| repurchases | orders per year | posterior mean of the visit rate of a living customer (BG/NBD), times the customer's orders per visit |
| remaining lifetime | years | expected time until the customer drops out (BG/NBD), counted no further than ``LIFETIME_YEARS`` ahead |
| acquisition cost | shop currency | of the profile row in force |

So CLV has no unit: it is the money that a customer will still spend for each unit
of money that winning the customer cost. It is not discounted and knows no margin.

Source: ``CLV = average order value x repurchases x remaining lifetime /
acquisition cost`` as retail teams use it; rate and lifetime after Fader, Hardie,
Lee (2005), "Counting Your Customers the Easy Way", section 4.
"""

from __future__ import annotations

import numpy as np
import pyarrow as pa

from features.history import Floats
from training.btyd import Baseline, PastOrders

LIFETIME_YEARS = 3.0
"""A life is counted this far: the expectation of the whole of it may be infinite."""

DAYS_PER_YEAR = 365.0


def lifetime_value(
    past: PastOrders, baseline: Baseline, features: pa.Table
) -> pa.Table:
    """The formula and its terms at a cutoff.

    Args:
        past: orders before the cutoff.
        baseline: fitted on them.
        features: rows of ``assemble`` at the cutoff, of the same customers;
            ``acquisition_cost`` is read.

    Returns:
        One row per customer: ``average_order_value``, ``repurchases_per_year``,
        ``remaining_lifetime_years``, ``acquisition_cost``, ``clv``.
        ``acquisition_cost`` is null where the profile does not say, ``clv`` where
        it does not say or the cost is 0.
    """
    v, model = past.visits, baseline.visits
    order_value = past.spend / past.orders
    per_year = model.rate(v) * DAYS_PER_YEAR * past.orders / past.n_visits
    years = model.days_alive(v, LIFETIME_YEARS * DAYS_PER_YEAR) / DAYS_PER_YEAR
    cost: Floats = (
        features.column("acquisition_cost")
        .cast(pa.float64())
        .fill_null(np.nan)
        .to_numpy()
    )
    value = order_value * per_year * years / np.where(cost > 0, cost, np.nan)
    return pa.table(
        {
            "average_order_value": order_value,
            "repurchases_per_year": per_year,
            "remaining_lifetime_years": years,
            "acquisition_cost": pa.array(cost, from_pandas=True),
            "clv": pa.array(value, from_pandas=True),
        }
    )
