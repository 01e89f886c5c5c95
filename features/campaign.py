"""Dimension 5: campaigns a customer was addressed by, and the response."""

from __future__ import annotations

from features.contracts import TOUCHES
from features.declare import Rows, ratio
from features.dimension import Stream, dimension, is_word

SENT, REDEEMED = Rows("sent"), Rows("redeemed")
WINDOWS = (30, 90, None)


DERIVED = {kind: is_word("action", kind) for kind in TOUCHES.column("action").kinds}

AGGREGATES = (
    *SENT.age("sent"),
    *REDEEMED.age("redeemed"),
    *SENT.count("sent", *WINDOWS),
    *Rows("opened").count("opened", *WINDOWS),
    *Rows("clicked").count("clicked", *WINDOWS),
    *REDEEMED.count("redeemed", *WINDOWS),
    *Rows("attended").count("attended"),
    *Rows("held_out").count("held_out"),
    *SENT.distinct("campaigns_sent", "campaign_id", *WINDOWS),
    *REDEEMED.distinct("campaigns_redeemed", "campaign_id"),
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

CAMPAIGN = dimension("campaign", Stream(TOUCHES, AGGREGATES, DERIVED), ratios=RATIOS)
