"""The design of an experiment from the shop's own history."""

from __future__ import annotations

from datetime import datetime, timedelta

import duckdb

from serving.experiment_schema import DesignIn, ExperimentRequest
from serving.experiments.assign import Arm
from serving.experiments.design import Baseline, Design, Test, plan
from serving.experiments.inputs import SOURCES
from serving.experiments.measures import Measure, measure
from serving.experiments.outcome_sql import Window, moment
from serving.experiments.past import arrivals, past_baselines

_ARRIVAL_DAYS = 56
"""Customers are expected to come as in so many days before."""

_RATES = ("click_rate", "conversion", "repurchase_rate")


class DesignError(Exception):
    """A design that cannot be worked out as it is asked for.

    Attributes:
        field: of the request that has to change.
        said: what was expected of it.
    """

    def __init__(self, field: str, said: str) -> None:
        super().__init__(f"{field}: {said}")
        self.field, self.said = field, said


def designed(
    db: duckdb.DuckDBPyConnection, asked: ExperimentRequest, as_of: datetime
) -> Design:
    """How many customers and days it takes to find the effect that is asked for.

    Customers arrive as in the days before: whoever buys is expected to be there to be
    assigned.

    Args:
        db: see ``inputs.opened``, of no experiment.
        asked: has a design.
        as_of: nothing at or after it is read.

    Raises:
        DesignError: the history has no baseline of the primary measure, and none was
            assumed; or the effect cannot be, such as a share beyond 1.
    """
    wanted = asked.design
    if wanted is None:
        raise ValueError("design: expected one, got none")
    primary = measure(asked.primary)
    base = _baseline(db, asked, wanted, primary, as_of)
    if primary.name in _RATES and base.mean * (1 + wanted.mde) > 1:
        raise DesignError(
            "design.mde",
            f"expected at most {1 / base.mean - 1:.4g}, which takes control's "
            f"{primary.label} of {base.mean:.4g} to 1, got {wanted.mde:g}",
        )
    start = as_of - timedelta(days=_ARRIVAL_DAYS)
    per_slot = [Arm(arm.name, arm.weight, arm.holdout) for arm in asked.arms]
    test = Test(wanted.alpha, wanted.power, tuple(wanted.looks), wanted.spending)
    return plan(
        base,
        per_slot,
        test,
        wanted.mde,
        arrivals(db, SOURCES.purchases, start, _ARRIVAL_DAYS),
        asked.window_days,
        primary.covariates,
    )


def _baseline(
    db: duckdb.DuckDBPyConnection,
    asked: ExperimentRequest,
    wanted: DesignIn,
    primary: Measure,
    as_of: datetime,
) -> Baseline:
    """Of the past, else as assumed."""
    needs_shown = primary.name in ("click_rate", "conversion")
    if _any_purchase(db, as_of) and not (needs_shown and not _any_shown(db, as_of)):
        found = _of_the_past(db, asked.window_days, primary, as_of)
        if found is not None and found.mean > 0:
            return found
    if primary.name not in _RATES:
        raise DesignError(
            "primary",
            f"expected a measure that the history tells, or one of {', '.join(_RATES)} "
            f"with design.assumed, got {primary.name}",
        )
    if wanted.assumed is None:
        raise DesignError(
            "design.assumed",
            f"expected control's {primary.label}, because the history does not tell "
            "it, got none",
        )
    rate = wanted.assumed
    # Clicks on the slots of one list as if each came by itself.
    trials = asked.slots if primary.kind == "ratio" else 1
    return Baseline(
        primary.name, primary.kind, rate, rate * (1 - rate) / trials, 1.0, 0
    )


def _of_the_past(
    db: duckdb.DuckDBPyConnection, days: int, primary: Measure, as_of: datetime
) -> Baseline | None:
    """Of the last whole window; None: it was undefined, or never varied."""
    try:
        found = past_baselines(
            db,
            SOURCES.purchases,
            Window(as_of, days),
            (primary,),
            exposures=SOURCES.exposures,
            clicks=SOURCES.clicks,
        )
    except ValueError:
        # Shown, say, and never clicked on yet: one of its two columns varies.
        return None
    return found.get(primary.name)


def _any_purchase(db: duckdb.DuckDBPyConnection, as_of: datetime) -> bool:
    return _any(db, SOURCES.purchases, as_of)


def _any_shown(db: duckdb.DuckDBPyConnection, as_of: datetime) -> bool:
    return _any(db, str(SOURCES.exposures), as_of)


def _any(db: duckdb.DuckDBPyConnection, name: str, as_of: datetime) -> bool:
    query = f"SELECT 1 FROM {name} WHERE ts < {moment(as_of)} LIMIT 1"
    return bool(db.execute(query).fetchall())
