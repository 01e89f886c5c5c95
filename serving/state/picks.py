"""Manual lists: every upload is a version of its own, and none is ever changed."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Sequence
from dataclasses import dataclass
from typing import NamedTuple

from sqlalchemy import Connection, Engine, insert, select

from serving.state.database import reading, writing
from serving.state.tables import PICK_LINES, PICKS
from serving.state.tombstones import erased_among


class Line(NamedTuple):
    """A product of a list.

    Attributes:
        segment, customer_id: whom it is for; both None: everyone.
        rank: from 1, within those it is for.
    """

    segment: str | None
    customer_id: str | None
    product_id: str
    rank: int


@dataclass(frozen=True)
class Picks:
    """A version of a list.

    Attributes:
        sha256: of its lines, see ``digest``.
        lines: when it was uploaded; an erasure removes those of its customer.
        at: microseconds since 1970-01-01 UTC.
    """

    list: str
    version: int
    sha256: str
    lines: int
    owner: str
    at: int


def digest(lines: Sequence[Line]) -> str:
    """SHA-256 of the lines as hex, in whatever order they come."""
    ordered = sorted(
        lines,
        key=lambda o: (o.segment or "", o.customer_id or "", o.rank, o.product_id),
    )
    text = json.dumps(ordered, ensure_ascii=False, separators=(",", ":"))
    return hashlib.sha256(text.encode()).hexdigest()


def upload(
    engine: Engine, name: str, lines: Sequence[Line], owner: str, at: int
) -> Picks:
    """Keeps a list as a new version; the same lines as the last one are that one.

    Lines of customers who were erased are left out.

    Raises:
        ValueError: no line is left.
        StateAwayError: the database cannot be reached.
    """
    with writing(engine) as connection:
        named = {line.customer_id for line in lines if line.customer_id is not None}
        erased = erased_among(connection, sorted(named))
        kept = [line for line in lines if line.customer_id not in erased]
        if not kept:
            raise ValueError("lines: expected one of a customer who was not erased")
        last = _last(connection, name)
        mark = digest(kept)
        if last is not None and last.sha256 == mark:
            return last
        version = 1 if last is None else last.version + 1
        made = Picks(name, version, mark, len(kept), owner, at)
        key = connection.execute(insert(PICKS), vars(made)).inserted_primary_key
        rows = [{"picks": key and key[0], **line._asdict()} for line in kept]
        connection.execute(insert(PICK_LINES), rows)
    return made


def latest(engine: Engine, name: str) -> Picks | None:
    """The last version of a list; None: there is no such list.

    Raises:
        StateAwayError: the database cannot be reached.
    """
    with reading(engine) as connection:
        return _last(connection, name)


def lines_of(engine: Engine, name: str, version: int) -> tuple[Line, ...]:
    """The lines of a version, by rank; empty: there is none.

    Raises:
        StateAwayError: the database cannot be reached.
    """
    with reading(engine) as connection:
        return lines_within(connection, name, version)


def lines_within(connection: Connection, name: str, version: int) -> tuple[Line, ...]:
    """``lines_of``, within a transaction."""
    columns = [PICK_LINES.c[field] for field in Line._fields]
    query = (
        select(*columns)
        .join(PICKS, PICKS.c.sequence == PICK_LINES.c.picks)
        .where(PICKS.c.list == name, PICKS.c.version == version)
        .order_by(PICK_LINES.c.rank, PICK_LINES.c.sequence)
    )
    return tuple(Line(*row) for row in connection.execute(query))


def _last(connection: Connection, name: str) -> Picks | None:
    columns = [PICKS.c[field] for field in Picks.__dataclass_fields__]
    query = select(*columns).where(PICKS.c.list == name)
    row = connection.execute(query.order_by(PICKS.c.version.desc()).limit(1)).first()
    return None if row is None else Picks(*row)
