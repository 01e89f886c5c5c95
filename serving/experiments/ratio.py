"""Sample ratio: are the arms as large as the draw says they should be?

Three questions, because one alone is weak or late:

- At the end: Pearson's chi-square of the arms' sizes against their shares.
- Customers lost on the way: the draw is a hash, so it is known who should be in
  each arm. Those of them who are not in the analysis must come from all arms alike.
  This sees a loss of 1 % in one of two arms of 50,000, which the sizes alone cannot
  tell from chance (50,000 beside 49,500 is no rare draw: p = .11).
- At every look: the multinomial mixture test of Lindon and Malek (2022, Anytime-valid
  inference for multinomial count data, NeurIPS; arXiv 2011.03567), which holds
  however often one looks. ``CONCENTRATION`` is that of their own package.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from scipy import special

from features.history import Floats

SURE = 0.001
"""Below this p value an experiment is called invalid."""

CONCENTRATION = 10_000.0
"""Customers that the prior of the mixture stands for."""


@dataclass(frozen=True)
class RatioCheck:
    """What the sizes of the arms say.

    Attributes:
        counts: customers analysed, by arm.
        expected: share of each arm by the draw.
        p_sizes: of the sizes against the shares; null: nobody.
        p_lost: of the lost against the assigned, by arm; null: nobody was lost, or
            who was assigned is not known.
        p_anytime: of all looks so far; null: no looks given.
        at_end: whether no more customers come.
        p_value: until the end that of all looks, where there are any; then of sizes
            and lost together (the smaller one, doubled where both are known).
        valid: whether ``p_value`` is not below ``SURE``.
    """

    counts: dict[str, int]
    expected: dict[str, float]
    p_sizes: float | None
    p_lost: float | None
    p_anytime: float | None
    at_end: bool = True

    @property
    def p_value(self) -> float | None:
        """The p value that decides; null: nothing to check."""
        if self.p_anytime is not None and not self.at_end:
            return self.p_anytime
        once = [p for p in (self.p_sizes, self.p_lost) if p is not None]
        return min(1.0, min(once) * len(once)) if once else None

    @property
    def valid(self) -> bool:
        """Whether the arms are as large as chance allows."""
        return self.p_value is None or self.p_value >= SURE


def check(
    counts: Mapping[str, int],
    shares: Mapping[str, float],
    assigned: Mapping[str, int] | None = None,
    history: Sequence[Mapping[str, int]] = (),
    *,
    at_end: bool = True,
) -> RatioCheck:
    """Compare the arms' sizes with their shares.

    Args:
        counts: customers in the analysis, by arm.
        shares: of every arm, by the draw; any positive numbers.
        assigned: customers whom the hash puts into each arm, of whom ``counts``
            are the ones found again. None: not known.
        history: ``counts`` of every look, oldest first, this one included.
        at_end: no more customers come, so the one test of the end decides.

    Raises:
        ValueError: an arm is unknown to ``shares``, or more were found than
            assigned.
    """
    arms = list(shares)
    if unknown := sorted(set(counts) - set(arms)):
        raise ValueError(f"counts: expected arms {arms}, got {unknown}")
    total = sum(shares.values())
    expected = {arm: share / total for arm, share in shares.items()}
    share = np.array([expected[arm] for arm in arms])
    found = _row(counts, arms)
    lost = None if assigned is None else p_lost(_row(assigned, arms), found)
    path = [_row(look, arms) for look in history]
    return RatioCheck(
        {arm: int(n) for arm, n in zip(arms, found, strict=True)},
        expected,
        p_sizes(found, share),
        lost,
        p_anytime(path, share) if path else None,
        at_end,
    )


def p_sizes(counts: Floats, shares: Floats) -> float | None:
    """Chi-square p value of the counts; null: nobody.

    Args:
        counts: ``[arm]``.
        shares: of sum 1, ``[arm]``.
    """
    total = counts.sum()
    if total == 0:
        return None
    return _chi_square(counts, total * shares, len(counts) - 1)


def p_lost(assigned: Floats, found: Floats) -> float | None:
    """Chi-square p value of losing customers in every arm alike.

    Null: none was lost, or all were.
    """
    lost = assigned - found
    if (lost < 0).any():
        raise ValueError("counts: expected no more customers than were assigned")
    if not lost.sum() or not found.sum():
        return None
    there = assigned > 0
    table = np.vstack([lost[there], found[there]])
    if table.shape[1] < 2:
        return None
    alike = np.outer(table.sum(axis=1), table.sum(axis=0)) / table.sum()
    return _chi_square(table, alike, table.shape[1] - 1)


def p_anytime(path: Sequence[Floats], shares: Floats) -> float:
    """The smallest p value of all looks; it stays valid at every one of them.

    Args:
        path: counts so far, a look each, ``[arm]``.
        shares: of sum 1, ``[arm]``.
    """
    prior = CONCENTRATION * shares
    evidence = max(
        _log_beta(prior + counts) - _log_beta(prior) - float(counts @ np.log(shares))
        for counts in path
    )
    return float(min(1.0, np.exp(-evidence)))


def _chi_square(seen: Floats, expected: Floats, freedom: int) -> float:
    return float(special.chdtrc(freedom, ((seen - expected) ** 2 / expected).sum()))


def _log_beta(a: Floats) -> float:
    return float(special.gammaln(a).sum() - special.gammaln(a.sum()))


def _row(counts: Mapping[str, int], arms: Sequence[str]) -> Floats:
    return np.array([counts.get(arm, 0) for arm in arms], dtype=np.float64)
