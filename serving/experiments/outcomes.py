"""Assignments, exposures, clicks and purchases -> one row per customer.

All in DuckDB, so that millions of exposures never pass through Python. What counts:

- All who were assigned, whatever they saw (intention to treat), from their assignment
  on.
- A half-open window of so many days. By default only customers whose window is over
  by ``as_of``: each look then adds new customers and alters none, which the bounds of
  ``sequential`` and ``anytime`` take for granted.
- What lies before the start of a customer's window is never an outcome, only a
  covariate. The order of rows does not matter, only their ``ts`` does, and that they
  were known (``known_at``) before ``as_of``: the same question has the same answer
  when rows have come late since.
- An ``event_id`` counts once; if it was sent again with other values, the smallest of
  each counts.
"""

from __future__ import annotations

from dataclasses import dataclass

import duckdb

from features.sql import identifier
from serving.experiments import outcome_sql
from serving.experiments.outcome_sql import CUSTOMERS, Window


@dataclass(frozen=True)
class Sources:
    """Names of tables or views on the connection.

    Attributes:
        assignments: ``customer_id``, ``arm``, ``assigned_at``; perhaps ``reason``
            (only ``hash`` is compared), ``propensity`` (as predicted before the
            assignment) and the strata. The first row of a customer counts.
        exposures: ``event_id``, ``customer_id``, ``product_id``, ``ts``: a product
            in a slot. None: none are logged.
        clicks: the same columns. A click counts for the last exposure of its product
            to its customer at or before it, once for each exposure.
        purchases: the input table ``purchases``.

    Exposures, clicks and purchases may have ``known_at`` and ``known_until``, see
    ``outcome_sql.known``.
    """

    assignments: str
    purchases: str
    exposures: str | None = None
    clicks: str | None = None


@dataclass(frozen=True)
class Counts:
    """What was made, and of whom.

    Attributes:
        assigned: customers drawn by hash, by arm.
        analysed: customers in the table, by arm.
        crossed: customers with rows of several arms; they stay in their first.
    """

    assigned: dict[str, int]
    analysed: dict[str, int]
    crossed: int


def build(db: duckdb.DuckDBPyConnection, sources: Sources, window: Window) -> Counts:
    """Make the temporary tables ``outcomes`` and ``outcomes_daily``.

    ``outcomes``, a row per customer: ``customer_id``, ``arm``, ``started_at``, the
    strata, ``propensity`` (null: none given), ``exposures`` and ``clicks`` (exposures
    that were clicked), ``converted`` (bought a product after it was shown), ``bought``
    (any order), ``orders``, ``revenue`` (net of returns of what was bought in the
    window, shop currency), ``days_to_purchase`` (to the first order; the whole window
    if there is none), ``pre_orders``, ``pre_bought``, ``pre_revenue`` (as paid, before
    the window). 0: nothing happened.

    ``outcomes_daily``, a row per customer and day of the window (0: the first) on
    which something happened: ``customer`` (a number for each), ``arm``, ``day``,
    ``exposures``, ``clicks``, ``orders``, ``revenue``, ``bought`` (1 on the day of the
    first order). A returned amount counts on the day of the purchase it takes back.

    Args:
        db: ids are texts, times timestamps in UTC. The tables are the connection's
            own: two builds at once need two connections.
        sources: see ``Sources``.
        window: see ``Window``.

    Returns:
        Counts of customers.
    """
    names = (sources.assignments, sources.purchases, sources.exposures, sources.clicks)
    have = {name: columns_of(db, name) for name in names if name is not None}
    none = set[str]()
    db.execute(
        outcome_sql.drawn(sources.assignments, have[sources.assignments], window)
    )
    db.execute(
        outcome_sql.shown(
            sources.exposures, have.get(str(sources.exposures), none), window
        )
    )
    db.execute(outcome_sql.begun(window))
    db.execute(outcome_sql.lines(sources.purchases, have[sources.purchases], window))
    db.execute(
        outcome_sql.clicked(sources.clicks, have.get(str(sources.clicks), none), window)
    )
    db.execute(outcome_sql.first_seen())
    db.execute(outcome_sql.daily())
    db.execute(outcome_sql.customers(window))
    counts = Counts(_by_arm(db, "_drawn"), _by_arm(db, CUSTOMERS), _crossed(db))
    for table in ("_drawn", "_shown", "_begun", "_lines", "_clicked", "_first_seen"):
        db.execute(f"DROP TABLE {table}")
    return counts


def columns_of(db: duckdb.DuckDBPyConnection, name: str) -> set[str]:
    """Columns of a table or view."""
    found = db.execute(f"SELECT * FROM {identifier(name)} LIMIT 0").description
    return {str(column[0]) for column in found or ()}


def _by_arm(db: duckdb.DuckDBPyConnection, table: str) -> dict[str, int]:
    rows = db.execute(f"SELECT arm, count(*) FROM {table} GROUP BY arm ORDER BY arm")
    return {str(arm): int(n) for arm, n in rows.fetchall()}


def _crossed(db: duckdb.DuckDBPyConnection) -> int:
    row = db.execute("SELECT count(*) FROM _drawn WHERE crossed").fetchone()
    return int(row[0]) if row else 0
