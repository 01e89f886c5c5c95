"""Whom to contact for a goal, best first, with what to offer and why.

Pure: a published version in, lines out. Nobody who refused consent is in any
audience; ties go to the lower customer id, so that the same version and question
have the same order on every page.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field, replace
from functools import cache
from typing import Any, Literal, TypedDict, get_args

import numpy as np
import numpy.typing as npt

from serving.alerts import group_wishes
from serving.due import due_pairs, moment, strongest
from serving.filters import AskError, Filters, eligible
from serving.known import Evidence
from serving.published import Published
from serving.recommend import Wishes, recommend, wishes
from serving.reverse import Audience, reasons, top_customers

Goal = Literal["repurchase", "replenish", "win_back", "value", "uplift", "product"]
GOALS: tuple[str, ...] = get_args(Goal)

WITHIN_DAYS = 3
OFFERS = 3

Rows = npt.NDArray[np.int64]
Floats = npt.NDArray[np.float64]
Bools = npt.NDArray[np.bool_]


@dataclass(frozen=True)
class Ask:
    """A question for an audience.

    Attributes:
        filters: see ``filters``.
        horizon_days: of ``repurchase``, 1 to 180; None: the published one.
        within_days: of ``replenish``: due so many days after the cutoff at most.
        products: of ``product``: distinct rows, see ``reverse``.
    """

    goal: Goal
    filters: Filters = field(default_factory=dict[str, Sequence[str]])
    horizon_days: int | None = None
    within_days: int = WITHIN_DAYS
    products: Rows | None = None


@dataclass(frozen=True)
class Ranking:
    """Customers, best first.

    Attributes:
        customer: rows of ``Published.customers``, ``[line]``.
        score: what they are ordered by, among equals of ``alert``.
        means: what the score is, with its unit.
        total: customers that the goal has in all, also those beyond these lines.
        evidence: whether the order can be relied on; None: no doubt is known.
        pair: of ``replenish``: rows of ``Known.due``.
        risk: of ``win_back``: churn risk.
        product: of ``product``: the row that speaks most for each, -1: none.
    """

    customer: Rows
    score: Floats
    means: str
    total: int
    evidence: Evidence | None = None
    pair: Rows | None = None
    risk: Floats | None = None
    product: Rows | None = None


class Offer(TypedDict):
    """A product to offer; ``probability`` null: not estimated."""

    product_id: str
    probability: float | None
    reason: str


class Line(TypedDict):
    """A customer of an audience.

    Attributes:
        rank: 1-based.
        product_group, due_at, alert: of ``replenish``, else null; UTC.
        churn_risk: of ``win_back``, else null.
        products: best first.
    """

    customer_id: str
    rank: int
    score: float
    product_group: str | None
    due_at: str | None
    alert: bool | None
    churn_risk: float | None
    products: list[Offer]


def rank(published: Published, ask: Ask, most: int) -> Ranking:
    """The best customers for a goal.

    Args:
        published: the version to answer from.
        ask: goal and filters.
        most: lines, at least 1.

    Raises:
        AskError: the version has no such column or value, or nothing to answer the
            goal from.
    """
    keep = eligible(published, ask.filters)
    match ask.goal:
        case "repurchase":
            days = ask.horizon_days or published.horizon_days
            score = published.curve[:, days - 1].astype(np.float64)
            means = f"probability of a purchase within {days} days of the cutoff"
            return _ranked(score, keep, means, most)
        case "replenish":
            return _replenish(published, ask.within_days, keep, most)
        case "win_back":
            return _win_back(published, keep, most)
        case "value":
            score = published.known.value["expected_spend_365d"]
            means = "expected spend within 365 days of the cutoff, shop currency"
            return _ranked(score, keep, means, most)
        case "uplift":
            return _uplift(published, keep, most)
        case "product":
            return _product(published, ask.products, keep, most)


def _ranked(score: Floats, keep: Bools, means: str, most: int) -> Ranking:
    rows = np.flatnonzero(keep & ~np.isnan(score))
    found = rows[best(score[rows], most)]
    return Ranking(found, score[found], means, len(rows))


def best(score: Floats, most: int) -> Rows:
    """Places of the highest scores, highest first, the first of equals first."""
    places = np.arange(len(score))
    if most < len(score):
        # Only what can be among them is sorted.
        least = np.partition(score, len(score) - most)[len(score) - most]
        places = np.flatnonzero(score >= least)
    return places[np.argsort(-score[places], kind="stable")][:most]


def _replenish(published: Published, days: int, keep: Bools, most: int) -> Ranking:
    due = published.known.due
    customer, pair = strongest(due, due_pairs(published, days, keep))
    # Alerts first: no probability reaches 2.
    order = best(due.soon[pair] + 2.0 * due.alert[pair], most)
    return Ranking(
        customer[order],
        due.soon[pair[order]],
        "probability that the group is bought in the alert's window; alerts come first",
        len(customer),
        pair=pair[order],
    )


def _win_back(published: Published, keep: Bools, most: int) -> Ranking:
    churn = published.known.churn
    if churn is None:
        raise AskError(
            "goal",
            "win_back: expected a version with a churn model, got one without; it takes "
            "half a year of history with customers who stayed away",
        )
    # It has the risk as a factor already.
    means = (
        "expected loss: churn risk times the spend that would be missing, shop currency"
    )
    found = _ranked(churn["expected_loss"], keep, means, most)
    return replace(found, risk=churn["churn_risk"][found.customer])


def _uplift(published: Published, keep: Bools, most: int) -> Ranking:
    uplift, evidence = published.known.uplift, published.known.evidence
    name, means = (
        "expected_extra_spend",
        "extra spend within the horizon because of a contact, shop currency",
    )
    if np.isnan(uplift[name]).all():
        name, means = "uplift", "rise of the purchase probability by a contact"
    said = evidence[name]
    if np.isnan(uplift[name]).all():
        raise AskError(
            "goal",
            f"uplift: expected a version with uplift, got one without: {said.said}",
        )
    # Who buys as much or more when left alone is left alone.
    score = uplift[name]
    found = _ranked(score, keep & (score > 0), means, most)
    return replace(found, evidence=said)


def _product(
    published: Published, products: Rows | None, keep: Bools, most: int
) -> Ranking:
    if products is None or not products.size:
        raise AskError("product_ids", "expected at least one for this goal, got none")
    found = top_customers(replace(published, consent=keep), products, most)
    if len(products) == 1:
        low, high = published.buyers.offsets[products[0] : products[0] + 2]
        total = int(keep[published.buyers.customer[low:high]].sum())
    else:
        total = int(keep.sum())
    means = (
        f"probability of buying at least one of the products within "
        f"{published.horizon_days} days of the cutoff"
    )
    return Ranking(
        found.customer, found.probability, means, total, product=found.product
    )


def lines(
    published: Published,
    ranking: Ranking,
    start: int = 0,
    offers: int = OFFERS,
    at_once: int = 1000,
) -> Iterator[Line]:
    """The lines of a ranking with what to offer, a few at a time.

    Args:
        published: the version of the ranking.
        ranking: of ``rank``.
        start: the first line wanted, from 0.
        offers: products a line at most, from the customer's list; of ``replenish``
            from what is due; ``product`` has its one.
        at_once: lines that are worked out together.
    """
    for low in range(start, len(ranking.customer), at_once):
        some = slice(low, min(low + at_once, len(ranking.customer)))
        yield from _lines(published, ranking, some, offers)


def _lines(
    published: Published, ranking: Ranking, some: slice, offers: int
) -> Iterator[Line]:
    customers = ranking.customer[some].tolist()
    offered = _offers(published, ranking, some, offers)
    due = published.known.due
    risks = None if ranking.risk is None else ranking.risk[some].tolist()
    pairs = None if ranking.pair is None else ranking.pair[some].tolist()
    scores = ranking.score[some].tolist()
    for place, row in enumerate(customers):
        pair = None if pairs is None else pairs[place]
        yield {
            "customer_id": published.customers[row],
            "rank": some.start + place + 1,
            "score": scores[place],
            "product_group": None if pair is None else due.groups[int(due.group[pair])],
            "due_at": None if pair is None else moment(due.due_at[pair]),
            "alert": None if pair is None else bool(due.alert[pair]),
            "churn_risk": None if risks is None else risks[place],
            "products": offered[place],
        }


def _offers(
    published: Published, ranking: Ranking, some: slice, n: int
) -> list[list[Offer]]:
    customers = ranking.customer[some]
    if not n:
        return [[] for _ in customers]
    if ranking.product is not None:
        part = Audience(customers, ranking.score[some], ranking.product[some])
        return _own_product(published, part)
    due = published.known.due
    usual = wishes(published, n)

    @cache
    def of_group(code: int) -> Wishes:
        return group_wishes(published, code, n)

    if ranking.pair is None:
        asks = [usual] * len(customers)
    else:
        asks = [of_group(code) for code in due.group[ranking.pair[some]].tolist()]
    return [
        offers_of(recommend(published, row, ask))
        for row, ask in zip(customers.tolist(), asks, strict=True)
    ]


def offers_of(items: Sequence[Any]) -> list[Offer]:
    """Lines of a list as offers."""
    return [
        {
            "product_id": item["product_id"],
            "probability": item["probability"],
            "reason": item["reason"],
        }
        for item in items
    ]


def _own_product(published: Published, part: Audience) -> list[list[Offer]]:
    names = published.catalogue.names
    # The score is of any of the products, the offer is one of them.
    return [
        [{"product_id": names[row], "probability": None, "reason": reason}]
        if row >= 0
        else []
        for row, reason in zip(
            part.product.tolist(), reasons(published, part), strict=True
        )
    ]
