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
    n = len(HORIZONS)
    # Full days, those beyond the last horizon alike; [next purchase, observed].
    waited, seen = (
        np.minimum(np.floor(d), n + 1).astype(np.int64) for d in (next_days, mature)
    )
    rows = np.bincount(waited * (n + 2) + seen, minlength=(n + 2) ** 2)
    # Summed over all who were observed for as many days or more.
    rows = rows.reshape(n + 2, n + 2)[:, ::-1].cumsum(axis=1)[:, ::-1]
    day = np.arange(1, n + 1)
    # A day counts only for rows that were observed to its end.
    waiting = rows[::-1].cumsum(axis=0)[::-1][day - 1, day]
    bought = rows[day - 1, day]
    mean = (bought.sum() + 0.5) / (waiting.sum() + 1.0)
    hazard = (bought + _PRIOR_ROWS * mean) / (waiting + _PRIOR_ROWS)
    within = np.clip(1 - np.cumprod(1 - hazard), _EDGE, 1 - _EDGE)
    return np.log(within) - np.log1p(-within)
