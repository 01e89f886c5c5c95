"""When the customers of a chunk want to order, and from when they look around.

Unplanned orders are a Poisson process with the customer's own rate while the
customer stays; a campaign that contacts them raises it by their uplift, or takes
orders away. Planned orders hold one replenished product, bought again every cycle.

What a campaign changes, it changes from its start on: before that, customers that it
contacts browse and ask like those that it holds out.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from features.simulate.columns import Array
from features.simulate.customers import People, wanted
from features.simulate.replenished import Cycles, planned_orders
from features.simulate.world import World


@dataclass(frozen=True)
class Intents:
    """Orders, and those that a campaign took away; by customer, then day.

    Attributes:
        customer: row of the customer in the chunk.
        day: shop day of the order.
        since: first shop day with contacts for it: the campaign's start where only
            the campaign caused the order.
        until: shop day before which those contacts are: that of the order, or the
            start of the campaign that took it away.
        ordered: false where a campaign took the order away.
        planned: the replenished product, -1 for an unplanned order.
        product: first one of the order, before it is known to be on sale.
    """

    customer: Array
    day: Array
    since: Array
    until: Array
    ordered: Array
    planned: Array
    product: Array


def usual_orders(rng: np.random.Generator, people: People) -> tuple[Array, Array]:
    """Customer and day of unplanned orders, as they would be without campaigns."""
    return _poisson_times(rng, people.order_rate, people.since, people.until)


def intents_of(
    rng: np.random.Generator,
    world: World,
    people: People,
    cycles: Cycles,
    usual: tuple[Array, Array],
) -> Intents:
    """Every intent of the chunk's customers; ``usual`` of ``usual_orders``."""
    customer, day, since, until, taken = _unplanned(rng, world, people, *usual)
    again, again_day, product = planned_orders(rng, world, people, cycles)
    planned = np.concatenate([np.full(len(customer), -1), product])
    since = np.concatenate([since, people.since[again]])
    until = np.concatenate([until, again_day])
    ordered = np.concatenate([~taken, np.ones(len(again), np.bool_)])
    customer = np.concatenate([customer, again])
    day = np.concatenate([day, again_day])
    order = np.lexsort((day, customer))
    customer, planned = customer[order], planned[order]
    first = wanted(rng, world, people, customer)
    return Intents(
        customer=customer,
        day=day[order],
        since=since[order],
        until=until[order],
        ordered=ordered[order],
        planned=planned,
        product=np.where(planned >= 0, planned, first),
    )


def _unplanned(
    rng: np.random.Generator,
    world: World,
    people: People,
    customer: Array,
    day: Array,
) -> tuple[Array, Array, Array, Array, Array]:
    """Customer, day, since, until, and whether a campaign took the order away."""
    campaigns, contacted = world.campaigns, people.targeted & ~people.held_out
    # A negative uplift takes orders away, a positive one adds a process.
    running = campaigns.running(day)
    touched = (running >= 0) & contacted[customer, running]
    taken = touched & (rng.random(len(day)) < -people.uplift[customer])
    until = np.where(taken, campaigns.starts[running], day)
    row, campaign = np.nonzero(contacted & (people.uplift > 0)[:, None])
    start = np.maximum(campaigns.starts[campaign], people.since[row])
    more, more_day = _poisson_times(
        rng,
        (people.order_rate * people.uplift)[row],
        start,
        np.minimum(campaigns.starts[campaign] + campaigns.days, people.until[row]),
    )
    return (
        np.concatenate([customer, row[more]]),
        np.concatenate([day, more_day]),
        np.concatenate([people.since[customer], start[more]]),
        np.concatenate([until, more_day]),
        np.concatenate([taken, np.zeros(len(more), np.bool_)]),
    )


def _poisson_times(
    rng: np.random.Generator, rate: Array, start: Array, end: Array
) -> tuple[Array, Array]:
    """Row and time of the points of one Poisson process per row."""
    length = np.maximum(end - start, 0)
    counts = rng.poisson(rate * length)
    row = np.repeat(np.arange(len(counts)), counts)
    return row, start[row] + rng.random(len(row)) * length[row]
