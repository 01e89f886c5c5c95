"""All generators, fitted at one moment."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np

from features.config import RecommendConfig
from features.history import Ints
from features.pairs import Singles
from features.segments import SegmentCounts
from training.generators.als import Factors, fit_als
from training.generators.co_purchase import CoPurchase, fit_co_purchase
from training.generators.generator import Generator, one_blas_thread
from training.generators.looked_at import LookedAt, fit_looked_at
from training.generators.neighbours import Neighbours, fit_neighbours
from training.generators.novelties import (
    Arrivals,
    Trending,
    fit_arrivals,
    fit_trending,
)
from training.generators.own_history import OwnHistory, fit_own_history
from training.generators.popularity import (
    Popularity,
    SegmentPopularity,
    fit_popularity,
    fit_segment_popularity,
)
from training.generators.successors import Successors, fit_successors
from training.moment import Moment

SOURCES = (
    "own history",
    "ALS",
    "similar customers",
    "co-purchase",
    "category",
    "looked at",
    "segment popularity",
    "trending",
    "new arrivals",
    "popularity",
)
"""Names of the generators; ``source`` arrays index into it."""

(
    OWN,
    ALS,
    NEIGHBOURS,
    CO_PURCHASE,
    CATEGORY,
    LOOKED_AT,
    SEGMENT,
    TRENDING,
    ARRIVALS,
    POPULARITY,
) = range(len(SOURCES))


@dataclass(frozen=True)
class Generators:
    """All generators, fitted at one moment."""

    moment: Moment
    own: OwnHistory
    als: Factors
    neighbours: Neighbours
    co_purchase: CoPurchase
    category: Successors
    looked_at: LookedAt
    segment: SegmentPopularity
    trending: Trending
    arrivals: Arrivals
    popularity: Popularity

    def at(self, moment: Moment) -> Generators:
        """The same for the customers of another moment of the same cutoff.

        What is learned from many (factors, weights, neighbours, best sellers) stays,
        what is each customer's own is taken from the moment.
        """
        return Generators(
            moment,
            self.own.at(moment),
            self.als.at(moment),
            self.neighbours.at(moment),
            self.co_purchase.at(moment),
            self.category.at(moment),
            self.looked_at.at(moment),
            self.segment.at(moment),
            self.trending.at(moment),
            self.arrivals.at(moment),
            self.popularity.at(moment),
        )

    def __iter__(self) -> Iterator[Generator]:
        """In the order of ``SOURCES``."""
        yield from (
            self.own,
            self.als,
            self.neighbours,
            self.co_purchase,
            self.category,
            self.looked_at,
            self.segment,
            self.trending,
            self.arrivals,
            self.popularity,
        )


def fit_generators(
    moment: Moment,
    config: RecommendConfig,
    seed: int,
    segments: SegmentCounts | None = None,
) -> Generators:
    """All generators at a moment, to the bit for the same seed.

    Args:
        moment: of the customers who are learned from.
        config: of the recommender.
        seed: of every draw.
        segments: of all customers; None: those of the moment are all.
    """
    shelf = moment.shelf
    warm = _warm(shelf.buyers, config)
    # Ties go to the lower code, that is, the lower product id.
    busiest = np.lexsort((warm, -shelf.lines_84d[warm]))[: config.co_purchase_items]
    with one_blas_thread():
        return Generators(
            moment,
            fit_own_history(moment),
            fit_als(moment, warm, config, seed),
            fit_neighbours(moment, warm, config, seed),
            fit_co_purchase(moment, np.sort(warm[busiest]), config),
            fit_successors(moment, warm, config, seed),
            fit_looked_at(moment, config),
            fit_segment_popularity(moment, config, segments),
            fit_trending(moment),
            fit_arrivals(moment, config),
            fit_popularity(moment),
        )


def _warm(buyers: Singles, config: RecommendConfig) -> Ints:
    """Products that enough customers bought to be told apart from chance, by code.

    Where fewer than ``new_candidates`` products have ``min_buyers``, the bar
    falls until so many pass: a small shop has something new to offer too.
    """
    bar = np.sort(buyers)[::-1][: config.new_candidates].min(initial=config.min_buyers)
    return np.flatnonzero(buyers >= max(bar, 1)).astype(np.int32)
