"""Calibration keeps the order, mends what is bent, and is measured right."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from scipy.special import expit, logit

from training.calibration import (
    Platt,
    expected_calibration_error,
    fit_horizon_platt,
    fit_platt,
)


def test_error_by_hand() -> None:
    probability = np.array([0.1, 0.3, 0.6, 1.0])
    label = np.array([0.0, 1.0, 1.0, 1.0])
    # Two bins of two: |0.4 - 1| / 4 + |1.6 - 2| / 4.
    assert expected_calibration_error(probability, label, bins=2) == pytest.approx(0.25)


def test_perfect_probabilities_have_no_error() -> None:
    label = np.tile([0.0, 1.0], 50)
    assert expected_calibration_error(np.full(100, 0.5), label, bins=1) == 0.0


def test_bent_probabilities_are_mended_and_keep_their_order() -> None:
    random = np.random.default_rng(0)
    true = random.uniform(0.05, 0.95, 20_000)
    label = (random.random(20_000) < true).astype(np.float64)
    bent = expit(2 * logit(true) + 0.7)
    mended = fit_platt(bent, label)
    assert expected_calibration_error(mended(bent), label) < 0.015
    assert expected_calibration_error(bent, label) > 0.05
    ascending = np.sort(bent)
    assert (np.diff(mended(ascending)) >= 0).all()


def test_a_handful_of_rows_changes_little() -> None:
    mended = fit_platt(np.full(5, 0.5), np.ones(5))
    assert mended(np.array([0.5]))[0] == pytest.approx(0.5, abs=0.03)


def test_inverse_undoes_the_calibration() -> None:
    platt = Platt(slope=1.3, intercept=-0.6)
    raw = [platt.inverse(share) for share in (0.1, 0.5, 0.9)]
    assert platt(np.array(raw)) == pytest.approx([0.1, 0.5, 0.9])


HORIZONS = [3, 7, 14, 28]


def bent_by_horizon(n: int) -> tuple[Any, Any, Any]:
    """Scores too bold at short horizons and too timid at long ones; days to the event."""
    random = np.random.default_rng(1)
    rate = random.lognormal(-3, 1, n)
    true = -np.expm1(-rate[:, None] * HORIZONS)
    stretch = 1 - 0.2 * np.log(np.array(HORIZONS) / 14)
    return expit(stretch * logit(true)), random.exponential(1 / rate), true


def test_every_horizon_is_mended_by_its_own_slope() -> None:
    bent, days, true = bent_by_horizon(40_000)
    mended = fit_horizon_platt(bent, days, np.full(len(days), 28.0), HORIZONS, 14)
    found = mended(bent, HORIZONS)
    for column, horizon in enumerate(HORIZONS):
        error = np.abs(found[:, column] - true[:, column]).mean()
        assert error < 0.01, horizon
        if horizon != 14:
            assert error < np.abs(bent[:, column] - true[:, column]).mean() / 2
    # The stated horizon is calibrated as if it were alone.
    alone = fit_platt(bent[:, 2], (days < 14).astype(np.float64))
    assert mended.stated == alone
    # Beyond what was seen nothing changes any further.
    far = mended(np.repeat(bent[:, 3:], 2, axis=1), [28, 180])
    assert np.array_equal(far[:, 0], far[:, 1])


def test_what_is_not_observed_yet_calibrates_nothing() -> None:
    bent, days, _ = bent_by_horizon(5000)
    mature = np.full(len(days), 14.0)
    mended = fit_horizon_platt(bent, days, mature, HORIZONS, 14)
    assert mended.longest == 14
    later = np.where(days < 14, days, np.inf)
    assert fit_horizon_platt(bent, later, mature, HORIZONS, 14) == mended


def test_with_few_rows_all_horizons_are_calibrated_as_the_stated_one() -> None:
    bent, days, _ = bent_by_horizon(400)
    mended = fit_horizon_platt(bent, days, np.full(400, 28.0), HORIZONS, 14)
    assert mended.slope_trend == mended.intercept_trend == 0
    found = mended(bent, HORIZONS)
    assert np.array_equal(found[:, 0], mended.stated(bent[:, 0]))
