"""Dimension 4: scores given, goods sent back, friends brought."""

from __future__ import annotations

from features.declare import age, count, dimension, number, with_kinds
from features.history import Events, History

WINDOWS = (90, None)
SCALE = "the kind's own scale"


def events(history: History) -> Events | None:
    """Feedback with one boolean column per kind."""
    return with_kinds(history.feedback, "kind") if history.feedback else None


AGGREGATES = (
    *age("feedback"),
    *count("feedbacks", windows=WINDOWS),
    *number("nps", "last", "score", where="nps", unit="0 to 10"),
    *number("nps", "mean", "score", where="nps", unit="0 to 10"),
    *number("csat", "last", "score", where="csat", unit=SCALE),
    *number("csat", "mean", "score", where="csat", unit=SCALE),
    *number("ces", "last", "score", where="ces", unit=SCALE),
    *number("ces", "mean", "score", where="ces", unit=SCALE),
    *number("rating", "last", "score", where="rating", unit=SCALE),
    *number("rating", "mean", "score", where="rating", unit=SCALE, windows=WINDOWS),
    *count("ratings", where="rating", windows=WINDOWS),
    *count("returns", where="return", windows=WINDOWS),
    *count("referrals", where="referral", windows=WINDOWS),
    *count("suggestions", where="suggestion", windows=WINDOWS),
    *count("shares", where="share", windows=WINDOWS),
)

FEEDBACK = dimension("feedback", events, AGGREGATES)
