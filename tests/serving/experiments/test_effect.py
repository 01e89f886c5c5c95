"""The statistics beside scipy, statsmodels and tea-tasting, to 1e-9."""

from __future__ import annotations

import ibis
import numpy as np
import pandas as pd
import pytest
import statsmodels.api as sm
import tea_tasting as tt
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import stats
from statsmodels.stats.proportion import (
    confint_proportions_2indep,
)
from statsmodels.stats.proportion import (
    test_proportions_2indep as two_proportions,
)

from serving.experiments.effect import Estimate, compare
from serving.experiments.measures import CLICK_RATE, Measure, measure
from serving.experiments.moments import moments_of, pooled, read_moments
from serving.experiments.multiplicity import benjamini_hochberg, holm

NAMES = ("manual", "model")
SPEND = Measure("spend", "spend", "mean", "y")
BOUGHT = Measure("bought", "bought", "share", "b")
VALUE = Measure("value", "value", "ratio", "y", "d")


def close(a: float | None, b: float) -> bool:
    return a == pytest.approx(b, rel=1e-9, abs=1e-12)


@pytest.fixture(scope="module")
def frame() -> pd.DataFrame:
    random = np.random.default_rng(1)
    n = 900
    arm = np.where(random.random(n) < 0.4, "model", "manual")
    x, w = random.gamma(2, 3, n), random.normal(100, 30, n)
    d = 1.0 + random.poisson(2, n)
    y = 2 * x + 0.03 * w + random.gamma(1, 4, n) + (arm == "model")
    b = (random.random(n) < 0.3).astype(float)
    return pd.DataFrame({"arm": arm, "y": y, "d": d, "b": b, "x": x, "w": w})


def sides(frame: pd.DataFrame) -> list[pd.DataFrame]:
    return [frame[frame["arm"] == name] for name in NAMES]


def both(frame: pd.DataFrame, of: Measure, **more: object) -> Estimate:
    parts = [
        moments_of({c: f[c].to_numpy() for c in ("y", "d", "b", "x", "w")})
        for f in sides(frame)
    ]
    return compare(of, parts[0], parts[1], NAMES, **more)  # type: ignore[arg-type]


def test_mean_is_welch(frame: pd.DataFrame) -> None:
    control, arm = (f["y"] for f in sides(frame))
    theirs = stats.ttest_ind(arm, control, equal_var=False)
    low, high = theirs.confidence_interval()
    ours = both(frame, SPEND)
    assert close(ours.p_value, theirs.pvalue)
    assert close(ours.low, low)
    assert close(ours.high, high)
    assert close(ours.freedom, theirs.df)
    student = stats.ttest_ind(arm, control)
    assert close(both(frame, SPEND, equal_var=True).p_value, student.pvalue)


def test_share_is_the_z_test_of_two_proportions(frame: pd.DataFrame) -> None:
    control, arm = (f["b"] for f in sides(frame))
    ask = (arm.sum(), len(arm), control.sum(), len(control))
    theirs = two_proportions(*ask, method="wald")
    low, high = confint_proportions_2indep(*ask, method="wald")
    ours = both(frame, BOUGHT)
    assert close(ours.p_value, theirs.pvalue)
    assert close(ours.low, low)
    assert close(ours.high, high)


def test_cuped_is_least_squares_on_arm_and_covariates(frame: pd.DataFrame) -> None:
    arm = (frame["arm"] == "model").astype(float)
    design = sm.add_constant(np.column_stack([arm, frame["x"], frame["w"]]))
    theirs = sm.OLS(frame["y"].to_numpy(), design).fit()
    ours = both(frame, SPEND, covariates=("x", "w"), equal_var=True)
    assert close(ours.effect, theirs.params[1])
    assert close(ours.std_error, theirs.bse[1])
    assert close(ours.p_value, theirs.pvalues[1])
    assert close(ours.low, theirs.conf_int()[1, 0])
    welch = both(frame, SPEND, covariates=("x", "w"))
    assert close(welch.effect, theirs.params[1])
    assert welch.kept == pytest.approx(1 - theirs.rsquared, abs=0.02)
    assert both(frame, SPEND).std_error > 1.5 * welch.std_error


