"""Dimension 4: scores given, goods sent back, friends brought.

Net promoter scores are 0 to 10: a promoter gives 9 or 10, a detractor 6 or less
(Reichheld, "The one number you need to grow", Harvard Business Review, 2003).
"""

from __future__ import annotations

import numpy as np

from features import contracts
from features.declare import ALL, Rows, difference
from features.dimension import Derived, Stream, dimension, is_word
from features.history import Array, Events, History

NPS, CSAT, CES, RATINGS = (Rows(kind) for kind in ("nps", "csat", "ces", "rating"))
RETURNS, REFERRALS, SHARES = (Rows(kind) for kind in ("return", "referral", "share"))
WINDOWS = (90, None)
SCALE = "the kind's own scale"


def _is_promoter(rows: Events, _: History) -> Array:
    score = rows.columns["score"]
    return np.where(np.isnan(score), np.nan, score >= 9)


def _is_detractor(rows: Events, _: History) -> Array:
    score = rows.columns["score"]
    return np.where(np.isnan(score), np.nan, score <= 6)


DERIVED = {
    **{kind: is_word("kind", kind) for kind in contracts.FEEDBACK.column("kind").kinds},
    "promoter": Derived(("score",), _is_promoter),
    "detractor": Derived(("score",), _is_detractor),
}

AGGREGATES = (
    *ALL.age("feedback"),
    *ALL.count("feedbacks", *WINDOWS),
    *NPS.number("nps", "last", "score", "0 to 10", meaning="last NPS score"),
    *NPS.number("nps", "mean", "score", "0 to 10", meaning="mean NPS score"),
    *CSAT.number("csat", "last", "score", SCALE),
    *CSAT.number("csat", "mean", "score", SCALE),
    *CES.number("ces", "last", "score", SCALE),
    *CES.number("ces", "mean", "score", SCALE),
    *RATINGS.number("rating", "last", "score", SCALE),
    *RATINGS.number("rating", "mean", "score", SCALE, windows=WINDOWS),
    *RATINGS.count("ratings", *WINDOWS),
    *RETURNS.count("returns", *WINDOWS),
    *REFERRALS.count("referrals", *WINDOWS),
    *Rows("suggestion").count("suggestions", *WINDOWS),
    *SHARES.count("shares", *WINDOWS),
    *NPS.count("nps", of="NPS answers"),
    *NPS.share("promoter", "promoter", meaning="share of NPS scores of 9 or 10"),
    *NPS.share("detractor", "detractor", meaning="share of NPS scores of 6 or less"),
    *RETURNS.age("return"),
    *REFERRALS.age("referral"),
)

EXPRESSIONS = (
    # Above 0: the last score is better than the customer's usual.
    difference("nps_trend", "nps_last", "nps_mean", "-10 to 10"),
    difference("csat_trend", "csat_last", "csat_mean", SCALE),
    difference("ces_trend", "ces_last", "ces_mean", SCALE),
    difference("rating_trend", "rating_last", "rating_mean", SCALE),
    difference("rating_trend_90d", "rating_mean_90d", "rating_mean", SCALE, days=90),
)

FEEDBACK = dimension(
    "feedback",
    Stream(contracts.FEEDBACK, AGGREGATES, DERIVED),
    expressions=EXPRESSIONS,
)
