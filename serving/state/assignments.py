"""Who was asked for when: the arm follows from a hash, the moment does not."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import NamedTuple

from sqlalchemy import Connection, Engine, insert, select

from serving.state.database import reading, writing
from serving.state.tables import ASSIGNMENTS
from serving.state.tombstones import erased_among

_IDS_AT_ONCE = 500
"""In one query; databases limit their parameters."""


class Assignment(NamedTuple):
    """A customer of an experiment, as of the first time that they were asked for.

    Attributes:
        arm: None: left out.
        segment, propensity: of the version that answered; None: unknown.
    """

    customer_id: str
    arm: str | None
    why: str
    segment: str | None
    propensity: float | None


def record(
    engine: Engine, experiment: str, found: Sequence[Assignment], at: int
) -> None:
    """Puts on disk those who are not there yet, but nobody who was erased.

    Raises:
        StateAwayError: the database cannot be reached; do not give the lists.
    """
    by_id = {one.customer_id: one for one in found}
    with reading(engine) as connection:
        missing = by_id.keys() - arms(connection, experiment, by_id).keys()
    if not missing:
        return
    with writing(engine) as connection:
        # Another request may have come first.
        missing -= arms(connection, experiment, missing).keys()
        missing -= erased_among(connection, missing)
        rows = [
            {"experiment": experiment, "assigned_at": at, **by_id[one]._asdict()}
            for one in by_id
            if one in missing
        ]
        if rows:
            connection.execute(insert(ASSIGNMENTS), rows)


def arms(
    connection: Connection, experiment: str, customer_ids: Iterable[str]
) -> Mapping[str, str | None]:
    """The arm of those who were assigned, within a transaction."""
    found: dict[str, str | None] = {}
    ids = list(customer_ids)
    for start in range(0, len(ids), _IDS_AT_ONCE):
        some = ids[start : start + _IDS_AT_ONCE]
        query = select(ASSIGNMENTS.c.customer_id, ASSIGNMENTS.c.arm).where(
            ASSIGNMENTS.c.experiment == experiment,
            ASSIGNMENTS.c.customer_id.in_(some),
        )
        found |= {str(row[0]): row[1] for row in connection.execute(query)}
    return found
