"""The design of an experiment from the shop's own history."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime, timedelta

import duckdb

from serving.experiment_schema import ExperimentRequest
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


@dataclass(frozen=True)
class Basis:
    """What a baseline is of.

    Attributes:
        window_days: outcomes count so long.
        slots: of a list.
        assumed: control's rate where the history does not tell; None: not assumed.
        within: of the request, before the names of fields.
    """

    primary: Measure
    window_days: int
    slots: int
    assumed: float | None
    within: str = ""


def designed(
    db: duckdb.DuckDBPyConnection, asked: ExperimentRequest, as_of: datetime
) -> Design:
    """How many customers and days it takes to find the effect that is asked for.

    Customers arrive as in the days before: whoever buys is expected to be there to be
    assigned.

    Args:
        db: see ``inputs.opened``, of no experiment.
        asked: has a design.
        as_of: nothing is read that happened or was known at or after it.

    Raises:
        DesignError: the history has no baseline of the primary measure, and none was
            assumed; or the effect cannot be, such as a share beyond 1.
    """
    wanted = asked.design
    if wanted is None:
        raise ValueError("design: expected one, got none")
    primary = measure(asked.primary)
    basis = Basis(primary, asked.window_days, asked.slots, wanted.assumed, "design.")
    base = baseline_of(db, basis, as_of)
    must_be_possible(basis, base, wanted.mde)
    per_slot = [Arm(arm.name, arm.weight, arm.holdout) for arm in asked.arms]
    test = Test(wanted.alpha, wanted.power, tuple(wanted.looks), wanted.spending)
    return plan(
        base,
        per_slot,
        test,
        wanted.mde,
        arrivals_before(db, as_of),
        asked.window_days,
        primary.covariates,
    )


def must_be_possible(basis: Basis, base: Baseline, mde: float) -> None:
    """Nothing if a rate does not pass 1 with the effect.

    Raises:
        DesignError: it does.
    """
    primary = basis.primary
    if primary.name in _RATES and base.mean * (1 + mde) > 1:
        raise DesignError(
            f"{basis.within}mde",
            f"expected at most {1 / base.mean - 1:.4g}, which takes control's "
            f"{primary.label} of {base.mean:.4g} to 1, got {mde:g}",
        )


def arrivals_before(db: duckdb.DuckDBPyConnection, as_of: datetime) -> list[int]:
    """Customers by day, as they came lately; see ``past.arrivals``."""
    start = as_of - timedelta(days=_ARRIVAL_DAYS)
    return arrivals(db, SOURCES.purchases, start, _ARRIVAL_DAYS)


def baseline_of(
    db: duckdb.DuckDBPyConnection, basis: Basis, as_of: datetime
) -> Baseline:
    """Of the past, else as assumed.

    Raises:
        DesignError: the history does not tell it, and none was assumed or can be.
    """
    primary = basis.primary
    needs_shown = primary.name in ("click_rate", "conversion")
    if _any_purchase(db, as_of) and not (needs_shown and not _any_shown(db, as_of)):
        found = _of_the_past(db, basis.window_days, primary, as_of)
        if found is not None and found.mean > 0:
            return found
    field = f"{basis.within}assumed"
    if primary.name not in _RATES:
        raise DesignError(
            "primary",
            f"expected a measure that the history tells, or one of {', '.join(_RATES)} "
            f"with {field}, got {primary.name}",
        )
    if basis.assumed is None:
        raise DesignError(
            field,
            f"expected control's {primary.label}, because the history does not tell "
            "it, got none",
        )
    rate = basis.assumed
    # Clicks on the slots of one list as if each came by itself.
    trials = basis.slots if primary.kind == "ratio" else 1
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
