"""Past cutoffs whose label windows are over: what both lanes learn from."""

from __future__ import annotations

from collections.abc import Callable
from datetime import datetime

import numpy as np

from features.config import RecommendConfig
from features.contracts import ContractError
from features.history import History, Ints
from features.pairs import Singles
from features.samples import lots
from features.snapshot import DAY_US, Snapshot, to_us
from training.candidates import Candidates, Part, candidates, in_chunks
from training.census import Census
from training.generators.fitted import Generators, fit_generators
from training.lanes import Examples, join
from training.metrics import bought_in, hits
from training.moment import Sorted, moment_at
from training.offers import FITTED_LANES
from training.rows import feature_rows


def past_windows(
    history: History, cutoff: datetime, horizon_days: int, most: int
) -> list[Snapshot]:
    """Latest first, each with purchases before it and its window over."""
    events = history.purchases
    known = events.ts[events.before(to_us(cutoff)) & events.bought]
    first = int(known.min()) if len(known) else to_us(cutoff)
    return windows_since(first, cutoff, horizon_days, most)


def windows_since(
    first: int, cutoff: datetime, horizon_days: int, most: int
) -> list[Snapshot]:
    """The same, of a history that begins at ``first``, in microseconds."""
    now = Snapshot(cutoff, horizon_days)
    past = [now.earlier(horizon_days * i) for i in range(1, most + 1)]
    # A horizon of history at least, or there is nothing to learn from.
    usable = [p for p in past if p.cutoff_us - horizon_days * DAY_US >= first]
    if usable:
        return usable
    if past[0].cutoff_us <= first:
        days = (to_us(cutoff) - first) / DAY_US
        raise ContractError(
            f"purchases.ts: expected more than {horizon_days} days before the cutoff "
            f"{cutoff:%Y-%m-%d} to learn offers from, got {days:.1f}; choose a later "
            "cutoff or a shorter horizon"
        )
    return past[:1]


def generators_at(
    ordered: Sorted,
    snapshot: Snapshot,
    config: RecommendConfig,
    seed: int,
    census: Census | None = None,
) -> Generators:
    """Generators fitted at a cutoff on the customers of some lines.

    Args:
        ordered: sorted lines.
        snapshot: the cutoff, and how far ahead promotions count.
        config: of the recommender.
        seed: of the draws.
        census: of all customers at the cutoff, where the lines are of some only;
            None: they are of all.
    """
    counts = None if census is None else census.counts
    segments = None if census is None else census.segments
    moment = moment_at(ordered, snapshot.cutoff, snapshot.horizon_days, counts)
    return fit_generators(moment, config, seed, segments)


class PastWindow:
    """A past cutoff whose label window is over, to draw examples from.

    Args:
        ordered: sorted lines.
        window: past cutoff and its label window.
        known_before_us: labels known later do not count.
        config: candidates, sampling.
        seed: of the draws.
        census: of all customers at the window's cutoff, where the lines are of some
            only; None: they are of all.

    Attributes:
        moment: what was known then.
        truth: what was bought in the window.
        horizon_days: its length.
    """

    def __init__(
        self,
        ordered: Sorted,
        window: Snapshot,
        known_before_us: int,
        config: RecommendConfig,
        seed: int,
        census: Census | None = None,
    ) -> None:
        self._config = config
        self.horizon_days = window.horizon_days
        self._generators = generators_at(ordered, window, config, seed, census)
        self.moment = self._generators.moment
        self.truth = bought_in(ordered.history, window, known_before_us)
        self._seed = (seed, window.cutoff_us // DAY_US)

    def split(self, share: float) -> tuple[Ints, Ints]:
        """Active customers in two drawn parts, each ascending.

        Args:
            share: of the first part; both together are ``max_customers`` at most.
        """
        ids = self.moment.history.customers[self.moment.customers]
        by = np.argsort(lots(ids, sum(self._seed)), kind="stable")
        drawn = self.moment.customers[by[: self._config.max_customers]]
        at = int(np.ceil(share * len(drawn)))
        return np.sort(drawn[:at]), np.sort(drawn[at:])

    def candidates(
        self, customers: Ints, use: Callable[[Singles, Candidates], Part]
    ) -> list[Part]:
        """What ``use`` makes of feature rows and all candidates, chunk by chunk."""

        def of(some: Ints) -> Part:
            found = candidates(self._generators, some, self._config)
            return use(feature_rows(self.moment, found), found)

        return in_chunks(of, customers, self._config.threads)

    def examples(self, customers: Ints, negatives: float) -> dict[str, Examples]:
        """Candidates of some customers by lane, with what they bought.

        Args:
            customers: codes, ascending.
            negatives: share of the candidates not bought that is kept.
        """

        def examples_of(some: Ints) -> tuple[Examples, Examples]:
            found = candidates(self._generators, some, self._config)
            bought = hits(found.product[:, None], found.customer, self.truth)[:, 0]
            # By place: a code moves with customers who come later.
            place = int(np.searchsorted(self.moment.customers, some[0]))
            random = np.random.default_rng([*self._seed, place])
            keep = bought | (random.random(len(bought)) < negatives)
            found, bought = found.take(keep), bought[keep]
            rows, is_new = feature_rows(self.moment, found), found.is_new
            again = Examples(rows[~is_new], bought[~is_new])
            return again, Examples(rows[is_new], bought[is_new])

        parts = in_chunks(examples_of, customers, self._config.threads)
        return {
            lane: join([part[i] for part in parts])
            for i, lane in enumerate(FITTED_LANES)
        }
