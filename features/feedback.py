"""Dimension 4: scores given, goods sent back, friends brought."""

from __future__ import annotations

from features import contracts
from features.declare import ALL, Rows
from features.dimension import Stream, dimension, is_word

NPS, CSAT, CES, RATINGS = (Rows(kind) for kind in ("nps", "csat", "ces", "rating"))
WINDOWS = (90, None)
SCALE = "the kind's own scale"


DERIVED = {
    kind: is_word("kind", kind) for kind in contracts.FEEDBACK.column("kind").kinds
}

AGGREGATES = (
    *ALL.age("feedback"),
    *ALL.count("feedbacks", *WINDOWS),
    *NPS.number("nps", "last", "score", "0 to 10"),
    *NPS.number("nps", "mean", "score", "0 to 10"),
    *CSAT.number("csat", "last", "score", SCALE),
    *CSAT.number("csat", "mean", "score", SCALE),
    *CES.number("ces", "last", "score", SCALE),
    *CES.number("ces", "mean", "score", SCALE),
    *RATINGS.number("rating", "last", "score", SCALE),
    *RATINGS.number("rating", "mean", "score", SCALE, windows=WINDOWS),
    *RATINGS.count("ratings", *WINDOWS),
    *Rows("return").count("returns", *WINDOWS),
    *Rows("referral").count("referrals", *WINDOWS),
    *Rows("suggestion").count("suggestions", *WINDOWS),
    *Rows("share").count("shares", *WINDOWS),
)

FEEDBACK = dimension("feedback", Stream(contracts.FEEDBACK, AGGREGATES, DERIVED))
