from __future__ import annotations

import math

import numpy as np
import pytest
from statsmodels.stats.power import NormalIndPower

from serving.experiments.assign import Arm
from serving.experiments.design import (
    Baseline,
    baseline,
    customers_needed,
    days_needed,
    design_from_json,
    plan,
    power_of,
    smallest_uplift,
    suggest_split,
)
from serving.experiments.design import (
    Test as Plan,
)
from serving.experiments.measures import CLICK_RATE, Measure
from serving.experiments.moments import moments_of
from serving.experiments.sequential import inflation

SHARE = Baseline("repurchase_rate", "share", 0.2, 0.16, 1.0, 10_000)
MEAN = Baseline("orders", "mean", 1.0, 4.0, 1.0, 10_000)
HALVES = (Arm("manual", 1), Arm("model", 1))
WEEKS = (0.25, 0.5, 0.75, 1.0)


@pytest.mark.parametrize("weights", [(1, 1), (3, 1)])
def test_power_equals_statsmodels(weights: tuple[int, int]) -> None:
    arms = (Arm("manual", weights[0]), Arm("model", weights[1]))
    share = weights[0] / sum(weights)
    # Var of the effect: 4 / (n s) + 4 * 1.1 / (n (1 - s)); statsmodels has one sd.
    n, uplift = 12_000, 0.1
    variance = 4 / share + 4.4 / (1 - share)
    sd = math.sqrt(variance / (1 / share + 1 / (1 - share)))
    theirs = NormalIndPower().power(
        0.1 / sd, n * share, 0.05, ratio=(1 - share) / share
    )
    assert power_of(MEAN, uplift, arms, n, Plan()) == pytest.approx(theirs, abs=1e-9)
    needed = customers_needed(MEAN, uplift, arms, Plan())
    wanted = NormalIndPower().solve_power(
        0.1 / sd, None, 0.05, 0.8, ratio=(1 - share) / share
    )
    assert needed == math.ceil(wanted / share)


def test_share_by_hand() -> None:
    # 20 % against 22 %: (1.959964 + .841621)^2 * (.16 + .1716) / .02^2 = 6,507 an arm
    # (the other tail adds nothing).
    assert customers_needed(SHARE, 0.1, HALVES, Plan()) == pytest.approx(13_014, abs=2)
    assert smallest_uplift(SHARE, HALVES, 13_014, Plan()) == pytest.approx(
        0.1, abs=1e-4
    )
    assert math.isinf(smallest_uplift(SHARE, HALVES, 2, Plan()))
    with pytest.raises(ValueError, match="beyond"):
        power_of(SHARE, 6.0, HALVES, 100, Plan())


def test_covariates_looks_and_arms_change_the_price_as_theory_says() -> None:
    n = customers_needed(MEAN, 0.05, HALVES, Plan())
    less = Baseline("orders", "mean", 1.0, 4.0, 1 - 0.6**2, 10_000)
    assert customers_needed(less, 0.05, HALVES, Plan()) / n == pytest.approx(
        0.64, abs=1e-4
    )
    for spending in ("obrien-fleming", "pocock"):
        looked = Plan(looks=WEEKS, spending=spending)  # type: ignore[arg-type]
        factor = inflation(WEEKS, 0.05, 0.8, spending)  # type: ignore[arg-type]
        assert customers_needed(MEAN, 0.05, HALVES, looked) / n == pytest.approx(
            factor, abs=1e-4
        )
    three = suggest_split("manual", ("a", "b"))
    # alpha .025 for each of two: (2.2414 + .8416)^2 / (1.96 + .8416)^2 = 1.211.
    weight = sum(a.weight for a in three)
    each = customers_needed(MEAN, 0.05, three, Plan()) / n
    parts = (weight / three[0].weight + 1.05 * weight / three[1].weight) / 4.1
    assert each == pytest.approx(1.211 * parts, rel=1e-3)


def test_moments_of_the_past() -> None:
    random = np.random.default_rng(3)
    x = random.normal(0, 1, 5000)
    y = 3 + x + random.normal(0, 2, 5000)
    past = moments_of({"y": y, "x": x})
    found = baseline(Measure("y", "y", "mean", "y"), past, ("x",))
    assert found.variance == pytest.approx(y.var(ddof=1))
    assert found.kept == pytest.approx(1 - np.corrcoef(x, y)[0, 1] ** 2)
    shown = random.poisson(4, 5000) + 1.0
    clicks = random.binomial(shown.astype(int), 0.1).astype(float)
    ratio = baseline(CLICK_RATE, moments_of({"clicks": clicks, "exposures": shown}))
    linear = (clicks - ratio.mean * shown) / shown.mean()
    assert ratio.variance == pytest.approx(linear.var(ddof=1))
    with pytest.raises(ValueError, match="varies"):
        baseline(CLICK_RATE, moments_of({"clicks": 0 * clicks, "exposures": shown}))


def test_days_by_the_arrival_curve() -> None:
    # 100 at once, then 10 a day; 130 are there after the fourth day.
    arrivals = [100] + [10] * 9
    assert days_needed(arrivals, 100, 14) == 1 + 14
    assert days_needed(arrivals, 130, 14) == 4 + 14
    # Beyond the curve as on its mean day: 19 of 190.
    assert days_needed(arrivals, 200, 14) == 10 + 1 + 14
    assert days_needed([0, 0], 1, 14) is None
    assert days_needed([], 1, 14) is None


def test_split_with_a_holdout() -> None:
    arms = suggest_split("manual", ("model",), holdout=0.1)
    assert [(a.name, a.weight, a.holdout) for a in arms] == [
        ("manual", 4500, False),
        ("model", 4500, False),
        ("holdout", 1000, True),
    ]
    four = suggest_split("c", ("w", "x", "y", "z"))
    assert four[0].weight == pytest.approx(2 * four[1].weight, abs=4)
    assert sum(a.weight for a in four) == 10_000
    with pytest.raises(ValueError, match="holdout"):
        suggest_split("c", ("w",), holdout=1)


def test_a_design_is_read_back_as_written() -> None:
    arms = suggest_split("manual", ("model",), 0.2)
    made = plan(
        SHARE, arms, Plan(looks=WEEKS), 0.1, [5000], 28, ("pre_orders", "propensity")
    )
    assert design_from_json(made.to_json()) == made
    assert power_of(
        SHARE, 0.1, arms, made.customers, Plan(looks=WEEKS)
    ) == pytest.approx(0.8, abs=1e-4)
    assert made.days == 28 + math.ceil(made.customers / 5000)
