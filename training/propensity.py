"""P(at least one purchase within H days), one LightGBM model for any H.

Rows are (customer, cutoff, horizon). The score starts from the share of all
customers who buy within H and the trees add to it; the horizon is a feature on
which they may only rise, so every customer's curve over H never decreases, and
the next purchase date is read from the same curve. A shop too small for a single
split has the curve of its average customer.
"""

from __future__ import annotations

import os
from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict, dataclass, replace
from datetime import datetime
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from features.config import PropensityConfig
from features.history import Floats
from features.snapshot import DAY_US, to_us
from training.boosting import batches
from training.calibration import HorizonPlatt, Platt, fit_horizon_platt
from training.encoding import Encoding, encoding_of
from training.predictions import HORIZONS
from training.split import Fold
from training.trees import Rows, Trees, fit_trees, load_trees, save_trees

KNOTS = np.array([1, 2, 3, 5, 7, 10, 14, 21, 28, 42, 60, 90, 120, 150, 180])
"""Horizons at which the model is asked; the curve between them is interpolated."""

_SHARES = (0.1, 0.9)
_INTERVAL_ROWS = 50_000
_INTERVAL_BUYERS = 500
NEVER = 2.0
"""A threshold that no probability reaches: no customer is tagged."""


@dataclass(frozen=True)
class Propensity:
    """A fitted model.

    Attributes:
        trees: the uncalibrated score.
        longest_horizon: beyond it the hazard goes on as over the last stretch.
        interval: levels of the curve at which the 80 % interval of the next date
            begins and ends.
        tag_threshold: smallest probability at which the stated precision was
            reached on the calibration window, at ``horizon_days``; ``NEVER`` where
            none reached it.
    """

    trees: Trees
    encoding: Encoding
    calibration: HorizonPlatt
    longest_horizon: int
    horizon_days: int
    interval: tuple[float, float]
    tag_threshold: float

    def probability(self, features: pa.Table, horizon_days: int) -> Floats:
        """P(a purchase within the horizon), shape ``[row]``."""
        return self.curve(features)[:, horizon_days - 1].astype(np.float64)

    def curve(self, features: pa.Table) -> npt.NDArray[np.float32]:
        """P(a purchase within ``HORIZONS[j]`` days), shape ``[row, 180]``.

        Between knots the hazard is constant (linear in ``-log(1 - P)``).
        """
        return self.curve_of(self.encoding.matrix(features))

    def curve_of(self, matrix: npt.NDArray[np.float32]) -> npt.NDArray[np.float32]:
        """The same, from rows of the encoding's matrix."""
        curve = np.empty((len(matrix), len(HORIZONS)), np.float32)

        def draw(part: slice) -> None:
            curve[part] = self._curve_of(matrix[part])

        parts = list(batches(len(matrix)))
        if len(parts) == 1:
            draw(parts[0])
        else:
            with ThreadPoolExecutor(os.cpu_count()) as pool:
                list(pool.map(draw, parts))
        return curve

    def _curve_of(self, matrix: npt.NDArray[np.float32]) -> npt.NDArray[np.float32]:
        knots = KNOTS[self.longest_horizon >= KNOTS]
        asked = knots.tolist()
        at_knots = self.calibration(self.trees.raw_at(matrix, asked), asked)
        hazard = -np.log1p(
            -np.clip(np.maximum.accumulate(at_knots, axis=1), 0, 1 - 1e-6)
        )
        return _interpolated(knots.astype(np.float64), hazard)


def fit(
    features: pa.Table,
    next_days: Floats,
    fold: Fold,
    horizon_days: int,
    until: datetime,
    config: PropensityConfig,
    seed: int,
) -> Propensity:
    """Fit, calibrate on later cutoffs, then fit again on all of them.

    Args:
        features: rows of ``assemble`` at past cutoffs, those of the fold among
            them; the last fit learns from all, also from those in the gap.
        next_days: days to the next purchase of each row, infinite if none
            before ``until``, shape ``[row]``.
        fold: cutoffs to fit and to calibrate on.
        horizon_days: horizon of the tag.
        until: moment of the build: a label window must have ended by then.
        config: trees and their number.
        seed: of sampled horizons and of the trees.
    """
    encoding = encoding_of(features)
    matrix = encoding.matrix(features)
    cutoff = features.column("cutoff").cast(pa.int64()).to_numpy()
    mature = (to_us(until) - cutoff) / DAY_US
    rows = Rows(matrix, np.arange(len(matrix)), next_days, mature, cutoff)

    early = rows.at(fold.fit, mature_by=fold.calibration[0])
    # Four numbers are calibrated: one booster is enough to learn them.
    trees = fit_trees(early, encoding, horizon_days, config, seed, n_boosters=1)
    late = rows.at(fold.calibration, mature_by=until)
    longest = late.mature.max(initial=horizon_days)
    asked = np.union1d(KNOTS[longest >= KNOTS], horizon_days).tolist()
    raw = trees.raw_at(late.matrix[late.place], asked)
    calibration = fit_horizon_platt(
        raw, late.next_days, late.mature, asked, horizon_days
    )
    label = (late.next_days < horizon_days).astype(np.float64)
    stated = calibration(raw, asked)[:, asked.index(horizon_days)]
    threshold = threshold_for(stated, label, config.tag_precision)
    del early, late, raw, label
    model = Propensity(
        trees=fit_trees(rows, encoding, horizon_days, config, seed, config.seeds),
        encoding=encoding,
        calibration=calibration,
        longest_horizon=int(mature.max()),
        horizon_days=horizon_days,
        interval=_SHARES,
        tag_threshold=threshold,
    )
    return replace(model, interval=_interval(model, rows, seed))


