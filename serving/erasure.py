"""What becomes of a customer who was erased, outside the state's database."""

from __future__ import annotations

from typing import Any

from features.snapshot import from_us
from serving.state.tombstones import Erasure

REMAINING = (
    "Answers no longer know the customer. Published files, feature tables and models "
    "hold the id until the next features, train and publish, which leave the customer "
    "out and remove versions that hold them; your input tables and backups are yours "
    "to clean."
)


def receipt(erasure: Erasure, *, was_published: bool) -> dict[str, Any]:
    """What a person who asked for it is told."""
    return {
        "erased_at": f"{from_us(erasure.at).isoformat()}Z",
        "tombstone": erasure.tombstone,
        "events_removed": erasure.events,
        "was_published": was_published,
        "remaining": REMAINING,
    }
