"""p values of several questions, adjusted for there being several.

Holm where a claim is made of each (secondary measures, several arms): the chance
of even one false claim stays below alpha, whatever the measures share. Benjamini
and Hochberg where a list is searched for hints (segments): at most alpha of the
segments named are false ones on average, which finds more.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np

from features.history import Floats


def holm(p_values: Sequence[float | None]) -> list[float | None]:
    """Adjusted p values; null stays null and is not counted as a question.

    Source: Holm, 1979, A simple sequentially rejective multiple test procedure,
    Scandinavian Journal of Statistics 6.
    """

    def adjust(ordered: Floats) -> Floats:
        m = len(ordered)
        return np.maximum.accumulate(ordered * (m - np.arange(m)))

    return _adjusted(p_values, adjust)


def benjamini_hochberg(p_values: Sequence[float | None]) -> list[float | None]:
    """Adjusted p values; null stays null and is not counted as a question.

    Source: Benjamini and Hochberg, 1995, Controlling the false discovery rate,
    JRSS B 57.
    """

    def adjust(ordered: Floats) -> Floats:
        m = len(ordered)
        raised = ordered * m / (np.arange(m) + 1)
        return np.minimum.accumulate(raised[::-1])[::-1]

    return _adjusted(p_values, adjust)


def _adjusted(
    p_values: Sequence[float | None], adjust: Callable[[Floats], Floats]
) -> list[float | None]:
    known = [i for i, p in enumerate(p_values) if p is not None]
    given = np.array([p_values[i] for i in known], dtype=np.float64)
    order = np.argsort(given, kind="stable")
    found: list[float | None] = [None] * len(p_values)
    for place, value in zip(order, adjust(given[order]), strict=True):
        found[known[place]] = min(float(value), 1.0)
    return found
