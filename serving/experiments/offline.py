"""Our ranking against manual picks, on past campaigns.

For every past campaign: the customers it was sent to, the same number of slots
for every list, and nothing known that was not known before it started. A list
scores by what these customers bought in the campaign's first days. Nobody was
shown our lists, and much would have been bought without any offer: the figures
compare lists, they do not prove an effect. Every list, also the manual one, holds only
products that the product table calls available.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from typing import Any

import numpy as np
import pyarrow.compute as pc

from features.config import Config
from features.engine import Tables
from features.history import Bools, Floats, History, Ints
from serving.experiments.picks import WINDOW_DAYS, Campaign, Past, past_campaigns
from training.evaluate import K
from training.findings import PickFigure, Whose
from training.generators import Generators
from training.metrics import (
    Interval,
    Truth,
    bootstrap_intervals,
    codes_in,
    hits,
    truth_of,
)
from training.moment import Moment, Sorted, moment_at, sort_history
from training.offers import as_lists
from training.ranker import Recommender

OURS = "our ranking"
BEST_SELLING = "best-selling picked products"
RESTRICTED = "our ranking of the picked products"
RANDOM = "random picked products (for scale only)"
MANUAL = "picked products in their owner's order"

_WHOSE: dict[str, Whose] = {OURS: "ours", RESTRICTED: "kin"}


@dataclass(frozen=True)
class Outcome:
    """What one campaign's customers bought of each list.

    Attributes:
        customer: codes of the shared history, shape ``[customer]``.
        slots: offers per customer, the same for every list: ``K``, or as many
            as there are picked products.
        lists: product codes by list, best first, ``[customer, slot]``, -1:
            empty; ours comes first.
        bought: distinct offered products bought, by list, ``[customer]``.
    """

    campaign: Campaign
    customer: Ints
    slots: int
    lists: dict[str, Ints]
    bought: dict[str, Floats]

    @property
    def owner_sells_best(self) -> bool:
        """Whether the owner's first picks are the best-selling: order costs nothing."""
        owners, best = self.lists[MANUAL], self.lists[BEST_SELLING]
        return np.array_equal(np.sort(owners, axis=1), np.sort(best, axis=1))

    def without(self, name: str) -> Outcome:
        """The same outcome without a list."""
        return replace(
            self,
            lists={n: v for n, v in self.lists.items() if n != name},
            bought={n: v for n, v in self.bought.items() if n != name},
        )


@dataclass(frozen=True)
class Comparison:
    """All campaigns; intervals are drawn over customers.

    Attributes:
        outcomes: one per campaign, oldest first.
        pooled: figures of the lists over all campaigns, ours first.
        single: the same for each campaign.
        reason: why there is nothing to compare, else empty.
        left_out: what is not compared, or compared once for two, in words.
    """

    outcomes: tuple[Outcome, ...]
    pooled: tuple[PickFigure, ...]
    single: tuple[tuple[PickFigure, ...], ...]
    reason: str
    left_out: tuple[str, ...]

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
            "left_out": list(self.left_out),
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
    past = past_campaigns(tables)
    if not past.campaigns:
        return _comparison([], past, config.seed)
    history = tables.history(past.campaigns[-1].starts_at)
    ordered = sort_history(history)
    outcomes: list[Outcome] = []
    fitted: dict[datetime, tuple[Recommender, Generators]] = {}
    for place, campaign in enumerate(past.campaigns):
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
            slots = min(K, len(pool))
            outcomes.append(Outcome(campaign, customer, slots, lists, bought))
    return _comparison(outcomes, past, config.seed)


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
    """Codes of the campaign's customers with history, and of its products.

    Products keep their owner's order; those unknown at the latest start or not
    available are left out.
    """
    customer = codes_in(history.customers, campaign.customers)
    pool = codes_in(history.products.ids, campaign.pool)
    pool = pool[pool >= 0]
    pool = pool[history.products.available[pool]]
    return np.intersect1d(moment.customers, customer), pool


