"""Best sellers: of the shop, and of the segment to which the customer belongs."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property

import numpy as np
import scipy.sparse as sp

from features.config import RecommendConfig
from features.history import Ints
from features.pairs import Singles
from features.segments import segments_at
from features.snapshot import DAY_US
from training.generators.generator import columns_of
from training.moment import Moment

MAX_SEGMENTS = 256
"""The largest ones have best sellers of their own."""


@dataclass(frozen=True)
class Popularity:
    """Purchased lines of the last 28 days, the same for everyone.

    Every product sold in them is scored, however few bought it.
    """

    items: Ints
    lines: Singles
    name: str = "popularity"

    def scores(self, customers: Ints) -> Singles:
        """See ``Generator``."""
        return np.broadcast_to(self.lines, (len(customers), len(self.items))).copy()


def fit_popularity(moment: Moment) -> Popularity:
    """What sold in the last 28 days."""
    lines = moment.shelf.lines_28d
    sold = np.flatnonzero(lines > 0).astype(np.int32)
    return Popularity(sold, lines[sold])


@dataclass(frozen=True)
class SegmentPopularity:
    """Share of the sales of the customer's segments.

    Attributes:
        belongs: how far each customer is of each segment, sparse
            ``[customer code, segment]``; rows sum to 1, or to 0: of none.
        share: share of the segment's purchased lines, ``[segment, item]``; drawn
            towards the shop's where the segment sells little.
        words: text of each segment, with what tells segments apart.
    """

    items: Ints
    belongs: sp.csr_matrix
    share: Singles
    words: tuple[str, ...]
    name: str = "segment popularity"

    @cached_property
    def largest(self) -> Ints:
        """The segment of which a customer is most, ``[customer code]``, -1: none."""
        known = self.belongs.tocoo()
        order = np.lexsort((-known.col, known.data, known.row))
        best = np.full(len(self.belongs.indptr) - 1, -1, dtype=np.int32)
        best[known.row[order]] = known.col[order]
        return best

    def scores(self, customers: Ints) -> Singles:
        """See ``Generator``."""
        belongs = self.belongs[customers]
        out = np.asarray(belongs @ self.share, dtype=np.float32)
        out[np.diff(belongs.indptr) == 0] = -np.inf
        return out


def fit_segment_popularity(
    moment: Moment, config: RecommendConfig
) -> SegmentPopularity:
    """Lines of the last ``segment_days`` by segment.

    Args:
        moment: history at the cutoff.
        config: ``segment_by`` names the segments, ``segment_lines`` is how many
            lines at the shop's shares stand against the segment's own.
    """
    history, cutoff_us = moment.history, moment.cutoff_us
    segments = segments_at(history, cutoff_us, config.segment_by, MAX_SEGMENTS)
    events = history.purchases
    late = events.ts >= cutoff_us - config.segment_days * DAY_US
    rows = np.flatnonzero(events.before(cutoff_us) & events.bought & late)
    product = events.columns["product"][rows]
    items = np.unique(product).astype(np.int32)
    if not segments.belongs.nnz or not len(items):
        nobody = sp.csr_matrix((len(history.customers), 1), dtype=np.float32)
        none = np.zeros(0, dtype=np.int32)
        return SegmentPopularity(none, nobody, np.zeros((1, 0), np.float32), ())
    column = columns_of(items, moment.n_products)[product]
    sold = segments.lines(history, rows, column, len(items))
    shop = np.bincount(column, minlength=len(items)) / len(rows)
    total = sold.sum(axis=1, keepdims=True) + config.segment_lines
    share = (sold + config.segment_lines * shop) / total
    kind = config.segment_by.replace("_", " ")
    words = tuple(f"{kind}, {word}" for word in segments.words)
    return SegmentPopularity(items, segments.belongs, share.astype(np.float32), words)
