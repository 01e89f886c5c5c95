"""Propensity at a cutoff: figures of a probability, and the baselines' scores."""

from __future__ import annotations

import numpy as np
from sklearn.metrics import brier_score_loss

from features.config import Config
from features.history import Floats, History
from features.snapshot import Snapshot, to_us
from training import baselines, metrics
from training.build import training_cutoffs
from training.calibration import expected_calibration_error
from training.labels import days_to_next_purchase


def figures(label: Floats, probability: Floats) -> dict[str, float]:
    """AUC (NaN with one class only), Brier score, expected calibration error."""
    return {
        "auc": metrics.auc(label, probability),
        "brier": float(brier_score_loss(label, np.clip(probability, 0, 1))),
        "ece": expected_calibration_error(probability, label),
    }


def tag_figures(
    label: Floats, probability: Floats, threshold: float
) -> dict[str, float]:
    """How good the tag "likely to repurchase" is; NaN where undefined."""
    tagged, bought = probability >= threshold, label > 0
    both = float((tagged & bought).sum())

    def share(part: float, whole: float) -> float:
        return part / whole if whole else float("nan")

    return {
        "threshold": threshold,
        "share": float(tagged.mean()),
        "accuracy": float((tagged == bought).mean()),
        "precision": share(both, float(tagged.sum())),
        "recall": share(both, float(bought.sum())),
    }


def baseline_scores(
    history: History, snapshot: Snapshot, config: Config
) -> dict[str, Floats]:
    """Probabilities of the baselines, for the customers of the spine in order."""
    cutoffs = training_cutoffs(history, config)
    next_days = days_to_next_purchase(history, cutoffs)
    past = [baselines.visits(history, to_us(cutoff)) for cutoff in cutoffs]
    labels = [
        (next_days[row][v.customer] < snapshot.horizon_days).astype(np.float64)
        for row, v in enumerate(past)
    ]
    now = baselines.visits(history, snapshot.cutoff_us)
    recency = baselines.fit_recency(past, labels)
    frequency = baselines.fit_recency_frequency(past, labels)
    bg_nbd = baselines.fit_bg_nbd(now)
    return {
        "recency-frequency logistic": baselines.score_recency_frequency(frequency, now),
        "BG/NBD": bg_nbd.probability(now, snapshot.horizon_days),
        "recency": baselines.score_recency(recency, now),
    }
