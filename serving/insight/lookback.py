"""What would have been said at past moments, and which of it came true.

At up to four moments, four weeks apart, the last so long before the cutoff that its
eight weeks are over, customers are judged by the health index, by a churn model that
is fitted with what was known before the first of them, and by the gap since their
last order. Who sees best by AUC drives the warnings of today; see ``hindsight``.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass, replace
from datetime import datetime, timedelta
from typing import Any

import numpy as np
import pyarrow as pa

from features.assemble import assemble
from features.config import Config
from features.history import History
from features.samples import lots, take
from features.snapshot import to_us
from serving.insight.health import health, month_cutoffs, months_of
from serving.insight.hindsight import CHURN, Past, compare, lost_by_spend, together
from serving.insight.since import is_known, known_since, returns_since
from serving.insight.slim import slim
from serving.insight.thresholds import fit_thresholds
from serving.insight.warning import Driver, choose, on_last, ranked, scores_of
from training.build import at_cutoff
from training.calibration import Platt
from training.churn import Churn, fit_churn
from training.split import past_cutoffs

MOMENTS = 4
STEP_DAYS = 28
LESSONS = 6
"""Cutoffs that the churn model of the first moment learns from."""
SAMPLE = 6_000
"""Customers who are looked back at, drawn by their ids, about."""


@dataclass(frozen=True)
class Lookback:
    """What drives warnings, and how good each driver was.

    Attributes:
        drivers: the best first; empty: no past could be judged, so the rule on the
            health index warns, and no chance is known.
        moments: that were looked back at, ascending.
        rows: customers at them who had a usual spend to fall short of.
        figures: by driver: share warned, AUC, precision, recall and accuracy, each
            with a 95 % interval over customers; at equal effort, see ``compare``.
        last: the same of the warnings as they are given, at the last moment, which
            the thresholds were not learned from; None: they had to be.
    """

    drivers: tuple[Driver, ...] = ()
    moments: tuple[datetime, ...] = ()
    rows: int = 0
    figures: Mapping[str, Mapping[str, Any]] | None = None
    last: Mapping[str, Any] | None = None

    def facts(self) -> dict[str, Any]:
        """What ``Lookback.of`` reads, as JSON."""
        drivers = [
            {
                "name": one.name,
                "threshold": one.threshold,
                "calibration": [one.calibration.slope, one.calibration.intercept],
            }
            for one in self.drivers
        ]
        return {
            "drivers": drivers,
            "moments": [moment.isoformat() for moment in self.moments],
            "rows": self.rows,
            "figures": self.figures,
            "last": self.last,
        }

    @classmethod
    def of(cls, facts: Mapping[str, Any]) -> Lookback:
        """What was published."""
        drivers = tuple(
            Driver(one["name"], one["threshold"], Platt(*one["calibration"]))
            for one in facts["drivers"]
        )
        moments = tuple(datetime.fromisoformat(one) for one in facts["moments"])
        figures, last = facts["figures"], facts.get("last")
        return cls(drivers, moments, facts["rows"], figures, last)


def look_back(
    history: History, cutoff: datetime, first: datetime, config: Config
) -> Lookback:
    """Judge past moments by what came of them.

    Args:
        history: of the customers who were drawn to learn from; rows at or after the
            cutoff are not read.
        cutoff: of the version.
        first: the first purchase of the shop.
        config: of health and churn.
    """
    moments = _moments(cutoff, first, config)
    if not moments:
        return Lookback()
    share = SAMPLE / max(len(history.customers), 1)
    sample = take(history, lots(history.customers, config.seed) < share)
    known = known_since(sample)
    # A history that was loaded late says nothing of what was known before that.
    moments = tuple(at for at in moments if known is not None and known < at)
    if not moments:
        return Lookback()
    churn, moments = _churn(sample, moments, config)
    since = returns_since(history)
    past = together([_past(sample, at, churn, since, config) for at in moments])
    if not 0 < past.lost.sum() < len(past.lost):
        return Lookback()
    figures = {
        name: _plain(asdict(one)) for name, one in compare(past, config.seed).items()
    }
    drivers = choose(past, config.health)
    last = on_last(past, drivers, config.health, config.seed)
    told = None if last is None else _plain(asdict(last))
    return Lookback(drivers, moments, len(past.lost), figures, told)


def _moments(cutoff: datetime, first: datetime, config: Config) -> tuple[datetime, ...]:
    """Moments with usual days before them, and an end of their window, ascending."""
    rules = config.health
    return past_cutoffs(
        first + timedelta(days=rules.usual_days, microseconds=1),
        cutoff,
        rules.lost_days,
        STEP_DAYS,
        MOMENTS,
    )


def _churn(
    history: History, moments: tuple[datetime, ...], config: Config
) -> tuple[Churn | None, tuple[datetime, ...]]:
    """A churn model of the first moment that has enough to learn from.

    Returns:
        The model, and the moments from that one on; without a model all of them.
    """
    settings = config.churn.model_copy(update={"seeds": 1})
    step = timedelta(days=config.churn.window_days)
    began = known_since(history)
    for place, moment in enumerate(moments):
        back = (moment - step * n for n in range(LESSONS, 0, -1))
        lessons = [one for one in back if began is not None and began < one]
        if not lessons:
            continue
        rows = assemble(history, lessons)
        churn = fit_churn(replace(history, until=moment), rows, settings, config.seed)
        if churn is not None:
            return churn, moments[place:]
    return None, moments


def _past(
    history: History,
    moment: datetime,
    churn: Churn | None,
    returns: datetime | None,
    config: Config,
) -> Past:
    """What was said at a moment of customers with a usual spend, and what came."""
    rules, us = config.health, to_us(moment)
    cutoffs = month_cutoffs(moment, rules.months)
    features = slim(history, cutoffs)
    here = at_cutoff(features, moment)
    states = [
        health(at_cutoff(features, at), rules, has_returns=is_known(returns, at))
        for at in cutoffs
    ]
    months = months_of(pa.concat_tables(states))
    gap = fit_thresholds(here, config.tags, config.tiers).usual_gap
    risk = None if churn is None else _risk(history, churn, moment, us)
    scores = scores_of(months, here, risk, gap, rules)
    lost, known = lost_by_spend(history, us, rules)
    customer = here.column("customer").to_numpy()
    past = Past(
        customer=customer.astype(np.int64),
        cutoff=np.full(len(customer), us),
        lost=lost[customer].astype(np.float64),
        warned=months.is_warned(rules.alert_line),
        scores=scores,
    )
    told = past.take(known[customer])
    # Today another churn model speaks, of more lessons: its ranks are comparable.
    return replace(told, scores={**told.scores, CHURN: ranked(told.scores[CHURN])})


def _risk(history: History, churn: Churn, moment: datetime, us: int) -> pa.Table:
    return churn.predict(history, assemble(history, [moment]), us)


def _plain(figures: Mapping[str, Any]) -> dict[str, Any]:
    """NaN as null; an interval is told by its three numbers."""
    return {
        name: _plain(value)
        if isinstance(value, Mapping)
        else None
        if value != value
        else float(value)
        for name, value in figures.items()
    }
