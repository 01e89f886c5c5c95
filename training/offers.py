"""Offers: scored candidates, the lists cut from them, and the cold start."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
from numba import njit
from scipy.special import expit

from features.history import Bools, Floats, Ints, Longs
from features.pairs import Singles
from training.candidates import Candidates
from training.generators.co_purchase import CoPurchase
from training.generators.fitted import CATEGORY, CO_PURCHASE, SEGMENT, Generators
from training.generators.generator import codes_of, rows_of
from training.generators.successors import Successors
from training.moment import Moment
from training.predictions import LANES
from training.service_life import ServiceLife, service_life

FITTED_LANES = ("again", "new")
"""Bought before by the customer, never bought: *mixed* is their merge."""


@dataclass(frozen=True)
class Scored:
    """Offers, ordered by customer, then score (best first).

    Attributes:
        customer, product: codes, shape ``[row]``.
        is_new: never bought by the customer.
        score: log odds of ``probability``; both compare across lanes.
        probability: P(the customer buys the product within the horizon).
        source: index into ``generators.SOURCES``.
        pair: row in the product pairs of the same moment; -1: never bought.
        anchor: what speaks most for the offer: the bought product of a co-purchase,
            the bought group of a category offer, the customer's segment (an index
            into ``segments``); -1: other sources.
        segments: texts.
        moment: what was known at the cutoff.
        generators: fitted at that moment; their candidates these offers are.
    """

    customer: Ints
    product: Ints
    is_new: Bools
    score: Singles
    probability: Singles
    source: npt.NDArray[np.int8]
    pair: Longs
    anchor: Ints
    segments: tuple[str, ...]
    moment: Moment
    generators: Generators

    def __len__(self) -> int:
        return len(self.customer)


Parts = tuple[Ints, Ints, Bools, Singles, Singles, npt.NDArray[np.int8], Longs]
"""Columns of ``Scored`` for some customers, up to ``pair``."""


def best_of_lanes(found: Candidates, score: Floats, keep: int) -> Parts:
    """The best ``keep`` of each lane per customer, in the order of ``Scored``."""
    is_new = found.is_new
    # Ties: bought before first, then the lower code, that is, product id.
    by = np.lexsort((found.product, is_new, -score, found.customer))
    place = np.zeros(len(by), dtype=np.int64)
    for lane in (False, True):
        mine = is_new[by] == lane
        place[mine] = place_within(found.customer[by][mine])
    by = by[place < keep]
    return (
        found.customer[by],
        found.product[by],
        is_new[by],
        score[by].astype(np.float32),
        probability_of(score[by]),
        found.source[by],
        found.pair[by],
    )


def probability_of(score: Floats) -> Singles:
    """Probabilities of calibrated log odds, as they are shown everywhere."""
    return expit(score).astype(np.float32)


def scored_of(parts: Sequence[Parts], generators: Generators) -> Scored:
    """All parts in one, with what speaks most for each offer."""
    types = (np.int32, np.int32, np.bool_, np.float32, np.float32, np.int8, np.int64)
    empty = tuple(np.zeros(0, dtype=dtype) for dtype in types)
    columns = [np.concatenate(column) for column in zip(empty, *parts, strict=True)]
    customer, product, is_new, score, probability, source, pair = columns
    anchor = np.full(len(customer), -1, dtype=np.int32)
    for one, find in (
        (CO_PURCHASE, lambda c, p: anchors(generators.co_purchase, c, p)),
        (CATEGORY, lambda c, p: bought_groups(generators.category, c, p)),
        (SEGMENT, lambda c, _: generators.segment.largest[c]),
    ):
        rows = np.flatnonzero(is_new & (source == one))
        anchor[rows] = find(customer[rows], product[rows])
    return Scored(
        customer,
        product,
        is_new,
        score,
        probability,
        source,
        pair,
        anchor,
        generators.segment.words,
        generators.moment,
        generators,
    )


def anchors(made: CoPurchase, customer: Ints, product: Ints) -> Ints:
    """The bought product that speaks most for each offer, ``[row]``, -1: none."""
    column = np.full(int(product.max(initial=-1)) + 1, -1, dtype=np.int64)
    inside = made.items[made.items < len(column)]
    column[inside] = np.arange(len(inside))
    taken = made.taken
    best = _strongest(
        taken.indptr, taken.indices, taken.data, made.weights, customer, column[product]
    )
    return codes_of(made.items, best)


def bought_groups(made: Successors, customer: Ints, product: Ints) -> Ints:
    """The group that speaks most for each offer, ``[row]``, -1: none."""
    group = made.group[np.searchsorted(made.items, product)]
    needs = made.needs
    best = _strongest(
        needs.indptr,
        needs.indices,
        needs.data,
        made.follows.toarray(),
        customer,
        group.astype(np.int64),
    )
    return best.astype(np.int32)


def top_n(scored: Scored, lane: str, n: int) -> tuple[Ints, Ints, Longs]:
    """The first ``n`` available offers of a list for every customer.

    What is not available, and durables that the customer has already (see
    ``service_life``), are left out as the API leaves them out, so that what is
    measured is what would be offered. ``available`` carries no date: at a past
    cutoff it is what the product table says today.

    Args:
        scored: offers.
        lane: one of ``predictions.LANES``.
        n: length; shorter where there are fewer candidates.

    Returns:
        Customer code, rank (1-based) and row of ``scored``, by customer, rank.

    Raises:
        ValueError: there is no such list.
    """
    if lane not in LANES:
        raise ValueError(f"list: expected {', '.join(LANES)}, got {lane!r}")
    fits = scored.moment.history.products.available[scored.product] & ~_rests(scored)
    if lane != "mixed":
        fits = fits & (scored.is_new == (lane == "new"))
    rows = np.flatnonzero(fits)
    place = place_within(scored.customer[rows])
    rows = rows[place < n]
    return scored.customer[rows], (place[place < n] + 1).astype(np.int32), rows


def _rests(scored: Scored) -> Bools:
    """Offers of durables that last still, ``[row]``."""
    pairs, lives = scored.moment.pairs["product"], lives_of(scored.moment)
    if lives is None:
        return np.zeros(len(scored), dtype=np.bool_)
    bought = (pairs.customer, pairs.item, pairs.last_us)
    return lives.rests(scored.customer, scored.product, bought, scored.moment.cutoff_us)


def lives_of(moment: Moment) -> ServiceLife | None:
    """Service lives of the moment's products; None: nothing is durable."""
    products = moment.history.products
    return service_life(products.service_life_days, products.subcategory)


