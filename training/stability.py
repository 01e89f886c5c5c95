"""Does propensity hold over time? The same comparison at many cutoffs.

Every cutoff is a build of its own: history as known at it, trained on what was
known before it, beside baselines that learned from the same history.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta

import numpy as np

from features.config import Config
from features.contracts import ContractError
from features.engine import Tables
from features.snapshot import Snapshot
from training import build, labels
from training.metrics import MODEL
from training.sample import Sample, sample_of

TOO_EARLY = "too little history before it"
TOO_LATE = "the data do not reach the end of its window"


@dataclass(frozen=True)
class Moment:
    """Propensity at one cutoff.

    Attributes:
        cutoff: of the build.
        customers: with a purchase before it.
        base_rate: share who bought in the label window.
        models: by model, ours first: ``auc``, ``brier``, ``ece``.
    """

    cutoff: datetime
    customers: int
    base_rate: float
    models: dict[str, dict[str, float]]


@dataclass(frozen=True)
class LeftOut:
    """A cutoff without figures, and why."""

    cutoff: datetime
    reason: str


@dataclass(frozen=True)
class Stability:
    """Propensity at several cutoffs, ascending.

    Attributes:
        moments: with figures.
        left_out: without.
    """

    moments: tuple[Moment, ...]
    left_out: tuple[LeftOut, ...]

    def summary(self) -> dict[str, float]:
        """Means over the cutoffs, and our lowest AUC, by ``model/figure``."""
        named = {
            f"{model}/{figure}_mean": _mean(
                [moment.models[model][figure] for moment in self.moments]
            )
            for model, figures in self.moments[0].models.items()
            for figure in figures
        }
        named["cutoffs"] = float(len(self.moments))
        aucs = [moment.models[MODEL]["auc"] for moment in self.moments]
        return named | {f"{MODEL}/auc_min": float(np.min(aucs))}


def further_cutoffs(config: Config) -> tuple[datetime, ...]:
    """Cutoffs to be built beside the evaluation cutoffs, ascending.

    They are ``stability_step_days`` apart and lead up to the last evaluation
    cutoff; one that is an evaluation cutoff itself is not among them.
    """
    settings, last = config.evaluation, max(config.evaluation_cutoffs)
    step = timedelta(days=settings.stability_step_days)
    wanted = (last - n * step for n in range(settings.stability_cutoffs))
    return tuple(sorted(set(wanted) - set(config.evaluation_cutoffs)))


def moment_of(sample: Sample, cutoff: datetime) -> Moment:
    """The figures of a sample at one cutoff."""
    label = sample.label
    return Moment(cutoff, len(label), float(label.mean()), sample.figures())


def measure(tables: Tables, cutoff: datetime, config: Config) -> Moment | LeftOut:
    """Build propensity as of a cutoff and compare it with its baselines.

    Args:
        tables: all input; only rows known before the cutoff are learned from.
        cutoff: of the build.
        config: everything else.

    Raises:
        ContractError: a table cannot be read.
    """
    snapshot = Snapshot(cutoff, config.horizon_days)
    try:
        build.cutoffs_since(tables.first_purchase(cutoff), cutoff, config)
    except ContractError:
        return LeftOut(cutoff, TOO_EARLY)
    bought = labels.truth(tables, snapshot)
    if bought is None:
        return LeftOut(cutoff, TOO_LATE)
    history = tables.history(cutoff)
    features = build.build_features(history, config)
    model = build.fit_propensity(history, features, config)
    rows = build.at_cutoff(features, cutoff)
    ours = model.probability(rows, config.horizon_days)
    ids: list[str] = bought.column("customer_id").to_pylist()
    return moment_of(sample_of(rows, ours, ids, history, snapshot, config), cutoff)


def stability(found: Sequence[Moment | LeftOut]) -> Stability:
    """All cutoffs in order of time."""
    ordered = sorted(found, key=lambda one: one.cutoff)
    return Stability(
        tuple(one for one in ordered if isinstance(one, Moment)),
        tuple(one for one in ordered if isinstance(one, LeftOut)),
    )


def _mean(values: Sequence[float]) -> float:
    return sum(values) / len(values)
