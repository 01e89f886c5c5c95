"""Top-n lists from a published version and the wishes of one request.

Pure: arrays in, rows out; no clock, no state. The offers of a customer stand
best first, a list is the first ``n`` of them that pass. When fewer pass, the
list is filled: *mixed* with popular products, *new* with popular products never
bought before, *again* with the other products bought before, most popular
first. Ties keep the order of the build; nothing is shown twice.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any, Literal, TypedDict

import numpy as np
import numpy.typing as npt

from serving.published import Catalogue, Published

Lane = Literal["mixed", "again", "new"]

FILL_POPULAR = "popularity"
FILL_BOUGHT = "bought"
"""Sources of the lines that fill a short list."""

REASON_BOUGHT = "bought before"
REASON_CATALOGUE = "in the range"

_Rows = npt.NDArray[np.int32]


class Item(TypedDict):
    """One line of a list, as the API shows it.

    Attributes:
        rank: 1-based.
        score: never rises down a list. Offers carry the ranker's; filled lines
            that of popularity, capped by the line above. Null: not scored.
        probability: P(buys this product within the published horizon).
            Null: not estimated.
        source: the strongest generator, ``popularity`` or ``bought``.
    """

    product_id: str
    rank: int
    score: float | None
    probability: float | None
    reason: str
    source: str


@dataclass(frozen=True)
class Wishes:
    """What one request asks for every customer in it.

    Attributes:
        n: length of the list.
        lane: ``mixed``, ``again`` (bought before) or ``new`` (never bought).
        allowed: bool ``[product]``, products that pass the filters.
    """

    catalogue: Catalogue
    n: int
    lane: Lane
    allowed: npt.NDArray[np.bool_]

    @cached_property
    def fill(self) -> _Rows:
        """Allowed products in fill order; worked out at most once a request."""
        order = self.catalogue.fill_order
        return order[self.allowed[order]]


def wishes(
    published: Published,
    n: int,
    lane: Lane = "mixed",
    categories: Iterable[str] = (),
    without: Iterable[str] = (),
    *,
    available_only: bool = True,
) -> Wishes:
    """The filters of a request as one mask over all products.

    Args:
        published: the version to answer from.
        n: length of each list, at least 1.
        lane: which of the three lists.
        categories: only these; none given means all. A category that the
            catalogue lacks matches nothing.
        without: product ids that must not appear; unknown ids are ignored.
        available_only: leave out products that cannot be bought now.

    Raises:
        ValueError: ``n`` is below 1.
    """
    if n < 1:
        raise ValueError(f"n: expected at least 1, got {n}")
    catalogue = published.catalogue
    if available_only:
        allowed = catalogue.available
    else:
        allowed = np.ones(len(catalogue.names), dtype=bool)
    if names := set(categories):
        codes = [
            c for name in names if (c := catalogue.categories.get(name)) is not None
        ]
        allowed = allowed & np.isin(catalogue.category, codes)
    rows = [row for text in without if (row := catalogue.ids.row(text)) is not None]
    if rows:
        allowed = allowed.copy()
        allowed[rows] = False
    return Wishes(catalogue, n, lane, allowed)


def recommend(published: Published, customer: int | None, ask: Wishes) -> list[Item]:
    """The list of one customer: exactly ``ask.n`` items where that many exist.

    Args:
        published: the version to answer from.
        customer: row of the customer; None: unknown, who gets the cold-start
            list. *Again* is empty for them: nothing was bought before.
        ask: see ``wishes``.
    """
    if customer is None:
        return [] if ask.lane == "again" else _filled(ask, ask.fill[: ask.n], [])
    offers = published.offers
    start, stop = offers.offsets[customer], offers.offsets[customer + 1]
    product = offers.product[start:stop]
    keep = ask.allowed.take(product)
    if ask.lane != "mixed":
        keep = keep & (offers.is_new[start:stop] == (ask.lane == "new"))
    chosen = keep.nonzero()[0][: ask.n]
    items = _offered(published, start + chosen)
    if chosen.size < ask.n:
        low, high = published.bought_offsets[customer : customer + 2]
        bought = published.bought_products[low:high]
        more = _more(ask, product[chosen], bought)
        items += _filled(ask, more, items)
    return items


def _offered(published: Published, rows: npt.NDArray[np.int64]) -> list[Item]:
    offers, names = published.offers, published.catalogue.names
    sources, reasons = offers.sources, offers.reasons
    # ``take`` and ``tolist``: one pass each, and Python numbers to work with.
    columns: Sequence[list[Any]] = (
        offers.product.take(rows).tolist(),
        offers.score.take(rows).tolist(),
        offers.probability.take(rows).tolist(),
        offers.reason.take(rows).tolist(),
        offers.source.take(rows).tolist(),
    )
    lines = enumerate(zip(*columns, strict=True), start=1)
    return [
        {
            "product_id": names[product],
            "rank": rank,
            "score": score,
            "probability": chance,
            "reason": reasons[reason],
            "source": sources[source],
        }
        for rank, (product, score, chance, reason, source) in lines
    ]


def _more(ask: Wishes, listed: _Rows, bought: _Rows) -> _Rows:
    """Products that fill a list of which ``listed`` stand already."""
    missing = ask.n - listed.size
    if ask.lane == "again":
        rest = bought[ask.allowed[bought] & ~np.isin(bought, listed)]
        place = ask.catalogue.fill_place[rest]
        return rest[np.argsort(place)][:missing]
    barred = listed if ask.lane == "mixed" else np.concatenate([listed, bought])
    # So many suffice, even if all the barred ones stand in front.
    head = ask.fill[: missing + barred.size]
    return head[~np.isin(head, barred)][:missing]


def _filled(ask: Wishes, rows: _Rows, above: Sequence[Item]) -> list[Item]:
    catalogue = ask.catalogue
    again = ask.lane == "again"
    cap = above[-1]["score"] if above else None
    items: list[Item] = []
    for rank, row in enumerate(rows.tolist(), start=len(above) + 1):
        place = int(catalogue.fill_place[row])
        score = chance = None
        reason = REASON_CATALOGUE
        if place < catalogue.scored:
            score = float(catalogue.score[place])
            score = score if cap is None else min(score, cap)
            chance = float(catalogue.probability[place])
            reason = catalogue.reasons[place]
        items.append(
            {
                "product_id": catalogue.names[row],
                "rank": rank,
                "score": score,
                "probability": chance,
                "reason": REASON_BOUGHT if again else reason,
                "source": FILL_BOUGHT if again else FILL_POPULAR,
            }
        )
    return items
