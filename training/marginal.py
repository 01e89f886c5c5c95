"""How many of all customers buy within H days, for every H at once."""

from __future__ import annotations

import numpy as np

from features.history import Floats
from training.predictions import HORIZONS

_PRIOR_ROWS = 20.0
"""Weight of the mean daily hazard against what was seen on a day, in rows."""

_EDGE = 1e-6


def marginal_odds(next_days: Floats, mature: Floats) -> Floats:
    """Log odds that the average customer buys within each of ``HORIZONS``.

    Daily hazards over the rows still waiting and still observed on that day, so
    that rows of unequal maturity count for as long as each was seen. A day that
    few rows reached is pulled towards the mean hazard of all days.

    Args:
        next_days: days to the next purchase, infinite if none was seen, ``[row]``.
        mature: days for which the row was observed, same shape.

    Returns:
        Shape ``[180]``, finite, never decreases.

    Source: Kaplan, Meier (1958), "Nonparametric Estimation from Incomplete
    Observations".
    """
    days = HORIZONS.astype(np.float64)
    # A day counts only for rows that were observed to its end.
    at_risk = [(next_days >= day - 1) & (mature >= day) for day in days]
    waiting = np.array([np.sum(rows) for rows in at_risk])
    bought = np.array(
        [np.sum(next_days[rows] < day) for rows, day in zip(at_risk, days, strict=True)]
    )
    mean = (bought.sum() + 0.5) / (waiting.sum() + 1.0)
    hazard = (bought + _PRIOR_ROWS * mean) / (waiting + _PRIOR_ROWS)
    within = np.clip(1 - np.cumprod(1 - hazard), _EDGE, 1 - _EDGE)
    return np.log(within) - np.log1p(-within)
