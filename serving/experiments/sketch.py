"""Before an experiment is planned: what it can find, and what that takes."""

from __future__ import annotations

import math
from dataclasses import dataclass
from datetime import datetime

import duckdb

from serving.experiment_design_schema import DesignRequest
from serving.experiments.assign import Arm
from serving.experiments.design import (
    Baseline,
    Test,
    customers_by,
    customers_needed,
    days_needed,
    power_of,
    smallest_uplift,
    suggest_split,
)
from serving.experiments.designed import (
    Basis,
    DesignError,
    arrivals_before,
    baseline_of,
    must_be_possible,
)
from serving.experiments.measures import measure

_TIMES = (0.25, 0.5, 0.75, 1.0, 1.25, 1.5, 2.0)
"""Of the smallest effect found: at these the power is told."""

_NONE_FOUND = (0.05, 0.1, 0.2, 0.5, 1.0)
"""Uplifts at which it is told where no effect is found."""


@dataclass(frozen=True)
class Sketch:
    """What such an experiment can find; see ``DesignAnswer``.

    Attributes:
        mde: inf: even a very large effect would not be found.
        powers: by relative effect, of those that can be.
    """

    arms: tuple[Arm, ...]
    customers: int
    days: int | None
    mde: float
    test: Test
    base: Baseline
    powers: dict[float, float]


def sketched(
    db: duckdb.DuckDBPyConnection, asked: DesignRequest, as_of: datetime
) -> Sketch:
    """The design for an effect, a duration or a number of customers.

    Args:
        db: see ``inputs.opened``, of no experiment.
        asked: gives one of the three.
        as_of: nothing is read that happened or was known at or after it.

    Raises:
        DesignError: see ``designed.baseline_of``; or nobody comes in the days.
    """
    primary = measure(asked.primary)
    basis = Basis(primary, asked.window_days, asked.slots, asked.assumed)
    base = baseline_of(db, basis, as_of)
    test = Test(asked.alpha, asked.power, tuple(asked.looks), asked.spending)
    arms = _arms(asked)
    coming = arrivals_before(db, as_of)
    if asked.mde is not None:
        must_be_possible(basis, base, asked.mde)
        customers, mde = customers_needed(base, asked.mde, arms, test), asked.mde
    else:
        customers = asked.customers or 0
        if asked.days is not None:
            customers = customers_by(coming, asked.days - asked.window_days)
        if customers < 2 * len(arms):
            raise DesignError(
                "days",
                f"expected days in which customers come, got {asked.days} of which "
                f"{asked.window_days} are the last window; about {customers} would come",
            )
        mde = smallest_uplift(base, arms, customers, test)
    days = asked.days or days_needed(coming, customers, asked.window_days)
    powers = {
        uplift: power_of(base, uplift, arms, customers, test)
        for uplift in _uplifts(base, mde)
    }
    return Sketch(arms, customers, days, mde, test, base, powers)


def _arms(asked: DesignRequest) -> tuple[Arm, ...]:
    """As weighed, or as suggested; the holdout last."""
    names = asked.arms
    if asked.weights is None:
        return suggest_split(names[0], names[1:], asked.holdout)
    arms = tuple(Arm(n, w) for n, w in zip(names, asked.weights, strict=True))
    if not asked.holdout:
        return arms
    # In whole weights, to a ten-thousandth of all customers.
    scale = 10_000
    scaled = [Arm(arm.name, arm.weight * scale) for arm in arms]
    rest = sum(arm.weight for arm in scaled)
    aside = max(1, round(rest * asked.holdout / (1 - asked.holdout)))
    shrink = math.gcd(aside, *(arm.weight for arm in scaled))
    made = [Arm(arm.name, arm.weight // shrink) for arm in scaled]
    return (*made, Arm("holdout", aside // shrink, holdout=True))


def _uplifts(base: Baseline, mde: float) -> list[float]:
    """Relative effects that can be, ascending."""
    wanted = _NONE_FOUND if math.isinf(mde) else [mde * times for times in _TIMES]
    most = 1 / base.mean - 1 if base.kind == "share" else math.inf
    return [uplift for uplift in wanted if uplift <= most]


def told(asked: DesignRequest, found: Sketch) -> dict[str, object]:
    """The sketch as ``DesignAnswer``."""
    total = sum(arm.weight for arm in found.arms)
    return {
        "sentence": sentence(asked, found),
        "primary": asked.primary,
        "arms": [
            {**vars(arm), "share": arm.weight / total, "holdout": arm.holdout}
            for arm in found.arms
        ],
        "customers": found.customers,
        "days": found.days,
        "mde": None if math.isinf(found.mde) else found.mde,
        "alpha": found.test.alpha,
        "power": found.test.power,
        "power_by_uplift": [
            {"uplift": uplift, "power": power} for uplift, power in found.powers.items()
        ],
        "baseline": {
            "mean": found.base.mean,
            "kept_variance": found.base.kept,
            "customers": found.base.customers,
        },
    }


def sentence(asked: DesignRequest, found: Sketch) -> str:
    """What it comes to, in words."""
    label = measure(asked.primary).label
    start = f"{found.customers:,} customers"
    if found.days is not None:
        start += f" in about {found.days:,} days"
    elif asked.days is None:
        start += ", who do not come as things are,"
    if math.isinf(found.mde):
        return f"{start} show no effect on {label} however large; take more of them."
    return (
        f"{start} show an effect of {found.mde:.1%} on {label} (now "
        f"{found.base.mean:.4g}) with a power of {found.test.power:.0%}."
    )
