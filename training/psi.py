"""The population stability index: how far two distributions over bins are apart."""

from __future__ import annotations

import math
from collections.abc import Iterable

_HALF = 0.5
"""Added to each count, so that an empty bin has a logarithm."""


def stability_index(now: Iterable[float], then: Iterable[float]) -> float:
    """The sum of ``(a - e) * ln(a / e)`` over the bins' shares of either.

    By custom below .1 the two are alike, above .25 they are not. Of few customers it is
    mostly chance: about ``(bins - 1) * (1 / now + 1 / then)``.

    Args:
        now: counts by bin; half a customer is added to each.
        then: the same of the other distribution.
    """
    pairs = [(a + _HALF, e + _HALF) for a, e in zip(now, then, strict=True)]
    whole, of = (sum(counts) for counts in zip(*pairs, strict=True))
    shares = ((a / whole, e / of) for a, e in pairs)
    return sum((a - e) * math.log(a / e) for a, e in shares)
