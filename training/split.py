"""Temporal folds: what may be learned from at a cutoff, with a gap.

Half-open windows, the horizon 14 days and the cutoff 10-15::

    fit          … 08-20  09-03  09-17      labels end at or before 10-01
    calibration                       10-01   label ends at or before 10-15
    scoring                                  10-15

The gap between the last cutoff for fitting and the one for calibration is at
least the horizon, so no label window of one reaches into the other. Once the
calibration is known, the last fit learns from all past cutoffs, the gap's too.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta

CALIBRATION_CUTOFFS = 2
"""The latest past cutoffs, kept for calibration."""


@dataclass(frozen=True)
class Fold:
    """Cutoffs to fit on and later ones to calibrate on, each ascending."""

    fit: tuple[datetime, ...]
    calibration: tuple[datetime, ...]


def past_cutoffs(
    first: datetime, until: datetime, horizon_days: int, step_days: int, limit: int
) -> tuple[datetime, ...]:
    """Cutoffs whose label windows ended at or before ``until``, ascending.

    Args:
        first: earliest cutoff that has enough history behind it.
        until: moment of the build.
        horizon_days: length of the label window.
        step_days: distance between neighbours.
        limit: at most this many, the latest.
    """
    cutoffs: list[datetime] = []
    cutoff = until - timedelta(days=horizon_days)
    while cutoff >= first and len(cutoffs) < limit:
        cutoffs.append(cutoff)
        cutoff -= timedelta(days=step_days)
    return tuple(reversed(cutoffs))


def scored_cutoffs(until: datetime, horizon_days: int, n: int) -> tuple[datetime, ...]:
    """Cutoffs at which settings are compared, the latest, ascending.

    Their label windows ended at or before ``until`` and do not overlap; they lie
    whole weeks apart, so that all begin on the same weekday.
    """
    step = 7 * math.ceil(horizon_days / 7)
    last = until - timedelta(days=horizon_days)
    return tuple(last - timedelta(days=step * k) for k in reversed(range(n)))


def with_calibration(
    cutoffs: Sequence[datetime], horizon_days: int, n_calibration: int
) -> Fold:
    """The latest cutoffs for calibration, and those a gap before for fitting.

    Raises:
        ValueError: nothing is left to fit on.
    """
    calibration = tuple(cutoffs[-n_calibration:])
    gap = timedelta(days=horizon_days)
    fit = tuple(c for c in cutoffs if c + gap <= calibration[0]) if calibration else ()
    if not fit:
        raise ValueError(
            f"history: expected enough time before the cutoff for two label windows of "
            f"{horizon_days} days and the history before them, got {len(cutoffs)} past "
            "cutoffs; choose a later cutoff or a shorter horizon"
        )
    return Fold(fit, calibration)
