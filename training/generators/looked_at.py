"""What the customer looked at, asked about or put in a cart, with a fast decay."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import scipy.sparse as sp

from features.config import RecommendConfig
from features.history import Ints
from features.pairs import Singles
from training.generators.generator import columns_of, interest_of, silent_where_zero
from training.moment import Moment


@dataclass(frozen=True)
class LookedAt:
    """Weighted, decayed events, sparse ``[customer code, item]``."""

    items: Ints
    weight: sp.csr_matrix
    config: RecommendConfig
    name: str = "looked at"

    def at(self, moment: Moment) -> LookedAt:
        """For the customers of a moment."""
        return fit_looked_at(moment, self.config)

    def scores(self, customers: Ints) -> Singles:
        """See ``Generator``."""
        return silent_where_zero(self.weight[customers].toarray())


def fit_looked_at(moment: Moment, config: RecommendConfig) -> LookedAt:
    """Every product that somebody looked at; the weights are those of ALS."""
    interest = moment.interest
    items = np.unique(interest.item)
    weight = interest_of(moment, config)
    column = columns_of(items, moment.n_products)[interest.item]
    shape = (len(moment.history.customers), len(items))
    taken = sp.csr_matrix((weight, (interest.customer, column)), shape)
    return LookedAt(items, taken, config)
