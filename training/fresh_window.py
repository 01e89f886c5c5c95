"""Past windows in which a delay is simulated: what fresh events turned out to mean.

A snapshot is taken ``DELAY_DAYS`` and a horizon before the cutoff, events of the
delay are folded in, and what was bought in the horizon after it is the label. The
customers are those held out from the trees, whose labels of that horizon the trees
have not seen. Where they bought too little to learn from, windows a horizon earlier
are added. The trees have seen those, so that the offers fit them a little too well
and the events have less left to explain.

Newcomers are few, so what is known of strangers to the snapshot is learned from its
customers as well, whose history it is made to forget. They come again more surely
than newcomers do: a stranger's probabilities are those of such customers.
"""

from __future__ import annotations

from collections.abc import Callable, Generator, Sequence
from dataclasses import dataclass

import numpy as np

from features.config import RecommendConfig
from features.history import Array, Events, Floats, History, Ints, Longs, offsets_of
from features.snapshot import Snapshot
from training.candidates import Candidates, candidates, in_chunks
from training.census import Census, Censuses
from training.fresh import (
    PLAIN,
    FreshExamples,
    FreshModel,
    enough,
    fit_model,
    join_examples,
)
from training.fresh_basis import basis_of, popular_log_odds, shop_of
from training.fresh_rows import DELAY_DAYS, NOBODY, Before, rows_of
from training.generators.fitted import Generators
from training.metrics import bought_in, hits
from training.moment import Sorted
from training.offers import Parts, best_of_lanes, cold_start
from training.past_window import generators_at
from training.rows import feature_rows
from training.since import BOUGHT, KINDS, RETURNED, Fresh, since_of

MAX_CUSTOMERS = 2_000
"""Customers of a window that are learned from, at most."""

Score = Callable[[Array, Candidates], Floats]
"""Log odds of feature rows and their candidates."""


def fit_fresh(
    ordered: Sorted,
    past: Sequence[Snapshot],
    known_before_us: int,
    score: Score,
    apart: Ints,
    config: RecommendConfig,
    seed: int,
    censuses: Censuses | None = None,
) -> FreshModel:
    """The model from simulated delays before past cutoffs.

    Args:
        ordered: sorted lines; rows at or after ``known_before_us``, or known
            later, are not read.
        past: label windows, latest first, see ``past_windows``.
        known_before_us: the cutoff of the build, microseconds.
        score: of the fitted lanes.
        apart: codes of customers held out from the trees in the latest window.
        config: of the recommender.
        seed: of the draws.
        censuses: of all customers, where the lines are of some only.
    """
    parts: list[FreshExamples] = []
    for window in past:
        some = apart if window == past[0] else None
        start = snapshot_of(window).cutoff_us
        census = None if censuses is None else censuses[start]
        made = _examples(
            ordered, window, known_before_us, score, some, config, seed, census
        )
        parts += [] if made is None else [made]
        if parts and enough(join_examples(parts)):
            break
    return fit_model(join_examples(parts), seed)


def _examples(
    ordered: Sorted,
    window: Snapshot,
    known_before_us: int,
    score: Score,
    some: Ints | None,
    config: RecommendConfig,
    seed: int,
    census: Census | None,
) -> FreshExamples | None:
    """Rows of one window; None: nothing happened in the delay before it."""
    start, end_us = snapshot_of(window), window.cutoff_us
    events = fresh_between(ordered.history, start.cutoff_us, end_us)
    generators = generators_at(ordered, start, config, seed, census)
    moment = generators.moment
    if not len(moment.customers) or not len(events):
        return None
    active = np.flatnonzero(np.diff(events.offsets)).astype(np.int32)
    known = np.intersect1d(active, moment.customers)
    if some is not None:
        known = np.intersect1d(known, some)
    # Customers who came since the snapshot are strangers to it.
    come = _drawn(np.setdiff1d(active, moment.customers), seed)
    basis = basis_of(ordered, generators, window.horizon_days, PLAIN, config)
    cold = cold_start(moment)
    shop = shop_of(
        basis,
        popular_log_odds(cold.product, cold.probability, moment.n_products),
        cold.product,
        ordered.history.products.available,
        moment.group_of["subcategory"],
    )
    before = befores(generators, _drawn(known, seed), score, config)
    truth = bought_in(ordered.history, window, known_before_us)
    parts: list[FreshExamples] = []
    for customer in (*before, *come.tolist()):
        since = since_of(events.of(customer), basis.weights)
        for was in _views_of(before.get(customer)):
            rows = rows_of(shop, was, since, end_us)
            code = np.full(len(rows.product), customer, dtype=np.int32)
            hit = hits(rows.product[:, None], code, truth)[:, 0]
            parts.append(FreshExamples(code, rows, hit))
    return join_examples(parts)


