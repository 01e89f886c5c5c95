"""What a list would have earned, from logs of another one.

Each row is one slot shown to one customer: what was shown, how likely the logging
policy was to show it there, and what it earned. Inverse propensity (Horvitz and
Thompson, 1952), self-normalised (Swaminathan and Joachims, 2015, NeurIPS) and
doubly robust (Dudík, Langford and Li, 2011, ICML) estimates, with intervals over
customers, because a customer's slots hang together.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
from scipy import stats

from features.history import Floats, Ints, Longs
from training.metrics import Interval

LEAST_EFFECTIVE = 100.0
"""Fewer effective rows than this are no evidence."""

LEAST_SHARE = 0.01
"""Nor is a smaller share of the rows: a few of them decide."""

OFF = 4.0
"""Weights average 1; so many standard errors off, the propensities are wrong."""


@dataclass(frozen=True)
class OffPolicy:
    """Estimated reward per slot under the new policy.

    Attributes:
        rows, customers: logged.
        effective: rows of equal weight that would tell as much.
        mean_weight, largest_weight: new probability over logged one.
        ips, snips, doubly_robust: null where refused; the last also without a
            model's predictions.
        refused: why there is no estimate, else empty.
    """

    rows: int
    customers: int
    effective: float
    mean_weight: float
    largest_weight: float
    ips: Interval | None
    snips: Interval | None
    doubly_robust: Interval | None
    refused: str


@dataclass(frozen=True, eq=False)
class Logged:
    """Rows of the log, all arrays of shape ``[row]``.

    Attributes:
        customer: codes; rows of one customer hang together.
        reward: such as 1 for a click.
        logged: probability with which the logging policy showed this product in
            this slot to this customer, above 0.
        target: the same under the new policy; 0: it would not.
        predicted: a model's reward of the product shown; None: no model.
        expected: its mean reward under the new policy; given with ``predicted``.
    """

    customer: Ints
    reward: Floats
    logged: Floats
    target: Floats
    predicted: Floats | None = None
    expected: Floats | None = None


def evaluate(log: Logged, confidence: float = 0.95) -> OffPolicy:
    """Estimates, or why there can be none.

    Raises:
        ValueError: no rows, a propensity outside ``(0, 1]``, or only one of
            ``predicted`` and ``expected``.
    """
    _checked(log)
    weight = log.target / log.logged
    _, code = np.unique(log.customer, return_inverse=True)
    total, squared = float(weight.sum()), float((weight**2).sum())
    effective = total**2 / squared if squared > 0 else 0.0
    mean = _interval(weight, np.ones(len(weight)), code, confidence)
    refused = _refused(effective, mean, len(weight), confidence)
    ips = snips = doubly = None
    if not refused:
        one = np.ones(len(weight))
        ips = _interval(weight * log.reward, one, code, confidence)
        snips = _interval(weight * log.reward, weight, code, confidence)
        if log.predicted is not None and log.expected is not None:
            corrected = log.expected + weight * (log.reward - log.predicted)
            doubly = _interval(corrected, one, code, confidence)
    return OffPolicy(
        rows=len(weight),
        customers=int(code.max()) + 1,
        effective=effective,
        mean_weight=mean.value,
        largest_weight=float(weight.max()),
        ips=ips,
        snips=snips,
        doubly_robust=doubly,
        refused=refused,
    )


def _checked(log: Logged) -> None:
    if not len(log.reward):
        raise ValueError("log: expected rows, got none")
    if not ((log.logged > 0) & (log.logged <= 1)).all():
        raise ValueError("logged: expected probabilities above 0, at most 1")
    if not ((log.target >= 0) & (log.target <= 1)).all():
        raise ValueError("target: expected probabilities of 0 to 1")
    if (log.predicted is None) != (log.expected is None):
        raise ValueError("predicted, expected: expected both or none")


def _refused(effective: float, mean: Interval, rows: int, confidence: float) -> str:
    least = max(LEAST_EFFECTIVE, LEAST_SHARE * rows)
    if effective < least:
        return (
            f"too little overlap: {rows:,} logged slots tell as much as "
            f"{effective:,.0f} of the new policy's own; at least {least:,.0f} are needed"
        )
    error = (mean.high - mean.low) / 2 / _normal(confidence)
    # Weights may all be 1, up to rounding.
    if abs(mean.value - 1) > OFF * error + 1e-9:
        return (
            f"the logged propensities are wrong or leave out what the new policy "
            f"shows: weights average {mean.value:.3f}, expected 1"
        )
    return ""


def _interval(above: Floats, below: Floats, code: Longs, confidence: float) -> Interval:
    """Ratio of sums and its interval over customers (linearised)."""
    value = float(above.sum() / below.sum())
    rest = np.bincount(code, above - value * below)
    n = len(rest)
    spread = float((rest**2).sum()) * n / (n - 1) if n > 1 else math.inf
    half = _normal(confidence) * math.sqrt(spread) / float(below.sum())
    return Interval(value, value - half, value + half)


def _normal(confidence: float) -> float:
    return float(stats.norm.ppf((1 + confidence) / 2))
