"""Dimension 3: questions and complaints, and how they were answered."""

from __future__ import annotations

from features.contracts import INQUIRIES
from features.declare import ALL, Rows, ratio
from features.dimension import Derived, Stream, dimension, is_word

COMPLAINTS = Rows("complaint")
WINDOWS = (30, 90, None)


DERIVED = {
    **{kind: is_word("kind", kind) for kind in INQUIRIES.column("kind").kinds},
    "unresolved": Derived(("resolved",), lambda rows, _: rows.columns["resolved"] == 0),
}

AGGREGATES = (
    *ALL.age("inquiry"),
    *COMPLAINTS.age("complaint"),
    *ALL.count("inquiries", *WINDOWS),
    *Rows("presale").count("presales", *WINDOWS),
    *Rows("service").count("services", *WINDOWS),
    *COMPLAINTS.count("complaints", *WINDOWS),
    *Rows("unresolved").count("unresolved", 90, None),
    *ALL.share("resolved", "resolved"),
    *ALL.number("response", "mean", "response_seconds", "seconds", windows=(90, None)),
    *ALL.number("response", "max", "response_seconds", "seconds", windows=(90,)),
)

RATIOS = (
    ratio("complaint_share", "complaints_count", "inquiries_count", unit="share"),
)

INQUIRY = dimension("inquiry", Stream(INQUIRIES, AGGREGATES, DERIVED), ratios=RATIOS)
