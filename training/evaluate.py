"""Quality at a cutoff, each model beside its baselines on the same customers.

Propensity: every customer with a purchase before the cutoff; a label is 1 if a
purchase falls in the label window. Lists: see ``list_quality``. Intervals are paired
bootstraps over customers.
"""

from __future__ import annotations

from dataclasses import asdict, dataclass
from datetime import datetime
from typing import Any

from features.config import Config
from features.history import History
from features.snapshot import Snapshot
from training import metrics
from training.build import Steps
from training.churn_quality import ChurnQuality, churn_quality
from training.labels import Happened
from training.list_quality import Gains, ListQuality, list_quality
from training.metrics import MODEL, auc_gain
from training.offers import Scored
from training.predictions import Predictions
from training.propensity_quality import tag_figures
from training.replenishment_quality import (
    ReplenishmentQuality,
    replenishment_quality,
)
from training.sample import Sample
from training.uplift_evidence import Evidence
from training.value_quality import ValueQuality, value_quality


@dataclass(frozen=True)
class Quality:
    """Figures of one cutoff.

    Attributes:
        cutoff, horizon_days: label window ``[cutoff, cutoff + horizon)``.
        customers, base_rate: how many were scored, and the share who bought.
        propensity: by model: ``auc``, ``brier``, ``ece``.
        auc_gain: by baseline: ours minus theirs with a 95 % interval.
        tag: the "likely" tag: ``threshold``, ``share`` of customers tagged,
            ``accuracy``, ``precision``, ``recall``.
        offers: the lists, their candidates, and the match.
        value: expected spend beside its baselines.
        churn: risk beside its baselines; None: not modelled, or the data do not reach
            the end of its window.
        replenishment: what is due soon, beside the rules; None: the data do not reach
            the end of the alerts' window.
        uplift: who buys because of a contact, from campaigns before the cutoff.
    """

    cutoff: datetime
    horizon_days: int
    customers: int
    base_rate: float
    propensity: dict[str, dict[str, float]]
    auc_gain: dict[str, metrics.Interval]
    tag: dict[str, float]
    offers: ListQuality
    value: ValueQuality
    churn: ChurnQuality | None
    replenishment: ReplenishmentQuality | None
    uplift: Evidence

    @property
    def lists(self) -> dict[str, dict[str, dict[str, float]]]:
        """Figures of the lists, by lane and method."""
        return self.offers.lists

    @property
    def recall_gain(self) -> Gains:
        """Our recall minus theirs, by lane and method."""
        return self.offers.recall_gain

    def to_json(self) -> dict[str, Any]:
        """Plain values; those of ``offers`` stand beside the others."""
        values = asdict(self)
        values |= values.pop("offers")
        values["cutoff"] = self.cutoff.isoformat()
        return values


def evaluate(
    predictions: Predictions,
    scored: Scored,
    history: History,
    happened: Happened,
    sample: Sample,
    config: Config,
    steps: Steps | None = None,
) -> Quality:
    """Compare predictions with what was bought in the label window.

    Args:
        predictions: made at ``history.until``.
        scored: offers of the same moment.
        history: known before the cutoff; the baselines learn from it alone.
        happened: to the customers of the predictions.
        sample: of the same customers: promised and happened, in their order.
        config: of the evaluation.
        steps: measures the work.
    """
    steps = steps or Steps()
    snapshot = Snapshot(predictions.cutoff, predictions.horizon_days)
    label, ours = sample.label, sample.scores[MODEL]
    with steps("evaluate propensity beside baselines"):
        propensity = sample.figures()
        gains = {
            name: auc_gain(label, ours, score, config.seed)
            for name, score in sample.scores.items()
            if name != MODEL
        }
    with steps("evaluate lists beside generators"):
        offers = list_quality(scored, history, happened.bought, sample.groups, config)
    with steps("evaluate value beside baselines"):
        value = value_quality(
            predictions.value, history, snapshot, happened.spent, config.seed
        )
    churn = None
    if predictions.churn is not None and happened.visited is not None:
        with steps("evaluate churn risk beside baselines"):
            churn = churn_quality(
                predictions.churn,
                history,
                happened.visited,
                snapshot.cutoff_us,
                config.churn.window_days,
                config.seed,
            )
    due = None
    if happened.bought_soon is not None:
        with steps("evaluate replenishment beside rules"):
            due = replenishment_quality(
                predictions.replenishment,
                history,
                happened.bought_soon,
                snapshot.cutoff_us,
                config.replenishment.alert_days,
                config.seed,
            )
    return Quality(
        cutoff=snapshot.cutoff,
        horizon_days=snapshot.horizon_days,
        customers=len(label),
        base_rate=float(label.mean()),
        propensity=propensity,
        auc_gain=gains,
        tag=tag_figures(label, ours, predictions.tag_threshold),
        offers=offers,
        value=value,
        churn=churn,
        replenishment=due,
        uplift=predictions.uplift_evidence,
    )
