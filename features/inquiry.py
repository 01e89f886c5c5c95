"""Dimension 3: questions and complaints, and how they were answered."""

from __future__ import annotations

from features.declare import ALL, Rows, ratio
from features.dimension import dimension, with_columns, with_kinds
from features.history import Events, History

COMPLAINTS = Rows("complaint")
WINDOWS = (30, 90, None)


def events(history: History) -> Events | None:
    """Contacts with one boolean column per kind, and ``unresolved``."""
    if history.inquiries is None:
        return None
    contacts = with_kinds(history.inquiries, "kind")
    return with_columns(contacts, {"unresolved": contacts.columns["resolved"] == 0})


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

INQUIRY = dimension("inquiry", events, AGGREGATES, RATIOS)
