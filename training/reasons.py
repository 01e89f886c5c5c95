"""One plain sentence per offer, for the marketer who reads the list.

Every sentence states counts, dates and ranks as they stand in the history at
the cutoff. Days are whole days before the cutoff, gaps are rounded to a day. A product
is due one usual gap after the customer last bought it.
"""

from __future__ import annotations

from collections.abc import Callable
from datetime import date

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from features.history import Array, Bools, Longs
from features.shelf import subcategory_of
from features.snapshot import DAY_US
from training.generators.fitted import (
    ARRIVALS,
    CATEGORY,
    CO_PURCHASE,
    LOOKED_AT,
    POPULARITY,
    SEGMENT,
    TRENDING,
)
from training.moment import Moment
from training.offers import Scored
from training.rows import find_pairs

MAILER_REACH = 0.5
"""A mailer is named when it reaches at least half of the stores or customers."""

BEST_SELLERS = (20, 100)

DUE_DAYS = 14
"""The day on which a product is due is named when it lies so many days ahead at most."""

_NOT_DUE = DUE_DAYS
_EPOCH = date(1970, 1, 1).toordinal()


def offer_reasons(scored: Scored, horizon_days: int) -> pa.DictionaryArray:
    """The reason of every offer, in the order of ``scored``.

    Args:
        scored: offers with their moment.
        horizon_days: how far ahead ``Shelf.mailer`` looks.

    Returns:
        Texts, coded, shape ``[row]``; equal texts have one code.
    """
    texts = np.full(len(scored), "customers with similar baskets buy it", dtype=object)
    texts[~scored.is_new] = _again(scored, np.flatnonzero(~scored.is_new))
    for source, sentences in (
        (POPULARITY, _popular),
        (CATEGORY, _group),
        (CO_PURCHASE, _co),
        (LOOKED_AT, _looked_at),
        (SEGMENT, _segment),
        (TRENDING, _trending),
        (ARRIVALS, _arrived),
    ):
        rows = np.flatnonzero(scored.is_new & (scored.source == source))
        texts[rows] = sentences(scored, rows)
    texts[mailed(scored)] += f"; in a mailer within the next {horizon_days} days"
    return pa.array(texts, type=pa.string()).dictionary_encode()


def cold_start_reason(place: int) -> str:
    """Why a product stands at a 0-based place of the cold-start list."""
    for best in BEST_SELLERS:
        if place < best:
            return f"one of the {best} best sellers of the last four weeks"
    return "best sellers of the last four weeks come first"


def _again(scored: Scored, rows: Longs) -> Array:
    moment, pair = scored.moment, scored.pair[rows]
    pairs = moment.pairs["product"]
    orders = pairs.orders[pair]
    gap = np.where(orders > 2, np.rint(np.nan_to_num(pairs.gap_mean[pair])), -1)
    # With a gap of a day or more, the count itself need not be told apart.
    orders = np.where(gap >= 1, 3, orders)
    last = pairs.last_us[pair]
    due = last // DAY_US + gap.astype(np.int64)
    # Of a habit that is over, or due in weeks, no day is told.
    today = moment.cutoff_us // DAY_US
    near = (due >= today - gap) & (due < today + DUE_DAYS) & (gap >= 1)
    due = np.where(near, due - today, _NOT_DUE)

    def text(orders: int, gap: int, last: int, due: int) -> str:
        day = None if due == _NOT_DUE else date.fromordinal(_EPOCH + today + due)
        return _again_text(orders, gap, last, _due(day, late=due < 0))

    return _written(text, orders, gap, _days_ago(moment, last), due)


def _again_text(orders: int, gap: int, last: int, due: str) -> str:
    if gap >= 1:
        every = "every day" if gap == 1 else f"about every {gap} days"
        return f"buys it {every}, last bought {_ago(last)}{due}"
    if orders == 1:
        return f"bought once, {_ago(last)}"
    return f"bought {orders} times, last {_ago(last)}"


def _due(day: date | None, *, late: bool) -> str:
    if day is None:
        return ""
    return f", {'was due' if late else 'due'} on {day:%A}, {day.day} {day:%B}"


def _popular(scored: Scored, rows: Longs) -> Array:
    lines = scored.moment.shelf.lines_28d
    rank = np.empty(len(lines), dtype=np.int64)
    rank[np.lexsort((np.arange(len(lines)), -lines))] = np.arange(len(lines))
    product = scored.product[rows]
    best = np.searchsorted(BEST_SELLERS, rank[product], side="right")
    sold = np.where(best < len(BEST_SELLERS), 0, lines[product])
    return _written(_popular_text, best, sold)


def _popular_text(best: int, sold: int) -> str:
    if best < len(BEST_SELLERS):
        return f"one of the {BEST_SELLERS[best]} best sellers of the last four weeks"
    return f"sold {sold} times in the last four weeks"


