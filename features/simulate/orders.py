"""Orders of a chunk of customers, and their lines.

Unplanned orders are a Poisson process with the customer's own rate while the
customer stays; a campaign that contacts them raises it by their uplift.
Planned orders hold one replenished product, which is bought again every cycle.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import pyarrow as pa

from features.simulate import columns
from features.simulate.columns import Array
from features.simulate.customers import CHANNELS, People
from features.simulate.truths import Truths
from features.simulate.world import World

_ORDERS_WIDTH = 5


@dataclass(frozen=True)
class Orders:
    """Orders by customer, then time; one row each.

    Attributes:
        customer: row of the customer in the chunk.
        day: shop day.
        campaign: code that the order names, -1 for none.
        planned: the replenished product, -1 for an unplanned order.
        first_product: of the order's first line.
    """

    customer: Array
    day: Array
    us: Array
    campaign: Array
    planned: Array
    channel: Array
    first_product: Array
    ids: pa.Array


@dataclass(frozen=True)
class Cycles:
    """What customers took up: one row per customer and replenished product."""

    customer: Array
    product: Array
    first: Array


def orders_of(
    rng: np.random.Generator, truths: Truths, world: World, people: People
) -> tuple[Orders, Cycles]:
    """Every order of the chunk's customers."""
    customer, day = _unplanned(rng, truths, world, people)
    cycles = _cycles(rng, truths, world, people)
    again, again_day, product = _planned(rng, truths, world, people, cycles)
    planned = np.concatenate([np.full(len(customer), -1), product])
    customer = np.concatenate([customer, again])
    day = np.concatenate([day, again_day])
    order = np.lexsort((day, customer))
    customer, day, planned = customer[order], day[order], planned[order]
    n = len(customer)
    kept = rng.random(n) < 0.75
    channel = np.where(
        kept, people.channel[customer], rng.integers(len(CHANNELS), size=n)
    )
    within = np.arange(n) - np.searchsorted(customer, customer)
    numbers = people.number[customer] * 10**_ORDERS_WIDTH + within
    width = len(people.ids[0].as_py()) - 1 + _ORDERS_WIDTH
    first = np.where(
        planned >= 0, planned, _products(rng, truths, world, people, customer)
    )
    return Orders(
        customer=customer,
        day=day,
        us=world.calendar.us(day),
        campaign=_named_campaign(rng, truths, world, people, customer, day),
        planned=planned,
        channel=channel,
        first_product=_on_sale(world, first, day),
        ids=columns.digits("o", numbers, width),
    ), cycles


def _poisson_times(
    rng: np.random.Generator, rate: Array, start: Array, end: Array
) -> tuple[Array, Array]:
    """Row and time of the points of one Poisson process per row."""
    length = np.maximum(end - start, 0)
    counts = rng.poisson(rate * length)
    row = np.repeat(np.arange(len(counts)), counts)
    return row, start[row] + rng.random(len(row)) * length[row]


def _unplanned(
    rng: np.random.Generator, truths: Truths, world: World, people: People
) -> tuple[Array, Array]:
    customer, day = _poisson_times(rng, people.order_rate, people.since, people.until)
    starts, length = world.campaign_starts, 7.0 * truths.campaign_weeks
    contacted = people.targeted & ~people.held_out
    # A negative uplift takes orders away, a positive one adds a process.
    lost = np.maximum(-people.uplift, 0)
    running = _running(world, truths, day)
    touched = (running >= 0) & contacted[customer, running]
    stays = ~touched | (rng.random(len(day)) >= lost[customer])
    row, campaign = np.nonzero(contacted & (people.uplift > 0)[:, None])
    more, more_day = _poisson_times(
        rng,
        (people.order_rate * people.uplift)[row],
        np.maximum(starts[campaign], people.since[row]),
        np.minimum(starts[campaign] + length, people.until[row]),
    )
    return (
        np.concatenate([customer[stays], row[more]]),
        np.concatenate([day[stays], more_day]),
    )


def _running(world: World, truths: Truths, day: Array) -> Array:
    """The campaign that runs at each shop day, -1 for none."""
    latest = np.searchsorted(world.campaign_starts, day, side="right") - 1
    over = day >= world.campaign_starts[latest] + 7 * truths.campaign_weeks
    return np.where((latest < 0) | over, -1, latest)


def _cycles(
    rng: np.random.Generator, truths: Truths, world: World, people: People
) -> Cycles:
    replenished = np.flatnonzero(~np.isnan(world.cycle))
    items = truths.replenished_items if len(replenished) else 0
    customer = np.repeat(np.arange(len(people)), rng.poisson(items, len(people)))
    bounds = np.cumsum(world.share[replenished])
    draws = rng.random(len(customer)) * (bounds[-1] if len(bounds) else 1)
    product = (
        replenished[np.searchsorted(bounds[:-1], draws)] if len(customer) else customer
    )
    first = people.since[customer] + rng.random(len(customer)) * world.cycle[product]
    # Nobody takes the same product up twice.
    _, kept = np.unique(customer * len(world.cycle) + product, return_index=True)
    return Cycles(customer[kept], product[kept], first[kept])


def _planned(
    rng: np.random.Generator,
    truths: Truths,
    world: World,
    people: People,
    cycles: Cycles,
) -> tuple[Array, Array, Array]:
    """Gamma gaps with the product's cycle as mean, until the customer leaves."""
    cycle = world.cycle[cycles.product]
    room = np.maximum(people.until[cycles.customer] - cycles.first, 0)
    # More than enough gaps: what lies after the customer left is cut off.
    counts = 4 + (room / cycle * (1.2 + truths.cycle_spread)).astype(np.int64)
    row = np.repeat(np.arange(len(counts)), counts)
    shape = 1 / max(truths.cycle_spread, 1e-3) ** 2
    gaps = rng.standard_gamma(shape, len(row)) / shape * cycle[row]
    first_of_row = np.cumsum(counts) - counts
    gaps[first_of_row] = 0
    total = np.cumsum(gaps)
    day = cycles.first[row] + total - total[first_of_row][row]
    kept = day < people.until[cycles.customer[row]]
    row, day = row[kept], day[kept]
    return cycles.customer[row], day, cycles.product[row]


