"""The tables of the state, as SQLAlchemy sees them; the migrations make them.

Moments are microseconds since 1970-01-01 UTC, the same on every database.
"""

from __future__ import annotations

from typing import Any

from sqlalchemy import (
    BigInteger,
    Boolean,
    Column,
    Double,
    Integer,
    LargeBinary,
    MetaData,
    Table,
    Text,
    UniqueConstraint,
)
from sqlalchemy.types import TypeEngine

from features import contracts
from features.contracts import Dtype

EVENT_TABLES: dict[str, contracts.Table] = {
    table.name: table for table in contracts.EVENT_TABLES
}
"""Input tables whose rows may come as events, by name."""

KNOWN_AT = "known_at"
"""Not a column of an event: a row is known when it is received."""

_TYPES: dict[Dtype, type[TypeEngine[Any]]] = {
    "id": Text,
    "text": Text,
    "number": Double,
    "flag": Boolean,
    "time": BigInteger,
}


def event_columns(table: contracts.Table) -> tuple[contracts.Column, ...]:
    """The columns of a table that an event of it may have."""
    return tuple(column for column in table.columns if column.name != KNOWN_AT)


def _merged() -> dict[str, contracts.Column]:
    """Every column that an event of any table may have, once, in a fixed order."""
    return {
        column.name: column
        for table in EVENT_TABLES.values()
        for column in event_columns(table)
    }


CONTENT: tuple[str, ...] = ("table", *_merged())
"""What an event says, besides its id."""


def _sequence() -> Column[int]:
    # SQLite counts upwards in its own integer type only.
    return Column(
        "sequence",
        BigInteger().with_variant(Integer, "sqlite"),
        primary_key=True,
        autoincrement=True,
    )


METADATA = MetaData()

EVENTS = Table(
    "events",
    METADATA,
    _sequence(),
    Column("event_id", Text, nullable=False, unique=True),
    Column("received_at", BigInteger, nullable=False, index=True),
    Column("table", Text, nullable=False),
    *(
        Column(
            column.name,
            _TYPES[column.dtype],
            nullable=column.name not in ("customer_id", "ts"),
            index=column.name == "customer_id",
        )
        for column in _merged().values()
    ),
    sqlite_autoincrement=True,
)
"""The log of events: a row each, columns of other tables null; see ``log``."""

KEYS = Table(
    "keys",
    METADATA,
    Column("prefix", Text, primary_key=True),
    Column("hash", LargeBinary, nullable=False, unique=True),
    Column("name", Text, nullable=False),
    Column("scopes", Text, nullable=False),
    Column("created_at", BigInteger, nullable=False),
    Column("revoked_at", BigInteger),
)
"""API keys; see ``keys``."""


AUDITS = Table(
    "audits",
    METADATA,
    _sequence(),
    Column("at", BigInteger, nullable=False, index=True),
    Column("who", Text, nullable=False),
    Column("goal", Text, nullable=False),
    Column("asked", Text, nullable=False),
    Column("customers", BigInteger, nullable=False),
    Column("version", Text, nullable=False),
    sqlite_autoincrement=True,
)
"""Who pulled which list of customers; see ``audits``."""

TOMBSTONES = Table(
    "tombstones",
    METADATA,
    _sequence(),
    Column("hash", LargeBinary, nullable=False, unique=True),
    Column("at", BigInteger, nullable=False),
    sqlite_autoincrement=True,
)
"""Customers who were erased, as salted hashes; see ``tombstones``."""

SALTS = Table("salts", METADATA, Column("salt", LargeBinary, primary_key=True))
"""One row: the salt of this installation's tombstones, made by the migration."""

EXPERIMENTS = Table(
    "experiments",
    METADATA,
    Column("name", Text, primary_key=True),
    Column("plan", Text, nullable=False),
    Column("owner", Text, nullable=False),
    Column("status", Text, nullable=False),
    Column("created_at", BigInteger, nullable=False),
    Column("started_at", BigInteger),
    Column("stopped_at", BigInteger),
    Column("erased", Integer, nullable=False, server_default="0"),
)
"""Comparisons of arms; the plan as JSON; of those drawn, how many were erased. See
``experiments``."""

