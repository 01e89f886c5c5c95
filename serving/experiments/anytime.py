"""Intervals and p values that hold at every look, however often one looks.

The asymptotic confidence sequence of Waudby-Smith, Arbour, Sinha, Kennedy and
Ramdas (2024), Time-uniform central limit theory and asymptotic confidence
sequences, Annals of Statistics 52, theorem 2.2 (arXiv 2103.06476): with ``t``
customers and a standard error ``s`` of the effect the interval is::

    effect ± s * sqrt((2 * (t*rho^2 + 1) / (t*rho^2)) * log(sqrt(t*rho^2 + 1) / alpha))

Its p value is that of Robbins' normal mixture (the mixture test of Johari, Koomen,
Pekelis and Walsh, 2022, Always valid inference, Operations Research 70). Only the
product ``t * rho^2`` matters, so we speak of the customers seen as a fraction of
those planned; ``rho`` makes the interval narrowest when the plan is fulfilled. It
stays valid beyond the plan. Asymptotic: the first looks should hold some hundred
customers of each arm.
"""

from __future__ import annotations

import math

TIGHTEST_AT = 1.0
"""Fraction of the plan at which the interval is narrowest."""


def half_width(std_error: float, fraction: float, alpha: float = 0.05) -> float:
    """Half of the interval's width, in the unit of the standard error.

    Args:
        std_error: of the effect, at this look.
        fraction: customers seen over customers planned, above 0; may exceed 1.
        alpha: over all looks together, two-sided.
    """
    known = _known(fraction, alpha)
    inside = 2 * (known + 1) / known * math.log(math.sqrt(known + 1) / alpha)
    return std_error * math.sqrt(inside)


def p_value(z: float, fraction: float, alpha: float = 0.05) -> float:
    """Two-sided p value of this look; the smallest so far holds at every look.

    Below ``alpha`` exactly where the interval leaves out 0.
    """
    known = _known(fraction, alpha)
    evidence = known / (known + 1) * z * z / 2 - math.log(known + 1) / 2
    return min(1.0, math.exp(-evidence))


def _known(fraction: float, alpha: float) -> float:
    """``t * rho^2`` of the theorem."""
    if fraction <= 0:
        raise ValueError(f"fraction: expected above 0, got {fraction}")
    doubled = -2 * math.log(alpha)
    return fraction / TIGHTEST_AT * (doubled + math.log(doubled + 1))
