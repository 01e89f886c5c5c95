"""Dimension 5: campaigns a customer was addressed by, and the response."""

from __future__ import annotations

from features.declare import age, count, dimension, distinct, ratio, with_kinds
from features.history import Events, History

WINDOWS = (30, 90, None)


def events(history: History) -> Events | None:
    """Touches with one boolean column per action."""
    return with_kinds(history.touches, "action") if history.touches else None


AGGREGATES = (
    *age("sent", where="sent"),
    *age("redeemed", where="redeemed"),
    *count("sent", where="sent", windows=WINDOWS),
    *count("opened", where="opened", windows=WINDOWS),
    *count("clicked", where="clicked", windows=WINDOWS),
    *count("redeemed", where="redeemed", windows=WINDOWS),
    *count("attended", where="attended", windows=(None,)),
    *count("held_out", where="held_out", windows=(None,)),
    *distinct("campaigns_sent", "campaign_id", where="sent", windows=WINDOWS),
    *distinct("campaigns_redeemed", "campaign_id", where="redeemed"),
)

RATIOS = (
    ratio("opened_share", "opened_count", "sent_count", unit="share"),
    ratio(
        "redemption_share",
        "campaigns_redeemed_distinct",
        "campaigns_sent_distinct",
        unit="share",
    ),
)

CAMPAIGN = dimension("campaign", events, AGGREGATES, RATIOS)
