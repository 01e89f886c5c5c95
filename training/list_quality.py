"""Lists at a cutoff, beside every generator alone, on the same customers.

Three lanes: *mixed* counts everything bought in the label window, *again* what the
customer had bought before, *new* what they never had. Customers are those with history
who buy such products; each counts once, whatever they buy. Lists hold available
products only; whatever was bought counts. nDCG cuts the ideal list at k. Intervals are
95 %, by paired bootstraps over customers.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
import pyarrow as pa

from features.config import Config
from features.history import Array, Bools, Floats, History, Ints, Longs
from training import list_metrics, metrics
from training.alone import Alone, alone
from training.generators.fitted import OWN, SOURCES
from training.list_groups import ListBreakdown, list_breakdowns
from training.match_quality import Match, match_quality
from training.metrics import MAP_SLOTS, MODEL, Interval, K, Truth
from training.moment import Moment
from training.offers import Scored, as_lists
from training.predictions import LANES

UNION = "all together"
"""What the ranker gets: the candidates of every generator, each once."""

HANDED = {"mixed": SOURCES, "again": SOURCES[: OWN + 1], "new": SOURCES[OWN + 1 :]}
"""Which generators hand over products of a lane: own history only bought ones."""

GAINS = ("recall", "ndcg", "hit")

Gains = dict[str, dict[str, Interval]]
"""By lane and method: ours minus theirs."""


@dataclass(frozen=True)
class ListQuality:
    """Figures of one cutoff, by lane (mixed, again, new).

    Attributes:
        lists: by lane and method. Means over customers: ``recall``, ``ndcg``, ``hit``,
            ``precision`` at 10 slots, ``map`` at 12. Of the lists that all buyers of
            the window are shown: ``coverage``, ``novelty``, ``diversity``,
            ``popularity``, ``personalisation``, see ``list_metrics``; diversity by
            subcategory, and for novelty who ever bought counts. ``customers`` with
            something to find.
        recall: by lane and method with its interval.
        recall_gain, ndcg_gain, hit_gain: ours minus theirs.
        candidates: by lane and generator, and ``UNION``: mean share of what a customer
            buys that is among the candidates. A generator that has none for a lane is
            not named there.
        list_groups: recall and hit by groups of customers.
        match: by lane; *mixed* is both lanes together.
    """

    lists: dict[str, dict[str, dict[str, float]]]
    recall: Gains
    recall_gain: Gains
    ndcg_gain: Gains
    hit_gain: Gains
    candidates: dict[str, dict[str, float]]
    list_groups: tuple[ListBreakdown, ...]
    match: dict[str, Match]


def list_quality(
    scored: Scored,
    history: History,
    bought: pa.Table,
    groups: Mapping[str, Array],
    config: Config,
) -> ListQuality:
    """Compare our lists with every generator's.

    Args:
        scored: offers made at ``history.until``.
        history: known before it.
        bought: ``customer_id`` and ``product_id`` of the label window.
        groups: by property, of the customers with history, ``[customer]``; see
            ``groups.groups_of``.
        config: numbers of candidates, size of the smallest group, seed.
    """
    truth = truth_by_lane(history, bought)
    moment = scored.moment
    # Only customers with history can be in the lists of every method.
    who = np.intersect1d(truth["mixed"].buyers, moment.customers).astype(np.int32)
    lists: dict[str, dict[str, Ints]] = {
        lane: {MODEL: as_lists(scored, lane, MAP_SLOTS, who)} for lane in LANES
    }
    handed: dict[str, Ints] = {}
    for name, generator in zip(SOURCES, scored.generators, strict=True):
        found: Alone = alone(generator, moment, who, MAP_SLOTS, config.recommend)
        handed[name] = found.candidates
        # Who has no opinion of anything, for want of a table, is no rival.
        if not len(generator.items):
            continue
        for lane, offered in found.lists.items():
            lists[lane][name] = offered
    compared = {lane: _compare(lists[lane], who, truth[lane]) for lane in LANES}
    likeness = {lane: _alike(lists[lane], moment) for lane in LANES}
    intervals = {lane: _intervals(compared[lane], config.seed) for lane in LANES}
    of_buyers = np.searchsorted(moment.customers, who)
    return ListQuality(
        lists={
            lane: {
                name: _means(values) | likeness[lane][name]
                for name, values in compared[lane].items()
            }
            for lane in LANES
        },
        recall={lane: intervals[lane][0] for lane in LANES},
        recall_gain={lane: intervals[lane][1] for lane in LANES},
        ndcg_gain={lane: intervals[lane][2] for lane in LANES},
        hit_gain={lane: intervals[lane][3] for lane in LANES},
        candidates={
            lane: reach({n: handed[n] for n in names}, who, truth[lane])
            for lane, names in HANDED.items()
        },
        list_groups=list_breakdowns(
            compared,
            {name: group[of_buyers] for name, group in groups.items()},
            config.evaluation.min_group,
        ),
        match=_match(scored, truth["mixed"]),
    )


def truth_by_lane(history: History, bought: pa.Table) -> dict[str, Truth]:
    """What customers with history bought in the window: all, again, new.

    A product that was unknown at the cutoff counts as bought all the same: each gets a
    code past the known ones, so recall is of everything bought.
    """
    customer, product = _codes(history, bought)
    n_products = max(len(history.products), int(product.max(initial=0)) + 1)
    shape = (len(history.customers), n_products)
    lines = history.purchases
    before = metrics.truth_of(
        lines.customer[lines.bought], lines.columns["product"][lines.bought], shape
    )
    new = ~np.isin(customer.astype(np.int64) * n_products + product, before.keys)
    return {
        lane: metrics.truth_of(customer[keep], product[keep], shape)
        for lane, keep in (("mixed", np.ones_like(new)), ("again", ~new), ("new", new))
    }


def _codes(history: History, bought: pa.Table) -> tuple[Ints, Ints]:
    customer = metrics.codes_in(
        history.customers, bought.column("customer_id").to_pylist()
    )
    ids: list[str] = bought.column("product_id").to_pylist()
    product = metrics.codes_in(history.products.ids, ids)
    unknown = sorted({i for i, code in zip(ids, product, strict=True) if code < 0})
    code_of = {i: len(history.products) + n for n, i in enumerate(unknown)}
    product = np.array(
        [code_of.get(i, code) for i, code in zip(ids, product, strict=True)], np.int32
    )
    return customer[customer >= 0], product[customer >= 0]


def _compare(
    lists: Mapping[str, Ints], who: Ints, truth: Truth
) -> dict[str, dict[str, Floats]]:
    """By method and figure a value per customer; NaN: nothing bought in this lane."""
    bought = truth.count[who]
    found: dict[str, dict[str, Floats]] = {}
    for name, offered in lists.items():
        wide: Bools = metrics.hits(offered, who, truth)
        hit = wide[:, :K]
        found[name] = {
            "recall": metrics.recall_at(hit, bought),
            "ndcg": metrics.ndcg_at(hit, bought),
            "map": metrics.average_precision_at(wide, bought),
            "hit": np.where(bought > 0, metrics.hit_at(hit), np.nan),
            "precision": np.where(bought > 0, metrics.precision_at(hit), np.nan),
        }
    return found


def _means(values: Mapping[str, Floats]) -> dict[str, float]:
    counted = ~np.isnan(values["recall"])
    means = {
        figure: float(each[counted].mean()) if counted.any() else float("nan")
        for figure, each in values.items()
    }
    return means | {"customers": float(counted.sum())}


def _alike(lists: Mapping[str, Ints], moment: Moment) -> dict[str, dict[str, float]]:
    """What is true of lists whatever is bought, by method."""
    buyers, available = moment.shelf.buyers, moment.history.products.available
    information = list_metrics.self_information(buyers, len(moment.customers))
    popular = list_metrics.popularity(buyers, available)
    return {
        name: {
            "coverage": list_metrics.coverage(shown, available),
            "novelty": list_metrics.mean_of(shown, information),
            "diversity": list_metrics.diversity(shown, moment.group_of["subcategory"]),
            "popularity": list_metrics.mean_of(shown, popular),
            "personalisation": list_metrics.personalisation(shown),
        }
        for name, offered in lists.items()
        for shown in (offered[:, :K],)
    }


def _intervals(
    compared: Mapping[str, Mapping[str, Floats]], seed: int
) -> list[dict[str, Interval]]:
    """Recall of every method, then our gain in each of ``GAINS``, on the same draws."""
    ours = compared[MODEL]
    counted = ~np.isnan(ours["recall"])
    rivals = [name for name in compared if name != MODEL]
    columns = [compared[name]["recall"] for name in compared]
    columns += [ours[f] - compared[name][f] for f in GAINS for name in rivals]
    values = np.stack(columns, axis=1)[counted]
    found = metrics.bootstrap_intervals(values, np.ones_like(values), seed=seed)
    at = len(compared)
    parts = [dict(zip(compared, found[:at], strict=True))]
    for place in range(len(GAINS)):
        start = at + place * len(rivals)
        gains = found[start : start + len(rivals)]
        parts.append(dict(zip(rivals, gains, strict=True)))
    return parts


def reach(handed: Mapping[str, Ints], who: Ints, truth: Truth) -> dict[str, float]:
    """Recall of each generator's candidates, and of their union.

    Args:
        handed: candidates by generator, ``[customer, n]``, -1: none.
        who: code of each row.
        truth: what was bought.

    Returns:
        Means over customers who bought something; NaN without them.
    """
    bought: Longs = truth.count[who]
    found: dict[str, float] = {}
    keys: list[Longs] = [np.zeros(0, dtype=np.int64)]
    for name, products in handed.items():
        hit = metrics.hits(products, who, truth)
        found[name] = _mean(metrics.recall_at(hit, bought))
        rows, slots = np.nonzero(hit)
        keys.append(rows * truth.n_products + products[rows, slots])
    rows = np.unique(np.concatenate(keys)) // truth.n_products
    each = np.bincount(rows, minlength=len(who))
    share = np.where(bought > 0, each / np.maximum(bought, 1), np.nan)
    return found | {UNION: _mean(share)}


def _mean(values: Floats) -> float:
    known = values[~np.isnan(values)]
    return float(known.mean()) if len(known) else float("nan")


def _match(scored: Scored, truth: Truth) -> dict[str, Match]:
    bought = metrics.hits(scored.product[:, None], scored.customer, truth)[:, 0]
    probability = scored.probability.astype(np.float64)
    every = np.ones_like(scored.is_new)
    return {
        lane: match_quality(probability[mine], bought[mine])
        for lane, mine in (
            ("mixed", every),
            ("again", ~scored.is_new),
            ("new", scored.is_new),
        )
    }
