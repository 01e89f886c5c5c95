"""Alternating least squares on implicit feedback.

What a customer bought, put in a cart, looked at or asked about says how surely a
product is liked: the confidence is ``1 + alpha * log(1 + decayed counts)``, each
kind of event with its own weight.

Source: Hu, Koren and Volinsky 2008.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import scipy.sparse as sp
from implicit.cpu.als import AlternatingLeastSquares

from features.config import RecommendConfig
from features.history import Ints
from features.pairs import Singles
from training.generators.generator import columns_of, interest_of, taken_by
from training.moment import Moment


@dataclass(frozen=True)
class Factors:
    """ALS factors; bought items are allowed.

    Attributes:
        users: factors, ``[customer code, factor]``, zero where inactive.
        factors: factors of ``items``, ``[item, factor]``.
    """

    items: Ints
    users: Singles
    factors: Singles
    name: str = "ALS"

    def scores(self, customers: Ints) -> Singles:
        """See ``Generator``."""
        users = self.users[customers]
        out = users @ self.factors.T
        out[~users.any(axis=1)] = -np.inf
        return out


def fit_als(moment: Moment, items: Ints, config: RecommendConfig, seed: int) -> Factors:
    """ALS on decayed log counts of active customers and the given items.

    Customers without any of the items keep zero factors: no opinion.
    """
    liked = _liked(moment, items, config)[moment.customers]
    users = np.zeros((len(moment.history.customers), config.factors), np.float32)
    factors = np.zeros((len(items), config.factors), np.float32)
    if liked.nnz:
        model = AlternatingLeastSquares(
            factors=config.factors,
            iterations=config.als_iterations,
            regularization=config.als_regularization,
            alpha=config.als_alpha,
            random_state=seed,
            num_threads=config.threads,
        )
        model.fit(liked, show_progress=False)
        users[moment.customers] = np.asarray(model.user_factors)
        factors = np.asarray(model.item_factors)
    return Factors(items, users, factors)


def _liked(moment: Moment, items: Ints, config: RecommendConfig) -> sp.csr_matrix:
    """Log of weighted, decayed events, ``[customer code, item]``."""
    interest = moment.interest
    if not len(interest):
        return taken_by(moment, items)
    bought = moment.pairs["product"]
    customer = np.concatenate((bought.customer, interest.customer))
    item = np.concatenate((bought.item, interest.item))
    weight = np.concatenate((bought.slow, interest_of(moment, config)))
    column = columns_of(items, moment.n_products)[item]
    keep = (column >= 0) & (weight > 0)
    liked = sp.csr_matrix(
        (weight[keep], (customer[keep], column[keep])),
        shape=(len(moment.history.customers), len(items)),
    )
    liked.data = np.log1p(liked.data)
    return liked
