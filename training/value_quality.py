"""How good expected spend is, beside what a shop would say without a model.

Every customer with a purchase before the cutoff counts, whether or not they bought
in the label window.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import pyarrow as pa
from scipy import stats

from features.history import Floats, History
from features.snapshot import DAY_US, Snapshot
from training import metrics
from training.btyd import fit_baseline, net_spend, past_orders
from training.metrics import MODEL

BASELINE = "BG/NBD with Gamma-Gamma"
LAST_WINDOW = "as much as in the last window"


@dataclass(frozen=True)
class ValueQuality:
    """Figures of one cutoff.

    Attributes:
        spent: mean spend of a customer in the label window, shop currency.
        models: by model: ``mae``, mean absolute error in shop currency;
            ``spearman``, rank correlation with what was spent; ``total``, expected
            over spent, of all customers.
        mae_gain: by baseline: its error less ours, with a 95 % interval.
    """

    spent: float
    models: dict[str, dict[str, float]]
    mae_gain: dict[str, metrics.Interval]


def value_quality(
    value: pa.Table, history: History, snapshot: Snapshot, spent: Floats, seed: int
) -> ValueQuality:
    """Compare expected spend with what was spent.

    Args:
        value: rows of ``predict_value`` at the cutoff.
        history: known before the cutoff; the baselines see nothing else.
        snapshot: the cutoff and the label window.
        spent: in the label window, shop currency, shape ``[row of value]``.
        seed: of the bootstrap.
    """
    past = past_orders(history, snapshot.cutoff_us)
    days = snapshot.horizon_days
    before = snapshot.cutoff_us - days * DAY_US
    who = past.visits.customer
    expected = {
        MODEL: value.column("expected_spend").to_numpy(),
        BASELINE: fit_baseline(past).expected_spend(past, days),
        LAST_WINDOW: net_spend(history.purchases, who, before, snapshot.cutoff_us),
    }
    errors = {name: np.abs(one - spent) for name, one in expected.items()}
    return ValueQuality(
        spent=float(spent.mean()),
        models={
            name: {
                "mae": float(errors[name].mean()),
                "spearman": _rank_correlation(one, spent),
                "total": _ratio(float(one.sum()), float(spent.sum())),
            }
            for name, one in expected.items()
        },
        mae_gain={
            name: metrics.bootstrap_interval(error - errors[MODEL], seed=seed)
            for name, error in errors.items()
            if name != MODEL
        },
    )


def _rank_correlation(one: Floats, other: Floats) -> float:
    """Spearman's; NaN where one of both is constant."""
    if np.ptp(one) == 0 or np.ptp(other) == 0:
        return float("nan")
    ranks = stats.rankdata(one), stats.rankdata(other)
    return float(np.corrcoef(*ranks)[0, 1])


def _ratio(part: float, whole: float) -> float:
    return part / whole if whole else float("nan")
