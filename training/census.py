"""All customers of a shop, counted at one cutoff: what its products and segments sell.

Models learn from some customers; what a product sells must be told of all. Groups of
customers add up, so a shop of any size is counted part by part.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from features.config import RecommendConfig
from features.history import History
from features.pairs import lines, pairs_at
from features.segments import SegmentCounts
from features.shelf import Counts, counts_at
from features.snapshot import Snapshot
from training.generators.popularity import segment_counts_at


@dataclass(frozen=True)
class Census:
    """Of all customers at a cutoff.

    Attributes:
        counts: by product.
        segments: by segment and product.
    """

    counts: Counts
    segments: SegmentCounts

    def __add__(self, other: Census) -> Census:
        """Of both groups of customers together; no customer may be in both."""
        return Census(self.counts + other.counts, self.segments + other.segments)


Censuses = Mapping[int, Census]
"""By cutoff, in microseconds."""


def censuses_of(
    history: History, moments: Sequence[Snapshot], config: RecommendConfig
) -> dict[int, Census]:
    """Counts of a history's customers at several cutoffs.

    Args:
        history: rows at or after a cutoff, or known later, do not count at it.
        moments: cutoffs, with the horizon of ``Counts.buyers_lately``.
        config: what tells segments apart.
    """
    (ordered,) = lines(history, [None])
    return {
        moment.cutoff_us: Census(
            counts_at(
                history,
                pairs_at(ordered, moment.cutoff_us),
                moment.cutoff_us,
                moment.horizon_days,
            ),
            segment_counts_at(history, moment.cutoff_us, config),
        )
        for moment in moments
    }
