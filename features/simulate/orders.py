"""When the customers of a chunk order.

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
from features.simulate.customers import CHANNELS, People, wanted
from features.simulate.replenished import Cycles, planned_orders
from features.simulate.world import World

_ORDERS_WIDTH = 6


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


def orders_of(
    rng: np.random.Generator, world: World, people: People, cycles: Cycles
) -> Orders:
    """Every order of the chunk's customers."""
    customer, day = _unplanned(rng, world, people)
    again, again_day, product = planned_orders(rng, world, people, cycles)
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
    first = np.where(planned >= 0, planned, wanted(rng, world, people, customer))
    return Orders(
        customer=customer,
        day=day,
        us=world.calendar.us(day),
        campaign=_named_campaign(rng, world, people, customer, day),
        planned=planned,
        channel=channel,
        first_product=world.products.on_sale(first, day),
        ids=columns.digits("o", numbers, width),
    )


def _poisson_times(
    rng: np.random.Generator, rate: Array, start: Array, end: Array
) -> tuple[Array, Array]:
    """Row and time of the points of one Poisson process per row."""
    length = np.maximum(end - start, 0)
    counts = rng.poisson(rate * length)
    row = np.repeat(np.arange(len(counts)), counts)
    return row, start[row] + rng.random(len(row)) * length[row]


def _unplanned(
    rng: np.random.Generator, world: World, people: People
) -> tuple[Array, Array]:
    customer, day = _poisson_times(rng, people.order_rate, people.since, people.until)
    campaigns, contacted = world.campaigns, people.targeted & ~people.held_out
    # A negative uplift takes orders away, a positive one adds a process.
    running = campaigns.running(day)
    touched = (running >= 0) & contacted[customer, running]
    stays = ~touched | (rng.random(len(day)) >= -people.uplift[customer])
    row, campaign = np.nonzero(contacted & (people.uplift > 0)[:, None])
    start = campaigns.starts[campaign]
    more, more_day = _poisson_times(
        rng,
        (people.order_rate * people.uplift)[row],
        np.maximum(start, people.since[row]),
        np.minimum(start + campaigns.days, people.until[row]),
    )
    return (
        np.concatenate([customer[stays], row[more]]),
        np.concatenate([day[stays], more_day]),
    )


def _named_campaign(
    rng: np.random.Generator,
    world: World,
    people: People,
    customer: Array,
    day: Array,
) -> Array:
    running = world.campaigns.running(day)
    contacted = (people.targeted & ~people.held_out)[customer, running]
    names = contacted & (rng.random(len(day)) < world.truths.redeem_share)
    return np.where(names & (running >= 0), running, -1)
