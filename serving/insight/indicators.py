"""What tags and tiers are measured by: figures of one customer, without thresholds."""

from __future__ import annotations

import numpy as np
import pyarrow as pa

from features.history import Floats
from serving.insight.columns import number

_SOCIAL = (
    "referrals_count",
    "shares_count",
    "attended_count",
    "event_campaigns_answered_distinct",
    "kol_campaigns_answered_distinct",
)


def order_amount(features: pa.Table) -> Floats:
    """Mean net spend of an order in the last 365 days; NaN: no order in them."""
    orders = number(features, "orders_count_365d")
    spend = number(features, "spend_sum_365d")
    return spend / np.where(orders > 0, orders, np.nan)


def usual_gap(features: pa.Table, shop_gap: float, least_days: float) -> Floats:
    """Days between orders that are usual for each customer, at least ``least_days``.

    Their mean gap; the shop's for customers with orders on one day only, and the
    floor where the shop has none either.
    """
    own = number(features, "days_gap_mean")
    shop = least_days if np.isnan(shop_gap) else shop_gap
    return np.maximum(np.where(np.isnan(own), shop, own), least_days)


def potential(features: pa.Table, value: pa.Table) -> Floats:
    """Spend expected over the next 365 days over that of the last 365; a ratio.

    Above 1: more is expected than there was; who came a month ago has much more to
    come. 0 for who spent nothing net in that year: they must be won back first.
    """
    expected = number(value, "expected_spend_365d")
    spent = number(features, "spend_sum_365d")
    ratio = np.maximum(expected, 0) / np.where(spent > 0, spent, np.inf)
    return np.where(np.isnan(spent), np.nan, ratio)


def need_indicators(features: pa.Table) -> dict[str, Floats]:
    """What speaks for each need; more is more, 0 is none, NaN: no data.

    - rational: buys on price: share of order lines bought on offer;
    - emotional: buys for the new and the nice: share of order lines of products never
      bought before; no data before a second day with an order, as nothing could be
      bought again;
    - social: buys with others: referrals, shares, events attended, and different
      campaigns of the kinds event and KOL answered.
    """
    social = np.stack([number(features, name) for name in _SOCIAL])
    known = ~np.isnan(social)
    acts = np.where(known, social, 0.0).sum(axis=0)
    return {
        "rational": number(features, "offer_lines_share"),
        "emotional": np.where(
            number(features, "days_count") > 1,
            1 - number(features, "repeat_share"),
            np.nan,
        ),
        "social": np.where(known.any(axis=0), acts, np.nan),
    }
