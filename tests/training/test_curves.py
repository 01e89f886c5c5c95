"""Curves of ten customers drawn by hand."""

from __future__ import annotations

import numpy as np
import pytest

from training.curves import (
    MOST_POINTS,
    Curve,
    curves,
    gain,
    lift,
    precision_recall,
    roc,
    tenths,
)

# From the highest score to the lowest; the third and the fourth are equal.
SCORE = np.array([0.9, 0.8, 0.7, 0.7, 0.5])
LABEL = np.array([1.0, 0.0, 1.0, 0.0, 0.0])


def _points(curve: Curve | None) -> list[tuple[float, float]]:
    assert curve is not None
    return list(zip(curve.x, curve.y, strict=True))


def test_roc_goes_up_with_a_buyer_right_with_another_and_slant_over_equals() -> None:
    assert _points(roc(LABEL, SCORE)) == [
        (0, 0),
        (0, 0.5),
        (pytest.approx(1 / 3), 0.5),
        (pytest.approx(2 / 3), 1),
        (1, 1),
    ]


def test_precision_starts_with_the_highest_score_and_ends_with_everybody() -> None:
    assert _points(precision_recall(LABEL, SCORE)) == [
        (0.5, 1),
        (0.5, 0.5),
        (1, 0.5),
        (1, 0.4),
    ]


def test_gain_takes_equal_scores_in_together() -> None:
    found = gain(LABEL, SCORE)
    assert _points(found) == [(0, 0), (0.2, 0.5), (0.4, 0.5), (0.8, 1), (1, 1)]
    assert found is not None
    assert found.at(0.6) == pytest.approx(0.75)  # half-way over the equal ones


def test_lift_is_gain_over_the_share_of_customers() -> None:
    assert _points(lift(LABEL, SCORE)) == [
        (0.2, 2.5),
        (0.4, 1.25),
        (0.8, pytest.approx(1.25)),
        (1, 1),
    ]


def test_a_long_curve_is_thinned_and_keeps_its_ends() -> None:
    rng = np.random.default_rng(0)
    label = (rng.random(5000) < 0.3).astype(float)
    found = gain(label, rng.random(5000))
    assert found is not None
    assert len(found.x) == MOST_POINTS
    assert (found.x[0], found.y[0], found.x[-1], found.y[-1]) == (0, 0, 1, 1)


def test_tenths_are_of_equal_size_the_highest_first_with_the_interval_of_wilson() -> (
    None
):
    label = np.r_[np.ones(8), np.zeros(2), np.ones(2), np.zeros(8), np.zeros(80)]
    score = np.linspace(0.99, 0.0, 100)
    found = tenths(label, score)
    assert [t.customers for t in found] == [10] * 10
    first, second, *others = found
    assert (first.bought, second.bought) == (0.8, 0.2)
    assert first.promised == pytest.approx(0.945)
    assert first.lift == pytest.approx(8)  # 0.8 over 10 of 100
    assert first.of_buyers == pytest.approx(0.8)
    # Newcombe (1998): centre (8 + 1.96**2 / 2) / (10 + 1.96**2) and so on.
    assert (first.low, first.high) == pytest.approx((0.4902, 0.9433), abs=1e-4)
    assert all(t.bought == 0 and t.low == pytest.approx(0) for t in others)
    assert others[0].high == pytest.approx(0.2775, abs=1e-4)


def test_few_customers_are_a_group_each() -> None:
    assert [t.bought for t in tenths(LABEL, SCORE)] == [1, 0, 1, 0, 0]
    assert tenths(np.array([]), np.array([])) == ()


@pytest.mark.filterwarnings("error")
def test_with_one_class_only_what_is_undefined_is_none_or_nan() -> None:
    nobody = curves(np.zeros(5), SCORE)
    assert nobody.roc is nobody.gain is nobody.lift is nobody.precision_recall is None
    assert [t.bought for t in nobody.tenths] == [0] * 5
    assert all(np.isnan(t.lift) and np.isnan(t.of_buyers) for t in nobody.tenths)
    everybody = curves(np.ones(5), SCORE)
    assert everybody.roc is None
    assert everybody.precision_recall is not None
    assert set(everybody.precision_recall.y) == {1}
    assert everybody.lift is not None
    assert set(everybody.lift.y) == {1}
