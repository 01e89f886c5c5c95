"""What became of promised probabilities, once their label window is over.

Intervals are basic bootstrap intervals over customers (twice the figure, less the
quantiles of the draws): the error of calibration grows by chance alone, in a draw more
than in the customers, and this takes that back.
"""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
from scipy.special import expit, logit
from scipy.stats import rankdata

from features.history import Floats
from training.calibration import expected_calibration_error
from training.curves import Tenth, tenths
from training.metrics import Interval

_DRAWS = 200
_STEPS, _STEEPEST, _EDGE = 25, 5.0, 1e-9
_FIGURES = ("gap", "slope", "ece", "auc", "brier")


@dataclass(frozen=True)
class Realised:
    """Promised and happened, of the same customers.

    Attributes:
        customers: how many.
        promised: mean probability.
        bought: share who bought.
        gap: ``bought - promised``: calibration in the large; above 0: too timid.
        slope: of the log odds of what happened on those that were promised; below 1:
            too bold; NaN where all or none bought.
        ece: expected calibration error over ten groups.
        ece_by_chance: what it exceeds in one case of 40 where every promise is true;
            much, of few customers.
        auc: NaN where all or none bought.
        brier: mean squared error.
        tenths: groups of equal size, the highest probabilities first.
    """

    customers: int
    promised: float
    bought: float
    gap: Interval
    slope: Interval
    ece: Interval
    ece_by_chance: float
    auc: Interval
    brier: Interval
    tenths: tuple[Tenth, ...]

    def to_json(self) -> dict[str, Any]:
        """Plain values."""
        return asdict(self)


def realised(label: Floats, probability: Floats, seed: int) -> Realised:
    """Figures with 95 % intervals.

    Args:
        label: 1: bought in the window, 0: did not, ``[customer]``, at least one.
        probability: promised at its start, same shape.
        seed: of the draws.
    """
    random, size = np.random.default_rng(seed), len(label)
    value = _figures(label, probability)
    draws = np.empty((_DRAWS, len(_FIGURES)))
    for row in range(_DRAWS):
        drawn = random.integers(size, size=size)
        draws[row] = _figures(label[drawn], probability[drawn])
    intervals = {
        name: _interval(name, float(value[at]), draws[:, at])
        for at, name in enumerate(_FIGURES)
    }
    return Realised(
        customers=size,
        promised=float(probability.mean()),
        bought=float(label.mean()),
        ece_by_chance=_by_chance(probability, random),
        tenths=tenths(label, probability),
        **intervals,
    )


def _figures(label: Floats, probability: Floats) -> Floats:
    """In the order of ``_FIGURES``."""
    both = 0 < label.sum() < len(label)
    return np.array(
        [
            label.mean() - probability.mean(),
            slope_of(label, probability) if both else np.nan,
            expected_calibration_error(probability, label),
            _auc(label, probability) if both else np.nan,
            np.mean((label - probability) ** 2),
        ]
    )


def _by_chance(probability: Floats, random: np.random.Generator) -> float:
    errors = [
        expected_calibration_error(
            probability,
            (random.random(len(probability)) < probability).astype(np.float64),
        )
        for _ in range(_DRAWS)
    ]
    return float(np.quantile(errors, 0.975))


def slope_of(label: Floats, probability: Floats) -> float:
    """Slope of a logistic regression of what happened on the promised log odds.

    By Newton's method in bounded steps; at most 5, where the two are parted cleanly.
    NaN where only one probability was promised.
    """
    odds = logit(np.clip(probability, _EDGE, 1 - _EDGE))
    if np.ptp(odds) == 0:
        return float("nan")
    level, slope = 0.0, 1.0
    for _ in range(_STEPS):
        fitted = expit(level + slope * odds)
        weight, error = fitted * (1 - fitted), label - fitted
        a, b, c = weight.sum(), (weight * odds).sum(), (weight * odds**2).sum()
        u, v = error.sum(), (error * odds).sum()
        divisor = a * c - b * b
        if divisor <= _EDGE * a * c:  # all is explained
            break
        up, turn = (c * u - b * v) / divisor, (a * v - b * u) / divisor
        level, slope = level + np.clip(up, -1, 1), slope + np.clip(turn, -1, 1)
        if abs(up) + abs(turn) < _EDGE:
            break
    return float(min(slope, _STEEPEST))


def _auc(label: Floats, probability: Floats) -> float:
    """By ranks; the library's takes ten times as long."""
    bought = label.sum()
    above = rankdata(probability)[label > 0].sum() - bought * (bought + 1) / 2
    return float(above / (bought * (len(label) - bought)))


def _interval(name: str, value: float, draws: Floats) -> Interval:
    known = draws[~np.isnan(draws)]
    if np.isnan(value) or not len(known):
        return Interval(value, float("nan"), float("nan"))
    low, high = np.quantile(known, (0.025, 0.975))
    low, high = 2 * value - float(high), 2 * value - float(low)
    if name in ("ece", "brier"):
        low = max(low, 0.0)
    return Interval(value, low, high)
