"""The estimate holds the true effect where campaigns prefer who buys anyway."""

from __future__ import annotations

import os
from datetime import datetime
from pathlib import Path

import numpy as np
import numpy.typing as npt
import pyarrow.parquet as pq
import pytest
from scipy.stats import binom

from features.config import CampaignsConfig
from features.engine import Tables
from features.history import History
from features.simulate import Truths, simulate
from features.snapshot import DAY_US, to_us
from serving.insight.campaigns import Participation, measure, participations

Floats = npt.NDArray[np.float64]

SEEDS = 200 if os.environ.get("THOROUGH") else 3
END = datetime(2025, 1, 1)
CONFIG = CampaignsConfig(threads=1, max_campaigns=1)
TRUTHS = Truths(
    products=300,
    categories=10,
    campaigns=8,
    held_out=0,
    targeting=1,
    # The chance of an order is known in closed form: no cycles, no returns.
    replenished_items=0,
    return_rate=0,
    orders_per_month=0.8,
    uplift=0.6,
    browses_per_order=0.5,
    aimless_browses_per_month=0.2,
    late_share=0,
    end=END,
)
_CAMPAIGN_DAYS = 14


def truth(folder: Path, history: History, found: Participation) -> float:
    """Mean rise of P(an order within 30 days) of those who took part.

    Orders come as a Poisson process of the customer's rate while they stay; a
    campaign adds one of rate times uplift while it lasts.
    """
    file = folder / "truths" / "customers.parquet"
    true = pq.read_table(file).to_pandas().set_index("customer_id")
    true = true.loc[history.customers]
    gone = true.dropout_at.fillna(datetime(2100, 1, 1)).to_numpy("datetime64[us]")
    come = true.active_from.to_numpy("datetime64[us]").astype(np.int64)

    def days(length: int) -> Floats:
        until = np.minimum(gone.astype(np.int64), found.cutoff + length * DAY_US)
        return np.maximum(until - np.maximum(come, found.cutoff), 0) / DAY_US

    rate = true.unplanned_orders_per_day.to_numpy()
    extra = rate * true.uplift.to_numpy() * days(_CAMPAIGN_DAYS)
    rise = np.exp(-rate * days(30)) * (1 - np.exp(-extra))
    lines = history.purchases
    before = np.zeros(len(rate), np.bool_)
    before[lines.customer[lines.before(found.cutoff)]] = True
    return float(rise[found.participant & before].mean())


@pytest.fixture(scope="module")
def errors(tmp_path_factory: pytest.TempPathFactory) -> Floats:
    """Of the estimate and of the naive difference, in standard errors; by seed."""
    found: list[tuple[float, float]] = []
    for seed in range(SEEDS):
        folder = tmp_path_factory.mktemp("shop") / "shop"
        simulate(folder, 5000, TRUTHS, seed=seed)
        with Tables(folder) as tables:
            history = tables.history(END)
        (one,) = participations(history, to_us(END), CONFIG)
        effect = measure(history, one, 1.0, CONFIG, seed).effect
        assert effect is not None
        true = truth(folder, history, one)
        error = float(np.sqrt(np.sum(effect.influence[:, 0, 1] ** 2)))
        found.append(
            ((effect.effect[0] - true) / error, (effect.naive[0] - true) / error)
        )
    return np.array(found)


def test_its_interval_holds_the_truth_as_often_as_it_says(errors: Floats) -> None:
    inside = int(np.sum(np.abs(errors[:, 0]) < 1.959964))
    print(f"{inside} of {SEEDS} intervals hold the truth")
    low, high = binom.ppf((0.001, 0.999), SEEDS, 0.95)
    assert low <= inside <= high


def test_the_naive_difference_is_far_off(errors: Floats) -> None:
    assert (errors[:, 1] > 5).all()
