"""Generators: what each way of recommending would offer to whom.

Every generator is fitted on a ``Moment`` and answers with scores of its items
for some customers. Alone it is a baseline; together their best items are the
candidates of the ranker.

Sources: ALS on implicit feedback, Hu, Koren and Volinsky 2008; the closed-form
item-to-item model, Steck 2019 (EASE), on decayed counts.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import AbstractContextManager
from dataclasses import dataclass
from typing import Protocol

import numpy as np
import scipy.linalg
import scipy.sparse as sp
from implicit.cpu.als import AlternatingLeastSquares
from threadpoolctl import threadpool_limits

from features.config import RecommendConfig
from features.history import Ints, Longs
from features.pairs import Singles
from training.moment import Moment

SOURCES = ("own history", "ALS", "co-purchase", "category", "popularity")
"""Names of the generators; ``source`` arrays index into it."""

OWN, ALS, CO_PURCHASE, CATEGORY, POPULARITY = range(len(SOURCES))


class Generator(Protocol):
    """A fitted way of recommending.

    Attributes:
        name: one of ``SOURCES``.
        items: product codes that it scores, ascending, shape ``[item]``.
    """

    @property
    def name(self) -> str: ...  # noqa: D102

    @property
    def items(self) -> Ints: ...  # noqa: D102

    def scores(self, customers: Ints) -> Singles:
        """Scores, ``[customer, item]``; higher is better, -inf: no opinion."""
        ...


@dataclass(frozen=True)
class OwnHistory:
    """What the customer bought, by count with a 60-day half-life."""

    moment: Moment
    items: Ints
    name: str = SOURCES[OWN]

    def scores(self, customers: Ints) -> Singles:
        """See ``Generator``."""
        pairs = self.moment.pairs["product"]
        out = np.full((len(customers), len(self.items)), -np.inf, dtype=np.float32)
        rows, row_of = rows_of(pairs.offsets, customers)
        out[row_of, np.searchsorted(self.items, pairs.item[rows])] = pairs.slow[rows]
        return out


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
    name: str = SOURCES[ALS]

    def scores(self, customers: Ints) -> Singles:
        """See ``Generator``."""
        users = self.users[customers]
        out = users @ self.factors.T
        out[~users.any(axis=1)] = -np.inf
        return out


@dataclass(frozen=True)
class CoPurchase:
    """Item-to-item weights, applied to what the customer bought.

    Attributes:
        taken: decayed log counts, sparse ``[customer code, item]``.
        weights: what a purchase of the row says for the column,
            ``[item, item]``, zero diagonal.
    """

    items: Ints
    taken: sp.csr_matrix
    weights: Singles
    name: str = SOURCES[CO_PURCHASE]

    def scores(self, customers: Ints) -> Singles:
        """See ``Generator``."""
        out = self.taken[customers].toarray() @ self.weights
        # Nothing bought speaks for or against it.
        out[out == 0] = -np.inf
        return out


@dataclass(frozen=True)
class Category:
    """Best sellers of the groups in which the customer buys.

    Attributes:
        needs: decayed orders, sparse ``[customer code, group]``.
        group: group of each item, ``[item]``.
        share: share of the item in its group's sales, ``[item]``.
    """

    items: Ints
    needs: sp.csr_matrix
    group: Ints
    share: Singles
    name: str = SOURCES[CATEGORY]

    def scores(self, customers: Ints) -> Singles:
        """See ``Generator``."""
        out = self.needs[customers].toarray()[:, self.group] * self.share
        out[out == 0] = -np.inf
        return out


@dataclass(frozen=True)
class Popularity:
    """Purchased lines of the last 28 days, the same for everyone.

    Every product sold in them is scored, however few bought it.
    """

    items: Ints
    lines: Singles
    name: str = SOURCES[POPULARITY]

    def scores(self, customers: Ints) -> Singles:
        """See ``Generator``."""
        return np.broadcast_to(self.lines, (len(customers), len(self.items))).copy()


@dataclass(frozen=True)
class Generators:
    """All generators, fitted at one moment."""

    moment: Moment
    own: OwnHistory
    als: Factors
    co_purchase: CoPurchase
    category: Category
    popularity: Popularity

    def __iter__(self) -> Iterator[Generator]:
        """In the order of ``SOURCES``."""
        yield from (
            self.own,
            self.als,
            self.co_purchase,
            self.category,
            self.popularity,
        )


def fit_generators(moment: Moment, config: RecommendConfig, seed: int) -> Generators:
    """All generators at a moment, to the bit for the same seed."""
    shelf = moment.shelf
    warm = _warm(shelf.buyers, config)
    sold = np.flatnonzero(shelf.lines_28d > 0).astype(np.int32)
    # Ties go to the lower code, that is, the lower product id.
    busiest = np.lexsort((warm, -shelf.lines_84d[warm]))[: config.co_purchase_items]
    with one_blas_thread():
        return Generators(
            moment,
            OwnHistory(moment, np.unique(moment.pairs["product"].item)),
            fit_als(moment, warm, config, seed),
            fit_co_purchase(moment, np.sort(warm[busiest]), config),
            fit_category(moment, warm),
            Popularity(sold, shelf.lines_28d[sold]),
        )


def _warm(buyers: Singles, config: RecommendConfig) -> Ints:
    """Products that enough customers bought to be told apart from chance, by code.

    Where fewer than ``new_candidates`` products have ``min_buyers``, the bar
    falls until so many pass: a small shop has something new to offer too.
    """
    bar = np.sort(buyers)[::-1][: config.new_candidates].min(initial=config.min_buyers)
    return np.flatnonzero(buyers >= max(bar, 1)).astype(np.int32)


def one_blas_thread() -> AbstractContextManager[object]:
    """A block in which matrix products run on one thread.

    More would add in another order, and stand in the way of ALS's own threads.
    """
    return threadpool_limits(1, "blas")


def fit_als(moment: Moment, items: Ints, config: RecommendConfig, seed: int) -> Factors:
    """ALS on decayed log counts of active customers and the given items.

    Customers without any of the items keep zero factors: no opinion.
    """
    counts = _counts(moment, items)[moment.customers]
    users = np.zeros((len(moment.history.customers), config.factors), np.float32)
    factors = np.zeros((len(items), config.factors), np.float32)
    if counts.nnz:
        model = AlternatingLeastSquares(
            factors=config.factors,
            iterations=config.als_iterations,
            regularization=config.als_regularization,
            alpha=config.als_alpha,
            random_state=seed,
            num_threads=config.threads,
        )
        model.fit(counts, show_progress=False)
        users[moment.customers] = np.asarray(model.user_factors)
        factors = np.asarray(model.item_factors)
    return Factors(items, users, factors)


def fit_co_purchase(moment: Moment, items: Ints, config: RecommendConfig) -> CoPurchase:
    """Closed-form item-to-item weights: ``I - P / diag(P)``.

    ``P`` is the inverse of the items' Gram matrix over customers, with
    ``co_purchase_ridge`` added to its diagonal.
    """
    taken = _counts(moment, items)
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
    return CoPurchase(items, taken, weights)


def fit_category(moment: Moment, items: Ints) -> Category:
    """Share of each item in its subcategory, and each customer's needs."""
    group_of = moment.group_of["subcategory"]
    known = items[group_of[items] >= 0]
    lines = moment.shelf.lines_28d
    n_groups = int(group_of.max(initial=-1)) + 1
    pairs = moment.pairs["subcategory"]
    totals = np.bincount(group_of[known], lines[known], minlength=n_groups)
    share = lines[known] / np.maximum(totals, 1.0)[group_of[known]]
    needs = sp.csr_matrix(
        (pairs.slow, pairs.item, pairs.offsets),
        shape=(len(moment.history.customers), n_groups),
    )
    return Category(known, needs, group_of[known], share.astype(np.float32))


def _counts(moment: Moment, items: Ints) -> sp.csr_matrix:
    """Decayed log counts of every customer code, ``[customer, item]``."""
    pairs = moment.pairs["product"]
    column = np.full(moment.n_products, -1, dtype=np.int32)
    column[items] = np.arange(len(items), dtype=np.int32)
    keep = column[pairs.item] >= 0
    values = np.log1p(pairs.slow[keep])
    return sp.csr_matrix(
        (values, (pairs.customer[keep], column[pairs.item[keep]])),
        shape=(len(moment.history.customers), len(items)),
    )


def codes_of(items: Ints, columns: Ints) -> Ints:
    """Product codes of columns; -1 stays -1."""
    return np.append(items, np.int32(-1))[columns]


def rows_of(offsets: Longs, customers: Ints) -> tuple[Longs, Longs]:
    """Rows of some customers in a CSR, and the position of each row's customer."""
    sizes = offsets[customers + 1] - offsets[customers]
    row_of = np.repeat(np.arange(len(customers)), sizes)
    within = np.arange(len(row_of)) - np.repeat(np.cumsum(sizes) - sizes, sizes)
    return offsets[customers][row_of] + within, row_of
