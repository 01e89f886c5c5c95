"""Curves and tables of one probability score: pure functions of label and score.

Labels are 1 (bought) or 0; a score is larger for who is more likely to buy. What
is undefined, such as a ROC curve where everybody bought, is None or NaN, never 0.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from sklearn.metrics import precision_recall_curve, roc_curve
from statsmodels.stats.proportion import proportion_confint

from features.history import Floats, Longs

MOST_POINTS = 200
"""Of a curve that is kept; between them it is drawn as a straight line."""

TENTHS = 10


@dataclass(frozen=True)
class Curve:
    """Points ``(x[i], y[i])``, x ascending."""

    x: tuple[float, ...]
    y: tuple[float, ...]

    def at(self, x: float) -> float:
        """The height at ``x``, on the straight line between two points."""
        return float(np.interp(x, self.x, self.y))


@dataclass(frozen=True)
class Tenth:
    """One of ten groups of equal size, by score.

    Attributes:
        customers: how many; the sizes differ by one at most.
        promised: mean probability.
        bought: share who bought.
        low, high: 95 % interval of that share, by Wilson (1927).
        lift: ``bought`` over the share of all who bought; NaN if nobody did.
        of_buyers: share of all buyers who are in this group; NaN if there are none.
    """

    customers: int
    promised: float
    bought: float
    low: float
    high: float
    lift: float
    of_buyers: float


@dataclass(frozen=True)
class Curves:
    """Everything of one model; see the functions of the same names."""

    roc: Curve | None
    precision_recall: Curve | None
    gain: Curve | None
    lift: Curve | None
    tenths: tuple[Tenth, ...]


def curves(label: Floats, score: Floats) -> Curves:
    """All curves of a score, and its tenths, the highest first.

    Args:
        label: 0 or 1, shape ``[row]``.
        score: probability, same shape.
    """
    return Curves(
        roc=roc(label, score),
        precision_recall=precision_recall(label, score),
        gain=gain(label, score),
        lift=lift(label, score),
        tenths=tenths(label, score),
    )


def roc(label: Floats, score: Floats) -> Curve | None:
    """Share of buyers (y) above a threshold by share of others above it (x).

    Returns:
        From (0, 0) to (1, 1); None with one class only.
    """
    if not 0 < label.sum() < len(label):
        return None
    others, buyers, _ = roc_curve(label, score)
    return _thinned(others, buyers)


def precision_recall(label: Floats, score: Floats) -> Curve | None:
    """Share of buyers above a threshold (y) by share of all buyers found (x).

    Returns:
        None if nobody bought. It starts where the highest scores stand: with no
        one above the threshold there is no share.
    """
    if not label.sum():
        return None
    precision, recall, _ = precision_recall_curve(label, score, drop_intermediate=True)
    # The last point is made up by the library: nobody above, precision 1.
    return _thinned(recall[-2::-1], precision[-2::-1])


def gain(label: Floats, score: Floats) -> Curve | None:
    """Share of all buyers (y) among the best-scored share of customers (x).

    Customers of equal score come in together, as a straight line.

    Returns:
        From (0, 0) to (1, 1); None if nobody bought.
    """
    if not label.sum():
        return None
    return _thinned(*_cumulative(label, score))


def lift(label: Floats, score: Floats) -> Curve | None:
    """Gain over the share of customers: how many times as many buyers as by chance.

    Returns:
        From the first group of equal scores to (1, 1); None if nobody bought.
    """
    if not label.sum():
        return None
    share, found = _cumulative(label, score)
    return _thinned(share[1:], found[1:] / share[1:])


def tenths(label: Floats, score: Floats) -> tuple[Tenth, ...]:
    """Ten groups of equal size, the highest scores first.

    Equal scores are parted in the order of the rows. With fewer than ten rows each
    is a group.
    """
    order = np.argsort(-score, kind="stable")
    groups = np.array_split(order, min(TENTHS, len(order))) if len(order) else []
    return tuple(_tenth(label, score, rows) for rows in groups)


def _tenth(label: Floats, score: Floats, rows: Longs) -> Tenth:
    bought, all_bought = float(label[rows].sum()), float(label.sum())
    ends: Any = proportion_confint(bought, len(rows), alpha=0.05, method="wilson")
    share, base = bought / len(rows), all_bought / len(label)
    return Tenth(
        customers=len(rows),
        promised=float(score[rows].mean()),
        bought=share,
        low=float(ends[0]),
        high=float(ends[1]),
        lift=share / base if base else float("nan"),
        of_buyers=bought / all_bought if all_bought else float("nan"),
    )


def _cumulative(label: Floats, score: Floats) -> tuple[Floats, Floats]:
    """Shares of customers and of buyers at or above each distinct score."""
    order = np.argsort(-score, kind="stable")
    last = np.flatnonzero(np.append(np.diff(score[order]) != 0, True))
    customers = np.r_[0.0, last + 1.0] / len(label)
    buyers = np.r_[0.0, np.cumsum(label[order])[last]] / label.sum()
    return customers, buyers


def _thinned(x: Floats, y: Floats) -> Curve:
    """At most ``MOST_POINTS`` of the points, evenly, the first and the last too."""
    keep = np.arange(len(x))
    if len(x) > MOST_POINTS:
        keep = np.linspace(0, len(x) - 1, MOST_POINTS).round().astype(np.int64)
    return Curve(tuple(x[keep].tolist()), tuple(y[keep].tolist()))
