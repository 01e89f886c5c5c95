"""Who pulled which list of customers: written before the list is given."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass

from sqlalchemy import Engine, insert, select

from serving.state.database import reading, writing
from serving.state.tables import AUDITS

LOCAL = "local"
"""Who asks without a key: a command, or this machine where there are no keys."""


@dataclass(frozen=True)
class Audit:
    """A list that was pulled.

    Attributes:
        at: microseconds since 1970-01-01 UTC.
        who: prefix of the key, or ``LOCAL``.
        goal: of the audience, or the kind of alerts.
        asked: what else was asked, as JSON; no customer is named in it.
        customers: lines given.
        version: published, that answered.
    """

    at: int
    who: str
    goal: str
    asked: str
    customers: int
    version: str


def record(
    engine: Engine,
    at: int,
    who: str,
    goal: str,
    asked: Mapping[str, object],
    customers: int,
    version: str,
) -> None:
    """Puts a list that is about to be given on disk; arguments as of ``Audit``.

    Raises:
        StateAwayError: the database cannot be reached; do not give the list.
    """
    text = json.dumps(asked, sort_keys=True, ensure_ascii=False)
    row = Audit(at, who, goal, text, customers, version)
    with writing(engine) as connection:
        connection.execute(insert(AUDITS), vars(row))


def latest(engine: Engine, most: int) -> list[Audit]:
    """The lists pulled last, the newest first.

    Raises:
        StateAwayError: the database cannot be reached.
    """
    columns = [AUDITS.c[name] for name in Audit.__dataclass_fields__]
    query = select(*columns).order_by(AUDITS.c.sequence.desc()).limit(most)
    with reading(engine) as connection:
        return [Audit(*row) for row in connection.execute(query)]
