"""Our ranking against manual picks, on past campaigns.

For every past campaign: the customers it was sent to, the same number of slots
for every list, and nothing known that was not known before it started. A list
scores by what these customers bought in the campaign's first days. Nobody was
shown our lists, and much would have been bought without any offer: the figures
compare lists, they do not prove an effect. Every list, also the manual one, holds only
products that the product table calls available.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from datetime import datetime

import numpy as np
import pyarrow.compute as pc

from features.config import Config
from features.engine import Tables
from features.history import Bools, History, Ints
from serving.experiments.comparison import (
    BEST_SELLING,
    MANUAL,
    OURS,
    RANDOM,
    RESTRICTED,
    Comparison,
    Outcome,
    comparison_of,
)
from serving.experiments.picks import Campaign, past_campaigns
from training import ranker
from training.generators.fitted import Generators
from training.metrics import (
    K,
    Truth,
    codes_in,
    hits,
    truth_of,
)
from training.moment import Moment, Sorted, sort_history
from training.offers import as_lists
from training.ranker import Recommender


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
        return comparison_of([], past, config.seed)
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
    return comparison_of(outcomes, past, config.seed)


def latest_fitted(
    tables: Tables,
    config: Config,
    fitted: Mapping[datetime, Recommender] | None = None,
    announce: Callable[[str], None] | None = None,
) -> Callable[[datetime], Recommender]:
    """For ``compare``: the latest recommender fitted at or before a moment.

    Args:
        tables: all input; only rows known before the moment are learned from.
        config: of the recommender; one is fitted where there is none so early.
        fitted: by cutoff, those that are there already.
        announce: hears of every fit.
    """
    ours = dict(fitted or {})

    def recommender(moment: datetime) -> Recommender:
        past = [cutoff for cutoff in ours if cutoff <= moment]
        if not past:
            if announce:
                announce(f"train recommender as of {moment:%Y-%m-%d}")
            history = tables.history(moment)
            ours[moment] = ranker.fit(
                history, moment, config.horizon_days, config.recommend, config.seed
            )
            past = [moment]
        return ours[max(past)]

    return recommender


def _fitted_at(
    ordered: Sorted, start: datetime, recommender_for: Callable[[datetime], Recommender]
) -> tuple[Recommender, Generators]:
    recommender = recommender_for(start)
    if recommender.fitted_at > start:
        raise ValueError(
            f"recommender_for: expected one fitted by {start}, got one fitted at "
            f"{recommender.fitted_at}"
        )
    return recommender, recommender.generators(ordered, start)


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
    # Ties keep their owner's order.
    popular = pool[np.argsort(-sold, kind="stable")]
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
