"""Generators: what each way of recommending would offer to whom.

Every generator is fitted on a ``Moment`` and answers with scores of its items
for some customers. Alone it is a baseline; together their best items are the
candidates of the ranker.

Sources: ALS on implicit feedback, Hu, Koren and Volinsky 2008; the closed-form
item-to-item model, Steck 2019 (EASE), on decayed counts.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Protocol

import numpy as np
import numpy.typing as npt
import scipy.linalg
import scipy.sparse as sp
from implicit.cpu.als import AlternatingLeastSquares
from numba import njit

from features.config import RecommendConfig
from features.history import Bools, Ints, Longs
from features.pairs import Singles
from training.moment import Moment

SOURCES = ("own history", "taste", "co-purchase", "group", "popular")
"""Names of the generators; ``source`` arrays index into it."""

OWN, TASTE, CO_PURCHASE, GROUP, POPULAR = range(len(SOURCES))


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
class Taste:
    """ALS factors; bought items are allowed.

    Attributes:
        users: factors, ``[customer code, factor]``, zero where inactive.
        factors: factors of ``items``, ``[item, factor]``.
    """

    items: Ints
    users: Singles
    factors: Singles
    name: str = SOURCES[TASTE]

    def scores(self, customers: Ints) -> Singles:
        """See ``Generator``."""
        return self.users[customers] @ self.factors.T


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
        return self.taken[customers].toarray() @ self.weights


@dataclass(frozen=True)
class Group:
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
    name: str = SOURCES[GROUP]

    def scores(self, customers: Ints) -> Singles:
        """See ``Generator``."""
        return self.needs[customers].toarray()[:, self.group] * self.share


@dataclass(frozen=True)
class Popular:
    """Purchased lines of the last 28 days, the same for everyone."""

    items: Ints
    lines: Singles
    name: str = SOURCES[POPULAR]

    def scores(self, customers: Ints) -> Singles:
        """See ``Generator``."""
        return np.broadcast_to(self.lines, (len(customers), len(self.items))).copy()


def fit_generators(
    moment: Moment, config: RecommendConfig, seed: int
) -> tuple[Generator, ...]:
    """All generators at a moment, in the order of ``SOURCES``."""
    shelf = moment.shelf
    warm = np.flatnonzero(shelf.buyers >= config.min_buyers).astype(np.int32)
    # Ties go to the lower code, that is, the lower product id.
    busiest = np.lexsort((warm, -shelf.lines_84d[warm]))[: config.co_purchase_items]
    return (
        OwnHistory(moment, np.unique(moment.pairs["product"].item)),
        fit_taste(moment, warm, config, seed),
        fit_co_purchase(moment, np.sort(warm[busiest]), config),
        fit_group(moment, warm),
        Popular(warm, shelf.lines_28d[warm]),
    )


def fit_taste(moment: Moment, items: Ints, config: RecommendConfig, seed: int) -> Taste:
    """ALS on decayed log counts of active customers and the given items.

    Customers without any of the items keep zero factors: their scores tie.
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
            num_threads=1,
        )
        model.fit(counts, show_progress=False)
        users[moment.customers] = np.asarray(model.user_factors)
        factors = np.asarray(model.item_factors)
    return Taste(items, users, factors)


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


def fit_group(moment: Moment, items: Ints) -> Group:
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
    return Group(known, needs, group_of[known], share.astype(np.float32))


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


@dataclass(frozen=True)
class Candidates:
    """Union of the generators' best, ordered by customer, seen before new.

    Attributes:
        customer, product: codes, shape ``[row]``.
        pair: row in the moment's product pairs; -1: never bought.
        place: 0-based rank by own history; -1: never bought.
        source: generator that ranked it best, an index into ``SOURCES``.
        scores: one row per generator after own history, ``[generator, row]``;
            NaN: the generator does not score the product.
    """

    customer: Ints
    product: Ints
    pair: Longs
    place: Ints
    source: npt.NDArray[np.int8]
    scores: Singles

    @property
    def is_new(self) -> Bools:
        """Never bought by the customer, shape ``[row]``."""
        return self.pair < 0

    def take(self, keep: Bools) -> Candidates:
        """The same candidates, only the rows to keep."""
        return Candidates(
            self.customer[keep],
            self.product[keep],
            self.pair[keep],
            self.place[keep],
            self.source[keep],
            self.scores[:, keep],
        )


def candidates(
    moment: Moment,
    generators: Sequence[Generator],
    customers: Ints,
    config: RecommendConfig,
) -> Candidates:
    """Candidates of some active customers.

    The best ``again_candidates`` by own history, and the best
    ``new_candidates`` of every other generator among the never bought.
    """
    pairs = moment.pairs["product"]
    again = _best_pairs(pairs.offsets, pairs.slow, customers, config.again_candidates)
    dense = [generator.scores(customers) for generator in generators[1:]]
    best = np.full((len(dense), len(customers), config.new_candidates), -1, np.int32)
    for i, (generator, scores) in enumerate(zip(generators[1:], dense, strict=True)):
        unseen = scores.copy()
        _hide_bought(unseen, generator.items, pairs.offsets, pairs.item, customers)
        codes = top_items(unseen, config.new_candidates)
        best[i] = np.where(codes >= 0, generator.items[codes], -1)
    row, product, pair, place, source = _union(
        again, pairs.item, best, moment.n_products
    )
    scores = np.full((len(dense), len(row)), np.nan, dtype=np.float32)
    for i, (generator, values) in enumerate(zip(generators[1:], dense, strict=True)):
        at = np.searchsorted(generator.items, product)
        at[at == len(generator.items)] = 0
        known = generator.items[at] == product
        scores[i, known] = values[row[known], at[known]]
    return Candidates(customers[row], product, pair, place, source, scores)


