"""P(a customer buys at least one of several products), calibrated.

The products' own probabilities do not add up to it. As if they were independent,
1 - prod(1 - p) promises less than half of what is bought of a category: most of its
products are nobody's candidate, and together they sell. So the sum of hazards
-log(1 - p) is one of four inputs of a logistic curve, beside the customer's own
purchases of these products, all that they bought, and how many customers bought one
of these products lately. It is fitted on customers whom the trees have not seen, over
categories, subcategories and drawn lists of a past window.
"""

from __future__ import annotations

from collections.abc import Generator, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from scipy.special import expit, logit
from sklearn.linear_model import LogisticRegression

from features.history import Array, Bools, Floats, Ints, Longs
from features.snapshot import DAY_US
from training.generators.generator import one_blas_thread, rows_of
from training.metrics import Truth
from training.moment import Moment

MAX_CUSTOMERS = 2_000
"""Customers that the curve is fitted on, at most."""

MAX_GROUPS = 150
"""Categories, and subcategories, that it is fitted on, at most."""

LIST_SIZES = (2, 3, 5, 10, 20, 50, 100, 300, 1000)
"""Drawn lists: so many products, as often as ``LISTS_EACH``."""

LISTS_EACH = 10
FEW_BOUGHT = 50
"""With fewer purchases to learn from, products count as independent."""


@dataclass(frozen=True)
class AnyOf:
    """The fitted curve.

    Attributes:
        weights: of ``_columns``; None: too little to learn from, so products count
            as independent.
        intercept: log odds where all columns are 0.
    """

    weights: tuple[float, ...] | None
    intercept: float

    def probability(
        self, hazard: Floats, own: Floats, total: Floats, share: float
    ) -> Floats:
        """P(at least one of the products is bought), ``[customer]``.

        Args:
            hazard: sum of -log(1 - p) over the products that are candidates.
            own: decayed orders with each of the products, summed.
            total: the same of all products.
            share: of customers who bought one of them lately; see ``share_of``.
        """
        if self.weights is None:
            return -np.expm1(-hazard)
        columns = _columns(hazard, own, total, share)
        return expit(self.intercept + columns @ np.array(self.weights))

    def to_json(self) -> dict[str, Any]:
        """What ``from_json`` reads."""
        weights = None if self.weights is None else list(self.weights)
        return {"weights": weights, "intercept": self.intercept}

    @staticmethod
    def from_json(facts: dict[str, Any]) -> AnyOf:
        """The same curve, to the bit."""
        weights = facts["weights"]
        return AnyOf(None if weights is None else tuple(weights), facts["intercept"])


INDEPENDENT = AnyOf(None, 0.0)


def hazard_of(probability: Array) -> Floats:
    """-log(1 - p), finite: hazards of independent events add up."""
    return -np.log1p(-np.minimum(probability.astype(np.float64), 1 - 1e-7))


def share_of(buyers: int, customers: int) -> float:
    """Smoothed share of customers who bought one of the products lately."""
    return (buyers + 0.5) / (customers + 1)


def _columns(hazard: Floats, own: Floats, total: Floats, share: float) -> Floats:
    return np.column_stack(
        (
            np.log(hazard + 0.005),
            np.log(own + 0.05),
            np.log(total + 1),
            np.full(len(hazard), logit(share)),
        )
    )


@dataclass(frozen=True)
class Pairs:
    """What some customers may buy, and did, at a past moment.

    Attributes:
        customers: codes, ascending; ``row`` arrays below index it.
        row, product, hazard: candidates, ``[candidate]``.
    """

    customers: Ints
    row: Longs
    product: Ints
    hazard: Floats


