"""Dimension 2: what a customer looked at, searched and put into the cart."""

from __future__ import annotations

from features.declare import age, count, dimension, distinct, number, ratio, with_kinds
from features.history import Events, History

WINDOWS = (7, 30, 90)


def events(history: History) -> Events | None:
    """Browse events with one boolean column per kind."""
    return with_kinds(history.browses, "kind") if history.browses else None


AGGREGATES = (
    *age("browse"),
    *age("cart", where="cart"),
    *count("browses", windows=(*WINDOWS, None)),
    *count("views", where="view", windows=WINDOWS),
    *count("searches", where="search", windows=WINDOWS),
    *count("carts", where="cart", windows=WINDOWS),
    *count("favourites", where="favourite", windows=WINDOWS),
    *number("dwell", "sum", "dwell_seconds", unit="seconds", windows=WINDOWS),
    *number("dwell", "mean", "dwell_seconds", unit="seconds", windows=(90,)),
    *distinct("browsed_products", "product", windows=(30, 90)),
)

RATIOS = (
    ratio(
        "browses_trend_7d_30d", "browses_count_7d", "browses_count_30d", times=30 / 7
    ),
    ratio("carts_per_view_90d", "carts_count_90d", "views_count_90d", window_days=90),
)

BROWSE = dimension("browse", events, AGGREGATES, RATIOS)