PICKS = Table(
    "picks",
    METADATA,
    _sequence(),
    Column("list", Text, nullable=False),
    Column("version", Integer, nullable=False),
    Column("sha256", Text, nullable=False),
    Column("lines", Integer, nullable=False),
    Column("owner", Text, nullable=False),
    Column("at", BigInteger, nullable=False),
    UniqueConstraint("list", "version", name="uq_picks_version"),
    sqlite_autoincrement=True,
)
"""Versions of manual lists; none is ever changed. See ``picks``."""

PICK_LINES = Table(
    "pick_lines",
    METADATA,
    _sequence(),
    Column("picks", BigInteger, nullable=False, index=True),
    Column("segment", Text),
    Column("customer_id", Text, index=True),
    Column("product_id", Text, nullable=False),
    Column("rank", Integer, nullable=False),
    sqlite_autoincrement=True,
)
"""Lines of a version, which ``picks`` names by its sequence; segment and customer
null: for everyone."""

OVERRIDES = Table(
    "overrides",
    METADATA,
    _sequence(),
    Column("experiment", Text, nullable=False),
    Column("customer_id", Text, nullable=False, index=True),
    Column("arm", Text),
    Column("who", Text, nullable=False),
    Column("at", BigInteger, nullable=False),
    UniqueConstraint("experiment", "customer_id", name="uq_overrides_customer"),
    sqlite_autoincrement=True,
)
"""Customers who are not drawn: put into an arm, or, where it is null, left out."""

ASSIGNMENTS = Table(
    "assignments",
    METADATA,
    _sequence(),
    Column("experiment", Text, nullable=False),
    Column("customer_id", Text, nullable=False, index=True),
    Column("arm", Text),
    Column("why", Text, nullable=False),
    Column("assigned_at", BigInteger, nullable=False),
    Column("segment", Text),
    Column("propensity", Double),
    UniqueConstraint("experiment", "customer_id", name="uq_assignments_customer"),
    sqlite_autoincrement=True,
)
"""When each customer of an experiment was first asked for; see ``assignments``."""

DEALT = Table(
    "dealt",
    METADATA,
    _sequence(),
    Column("experiment", Text, nullable=False),
    Column("customer_id", Text, nullable=False, index=True),
    Column("product_id", Text, nullable=False),
    Column("arm", Text, nullable=False),
    Column("dealt_at", BigInteger, nullable=False),
    sqlite_autoincrement=True,
)
"""Which list gave each product of an interleaved one; see ``deals``."""

SHOWN = Table(
    "shown",
    METADATA,
    _sequence(),
    Column("experiment", Text, nullable=False),
    Column("kind", Text, nullable=False),
    Column("event_id", Text, nullable=False),
    Column("customer_id", Text, nullable=False, index=True),
    Column("arm", Text),
    Column("product_id", Text, nullable=False),
    Column("position", Integer),
    Column("list_version", Text),
    Column("ts", BigInteger, nullable=False),
    Column("received_at", BigInteger, nullable=False),
    UniqueConstraint("experiment", "kind", "event_id", name="uq_shown_event"),
    sqlite_autoincrement=True,
)
"""What an experiment's customers saw and clicked; see ``shown``."""

ALERTS = Table(
    "alerts",
    METADATA,
    Column("alert", Text, primary_key=True),
    Column("customer_id", Text, nullable=False, index=True),
    Column("state", Text, nullable=False),
    Column("who", Text, nullable=False),
    Column("at", BigInteger, nullable=False),
    Column("cutoff", BigInteger, nullable=False),
)
"""Alerts that somebody dealt with; see ``alerts``."""

OF_CUSTOMERS = (
    EVENTS,
    SHOWN,
    DEALT,
    ASSIGNMENTS,
    OVERRIDES,
    PICK_LINES,
    ALERTS,
)
"""Tables with rows of customers: an erasure deletes theirs in each."""
