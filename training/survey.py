"""Whom models learn from: all customers of a small shop, some of a large one.

What is fitted hardly improves beyond some hundred thousand customers, while memory
and time grow with each. What all of them bought is counted all the same (``Census``).
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime

from features.config import Config, RecommendConfig
from features.engine import Tables
from features.history import History
from features.samples import join, lots, take
from features.snapshot import Snapshot, to_us
from training.census import Census, Censuses, censuses_of
from training.ranker import moments_of

PART = 25_000
"""Customers whose predictions are made at once."""


@dataclass(frozen=True)
class Survey:
    """Customers to learn from, and what all together bought.

    Attributes:
        history: of the customers who were drawn.
        censuses: of all customers, at each moment that was asked for; None: the
            history is of all customers.
    """

    history: History
    censuses: Censuses | None = None

    def parts(self, tables: Tables) -> Iterable[History]:
        """Histories of all customers, as few at once as there is room for.

        Args:
            tables: of which the survey was made.
        """
        if self.censuses is None:
            return [self.history]
        return tables.parts(self.history.until, customers_per_part=PART)

    def census(self, snapshot: Snapshot) -> Census | None:
        """Of all customers at a moment; None: the history tells."""
        return None if self.censuses is None else self.censuses[snapshot.cutoff_us]


def read_survey(tables: Tables, until: datetime, config: Config) -> Survey:
    """All customers of a small shop; of a large one some, and a count of all.

    Args:
        tables: all input; only rows known before ``until`` are read.
        until: the cutoff.
        config: how many customers models learn from, and at which moments.
    """
    share = config.max_learners / max(tables.count_customers(until), 1)
    if share >= 1:
        return Survey(tables.history(until))
    first = to_us(tables.first_purchase(until))
    moments = moments_of(first, until, config.horizon_days, config.recommend)
    parts = tables.parts(until, customers_per_part=PART)
    return survey_of(parts, moments, share, config.recommend, config.seed)


def survey_of(
    parts: Iterable[History],
    moments: Sequence[Snapshot],
    share: float,
    config: RecommendConfig,
    seed: int,
) -> Survey:
    """Draw customers and count all, in one pass over the parts.

    Args:
        parts: of the customers, see ``Tables.parts``; each is let go of at once.
        moments: at which to count.
        share: of customers to draw, by their ids.
        config: of the recommender.
        seed: of the draw.

    Raises:
        ValueError: there are no parts.
    """
    drawn: list[History] = []
    sums: dict[int, Census] = {}
    for part in parts:
        for moment, census in censuses_of(part, moments, config).items():
            sums[moment] = sums[moment] + census if moment in sums else census
        drawn.append(take(part, lots(part.customers, seed) < share))
    return Survey(join(drawn), sums)


def drawn_customers(
    tables: Tables, until: datetime, most: int, seed: int
) -> tuple[History, float]:
    """The history of some customers, and which share of all they are.

    Args:
        tables: all input; only rows known before ``until`` are read.
        until: end of the history.
        most: customers, about; a smaller shop is read whole.
        seed: of the draw.
    """
    share = most / max(tables.count_customers(until), 1)
    if share >= 1:
        return tables.history(until), 1.0
    parts = tables.parts(until, customers_per_part=PART)
    return join([take(p, lots(p.customers, seed) < share) for p in parts]), share
