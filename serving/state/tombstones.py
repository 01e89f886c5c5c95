"""Customers who were erased: who they were is not kept, only a salted hash.

The salt is the installation's own, so that the same customer of another shop has
another tombstone, and a list of ids hashed in advance finds nobody. Whoever has the
database and guesses an id can check the guess: it takes that much to keep the
customer out of the next build.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable
from dataclasses import dataclass

from sqlalchemy import Connection, Engine, delete, func, insert, select, update

from serving.state.database import reading, wipe, writing
from serving.state.tables import (
    ASSIGNMENTS,
    EVENTS,
    EXPERIMENTS,
    OF_CUSTOMERS,
    SALTS,
    SHOWN,
    TOMBSTONES,
)

_HASHES_AT_ONCE = 500


@dataclass(frozen=True)
class Erasure:
    """What became of a customer.

    Attributes:
        tombstone: hex.
        at: when they were erased first, microseconds since 1970-01-01 UTC.
        events: removed now, those that experiments logged included.
    """

    tombstone: str
    at: int
    events: int


@dataclass(frozen=True)
class Tombstones:
    """Those that were set after some place.

    Attributes:
        salt: goes before the id, see ``tombstone``.
        hashes: in order.
        last: place of the last one.
    """

    salt: bytes
    hashes: tuple[bytes, ...]
    last: int


def tombstone(salt: bytes, customer_id: bytes) -> bytes:
    """What is kept of a customer; the id as UTF-8."""
    return hashlib.sha256(salt + customer_id).digest()


def encoded(customer_id: str) -> bytes:
    """An id as bytes, whatever is in it."""
    return customer_id.encode("utf-8", "surrogatepass")


def erase(engine: Engine, customer_id: str, now_us: int) -> Erasure:
    """Removes a customer's rows and keeps later ones out; again does no harm.

    Raises:
        StateAwayError: the database cannot be reached; nothing is removed, or, if the
            connection broke during the commit, all may be.
    """
    with writing(engine) as connection:
        mark = tombstone(_salt(connection), encoded(customer_id))
        own = TOMBSTONES.c.hash == mark
        at = connection.execute(select(TOMBSTONES.c.at).where(own)).scalar_one_or_none()
        if at is None:
            connection.execute(insert(TOMBSTONES), {"hash": mark, "at": now_us})
        drawn = select(ASSIGNMENTS.c.experiment).where(
            ASSIGNMENTS.c.customer_id == customer_id, ASSIGNMENTS.c.why == "hash"
        )
        # Looks count customers: of those erased, a number is all that is kept.
        connection.execute(
            update(EXPERIMENTS)
            .where(EXPERIMENTS.c.name.in_(drawn))
            .values(erased=EXPERIMENTS.c.erased + 1)
        )
        removed = {
            table.name: connection.execute(
                delete(table).where(table.c.customer_id == customer_id)
            ).rowcount
            for table in OF_CUSTOMERS
        }
    wipe(engine)
    events = removed[EVENTS.name] + removed[SHOWN.name]
    return Erasure(mark.hex(), now_us if at is None else at, events)


def since(engine: Engine, last: int = 0) -> Tombstones:
    """Those set after a place, in order; 0: all.

    Raises:
        StateAwayError: the database cannot be reached.
    """
    query = (
        select(TOMBSTONES.c.sequence, TOMBSTONES.c.hash)
        .where(TOMBSTONES.c.sequence > last)
        .order_by(TOMBSTONES.c.sequence)
    )
    with reading(engine) as connection:
        rows = connection.execute(query).all()
        salt = _salt(connection)
    hashes = tuple(bytes(row[1]) for row in rows)
    return Tombstones(salt, hashes, rows[-1][0] if rows else last)


def erased_among(connection: Connection, customer_ids: Iterable[str]) -> set[str]:
    """Which of some customers were erased, within a transaction."""
    if not connection.execute(select(func.max(TOMBSTONES.c.sequence))).scalar_one():
        return set()
    salt = _salt(connection)
    marks = {tombstone(salt, encoded(one)): one for one in customer_ids}
    found: set[str] = set()
    hashes = list(marks)
    for start in range(0, len(hashes), _HASHES_AT_ONCE):
        some = hashes[start : start + _HASHES_AT_ONCE]
        query = select(TOMBSTONES.c.hash).where(TOMBSTONES.c.hash.in_(some))
        found |= {marks[bytes(row[0])] for row in connection.execute(query)}
    return found


def _salt(connection: Connection) -> bytes:
    return bytes(connection.execute(select(SALTS.c.salt)).scalar_one())