def _comparison(outcomes: list[Outcome], past: Past, seed: int) -> Comparison:
    reason, left_out = past.reason, past.left_out
    if past.campaigns and not outcomes:
        reason = "no customer of a past campaign had bought before it"
    if outcomes and all(outcome.owner_sells_best for outcome in outcomes):
        outcomes = [outcome.without(MANUAL) for outcome in outcomes]
        said = "the owner's first picks are the best-selling: one list for both"
        left_out = (*left_out, said)
    return Comparison(
        outcomes=tuple(outcomes),
        pooled=_figures(outcomes, seed),
        single=tuple(_figures([outcome], seed) for outcome in outcomes),
        reason=reason,
        left_out=left_out,
    )


def _lists(
    recommender: Recommender,
    generators: Generators,
    customer: Ints,
    pool: Ints,
    random: np.random.Generator,
) -> dict[str, Ints]:
    """Product codes of every list, ours first, ``[customer, slot]``."""
    slots, moment = min(K, len(pool)), generators.moment
    sold = moment.shelf.lines_84d[pool]
    popular = pool[np.lexsort((pool, -sold))].astype(np.int32)
    allowed: Bools = np.zeros(moment.n_products, dtype=np.bool_)
    allowed[pool] = True
    ours = recommender.score(generators, customer)
    within = recommender.score(generators, customer, allowed)
    by_code = np.sort(pool)
    return {
        OURS: as_lists(ours, "mixed", slots, customer),
        MANUAL: np.tile(pool[:slots], (len(customer), 1)),
        BEST_SELLING: np.tile(popular[:slots], (len(customer), 1)),
        RESTRICTED: fill(as_lists(within, "mixed", slots, customer), popular),
        RANDOM: np.array(
            [random.choice(by_code, slots, replace=False) for _ in customer], np.int32
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
    rows = rows.filter(pc.field("customer_id").isin(list(campaign.customers)))
    customer = codes_in(history.customers, rows.column("customer_id").to_pylist())
    product = codes_in(history.products.ids, rows.column("product_id").to_pylist())
    known = (customer >= 0) & (product >= 0)
    shape = (len(history.customers), len(history.products))
    return truth_of(customer[known], product[known], shape)


def _figures(outcomes: Sequence[Outcome], seed: int) -> tuple[PickFigure, ...]:
    """Figures of the lists over some campaigns; customers are resampled whole."""
    if not outcomes:
        return ()
    _, row = np.unique(
        np.concatenate([o.customer for o in outcomes]), return_inverse=True
    )
    slots = np.concatenate([np.full(len(o.customer), o.slots) for o in outcomes])
    names = tuple(outcomes[0].bought)
    bought = {n: np.concatenate([o.bought[n] for o in outcomes]) for n in names}

    def per_customer(*columns: np.ndarray) -> Floats:
        summed = [np.bincount(row, column).astype(np.float64) for column in columns]
        return np.column_stack(summed)

    shown, contacts = slots.astype(np.float64), np.ones(len(row))
    mine = per_customer(*bought.values(), *(b > 0 for b in bought.values()))
    n = len(names)
    offered = per_customer(*[shown] * n, *[contacts] * n)
    ours = mine[:, [0] * n + [n] * n]
    values = bootstrap_intervals(mine, offered, seed=seed)
    ratios = bootstrap_intervals(ours, mine, seed=seed)

    def against(i: int) -> tuple[Interval | None, Interval | None]:
        # A ratio over random picks misleads; over nothing bought there is none.
        if names[i] in (OURS, RANDOM) or not mine[:, i].any():
            return None, None
        return ratios[i], ratios[n + i]

    return tuple(
        PickFigure(
            name, _WHOSE.get(name, "theirs"), values[i], values[n + i], *against(i)
        )
        for i, name in enumerate(names)
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
