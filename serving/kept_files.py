"""What features read, as files of a published version and back."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import pyarrow as pa

from features.history import Array
from features.kept import Kept
from features.kept_events import KeptEvents

_PROFILES, _CAMPAIGNS = "kept_profiles", "kept_campaigns"
_PROFILE_OFFSETS = "kept_profile_offsets"
_OWN = ("offsets", "ts", "late", "known_at")


def arrays_of(kept: Kept) -> dict[str, Array]:
    """Arrays by the name of their file."""
    arrays: dict[str, Array] = {_PROFILE_OFFSETS: kept.profile_offsets}
    for table, events in kept.events.items():
        arrays |= {f"kept_{table}_{name}": getattr(events, name) for name in _OWN}
        arrays |= {f"kept_{table}.{name}": c for name, c in events.columns.items()}
    return arrays


def tables_of(kept: Kept) -> dict[str, pa.Table]:
    """Tables by the name of their file."""
    tables = {_PROFILES: kept.profiles, _CAMPAIGNS: kept.campaigns}
    return {name: table for name, table in tables.items() if table is not None}


def facts_of(kept: Kept) -> dict[str, Any]:
    """The rest, ready for JSON."""
    return {
        "columns": {table: list(e.columns) for table, e in kept.events.items()},
        "words": {
            table: {name: list(words) for name, words in e.words.items()}
            for table, e in kept.events.items()
        },
        "tables": list(tables_of(kept)),
        "since": dict(kept.since),
        "wordy": list(kept.wordy),
    }


def kept_from(
    facts: Mapping[str, Any],
    array: Callable[[str], Array],
    table: Callable[[str], pa.Table],
) -> Kept:
    """What was kept, from the files of these names."""

    def events(name: str, columns: list[str]) -> KeptEvents:
        words = facts["words"][name]
        return KeptEvents(
            **{own: array(f"kept_{name}_{own}") for own in _OWN},
            columns={column: array(f"kept_{name}.{column}") for column in columns},
            words={column: tuple(texts) for column, texts in words.items()},
        )

    def found(name: str) -> pa.Table | None:
        return table(name) if name in facts["tables"] else None

    return Kept(
        events={
            name: events(name, columns) for name, columns in facts["columns"].items()
        },
        profiles=found(_PROFILES),
        profile_offsets=array(_PROFILE_OFFSETS),
        campaigns=found(_CAMPAIGNS),
        since=facts["since"],
        wordy=tuple(facts["wordy"]),
    )
