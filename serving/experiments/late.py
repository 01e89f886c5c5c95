"""What came too late for a question: it happened before, and was known only after.

A look decides by what was known at its moment, so that it says the same for ever. What
came later is counted here and shown beside it.
"""

from __future__ import annotations

from datetime import datetime

import duckdb

from serving.experiments.inputs import SOURCES
from serving.experiments.outcome_sql import known, moment
from serving.experiments.outcomes import columns_of

KINDS = {
    "purchases": SOURCES.purchases,
    "exposures": str(SOURCES.exposures),
    "clicks": str(SOURCES.clicks),
}
"""Views of ``inputs`` by what is counted of them."""


def late(
    db: duckdb.DuckDBPyConnection,
    days: int,
    as_of: datetime,
    until: datetime | None = None,
) -> dict[str, int]:
    """Rows of drawn customers that a question as of a moment did not have, by kind.

    Of windows only, up to the moment. A row that another one replaced counts as known.

    Args:
        db: see ``inputs.opened``, of an experiment.
        days: length of a window.
        as_of: the moment of the question; a row known a microsecond before it was
            there in time.
        until: only rows known before this moment; None: whenever.
    """
    end = f"least(assigned_at + INTERVAL {days} DAY, {moment(as_of)})"
    found: dict[str, int] = {}
    for kind, name in KINDS.items():
        have = columns_of(db, name)
        there = "true" if until is None else known(have, until, "r")
        if "known_at" not in have:
            found[kind] = 0
            continue
        rows = db.execute(
            f"""SELECT count(*) FROM {name} AS r JOIN assigned AS a USING (customer_id)
            WHERE a.reason = 'hash' AND a.assigned_at < {moment(as_of)}
                AND r.ts >= a.assigned_at AND r.ts < {end}
                AND coalesce(r.known_at, r.ts) >= {moment(as_of)} AND {there}"""
        ).fetchall()
        found[kind] = int(rows[0][0])
    return found
