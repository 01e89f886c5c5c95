"""One customer's ALS factors from what they liked: a regularised least squares.

The items' factors stand; only the customer's are solved for, as a step of ALS does
(Hu, Koren and Volinsky 2008, equation 4; ``recalculate_user`` of implicit).
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from features.history import Array, Floats, Ints
from features.pairs import Singles

_LEAST = 1e-6


@dataclass(frozen=True)
class FoldIn:
    """Factors of the items, and what a solve needs besides.

    Attributes:
        items: product codes, ascending, ``[item]``.
        factors: ``[item, factor]``.
        column: item of every product code, -1: none, ``[product]``.
        gram: ``factors.T @ factors``, ``[factor, factor]``.
        alpha, regularization: those of the fit.
    """

    items: Ints
    factors: Singles
    column: Ints
    gram: Floats
    alpha: float
    regularization: float

    def moved(
        self, columns: Ints, before: Array, after: Array
    ) -> tuple[Floats, Floats]:
        """A customer's factors before and after events, each ``[factor]``.

        Args:
            columns: distinct items, ``[liked]``.
            before: decayed count of each, 0: no event.
            after: the same with the events; 0 everywhere means no opinion,
                which are zero factors.
        """
        was, now = self._confidence(before), self._confidence(after)
        own = self.factors[columns].astype(np.float64)
        # Without any regularisation the items may not span all factors.
        ridge = max(self.regularization, _LEAST)
        normal: Floats = self.gram + ridge * np.eye(len(self.gram))
        normal += own.T @ (own * _beyond(was)[:, None])
        old: Floats = np.linalg.solve(normal, own.T @ was).astype(np.float64)
        changed = np.flatnonzero(was != now)
        if not changed.size:
            return old, old
        some = own[changed]
        normal += some.T @ (some * (_beyond(now) - _beyond(was))[changed, None])
        new: Floats = np.linalg.solve(normal, own.T @ now).astype(np.float64)
        return old, new

    def _confidence(self, weight: Array) -> Floats:
        return self.alpha * np.log1p(weight.astype(np.float64))


def _beyond(confidence: Floats) -> Floats:
    """What an item adds to the 1 that every item has in ``gram``."""
    return np.where(confidence > 0, confidence - 1.0, 0.0)


def gram_of(factors: Singles) -> Floats:
    """``factors.T @ factors`` in double precision."""
    wide = factors.astype(np.float64)
    return wide.T @ wide
