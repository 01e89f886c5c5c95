"""Top-n lists from a published version and the wishes of one request.

Pure: arrays in, rows out; no clock, no state. The offers of a customer stand
best first, a list is the first ``n`` of them that pass. When fewer pass, the
list is filled: *mixed* with popular products, *new* with popular products never
bought before, *again* with the other products bought before, most popular
first. Durables that the customer has already are in no list (``service_life``).
Ties keep the order of the build; nothing is shown twice. Lists with ``Rules``
are made in ``ruled``. What a customer did since the build changes their ``View``
of it, and nothing else.
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from serving.fresh import Lately, view_of
from serving.lines import Item, filled, offered
from serving.published import Published
from serving.ruled import ruled
from serving.view import View
from serving.wishes import ProductRows, Wishes, wishes

__all__ = ["Item", "Lately", "Wishes", "listed", "recommend", "wishes", "written"]


def recommend(
    published: Published,
    customer: int | None,
    ask: Wishes,
    lately: Lately | None = None,
) -> list[Item]:
    """The list of one customer: exactly ``ask.n`` items where that many exist.

    Args:
        published: the version to answer from.
        customer: row of the customer; None: unknown, who gets the cold-start
            list, or one of their own from what they did since. Without a purchase
            since, *again* is empty for them: nothing was bought before.
        ask: see ``wishes``.
        lately: what they did since the version's cutoff; None: nothing.
    """
    return listed(view_of(published, customer, lately), ask)


def listed(view: View | None, ask: Wishes) -> list[Item]:
    """The same from a view of the customer; None: nothing is known of them."""
    if view is None and ask.lane == "again":
        return []
    if ask.rules is not None:
        return ruled(view, ask)
    if view is None:
        rows = ask.fill[: ask.n]
        return filled(ask.catalogue, rows, [], [False] * rows.size)
    offers, allowed = view.offers, ask.allowed
    resting = view.resting
    if resting is not None:
        allowed = allowed.copy()
        allowed[resting] = False
    start, stop = view.start, view.stop
    product = offers.product[start:stop]
    keep = allowed.take(product)
    if ask.lane != "mixed":
        keep = keep & (offers.is_new[start:stop] == (ask.lane == "new"))
    chosen = keep.nonzero()[0][: ask.n]
    items = offered(offers, ask.catalogue.names, start + chosen)
    if chosen.size < ask.n:
        closed = 0 if resting is None else resting.size
        more = _more(ask, allowed, closed, product[chosen], view.bought)
        again = [ask.lane == "again"] * more.size
        items += filled(ask.catalogue, more, items, again)
    return items


def written(published: Published, customer: int, ask: Wishes) -> bytes | None:
    """The same as JSON, of a customer who did nothing since.

    Returns:
        None: the list has rules or must be filled, so ``listed`` has to make it.
    """
    if ask.rules is not None:
        return None
    allowed, resting = ask.allowed, published.resting(customer)
    if resting is not None:
        allowed = allowed.copy()
        allowed[resting] = False
    start, stop = published.offers.offsets[customer : customer + 2]
    return published.renderer.lines(start, stop, ask.lane, allowed, ask.n)


def _more(
    ask: Wishes,
    allowed: npt.NDArray[np.bool_],
    closed: int,
    listed: ProductRows,
    bought: ProductRows,
) -> ProductRows:
    """Products that fill a list of which ``listed`` stand already.

    ``allowed`` are those of ``ask`` without the ``closed`` ones that rest.
    """
    missing = ask.n - listed.size
    if ask.lane == "again":
        rest = bought[allowed[bought] & ~np.isin(bought, listed)]
        place = ask.catalogue.fill_place[rest]
        return rest[np.argsort(place)][:missing]
    barred = listed if ask.lane == "mixed" else np.concatenate([listed, bought])
    # So many suffice, even if all the barred ones stand in front.
    head = ask.fill[: missing + barred.size + closed]
    return head[allowed[head] & ~np.isin(head, barred)][:missing]
