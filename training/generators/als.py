"""Alternating least squares on implicit feedback.

What a customer bought, put in a cart, looked at or asked about says how surely a
product is liked: the confidence is ``1 + alpha * log(1 + decayed counts)``, each
kind of event with its own weight.

Source: Hu, Koren and Volinsky 2008.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

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
        solver: holds them; None: nobody has bought anything.
        config: weights of events.
    """

    items: Ints
    users: Singles
    factors: Singles
    solver: AlternatingLeastSquares | None
    config: RecommendConfig
    name: str = "ALS"

    def at(self, moment: Moment) -> Factors:
        """For the customers of a moment: each solved for, given the items' factors."""
        users = np.zeros((len(moment.history.customers), self.config.factors))
        if self.solver is not None:
            liked = _liked(moment, self.items, self.config)[moment.customers]
            rows = np.arange(len(moment.customers))
            users[moment.customers] = self.solver.recalculate_user(rows, liked)
        return replace(self, users=users.astype(np.float32))

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
    factors = np.zeros((len(items), config.factors), np.float32)
    solver = None
    if liked.nnz:
        solver = AlternatingLeastSquares(
            factors=config.factors,
            iterations=config.als_iterations,
            regularization=config.als_regularization,
            alpha=config.als_alpha,
            random_state=seed,
            num_threads=config.threads,
        )
        solver.fit(liked, show_progress=False)
        factors = np.asarray(solver.item_factors)
    nobody = np.zeros((0, config.factors), np.float32)
    return Factors(items, nobody, factors, solver, config).at(moment)


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
