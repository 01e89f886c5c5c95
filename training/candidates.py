"""Candidates of the ranker: the union of what the generators would offer."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import Any, TypeVar

import numpy as np
import numpy.typing as npt
from numba import njit

from features.config import RecommendConfig
from features.history import Bools, Ints, Longs
from features.pairs import Singles
from training.generators.fitted import Generators
from training.generators.generator import Generator, codes_of, one_blas_thread
from training.moment import Moment
from training.tops import top_unseen

CHUNK = 256
"""Customers scored at once: bounds the memory of dense scores."""

Part = TypeVar("Part")


@dataclass(frozen=True)
class Candidates:
    """Union of the generators' best, ordered by customer, seen before new.

    Attributes:
        customer, product: codes, shape ``[row]``.
        pair: row in the moment's product pairs; -1: never bought.
        place: 0-based rank by own history; -1: never bought.
        source: generator that ranked it best, an index into ``SOURCES``.
        scores: one row per generator after own history, ``[generator, row]``;
            NaN: the generator has no opinion of the product.
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
    generators: Generators,
    customers: Ints,
    config: RecommendConfig,
    pool: Bools | None = None,
) -> Candidates:
    """Candidates of some active customers.

    The best ``again_candidates`` by own history, and the best
    ``new_candidates`` of every other generator among the never bought.

    Args:
        generators: fitted at one moment.
        customers: codes, ascending.
        config: numbers of candidates.
        pool: products that may be offered, ``[product]``; None: every product.
    """
    moment = generators.moment
    pairs = moment.pairs["product"]
    if pool is None:
        pool = np.ones(moment.n_products, dtype=np.bool_)
    again, places = _best_pairs(
        pairs.offsets, pairs.slow, pairs.item, pool, customers, config.again_candidates
    )
    _, *others = generators
    dense = [generator.scores(customers) for generator in others]
    best = np.full((len(dense), len(customers), config.new_candidates), -1, np.int32)
    for i, (generator, scores) in enumerate(zip(others, dense, strict=True)):
        columns = top_unseen(
            scores,
            generator.items,
            pairs.offsets,
            pairs.item,
            customers,
            pool,
            config.new_candidates,
        )
        best[i] = codes_of(generator.items, columns)
    row, product, pair, place, source = _union(
        again, places, pairs.item, best, moment.n_products
    )
    scores = _scores_of(others, dense, row, product)
    return Candidates(customers[row], product, pair, place, source, scores)


def in_chunks(
    work: Callable[[Ints], Part], customers: Ints, threads: int
) -> list[Part]:
    """The work of every ``CHUNK`` customers, in their order, side by side.

    Args:
        work: of some customers; called by several threads at once.
        customers: codes.
        threads: how many at once.
    """
    chunks = [customers[at : at + CHUNK] for at in range(0, len(customers), CHUNK)]
    with one_blas_thread(), ThreadPoolExecutor(threads) as pool:
        return list(pool.map(work, chunks))


def _scores_of(
    others: Sequence[Generator], dense: Sequence[Singles], row: Longs, product: Ints
) -> Singles:
    """Every generator's score of every candidate, ``[generator, row]``."""
    scores = np.full((len(dense), len(row)), np.nan, dtype=np.float32)
    for i, (generator, values) in enumerate(zip(others, dense, strict=True)):
        if not len(generator.items):
            continue
        at = np.searchsorted(generator.items, product)
        at[at == len(generator.items)] = 0
        known = generator.items[at] == product
        scores[i, known] = values[row[known], at[known]]
    scores[np.isneginf(scores)] = np.nan
    return scores


def own_candidates(moment: Moment, customers: Ints, n: int) -> Ints:
    """The products that own history hands to the ranker, best first.

    Returns:
        Codes, ``[customer, n or fewer]``, -1: none.
    """
    pairs = moment.pairs["product"]
    pool = np.ones(moment.n_products, dtype=np.bool_)
    best, _ = _best_pairs(pairs.offsets, pairs.slow, pairs.item, pool, customers, n)
    return np.where(best < 0, np.int32(-1), pairs.item[best]).astype(np.int32)


@njit(cache=True, nogil=True)  # pyright: ignore[reportUntypedFunctionDecorator]
def _best_pairs(
    offsets: Any, slow: Any, bought: Any, pool: Any, customers: Any, n: int
) -> Any:
    """Each customer's best of the pool by own history.

    Returns:
        Pair rows, -1: fewer, and their places among all that was bought.
    """
    widest = 0
    for row in range(len(customers)):
        widest = max(widest, offsets[customers[row] + 1] - offsets[customers[row]])
    best = np.full((len(customers), min(n, widest)), -1, dtype=np.int64)
    place = np.full(best.shape, -1, dtype=np.int32)
    for row in range(len(customers)):
        start, end = offsets[customers[row]], offsets[customers[row] + 1]
        order = np.argsort(-slow[start:end], kind="mergesort")
        kept = 0
        for rank in range(len(order)):
            if kept == n:
                break
            pair = start + order[rank]
            if pool[bought[pair]]:
                best[row, kept] = pair
                place[row, kept] = rank
                kept += 1
    return best, place


@njit(cache=True, nogil=True)  # pyright: ignore[reportUntypedFunctionDecorator]
def _union(again: Any, places: Any, bought: Any, best: Any, n_products: int) -> Any:
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
            place[size] = places[customer, rank]
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