def test_means_and_ratios_equal_tea_tasting(frame: pd.DataFrame) -> None:
    table = ibis.memtable(frame)
    asked = tt.Experiment(
        {"spend": tt.Mean("y"), "value": tt.RatioOfMeans("y", "d")}, variant="arm"
    )
    theirs = asked.analyze(table, control="manual")
    moments = read_moments(table, ("y", "d"), ["arm"])
    for of in (SPEND, VALUE):
        ours = compare(of, moments["manual",], moments["model",], NAMES)
        one = theirs[of.name]
        for mine, other in (
            (ours.effect, one.effect_size),
            (ours.low, one.effect_size_ci_lower),
            (ours.p_value, one.pvalue),
            (ours.uplift, one.rel_effect_size),
            (ours.uplift_low, one.rel_effect_size_ci_lower),
            (ours.uplift_high, one.rel_effect_size_ci_upper),
        ):
            assert close(mine, other)


def test_covariates_narrow_a_ratio_without_moving_it(frame: pd.DataFrame) -> None:
    plain, cuped = both(frame, VALUE), both(frame, VALUE, covariates=("x",))
    assert cuped.kept is not None and 0.2 < cuped.kept < 0.95
    assert abs(cuped.effect - plain.effect) < 3 * plain.std_error
    # A covariate that says nothing more changes nothing.
    twice = frame.assign(w=frame["x"] * 1e6)
    assert close(both(twice, VALUE, covariates=("x", "w")).effect, cuped.effect)


def test_undefined_is_null() -> None:
    # Nobody of control saw an offer; one customer is no sample.
    shown = moments_of({"clicks": np.array([1.0, 0]), "exposures": np.array([2.0, 2])})
    none = moments_of({"clicks": np.zeros(3), "exposures": np.zeros(3)})
    one = moments_of({"clicks": np.ones(1), "exposures": np.ones(1)})
    for control in (none, one):
        found = compare(CLICK_RATE, control, shown, NAMES)
        assert found.effect is found.p_value is found.uplift is None
        assert found.customers_control == control.count
    clicks = Measure("clicks", "clicks", "mean", "clicks")
    over_nothing = compare(clicks, none, shown, NAMES)
    assert over_nothing.uplift is None
    assert over_nothing.effect == 0.5
    alike = compare(clicks, none, none, NAMES)
    assert alike.effect == 0 and alike.p_value is None and alike.low is None
    with pytest.raises(ValueError, match="measure"):
        measure("clickrate")


def test_wider_intervals_keep_the_estimate(frame: pd.DataFrame) -> None:
    found = both(frame, SPEND)
    wide = found.widened(4.0, 0.3)
    assert close(wide.high - wide.low, 8 * found.std_error)
    assert wide.uplift == found.uplift and wide.p_value == 0.3
    assert wide.uplift_low < found.uplift_low < found.uplift_high < wide.uplift_high


@settings(max_examples=20, deadline=None)
@given(st.integers(2, 30), st.integers(2, 30), st.integers(0, 10**6))
def test_moments_of_parts_add_up(n: int, m: int, seed: int) -> None:
    random = np.random.default_rng(seed)
    rows = random.normal(1e4, 1, (n + m, 2))
    whole, left, right = (
        moments_of({"a": part[:, 0], "b": part[:, 1]})
        for part in (rows, rows[:n], rows[n:])
    )
    added = pooled([left, right])
    assert added.count == n + m
    np.testing.assert_allclose(added.mean, whole.mean, rtol=1e-12)
    np.testing.assert_allclose(added.cov, whole.cov, rtol=1e-6, atol=1e-9)


def test_groups_of_any_text_stay_apart() -> None:
    values = ["a", "a:1", "1:a", "", "ü:", "a"]
    rows = pd.DataFrame({"arm": values, "seg": values[::-1], "y": range(6)})
    found = read_moments(ibis.memtable(rows), ["y"], ["arm", "seg"])
    assert set(found) == set(zip(values, values[::-1], strict=True))
    assert found["a:1", "ü:"].mean[0] == 1


def test_corrections() -> None:
    # By hand: .005 * 4, .01 * 3, .03 * 2, and .04 no less than the one before.
    assert holm([0.01, None, 0.04, 0.03, 0.005]) == pytest.approx(
        [0.03, None, 0.06, 0.06, 0.02]
    )
    assert holm([0.6, 0.7]) == [1.0, 1.0]
    assert holm([None]) == [None]
    random = np.random.default_rng(2)
    for n in (1, 4, 11):
        p = list(random.choice([0.0, 0.001, 0.01, 0.04, 1.0], n) * random.random(n))
        theirs = stats.false_discovery_control(p)
        ours = benjamini_hochberg([None, *p])
        assert ours[0] is None
        np.testing.assert_allclose(np.array(ours[1:], float), theirs, atol=1e-12)
