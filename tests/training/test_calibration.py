"""Calibration keeps the order, mends what is bent, and is measured right."""

from __future__ import annotations

import numpy as np
import pytest
from scipy.special import expit, logit

from training.calibration import Platt, expected_calibration_error, fit_platt


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
