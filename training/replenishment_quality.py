"""How well it is known what is due soon, beside the rules of a shop without a model.

Every pair of customer and product group with six purchases or more counts, also
where the model abstains from a date. An alert is right if the group is bought within
its days, give or take as many.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import pyarrow as pa

from features.history import Bools, Floats, History
from training import metrics
from training.calibration import expected_calibration_error
from training.due_rows import Rows, rows_at
from training.habit_rows import COLUMNS
from training.habits import group_of_product, sort_habits
from training.metrics import MODEL, auc_gain, codes_in
from training.replenishment import alert_window

REGULAR = 6
"""Purchases from which a group is bought regularly."""

MEDIAN = "usual gap since the last purchase"
FREQUENCY = "decayed purchases so far"

_RECALL = 0.3


@dataclass(frozen=True)
class ReplenishmentQuality:
    """Figures of one cutoff.

    Attributes:
        window_days: after the cutoff, in which the group was bought or not.
        pairs: of customer and group, bought regularly.
        bought: share of them that was bought in the window.
        models: by model: ``auc``; ``precision``, the share that was bought of the
            surest pairs that hold 30 % of all that was; ``top``, of the surest
            quarter of these.
        ece: expected calibration error of ours.
        alerts: of ours, over all pairs: ``count``, ``precision``, ``recall``; NaN
            where there is none.
        auc_gain: by baseline: ours less theirs, with a 95 % interval.
    """

    window_days: int
    pairs: int
    bought: float
    models: dict[str, dict[str, float]]
    ece: float
    alerts: dict[str, float]
    auc_gain: dict[str, metrics.Interval]

    @property
    def said(self) -> str:
        """What was measured, and what alerts were worth, in plain words."""
        if not self.pairs:
            return "No customer bought a product group six times."
        said = (
            f"{self.pairs:,} habits (a product group that a customer bought six times or "
            f"more); {self.bought:.1%} of them were bought again in {self.window_days} "
            f"days. Our calibration error: {self.ece:.3f}. "
        )
        if not self.alerts["count"]:
            return f"{said}No alert was sent."
        return (
            f"{said}Alerts: {self.alerts['count']:,.0f}, right "
            f"{self.alerts['precision']:.1%}; of the purchases of groups that a customer "
            f"had bought before they met {self.alerts['recall']:.1%}."
        )


def replenishment_quality(
    replenishment: pa.Table,
    history: History,
    bought: pa.Table,
    cutoff_us: int,
    alert_days: int,
    seed: int,
) -> ReplenishmentQuality:
    """Compare the chance of a purchase soon with what happened.

    Args:
        replenishment: rows of ``Replenishment.predict`` at the cutoff.
        history: known before the cutoff; the baselines see nothing else.
        bought: rows of ``truth`` in the window of alerts.
        cutoff_us: microseconds.
        alert_days: how far ahead an alert looks.
        seed: of the bootstrap.
    """
    rows = rows_at(sort_habits(history), cutoff_us, ())
    label = _was_bought(rows, history, bought)
    counts, decayed, median, since = (
        rows.matrix[:, COLUMNS.index(name)].astype(np.float64)
        for name in (
            "purchases_count",
            "purchases_decayed_slow",
            "gap_median",
            "days_since_last",
        )
    )
    soon = replenishment.column("probability_soon").to_numpy()
    alert = replenishment.column("alert").to_numpy(zero_copy_only=False)
    met = float((alert & label).sum())
    regular = counts >= REGULAR
    scores = {
        MODEL: soon[regular],
        MEDIAN: -np.abs(median - since - alert_days)[regular],
        FREQUENCY: decayed[regular],
    }
    value = label[regular].astype(np.float64)
    return ReplenishmentQuality(
        window_days=alert_window(alert_days),
        pairs=len(value),
        bought=float(value.mean()) if len(value) else np.nan,
        models={name: _figures(value, score) for name, score in scores.items()},
        ece=expected_calibration_error(scores[MODEL], value) if len(value) else np.nan,
        alerts={
            "count": float(alert.sum()),
            "precision": met / alert.sum() if alert.any() else np.nan,
            "recall": met / label.sum() if label.any() else np.nan,
        },
        auc_gain={
            name: auc_gain(value, scores[MODEL], score, seed, rows.customer[regular])
            for name, score in scores.items()
            if name != MODEL
        },
    )


def _was_bought(rows: Rows, history: History, bought: pa.Table) -> Bools:
    """Which pairs were bought in the window, shape ``[pair]``."""
    customer = codes_in(history.customers, bought.column("customer_id").to_pylist())
    product = codes_in(history.products.ids, bought.column("product_id").to_pylist())
    known = (customer >= 0) & (product >= 0)
    group = group_of_product(history.products)[product[known]]
    n_groups = int(max(rows.group.max(initial=0), group.max(initial=0))) + 1
    found = customer[known].astype(np.int64) * n_groups + group
    return np.isin(rows.customer.astype(np.int64) * n_groups + rows.group, found)


def _figures(value: Floats, score: Floats) -> dict[str, float]:
    """AUC; precision where 30 % are found, and in the surest quarter of these."""
    best = value[np.argsort(-score, kind="stable")]
    found = np.cumsum(best)
    if not len(best) or found[-1] == 0:
        return {"auc": np.nan, "precision": np.nan, "top": np.nan}
    n = int(np.searchsorted(found, _RECALL * found[-1])) + 1
    top = max(n // 4, 1)
    return {
        "auc": metrics.auc(value, score),
        "precision": float(found[n - 1] / n),
        "top": float(found[top - 1] / top),
    }
