"""Before the start: how many customers, how many days, what can be seen at all.

From the shop's own past: moments of the same customer-level table over a window of
the same length, drawn up for customers who would have been eligible.
"""

from __future__ import annotations

import json
import math
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np

from features.history import Floats
from serving.experiments import sequential
from serving.experiments.assign import Arm
from serving.experiments.linear import linear
from serving.experiments.measures import Kind, Measure
from serving.experiments.moments import Moments
from serving.experiments.sequential import Spending

PARTS = 10_000
"""Weights of a suggested split add up to this."""

_RECENT_DAYS = 28
"""Beyond a given arrival curve, customers arrive as in its last days."""


@dataclass(frozen=True)
class Baseline:
    """One measure in the past.

    Attributes:
        mean: value of the measure.
        variance: per customer, of its linear form.
        kept: share of the variance that covariates leave, 1: none explained. With
            one covariate of correlation r it is ``1 - r^2``.
        customers: whom it was measured on.
    """

    measure: str
    kind: Kind
    mean: float
    variance: float
    kept: float
    customers: int


@dataclass(frozen=True)
class Design:
    """What was promised before the start; kept as it is, and held to.

    Attributes:
        primary: the one measure that decides.
        arms: name, weight and whether it is a holdout; control first.
        alpha: of the whole test, two-sided; arms beside control share it.
        looks: fractions of the customers at which the result is looked at; the
            last is 1.
        mde: smallest uplift (relative) found with that power.
        customers: in all arms together, at the end.
        days: until the last of them has had the whole window; null: they never come.
        window_days: outcomes count so long after the assignment.
    """

    primary: str
    arms: tuple[Arm, ...]
    alpha: float
    power: float
    looks: tuple[float, ...]
    spending: Spending
    mde: float
    customers: int
    days: int | None
    window_days: int
    covariates: tuple[str, ...]
    baseline: Baseline

    @property
    def treatments(self) -> int:
        """Arms that are compared with control; they share alpha."""
        return _treatments(self.arms)

    def pair_customers(self, arm: str) -> float:
        """Customers of control and that arm together, at the end.

        Raises:
            ValueError: the design has no such arm besides control.
        """
        weights = {a.name: a.weight for a in self.arms[1:]}
        if arm not in weights:
            raise ValueError(f"arm: expected one of {list(weights)}, got {arm!r}")
        total = self.arms[0].weight + sum(weights.values())
        return self.customers * (self.arms[0].weight + weights[arm]) / total

    def to_json(self) -> str:
        """As text; ``design_from_json`` gives the same design back."""
        return json.dumps(asdict(self), sort_keys=True)


def design_from_json(text: str) -> Design:
    """The design that ``to_json`` wrote."""
    raw: dict[str, Any] = json.loads(text)
    made: dict[str, Any] = {
        "arms": tuple(Arm(**arm) for arm in raw["arms"]),
        "looks": tuple(raw["looks"]),
        "covariates": tuple(raw["covariates"]),
        "baseline": Baseline(**raw["baseline"]),
    }
    return Design(**raw | made)


def baseline(
    measure: Measure, past: Moments, covariates: tuple[str, ...] = ()
) -> Baseline:
    """The measure in a past window.

    Args:
        measure: what will be compared.
        past: moments of all eligible customers, one row each.
        covariates: columns of before the window that the analysis will use.

    Raises:
        ValueError: the measure is undefined or never varies in the past.
    """
    found = linear(measure, past, covariates)
    if found is None or not found.var > 0:
        raise ValueError(
            f"{measure.name}: expected a past in which it is defined and varies, got "
            f"{past.count} customers without; take a longer window"
        )
    slope = np.linalg.pinv(found.covariate_cov) @ found.with_covariates
    explained = float(slope @ found.with_covariates) / found.var
    kept = max(1 - explained, 0.0)
    return Baseline(measure.name, measure.kind, found.value, found.var, kept, found.n)


def suggest_split(
    control: str, treatments: Sequence[str], holdout: float = 0.0
) -> tuple[Arm, ...]:
    """Weights that find the smallest effects of all treatments beside control.

    With k treatments, control is ``sqrt(k)`` times as large as each (Dunnett, 1955,
    JASA 50).

    Args:
        control: its name.
        treatments: their names.
        holdout: share of all customers who get nothing at all, 0: none.
    """
    if not 0 <= holdout < 1:
        raise ValueError(f"holdout: expected 0 <= share < 1, got {holdout}")
    k = len(treatments)
    rest = PARTS - round(PARTS * holdout)
    each = round(rest / (k + math.sqrt(k)))
    arms = [Arm(control, rest - k * each), *(Arm(name, each) for name in treatments)]
    if rest < PARTS:
        arms.append(Arm("holdout", PARTS - rest, holdout=True))
    return tuple(arms)


