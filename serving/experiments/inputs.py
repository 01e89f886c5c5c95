"""What a report and a design read: the state's rows and the input table, in DuckDB.

Rows leave the state in batches and go through files, so that millions of exposures
need no memory. Purchases are those of the input table and of ``/v1/events``; a line of
the log whose customer, order and product the table has too, bought or returned, is the
same line: the log's until the table's is known, from then on the table's.

Every row says when it was known, so that a question as of a moment has the same answer
whenever it is asked: see ``outcome_sql.known``.
"""

from __future__ import annotations

from collections.abc import Generator, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any

import duckdb
import pyarrow as pa
import pyarrow.parquet as pq
from sqlalchemy import (
    ColumnElement,
    Connection,
    Engine,
    Select,
    Text,
    literal_column,
    select,
)

from features.connection import connect
from features.contracts import PURCHASES
from features.engine import Tables
from features.erased import Erased
from features.scratch import scratch
from features.sql import path
from serving.experiments.outcomes import Sources
from serving.experiments.place import Place
from serving.state import tombstones
from serving.state.database import reading
from serving.state.tables import ASSIGNMENTS, DEALT, EVENTS, SHOWN

_ROWS_AT_ONCE = 50_000
_TUPLES_AT_ONCE = 500
"""Fewer than wake Python's garbage collector, which would take half of the time."""

_MOMENT = pa.timestamp("us")

_ASSIGNED = pa.schema(
    [
        ("customer_id", pa.string()),
        ("arm", pa.string()),
        ("reason", pa.string()),
        ("assigned_at", _MOMENT),
        ("segment", pa.string()),
        ("propensity", pa.float64()),
    ]
)
_DEALT = pa.schema(
    [
        ("customer_id", pa.string()),
        ("product_id", pa.string()),
        ("arm", pa.string()),
        ("dealt_at", _MOMENT),
    ]
)
_SHOWN = pa.schema(
    [
        ("customer_id", pa.string()),
        ("arm", pa.string()),
        ("product_id", pa.string()),
        ("ts", _MOMENT),
        ("known_at", _MOMENT),
    ]
)
_BOUGHT = pa.schema(
    [
        ("customer_id", pa.string()),
        ("product_id", pa.string()),
        ("order_id", pa.string()),
        ("ts", _MOMENT),
        ("quantity", pa.float64()),
        ("amount", pa.float64()),
        ("known_at", _MOMENT),
    ]
)
_LINE = ", ".join(_BOUGHT.names)
_LOGGED = ", ".join(f"e.{name}" for name in _BOUGHT.names)

_OF_LOG: dict[str, str] = {"known_at": "received_at"}
"""Columns that the state names otherwise."""

SOURCES = Sources("assigned", "bought", "exposures", "clicks")
"""Views of an experiment, see ``opened``; of any, ``exposures`` are all there are."""


@contextmanager
def opened(
    state: Engine, experiment: str | None, place: Place
) -> Generator[duckdb.DuckDBPyConnection]:
    """A connection with the views of ``SOURCES``, and ``dealt`` of interleaved lists.

    Exposures and clicks count only where the arm that the shop named is the
    customer's; the others are in the view ``astray``.

    Args:
        state: an upgraded database.
        experiment: None: the exposures and clicks of all of them, and nobody's
            assignments; for a design.
        place: where purchases are.

    Raises:
        ContractError, SettingError: the input cannot be read.
        StateAwayError: the database cannot be reached.
    """
    with ExitStack() as stack:
        folder = stack.enter_context(scratch())
        db, has_table = _connected(stack, state, place)
        _assigned(state, db, experiment, folder)
        for kind, name in (("exposure", "exposures"), ("click", "clicks")):
            _shown(state, db, experiment, (kind, name), folder)
        _bought(state, db, folder, has_table=has_table)
        _dealt(state, db, experiment, folder)
        yield db


def _connected(
    stack: ExitStack, state: Engine, place: Place
) -> tuple[duckdb.DuckDBPyConnection, bool]:
    """The connection, and whether it has the input tables."""
    limits = place.engine
    data = place.data
    if data is None or (isinstance(data, Path) and not data.exists()):
        db = stack.enter_context(connect(limits.memory_limit, limits.threads))
        return db, False
    found = tombstones.since(state)
    tables = Tables(
        data,
        memory_limit=limits.memory_limit,
        threads=limits.threads,
        erased=Erased(found.salt, frozenset(found.hashes)),
    )
    return stack.enter_context(tables).connection, True


def _assigned(
    state: Engine, db: duckdb.DuckDBPyConnection, experiment: str | None, folder: Path
) -> None:
    columns = [ASSIGNMENTS.c[n if n != "reason" else "why"] for n in _ASSIGNED.names]
    query = select(*columns).where(
        ASSIGNMENTS.c.experiment == experiment, ASSIGNMENTS.c.arm.is_not(None)
    )
    file = folder / "assigned.parquet"
    _write(state, query.order_by(ASSIGNMENTS.c.sequence), _ASSIGNED, file)
    db.execute(
        f"CREATE TEMP TABLE assigned AS SELECT * FROM read_parquet({path(file)})"
    )


