"""The features that insight reads, and no others: a fold of few of them is quick."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime

import pyarrow as pa

from features.assemble import OF_EVENTS, assemble
from features.history import History

FACTS: dict[str, tuple[str, ...]] = {
    "purchase": (
        "orders_count",
        "orders_count_365d",
        "spend_sum_365d",
        "days_since_last_order",
        "days_gap_mean",
        "returned_share_90d",
    ),
    "browse": ("browses_count_30d", "browse_days_count_30d", "days_since_last_browse"),
    "inquiry": (
        "inquiries_count_90d",
        "complaints_count_90d",
        "resolved_share_90d",
        "response_mean_90d",
    ),
    "feedback": (
        "nps_last",
        "csat_last",
        "rating_mean",
        "referrals_count",
        "shares_count",
    ),
    "campaign": (
        "sent_count_90d",
        "responses_count_90d",
        "redeemed_count_90d",
        "offer_lines_share",
    ),
    "profile": ("tenure_days", "age_years", "points_balance", "is_member"),
}
"""What is told of each of the six dimensions; see ``repurchase features --describe``."""

SATISFACTION = (
    "nps_last",
    "csat_last",
    "rating_mean",
    "complaints_count_90d",
    "resolved_share_90d",
)
"""Of these, what tells whether a customer is content."""

FACT_NAMES = tuple(name for names in FACTS.values() for name in names)

_READ = {
    *FACT_NAMES,
    "days_since_first_order",
    "days_gap_median",
    "days_count",
    "days_decay_h35d",
    "days_decay_h90d",
    "weeks_active_84d",
    "repeat_share",
    "returned_lines_count",
    "responses_count",
    "spend_decay_h21d",
    "spend_decay_h60d",
    "attended_count",
    "event_campaigns_answered_distinct",
    "kol_campaigns_answered_distinct",
}

_DIMENSIONS = tuple(dimension.only(_READ) for dimension in OF_EVENTS)


def slim(history: History, moments: Sequence[datetime]) -> pa.Table:
    """Rows of ``assemble`` at each moment, with what tags, tiers and health read.

    Args:
        history: of some customers or all.
        moments: in any order; none after the end of the history.
    """
    return assemble(history, sorted(set(moments)), _DIMENSIONS)
