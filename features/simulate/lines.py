"""The lines of the orders, and their returns."""

from __future__ import annotations

import numpy as np
import pyarrow as pa

from features.simulate import columns
from features.simulate.columns import Array
from features.simulate.customers import CHANNELS, People, wanted
from features.simulate.orders import Orders
from features.simulate.products import Products
from features.simulate.world import World

_CUTS = (0.1, 0.2, 0.3)
_TRIES = 20


def purchases_table(
    rng: np.random.Generator,
    world: World,
    people: People,
    orders: Orders,
) -> tuple[pa.Table, tuple[Array, Array, Array]]:
    """Order lines; and customer, product and time (us) of each return."""
    order, product = _lines(rng, world, people, orders)
    n, us = len(order), orders.us[order]
    product = world.products.on_sale(product, orders.day[order])
    _draw_anew(rng, world, people, orders, order, product)
    quantity, listed, paid = _prices(rng, world, product, orders.day[order])
    back = np.flatnonzero(rng.random(n) < world.truths.return_rate)
    when = us[back] + columns.seconds(86_400 * rng.uniform(1, 30, len(back)))
    in_data = when < world.calendar.end_us
    back, when = back[in_data], when[in_data]
    line = np.concatenate([np.arange(n), back])
    sign = np.where(np.arange(len(line)) < n, 1.0, -1.0)
    order, us = order[line], np.concatenate([us, when])
    customer = orders.customer[order]
    table = pa.table(
        {
            "customer_id": columns.coded(customer, people.ids),
            "product_id": columns.coded(product[line], world.products.ids),
            "ts": columns.moments(us),
            "order_id": columns.coded(order, orders.ids),
            "quantity": sign * quantity[line],
            "amount": sign * paid[line],
            "list_amount": sign * listed[line],
            "channel": columns.coded(orders.channel[order], CHANNELS),
            "campaign_id": columns.coded(orders.campaign[order], world.campaigns.ids),
            "known_at": world.known_at(rng, us),
        }
    )
    return table, (customer[n:], product[back], when)


def _draw_anew(
    rng: np.random.Generator,
    world: World,
    people: People,
    orders: Orders,
    order: Array,
    product: Array,
) -> None:
    """Put another product where a customer has a durable of its kind already.

    Whoever finds nothing else in ``_TRIES`` goes buys it as a gift.
    """
    customer, day = orders.customer[order], orders.day[order]
    for _ in range(_TRIES):
        has = _has_already(world.products, customer, day, product)
        if not len(has):
            return
        other = wanted(rng, world, people, customer[has])
        product[has] = world.products.on_sale(other, day[has])


def _has_already(
    products: Products, customer: Array, day: Array, product: Array
) -> Array:
    """Lines of a durable while the one bought before it still lasts."""
    line = np.flatnonzero(~np.isnan(products.lasts[product]))
    kind = products.kind[product[line]]
    line = line[np.lexsort((day[line], kind, customer[line]))]
    kind, who = products.kind[product[line]], customer[line]
    ends = day[line] + products.lasts[product[line]]
    same = (kind[1:] == kind[:-1]) & (who[1:] == who[:-1])
    return line[1:][same & (day[line][1:] < ends[:-1])]


def _prices(
    rng: np.random.Generator, world: World, product: Array, day: Array
) -> tuple[Array, Array, Array]:
    """Quantity, list amount and amount paid of each line."""
    n = len(product)
    quantity = 1.0 + (rng.random(n) < 0.2) + (rng.random(n) < 0.05)
    listed = np.round(quantity * world.products.price[product], 2)
    week = (day // 7).astype(np.int64)
    off = world.promotions.price_cut[week, product].astype(np.float64)
    discounted = rng.random(n) < world.truths.discount_share
    off = np.maximum(off, np.where(discounted, rng.choice(_CUTS, n), 0))
    return quantity, listed, np.round(listed * (1 - off), 2)


def _lines(
    rng: np.random.Generator,
    world: World,
    people: People,
    orders: Orders,
) -> tuple[Array, Array]:
    """Order and product of each line: the first, further and promoted ones."""
    n = len(orders.day)
    unplanned = np.flatnonzero(orders.planned < 0)
    further = np.repeat(
        unplanned, rng.poisson(world.truths.lines_per_order - 1, len(unplanned))
    )
    products = wanted(rng, world, people, orders.customer[further])
    # Promoted lines come on top of the others: sales of a promoted product
    # rise by the effect, those of the others stay as they are.
    week = (orders.day[unplanned] // 7).astype(np.int64)
    rise = (world.truths.promotion_effect - 1) * world.promotions.share[week]
    added = rng.poisson(world.truths.lines_per_order * rise)
    promoted = world.promotions.drawn(rng, np.repeat(week, added))
    return (
        np.concatenate([np.arange(n), further, np.repeat(unplanned, added)]),
        np.concatenate([orders.first_product, products, promoted]),
    )
