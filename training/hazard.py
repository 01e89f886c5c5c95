"""A cumulative hazard that is known at a few horizons, and linear between them."""

from __future__ import annotations

import numpy as np

from features.history import Floats

_FLAT = 1e-6


def hazard_at(days: Floats, hazard: Floats, day: float) -> Floats:
    """Cumulative hazard at a day, linear between knots and beyond; ``[pair]``."""
    right = int(np.clip(np.searchsorted(days, day), 1, len(days) - 1))
    width = days[right] - days[right - 1]
    slope = (hazard[right] - hazard[right - 1]) / width
    return hazard[right - 1] + slope * (day - days[right - 1])


def days_until(days: Floats, hazard: Floats, share: float) -> Floats:
    """Days after which ``share`` of such pairs have bought, ``[pair]``."""
    wanted = -np.log1p(-share)
    right = np.clip((hazard < wanted).sum(axis=0), 1, len(days) - 1)
    pair = np.arange(hazard.shape[1])
    low, high = hazard[right - 1, pair], hazard[right, pair]
    slope = np.maximum(high - low, _FLAT) / (days[right] - days[right - 1])
    return np.maximum(days[right - 1] + (wanted - low) / slope, 0.0)
