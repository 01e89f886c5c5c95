from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from serving.experiments.effect import Estimate, compare
from serving.experiments.measures import CLICK_RATE, DAYS_TO_PURCHASE, REVENUE, Measure
from serving.experiments.moments import Moments
from serving.experiments.ratio import check
from serving.experiments.verdict import Money, verdict

SHARES = {"manual": 1.0, "model": 1.0}
FAIR = check({"manual": 5000, "model": 5000}, SHARES)
NAMES = ("manual", "model")
MEAN = Measure("m", "m", "mean", "m")


def estimate(control: float, arm: float, sd: float = 1.0, n: int = 5000) -> Estimate:
    sides = [
        Moments(("m",), n, np.array([mean]), np.array([[sd**2]]))
        for mean in (control, arm)
    ]
    return compare(MEAN, sides[0], sides[1], NAMES)


def test_a_winner_and_what_it_is_worth() -> None:
    # log 1.2 has standard error sqrt((1 / 1.44 + 1) / 5000) = .01841.
    money = Money(estimate(10, 10.5, 5), margin_rate=0.3, yearly_reach=100_000)
    found = verdict(CLICK_RATE, estimate(1, 1.2), FAIR, days=14, money=money)
    assert found.outcome == "won" and found.more_days is None
    assert found.sentence == (
        "model beats manual: click rate is 20.0% higher (95% interval +15.7% to "
        "+24.4%), p < 0.001. That brings about 15,000 of margin a year (interval "
        "9,119 to 20,881)."
    )
    # .5 * .3 * 100,000; the interval is .5 +- 1.96 * .1.
    assert money.a_year() == pytest.approx((15_000, 9_119, 20_881), abs=3)


def test_harm_and_measures_that_should_fall() -> None:
    assert verdict(CLICK_RATE, estimate(1, 0.8), FAIR, days=14).outcome == "harmful"
    assert verdict(DAYS_TO_PURCHASE, estimate(1, 0.8), FAIR, days=14).outcome == "won"


def test_inconclusive_says_how_long() -> None:
    # z = 1.4: (1.96 + .84)^2 / 1.4^2 = 4.0 times the data: three times 14 days more.
    found = verdict(CLICK_RATE, estimate(1, 1.028), FAIR, days=14)
    assert found.outcome == "inconclusive"
    assert found.more_days == pytest.approx(42, abs=1)
    assert f"About {found.more_days} more days" in found.sentence
    # At a careful look the same effect needs longer.
    careful = verdict(CLICK_RATE, estimate(1, 1.028).widened(3.0, 0.4), FAIR, days=14)
    assert careful.more_days > 60
    hopeless = verdict(CLICK_RATE, estimate(1, 1.0001), FAIR, days=14)
    assert hopeless.more_days is None and "not likely" in hopeless.sentence


def test_an_invalid_ratio_ends_it_whatever_the_effect() -> None:
    lost = check({"manual": 5000, "model": 4500}, SHARES)
    found = verdict(CLICK_RATE, estimate(1, 2), lost, days=14)
    assert found.outcome == "invalid"
    assert "manual 5,000 (52.6% instead of 50.0%)" in found.sentence


def test_undefined_and_without_uplift() -> None:
    nothing = replace(estimate(1, 1), low=None, high=None)
    assert "undefined" in verdict(CLICK_RATE, nothing, FAIR, days=1).sentence
    found = verdict(REVENUE, estimate(-1, 1), FAIR, days=1)
    assert found.outcome == "won"
    assert "is 2 higher (95% interval +1.961 to +2.039" in found.sentence
    worth = Money(nothing, 0.3, 10.0)
    assert verdict(REVENUE, estimate(-1, 1), FAIR, days=1, money=worth).sentence == (
        found.sentence
    )
