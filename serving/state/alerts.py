"""What became of alerts: sent, done or dismissed; without a row an alert is open."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal, get_args

from sqlalchemy import Connection, Engine, delete, insert, select

from serving.state.database import reading, writing
from serving.state.tables import ALERTS
from serving.state.tombstones import erased_among

Handled = Literal["sent", "done", "dismissed"]
State = Literal["open", "sent", "done", "dismissed"]
STATES: tuple[State, ...] = get_args(State)

_NEXT: dict[State, tuple[State, ...]] = {
    "open": ("sent", "done", "dismissed"),
    "sent": ("done", "dismissed"),
    "done": (),
    "dismissed": (),
}


class BackwardsError(ValueError):
    """An alert does not go back to an earlier state.

    Attributes:
        state: that it is in.
    """

    def __init__(self, state: State) -> None:
        super().__init__(state)
        self.state: State = state


@dataclass(frozen=True)
class Mark:
    """What became of an alert.

    Attributes:
        alert: its id.
        who: prefix of the key, or "local".
        at: microseconds since 1970-01-01 UTC.
        cutoff: of the version that the alert was of, microseconds.
    """

    alert: str
    customer_id: str
    state: State
    who: str
    at: int
    cutoff: int


_COLUMNS = [ALERTS.c[name] for name in Mark.__dataclass_fields__]


def every(engine: Engine) -> list[Mark]:
    """All marks, by id.

    Raises:
        StateAwayError: the database cannot be reached.
    """
    with reading(engine) as connection:
        rows = connection.execute(select(*_COLUMNS).order_by(ALERTS.c.alert))
        return [Mark(*row) for row in rows]


def mark(engine: Engine, new: Mark, open_again: int | None = None) -> Mark | None:
    """Put on disk what became of an alert; the same again does no harm.

    Args:
        engine: of the state.
        new: what became of it.
        open_again: of a mark with a cutoff before this moment nothing is left.

    Returns:
        The mark in force; None: the customer was erased.

    Raises:
        BackwardsError: the alert is in a state that does not lead to this one.
        StateAwayError: the database cannot be reached.
    """
    with writing(engine) as connection:
        if erased_among(connection, [new.customer_id]):
            return None
        old = _of(connection, new.alert)
        if old is not None and open_again is not None and old.cutoff < open_again:
            old = None
        if old is not None and old.state == new.state:
            return old
        before: State = "open" if old is None else old.state
        if new.state not in _NEXT[before]:
            raise BackwardsError(before)
        connection.execute(delete(ALERTS).where(ALERTS.c.alert == new.alert))
        connection.execute(insert(ALERTS), vars(new))
    return new


def _of(connection: Connection, alert: str) -> Mark | None:
    query = select(*_COLUMNS).where(ALERTS.c.alert == alert)
    row = connection.execute(query).one_or_none()
    return None if row is None else Mark(*row)
