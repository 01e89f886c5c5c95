"""What a build hands over of the shop's range, and of who bought what of it."""

from __future__ import annotations

import numpy as np
import pyarrow as pa

from features.history import ALWAYS, Array, Floats, History, Ints, Longs
from features.shelf import arrived_at
from training.moment import Moment
from training.predictions import PRODUCTS


def products_table(moment: Moment) -> pa.Table:
    """Schema ``PRODUCTS`` as known at a moment, one row per product code.

    Where the product master names no price, it is what was paid: net per purchased
    line of the last 84 days.
    """
    products, paid = moment.history.products, moment.shelf.price
    arrived = arrived_at(moment.counts, products)
    return pa.table(
        {
            "product_id": pa.array(products.ids, pa.string()),
            "name": pa.array(products.names, pa.string()),
            "category": _texts(products.category, products.words["category"]),
            "subcategory": _texts(products.subcategory, products.words["subcategory"]),
            "brand": _texts(products.brand, products.words["brand"]),
            "price": _numbers(np.where(np.isnan(products.price), paid, products.price)),
            "margin_rate": _numbers(products.margin_rate),
            "service_life_days": _numbers(products.service_life_days),
            "arrived_at": pa.array(
                arrived.astype("datetime64[us]"), mask=arrived == ALWAYS
            ),
            "available": products.available,
        },
        schema=PRODUCTS,
    )


def bought_before(history: History, spine: Ints) -> tuple[Longs, Ints, Longs]:
    """Distinct products that customers bought, and when last.

    Args:
        history: known before the cutoff.
        spine: codes of all customers with a purchase, ascending.

    Returns:
        ``bought_offsets``, ``bought_products`` and ``last_bought`` of
        ``Predictions``.
    """
    lines = history.purchases
    bought = lines.bought
    n = len(history.products)
    keys = (
        lines.customer[bought].astype(np.int64) * n + lines.columns["product"][bought]
    )
    order = np.argsort(keys, kind="stable")
    keys = keys[order]
    # Lines stand by time within a customer, so the last of equal keys is the latest.
    latest = np.flatnonzero(np.diff(keys, append=-1))
    keys, last = keys[latest], lines.ts[bought][order[latest]]
    bounds = np.searchsorted(keys // n, [*spine, spine[-1] + 1])
    return bounds.astype(np.int64), (keys % n).astype(np.int32), last


def _texts(codes: Ints, words: tuple[str, ...]) -> pa.Array:
    # Code -1, unknown, reads the null behind the words.
    texts: Array = np.array([*words, None], dtype=object)
    return pa.array(texts[codes], pa.string())


def _numbers(values: Floats) -> pa.Array:
    return pa.array(values, pa.float64(), mask=np.isnan(values))
