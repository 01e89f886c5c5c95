"""Calibration of probabilities, and its error."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from scipy.optimize import minimize
from scipy.special import expit, logit

from features.history import Floats

_EDGE = 1e-6


@dataclass(frozen=True)
class Platt:
    """Recalibration on the log-odds scale: ``slope * logit(p) + intercept``.

    The slope is never negative, so the order of probabilities is kept; two
    numbers cannot overfit a small calibration window as a step function can.

    Source: Platt (1999), with the score on the log-odds scale.
    """

    slope: float = 1.0
    intercept: float = 0.0

    def __call__(self, probability: Floats) -> Floats:
        """Calibrated probabilities, same shape."""
        clipped = np.clip(probability, _EDGE, 1 - _EDGE)
        return expit(self.slope * logit(clipped) + self.intercept)

    def inverse(self, probability: float) -> float:
        """The uncalibrated probability that is calibrated to this one."""
        return float(expit((logit(probability) - self.intercept) / self.slope))


def fit_platt(probability: Floats, label: Floats, prior_rows: float = 500.0) -> Platt:
    """Maximum likelihood with a pull towards no change.

    Args:
        probability: uncalibrated, shape ``[row]``.
        label: 0 or 1, same shape.
        prior_rows: weight of the pull, in rows; small windows change little.
    """
    x = logit(np.clip(probability, _EDGE, 1 - _EDGE))

    def loss(parameters: Floats) -> float:
        slope, intercept = parameters
        z = slope * x + intercept
        pull = prior_rows * ((slope - 1) ** 2 + intercept**2) / 8
        return float(np.sum(np.logaddexp(0, z) - label * z) + pull) / len(x)

    found = minimize(loss, [1.0, 0.0], method="L-BFGS-B", bounds=[(0.05, 5), (-3, 3)])
    return Platt(float(found.x[0]), float(found.x[1]))


def expected_calibration_error(
    probability: Floats, label: Floats, bins: int = 10
) -> float:
    """Mean gap between predicted and observed share, over bins of equal count.

    Returns:
        Sum over bins of ``rows / all * |mean probability - share of ones|``.
    """
    order = np.argsort(probability, kind="stable")
    gaps = [
        abs(float(np.sum(probability[part]) - np.sum(label[part])))
        for part in np.array_split(order, bins)
    ]
    return sum(gaps) / len(probability)