def _named_campaign(
    rng: np.random.Generator,
    truths: Truths,
    world: World,
    people: People,
    customer: Array,
    day: Array,
) -> Array:
    running = _running(world, truths, day)
    contacted = (people.targeted & ~people.held_out)[customer, running]
    names = contacted & (rng.random(len(day)) < truths.redeem_share)
    return np.where(names & (running >= 0), running, -1)


def _products(
    rng: np.random.Generator,
    truths: Truths,
    world: World,
    people: People,
    customer: Array,
) -> Array:
    """Products of unplanned lines: a favourite, a preferred category, or any.

    Favourites and categories are drawn by share of sales themselves, so that
    over all customers a product keeps its share.
    """
    n = len(customer)
    how, which, u = rng.random((3, n))
    slot = (which * people.categories.shape[1]).astype(np.int64)
    category = people.categories[customer, slot]
    low = world.cumulative[world.category_ends[category]]
    high = world.cumulative[world.category_ends[category + 1]]
    in_category = how >= 1 - truths.category_focus
    place = np.where(in_category, low + u * (high - low), u)
    drawn = np.searchsorted(world.cumulative[1:-1], place, side="right")
    slot = (which * people.favourites.shape[1]).astype(np.int64)
    favourite = people.favourites[customer, slot]
    return np.where(how < truths.loyalty, favourite, drawn)


def _on_sale(world: World, product: Array, day: Array) -> Array:
    """An elder product of the category sells before a launch."""
    return np.where(day < world.launched[product], world.elder[product], product)


def purchases_table(
    rng: np.random.Generator,
    truths: Truths,
    world: World,
    people: People,
    orders: Orders,
) -> tuple[pa.Table, tuple[Array, Array, Array]]:
    """Order lines; and customer, product and time (us) of each return."""
    order, product = _lines(rng, truths, world, people, orders)
    n = len(order)
    day = orders.day[order]
    product = _on_sale(world, product, day)
    quantity = 1.0 + (rng.random(n) < 0.2) + (rng.random(n) < 0.05)
    listed = np.round(quantity * world.price[product], 2)
    week = (day // 7).astype(np.int64)
    off = world.price_cut[week, product].astype(np.float64)
    discounted = rng.random(n) < truths.discount_share
    off = np.maximum(off, np.where(discounted, rng.choice((0.1, 0.2, 0.3), n), 0))
    paid = np.round(listed * (1 - off), 2)
    us = orders.us[order]
    back = np.flatnonzero(rng.random(n) < truths.return_rate)
    when = us[back] + (rng.uniform(1, 30, len(back)) * 86_400).astype(np.int64) * 10**6
    in_data = when < world.calendar.us(np.array(world.calendar.last))
    back, when = back[in_data], when[in_data]
    line = np.concatenate([np.arange(n), back])
    sign = np.where(np.arange(len(line)) < n, 1.0, -1.0)
    order, us = order[line], np.concatenate([us, when])
    customer = orders.customer[order]
    table = pa.table(
        {
            "customer_id": columns.coded(customer, people.ids),
            "product_id": columns.coded(product[line], world.product_ids),
            "ts": columns.moments(us),
            "order_id": columns.coded(order, orders.ids),
            "quantity": sign * quantity[line],
            "amount": sign * paid[line],
            "list_amount": sign * listed[line],
            "channel": columns.coded(orders.channel[order], CHANNELS),
            "campaign_id": columns.coded(orders.campaign[order], world.campaign_ids),
            "known_at": columns.known_at(rng, us, truths.late_share, truths.late_days),
        }
    )
    return table, (customer[n:], product[back], when)


def _lines(
    rng: np.random.Generator,
    truths: Truths,
    world: World,
    people: People,
    orders: Orders,
) -> tuple[Array, Array]:
    """Order and product of each line: the first, further and promoted ones."""
    n = len(orders.day)
    unplanned = np.flatnonzero(orders.planned < 0)
    further = np.repeat(
        unplanned, rng.poisson(truths.lines_per_order - 1, len(unplanned))
    )
    products = _products(rng, truths, world, people, orders.customer[further])
    # Promoted lines come on top of the others: sales of a promoted product
    # rise by the effect, those of the others stay as they are.
    week = (orders.day[unplanned] // 7).astype(np.int64)
    rise = (truths.promotion_effect - 1) * world.promoted_share[week]
    added = rng.poisson(truths.lines_per_order * rise)
    week, order = np.repeat(week, added), np.repeat(unplanned, added)
    place = np.searchsorted(
        world.promoted_cumulative[:-1], week + rng.random(len(week)), side="right"
    )
    promoted = world.promoted[place] if len(place) else place
    return (
        np.concatenate([np.arange(n), further, order]),
        np.concatenate([orders.first_product, products, promoted]),
    )


def cycles_table(world: World, people: People, cycles: Cycles) -> pa.Table:
    """Truth of replenishment: who takes what up, from when, every how many days."""
    return pa.table(
        {
            "customer_id": columns.coded(cycles.customer, people.ids),
            "product_id": columns.coded(cycles.product, world.product_ids),
            "first_due_at": columns.moments(world.calendar.us(cycles.first)),
            "cycle_days": world.cycle[cycles.product],
        }
    )
