"""What an experiment's customers saw and clicked: on disk before the reply.

An event counts once by its id, within its experiment and kind; another one of the
same id is refused, as in ``log``.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal, NamedTuple

from sqlalchemy import Connection, Engine, insert, select

from serving.state.assignments import arms
from serving.state.database import writing
from serving.state.log import Appended
from serving.state.tables import SHOWN
from serving.state.tombstones import erased_among

Kind = Literal["exposure", "click"]

_IDS_AT_ONCE = 500

_NOT_ASSIGNED = (
    "customer_id: expected one with an assignment, got one without; ask for it first"
)
_ERASED = "customer_id: expected a customer who was not erased, got one who was"
_OTHER = "event_id: expected one of its own, got that of another event"


class Shown(NamedTuple):
    """A product in a slot, or a click on it.

    Attributes:
        arm: whose list it was by the shop's own account; None: not said.
        ts: microseconds since 1970-01-01 UTC.
    """

    event_id: str
    customer_id: str
    arm: str | None
    product_id: str
    position: int | None
    list_version: str | None
    ts: int


def append(
    engine: Engine, experiment: str, kind: Kind, events: Sequence[Shown], at: int
) -> tuple[Appended, int]:
    """Puts events on disk.

    Returns:
        What became of them, and how many of the accepted name another arm than
        their customer's; those are kept, and counted apart by the report.

    Raises:
        StateAwayError: they may not be there; the same can be sent again.
    """
    found, rows, other = Appended(), list[Shown](), 0
    with writing(engine) as connection:
        known = _known(connection, experiment, kind, [e.event_id for e in events])
        customers = {event.customer_id for event in events}
        erased = erased_among(connection, customers)
        assigned = arms(connection, experiment, sorted(customers))
        for place, event in enumerate(events):
            if event.customer_id in erased:
                found.refused[place] = _ERASED
            elif event.customer_id not in assigned:
                found.refused[place] = _NOT_ASSIGNED
            elif event.event_id not in known:
                known[event.event_id] = event
                rows.append(event)
                other += event.arm not in (None, assigned[event.customer_id])
            elif known[event.event_id] == event:
                found.duplicates += 1
            else:
                found.refused[place] = _OTHER
        same = {"experiment": experiment, "kind": kind, "received_at": at}
        if rows:
            connection.execute(insert(SHOWN), [same | row._asdict() for row in rows])
    found.accepted = len(rows)
    return found, other


def _known(
    connection: Connection, experiment: str, kind: Kind, ids: Sequence[str]
) -> dict[str, Shown]:
    columns = [SHOWN.c[name] for name in Shown._fields]
    found: dict[str, Shown] = {}
    for start in range(0, len(ids), _IDS_AT_ONCE):
        query = select(*columns).where(
            SHOWN.c.experiment == experiment,
            SHOWN.c.kind == kind,
            SHOWN.c.event_id.in_(ids[start : start + _IDS_AT_ONCE]),
        )
        found |= {row[0]: Shown(*row) for row in connection.execute(query)}
    return found
