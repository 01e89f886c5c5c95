"""Our ranking against manual picks, on past campaigns.

For every past campaign: the customers it was sent to, the same number of slots
for every list, and nothing known that was not known before it started. A list
scores by what these customers bought in the campaign's first days. Nobody was
shown our lists, and much would have been bought without any offer: the figures
compare lists, they do not prove an effect.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

import numpy as np
import pandas as pd

from features.config import Config
from features.engine import Tables
from features.history import Bools, Floats, History, Ints
from serving.experiments.picks import WINDOW_DAYS, Campaign, past_campaigns
from training.generators import Generators
from training.metrics import Interval, Truth, bootstrap_intervals, hits, truth_of
from training.moment import Moment, Sorted, moment_at, sort_history
from training.offers import as_lists
from training.ranker import Recommender
from training.report import PickFigure

K = 10
"""Slots per customer; fewer where the pool has fewer products."""

OURS = "our ranking"
BEST_SELLING = "best-selling picked products"
RESTRICTED = "our ranking of the picked products"
RANDOM = "random picked products"
LISTS = (OURS, BEST_SELLING, RESTRICTED, RANDOM)


@dataclass(frozen=True)
class Outcome:
    """What one campaign's customers bought of each list.

    Attributes:
        customer: codes of the shared history, shape ``[customer]``.
        slots: offers per customer, the same for every list.
        bought: distinct offered products bought, by list, ``[customer]``.
    """

    campaign: Campaign
    customer: Ints
    slots: int
    bought: dict[str, Floats]


@dataclass(frozen=True)
class Comparison:
    """All campaigns; intervals are drawn over customers.

    Attributes:
        outcomes: one per campaign, oldest first.
        pooled: figures of the lists over all campaigns, ours first.
        single: the same for each campaign.
        reason: why there is nothing to compare, else empty.
    """

    outcomes: tuple[Outcome, ...]
    pooled: tuple[PickFigure, ...]
    single: tuple[tuple[PickFigure, ...], ...]
    reason: str

    @property
    def scope(self) -> str:
        """What was compared, in words."""
        contacts = sum(len(o.customer) for o in self.outcomes)
        return (
            f"{len(self.outcomes)} campaigns, {contacts:,} customers reached, {K} slots "
            f"each, purchases of {WINDOW_DAYS} days"
        )

    def figures(self) -> list[PickFigure]:
        """One row per list, all campaigns pooled, ours first."""
        return list(self.pooled)

    def campaigns(self) -> list[dict[str, Any]]:
        """One row per campaign: its facts, and purchases per slot by list."""
        return [
            {
                "campaign": outcome.campaign.campaign_id,
                "starts": f"{outcome.campaign.starts_at:%Y-%m-%d}",
                "customers": len(outcome.customer),
                "picked products": len(outcome.campaign.pool),
                **{figure.name: _text(figure.per_slot) for figure in figures},
            }
            for outcome, figures in zip(self.outcomes, self.single, strict=True)
        ]

    def to_json(self) -> dict[str, Any]:
        """Every figure with its interval, pooled and per campaign."""
        return {
            "scope": self.scope if self.outcomes else "",
            "reason": self.reason,
            "pooled": [_json(figure) for figure in self.pooled],
            "campaigns": {
                outcome.campaign.campaign_id: [_json(figure) for figure in figures]
                for outcome, figures in zip(self.outcomes, self.single, strict=True)
            },
        }


def compare(
    tables: Tables,
    recommender_for: Callable[[datetime], Recommender],
    config: Config,
) -> Comparison:
    """Lists of past campaigns beside what their customers bought.

    Args:
        tables: needs ``campaigns``, ``touches`` and ``picks``.
        recommender_for: a recommender fitted at or before a moment.
        config: its seed draws the random lists and the intervals.

    Returns:
        Every campaign that the data allow; see ``picks.past_campaigns``.

    Raises:
        ValueError: ``recommender_for`` gave one fitted after the moment.
    """
    past, reason = past_campaigns(tables)
    if not past:
        return _comparison([], reason, config.seed)
    history = tables.history(max(campaign.starts_at for campaign in past))
    ordered = sort_history(history)
    outcomes: list[Outcome] = []
    fitted: dict[datetime, tuple[Recommender, Generators]] = {}
    for place, campaign in enumerate(past):
        start = campaign.starts_at
        if start not in fitted:
            # Campaigns come by start: what was fitted for the last is done with.
            fitted = {start: _fitted_at(ordered, start, recommender_for)}
        recommender, generators = fitted[start]
        random = np.random.default_rng([config.seed, place])
        customer, pool = _who_and_what(history, campaign, generators.moment)
        if len(customer) and len(pool):
            lists = _lists(recommender, generators, customer, pool, random)
            truth = _bought(tables, history, campaign)
            bought = {
                name: hits(offered, customer, truth).sum(axis=1).astype(np.float64)
                for name, offered in lists.items()
            }
            outcomes.append(Outcome(campaign, customer, min(K, len(pool)), bought))
    reason = "" if outcomes else "no customer of a past campaign had bought before it"
    return _comparison(outcomes, reason, config.seed)


def _fitted_at(
    ordered: Sorted, start: datetime, recommender_for: Callable[[datetime], Recommender]
) -> tuple[Recommender, Generators]:
    recommender = recommender_for(start)
    if recommender.fitted_at > start:
        raise ValueError(
            f"recommender_for: expected one fitted by {start}, got one fitted at "
            f"{recommender.fitted_at}"
        )
    moment = moment_at(ordered, start, recommender.horizon_days)
    return recommender, recommender.generators(moment)


def _who_and_what(
    history: History, campaign: Campaign, moment: Moment
) -> tuple[Ints, Ints]:
    """Codes of the campaign's customers with history, and of its products."""
    customer = codes(history.customers, campaign.customers)
    pool = codes(history.products.ids, campaign.pool)
    return np.intersect1d(moment.customers, customer), np.unique(pool[pool >= 0])


