"""Is the match kept? Promised and bought, over all candidate pairs that are kept."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from features.history import Bools, Floats
from training.calibration import expected_calibration_error

SURE = 0.85
"""Probability from which a pair is graded 85 or more."""

EDGES = (0.0, 0.01, 0.02, 0.05, 0.1, 0.2, 0.3, 0.5, 0.7, SURE, 1.0)
"""Of the bins: from the first of two, below the second; the last holds 1 too."""


@dataclass(frozen=True)
class Bin:
    """Pairs whose match lies in ``[low, high)``.

    Attributes:
        pairs: how many.
        promised: their mean match.
        bought: share that was bought.
    """

    low: float
    high: float
    pairs: int
    promised: float
    bought: float


@dataclass(frozen=True)
class Match:
    """How the match of one lane was kept.

    Attributes:
        pairs: customers with history x products: the best ``keep_per_lane``
            candidates of each customer, available or not, whether the customer came
            to buy or not.
        promised: mean match; NaN without pairs.
        bought: share of the pairs that was bought.
        ece: expected calibration error over ten bins of equal size.
        bins: those that hold a pair, ascending.
        sure: pairs graded 85 or more.
        sure_bought: share of them that was bought; NaN: there are none.
    """

    pairs: int
    promised: float
    bought: float
    ece: float
    bins: tuple[Bin, ...]
    sure: int
    sure_bought: float


def match_quality(probability: Floats, bought: Bools) -> Match:
    """Promised and bought of some pairs.

    Args:
        probability: the match, ``[pair]``.
        bought: within the horizon, ``[pair]``.
    """
    nan = float("nan")
    if not len(probability):
        return Match(0, nan, nan, nan, (), 0, nan)
    label = bought.astype(np.float64)
    sure = probability >= SURE
    return Match(
        pairs=len(label),
        promised=float(probability.mean()),
        bought=float(label.mean()),
        ece=expected_calibration_error(probability, label),
        bins=_bins(probability, label),
        sure=int(sure.sum()),
        sure_bought=float(label[sure].mean()) if sure.any() else nan,
    )


def _bins(probability: Floats, label: Floats) -> tuple[Bin, ...]:
    place = np.digitize(probability, EDGES[1:-1])
    n = len(EDGES) - 1
    pairs = np.bincount(place, minlength=n)
    promised = np.bincount(place, probability, minlength=n)
    bought = np.bincount(place, label, minlength=n)
    return tuple(
        Bin(
            EDGES[i],
            EDGES[i + 1],
            int(pairs[i]),
            float(promised[i] / pairs[i]),
            float(bought[i] / pairs[i]),
        )
        for i in np.flatnonzero(pairs)
    )


def together(found: tuple[Match, ...]) -> Match:
    """Several cutoffs' pairs in one; the calibration error is the mean of theirs."""
    nan = float("nan")
    some = [one for one in found if one.pairs]
    pairs, sure = sum(one.pairs for one in some), sum(one.sure for one in some)
    if not some:
        return Match(0, nan, nan, nan, (), 0, nan)
    bins = [
        joined
        for low in EDGES[:-1]
        for joined in _joined([b for one in some for b in one.bins if b.low == low])
    ]
    return Match(
        pairs=pairs,
        promised=sum(one.pairs * one.promised for one in some) / pairs,
        bought=sum(one.pairs * one.bought for one in some) / pairs,
        ece=float(np.mean([one.ece for one in some])),
        bins=tuple(bins),
        sure=sure,
        sure_bought=(
            sum(one.sure * one.sure_bought for one in some if one.sure) / sure
            if sure
            else nan
        ),
    )


def _joined(same: list[Bin]) -> list[Bin]:
    pairs = sum(one.pairs for one in same)
    if not pairs:
        return []
    promised = sum(one.pairs * one.promised for one in same) / pairs
    bought = sum(one.pairs * one.bought for one in same) / pairs
    return [Bin(same[0].low, same[0].high, pairs, promised, bought)]
