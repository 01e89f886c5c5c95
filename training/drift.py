"""Do features and scores still look as they did when the model was trained?

Every feature has two distances from what it was at the model's cutoff: the stability
index over tenths, and the largest difference of two cumulative shares (Kolmogorov and
Smirnov). A null counts as less than any number, so that a column that is lost shows in
both. Texts have the chi-square test and the share of customers who would have to change
their word. What is past the limits (see ``DriftConfig``) is told, and named:

- *as on* a day: it looks as at a cutoff that the model learned from. A season comes
  back; the model has seen it.
- *as usual*: between two cutoffs that the model learned from, no further apart than it
  and now are, it moved as much. Or it lies between what it was at these cutoffs. Or it
  is an age, and all are older by that time.
- *new to the model*: neither. This is an alarm.
- *appeared*: there was no value when the model was trained, or at every cutoff the same
  for everybody, so it does not read it.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from itertools import combinations
from typing import Any

import numpy as np
import pyarrow as pa
from scipy.stats import chi2_contingency, kstwobign
from statsmodels.stats.multitest import multipletests

from features.drift_config import DriftConfig
from features.history import Longs
from training.encoding import KEYS
from training.psi import stability_index
from training.reference import MOST, SCORE, Reference, Spread, numbers, some

ALIKE, SEEN, USUAL, DRIFTED, APPEARED = (
    "alike",
    "as on",
    "as usual",
    "new to the model",
    "appeared",
)

_USUAL_FACTOR = 1.5
"""A move of up to so many times the one before is still as usual."""

_OUTSIDE = 0.05
"""Share of customers beyond all shares that were seen, by which nothing is new."""

_AGES = "days_since_"
"""Features that grow by a day a day of their own."""

_RARE = 5.0
"""Expected customers of a word below which it is tested together with others."""


@dataclass(frozen=True)
class Distance:
    """How far two distributions of one column are apart.

    Attributes:
        index: of stability.
        gap: largest difference of cumulative shares; of texts the share of customers
            who would have to change their word.
    """

    index: float
    gap: float

    def is_large(self, limits: DriftConfig) -> bool:
        """Past one of the limits on size."""
        return self.index >= limits.stability_index or self.gap >= limits.distance

    def within(self, other: Distance, factor: float) -> bool:
        """No more than so many times another in both."""
        return self.index <= factor * other.index and self.gap <= factor * other.gap


@dataclass(frozen=True)
class Shift:
    """What became of one column.

    Attributes:
        name: of the feature, or ``SCORE``.
        distance: from the model's cutoff.
        p: of the test, corrected over all features; NaN: not tested.
        verdict: ``ALIKE``, ``SEEN``, ``USUAL``, ``DRIFTED`` or ``APPEARED``.
        like: the cutoff that it looks like, where it was ``SEEN``.
        known_then, known_now: shares of customers with a value.
    """

    name: str
    distance: Distance
    p: float
    verdict: str
    like: datetime | None
    known_then: float
    known_now: float

    def to_json(self) -> dict[str, Any]:
        """Plain values."""
        return {
            "name": self.name,
            "stability_index": self.distance.index,
            "distance": self.distance.gap,
            "p": self.p,
            "verdict": self.verdict,
            "like": self.like.isoformat() if self.like else None,
            "known_then": self.known_then,
            "known_now": self.known_now,
        }


@dataclass(frozen=True)
class Shifts:
    """All features, the largest shift first, and the score.

    Attributes:
        score: None: the reference or the rows have none.
        score_then, score_now: shares of customers by bin of the score's tenths at the
            model's cutoff, for a picture.
    """

    features: tuple[Shift, ...]
    score: Shift | None
    score_then: tuple[float, ...] = ()
    score_now: tuple[float, ...] = ()

    def of(self, *verdicts: str) -> tuple[Shift, ...]:
        """Features of these verdicts."""
        return tuple(one for one in self.features if one.verdict in verdicts)


def compare(
    reference: Reference, rows: pa.Table, now: datetime, limits: DriftConfig
) -> Shifts:
    """Every column of a model's reference beside the same one now.

    Args:
        reference: of the model.
        rows: of ``assemble`` at one later moment, with ``SCORE``; at least one.
        now: that moment.
        limits: on size and chance.
    """
    rows = some(rows, MOST)
    given = set(rows.column_names)
    counts = {
        name: spread.bins.count(
            rows.column(name) if name in given else None, rows.num_rows
        )
        for name, spread in reference.columns.items()
    }
    tested = [
        name
        for name, spread in reference.columns.items()
        if name != SCORE and not spread.was_empty
    ]
    chances = [p_value(reference.columns[name], counts[name]) for name in tested]
    corrected = dict(zip(tested, _corrected(chances), strict=True))
    judge = _Judge(reference, rows, now, limits)
    features = [
        judge.shift(name, counts[name], corrected.get(name, float("nan")))
        for name in reference.columns
        if name != SCORE
    ]
    features += [
        _appeared(name, rows)
        for name in rows.column_names
        if name not in reference.columns and name not in KEYS
    ]
    features.sort(key=lambda one: (-one.distance.index, one.name))
    score = reference.columns.get(SCORE)
    if score is None or SCORE not in given:
        return Shifts(tuple(features), None)
    found = counts[SCORE]
    return Shifts(
        tuple(features),
        judge.shift(SCORE, found, p_value(score, found)),
        _shares(score.bins.by_tenths(np.array(score.counts[-1]))),
        _shares(score.bins.by_tenths(found)),
    )


def distance_of(spread: Spread, now: Longs, then: Longs) -> Distance:
    """Of two counts over the bins of a column."""
    bins = spread.bins
    index = stability_index(bins.by_tenths(now).tolist(), bins.by_tenths(then).tolist())
    gaps = now / max(now.sum(), 1) - then / max(then.sum(), 1)
    if bins.words is not None:
        return Distance(index, float(np.abs(gaps).sum() / 2))
    return Distance(index, float(np.abs(np.cumsum(gaps)).max()))


def p_value(spread: Spread, now: Longs) -> float:
    """How often chance shifts a column as far as this.

    Of numbers the two-sample test of Kolmogorov and Smirnov, asked at the bins' edges
    only, so it says "chance" rather too often; of texts chi-square, with rare words as
    one.
    """
    then = np.array(spread.counts[-1])
    n, m = float(now.sum()), float(then.sum())
    if spread.bins.words is None:
        gap = distance_of(spread, now, then).gap
        return float(kstwobign.sf(gap * math.sqrt(n * m / (n + m))))
    both = np.array([now, then], dtype=np.float64)
    rare = both.sum(axis=0) * min(n, m) / (n + m) < _RARE
    table = np.column_stack([both[:, ~rare], both[:, rare].sum(axis=1)])
    table = table[:, table.sum(axis=0) > 0]
    if table.shape[1] < 2:
        return 1.0
    found: Any = chi2_contingency(table, correction=False)
    return float(found.pvalue)


@dataclass(frozen=True)
class _Judge:
    """Says what a shift is, by what the model has seen."""

    reference: Reference
    rows: pa.Table
    now: datetime
    limits: DriftConfig

    def shift(self, name: str, now: Longs, p: float) -> Shift:
        """One column; ``p`` is corrected, NaN: it was not tested."""
        spread = self.reference.columns[name]
        then = np.array(spread.counts[-1])
        distance = distance_of(spread, now, then)
        verdict, like = ALIKE, None
        if spread.was_empty:
            verdict = APPEARED if now[1:].sum() else ALIKE
        elif p <= self.limits.false_discoveries and distance.is_large(self.limits):
            verdict, like = self._named(name, spread, now, distance)
            if verdict == DRIFTED and spread.was_constant:
                verdict = APPEARED
        known = 1 - then[0] / max(then.sum(), 1), 1 - now[0] / max(now.sum(), 1)
        return Shift(name, distance, p, verdict, like, float(known[0]), float(known[1]))

    def _named(
        self, name: str, spread: Spread, now: Longs, distance: Distance
    ) -> tuple[str, datetime | None]:
        moments = self.reference.moments
        before = [np.array(counts) for counts in spread.counts[:-1]]
        near = [distance_of(spread, now, counts) for counts in before]
        if near:
            best = min(range(len(near)), key=lambda at: near[at].index)
            if not near[best].is_large(self.limits):
                return SEEN, moments[best]
        counts = [*before, np.array(spread.counts[-1])]
        elapsed = self.now - moments[-1]
        for (early, was), (late, became) in combinations(
            zip(moments, counts, strict=True), 2
        ):
            moved = late - early <= elapsed and distance_of(spread, became, was)
            if moved and distance.within(moved, _USUAL_FACTOR):
                return USUAL, None
        seen = _is_between(spread, now) or self._is_older(name, spread)
        return (USUAL if seen else DRIFTED), None

    def _is_older(self, name: str, spread: Spread) -> bool:
        """An age that looks as it did, but for the time that has passed."""
        if not name.startswith(_AGES) or name not in self.rows.column_names:
            return False
        elapsed = (self.now - self.reference.moments[-1]) / timedelta(days=1)
        column = self.rows.column(name)
        younger = pa.chunked_array([pa.array(numbers(column) - elapsed)])
        counts = spread.bins.count(younger, self.rows.num_rows)
        then = np.array(spread.counts[-1])
        return not distance_of(spread, counts, then).is_large(self.limits)


def _is_between(spread: Spread, now: Longs) -> bool:
    """Every bin has a share that it had, or one between two that it had."""
    counts = np.array([spread.bins.by_tenths(np.array(one)) for one in spread.counts])
    shares = counts / np.maximum(counts.sum(axis=1, keepdims=True), 1)
    found = np.array(_shares(spread.bins.by_tenths(now)))
    return float(np.maximum(found - shares.max(axis=0), 0).sum()) <= _OUTSIDE


def _appeared(name: str, rows: pa.Table) -> Shift:
    """A column that the reference lacks."""
    column = rows.column(name)
    known = 1 - column.null_count / max(rows.num_rows, 1)
    verdict = APPEARED if known else ALIKE
    nothing = Distance(0.0, 0.0)
    return Shift(name, nothing, float("nan"), verdict, None, 0.0, known)


def _corrected(chances: Sequence[float]) -> list[float]:
    """By Benjamini and Hochberg (1995)."""
    if not chances:
        return []
    found: Any = multipletests(chances, method="fdr_bh")[1]
    return found.tolist()


def _shares(counts: Longs) -> tuple[float, ...]:
    return tuple((counts / max(counts.sum(), 1)).tolist())
