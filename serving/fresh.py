"""Events since the cutoff, folded into one customer's view at once.

Pure: a published version, a customer and their events in, a ``View`` out. What was
bought since is judged by how soon such products are bought again, all others by what
the snapshot said and what the events change in it (``training.fresh``).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
from scipy.special import expit

from serving.fresh_words import Words, sources_and_reasons
from serving.published import Offers, Published
from serving.state.log import LogRow
from serving.view import View, published_view
from training.fresh_rows import NOBODY, Before, rows_of
from training.since import BOUGHT, KINDS, RETURNED, Fresh, Since, since_of


@dataclass(frozen=True)
class Lately:
    """What one customer did since the version's cutoff.

    Attributes:
        events: at least one; products are rows of the version's table.
        now_us: moment of the answer, microseconds since 1970-01-01.
    """

    events: Fresh
    now_us: int


def lately_of(
    published: Published, rows: Sequence[LogRow], now_us: int
) -> Lately | None:
    """Rows of the log that offers depend on; None: there are none.

    Args:
        published: the version; what happened before its cutoff, and products that
            it lacks, are left out.
        rows: of one customer.
        now_us: see ``Lately``.
    """
    found: list[tuple[int, int, int, float]] = []
    for row in rows:
        kind = _kind(row)
        if kind is None or row.product_id is None or row.ts_us < published.cutoff_us:
            continue
        product = published.catalogue.ids.row(row.product_id)
        if product is not None:
            pieces = 1.0 if row.quantity is None else abs(row.quantity)
            found.append((kind, product, row.ts_us, pieces))
    if not found:
        return None
    kinds, products, moments, quantities = zip(*found, strict=True)
    fresh = Fresh(
        kind=np.array(kinds, np.int8),
        product=np.array(products, np.int32),
        ts=np.array(moments, np.int64),
        quantity=np.array(quantities, np.float32),
    )
    return Lately(fresh, now_us)


def _kind(row: LogRow) -> int | None:
    """Kind of a fresh event; None: offers do not depend on it."""
    if row.table == "purchases":
        returned = row.quantity is not None and row.quantity < 0
        return RETURNED if returned else BOUGHT
    return KINDS.get(row.table, {}).get(row.kind or "")


def view_of(
    published: Published, customer: int | None, lately: Lately | None
) -> View | None:
    """What lists of a customer are made from; None: nothing is known of them.

    Args:
        published: the version to answer from.
        customer: row of the customer; None: the version does not know them.
        lately: None, or events that come to nothing: the published view itself.
    """
    if lately is not None:
        since = since_of(lately.events, published.fresh.weights)
        if since.orders.any() or since.interest.any():
            return _refreshed(published, customer, since, lately.now_us)
    return None if customer is None else published_view(published, customer)


def _refreshed(
    published: Published, customer: int | None, since: Since, now_us: int
) -> View:
    before = _before(published, customer)
    model = published.fresh.model
    rows = rows_of(published.shop, before, since, now_us, fold=model.folds_in)
    score = model.log_odds(rows).astype(np.float32)
    # Ties keep the order of the build.
    by = np.argsort(-score, kind="stable")
    rows, score = rows.take(by), score[by]
    offers = published.offers
    old = np.full(rows.product.size, -1)
    offered = np.flatnonzero(by < before.product.size)
    start = 0 if customer is None else int(offers.offsets[customer])
    old[offered] = start + by[offered]
    told = sources_and_reasons(Words(published, since, now_us), rows, old)
    fresh = Offers(
        offsets=np.array([0, score.size], dtype=np.int64),
        product=rows.product,
        is_new=rows.is_new.astype(np.uint8),
        score=score,
        probability=expit(score),
        source=told.source,
        reason=told.reason,
        sources=told.sources,
        reasons=told.reasons,
    )
    just = since.product[since.orders > 0]
    bought = np.union1d(before.bought, just).astype(np.int32)
    return View(
        fresh, 0, score.size, bought, _resting(published, customer, since, now_us)
    )


def _before(published: Published, customer: int | None) -> Before:
    if customer is None:
        return NOBODY
    offers = published.offers
    own = slice(*offers.offsets[customer : customer + 2])
    low, high = published.bought_offsets[customer : customer + 2]
    return Before(
        offers.product[own],
        offers.is_new[own],
        offers.score[own],
        published.bought_products[low:high],
        published.bought_weight[low:high],
    )


def _resting(
    published: Published, customer: int | None, since: Since, now_us: int
) -> npt.NDArray[np.int32] | None:
    """Durables that last still, those bought since among them."""
    if published.lives is None:
        return None
    just = since.orders > 0
    product, last = since.product[just], since.bought_us[just]
    if customer is not None:
        low, high = published.bought_offsets[customer : customer + 2]
        # A product may stand twice: it rests as long as either purchase says.
        product = np.concatenate((published.bought_products[low:high], product))
        last = np.concatenate((published.last_bought[low:high], last))
    rows = published.lives.resting(product, last, now_us)
    return rows if rows.size else None
