from __future__ import annotations

from datetime import datetime, timedelta

import numpy as np
import pandas as pd
import pytest

from features.connection import connect
from serving.experiments.measures import (
    CLICK_RATE,
    MEASURES,
    ORDERS,
    REPURCHASE,
    REVENUE,
)
from serving.experiments.outcome_sql import Window
from serving.experiments.past import arrivals, past_baselines

END = datetime(2024, 6, 1)
START = END - timedelta(days=28)


def lines(when: list[tuple[str, float]]) -> pd.DataFrame:
    """Orders of 10 each: customer, days since the start of the past window."""
    return pd.DataFrame(
        {
            "customer_id": [customer for customer, _ in when],
            "product_id": "p",
            "ts": [START + timedelta(days=day) for _, day in when],
            "order_id": [str(i) for i in range(len(when))],
            "quantity": 1.0,
            "amount": 10.0,
        }
    )


def test_the_last_whole_window_of_those_who_had_bought() -> None:
    db = connect()
    # a to d had bought; a orders twice and b once in the window, e is new.
    before = [("a", -1), ("a", -2), ("b", -1), ("c", -1), ("d", -80)]
    within = [("a", 0), ("a", 27.9), ("b", 5), ("e", 3), ("c", 28)]
    db.register("lines", lines([*before, *within]))
    measures = (REPURCHASE, ORDERS, REVENUE, CLICK_RATE)
    found = past_baselines(db, "lines", Window(END, 28), measures, adjust=False)
    # Nobody was shown anything, so there is no click rate.
    assert set(found) == {"repurchase_rate", "orders", "revenue"}
    assert found["repurchase_rate"].mean == 0.5
    assert found["orders"].mean == 0.75
    assert found["orders"].variance == pytest.approx(np.var([2, 1, 0, 0], ddof=1))
    assert found["orders"].customers == 4 and found["orders"].kept == 1
    adjusted = past_baselines(db, "lines", Window(END, 28), (ORDERS,))
    # Orders before: 2, 1, 1, 1; the flag of any does not vary. r^2 of (2, 1, 0, 0).
    r = np.corrcoef([2, 1, 1, 1], [2, 1, 0, 0])[0, 1]
    assert adjusted["orders"].kept == pytest.approx(1 - r**2)
    early = Window(START - timedelta(days=100), 28)
    assert past_baselines(db, "lines", early, MEASURES) == {}
    assert past_baselines(db, "lines", early, ()) == {}


def test_arrivals_count_each_customer_on_the_first_day() -> None:
    db = connect()
    when = [("a", -1), ("a", 0.5), ("a", 2), ("b", 2), ("c", 2.99), ("d", 4), ("e", 0)]
    db.register("lines", lines(when))
    assert arrivals(db, "lines", START, 4) == [2, 0, 2, 0]
