"""Tags, tiers and health of a whole shop at a cutoff, from its history.

All moments are read in one fold: the months of the health index, and the start of
the quarter, of which the thresholds are.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime

import pyarrow as pa

from features.assemble import assemble
from features.config import Config
from features.history import History
from features.snapshot import from_us, to_us
from serving.insight.health import Months, health, month_cutoffs, months_of
from serving.insight.preferences import preferences
from serving.insight.tags import tag
from serving.insight.thresholds import Thresholds, fit_thresholds, threshold_moment
from serving.insight.tiers import tier
from training.build import at_cutoff
from training.churn import Churn


@dataclass(frozen=True)
class Knowledge:
    """What is known of the customers at a cutoff.

    Attributes:
        thresholds: of the quarter.
        features: rows of ``assemble`` at the cutoff; the tables below have the same
            customers in the same order.
        churn: rows of ``Churn.predict``; None: not fitted.
        tags: rows of ``tags.tag``.
        tiers: rows of ``tiers.tier``.
        health: rows of ``health.health`` at the cutoff.
        months: of the health index.
    """

    thresholds: Thresholds
    features: pa.Table
    churn: pa.Table | None
    tags: pa.Table
    tiers: pa.Table
    health: pa.Table
    months: Months


def know(
    history: History, cutoff: datetime, churn: Churn | None, config: Config
) -> Knowledge:
    """Everything at once, of all customers of a history that fits in memory.

    Args:
        history: of all customers; rows at or after the cutoff are not read.
        cutoff: not after the end of the history.
        churn: the fitted model; None: the lifecycle goes by the gaps alone.
        config: of tags, tiers and health.

    Raises:
        ValueError: the cutoff is after the end of the history, or no customer has a
            purchase before it.
    """
    lines = history.purchases
    first = from_us(int(lines.ts[lines.bought].min()))
    quarter = threshold_moment(cutoff, first)
    months = month_cutoffs(cutoff, config.health.months)
    features = assemble(history, sorted({quarter, *months}))
    here, then = at_cutoff(features, cutoff), at_cutoff(features, quarter)
    thresholds = fit_thresholds(then, config.tags, config.tiers)
    us = to_us(cutoff)
    risk = None if churn is None else churn.predict(history, here, us)
    states = health(features, config.health)
    monthly = pa.concat_tables([at_cutoff(states, moment) for moment in months])
    return Knowledge(
        thresholds=thresholds,
        features=here,
        churn=risk,
        tags=tag(here, risk, preferences(history, us), thresholds, config.tags),
        tiers=tier(here, thresholds, config.tiers),
        health=at_cutoff(states, cutoff),
        months=months_of(monthly),
    )