def snapshot_of(window: Snapshot) -> Snapshot:
    """The snapshot whose events since are folded in before a label window."""
    return window.earlier(DELAY_DAYS)


def _drawn(customers: Ints, seed: int) -> Ints:
    """``MAX_CUSTOMERS`` of them at most, ascending."""
    drawn = np.random.default_rng(seed).permutation(customers)[:MAX_CUSTOMERS]
    return np.sort(drawn)


def _views_of(before: Before | None) -> tuple[Before, ...]:
    """As the snapshot knows them, and as if it did not: newcomers are few."""
    return (NOBODY,) if before is None else (before, NOBODY)


def befores(
    generators: Generators, customers: Ints, score: Score, config: RecommendConfig
) -> dict[int, Before]:
    """What a snapshot would say of some active customers, by code."""
    moment = generators.moment

    def offers_of(some: Ints) -> Parts:
        found = candidates(generators, some, config)
        return best_of_lanes(
            found, score(feature_rows(moment, found), found), config.keep_per_lane
        )

    parts = in_chunks(offers_of, customers, config.threads)
    pairs = moment.pairs["product"]
    made: dict[int, Before] = {}
    for customer, product, is_new, odds, *_ in parts:
        for code in np.unique(customer).tolist():
            low, high = np.searchsorted(customer, (code, code + 1))
            own = slice(*pairs.offsets[code : code + 2])
            made[code] = Before(
                product[low:high],
                is_new[low:high],
                odds[low:high],
                pairs.item[own],
                pairs.slow[own],
            )
    return made


@dataclass(frozen=True)
class FreshLog:
    """Fresh events of all customers, ordered by customer.

    Attributes:
        offsets: events of customer ``c`` are ``offsets[c]:offsets[c + 1]``.
    """

    offsets: Longs
    events: Fresh

    def __len__(self) -> int:
        return len(self.events)

    def of(self, customer: int) -> Fresh:
        """Those of one customer."""
        own = slice(*self.offsets[customer : customer + 2])
        events = self.events
        return Fresh(
            events.kind[own], events.product[own], events.ts[own], events.quantity[own]
        )


def fresh_between(history: History, start_us: int, end_us: int) -> FreshLog:
    """Events that happened from one moment to before another, known by then."""
    parts: list[tuple[Array, Array, Array, Array, Array]] = []
    for events, kinds in _kinds(history):
        rows = np.flatnonzero(
            events.before(end_us)
            & (events.ts >= start_us)
            & (kinds >= 0)
            & (events.columns["product"] >= 0)
        )
        quantity = events.columns.get("quantity")
        pieces = np.ones(len(rows)) if quantity is None else np.abs(quantity[rows])
        parts.append(
            (
                events.customer[rows],
                kinds[rows].astype(np.int8),
                events.columns["product"][rows],
                events.ts[rows],
                pieces.astype(np.float32),
            )
        )
    columns = [np.concatenate(column) for column in zip(*parts, strict=True)]
    by = np.argsort(columns[0], kind="stable")
    customer, kind, product, ts, quantity = (column[by] for column in columns)
    offsets = offsets_of(customer, len(history.customers))
    return FreshLog(offsets, Fresh(kind, product, ts, quantity))


def _kinds(history: History) -> Generator[tuple[Events, Array]]:
    """Event tables with the kind of every row, -1: of no interest."""
    bought = history.purchases.bought
    yield history.purchases, np.where(bought, BOUGHT, RETURNED)
    for table, kind_of in KINDS.items():
        events: Events | None = getattr(history, table)
        if events is not None and "product" in events.columns:
            words = [kind_of.get(word, -1) for word in events.words["kind"]]
            yield events, np.array([*words, -1])[events.columns["kind"]]
