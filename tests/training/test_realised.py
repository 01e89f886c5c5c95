"""Promised probabilities beside what happened."""

from __future__ import annotations

import math

import numpy as np
import pytest
from scipy.special import expit, logit

from training.realised import realised


def test_figures_of_a_drawn_table() -> None:
    # Ten of each: .2 was promised and 1 bought, .6 was promised and 8 bought.
    probability = np.repeat([0.2, 0.6], 10)
    label = np.array([1.0] + [0.0] * 9 + [1.0] * 8 + [0.0] * 2)
    found = realised(label, probability, seed=0)
    assert (found.promised, found.bought) == pytest.approx((0.4, 0.45))
    assert found.gap.value == pytest.approx(0.05)
    # Of 9 * 10 + 2 others and buyers, in pairs: (8 * 9 + (8 * 2 + 1 * 9) / 2) / (9 * 11).
    assert found.auc.value == pytest.approx((72 + 12.5) / 99)
    # 1 * .64 + 9 * .04 + 8 * .16 + 2 * .36, of 20.
    assert found.brier.value == pytest.approx(3.0 / 20)
    # From logit .2 to logit .6 the odds went from logit .1 to logit .8.
    slope = (logit(0.8) - logit(0.1)) / (logit(0.6) - logit(0.2))
    assert found.slope.value == pytest.approx(slope, rel=1e-3)


def test_what_was_promised_truly_is_not_called_wrong() -> None:
    random = np.random.default_rng(7)
    covered, alarms = 0, 0
    for seed in range(20):
        probability = random.beta(1, 4, 600)
        label = (random.random(600) < probability).astype(float)
        found = realised(label, probability, seed)
        covered += found.gap.low <= 0 <= found.gap.high
        alarms += found.ece.low > 0.05
    # 19 of 20 are promised; fewer than 16 would come once in 400 times.
    assert covered >= 16 and alarms == 0


def test_probabilities_that_are_too_bold_are_seen_in_error_and_slope() -> None:
    random = np.random.default_rng(8)
    true = random.beta(2, 2, 4000)
    label = (random.random(4000) < true).astype(float)
    found = realised(label, expit(2 * logit(true)), seed=0)
    assert found.ece.low > 0.05
    assert found.slope.low < 0.5 < found.slope.high and found.slope.high < 0.6


@pytest.mark.parametrize("bought", [0.0, 1.0])
def test_where_all_or_none_bought_there_is_no_order_to_measure(bought: float) -> None:
    found = realised(np.full(30, bought), np.full(30, 0.5), seed=0)
    assert math.isnan(found.auc.value) and math.isnan(found.slope.value)
    assert abs(found.gap.value) == found.ece.value == pytest.approx(0.5)


def test_a_single_customer_has_figures() -> None:
    found = realised(np.array([1.0]), np.array([0.75]), seed=0)
    assert found.gap.value == found.gap.low == found.gap.high == 0.25
    assert len(found.tenths) == 1
