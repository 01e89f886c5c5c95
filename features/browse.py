"""Dimension 2: what a customer looked at, searched and put into the cart."""

from __future__ import annotations

from features.contracts import BROWSES
from features.declare import ALL, Rows, ratio
from features.dimension import Stream, dimension, is_word

CARTS = Rows("cart")
WINDOWS = (7, 30, 90)


DERIVED = {kind: is_word("kind", kind) for kind in BROWSES.column("kind").kinds}

AGGREGATES = (
    *ALL.age("browse"),
    *CARTS.age("cart"),
    *ALL.count("browses", *WINDOWS, None),
    *Rows("view").count("views", *WINDOWS),
    *Rows("search").count("searches", *WINDOWS),
    *CARTS.count("carts", *WINDOWS),
    *Rows("favourite").count("favourites", *WINDOWS),
    *ALL.number("dwell", "sum", "dwell_seconds", "seconds", windows=WINDOWS),
    *ALL.number("dwell", "mean", "dwell_seconds", "seconds", windows=(90,)),
    *ALL.distinct("browsed_products", "product", 30, 90),
)

RATIOS = (
    ratio(
        "browses_trend_7d_30d", "browses_count_7d", "browses_count_30d", times=30 / 7
    ),
    ratio("carts_per_view_90d", "carts_count_90d", "views_count_90d", days=90),
)

BROWSE = dimension("browse", Stream(BROWSES, AGGREGATES, DERIVED), ratios=RATIOS)