def fit_any_of(
    moment: Moment, horizon_days: int, pairs: Pairs, truth: Truth, seed: int
) -> AnyOf:
    """The curve over categories, subcategories and drawn lists.

    Args:
        moment: at which the candidates were found.
        horizon_days: of the probabilities.
        pairs: candidates of customers whom the trees have not seen.
        truth: what was bought within the horizon.
        seed: of the draws.
    """
    sets = list(_sets(moment, seed))
    examples = _Examples(moment, horizon_days, pairs, truth)
    parts = [examples.of(products) for products in sets]
    if not parts or not len(pairs.customers):
        return INDEPENDENT
    bought = np.concatenate([part[1] for part in parts])
    if bought.sum() < FEW_BOUGHT or bought.all():
        return INDEPENDENT
    columns = np.concatenate([part[0] for part in parts])
    center, scale = columns.mean(axis=0), columns.std(axis=0)
    scale[scale == 0] = 1.0
    model = LogisticRegression(C=1e3, solver="newton-cholesky")
    with one_blas_thread():
        model.fit((columns - center) / scale, bought)
    weights = np.asarray(model.coef_, dtype=np.float64).ravel() / scale
    at_center = float(np.asarray(model.intercept_).item())
    intercept = at_center - float(weights @ center)
    return AnyOf(tuple(weights.tolist()), intercept)


def _sets(moment: Moment, seed: int) -> Generator[Ints]:
    """Product codes of every set that is learned from."""
    random = np.random.default_rng([seed, moment.cutoff_us // DAY_US, 1])
    for level in ("category", "subcategory"):
        group = moment.group_of[level]
        # Groups that nobody bought from so far say nothing.
        known = np.unique(group[(group >= 0) & (moment.shelf.buyers > 0)])
        for code in np.sort(random.permutation(known)[:MAX_GROUPS]):
            yield np.flatnonzero(group == code).astype(np.int32)
    sold = np.flatnonzero(moment.shelf.lines_84d > 0).astype(np.int32)
    weight = moment.shelf.lines_84d[sold].astype(np.float64)
    for size in LIST_SIZES:
        for _ in range(LISTS_EACH if 2 * size <= len(sold) else 0):
            p = weight / weight.sum()
            yield np.sort(random.choice(sold, size, replace=False, p=p))


class _Examples:
    """Inputs and outcomes of sets of products, for the same customers."""

    def __init__(
        self, moment: Moment, horizon_days: int, pairs: Pairs, truth: Truth
    ) -> None:
        bought = moment.pairs["product"]
        rows, self._row = rows_of(bought.offsets, pairs.customers)
        self._item, self._weight = bought.item[rows], bought.slow[rows]
        self._pairs, self._n = pairs, len(pairs.customers)
        self._total = _sums(self._row, self._weight, self._n)
        since = moment.cutoff_us - horizon_days * DAY_US
        lately = np.flatnonzero(bought.last_us >= since)
        self._late = bought.customer[lately], bought.item[lately]
        self._active, self._codes = len(moment.customers), len(bought.offsets) - 1
        buyer, product = np.divmod(truth.keys, truth.n_products)
        at = np.searchsorted(pairs.customers, buyer)
        at[at == self._n] = 0
        known = pairs.customers[at] == buyer if self._n else np.zeros(len(at), np.bool_)
        self._truth = at[known], product[known]
        self._n_products = moment.n_products

    def of(self, products: Ints) -> tuple[Floats, Bools]:
        """Columns and whether one of the products was bought, ``[customer]``."""
        inside = np.zeros(self._n_products, dtype=np.bool_)
        inside[products] = True
        pairs, n = self._pairs, self._n
        may, own = inside[pairs.product], inside[self._item]
        late = np.zeros(self._codes, dtype=np.bool_)
        late[self._late[0][inside[self._late[1]]]] = True
        bought = np.zeros(n, dtype=np.bool_)
        bought[self._truth[0][inside[self._truth[1]]]] = True
        columns = _columns(
            _sums(pairs.row[may], pairs.hazard[may], n),
            _sums(self._row[own], self._weight[own], n),
            self._total,
            share_of(int(late.sum()), self._active),
        )
        return columns, bought


def _sums(row: Longs, weight: Array, n: int) -> Floats:
    # Without any row, counts are whole numbers.
    return np.bincount(row, weight, n).astype(np.float64)


def join_pairs(customers: Ints, parts: Sequence[tuple[Ints, Ints, Array]]) -> Pairs:
    """Candidates of several chunks: customer, product and probability of each."""
    none = (np.zeros(0, np.int32), np.zeros(0, np.int32), np.zeros(0, np.float32))
    columns = [np.concatenate(column) for column in zip(none, *parts, strict=True)]
    customer, product, chance = columns
    return Pairs(
        customers, np.searchsorted(customers, customer), product, hazard_of(chance)
    )
