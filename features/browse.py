"""Dimension 2: what a customer looked at, searched and put into the cart.

An event was bought if the same customer bought its product at the same moment
or within 30 days after it. An event that names no product was never bought.
"""

from __future__ import annotations

from collections.abc import Callable

from features.contracts import BROWSES, PURCHASES
from features.declare import ALL, Rows, difference, ratio
from features.dimension import BY_DAY, Stream, dimension, is_word, of_product
from features.followed import followed, only, within
from features.history import Events, History

VIEWS, SEARCHES, CARTS, FAVOURITES = (
    Rows(kind) for kind in ("view", "search", "cart", "favourite")
)
DAYS = Rows(per="day")
WINDOWS = (7, 30, 90)
TO_BUY_DAYS = 30


def _bought(kind: str) -> Callable[[History], Events | None]:
    """Events of the kind whose product was bought."""

    def events(history: History) -> Events | None:
        rows = history.browses
        if rows is None:
            return None
        is_kind = rows.columns["kind"] == rows.words["kind"].index(kind)
        lines = only(history.purchases, history.purchases.bought, "product")
        return followed(
            only(rows, is_kind, "product"), lines, within(TO_BUY_DAYS), by="product"
        )

    return events


DERIVED = {
    **{kind: is_word("kind", kind) for kind in BROWSES.column("kind").kinds},
    "day": BY_DAY,
    "category": of_product("category"),
}

AGGREGATES = (
    *ALL.age("browse"),
    *CARTS.age("cart"),
    *ALL.count("browses", *WINDOWS, None, of="events of browsing"),
    *VIEWS.count("views", *WINDOWS),
    *SEARCHES.count("searches", *WINDOWS),
    *CARTS.count("carts", *WINDOWS, of="products put into the cart"),
    *FAVOURITES.count("favourites", *WINDOWS),
    *ALL.number("dwell", "sum", "dwell_seconds", "seconds", windows=WINDOWS),
    *ALL.number("dwell", "mean", "dwell_seconds", "seconds", windows=(90,)),
    *ALL.distinct("browsed_products", "product", 30, 90),
    *VIEWS.age("view"),
    *ALL.decayed("browses", 7),
    *DAYS.count("browse_days", 30, of="days with an event"),
    *ALL.distinct("browsed_categories", "category", 90),
    *ALL.top_share("browsed_product", "product", 90),
    *ALL.top_share("browsed_category", "category", 90),
)
BOUGHT_CARTS = (
    *ALL.count("bought_carts", *WINDOWS, of="products put into the cart and bought"),
    *ALL.number(
        "cart_to_buy_days",
        "mean",
        "days_apart",
        "days",
        windows=(90,),
        meaning="mean days from the cart to the purchase of its product",
    ),
)
BOUGHT_VIEWS = ALL.count("bought_views", 90, of="views of a product that was bought")

EXPRESSIONS = (
    ratio(
        "browses_trend_7d_30d", "browses_count_7d", "browses_count_30d", times=30 / 7
    ),
    ratio("carts_per_view_90d", "carts_count_90d", "views_count_90d", days=90),
    ratio("browses_trend_30d_90d", "browses_count_30d", "browses_count_90d", times=3.0),
    ratio("carts_trend_30d_90d", "carts_count_30d", "carts_count_90d", times=3.0),
    *(
        difference(
            f"unfinished_carts_count_{days}d",
            f"carts_count_{days}d",
            f"bought_carts_count_{days}d",
            "carts",
            days=days,
        )
        for days in WINDOWS
    ),
    ratio(
        "bought_carts_share_90d",
        "bought_carts_count_90d",
        "carts_count_90d",
        unit="share",
        days=90,
    ),
    ratio(
        "bought_views_share_90d",
        "bought_views_count_90d",
        "views_count_90d",
        unit="share",
        days=90,
    ),
)

_NEEDS = {BROWSES.name: ("kind", "product"), PURCHASES.name: ("quantity", "product")}

BROWSE = dimension(
    "browse",
    Stream(BROWSES, AGGREGATES, DERIVED),
    Stream(BROWSES, BOUGHT_CARTS, events=_bought("cart"), needs=_NEEDS),
    Stream(BROWSES, BOUGHT_VIEWS, events=_bought("view"), needs=_NEEDS),
    expressions=EXPRESSIONS,
)