def rests_of(
    lives: ServiceLife | None, moment: Moment, customers: Ints, found: Candidates
) -> Bools | None:
    """Candidates that are durables which last still; None: the shop has none.

    Args:
        lives: ``lives_of`` the moment.
        moment: at which they were found.
        customers: codes of the candidates' customers, ascending.
        found: candidates, ``[row]``.
    """
    if lives is None:
        return None
    pairs = moment.pairs["product"]
    # Theirs only: each chunk of customers reads its own part of the history.
    own, row = rows_of(pairs.offsets, customers)
    bought = (customers[row], pairs.item[own], pairs.last_us[own])
    return lives.rests(found.customer, found.product, bought, moment.cutoff_us)


def as_lists(scored: Scored, lane: str, n: int, customers: Ints) -> Ints:
    """``top_n`` as a matrix, ``[customer, n]``, -1: no offer."""
    customer, rank, rows = top_n(scored, lane, n)
    lists = np.full((len(scored.moment.history.customers), n), -1, dtype=np.int32)
    lists[customer, rank - 1] = scored.product[rows]
    return lists[customers]


@dataclass(frozen=True)
class ColdStart:
    """Available products for customers without history, best first.

    Attributes:
        product: codes, shape ``[product]``.
        score: purchased lines of the last 28 days.
        probability: P(a customer of the last 84 days buys it in the horizon),
            as seen in the last horizon before the cutoff.
    """

    product: Ints
    score: Singles
    probability: Singles


def cold_start(moment: Moment) -> ColdStart:
    """Every available product by popularity; ties by product id."""
    counts, available = moment.counts, moment.history.products.available
    lines, buyers = moment.shelf.lines_28d, counts.buyers_lately
    order = np.lexsort((np.arange(len(lines)), -buyers, -lines))
    order = order[available[order]].astype(np.int32)
    return ColdStart(
        order,
        lines[order],
        (buyers[order] / max(counts.active, 1)).astype(np.float32),
    )


def place_within(customer: Ints) -> Ints:
    """0-based place of each row among the rows of its customer, ``[row]``.

    Args:
        customer: codes; rows of one customer stand together.
    """
    starts = np.flatnonzero(np.diff(customer, prepend=-1))
    sizes = np.diff(np.append(starts, len(customer)))
    return (np.arange(len(customer)) - np.repeat(starts, sizes)).astype(np.int32)


@njit(cache=True, nogil=True)  # pyright: ignore[reportUntypedFunctionDecorator]
def _strongest(
    offsets: Any, items: Any, values: Any, weights: Any, customer: Any, column: Any
) -> Any:
    """Item with the largest positive share of each score, -1: none."""
    best = np.full(len(customer), -1, dtype=np.int64)
    for row in range(len(customer)):
        most = 0.0
        if column[row] < 0:
            continue
        for at in range(offsets[customer[row]], offsets[customer[row] + 1]):
            share = values[at] * weights[items[at], column[row]]
            if share > most:
                most = share
                best[row] = items[at]
    return best
