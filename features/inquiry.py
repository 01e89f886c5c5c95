"""Dimension 3: questions and complaints, and how they were answered."""

from __future__ import annotations

from features.declare import (
    age,
    count,
    dimension,
    number,
    ratio,
    share,
    with_columns,
    with_kinds,
)
from features.history import Events, History

WINDOWS = (30, 90, None)


def events(history: History) -> Events | None:
    """Contacts with one boolean column per kind, and ``unresolved``."""
    if history.inquiries is None:
        return None
    contacts = with_kinds(history.inquiries, "kind")
    return with_columns(contacts, {"unresolved": contacts.columns["resolved"] == 0})


AGGREGATES = (
    *age("inquiry"),
    *age("complaint", where="complaint"),
    *count("inquiries", windows=WINDOWS),
    *count("presales", where="presale", windows=WINDOWS),
    *count("services", where="service", windows=WINDOWS),
    *count("complaints", where="complaint", windows=WINDOWS),
    *count("unresolved", where="unresolved", windows=(90, None)),
    *share("resolved", "resolved"),
    *number("response", "mean", "response_seconds", unit="seconds", windows=(90, None)),
    *number("response", "max", "response_seconds", unit="seconds", windows=(90,)),
)

RATIOS = (
    ratio("complaint_share", "complaints_count", "inquiries_count", unit="share"),
)

INQUIRY = dimension("inquiry", events, AGGREGATES, RATIOS)
