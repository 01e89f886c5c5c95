"""Quality at a cutoff, each model beside its baselines on the same customers.

Propensity: every customer with a purchase before the cutoff; a label is 1 if a
purchase falls in the label window. Recommendation: of those, the customers who
buy in the window; *new* counts only products they never bought before. Every
list, ours and the generators', holds available products only; whatever was
bought counts. nDCG cuts the ideal list at k. Intervals are paired bootstraps
over customers.
"""

from __future__ import annotations

from dataclasses import asdict, dataclass
from datetime import datetime
from typing import Any

import numpy as np
import pyarrow as pa
from sklearn.metrics import brier_score_loss

from features.config import Config
from features.history import Bools, Floats, History, Ints
from features.snapshot import Snapshot, to_us
from training import baselines, metrics
from training.build import Steps, training_cutoffs
from training.calibration import expected_calibration_error
from training.candidates import best_of
from training.churn_quality import ChurnQuality, churn_quality
from training.generators.fitted import SOURCES, fit_generators
from training.labels import Happened, days_to_next_purchase
from training.metrics import MODEL, auc_gain
from training.offers import Scored, as_lists
from training.predictions import Predictions
from training.replenishment_quality import (
    ReplenishmentQuality,
    replenishment_quality,
)
from training.uplift_evidence import Evidence
from training.value_quality import ValueQuality, value_quality

K = 10


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
        lists: by list (mixed, new) and method: ``recall``, ``ndcg``, ``hit``
            at 10, and ``customers`` with something to find.
        recall_gain: by list and method: our recall minus theirs, with interval.
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
    lists: dict[str, dict[str, dict[str, float]]]
    recall_gain: dict[str, dict[str, metrics.Interval]]
    value: ValueQuality
    churn: ChurnQuality | None
    replenishment: ReplenishmentQuality | None
    uplift: Evidence

    def to_json(self) -> dict[str, Any]:
        """Plain values."""
        values = asdict(self)
        values["cutoff"] = self.cutoff.isoformat()
        return values


def evaluate(
    predictions: Predictions,
    scored: Scored,
    history: History,
    happened: Happened,
    config: Config,
    steps: Steps | None = None,
) -> Quality:
    """Compare predictions with what was bought in the label window.

    Args:
        predictions: made at ``history.until``.
        scored: offers of the same moment.
        history: known before the cutoff; the baselines learn from it alone.
        happened: to the customers of the predictions.
        config: cutoffs from which the baselines learn.
        steps: measures the work.
    """
    steps = steps or Steps()
    snapshot = Snapshot(predictions.cutoff, predictions.horizon_days)
    bought_by = set(happened.bought.column("customer_id").to_pylist())
    ids: list[str] = predictions.customers.column("customer_id").to_pylist()
    label = np.array([i in bought_by for i in ids], dtype=np.float64)
    with steps("evaluate propensity beside baselines"):
        ours = predictions.curve[:, snapshot.horizon_days - 1].astype(np.float64)
        scores = {MODEL: ours, **baseline_scores(history, snapshot, config)}
        gains = {
            name: auc_gain(label, ours, score, config.seed)
            for name, score in scores.items()
            if name != MODEL
        }
    with steps("evaluate lists beside generators"):
        lists, recall_gain = _lists(scored, history, happened.bought, config)
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
        propensity={name: figures(label, score) for name, score in scores.items()},
        auc_gain=gains,
        tag=tag_figures(label, ours, predictions.tag_threshold),
        lists=lists,
        recall_gain=recall_gain,
        value=value,
        churn=churn,
        replenishment=due,
        uplift=predictions.uplift_evidence,
    )


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


def _lists(
    scored: Scored, history: History, truth: pa.Table, config: Config
) -> tuple[
    dict[str, dict[str, dict[str, float]]], dict[str, dict[str, metrics.Interval]]
]:
    moment = scored.moment
    generators = fit_generators(moment, config.recommend, config.seed)
    customer, product = _codes(history, truth)
    n_products = max(len(history.products), int(product.max(initial=0)) + 1)
    shape = (len(history.customers), n_products)
    bought_before = metrics.truth_of(
        history.purchases.customer[history.purchases.bought],
        history.purchases.columns["product"][history.purchases.bought],
        shape,
    )
    is_new = ~np.isin(
        customer.astype(np.int64) * shape[1] + product, bought_before.keys
    )
    lists: dict[str, dict[str, dict[str, float]]] = {}
    gains: dict[str, dict[str, metrics.Interval]] = {}
    for lane, keep in (("mixed", np.ones(len(customer), dtype=bool)), ("new", is_new)):
        found = metrics.truth_of(customer[keep], product[keep], shape)
        # Only customers with history can be in the lists of every method.
        who = np.intersect1d(found.buyers, moment.customers).astype(np.int32)
        methods: dict[str, Ints] = {MODEL: as_lists(scored, lane, K, who)}
        for name, generator in zip(SOURCES, generators, strict=True):
            # Who has no opinion of anything, for want of a table, is no rival.
            if len(generator.items) and not (lane == "new" and name == "own history"):
                methods[name] = best_of(generator, moment, who, K, unseen=lane == "new")
        lists[lane], gains[lane] = _compare(methods, who, found, config.seed)
    return lists, gains


def _compare(
    methods: dict[str, Ints], who: Ints, found: metrics.Truth, seed: int
) -> tuple[dict[str, dict[str, float]], dict[str, metrics.Interval]]:
    bought = found.count[who]
    values: dict[str, dict[str, float]] = {}
    recalls: dict[str, Floats] = {}
    for name, offered in methods.items():
        hit: Bools = metrics.hits(offered, who, found)
        recalls[name] = metrics.recall_at(hit, bought)
        values[name] = {
            "recall": _mean(recalls[name]),
            "ndcg": _mean(metrics.ndcg_at(hit, bought)),
            "hit": _mean(metrics.hit_at(hit)),
            "customers": float(len(who)),
        }
    gains = {
        name: metrics.bootstrap_interval(recalls[MODEL] - theirs, seed=seed)
        for name, theirs in recalls.items()
        if name != MODEL
    }
    return values, gains


def _mean(values: Floats) -> float:
    return float(np.nanmean(values)) if len(values) else float("nan")


def _codes(history: History, truth: pa.Table) -> tuple[Ints, Ints]:
    """Codes of the truth's rows, of customers with history.

    A product that was unknown at the cutoff counts as bought all the same: each
    gets a code past the known ones, so recall is of everything bought.
    """
    customer = metrics.codes_in(
        history.customers, truth.column("customer_id").to_pylist()
    )
    ids: list[str] = truth.column("product_id").to_pylist()
    product = metrics.codes_in(history.products.ids, ids)
    unknown = sorted({i for i, code in zip(ids, product, strict=True) if code < 0})
    code_of = {i: len(history.products) + n for n, i in enumerate(unknown)}
    product = np.array(
        [code_of.get(i, code) for i, code in zip(ids, product, strict=True)], np.int32
    )
    return customer[customer >= 0], product[customer >= 0]
