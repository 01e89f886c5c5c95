"""Promises of the statistics, on a few hundred runs; the benchmark plays thousands."""

from __future__ import annotations

import pytest
from scipy import stats

from serving.experiments.assign import Arm
from serving.experiments.design import Baseline, customers_needed
from serving.experiments.design import Test as Plan
from serving.experiments.measures import Kind
from serving.experiments.rehearse import Crowd, rehearse

DAILY = tuple((day + 1) / 14 for day in range(14))
HALVES = (Arm("control", 1), Arm("treatment", 1))


def most(share: float, runs: int) -> int:
    """Counts above this have probability .001."""
    return int(stats.binom.ppf(0.999, runs, share))


def least(share: float, runs: int) -> int:
    return int(stats.binom.ppf(0.001, runs, share))


@pytest.mark.parametrize("kind", ["share", "mean", "ratio"])
def test_no_effect_is_seldom_found_even_by_looking_every_day(kind: Kind) -> None:
    runs = 150
    found = rehearse(Crowd(kind), Plan(looks=DAILY), 4000, runs, 1, adjust=True)
    assert least(0.05, runs) <= found.fixed <= most(0.05, runs)
    assert found.bounds <= most(0.05, runs)
    assert found.always <= most(0.05, runs)


def test_an_effect_is_found_as_often_as_promised_and_lies_in_the_intervals() -> None:
    # Of ``rehearse``: orders are Poisson at gamma rates, variance 1 + 1, and share
    # the variance 1 of the rates with the past: r = 1 / 2.
    base = Baseline("mean", "mean", 1.0, 2.0, 1 - 0.5**2, 1)
    plan, runs = Plan(looks=(0.5, 1.0)), 400
    n = customers_needed(base, 0.2, HALVES, plan)
    found = rehearse(Crowd("mean", 0.2), plan, n, runs, 2, adjust=True)
    assert least(0.8, runs) <= found.bounds <= most(0.8, runs)
    for covered in (found.covered, found.covered_uplift, found.covered_bounds):
        assert least(0.95, runs) <= covered <= most(0.95, runs)
    assert found.covered_always >= least(0.95, runs)
    plain = rehearse(Crowd("mean", 0.2), plan, n, runs, 2)
    assert found.kept == pytest.approx(0.75, abs=0.01)
    # F of two variances with 399 degrees of freedom; the runs are the same.
    assert found.variance / plain.variance == pytest.approx(0.75, abs=0.12)
    assert rehearse(Crowd("mean", 0.2), plan, n, 3, 2) == rehearse(
        Crowd("mean", 0.2), plan, n, 3, 2
    )
    with pytest.raises(ValueError, match="customers"):
        rehearse(Crowd("mean"), Plan(), 2, 1, 1)
