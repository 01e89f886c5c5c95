"""How good churn risk is, beside what a shop would look at without a model.

Every customer with a stated risk counts: those with enough visits to have a norm.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import pyarrow as pa

from features.history import Floats, History, Longs
from training import metrics
from training.baselines import fit_bg_nbd, visits
from training.calibration import expected_calibration_error
from training.churn import is_decline, recent_visits
from training.metrics import MODEL, auc_gain

TREND = "visits of late over usual ones"
BG_NBD = "BG/NBD chance to be lost"


@dataclass(frozen=True)
class ChurnQuality:
    """Figures of one cutoff.

    Attributes:
        window_days: after the cutoff, in which visits fell or did not.
        customers: with a stated risk.
        declined: share of them whose visits fell under half of the norm.
        models: by model: ``auc``; ``top``, the share that declined of the tenth with
            the highest risk.
        ece: expected calibration error of ours.
        auc_gain: by baseline: ours less theirs, with a 95 % interval.
    """

    window_days: int
    customers: int
    declined: float
    models: dict[str, dict[str, float]]
    ece: float
    auc_gain: dict[str, metrics.Interval]


def churn_quality(
    churn: pa.Table,
    history: History,
    visited: Floats,
    cutoff_us: int,
    window_days: int,
    seed: int,
) -> ChurnQuality:
    """Compare stated risks with what happened.

    Args:
        churn: rows of ``Churn.predict`` at the cutoff.
        history: known before the cutoff; the baselines see nothing else.
        visited: days with a purchase in the window, shape ``[row of churn]``.
        cutoff_us: microseconds.
        window_days: of the model.
        seed: of the bootstrap.
    """
    known = churn.column("churn_risk").is_valid().to_numpy(zero_copy_only=False)
    norm = churn.column("visits_norm").to_numpy()[known]
    past = visits(history, cutoff_us)
    lately = recent_visits(history, past.customer, cutoff_us, window_days)
    scores = {
        MODEL: churn.column("churn_risk").to_numpy(zero_copy_only=False)[known],
        TREND: -lately[known] / norm,
        BG_NBD: 1 - fit_bg_nbd(past).alive(past)[known],
    }
    value = is_decline(visited[known], norm).astype(np.float64)
    return ChurnQuality(
        window_days=window_days,
        customers=len(value),
        declined=_mean(value),
        models={
            name: {"auc": metrics.auc(value, score), "top": _mean(value[_top(score)])}
            for name, score in scores.items()
        },
        ece=expected_calibration_error(scores[MODEL], value) if len(value) else np.nan,
        auc_gain={
            name: auc_gain(value, scores[MODEL], score, seed)
            for name, score in scores.items()
            if name != MODEL
        },
    )


def _top(score: Floats) -> Longs:
    """Rows of the highest tenth, at least one."""
    return np.argsort(-score, kind="stable")[: max(1, len(score) // 10)]


def _mean(values: Floats) -> float:
    return float(values.mean()) if len(values) else float("nan")
