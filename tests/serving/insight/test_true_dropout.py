"""On a shop whose truths are known the health index knows who has left."""

from __future__ import annotations

from datetime import datetime
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from features.config import HealthConfig
from features.engine import Tables
from features.history import Floats
from features.simulate import truths_of
from features.simulate.shop import simulate
from serving.insight.columns import number
from serving.insight.health import health
from serving.insight.slim import slim

CUTOFF = datetime(2024, 10, 1)
WORST = 8.0
"""Who is served worst leaves so many times as fast, who is served best so much slower."""


def auc(label: Floats, score: Floats) -> float:
    """P(a random 1 has a higher score than a random 0), ties by half."""
    ones, zeros = np.sort(score[label > 0]), score[label == 0]
    below = np.searchsorted(ones, zeros, side="left")
    not_above = np.searchsorted(ones, zeros, side="right")
    return float(1 - (below + not_above).sum() / 2 / (len(ones) * len(zeros)))


def alive(rows: pa.Table, truths: pa.Table) -> Floats:
    """The oracle's chance that a customer is still one.

    It knows the true quality of service, for how long each was active, and so how often
    they really came: with rates m of leaving and r of orders, and t days since the last
    one, 1 / (1 + m / (m + r) (exp((m + r) t) - 1)).

    Source: Schmittlein, Morrison and Colombo (1987), for known rates.
    """
    orders, quiet = (
        number(rows, name) for name in ("orders_count", "days_since_last_order")
    )
    left = truths["dropout_at"].fill_null(CUTOFF).cast(pa.int64()).to_numpy()
    came = truths["active_from"].cast(pa.int64()).to_numpy()
    us = pa.scalar(CUTOFF, pa.timestamp("us")).cast(pa.int64()).as_py()
    active = (np.minimum(left, us) - came) / 86_400e6
    order_rate = orders / np.maximum(active, 1)
    leaving = WORST ** (1 - 2 * number(truths, "service_quality")) / 700
    both = leaving + order_rate
    return 1 / (1 + leaving / both * np.expm1(np.minimum(both * quiet, 500)))


def test_the_index_orders_customers_by_their_true_dropout(tmp_path: Path) -> None:
    simulate(tmp_path, 700, truths_of([f"service_dropout={WORST}"]), seed=1)
    with Tables(tmp_path) as tables:
        rows = slim(tables.history(CUTOFF), [CUTOFF])
    truths = pq.read_table(tmp_path / "truths" / "customers.parquet")
    place = pc.call_function(
        "index_in",
        [rows["customer_id"]],
        pc.SetLookupOptions(truths["customer_id"].combine_chunks()),
    )
    truths = truths.take(place)
    left = pc.call_function("less", [truths["dropout_at"], pa.scalar(CUTOFF)])
    label = left.fill_null(False).to_numpy().astype(np.float64)
    index = number(health(rows, HealthConfig()), "health")
    assert 0.2 < label.mean() < 0.6
    ours, oracle = auc(label, -index), auc(label, -alive(rows, truths))
    assert oracle > 0.95
    assert ours >= 0.9 * oracle
