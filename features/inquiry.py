"""Dimension 3: questions and complaints, and how they were answered.

A presale contact goes with an order of the same customer at the same moment or
within 14 days after it.
"""

from __future__ import annotations

from features.contracts import INQUIRIES, PURCHASES
from features.declare import ALL, Rows, ratio
from features.dimension import Derived, Stream, dimension, is_word
from features.followed import after, followed, only, within
from features.history import Array, Events, History

PRESALES, SERVICES, COMPLAINTS = (
    Rows(kind) for kind in ("presale", "service", "complaint")
)
WINDOWS = (30, 90, None)
TO_ORDER_DAYS = 14
RESOLVED = "share resolved of the contacts that say so or not"


def _is_unresolved(rows: Events, _: History) -> Array:
    return rows.columns["resolved"] == 0


def _presales(history: History) -> Events | None:
    rows = history.inquiries
    if rows is None:
        return None
    return only(rows, rows.columns["kind"] == rows.words["kind"].index("presale"))


def _orders_after_presale(history: History) -> Events | None:
    """Lines of an order that a presale contact came before; ``order`` is its code."""
    presales, lines = _presales(history), history.purchases
    if presales is None:
        return None
    return followed(only(lines, lines.bought, "order"), presales, after(TO_ORDER_DAYS))


def _presales_before_order(history: History) -> Events | None:
    """Presale contacts that an order came after."""
    presales, lines = _presales(history), history.purchases
    if presales is None:
        return None
    return followed(presales, only(lines, lines.bought), within(TO_ORDER_DAYS))


DERIVED = {
    **{kind: is_word("kind", kind) for kind in INQUIRIES.column("kind").kinds},
    "unresolved": Derived(("resolved",), _is_unresolved),
}

AGGREGATES = (
    *ALL.age("inquiry"),
    *COMPLAINTS.age("complaint"),
    *ALL.count("inquiries", *WINDOWS),
    *PRESALES.count("presales", *WINDOWS, of="presale contacts"),
    *SERVICES.count("services", *WINDOWS, of="service contacts"),
    *COMPLAINTS.count("complaints", *WINDOWS),
    *Rows("unresolved").count("unresolved", 90, None, of="contacts left unresolved"),
    *ALL.share("resolved", "resolved", meaning=RESOLVED),
    *ALL.number(
        "response",
        "mean",
        "response_seconds",
        "seconds",
        windows=(90, None),
        meaning="mean time to the response",
    ),
    *ALL.number(
        "response",
        "max",
        "response_seconds",
        "seconds",
        windows=(90,),
        meaning="longest time to the response",
    ),
    *PRESALES.age("presale", of="presale contact"),
    *ALL.count("inquiries", 14),
    *PRESALES.count("presales", 14, of="presale contacts"),
    *ALL.decayed("inquiries", 14),
    *ALL.share("resolved", "resolved", 90, meaning=RESOLVED),
    *ALL.number(
        "response",
        "last",
        "response_seconds",
        "seconds",
        meaning="time to the last response",
    ),
)
ORDERS = Rows(per="order")
ORDERS_AFTER_PRESALE = (
    *ORDERS.age("order_after_presale", of="order after a presale contact"),
    *ORDERS.count(
        "orders_after_presale", 90, None, of="orders after a presale contact"
    ),
)
PRESALES_BEFORE_ORDER = (
    *ALL.count("presales_before_order", 90, of="presale contacts before an order"),
    *ALL.number(
        "presale_to_order_days",
        "mean",
        "days_apart",
        "days",
        meaning="mean days from a presale contact to the order after it",
    ),
)

EXPRESSIONS = (
    ratio("complaint_share", "complaints_count", "inquiries_count", unit="share"),
    ratio(
        "complaint_share_90d",
        "complaints_count_90d",
        "inquiries_count_90d",
        unit="share",
        days=90,
    ),
    ratio(
        "inquiries_trend_14d_90d",
        "inquiries_count_14d",
        "inquiries_count_90d",
        times=90 / 14,
    ),
    # Above 1: answers have become slower.
    ratio("response_trend_90d", "response_mean_90d", "response_mean"),
    ratio(
        "presales_before_order_share_90d",
        "presales_before_order_count_90d",
        "presales_count_90d",
        unit="share",
        days=90,
    ),
)

_NEEDS = {INQUIRIES.name: ("kind",), PURCHASES.name: ("quantity", "order")}

INQUIRY = dimension(
    "inquiry",
    Stream(INQUIRIES, AGGREGATES, DERIVED),
    Stream(INQUIRIES, ORDERS_AFTER_PRESALE, events=_orders_after_presale, needs=_NEEDS),
    Stream(
        INQUIRIES, PRESALES_BEFORE_ORDER, events=_presales_before_order, needs=_NEEDS
    ),
    expressions=EXPRESSIONS,
)
