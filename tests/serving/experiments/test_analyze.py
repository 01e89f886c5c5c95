from __future__ import annotations

import ibis
import numpy as np
import pandas as pd
import pytest
import statsmodels.api as sm
from scipy import stats

from serving.experiments.analyze import Question, analyze
from serving.experiments.measures import (
    CLICK_RATE,
    MEASURES,
    ORDERS,
    REPURCHASE,
    REVENUE,
    Measure,
)
from serving.experiments.moments import moments_of
from serving.experiments.multiplicity import benjamini_hochberg, holm
from serving.experiments.novelty import by_day
from serving.experiments.segments import SMALLEST, by_segment

NAMES = ("manual", "model")
PLAIN = Measure("orders", "orders", "mean", "orders")


@pytest.fixture(scope="module")
def customers() -> pd.DataFrame:
    random = np.random.default_rng(11)
    n = 6000
    arm = random.choice(["manual", "model", "bold", "holdout"], n)
    habit = random.gamma(1.5, 1, n)
    tier = random.choice(["a", "b"], n)
    lift = 1 + 0.5 * ((arm == "model") & (tier == "b"))
    orders = random.poisson(habit * lift)
    frame = pd.DataFrame(
        {
            "customer_id": np.arange(n).astype(str),
            "arm": arm,
            "tier": np.where(random.random(n) < 0.1, None, tier),
            "exposures": random.poisson(5, n),
            "orders": orders,
            "revenue": orders * random.lognormal(3, 1, n),
            "bought": (orders > 0).astype(int),
            "pre_orders": random.poisson(habit),
            "propensity": np.where(random.random(n) < 0.2, np.nan, habit / 20),
        }
    )
    frame["clicks"] = random.binomial(frame["exposures"], 0.1)
    frame["converted"] = frame["bought"] * (random.random(n) < 0.3)
    frame["days_to_purchase"] = np.where(orders > 0, random.random(n) * 20, 20.0)
    return frame


def table(frame: pd.DataFrame) -> ibis.Table:
    return ibis.memtable(frame.astype({"tier": "string"}))


def test_arms_measures_and_corrections(customers: pd.DataFrame) -> None:
    question = Question("manual", ("model", "bold"), ORDERS, MEASURES, ("tier",))
    found = analyze(table(customers), question)
    assert set(found.customers) == {"manual", "model", "bold"}
    assert [(a.measure.name, a.plain.arm) for a in found.primary] == [
        ("orders", "model"),
        ("orders", "bold"),
    ]
    assert len(found.secondary) == 2 * (len(MEASURES) - 1)
    p = [a.best.p_value for a in found.secondary]
    assert [a.p_adjusted for a in found.secondary] == holm(p)
    model = found.primary[0]
    assert model.adjusted is not None
    # The constant-free columns: pre_orders and propensity; pre_bought is no column.
    assert model.adjusted.covariates == ("pre_orders", "propensity")
    assert model.adjusted.kept < 0.8
    control, arm = (customers["orders"][customers["arm"] == name] for name in NAMES)
    theirs = stats.ttest_ind(arm, control, equal_var=False)
    assert model.plain.p_value == pytest.approx(theirs.pvalue, rel=1e-9)


def test_cuped_equals_least_squares_on_the_filled_columns(
    customers: pd.DataFrame,
) -> None:
    found = analyze(table(customers), Question("manual", ("model",), ORDERS))
    used = customers[customers["arm"].isin(NAMES)]
    filled = used["propensity"].fillna(used["propensity"].mean())
    arm = (used["arm"] == "model").astype(float)
    design = sm.add_constant(np.column_stack([arm, used["pre_orders"], filled]))
    theirs = sm.OLS(used["orders"].to_numpy(), design).fit()
    adjusted = found.primary[0].adjusted
    assert adjusted is not None
    assert adjusted.effect == pytest.approx(theirs.params[1], rel=1e-9)


def test_revenue_is_cut_over_all_arms_together(customers: pd.DataFrame) -> None:
    question = Question("manual", ("model",), REVENUE, adjust=False)
    found = analyze(table(customers), question)
    used = customers[customers["arm"].isin(NAMES)]
    cap = used["revenue"][used["revenue"] > 0].quantile(0.99)
    assert found.caps == {"revenue cut at 0.99": pytest.approx(cap)}
    cut = used["revenue"].clip(upper=cap).groupby(used["arm"]).mean()
    assert found.primary[0].best.mean_arm == pytest.approx(cut["model"])
    nothing = customers.assign(revenue=0.0)
    none = analyze(table(nothing), question)
    assert none.caps == {} and none.primary[0].best.p_value is None
    with pytest.raises(ValueError, match="\\['clicks'\\]"):
        analyze(
            table(customers.drop(columns="clicks")),
            Question("manual", ("model",), CLICK_RATE),
        )
    with pytest.raises(ValueError, match="none in \\['best'\\]"):
        analyze(table(customers), Question("manual", ("best",), ORDERS))


