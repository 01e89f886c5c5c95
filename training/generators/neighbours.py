"""What the customer and customers with similar baskets buy, per visit.

Source: Hu, He, Gao and Zhang 2020 (TIFU-KNN). As there, a customer is the mean of
their visits, later ones counting more, and the score is a mix of the customer's own
mean with that of the nearest neighbours. The decay is by time (60-day half-life)
and not by groups of visits, and near is a large cosine.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import scipy.sparse as sp
from numba import njit

from features.config import RecommendConfig
from features.history import Array, Ints, owners_of
from features.pairs import SLOW_DAYS, Singles
from features.snapshot import DAY_US
from training.generators.generator import columns_of, drawn, silent_where_zero
from training.metrics import codes_in
from training.moment import Moment

_LEAST_VISITS = 0.5
"""Decayed: fewer would turn one old visit into a strong habit."""


@dataclass(frozen=True)
class Neighbours:
    """Nearest neighbours on decayed baskets.

    Attributes:
        share: share of (decayed) visits with the item, sparse
            ``[customer code, item]``.
        unit: the same, rows of length 1.
        others: ids of customers among whom neighbours are sought, ``[other]``.
        codes: their codes, -1: not of this moment.
        others_unit: their rows of ``unit``, transposed, ``[item, other]``.
        others_share: their rows of ``share``, ``[other, item]``.
        neighbours: how many.
        own_weight: of the customer's own share; the rest is the neighbours'.
    """

    items: Ints
    share: sp.csr_matrix
    unit: sp.csr_matrix
    others: Array
    codes: Ints
    others_unit: sp.csr_matrix
    others_share: sp.csr_matrix
    neighbours: int
    own_weight: float
    name: str = "similar customers"

    def at(self, moment: Moment) -> Neighbours:
        """For the customers of a moment."""
        share, unit = _baskets(moment, self.items)
        codes = codes_in(moment.history.customers, self.others.tolist())
        return replace(self, share=share, unit=unit, codes=codes)

    def scores(self, customers: Ints) -> Singles:
        """See ``Generator``."""
        near = sp.csr_matrix(self.unit[customers] @ self.others_unit).toarray()
        # Nobody is their own neighbour.
        near[customers[:, None] == self.codes] = 0.0
        nearest = _nearest(near, self.neighbours)
        theirs = sp.csr_matrix(nearest @ self.others_share).toarray()
        mine = self.share[customers].toarray()
        own = self.own_weight
        return silent_where_zero(own * mine + (1 - own) * theirs)


def _nearest(near: Singles, k: int) -> sp.csr_matrix:
    """The ``k`` largest positive values of each row, scaled to sum to 1."""
    k = min(k, near.shape[1])
    columns, values = _largest(near, k)
    total = values.sum(axis=1, keepdims=True)
    values = values / np.where(total > 0, total, 1.0)
    offsets = np.arange(0, near.shape[0] * k + 1, max(k, 1))
    return sp.csr_matrix(
        (values.ravel(), columns.ravel(), offsets[: near.shape[0] + 1]), near.shape
    )


@njit(cache=True, nogil=True)  # pyright: ignore[reportUntypedFunctionDecorator]
def _largest(near: Any, k: int) -> Any:
    """Columns and values of the largest of each row, ties to the lower column."""
    columns = np.zeros((len(near), k), dtype=np.int32)
    values = np.zeros((len(near), k), dtype=np.float32)
    for row in range(len(near)):
        kept = 0
        for column in range(near.shape[1]):
            value = near[row, column]
            if value <= 0 or (kept == k and value <= values[row, k - 1]):
                continue
            at = kept if kept < k else k - 1
            while at > 0 and values[row, at - 1] < value:
                values[row, at] = values[row, at - 1]
                columns[row, at] = columns[row, at - 1]
                at -= 1
            values[row, at] = value
            columns[row, at] = column
            kept = min(kept + 1, k)
    return columns, values


def fit_neighbours(
    moment: Moment, items: Ints, config: RecommendConfig, seed: int
) -> Neighbours:
    """Baskets of all customers; of many, neighbours are sought among some drawn.

    Args:
        moment: history at the cutoff.
        items: products that are compared and scored.
        config: ``neighbours``, ``neighbour_customers``, ``neighbour_own_weight``.
        seed: of the draw.
    """
    share, unit = _baskets(moment, items)
    others = drawn(moment, config.neighbour_customers, seed)
    return Neighbours(
        items,
        share,
        unit,
        moment.history.customers[others],
        others,
        unit[others].T.tocsr(),
        share[others],
        config.neighbours,
        config.neighbour_own_weight,
    )


def _baskets(moment: Moment, items: Ints) -> tuple[sp.csr_matrix, sp.csr_matrix]:
    """``share`` and ``unit`` of ``Neighbours``."""
    pairs, visits = moment.pairs["product"], moment.visits
    n_customers = len(moment.history.customers)
    age = (moment.cutoff_us - visits.ts) / DAY_US
    customer = owners_of(visits.offsets)
    total = np.bincount(customer, 2.0 ** (-age / SLOW_DAYS), minlength=n_customers)
    column = columns_of(items, moment.n_products)[pairs.item]
    keep = column >= 0
    who = pairs.customer[keep]
    value = pairs.slow[keep] / np.maximum(total[who], _LEAST_VISITS)
    share = sp.csr_matrix(
        (value.astype(np.float32), (who, column[keep])), (n_customers, len(items))
    )
    length = np.sqrt(np.asarray(share.multiply(share).sum(axis=1)).ravel())
    scale = (1 / np.where(length > 0, length, 1.0)).astype(np.float32)
    return share, sp.csr_matrix(sp.diags(scale) @ share)
