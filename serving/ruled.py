"""Lists with rules: the pool of a customer, the choice, the lines.

The pool is the customer's offers that pass the filters, by what the list is
weighted by, and below them what fills a list (``recommend``). Filled lines stand
below all offers whatever the rules: the models did not score them.
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from serving.choose import Choice, Pool, choose
from serving.lines import Item, Scores, filled, offered
from serving.rules import NO_RULES
from serving.view import View
from serving.wishes import ProductRows, Wishes

_NOTHING = np.zeros(0, dtype=np.int32)
_NO_OFFERS = Pool(_NOTHING, np.zeros(0, np.int64), np.zeros(0), np.zeros(0, dtype=bool))

DIVERSE_FILL = 300
"""So many filling products at least are there to be diverse among, most popular
first."""


def ruled(view: View | None, ask: Wishes) -> list[Item]:
    """The list of one customer under ``ask.rules``; see ``Rules`` for what yields.

    Args:
        view: what the version that answers has of the customer; None: nothing.
        ask: with rules.
    """
    allowed, bought = ask.allowed.copy(), _NOTHING
    if view is None:
        pool = _NO_OFFERS
    else:
        bought = view.bought
        if view.resting is not None:
            allowed[view.resting] = False
        pool = _offers(view, ask, allowed)
    choice = choose(pool, ask)
    if not choice.meets:
        pool = _with_fill(ask, pool, allowed, bought)
        choice = choose(pool, ask)
    return _lines(view, ask, pool, choice)


def _offers(view: View, ask: Wishes, allowed: npt.NDArray[np.bool_]) -> Pool:
    """Offers that pass, best first; ties keep the order of the build."""
    offers, start, stop = view.offers, view.start, view.stop
    product = offers.product[start:stop]
    keep = allowed.take(product)
    if ask.lane != "mixed":
        keep = keep & (offers.is_new[start:stop] == (ask.lane == "new"))
    rows = start + keep.nonzero()[0]
    product = offers.product.take(rows)
    worth = offers.probability.take(rows) * ask.order.each.take(product)
    if (ask.rules or NO_RULES).weight_by != "probability":
        by = np.argsort(-worth, kind="stable")
        rows, product, worth = rows[by], product[by], worth[by]
    return Pool(product, rows, worth, offers.is_new.take(rows).astype(bool))


def _with_fill(
    ask: Wishes, pool: Pool, allowed: npt.NDArray[np.bool_], bought: ProductRows
) -> Pool:
    """The pool with all filling products that its list can come to need."""
    open_ = allowed.copy()
    open_[pool.product] = False
    if ask.lane == "again":
        rows = bought
    else:
        if ask.lane == "new":
            open_[bought] = False
        rows = _deep_enough(ask, open_, bought)
    rows = np.unique(rows)
    rows = rows[open_.take(rows)]
    rows = rows[np.argsort(ask.order.place.take(rows))]
    return Pool(
        product=np.concatenate([pool.product, rows]),
        offer=np.concatenate([pool.offer, np.full(rows.size, -1, dtype=np.int64)]),
        worth=np.concatenate([pool.worth, ask.order.worth.take(rows)]),
        is_new=np.concatenate([pool.is_new, ~np.isin(rows, bought)]),
    )


def _deep_enough(
    ask: Wishes, open_: npt.NDArray[np.bool_], bought: ProductRows
) -> ProductRows:
    """Products of the fill among which the list is complete, in no order.

    Of each part that a rule limits (a category under the cap, both lanes, recent
    arrivals) as many as the list can take, and as many more as are closed to this
    customer, since those may all stand in front.
    """
    rules = ask.rules or NO_RULES
    closed = (ask.allowed & ~open_).nonzero()[0]
    least = DIVERSE_FILL if rules.diversity > 0 else 0
    size = max(ask.n + closed.size, least)
    parts = [ask.fill[:size]]
    if rules.new_share is not None:
        parts += [ask.fill[: size + bought.size], bought]
    if rules.min_new_arrivals:
        parts.append(ask.fill_arrived[:size])
    if rules.max_per_category is not None:
        code = ask.catalogue.category
        room = rules.max_per_category + np.bincount(
            code[closed] + 1, minlength=len(ask.catalogue.categories) + 1
        )
        # What has no category is not limited.
        room[0] = size
        parts += [ask.fill[ask.depth < room[code[ask.fill] + 1]]]
        if rules.min_new_arrivals:
            rows = ask.fill_arrived
            parts.append(rows[ask.depth_arrived < room[code[rows] + 1]])
        if rules.new_share is not None:
            room = room + np.bincount(code[bought] + 1, minlength=room.size)
            parts.append(ask.fill[ask.depth < room[code[ask.fill] + 1]])
    return np.concatenate(parts)


def _lines(view: View | None, ask: Wishes, pool: Pool, choice: Choice) -> list[Item]:
    rules = ask.rules or NO_RULES
    rows = choice.rows
    offers = int((pool.offer[rows] >= 0).sum())
    scores: Scores = choice.gains
    if scores is None and rules.weight_by != "probability":
        scores = pool.worth[rows].tolist()
    first = None if scores is None else scores[:offers]
    items: list[Item] = []
    if view is not None:
        names = ask.catalogue.names
        items = offered(view.offers, names, pool.offer[rows[:offers]], first)
    rest = rows[offers:]
    told = ask.lane == "again" or rules.new_share is not None
    bought = (~pool.is_new[rest] & told).tolist()
    last = None if scores is None else scores[offers:]
    return items + filled(ask.catalogue, pool.product[rest], items, bought, last)