def _interval(model: Propensity, rows: Rows, seed: int) -> tuple[float, float]:
    """Levels of the curve before which a tenth, and after which a tenth, really buy.

    The curve's own levels where too few have bought, or so many never come back that
    nine tenths are not reached.

    Days have nights, and a long wait is rarer or commoner than the curve has it:
    the levels at which buyers were met are not spread evenly. Their shares are
    taken over all past rows, since those of the latest cutoffs alone were not
    observed for long enough to tell late buyers from lost ones.

    Source: Kuleshov, Fenner, Ermon (2018), "Accurate Uncertainties for Deep Learning
    Using Calibrated Regression", with the estimator of Kaplan and Meier for rows
    that were still waiting when they were last seen.
    """
    # Only a fit needs it, and it takes 25 MB that a service can do without.
    from statsmodels.duration.survfunc import SurvfuncRight

    random = np.random.default_rng(seed)
    few = random.permutation(len(rows.mature))[:_INTERVAL_ROWS]
    bought = np.isfinite(rows.next_days[few])
    seen = np.minimum(rows.next_days[few], rows.mature[few])
    levels = np.concatenate(
        [
            _levels(model.curve_of(rows.matrix[few[part]]), seen[part])
            for part in batches(len(few))
        ]
    )
    met = SurvfuncRight(levels, bought)
    low, high = (float(met.quantile(share)) for share in _SHARES)
    enough = bought.sum() >= _INTERVAL_BUYERS and np.isfinite([low, high]).all()
    return (low, high) if enough else _SHARES


def _levels(curve: npt.NDArray[np.float32], days: Floats) -> Floats:
    """The curve of each row at its own time, shape ``[row]``."""
    hazard = np.zeros((len(curve), 1 + len(HORIZONS)))
    hazard[:, 1:] = -np.log1p(-curve.astype(np.float64))
    days = np.minimum(days, float(HORIZONS[-1]))
    day = np.minimum(days.astype(np.int64), len(HORIZONS) - 1)
    row = np.arange(len(curve))
    begin, end = hazard[row, day], hazard[row, day + 1]
    return -np.expm1(-(begin + (days - day) * (end - begin)))


def threshold_for(probability: Floats, label: Floats, precision: float) -> float:
    """Smallest threshold at which the share of buyers at or above it is ``precision``.

    Args:
        probability: shape ``[row]``; equal ones stand above a threshold together.
        label: 0 or 1, same shape.
        precision: share of ones that must be reached.

    Returns:
        The threshold; ``NEVER`` where none is enough.
    """
    order = np.argsort(-probability, kind="stable")
    descending = probability[order]
    share = np.cumsum(label[order]) / np.arange(1, len(order) + 1)
    is_last_of_ties = np.append(descending[1:] < descending[:-1], True)[: len(order)]
    reached = np.flatnonzero(is_last_of_ties & (share >= precision))
    return float(descending[reached[-1]]) if len(reached) else NEVER


def next_dates(
    curve: npt.NDArray[np.float32], cutoff: datetime, share: float
) -> pa.Array:
    """When the curve reaches ``share``; null if not within 180 days.

    Within a day the hazard is constant, as between the knots.
    """
    reached = curve >= share
    day = np.argmax(reached, axis=1)
    row = np.arange(len(curve))
    end = -np.log1p(-curve[row, day].astype(np.float64))
    begin = np.where(day > 0, -np.log1p(-curve[row, day - 1].astype(np.float64)), 0.0)
    part = (-np.log1p(-share) - begin) / np.where(end > begin, end - begin, 1.0)
    us = (day + np.clip(part, 0, 1)) * DAY_US
    return pa.array(
        to_us(cutoff) + us.astype(np.int64),
        pa.timestamp("us"),
        mask=~reached.any(axis=1),
    )


def _interpolated(knots: Floats, hazard: Floats) -> npt.NDArray[np.float32]:
    """Cumulative hazard at all ``HORIZONS``, turned into probabilities."""
    days = HORIZONS.astype(np.float64)
    x = np.r_[0.0, knots]
    y = np.column_stack([np.zeros(len(hazard)), hazard])
    right = np.clip(np.searchsorted(x, days), 1, len(x) - 1)
    slope = (y[:, right] - y[:, right - 1]) / (x[right] - x[right - 1])
    cumulative = y[:, right - 1] + slope * (days - x[right - 1])
    return np.maximum.accumulate(-np.expm1(-cumulative), axis=1).astype(np.float32)


def save(model: Propensity, folder: Path) -> dict[str, Any]:
    """Write the trees as text to ``folder``; return the rest, ready for JSON."""
    return {
        "trees": save_trees(model.trees, folder),
        **model.encoding.as_json(),
        "calibration": asdict(model.calibration),
        "longest_horizon": model.longest_horizon,
        "horizon_days": model.horizon_days,
        "interval": list(model.interval),
        "tag_threshold": model.tag_threshold,
    }


def load(folder: Path, rest: dict[str, Any]) -> Propensity:
    """The model that ``save`` wrote; scores are equal to the bit."""
    return Propensity(
        trees=load_trees(folder, rest["trees"]),
        encoding=Encoding.from_json(rest),
        calibration=_calibration(rest["calibration"]),
        longest_horizon=rest["longest_horizon"],
        horizon_days=rest["horizon_days"],
        interval=(rest["interval"][0], rest["interval"][1]),
        tag_threshold=rest["tag_threshold"],
    )


def _calibration(facts: dict[str, Any]) -> HorizonPlatt:
    stated = Platt(**facts.pop("stated"))
    return HorizonPlatt(stated, **facts)
