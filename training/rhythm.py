"""The days between purchases of a group as a log-normal around a personal cycle.

A customer's cycle is shrunk to the cycle of the group (normal-normal on log days),
which is the service life of its products where that is known. It is what a
replenishment model starts from, and what it is held against.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from scipy.stats import norm

from features.history import Array, Floats
from training.habits import Bought

_STEADY = 4
"""Pooled degrees of freedom that steady the spread of a short history."""

_SURE = 1 - 1e-9


@dataclass(frozen=True)
class Rhythm:
    """Of every pair of customer and group; arrays of shape ``[pair]``.

    Attributes:
        gaps: completed cycles.
        mu, sigma: mean and spread of log days; NaN where neither the customer, nor
            the group, nor a service life says anything.
        passed_days: since the last purchase.
    """

    gaps: Floats
    mu: Floats
    sigma: Floats
    passed_days: Floats

    def take(self, rows: Array) -> Rhythm:
        """Some of the pairs, by position."""
        return Rhythm(
            self.gaps[rows], self.mu[rows], self.sigma[rows], self.passed_days[rows]
        )

    @property
    def cycle(self) -> Floats:
        """Median days between two purchases."""
        return np.exp(self.mu)

    @property
    def passed(self) -> Floats:
        """Share of such gaps that are shorter than the days passed already."""
        # Far in the tail the condition leaves nothing to divide by.
        return np.minimum(self._share(np.maximum(self.passed_days, 0.5)), _SURE)

    def within(self, days: float | Array) -> Floats:
        """P(the next purchase falls within ``days`` from now); habits never end."""
        passed = self.passed
        end = self._share(np.maximum(self.passed_days, 0.5) + days)
        return np.clip((end - passed) / (1 - passed), 0, 1)

    def _share(self, days: Floats) -> Floats:
        return norm.cdf((np.log(days) - self.mu) / self.sigma)


@dataclass(frozen=True)
class Cycles:
    """What is usual of log gaps between purchases, over many customers.

    Attributes:
        mean: by group, ``[group]``; where a service life is known, its logarithm;
            NaN: nothing says anything.
        within: variance around a pair's own mean.
        between: variance of the pairs' means around their group's.
    """

    mean: Floats
    within: float
    between: float


def cycles_of(bought: Bought, life_days: Floats) -> Cycles:
    """Cycles of the groups as known at the cutoff.

    Args:
        bought: purchase days before the cutoff.
        life_days: service life by group, NaN: unknown.
    """
    gaps, log_mean, square = _log_gaps(bought)
    degrees = np.maximum(gaps - 1, 0)
    pooled = max(float(square.sum() / max(float(degrees.sum()), 1.0)), 0.05)
    weight = np.bincount(bought.group, gaps, minlength=len(life_days))
    total = np.bincount(bought.group, gaps * log_mean, minlength=len(life_days))
    mean = np.divide(total, weight, out=np.full(len(weight), np.nan), where=weight > 0)
    mean = np.where(life_days > 0, np.log(np.fmax(life_days, 1.0)), mean)
    between = 0.02
    if gaps.sum():
        off = (log_mean - mean[bought.group]) ** 2
        apart = np.average(np.where(gaps > 0, off, 0), weights=gaps)
        between = max(float(apart) - pooled / float(gaps[gaps > 0].mean()), between)
    return Cycles(mean, pooled, between)


def rhythm_of(bought: Bought, cycles: Cycles) -> Rhythm:
    """Personal cycles as known at the cutoff, shrunk to the group's.

    The weights follow from the variances within and between pairs.

    Args:
        bought: purchase days before the cutoff.
        cycles: of the groups at the same cutoff.
    """
    n = len(bought.customer)
    pooled, between = cycles.within, cycles.between
    gaps, log_mean, square = _log_gaps(bought)
    degrees = np.maximum(gaps - 1, 0)
    log_var = square / np.maximum(degrees, 1)
    mean = cycles.mean[bought.group]
    trust = gaps / (gaps + pooled / between)
    mu = np.where(gaps > 0, trust * log_mean + (1 - trust) * mean, mean)
    spread = (degrees * log_var + _STEADY * pooled) / (degrees + _STEADY)
    return Rhythm(
        gaps=gaps,
        mu=mu,
        sigma=np.sqrt(spread + (1 - trust) * between) if n else np.zeros(0),
        passed_days=np.asarray(bought.today - bought.last, np.float64),
    )


def _log_gaps(bought: Bought) -> tuple[Floats, Floats, Floats]:
    """Number, mean and summed squares around it of log gaps, each ``[pair]``."""
    n = len(bought.customer)
    pair = np.repeat(np.arange(n), bought.counts)
    same = pair[1:] == pair[:-1]
    of, log_gap = pair[1:][same], np.log(np.diff(bought.day)[same])
    gaps = np.bincount(of, minlength=n).astype(np.float64)
    total = np.bincount(of, log_gap, minlength=n)
    mean: Floats = np.divide(total, gaps, out=np.zeros(n), where=gaps > 0)
    square = np.bincount(of, (log_gap - mean[of]) ** 2, minlength=n)
    return gaps, mean, square.astype(np.float64)
