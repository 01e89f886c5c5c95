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


def potential(features: pa.Table) -> Floats:
    """Spend of late over spend of a longer time, as paces; 1: steady, 2: doubled.

    Decayed net spend of half-life 21 days over that of 60 days, each over what a
    steady pace since the first order would have given. 0 where net spend of late is
    not above 0.

    Measured on a year of grocery purchases (three cutoffs, spend of the next eight
    weeks above the usual): AUC .58 to .60. The fitted spend of the next year over that
    of the last has .56 to .57, BG/NBD with Gamma-Gamma .50 to .53: both pull everyone
    to the mean, so that small customers seem to grow, and big ones hardly ever do.
    """
    known = number(features, "days_since_first_order")
    late, long = (
        np.maximum(number(features, f"spend_decay_h{days}d"), 0)
        / (days * (1 - 0.5 ** (known / days)))
        for days in (21, 60)
    )
    ratio = late / np.where(long > 0, long, np.inf)
    return np.where(np.isnan(late) | np.isnan(long), np.nan, ratio)


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
