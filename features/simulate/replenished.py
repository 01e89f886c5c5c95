"""Replenished products: what is used up, and bought again every cycle."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import pyarrow as pa

from features.simulate import columns
from features.simulate.columns import Array
from features.simulate.customers import People
from features.simulate.world import World


@dataclass(frozen=True)
class Cycles:
    """What customers took up: one row per customer and replenished product."""

    customer: Array
    product: Array
    first: Array


def cycles_of(rng: np.random.Generator, world: World, people: People) -> Cycles:
    """Draw what each customer takes up, by sales, and when it is first due."""
    cycle, share = world.products.cycle, world.products.share
    replenished = np.flatnonzero(~np.isnan(cycle))
    if not len(replenished):
        none = np.empty(0, np.int64)
        return Cycles(none, none, np.empty(0))
    counts = rng.poisson(world.truths.replenished_items, len(people))
    customer = np.repeat(np.arange(len(people)), counts)
    bounds = np.cumsum(share[replenished])
    place = rng.random(len(customer)) * bounds[-1]
    product = replenished[np.searchsorted(bounds[:-1], place, side="right")]
    first = people.since[customer] + rng.random(len(customer)) * cycle[product]
    # Nobody takes the same product up twice.
    _, kept = np.unique(customer * len(cycle) + product, return_index=True)
    return Cycles(customer[kept], product[kept], first[kept])


def planned_orders(
    rng: np.random.Generator,
    world: World,
    people: People,
    cycles: Cycles,
) -> tuple[Array, Array, Array]:
    """Customer, shop day and product of every purchase of what was taken up.

    Gaps are gamma with the product's cycle as mean, until the customer leaves.
    """
    cycle = world.products.cycle[cycles.product]
    room = np.maximum(people.until[cycles.customer] - cycles.first, 0)
    # More than enough gaps: what lies after the customer left is cut off.
    counts = 4 + (room / cycle * (1.2 + world.truths.cycle_spread)).astype(np.int64)
    row = np.repeat(np.arange(len(counts)), counts)
    shape = 1 / max(world.truths.cycle_spread, 1e-3) ** 2
    gaps = rng.standard_gamma(shape, len(row)) / shape * cycle[row]
    first_of_row = np.cumsum(counts) - counts
    gaps[first_of_row] = 0
    total = np.cumsum(gaps)
    day = cycles.first[row] + total - total[first_of_row][row]
    kept = day < people.until[cycles.customer[row]]
    row, day = row[kept], day[kept]
    return cycles.customer[row], day, cycles.product[row]


def cycles_table(world: World, people: People, cycles: Cycles) -> pa.Table:
    """Truth of replenishment: who takes what up, from when, every how many days."""
    return pa.table(
        {
            "customer_id": columns.coded(cycles.customer, people.ids),
            "product_id": columns.coded(cycles.product, world.products.ids),
            "first_due_at": columns.moments(world.calendar.us(cycles.first)),
            "cycle_days": world.products.cycle[cycles.product],
        }
    )
