from __future__ import annotations

import numpy as np
import pytest
from scipy import stats

from serving.experiments.ratio import SURE, check, p_anytime, p_lost, p_sizes

HALVES = {"manual": 0.5, "model": 0.5}
EVEN = np.array([0.5, 0.5])


def test_sizes_are_pearsons_chi_square() -> None:
    # (40 - 50)^2 / 50 + (60 - 50)^2 / 50 = 4.
    for seen, shares in ([40, 60], [0.5, 0.5]), ([30, 9, 61], [0.3, 0.1, 0.6]):
        theirs = stats.chisquare(seen, 100 * np.array(shares)).pvalue
        ours = p_sizes(np.array(seen, float), np.array(shares))
        assert ours == pytest.approx(theirs, rel=1e-9)
    table = np.array([[5.0, 20.0, 9.0], [995.0, 980.0, 491.0]])
    theirs = stats.chi2_contingency(table, correction=False).pvalue
    assert p_lost(table.sum(axis=0), table[1]) == pytest.approx(theirs, rel=1e-9)
    assert p_sizes(np.array([40.0, 60.0]), EVEN) == pytest.approx(stats.chi2.sf(4, 1))
    assert p_sizes(np.zeros(2), EVEN) is None


def test_one_per_cent_lost_in_one_arm_of_100_000_is_found() -> None:
    lost = {"manual": 50_000, "model": 49_500}
    found = check(lost, HALVES, {"manual": 50_000, "model": 50_000})
    assert found.p_lost < 1e-100
    assert not found.valid
    # The sizes alone cannot know: such a draw is not rare.
    assert check(lost, HALVES).p_value == pytest.approx(0.113, abs=0.001)
    assert check(lost, HALVES).valid


def test_silent_on_2000_fair_ones() -> None:
    random = np.random.default_rng(3)
    left = random.binomial(100_000, 0.5, 2000)
    fired = sum(
        not check({"manual": int(n), "model": 100_000 - int(n)}, HALVES).valid
        for n in left
    )
    # 2,000 * .001 = 2; seven or more have probability .0045.
    assert fired <= 6


def test_losing_in_all_arms_alike_is_no_alarm() -> None:
    random = np.random.default_rng(4)
    assigned = np.array([50_000.0, 25_000.0])
    p = [
        p_lost(assigned, assigned - random.binomial([50_000, 25_000], 0.01))
        for _ in range(500)
    ]
    assert stats.kstest(p, "uniform").pvalue > 0.001
    assert p_lost(assigned, assigned) is None
    with pytest.raises(ValueError, match="more customers"):
        p_lost(assigned, assigned + 1)


def test_looking_every_day_does_not_cry_wolf_but_finds_a_loss() -> None:
    random = np.random.default_rng(5)
    days = random.binomial(4000, 0.5, (400, 28)).cumsum(axis=1)
    shown = 4000 * np.arange(1, 29)
    alarms = 0
    for row in days:
        path = [np.array([a, n - a], float) for a, n in zip(row, shown, strict=True)]
        alarms += p_anytime(path, EVEN) < 0.05
    # At most 5 %: 20 of 400; 33 or more have probability .003.
    assert alarms <= 32
    unfair = [np.array([2000.0 * d, 1900.0 * d]) for d in range(1, 29)]
    assert p_anytime(unfair[:14], EVEN) < SURE


def test_mixture_by_hand() -> None:
    # One customer in the first of two even arms: the mixture gives it 1/2, so
    # does the draw.
    assert p_anytime([np.array([1.0, 0.0])], EVEN) == pytest.approx(1)
    # Two in the same arm: (1/2)(5001/10001) against 1/4.
    value = p_anytime([np.array([2.0, 0.0])], EVEN)
    assert value == pytest.approx(0.25 / (0.5 * 5001 / 10_001), rel=1e-9)


def test_until_the_end_the_p_value_of_all_days_decides() -> None:
    # On the first day all are in one arm, at the end both are alike.
    path = [{"manual": 4000}, {"manual": 4000, "model": 4000}]
    running = check(path[-1], HALVES, history=path, at_end=False)
    assert running.p_value == running.p_anytime < SURE and not running.valid
    over = check(path[-1], HALVES, history=path)
    assert over.p_value == over.p_sizes == 1.0 and over.valid


def test_unknown_arm() -> None:
    with pytest.raises(ValueError, match="arms"):
        check({"modell": 1}, HALVES)