def _dealt(
    state: Engine, db: duckdb.DuckDBPyConnection, experiment: str | None, folder: Path
) -> None:
    columns = [DEALT.c[n] for n in map(str, _DEALT.names)]
    query = select(*columns).where(DEALT.c.experiment == experiment)
    file = folder / "dealt.parquet"
    _write(state, query.order_by(DEALT.c.sequence), _DEALT, file)
    db.execute(f"CREATE TEMP VIEW dealt AS SELECT * FROM read_parquet({path(file)})")


def _shown(
    state: Engine,
    db: duckdb.DuckDBPyConnection,
    experiment: str | None,
    names: tuple[str, str],
    folder: Path,
) -> None:
    """One kind of events, and those of them that name another arm."""
    kind, name = names
    columns = [SHOWN.c[_OF_LOG.get(n, n)] for n in map(str, _SHOWN.names)]
    query = select(*columns).where(_unindexed(state, "kind") == kind)
    if experiment is not None:
        query = query.where(_unindexed(state, "experiment") == experiment)
    file = folder / f"{name}.parquet"
    _write(state, query.order_by(SHOWN.c.sequence), _SHOWN, file)
    # Ids are unique in the state's database: the number of a row stands for its id.
    source = (
        "(SELECT file_row_number AS event_id, * EXCLUDE (file_row_number) FROM "
        f"read_parquet({path(file)}, file_row_number = true))"
    )
    if experiment is None:
        db.execute(f"CREATE TEMP VIEW {name} AS SELECT * FROM {source}")
        return
    joined = f"{source} AS s JOIN assigned AS a USING (customer_id)"
    same = "(s.arm IS NULL OR s.arm = a.arm)"
    db.execute(
        f"CREATE TEMP VIEW {name} AS SELECT event_id, customer_id, product_id, ts, "
        f"known_at FROM {joined} WHERE {same}"
    )
    db.execute(
        f"CREATE TEMP VIEW astray_{name} AS SELECT event_id, ts, known_at "
        f"FROM {joined} WHERE NOT {same}"
    )


def _bought(
    state: Engine, db: duckdb.DuckDBPyConnection, folder: Path, *, has_table: bool
) -> None:
    columns = [EVENTS.c[_OF_LOG.get(n, n)] for n in map(str, _BOUGHT.names)]
    query = select(*columns).where(EVENTS.c.table == PURCHASES.name)
    file = folder / "bought.parquet"
    _write(state, query.order_by(EVENTS.c.sequence), _BOUGHT, file)
    log = f"read_parquet({path(file)})"
    rows = f"SELECT {_LINE}, NULL::TIMESTAMP AS known_until FROM {log}"
    if has_table:
        same = "customer_id, order_id, product_id, quantity > 0"
        # Few of the table's lines are in the log; the others are read and not kept.
        rows = f"""
            SELECT {_LINE}, NULL::TIMESTAMP AS known_until FROM {PURCHASES.name}
            UNION ALL
            SELECT {_LOGGED}, t.known_at AS known_until
            FROM (SELECT *, ({same}) AS line FROM {log}) AS e
            LEFT JOIN (
                SELECT ({same}) AS line, min(coalesce(known_at, ts)) AS known_at
                FROM {PURCHASES.name}
                WHERE customer_id IN (SELECT customer_id FROM {log})
                GROUP BY ALL
            ) AS t USING (line)"""
    db.execute(f"CREATE TEMP VIEW bought AS {rows}")


def _unindexed(state: Engine, name: str) -> ColumnElement[str]:
    """A column of ``shown`` by which SQLite is not to look rows up.

    It would read millions of them one by one, all over the file, and sort them.
    """
    if state.dialect.name == "sqlite":
        return literal_column(f"+shown.{name}", Text)
    return SHOWN.c[name]


def _write(state: Engine, query: Select[Any], schema: pa.Schema, file: Path) -> None:
    """Rows of a query as a file, in bounded memory."""
    with pq.ParquetWriter(file, schema) as writer, reading(state) as connection:
        columns: list[list[Any]] = [[] for _ in schema.names]
        for rows in _batches(connection, query):
            for column, values in zip(columns, zip(*rows, strict=True), strict=True):
                column.extend(values)
            if len(columns[0]) >= _ROWS_AT_ONCE:
                writer.write_batch(_batch(columns, schema))
                columns = [[] for _ in schema.names]
        writer.write_batch(_batch(columns, schema))


def _batch(columns: list[list[Any]], schema: pa.Schema) -> pa.RecordBatch:
    arrays = [
        pa.array(column, field.type)
        for column, field in zip(columns, schema, strict=True)
    ]
    return pa.record_batch(arrays, schema=schema)


def _batches(
    connection: Connection, query: Select[Any]
) -> Iterator[Sequence[Sequence[Any]]]:
    """Rows of a query, some at a time, as the driver gives them."""
    if connection.dialect.name != "sqlite":
        streamed = connection.execution_options(yield_per=_ROWS_AT_ONCE)
        yield from streamed.execute(query).partitions()
        return
    # SQLAlchemy's rows cost as much again as reading them.
    compiled = query.compile(dialect=connection.dialect)
    given = [compiled.params[name] for name in compiled.positiontup or ()]
    cursor = connection.connection.cursor()
    try:
        cursor.execute(str(compiled), given)
        while rows := cursor.fetchmany(_TUPLES_AT_ONCE):
            yield rows
    finally:
        cursor.close()