def _group(scored: Scored, rows: Longs) -> Array:
    moment = scored.moment
    group_of = moment.group_of["subcategory"]
    words = group_words(moment)
    lines = moment.shelf.lines_28d
    rank = np.zeros(len(lines), dtype=np.int64)
    order = np.lexsort((np.arange(len(lines)), -lines, group_of))
    starts = np.flatnonzero(np.diff(group_of[order], prepend=-2))
    sizes = np.diff(np.append(starts, len(order)))
    rank[order] = np.arange(len(order)) - np.repeat(starts, sizes) + 1
    product = scored.product[rows]
    pairs = moment.pairs["subcategory"]
    anchor = np.where(scored.anchor[rows] < 0, group_of[product], scored.anchor[rows])
    at = find_pairs(pairs, scored.customer[rows], anchor)
    orders = np.where(at >= 0, pairs.orders[at], 0)

    def text(group: int, place: int, anchor: int, times: int) -> str:
        if anchor == group:
            return (
                f"number {place} in {words[group]}, where the customer "
                f"bought {_times(times)}"
            )
        return (
            f"number {place} in {words[group]}, which often follows {words[anchor]}, "
            f"bought {_times(times)}"
        )

    return _written(text, group_of[product], rank[product], anchor, orders)


def _looked_at(scored: Scored, rows: Longs) -> Array:
    interest = scored.moment.interest
    at = find_pairs(interest, scored.customer[rows], scored.product[rows])
    kind = np.where(
        interest.carts[at] > 0, 2, np.where(interest.inquiries[at] > 0, 1, 0)
    )
    # The latest event may be of another kind than the one that is named.
    named = ("looked at", "asked about", "put in a cart")
    return _written(
        lambda kind, days: f"{named[kind]}, interest last shown {_ago(days)}",
        kind,
        _days_ago(scored.moment, interest.last_us[at]),
    )


def _segment(scored: Scored, rows: Longs) -> Array:
    segments = scored.segments
    return _written(
        lambda segment: f"popular in the customer's {segments[segment]}",
        scored.anchor[rows],
    )


def _trending(scored: Scored, rows: Longs) -> Array:
    shelf, product = scored.moment.shelf, scored.product[rows]
    return _written(
        lambda week, season: (
            f"sold {week} times in the last week, {season / 12:.1f} times in a usual one"
        ),
        shelf.lines_7d[product],
        shelf.lines_84d[product],
    )


def _arrived(scored: Scored, rows: Longs) -> Array:
    shelf, product = scored.moment.shelf, scored.product[rows]
    return _written(
        lambda days, sold: (
            f"new: first sold {_ago(days)}, {_times(sold)} in the last 12 weeks"
            if days >= 0
            else "new: not sold yet"
        ),
        np.nan_to_num(shelf.days_since_first[product], nan=-1.0),
        shelf.lines_84d[product],
    )


def _co(scored: Scored, rows: Longs) -> Array:
    moment = scored.moment
    names, pairs = moment.history.products.names, moment.pairs["product"]
    anchor, product = scored.anchor[rows], scored.product[rows]
    at = find_pairs(pairs, scored.customer[rows], anchor)
    share = scored.generators.co_purchase.together.percent(anchor, product)
    last = _days_ago(moment, pairs.last_us[at])
    return _written(
        lambda other, percent, days: (
            (
                f"{percent} % of those who bought {names[other]} bought it too; "
                f"{names[other]} was bought {_ago(days)}"
            )
            if other >= 0
            else "customers with similar baskets buy it"
        ),
        anchor,
        share,
        last,
    )


def group_words(moment: Moment) -> tuple[str, ...]:
    """Text of each code of the level ``subcategory``."""
    return subcategory_of(moment.history.products)[1]


def _days_ago(moment: Moment, us: Longs) -> Longs:
    return (moment.cutoff_us - us) // DAY_US


def _ago(days: int) -> str:
    if days == 0:
        return "within the last day"
    return "1 day ago" if days == 1 else f"{days} days ago"


def _times(count: int) -> str:
    return "once" if count == 1 else f"{count} times"


def _written(write: Callable[..., str], *numbers: npt.ArrayLike) -> Array:
    """``write`` of each row's whole numbers; called once per distinct row."""
    columns = [np.asarray(number).astype(np.int64) for number in numbers]
    key = np.zeros(len(columns[0]), dtype=np.int64)
    for column in columns:
        low = int(column.min(initial=0))
        key = key * (int(column.max(initial=0)) - low + 1) + column - low
    _, first, back = np.unique(key, return_index=True, return_inverse=True)
    texts = [write(*(int(column[i]) for column in columns)) for i in first]
    return np.array(texts, dtype=object)[back] if texts else np.zeros(0, dtype=object)


def mailed(scored: Scored) -> Bools:
    """Offers with a mailer that is named in the reason, ``[row]``."""
    return scored.moment.shelf.mailer[scored.product] >= MAILER_REACH
