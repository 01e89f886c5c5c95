"""Calibration of probabilities, and its error."""

from __future__ import annotations

from collections.abc import Sequence
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


@dataclass(frozen=True)
class HorizonPlatt:
    """Platt's recalibration, of which slope and intercept move with the horizon.

    A score is too bold at some horizons and too timid at others; on the way from one
    to the next both change evenly with the logarithm of the horizon. Outside of the
    horizons that were seen nothing changes any further.

    Attributes:
        stated: at ``horizon_days``.
        slope_trend, intercept_trend: change where the horizon grows e-fold.
        shortest, longest: days, the horizons that were seen.
    """

    stated: Platt
    horizon_days: int
    slope_trend: float = 0.0
    intercept_trend: float = 0.0
    shortest: int = 1
    longest: int = 180

    def __call__(self, probability: Floats, horizons: Sequence[int]) -> Floats:
        """Calibrated probabilities of each horizon, ``[row, horizon]``."""
        seen = np.clip(np.asarray(horizons), self.shortest, self.longest)
        x = np.log(seen / self.horizon_days)
        slope = np.maximum(self.stated.slope + self.slope_trend * x, 0.05)
        intercept = self.stated.intercept + self.intercept_trend * x
        clipped = np.clip(probability, _EDGE, 1 - _EDGE)
        return expit(slope * logit(clipped) + intercept)


def fit_horizon_platt(
    probability: Floats,
    days: Floats,
    mature: Floats,
    horizons: Sequence[int],
    horizon_days: int,
    prior_rows: float = 500.0,
    trend_rows: float = 50.0,
) -> HorizonPlatt:
    """Fit at the stated horizon, then how slope and intercept move from there.

    Args:
        probability: uncalibrated, ``[row, horizon]``.
        days: until it happened, infinite if not seen, ``[row]``.
        mature: days for which a row was observed; a horizon beyond them does not
            count for it, ``[row]``.
        horizons: days, ascending, ``horizon_days`` among them.
        horizon_days: the stated one.
        prior_rows: weight of the pull towards no change, in rows; see ``fit_platt``.
        trend_rows: the same for the way from one horizon to the next.
    """
    asked = np.asarray(horizons)
    at = asked.tolist().index(horizon_days)
    label = (days[:, None] < asked).astype(np.float64)
    stated = fit_platt(probability[:, at], label[:, at], prior_rows)
    seen = mature[:, None] >= asked
    # A horizon of few rows tells the season of their cutoff, not of the horizon.
    seen &= seen.sum(axis=0) >= prior_rows
    seen[:, at] = False
    row, column = np.nonzero(seen)
    if not len(row):
        return HorizonPlatt(stated, horizon_days, 0, 0, horizon_days, horizon_days)
    x = np.log(asked[column] / horizon_days)
    odds = logit(np.clip(probability[row, column], _EDGE, 1 - _EDGE))
    fixed = stated.slope * odds + stated.intercept
    found = label[row, column]
    # Horizons of one row say nearly the same: together they weigh as one.
    weight = 1.0 / seen.sum(axis=1)[row]

    def loss(trends: Floats) -> float:
        z = fixed + x * (trends[0] * odds + trends[1])
        pull = trend_rows * float(trends @ trends) / 8
        return float(np.sum(weight * (np.logaddexp(0, z) - found * z)) + pull) / len(x)

    trends = minimize(loss, [0.0, 0.0], method="L-BFGS-B", bounds=[(-1, 1)] * 2).x
    used = asked[seen.any(axis=0)]
    return HorizonPlatt(
        stated,
        horizon_days,
        float(trends[0]),
        float(trends[1]),
        int(min(used.min(), horizon_days)),
        int(max(used.max(), horizon_days)),
    )


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
