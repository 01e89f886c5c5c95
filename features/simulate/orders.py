"""The orders of a chunk's customers: what became of their intents."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import pyarrow as pa

from features.simulate import columns
from features.simulate.columns import Array
from features.simulate.customers import CHANNELS, People
from features.simulate.intents import Intents
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
    rng: np.random.Generator, world: World, people: People, intents: Intents
) -> Orders:
    """Every order of the chunk's customers."""
    ordered = np.flatnonzero(intents.ordered)
    customer, day = intents.customer[ordered], intents.day[ordered]
    n = len(customer)
    kept = rng.random(n) < 0.75
    channel = np.where(
        kept, people.channel[customer], rng.integers(len(CHANNELS), size=n)
    )
    within = np.arange(n) - np.searchsorted(customer, customer)
    numbers = people.number[customer] * 10**_ORDERS_WIDTH + within
    width = len(people.ids[0].as_py()) - 1 + _ORDERS_WIDTH
    return Orders(
        customer=customer,
        day=day,
        us=world.calendar.us(day),
        campaign=_named_campaign(rng, world, people, customer, day),
        planned=intents.planned[ordered],
        channel=channel,
        first_product=world.products.on_sale(intents.product[ordered], day),
        ids=columns.digits("o", numbers, width),
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
