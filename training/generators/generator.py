"""What every generator is: fitted at a moment, asked for scores of its items."""

from __future__ import annotations

from contextlib import AbstractContextManager
from typing import Protocol

import numpy as np
import scipy.sparse as sp
from threadpoolctl import threadpool_limits

from features.config import RecommendConfig
from features.history import Ints, Longs
from features.pairs import Singles
from features.samples import lots
from training.moment import Moment


class Generator(Protocol):
    """A fitted way of recommending.

    Attributes:
        name: one of ``fitted.SOURCES``.
        items: product codes that it scores, ascending, shape ``[item]``.
    """

    @property
    def name(self) -> str: ...  # noqa: D102

    @property
    def items(self) -> Ints: ...  # noqa: D102

    def at(self, moment: Moment) -> Generator:
        """The same for the customers of another moment of the same cutoff."""
        ...

    def scores(self, customers: Ints) -> Singles:
        """Scores, ``[customer, item]``; higher is better, -inf: no opinion.

        The array is the caller's to change.
        """
        ...


def one_blas_thread() -> AbstractContextManager[object]:
    """A block in which matrix products run on one thread.

    More would add in another order, and stand in the way of ALS's own threads.
    """
    return threadpool_limits(1, "blas")


def taken_by(moment: Moment, items: Ints) -> sp.csr_matrix:
    """Decayed log counts of what was bought, ``[customer code, item]``."""
    pairs = moment.pairs["product"]
    column = columns_of(items, moment.n_products)[pairs.item]
    keep = column >= 0
    return sp.csr_matrix(
        (np.log1p(pairs.slow[keep]), (pairs.customer[keep], column[keep])),
        shape=(len(moment.history.customers), len(items)),
    )


def columns_of(items: Ints, n_products: int) -> Ints:
    """Column of every product code among the items, -1: none, ``[product]``."""
    column = np.full(n_products, -1, dtype=np.int32)
    column[items] = np.arange(len(items), dtype=np.int32)
    return column


def drawn(moment: Moment, most: int, seed: int) -> Ints:
    """Active customers, ascending; of more than ``most``, as many drawn by their ids."""
    if len(moment.customers) <= most:
        return moment.customers
    lot = lots(moment.history.customers[moment.customers], seed)
    return np.sort(moment.customers[np.argsort(lot, kind="stable")[:most]])


def interest_of(moment: Moment, config: RecommendConfig) -> Singles:
    """Weight of every row of ``moment.interest``, where a purchase has 1."""
    interest = moment.interest
    weight = (
        config.view_weight * interest.views
        + config.cart_weight * interest.carts
        + config.inquiry_weight * interest.inquiries
    )
    return weight.astype(np.float32)


def codes_of(items: Ints, columns: Ints) -> Ints:
    """Product codes of columns; -1 stays -1."""
    return np.append(items, np.int32(-1))[columns]


def silent_where_zero(scores: Singles) -> Singles:
    """The same array: where nothing speaks for or against, no opinion."""
    scores[scores == 0] = -np.inf
    return scores


def rows_of(offsets: Longs, customers: Ints) -> tuple[Longs, Longs]:
    """Rows of some customers in a CSR, and the position of each row's customer."""
    sizes = offsets[customers + 1] - offsets[customers]
    row_of = np.repeat(np.arange(len(customers)), sizes)
    within = np.arange(len(row_of)) - np.repeat(np.cumsum(sizes) - sizes, sizes)
    return offsets[customers][row_of] + within, row_of
