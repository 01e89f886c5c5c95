"""The products of the shop: how they sell, last and cost."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import pyarrow as pa

from features.simulate import columns
from features.simulate.calendar import Calendar
from features.simulate.columns import Array
from features.simulate.truths import Truths

_NEW = 0.05
_BRANDS, _PARTS = 60, 5


@dataclass(frozen=True)
class Products:
    """One row per product, ordered by category.

    Attributes:
        share: of unplanned sales; sums to 1.
        cumulative: of ``share``, led by 0.
        category: code; ``bounds[c]`` to ``bounds[c + 1]`` are its products.
        part: subcategory within the category.
        cycle: days until it is bought again, NaN where it is not replenished.
        lasts: days that a durable good serves, NaN where it is none.
        launched: shop day, -inf where it was always there.
        elder: product of the same category that sells before the launch.
        sold: expected lines per customer and day, without promotions.
    """

    ids: pa.Array
    share: Array
    cumulative: Array
    category: Array
    bounds: Array
    part: Array
    cycle: Array
    lasts: Array
    price: Array
    launched: Array
    elder: Array
    sold: Array

    def at(self, place: Array) -> Array:
        """Products at places of the cumulative share, in [0, 1)."""
        return np.searchsorted(self.cumulative[1:-1], place, side="right")

    @property
    def kind(self) -> Array:
        """Code of the subcategory in the whole shop."""
        return self.category * _PARTS + self.part

    def on_sale(self, product: Array, day: Array) -> Array:
        """The product, or its elder before the launch."""
        return np.where(day < self.launched[product], self.elder[product], product)


def products_of(
    rng: np.random.Generator, truths: Truths, calendar: Calendar
) -> Products:
    """Draw the products."""
    n, n_categories = truths.products, truths.categories
    others = rng.integers(n_categories, size=n - n_categories)
    category = np.sort(np.concatenate([np.arange(n_categories), others]))
    bounds = np.searchsorted(category, np.arange(n_categories + 1))
    share = np.empty(n)
    share[rng.permutation(n)] = np.arange(1, n + 1.0) ** -truths.popularity_exponent
    share /= share.sum()
    replenished = rng.random(n) < truths.replenished_products
    cycle = truths.cycle_days * rng.lognormal(0, 0.4, n)
    cycle = np.where(replenished, np.maximum(cycle, 2), np.nan)
    level = rng.lognormal(1.6, 0.6, n_categories)
    elder = bounds[category]
    is_new = (rng.random(n) < _NEW) & ~replenished & (elder != np.arange(n))
    launch = rng.uniform(calendar.first, calendar.last, n)
    durable = (rng.random(n) < truths.durables) & ~replenished
    return Products(
        ids=columns.digits("p", np.arange(n), max(4, len(str(n - 1)))),
        share=share,
        cumulative=np.concatenate([[0], np.cumsum(share)]),
        category=category,
        bounds=bounds,
        part=rng.integers(_PARTS, size=n),
        cycle=cycle,
        lasts=np.where(durable, 30.0 * rng.integers(12, 60, n), np.nan),
        price=np.round(level[category] * rng.lognormal(0, 0.4, n) + 0.5, 2),
        launched=np.where(is_new, launch, -np.inf),
        elder=elder,
        sold=_sold(truths, share, cycle),
    )


def _sold(truths: Truths, share: Array, cycle: Array) -> Array:
    taken_up = np.where(np.isnan(cycle), 0, share)
    if taken_up.any():
        taken_up *= truths.replenished_items / taken_up.sum()
    unplanned = truths.orders_per_month / 30 * truths.lines_per_order * share
    return unplanned + np.nan_to_num(taken_up / cycle)


def products_table(
    rng: np.random.Generator, calendar: Calendar, products: Products
) -> pa.Table:
    """The input table ``products``."""
    n = len(products.share)
    brand = rng.integers(_BRANDS, size=n)
    used_up = ~np.isnan(products.cycle)
    lasts = np.where(used_up, products.cycle.round(), products.lasts)
    always = np.isinf(products.launched)
    launched = calendar.us(np.where(always, 0, products.launched))
    categories = [f"category {code:03}" for code in products.category]
    return pa.table(
        {
            "product_id": products.ids,
            "name": [f"article {number}" for number in range(n)],
            "category": categories,
            "subcategory": [
                f"{c}.{p}" for c, p in zip(categories, products.part, strict=True)
            ],
            "brand": [f"brand {code:02}" for code in brand],
            "price": products.price,
            "margin_rate": rng.uniform(0.1, 0.5, n).round(3),
            "service_life_days": columns.numbers(lasts),
            "launched_at": columns.moments(launched, always),
            "available": rng.random(n) < 0.98,
        }
    )


def truths_table(products: Products) -> pa.Table:
    """What is true of each product; ``cycle_days`` is null if not replenished.

    Shares and sales of durables are those of customers who have none yet.
    """
    return pa.table(
        {
            "product_id": products.ids,
            "cycle_days": columns.numbers(products.cycle),
            "unplanned_share": products.share,
            "sold_per_customer_day": products.sold,
        }
    )
