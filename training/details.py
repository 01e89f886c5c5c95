"""What lies behind the figures of propensity: curves, groups, time, features, checks.

Curves, tenths and groups are of all evaluation cutoffs together: a customer with
history at two of them counts twice, with the score and the answer of each.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from datetime import datetime
from typing import Any

import pyarrow as pa

from features.config import Config
from features.history import History
from training.build import Steps, at_cutoff
from training.curves import Curves, curves
from training.groups import Breakdown, availability, breakdowns
from training.importance import Importance, importance
from training.leaks import Leaks, Strongest, shuffled_aucs, strongest
from training.propensity import Propensity
from training.sample import Sample, pooled
from training.stability import LeftOut, Moment, Stability, moment_of, stability


@dataclass(frozen=True)
class Look:
    """What is kept of one evaluation cutoff, to be put together with the others'.

    Attributes:
        cutoff: of the build.
        sample: promised and happened.
        shuffled, strongest: see ``leaks``.
        importance: None but for the last evaluation cutoff.
    """

    cutoff: datetime
    sample: Sample
    shuffled: tuple[float, ...]
    strongest: Strongest
    importance: Importance | None


@dataclass(frozen=True)
class Details:
    """All evaluation cutoffs together.

    Attributes:
        customers, base_rate: rows of the sample, and the share who bought.
        curves: by model, ours first.
        breakdowns: figures by group, one property each.
        availability: share of customers of whom a dimension knows a row.
        stability: the comparison at many cutoffs.
        importance: of the model of the last evaluation cutoff.
        leaks: checks for answers among what was learned from.
    """

    customers: int
    base_rate: float
    curves: dict[str, Curves]
    breakdowns: tuple[Breakdown, ...]
    availability: dict[str, float]
    stability: Stability
    importance: Importance
    leaks: Leaks

    def to_json(self) -> dict[str, Any]:
        """Plain values; undefined ones are NaN or None."""
        values = asdict(self)
        for one in (*values["stability"]["moments"], *values["stability"]["left_out"]):
            one["cutoff"] = one["cutoff"].isoformat()
        values["leaks"]["interval"] = asdict(self.leaks.interval)
        values["leaks"]["is_alarm"] = self.leaks.is_alarm
        values["leaks"]["strongest"]["is_alarm"] = self.leaks.strongest.is_alarm
        return values


def look(
    model: Propensity,
    history: History,
    features: pa.Table,
    sample: Sample,
    config: Config,
    steps: Steps | None = None,
) -> Look:
    """What one evaluation cutoff, ``history.until``, adds to the details.

    Args:
        model: fitted at the cutoff.
        history: known before it.
        features: rows of ``build_features``.
        sample: promised and happened.
        config: of the evaluation.
        steps: measures the work.
    """
    steps, cutoff = steps or Steps(), history.until
    rows, weights = at_cutoff(features, cutoff), None
    with steps("learn from shuffled answers"):
        shuffled = shuffled_aucs(history, features, sample.label, config)
    with steps("look at features"):
        matrix = model.encoding.matrix(rows)
        alone = strongest(matrix, model.encoding, sample.label, sample.scores)
        if cutoff == max(config.evaluation_cutoffs):
            drawn = config.evaluation.importance_customers
            weights = importance(model, rows, drawn, config.seed)
    return Look(cutoff, sample, shuffled, alone, weights)


def details(
    looks: Sequence[Look], further: Sequence[Moment | LeftOut], config: Config
) -> Details:
    """Put all cutoffs together.

    Args:
        looks: of every evaluation cutoff, ascending.
        further: of the cutoffs that only stability is measured at.
        config: of the evaluation.

    Raises:
        ValueError: the last look has no importance.
    """
    sample, weights = pooled([one.sample for one in looks]), looks[-1].importance
    if weights is None:
        raise ValueError("details: expected features of the last cutoff, got none")
    moments = [moment_of(one.sample, one.cutoff) for one in looks]
    return Details(
        customers=len(sample.label),
        base_rate=float(sample.label.mean()),
        curves={name: curves(sample.label, s) for name, s in sample.scores.items()},
        breakdowns=breakdowns(
            sample.label, sample.scores, sample.groups, config.evaluation.min_group
        ),
        availability=availability(sample.groups),
        stability=stability([*moments, *further]),
        importance=weights,
        leaks=Leaks(
            shuffled=tuple(auc for one in looks for auc in one.shuffled),
            strongest=closest([one.strongest for one in looks]),
        ),
    )


def closest(found: Sequence[Strongest]) -> Strongest:
    """The one that is nearest to its limit, or past it; one without only if all are."""
    known = [one for one in found if one.auc == one.auc]
    return max(known, key=lambda one: one.auc - one.limit) if known else found[0]
