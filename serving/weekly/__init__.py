"""The weekly report: what changed, why, whom to contact, and what that is worth."""

from __future__ import annotations

from typing import Any


def customers_of(found: dict[str, Any]) -> set[str]:
    """Ids of the customers that a report names, of its data."""
    named = (line for one in found["contacts"] for line in one["lines"])
    return {line["customer_id"] for line in named}