def test_effect_differs_between_segments(customers: pd.DataFrame) -> None:
    question = Question("manual", ("model", "bold"), ORDERS, segments=("tier",))
    model, bold = analyze(table(customers), question).segments
    assert [s.value for s in model.segments] == ["a", "b", "unknown"]
    p = [s.estimate.p_value for s in model.segments]
    assert [s.p_adjusted for s in model.segments] == benjamini_hochberg(p)
    assert model.p_differ < 0.01 < bold.p_differ
    # Half of the customers have half more: a quarter of 1.5 orders.
    assert model.low < 0.375 < model.high
    sizes = [
        s.estimate.customers_arm + s.estimate.customers_control for s in model.segments
    ]
    mean = np.average([s.estimate.effect for s in model.segments], weights=sizes)
    assert model.effect == pytest.approx(mean)


def test_two_segments_differ_as_their_z_says() -> None:
    random = np.random.default_rng(2)
    moments = {
        (arm, seg): moments_of({"orders": random.normal(i, 1, 200)})
        for i, (arm, seg) in enumerate((a, s) for a in NAMES for s in "xy")
    } | {
        (arm, "few"): moments_of({"orders": random.normal(0, 1, SMALLEST - 1)})
        for arm in NAMES
    }
    found = by_segment("s", PLAIN, moments, NAMES)
    assert found.left_out == 2 * (SMALLEST - 1)
    one, two = (s.estimate for s in found.segments)
    z = (one.effect - two.effect) / np.hypot(one.std_error, two.std_error)
    assert found.p_differ == pytest.approx(2 * stats.norm.sf(abs(z)))
    alone = {k: m for k, m in moments.items() if k[1] == "few"}
    empty = by_segment("s", PLAIN, alone, NAMES)
    assert empty.segments == () and empty.effect is None and empty.p_differ is None


def days(
    frame: np.ndarray, arm: np.ndarray, exposures: np.ndarray | None
) -> pd.DataFrame:
    """Rows of ``outcomes_daily`` of counts ``[customer, day]``."""
    customer, day = np.nonzero(frame + (0 if exposures is None else exposures))
    shown = np.zeros(len(day)) if exposures is None else exposures[customer, day]
    return pd.DataFrame(
        {
            "customer": customer,
            "arm": arm[customer],
            "day": day,
            "clicks": frame[customer, day],
            "orders": frame[customer, day],
            "exposures": shown,
        }
    )


def test_slope_is_the_test_of_each_customers_own_slope() -> None:
    random = np.random.default_rng(8)
    arm = np.repeat(NAMES, 400)
    habit = random.gamma(1, 1, (800, 1))
    orders = random.poisson(habit * 0.3, (800, 7))
    sizes = {"manual": 400, "model": 400}
    found = by_day(ibis.memtable(days(orders, arm, None)), PLAIN, sizes, NAMES, 7)
    weight = (np.arange(7) - 3) / 28
    own = orders @ weight
    theirs = stats.ttest_ind(own[400:], own[:400], equal_var=False)
    assert found.slope == pytest.approx(own[400:].mean() - own[:400].mean())
    error = np.sqrt(own[400:].var(ddof=1) / 400 + own[:400].var(ddof=1) / 400)
    assert found.p_value == pytest.approx(2 * stats.norm.sf(abs(theirs.statistic)))
    assert found.high - found.low == pytest.approx(2 * 1.959964 * error, rel=1e-6)
    third = stats.ttest_ind(orders[400:, 2], orders[:400, 2], equal_var=False)
    assert found.days[2][1].p_value == pytest.approx(theirs_p(third), rel=1e-9)


def theirs_p(found: object) -> float:
    return float(found.pvalue)  # type: ignore[attr-defined]


def test_novelty_that_wears_off_is_seen_in_a_ratio() -> None:
    random = np.random.default_rng(9)
    arm = np.repeat(NAMES, 3000)
    shown = random.poisson(2, (6000, 6)) * (random.random((6000, 6)) < 0.7)
    shown[:, 3] = 0
    fading = 0.1 + np.outer(arm == "model", [0.10, 0.08, 0.06, 0.04, 0.02, 0.0])
    clicks = random.binomial(shown, fading)
    sizes = {"manual": 3000, "model": 3000}
    found = by_day(ibis.memtable(days(clicks, arm, shown)), CLICK_RATE, sizes, NAMES, 6)
    # Nobody saw anything on the fourth day.
    assert [day for day, _ in found.days] == [0, 1, 2, 4, 5]
    assert found.low < -0.02 < found.high < 0
    assert found.p_value < 1e-6
    few = by_day(ibis.memtable(days(clicks, arm, shown)), CLICK_RATE, sizes, NAMES, 2)
    assert few.slope is None and len(few.days) == 2
    with pytest.raises(ValueError, match="no daily column"):
        by_day(
            ibis.memtable(days(clicks, arm, shown)),
            Measure("c", "c", "share", "converted"),
            sizes,
            NAMES,
            2,
        )
    assert REPURCHASE.numerator == "bought"
