"""How well scores rank who buys because of a contact: Qini, uplift@k, intervals.

Every figure is a mean over contacts of *effect scores*, one per contact, each
unbiased for the effect where the holdout was drawn at random. So intervals come
from one bootstrap over customers, and the truth of a simulated shop can stand in
for the scores.

Source: Radcliffe (2007), "Using control groups to target on predicted lift", for
the Qini curve; Yadlowsky et al. (2021), "Evaluating Treatment Prioritization Rules
via Rank-Weighted Average Treatment Effects", section 2, for it as a mean of doubly
robust scores.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from scipy.stats import rankdata

from features.history import Bools, Floats, Ints
from training.metrics import Interval, bootstrap_intervals

GROUPS = 2000
"""Customers are drawn in so many random groups at most: memory does not grow with them."""


def effect_scores(
    outcome: Floats,
    treated: Bools,
    share_treated: Floats,
    without: Floats | float = 0.0,
    contacted: Floats | float = 0.0,
) -> Floats:
    """Scores whose mean over any group, chosen before the outcome, is its effect.

    Args:
        outcome: of each contact, ``[contact]``.
        treated: sent to.
        share_treated: probability of being sent to, in (0, 1).
        without: expected outcome when left alone, of a model that has not seen these
            outcomes. It only lowers the noise.
        contacted: the same when sent to; with both 0 the scores are Horvitz and
            Thompson's.

    Source: Robins, Rotnitzky, Zhao (1994), the augmented inverse probability
    weighted estimator.
    """
    return (
        contacted
        - without
        + np.where(treated, (outcome - contacted) / share_treated, 0.0)
        - np.where(treated, 0.0, (outcome - without) / (1 - share_treated))
    )


def gains(score: Floats, effect: Floats) -> tuple[Floats, Floats]:
    """The Qini curve: depth, and extra purchases per contact down to it.

    Args:
        score: predicted uplift, ``[contact]``; equal ones enter together.
        effect: effect scores, or true effects, ``[contact]``.

    Returns:
        Shares of contacts, from 0 to 1, and the gain if only these are contacted;
        its last value is the average effect. One point per distinct score.
    """
    order = np.argsort(-score, kind="stable")
    last = np.append(np.diff(score[order]) != 0, True)[: len(score)]
    n = max(len(score), 1)
    depth = np.flatnonzero(last) + 1
    total = np.cumsum(effect[order])[last]
    return np.append(0.0, depth / n), np.append(0.0, total / n)


def qini_weights(score: Floats) -> Floats:
    """Weights ``[contact]`` whose mean product with the effects is the Qini coefficient.

    That is the area between the Qini curve and the straight line of a random order;
    a contact's share of it is how far above the middle it is ranked.
    """
    n = max(len(score), 1)
    return 0.5 - (rankdata(-score) - 0.5) / n


def qini(score: Floats, effect: Floats) -> float:
    """Area between the Qini curve and a random order, extra purchases per contact.

    0: no better than chance, or all scores equal. With the true effects of a
    simulated shop it has no noise of outcomes.
    """
    return float(np.mean(qini_weights(score) * effect)) if len(score) else np.nan


def band(score: Floats, above: float, down_to: float) -> Floats:
    """Weight of each contact in a band of the ranking, ``[contact]``, 0 to 1.

    Args:
        score: predicted uplift; equal ones share what is left of a band.
        above: where the band starts, share of contacts from the top.
        down_to: where it ends.
    """
    n = len(score)
    first = rankdata(-score, method="min") - 1
    size = rankdata(-score, method="max") - first
    end = np.clip((down_to * n - first) / size, 0, 1)
    return end - np.clip((above * n - first) / size, 0, 1)


def weighted_effects(
    effect: Floats,
    weights: Sequence[Floats],
    divisors: Sequence[Floats],
    customer: Ints,
    seed: int,
) -> list[Interval]:
    """Ratios of sums with 95 % intervals over customers, all on the same draws.

    A customer's contacts are drawn together. Beyond ``GROUPS`` customers, random
    groups of them are drawn, which leaves the variance of a sum as it is.

    Args:
        effect: effect scores, ``[contact]``.
        weights: of the effects, one array per figure.
        divisors: one array per figure, not negative.
        customer: codes, ``[contact]``.
        seed: of the groups and the draws.
    """
    _, code = np.unique(customer, return_inverse=True)
    n = int(code.max(initial=-1)) + 1
    group = np.random.default_rng(seed).permutation(n) % GROUPS
    place, size = group[code], min(n, GROUPS)

    def by_group(values: Floats) -> Floats:
        return np.bincount(place, weights=values, minlength=size).astype(np.float64)

    above = np.column_stack([by_group(weight * effect) for weight in weights])
    below = np.column_stack([by_group(divisor) for divisor in divisors])
    return bootstrap_intervals(above, below, seed=seed)
