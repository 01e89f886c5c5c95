"""Best sellers: of the shop, and of the segment to which the customer belongs."""

from __future__ import annotations

from dataclasses import dataclass, replace
from functools import cached_property

import numpy as np
import scipy.sparse as sp

from features.config import RecommendConfig
from features.contracts import SegmentBy
from features.history import History, Ints
from features.pairs import Singles
from features.segments import SegmentCounts, Words, belongs_at, segment_counts
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

    def at(self, moment: Moment) -> Popularity:  # noqa: ARG002
        """The same for everyone."""
        return self

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
        by: what tells segments apart.
        segments: text of each.
    """

    items: Ints
    belongs: sp.csr_matrix
    share: Singles
    by: SegmentBy
    segments: Words
    name: str = "segment popularity"

    @property
    def words(self) -> Words:
        """Text of each segment, with what tells segments apart."""
        kind = self.by.replace("_", " ")
        return tuple(f"{kind}, {word}" for word in self.segments)

    def at(self, moment: Moment) -> SegmentPopularity:
        """For the customers of a moment."""
        belongs = belongs_at(moment.history, moment.cutoff_us, self.by, self.segments)
        return replace(self, belongs=belongs)

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
    moment: Moment, config: RecommendConfig, counts: SegmentCounts | None = None
) -> SegmentPopularity:
    """Lines of the last ``segment_days`` by segment.

    Args:
        moment: history at the cutoff.
        config: ``segment_by`` names the segments, ``segment_lines`` is how many
            lines at the shop's shares stand against the segment's own.
        counts: of all customers at the cutoff; None: those of the moment are all.
    """
    if counts is None:
        counts = segment_counts_at(moment.history, moment.cutoff_us, config)
    counts = counts.largest(MAX_SEGMENTS)
    items = np.flatnonzero(counts.shop > 0).astype(np.int32)
    if not len(counts.words):
        items = items[:0]
    shop = counts.shop[items] / max(counts.shop.sum(), 1.0)
    sold = counts.sold.toarray()[:, items]
    total = sold.sum(axis=1, keepdims=True) + config.segment_lines
    # Without a sale of its own and without the shop's a segment has no shares.
    share = (sold + config.segment_lines * shop) / np.where(total > 0, total, 1.0)
    nobody = sp.csr_matrix((0, len(counts.words)), dtype=np.float32)
    return SegmentPopularity(
        items, nobody, share.astype(np.float32), config.segment_by, counts.words
    ).at(moment)


def segment_counts_at(
    history: History, cutoff_us: int, config: RecommendConfig
) -> SegmentCounts:
    """``segment_counts`` as the settings tell segments apart."""
    return segment_counts(history, cutoff_us, config.segment_by, config.segment_days)
