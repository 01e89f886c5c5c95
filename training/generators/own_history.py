"""What the customer bought before, by count with a 60-day half-life."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from features.history import Ints
from features.pairs import Singles
from training.generators.generator import rows_of
from training.moment import Moment


@dataclass(frozen=True)
class OwnHistory:
    """See the module."""

    moment: Moment
    items: Ints
    name: str = "own history"

    def at(self, moment: Moment) -> OwnHistory:
        """For the customers of a moment."""
        return fit_own_history(moment)

    def scores(self, customers: Ints) -> Singles:
        """See ``Generator``."""
        pairs = self.moment.pairs["product"]
        out = np.full((len(customers), len(self.items)), -np.inf, dtype=np.float32)
        rows, row_of = rows_of(pairs.offsets, customers)
        out[row_of, np.searchsorted(self.items, pairs.item[rows])] = pairs.slow[rows]
        return out


def fit_own_history(moment: Moment) -> OwnHistory:
    """Every product ever bought."""
    return OwnHistory(moment, np.unique(moment.pairs["product"].item))
