"""The lines of a list as the API shows them."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, TypedDict

import numpy as np
import numpy.typing as npt

from serving.catalogue import Catalogue
from serving.published import Offers
from serving.render import rounded

FILL_POPULAR = "popularity"
FILL_BOUGHT = "bought"
"""Sources of the lines that fill a short list."""

REASON_BOUGHT = "bought before"
REASON_CATALOGUE = "in the range"

Scores = Sequence[float] | None
"""What lines were ordered by; None: their own scores."""


class Item(TypedDict):
    """One line of a list, as the API shows it.

    Attributes:
        rank: 1-based.
        score: what the list is ordered by; never rises down a list. Offers carry
            the ranker's log odds; where ``weight_by`` asks for it, probability
            times price (and margin rate); with ``diversity`` the marginal
            relevance of ``choose``. Filled lines carry the same of popularity,
            capped by the offer above. Null: not scored.
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


def offered(
    offers: Offers,
    names: tuple[str, ...],
    rows: npt.NDArray[np.int64],
    scores: Scores = None,
) -> list[Item]:
    """Lines of offers, ranked from 1, in the order of ``rows``.

    Args:
        offers: all there are.
        names: product ids.
        rows: of the offers.
        scores: what they were ordered by.
    """
    sources, reasons = offers.sources, offers.reasons
    # ``take`` and ``tolist``: one pass each, and Python numbers to work with.
    columns: Sequence[Sequence[Any]] = (
        offers.product.take(rows).tolist(),
        offers.score.take(rows).tolist() if scores is None else scores,
        offers.probability.take(rows).tolist(),
        offers.reason.take(rows).tolist(),
        offers.source.take(rows).tolist(),
    )
    lines = enumerate(zip(*columns, strict=True), start=1)
    return [
        {
            "product_id": names[product],
            "rank": rank,
            "score": rounded(score),
            "probability": rounded(chance),
            "reason": reasons[reason],
            "source": sources[source],
        }
        for rank, (product, score, chance, reason, source) in lines
    ]


def filled(
    catalogue: Catalogue,
    rows: npt.NDArray[np.int32],
    above: Sequence[Item],
    bought: Sequence[bool],
    scores: Scores = None,
) -> list[Item]:
    """Lines of products that were not offered, below those ``above``.

    Args:
        catalogue: the range.
        rows: products, best first.
        above: the offers of the list.
        bought: which are said to have been bought before, by row.
        scores: what they were ordered by.
    """
    cap = above[-1]["score"] if above else None
    items: list[Item] = []
    for line, row in enumerate(rows.tolist()):
        place = int(catalogue.fill_place[row])
        score = chance = None
        reason = REASON_CATALOGUE
        if place < catalogue.scored:
            score = float(catalogue.score[place] if scores is None else scores[line])
            score = rounded(score if cap is None else min(score, cap))
            chance = rounded(float(catalogue.probability[place]))
            reason = catalogue.reasons[place]
        items.append(
            {
                "product_id": catalogue.names[row],
                "rank": len(above) + line + 1,
                "score": score,
                "probability": chance,
                "reason": REASON_BOUGHT if bought[line] else reason,
                "source": FILL_BOUGHT if bought[line] else FILL_POPULAR,
            }
        )
    return items