def best_of(
    generator: Generator, moment: Moment, customers: Ints, n: int, *, unseen: bool
) -> Ints:
    """The generator alone: its best ``n`` products, ``[customer, n]``, -1: none.

    Args:
        generator: fitted at the same moment.
        moment: tells what was bought.
        customers: codes of active customers.
        n: length of the lists.
        unseen: leave out what the customer bought before.
    """
    pairs = moment.pairs["product"]
    lists = np.full((len(customers), n), -1, dtype=np.int32)
    for start in range(0, len(customers), CHUNK):
        some = customers[start : start + CHUNK]
        scores = generator.scores(some)
        if unseen:
            _hide_bought(scores, generator.items, pairs.offsets, pairs.item, some)
        codes = top_items(scores, n)
        lists[start : start + CHUNK] = np.where(codes >= 0, generator.items[codes], -1)
    return lists


CHUNK = 256
"""Customers scored at once: bounds the memory of dense scores."""


def rows_of(offsets: Longs, customers: Ints) -> tuple[Longs, Longs]:
    """Rows of some customers in a CSR, and the position of each row's customer."""
    sizes = offsets[customers + 1] - offsets[customers]
    row_of = np.repeat(np.arange(len(customers)), sizes)
    within = np.arange(len(row_of)) - np.repeat(np.cumsum(sizes) - sizes, sizes)
    return offsets[customers][row_of] + within, row_of


@njit(cache=True)  # pyright: ignore[reportUntypedFunctionDecorator]
def top_items(scores: Any, n: int) -> Any:
    """Columns of the best ``n`` scores per row, best first, ties to the lower.

    Returns:
        int32, ``[row, n]``, -1 where fewer scores are finite.
    """
    rows, columns = scores.shape
    best = np.full((rows, n), -1, dtype=np.int32)
    for row in range(rows):
        kept = 0
        for column in range(columns):
            value = scores[row, column]
            if not np.isfinite(value):
                continue
            if kept == n and value <= scores[row, best[row, n - 1]]:
                continue
            at = kept if kept < n else n - 1
            while at > 0 and scores[row, best[row, at - 1]] < value:
                best[row, at] = best[row, at - 1]
                at -= 1
            best[row, at] = column
            kept = min(kept + 1, n)
    return best


@njit(cache=True)  # pyright: ignore[reportUntypedFunctionDecorator]
def _hide_bought(
    scores: Any, items: Any, offsets: Any, bought: Any, customers: Any
) -> None:
    """Set bought items to -inf, in place; both item lists ascend."""
    for row in range(len(customers)):
        column = 0
        for pair in range(offsets[customers[row]], offsets[customers[row] + 1]):
            while column < len(items) and items[column] < bought[pair]:
                column += 1
            if column < len(items) and items[column] == bought[pair]:
                scores[row, column] = -np.inf


@njit(cache=True)  # pyright: ignore[reportUntypedFunctionDecorator]
def _best_pairs(offsets: Any, slow: Any, customers: Any, n: int) -> Any:
    """Pair rows of each customer's best by own history, -1: fewer."""
    best = np.full((len(customers), n), -1, dtype=np.int64)
    for row in range(len(customers)):
        start, end = offsets[customers[row]], offsets[customers[row] + 1]
        order = np.argsort(-slow[start:end], kind="mergesort")[:n]
        for rank in range(len(order)):
            best[row, rank] = start + order[rank]
    return best


@njit(cache=True)  # pyright: ignore[reportUntypedFunctionDecorator]
def _union(again: Any, bought: Any, best: Any, n_products: int) -> Any:
    """Join lists: own pairs first, then new products by rank, each once."""
    customers, own = again.shape
    generators, _, n = best.shape
    limit = customers * (own + generators * n)
    row = np.empty(limit, dtype=np.int64)
    product = np.empty(limit, dtype=np.int32)
    pair = np.empty(limit, dtype=np.int64)
    place = np.full(limit, -1, dtype=np.int32)
    source = np.zeros(limit, dtype=np.int8)
    stamp = np.full(n_products, -1, dtype=np.int64)
    size = 0
    for customer in range(customers):
        for rank in range(own):
            if again[customer, rank] < 0:
                break
            row[size] = customer
            pair[size] = again[customer, rank]
            product[size] = bought[again[customer, rank]]
            place[size] = rank
            size += 1
        # Rank by rank: the generator that ranks a product best is its source.
        for rank in range(n):
            for generator in range(generators):
                code = best[generator, customer, rank]
                if code >= 0 and stamp[code] != customer:
                    stamp[code] = customer
                    row[size] = customer
                    product[size] = code
                    pair[size] = -1
                    source[size] = generator + 1
                    size += 1
    return row[:size], product[:size], pair[:size], place[:size], source[:size]
