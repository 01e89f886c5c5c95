"""What is bought by those who buy what the customer buys.

Source: the closed-form item-to-item model, Steck 2019 (EASE), on decayed counts.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from functools import cached_property

import numpy as np
import scipy.linalg
import scipy.sparse as sp

from features.config import RecommendConfig
from features.history import Ints, Longs
from features.pairs import Singles
from training.generators.generator import silent_where_zero, taken_by
from training.moment import Moment


@dataclass(frozen=True)
class Together:
    """How many bought two items, of those who are learned from.

    Attributes:
        taken: sparse ``[customer code, item]``.
    """

    items: Ints
    taken: sp.csr_matrix

    @cached_property
    def buyers(self) -> Longs:
        """Of both the row and the column, ``[item, item]``; counted when asked for."""
        bought = self.taken.astype(bool).astype(np.int32)
        return np.asarray((bought.T @ bought).toarray()).astype(np.int64)

    def percent(self, anchor: Ints, product: Ints) -> Longs:
        """Per cent of the anchor's buyers who bought the product, ``[row]``.

        Args:
            anchor: product codes among the items; -1: none, 0 per cent.
            product: product codes among the items.
        """
        if not len(self.items):
            return np.zeros(len(anchor), dtype=np.int64)
        one, other = (np.searchsorted(self.items, code) for code in (anchor, product))
        both, every = self.buyers[one, other], self.buyers[one, one]
        share = np.rint(100 * both / np.maximum(every, 1)).astype(np.int64)
        return np.where(anchor < 0, 0, share)


@dataclass(frozen=True)
class CoPurchase:
    """Item-to-item weights, applied to what the customer bought.

    Attributes:
        taken: decayed log counts, sparse ``[customer code, item]``.
        weights: what a purchase of the row says for the column,
            ``[item, item]``, zero diagonal.
        together: what the weights were learned from.
    """

    items: Ints
    taken: sp.csr_matrix
    weights: Singles
    together: Together
    name: str = "co-purchase"

    def at(self, moment: Moment) -> CoPurchase:
        """For the customers of a moment."""
        return replace(self, taken=taken_by(moment, self.items))

    def scores(self, customers: Ints) -> Singles:
        """See ``Generator``."""
        return silent_where_zero(self.taken[customers].toarray() @ self.weights)


def fit_co_purchase(moment: Moment, items: Ints, config: RecommendConfig) -> CoPurchase:
    """Closed-form item-to-item weights: ``I - P / diag(P)``.

    ``P`` is the inverse of the items' Gram matrix over customers, with
    ``co_purchase_ridge`` added to its diagonal.
    """
    taken = taken_by(moment, items)
    gram = (taken.T @ taken).toarray()
    gram[np.diag_indices_from(gram)] += config.co_purchase_ridge
    weights = gram
    if len(items):
        potrf, potri = scipy.linalg.get_lapack_funcs(("potrf", "potri"), (gram,))
        factor = potrf(gram, lower=1, overwrite_a=1)[0]
        inverse = potri(factor, lower=1, overwrite_c=1)[0]
        scale = 1 / np.diag(inverse)
        lower = np.tril(inverse, -1)
        weights = (lower + lower.T) * -scale
    return CoPurchase(items, taken, weights, Together(items, taken))
