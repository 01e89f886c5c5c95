"""Bounds beside published tables; always-valid intervals beside their definition."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import stats

from serving.experiments.anytime import half_width, p_value
from serving.experiments.sequential import (
    Look,
    crossing,
    inflation,
    looks,
    power,
    spent,
)

FIFTHS = [0.2, 0.4, 0.6, 0.8, 1.0]


def equal(k: int) -> list[float]:
    return [(i + 1) / k for i in range(k)]


@pytest.mark.parametrize(
    ("k", "constant"), [(2, 2.178), (3, 2.289), (5, 2.413), (10, 2.555), (20, 2.672)]
)
def test_pocock_constants(k: int, constant: float) -> None:
    # Jennison and Turnbull (2000), table 2.1, alpha .05.
    assert crossing(equal(k), [constant] * k).sum() == pytest.approx(0.05, abs=1e-4)


@pytest.mark.parametrize(
    ("k", "constant"), [(2, 1.977), (3, 2.004), (5, 2.040), (10, 2.087)]
)
def test_obrien_fleming_constants(k: int, constant: float) -> None:
    # Jennison and Turnbull (2000), table 2.3, alpha .05.
    bounds = [constant * math.sqrt(1 / t) for t in equal(k)]
    assert crossing(equal(k), bounds).sum() == pytest.approx(0.05, abs=1e-4)


def test_spending_bounds_as_published() -> None:
    # Five equal looks, two-sided .05: Reboussin, DeMets, Kim and Lan (2000),
    # Controlled Clinical Trials 21, and the R package ldbounds.
    bounds = [x.bound for x in looks(FIFTHS)]
    assert bounds == pytest.approx([4.8769, 3.3569, 2.6803, 2.2898, 2.0310], abs=2e-4)
    # gsDesign, sfLDPocock, five equal looks, one-sided .025.
    flat = [x.bound for x in looks(FIFTHS, spending="pocock")]
    assert flat == pytest.approx([2.438, 2.427, 2.410, 2.397, 2.386], abs=1e-3)


def test_power_inflation_as_published() -> None:
    # Jennison and Turnbull (2000), tables 2.2 and 2.4, K = 5, alpha .05, power .8:
    # 1.228 (Pocock) and 1.028 (O'Brien and Fleming).
    for bounds, factor in (
        ([2.413] * 5, 1.228),
        ([2.040 / math.sqrt(t) for t in FIFTHS], 1.028),
    ):
        plan = [Look(t, b, 0.0) for t, b in zip(FIFTHS, bounds, strict=True)]
        drift = (stats.norm.ppf(0.975) + stats.norm.ppf(0.8)) * math.sqrt(factor)
        assert power(plan, drift) == pytest.approx(0.8, abs=1e-3)
    assert inflation(FIFTHS, 0.05, 0.8, "obrien-fleming") == pytest.approx(
        1.028, abs=0.004
    )
    assert inflation([1.0], 0.05, 0.8, "pocock") == pytest.approx(1)


@settings(max_examples=15, deadline=None)
@given(
    st.lists(st.floats(0.02, 0.3), min_size=1, max_size=8),
    st.sampled_from(["obrien-fleming", "pocock"]),
)
def test_no_plan_spends_more_than_alpha(steps: list[float], spending: str) -> None:
    fractions = list(np.minimum(np.cumsum(steps) / sum(steps), 1.0))
    found = looks(fractions, 0.05, spending)  # type: ignore[arg-type]
    chance = crossing(fractions, [x.bound for x in found])
    assert chance.sum() == pytest.approx(0.05, abs=2e-6)
    np.testing.assert_allclose(np.cumsum(chance), [x.spent for x in found], atol=2e-6)


def test_daily_looks_and_looks_out_of_plan() -> None:
    daily = looks(equal(28))
    assert crossing(equal(28), [x.bound for x in daily]).sum() == pytest.approx(
        0.05, abs=1e-5
    )
    # What was said at earlier looks stays.
    assert looks(equal(28)[:9]) == daily[:9]
    over = looks([0.5, 1.3])
    assert over[1].spent == 0.05
    short = looks([0.5, 0.8], last=True)
    assert short[1].spent == 0.05
    assert short[1].bound < looks([0.5, 0.8])[1].bound
    assert spent(1e-9, 0.05, "obrien-fleming") == 0
    assert looks([1.0])[0].nominal == pytest.approx(0.05)
    with pytest.raises(ValueError, match="fractions"):
        looks([0.5, 0.5])
    with pytest.raises(ValueError, match="fraction"):
        spent(0, 0.05, "pocock")


@given(st.floats(-6, 6), st.floats(0.01, 5), st.floats(0.001, 0.2))
def test_anytime_interval_and_p_say_the_same(z: float, f: float, alpha: float) -> None:
    excess = abs(z) - half_width(1.0, f, alpha)
    if abs(excess) > 1e-9:
        assert (p_value(z, f, alpha) < alpha) == (excess > 0)


def test_anytime_interval_by_hand() -> None:
    # alpha .05: -2 ln .05 = 5.9915, ln 6.9915 = 1.9447, so t rho^2 = 7.9362 at the
    # plan; 2 * 8.9362 / 7.9362 * ln(2.98935 / .05) = 2.25201 * 4.09079 = 9.2125.
    assert half_width(2.0, 1.0) == pytest.approx(2 * 3.0352, abs=2e-3)
    # Narrowest in the number of standard errors near the plan.
    widths = [half_width(1 / math.sqrt(f), f) for f in (0.5, 1.0, 2.0)]
    assert widths[0] > widths[1] > widths[2]
    assert half_width(1.0, 1.0) < min(half_width(1.0, 0.2), half_width(1.0, 5.0))
    with pytest.raises(ValueError, match="fraction"):
        half_width(1.0, 0)
