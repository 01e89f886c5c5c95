"""One plain sentence: who won, by how much, how sure, what it is worth."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Literal

from scipy import stats

from serving.experiments.effect import Estimate
from serving.experiments.measures import Measure
from serving.experiments.ratio import RatioCheck

Outcome = Literal["won", "harmful", "inconclusive", "invalid"]


@dataclass(frozen=True)
class Money:
    """What an effect on revenue per customer is worth.

    Attributes:
        revenue: the arm's estimate on it, shop currency per customer and window.
        margin_rate: of revenue that is margin.
        yearly_reach: customers whom such a list reaches in a year, each time counted.
    """

    revenue: Estimate
    margin_rate: float
    yearly_reach: float

    def a_year(self) -> tuple[float, float, float] | None:
        """Margin a year and its interval; null: undefined."""
        r = self.revenue
        if r.effect is None or r.low is None or r.high is None:
            return None
        times = self.margin_rate * self.yearly_reach
        return r.effect * times, r.low * times, r.high * times


@dataclass(frozen=True)
class Verdict:
    """What a marketer reads first.

    Attributes:
        sentence: all of it in words.
        more_days: days until an effect of the size seen would be found with 80 %
            power if customers come on as so far; null: decided, invalid, or the
            effect seen is none.
    """

    outcome: Outcome
    sentence: str
    more_days: int | None


def verdict(
    measure: Measure,
    estimate: Estimate,
    check: RatioCheck,
    *,
    days: int,
    money: Money | None = None,
    power: float = 0.8,
) -> Verdict:
    """The verdict on one arm.

    Args:
        measure: the primary one.
        estimate: its interval is the one that decides: widened by ``sequential`` or
            ``anytime`` before the end.
        check: of the sample ratio; an invalid one ends it.
        days: since the first assignment.
        money: adds what it is worth.
        power: with which more data should tell.
    """
    if not check.valid:
        return Verdict("invalid", _invalid(estimate, check), None)
    low, high = estimate.low, estimate.high
    if low is None or high is None or estimate.effect is None:
        said = f"Nothing can be said yet: the {measure.label} is undefined in an arm."
        return Verdict("inconclusive", said, None)
    if low <= 0 <= high:
        more = _more_days(estimate, days, power)
        return Verdict("inconclusive", _inconclusive(measure, estimate, more), more)
    good = (estimate.effect > 0) == (measure.better == "up")
    said = _decided(measure, estimate, good)
    worth = _worth(money)
    return Verdict(
        "won" if good else "harmful", f"{said} {worth}" if worth else said, None
    )


def _invalid(estimate: Estimate, check: RatioCheck) -> str:
    sizes = ", ".join(
        f"{arm} {n:,} ({n / max(sum(check.counts.values()), 1):.1%} instead of "
        f"{check.expected[arm]:.1%})"
        for arm, n in check.counts.items()
    )
    return (
        f"Invalid: customers are missing from an arm in a way that chance does not "
        f"explain (p {_p(check.p_value)}): {sizes}. Find out where they were lost "
        f"before reading {estimate.arm} against {estimate.control}."
    )


def _decided(measure: Measure, e: Estimate, good: bool) -> str:
    verb = "beats" if good else "does worse than"
    return (
        f"{e.arm} {verb} {e.control}: {measure.label} {_size(measure, e)}, "
        f"p {_p(e.p_value)}."
    )


def _inconclusive(measure: Measure, e: Estimate, more: int | None) -> str:
    said = (
        f"Inconclusive: {measure.label} of {e.arm} beside {e.control} "
        f"{_size(measure, e)}, which leaves no effect possible."
    )
    if more is None:
        return f"{said} More of the same data are not likely to change that soon."
    unit = "day" if more == 1 else "days"
    return f"{said} About {more:,} more {unit} would tell, if the effect is of the size seen."


def _size(measure: Measure, e: Estimate) -> str:
    """Relative where it is defined, else absolute."""
    sure = f"{e.confidence:.0%} interval"
    if e.uplift is not None and e.uplift_low is not None and e.uplift_high is not None:
        way = "higher" if e.uplift >= 0 else "lower"
        return (
            f"is {abs(e.uplift):.1%} {way} ({sure} {e.uplift_low:+.1%} to "
            f"{e.uplift_high:+.1%})"
        )
    effect, low, high = e.effect or 0.0, e.low or 0.0, e.high or 0.0
    way = "higher" if effect >= 0 else "lower"
    return (
        f"is {abs(effect):.4g} {way} ({sure} {low:+.4g} to {high:+.4g}, {measure.unit})"
    )


def _worth(money: Money | None) -> str:
    found = money.a_year() if money else None
    if found is None:
        return ""
    value, low, high = found
    way = "brings" if value >= 0 else "costs"
    return (
        f"That {way} about {abs(value):,.0f} of margin a year (interval {low:,.0f} to "
        f"{high:,.0f})."
    )


def _more_days(e: Estimate, days: int, power: float) -> int | None:
    """Information grows with customers, and they with days."""
    if not e.effect or not e.std_error or e.low is None or e.high is None:
        return None
    # As wide as the interval that decides, so that a careful look stays careful.
    bound = (e.high - e.low) / 2 / e.std_error
    wanted = (bound + float(stats.norm.ppf(power))) ** 2
    more = days * (wanted * e.std_error**2 / e.effect**2 - 1)
    # An effect that needs ten times as long is not worth naming a day.
    if more > 10 * days:
        return None
    return max(math.ceil(more), 1)


def _p(p: float | None) -> str:
    if p is None:
        return "undefined"
    return "< 0.001" if p < 0.001 else f"= {p:.3f}"