@dataclass(frozen=True)
class Test:
    """How the comparison will be tested; see ``Design``."""

    alpha: float = 0.05
    power: float = 0.8
    looks: tuple[float, ...] = (1.0,)
    spending: Spending = "obrien-fleming"

    # pytest would take the name for a test.
    __test__ = False

    def bounds(self, treatments: int) -> tuple[sequential.Look, ...]:
        """Bounds of every look for one of so many treatments."""
        # Bonferroni: a little on the safe side of Holm, which the report uses.
        return sequential.looks(self.looks, self.alpha / treatments, self.spending)


def power_of(
    base: Baseline, uplift: float, arms: Sequence[Arm], customers: float, test: Test
) -> float:
    """Chance of finding that uplift of the smallest treatment, either way.

    Args:
        base: of the measure.
        uplift: relative.
        arms: control first.
        customers: in all arms together.
        test: see ``Test``.
    """
    error = math.sqrt(_unit_variance(base, uplift, arms) / customers)
    looks = test.bounds(_treatments(arms))
    return sequential.power(looks, base.mean * uplift / error)


def customers_needed(
    base: Baseline, uplift: float, arms: Sequence[Arm], test: Test
) -> int:
    """Customers of all arms together who show that uplift with the test's power."""
    if uplift == 0 or base.mean == 0:
        raise ValueError("uplift: expected an effect other than 0")
    wanted = _drift(arms, test) / (base.mean * uplift)
    return math.ceil(wanted**2 * _unit_variance(base, uplift, arms))


def smallest_uplift(
    base: Baseline, arms: Sequence[Arm], customers: int, test: Test
) -> float:
    """Smallest relative increase found with the test's power (MDE).

    inf: even a very large one would not be.
    """
    drift = _drift(arms, test)

    def short(uplift: float) -> float:
        error = math.sqrt(_unit_variance(base, uplift, arms) / customers)
        return drift * error - base.mean * uplift

    most = 100.0 if base.kind != "share" else 1 / base.mean - 1
    if short(most) > 0:
        return math.inf
    return sequential.root(short, 0.0, most)


def days_needed(
    arrivals: Sequence[float] | Floats, customers: int, window_days: int
) -> int | None:
    """Days until so many customers have come and had their whole window.

    Args:
        arrivals: customers who become eligible on each day, from the first on;
            beyond its end they come as in its last 28 days.
        customers: how many must come.
        window_days: length of the window.

    Returns:
        None: so many never come.
    """
    daily = np.asarray(arrivals, dtype=np.float64)
    upto = np.cumsum(daily)
    if len(upto) and upto[-1] >= customers:
        return int(np.searchsorted(upto, customers)) + 1 + window_days
    rate = float(daily[-_RECENT_DAYS:].mean()) if len(daily) else 0.0
    if rate <= 0:
        return None
    return len(daily) + math.ceil((customers - upto[-1]) / rate) + window_days


def customers_by(arrivals: Sequence[float] | Floats, days: int) -> int:
    """Customers who have come after so many days; see ``days_needed``."""
    daily = np.asarray(arrivals, dtype=np.float64)
    if days <= len(daily):
        return int(daily[:days].sum())
    rate = float(daily[-_RECENT_DAYS:].mean()) if len(daily) else 0.0
    return int(daily.sum() + rate * (days - len(daily)))


def plan(
    base: Baseline,
    arms: Sequence[Arm],
    test: Test,
    mde: float,
    arrivals: Sequence[float] | Floats,
    window_days: int,
    covariates: tuple[str, ...] = (),
) -> Design:
    """The design that finds an uplift of ``mde``; see the functions above."""
    customers = customers_needed(base, mde, arms, test)
    return Design(
        primary=base.measure,
        arms=tuple(arms),
        alpha=test.alpha,
        power=test.power,
        looks=test.looks,
        spending=test.spending,
        mde=mde,
        customers=customers,
        days=days_needed(arrivals, customers, window_days),
        window_days=window_days,
        covariates=covariates,
        baseline=base,
    )


def _treatments(arms: Sequence[Arm]) -> int:
    return max(sum(not arm.holdout for arm in arms) - 1, 1)


def _drift(arms: Sequence[Arm], test: Test) -> float:
    """Expected z at the end that gives the power."""
    looks = test.bounds(_treatments(arms))
    return sequential.root(lambda d: sequential.power(looks, d) - test.power, 0.0, 15.0)


def _unit_variance(base: Baseline, uplift: float, arms: Sequence[Arm]) -> float:
    """Variance of the effect times the customers of all arms together."""
    total = sum(arm.weight for arm in arms)
    smallest = min(arm.weight for arm in arms[1:] if not arm.holdout)
    return base.kept * (
        base.variance * total / arms[0].weight
        + _variance_after(base, uplift) * total / smallest
    )


def _variance_after(base: Baseline, uplift: float) -> float:
    """Variance in the treated arm: binomial, or growing with the mean like counts."""
    if base.kind == "share":
        after = base.mean * (1 + uplift)
        if not 0 <= after <= 1:
            raise ValueError(f"uplift: {uplift:g} takes the share beyond 0 to 1")
        return after * (1 - after)
    return base.variance * max(1 + uplift, 0.0)