def _comparison(outcomes: list[Outcome], reason: str, seed: int) -> Comparison:
    return Comparison(
        outcomes=tuple(outcomes),
        pooled=_figures(outcomes, seed),
        single=tuple(_figures([outcome], seed) for outcome in outcomes),
        reason=reason,
    )


def _lists(
    recommender: Recommender,
    generators: Generators,
    customer: Ints,
    pool: Ints,
    random: np.random.Generator,
) -> dict[str, Ints]:
    """Product codes of every list, ``[customer, slot]``."""
    slots, moment = min(K, len(pool)), generators.moment
    sold = moment.shelf.lines_84d[pool]
    popular = pool[np.lexsort((pool, -sold))].astype(np.int32)
    allowed: Bools = np.zeros(moment.n_products, dtype=np.bool_)
    allowed[pool] = True
    ours = recommender.score(generators, customer)
    within = recommender.score(generators, customer, allowed)
    return {
        OURS: as_lists(ours, "mixed", slots, customer),
        BEST_SELLING: np.tile(popular[:slots], (len(customer), 1)),
        RESTRICTED: fill(as_lists(within, "mixed", slots, customer), popular),
        RANDOM: np.array(
            [random.choice(pool, slots, replace=False) for _ in customer], np.int32
        ),
    }


def fill(lists: Ints, instead: Ints) -> Ints:
    """Lists with every empty slot filled by the first product not yet in it.

    Args:
        lists: product codes, -1: empty, ``[customer, slot]``.
        instead: codes, best first, at least as many as there are slots.
    """
    full = lists.copy()
    for row in np.flatnonzero((lists < 0).any(axis=1)):
        kept = lists[row][lists[row] >= 0]
        more = instead[: len(lists[row]) * 2]
        more = more[~np.isin(more, kept)]
        full[row] = np.concatenate((kept, more))[: len(lists[row])]
    return full


def _bought(tables: Tables, history: History, campaign: Campaign) -> Truth:
    rows = tables.purchases_between(campaign.starts_at, campaign.ends_at)
    customer = codes(history.customers, rows.column("customer_id").to_pylist())
    product = codes(history.products.ids, rows.column("product_id").to_pylist())
    known = (customer >= 0) & (product >= 0)
    shape = (len(history.customers), len(history.products))
    return truth_of(customer[known], product[known], shape)


def codes(ids: np.ndarray, wanted: Sequence[str]) -> Ints:
    """Positions of the wanted ids, ``[wanted]``, -1: not among them."""
    return pd.Index(ids).get_indexer(pd.Index(wanted, dtype=object)).astype(np.int32)


def _figures(outcomes: Sequence[Outcome], seed: int) -> tuple[PickFigure, ...]:
    """Figures of the lists over some campaigns; customers are resampled whole."""
    if not outcomes:
        return ()
    _, row = np.unique(
        np.concatenate([o.customer for o in outcomes]), return_inverse=True
    )
    slots = np.concatenate([np.full(len(o.customer), o.slots) for o in outcomes])
    bought = {n: np.concatenate([o.bought[n] for o in outcomes]) for n in LISTS}

    def per_customer(*columns: np.ndarray) -> Floats:
        summed = [np.bincount(row, column).astype(np.float64) for column in columns]
        return np.column_stack(summed)

    shown, contacts = slots.astype(np.float64), np.ones(len(row))
    mine = per_customer(*bought.values(), *(b > 0 for b in bought.values()))
    n = len(LISTS)
    offered = per_customer(*[shown] * n, *[contacts] * n)
    ours = mine[:, [0] * n + [n] * n]
    values = bootstrap_intervals(mine, offered, seed=seed)
    ratios = bootstrap_intervals(ours, mine, seed=seed)
    return tuple(
        PickFigure(
            name=name,
            per_slot=values[i],
            share=values[n + i],
            # No ratio to ourselves, nor to a list of which nothing was bought.
            per_slot_ratio=ratios[i] if i and mine[:, i].any() else None,
            share_ratio=ratios[n + i] if i and mine[:, i].any() else None,
        )
        for i, name in enumerate(LISTS)
    )


def _text(interval: Interval) -> str:
    return f"{interval.value:.3f} ({interval.low:.3f} to {interval.high:.3f})"


def _json(figure: PickFigure) -> dict[str, Any]:
    def values(interval: Interval | None) -> list[float] | None:
        return interval and [interval.value, interval.low, interval.high]

    return {
        "list": figure.name,
        "purchases_per_slot": values(figure.per_slot),
        "share_of_customers": values(figure.share),
        "ours_over_this_per_slot": values(figure.per_slot_ratio),
        "ours_over_this_customers": values(figure.share_ratio),
    }
