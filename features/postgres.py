"""Copies tables of a PostgreSQL database to Parquet, streamed.

All that follows reads them like any other folder, so that a feature has one
definition whatever the source.
"""

from __future__ import annotations

from collections.abc import Generator, Iterable, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pyarrow as pa
import pyarrow.parquet as pq

from features.contracts import TABLES, ContractError, SettingError, Table
from features.database import Database
from features.scratch import scratch
from features.sources import Copied
from features.sql import identifier, quoted

if TYPE_CHECKING:
    from adbc_driver_manager.dbapi import Cursor

_AS_IT_IS = ("bool", "int2", "int4", "int8", "float4", "float8", "text", "varchar")
_TIMES = ("date", "timestamp", "timestamptz")
_ARRAY = "A"

_CATALOGUE = """
    SELECT c.relname::text, a.attname::text, coalesce(b.typname, t.typname)::text,
           coalesce(b.typcategory, t.typcategory)::text, a.atttypmod::int4,
           has_column_privilege(c.oid, a.attnum, 'SELECT')
    FROM pg_class c
    JOIN pg_namespace n ON n.oid = c.relnamespace
    JOIN pg_attribute a ON a.attrelid = c.oid
    JOIN pg_type t ON t.oid = a.atttypid
    LEFT JOIN pg_type b ON t.typtype = 'd' AND b.oid = t.typbasetype
    WHERE n.nspname = {schema} AND c.relname IN ({tables}) AND a.attnum > 0
      AND c.relkind IN ('r', 'p', 'v', 'm', 'f') AND NOT a.attisdropped
    ORDER BY c.relname, a.attnum
"""


@dataclass(frozen=True)
class _Found:
    """A column, as the catalogue describes it; a domain has its base type."""

    name: str
    type: str
    category: str
    modifier: int
    readable: bool


@contextmanager
def local(data: Path | Database) -> Generator[Path | Copied]:
    """Input on this machine: a database as a copy that is removed at the end.

    Raises:
        ContractError, SettingError: as ``copy``.
    """
    if isinstance(data, Path):
        yield data
        return
    with scratch() as folder:
        copy(data, folder)
        yield Copied(folder, data.name)


def copy(database: Database, folder: Path) -> None:
    """Copy every input table to ``folder/TABLE.parquet``.

    Contract columns are copied, and further ones where the contract reads them.
    One transaction reads all tables, so they are of one moment. Memory is bounded
    by the driver's batches of about 16 MB.

    ``numeric`` becomes a double, a time with a zone UTC, a time outside the years
    1 to 9999 the nearest end of them (``infinity`` stays "never"), an array a list
    of texts, and every type that is not named in the contract's terms its text.

    Args:
        database: where to read.
        folder: where to write; it exists.

    Raises:
        ContractError: tables may not be read; one line per table.
        SettingError: no server, no such database, schema or user, or a full disk.
    """
    with _cursor(database) as cursor:
        # The first statement of the transaction, or it would come too late.
        cursor.execute("SET TRANSACTION ISOLATION LEVEL REPEATABLE READ READ ONLY")
        schema = _schema(cursor, database)
        tables = _tables(cursor, schema)
        denied = [
            f"{table.name}: expected the right to read, got permission denied for "
            f"{', '.join(c.name for c in columns if not c.readable)} in {database.name}; "
            "GRANT SELECT to the user"
            for table, columns in tables
            if not all(column.readable for column in columns)
        ]
        if denied:
            raise ContractError(*denied)
        for table, columns in tables:
            fields = ", ".join(
                f"{_select(table, c)} AS {identifier(c.name)}" for c in columns
            )
            place = f"{identifier(schema)}.{identifier(table.name)}"
            cursor.execute(f"SELECT {fields} FROM {place}")
            reader = cursor.fetch_record_batch()
            file = folder / f"{table.name}.parquet"
            _write(reader.schema, _batches(database, reader), file)


@contextmanager
def _cursor(database: Database) -> Generator[Cursor]:
    """A cursor of a new connection; what the driver says becomes one line."""
    try:
        from adbc_driver_manager import Error
        from adbc_driver_postgresql.dbapi import connect
    except ImportError:
        raise SettingError(
            "data: expected the package's extra postgres for a PostgreSQL source, got "
            "an installation without; pip install 'repurchase[postgres]'"
        ) from None
    try:
        connection = connect(database.url)
    except Error as error:
        raise SettingError(
            f"data: expected a PostgreSQL database at {database}, got "
            f"{_said(database, error)}; check server, name, user and password"
        ) from None
    try:
        with connection, connection.cursor() as cursor:
            yield cursor
    except Error as error:
        raise _broken_off(database, error) from None


def _broken_off(database: Database, error: Exception) -> SettingError:
    return SettingError(
        f"data: expected to read {database} to its end, got "
        f"{_said(database, error)}; mend it there and run again"
    )


def _said(database: Database, error: Exception) -> str:
    """What the server said, in one line."""
    text = database.hide(str(error)).partition("\n\nQuery was:")[0]
    text = " ".join(text.split())
    for prefix in ("IO: ", "[libpq] ", "Failed to connect: "):
        text = text.removeprefix(prefix)
    return text.partition(" Is the server running")[0].rstrip(". ")


def _rows(cursor: Cursor, query: str) -> list[tuple[Any, ...]]:
    cursor.execute(query)
    return cursor.fetchall()


def _schema(cursor: Cursor, database: Database) -> str:
    """The schema of the tables.

    Raises:
        SettingError: it is not there, or closed to the user.
    """
    named = quoted(database.schema) if database.schema else "current_schema()"
    found = _rows(
        cursor,
        "SELECT nspname::text, has_schema_privilege(oid, 'USAGE') "
        f"FROM pg_namespace WHERE nspname = {named}",
    )
    if not found or not found[0][1]:
        got = "permission denied" if found else "none of that name"
        raise SettingError(
            f"data: expected a schema with the tables in {database.name}, got {got}; "
            "name it with ?schema=NAME, and GRANT USAGE to the user"
        )
    return str(found[0][0])


def _tables(cursor: Cursor, schema: str) -> list[tuple[Table, list[_Found]]]:
    """Input tables that are there, with the columns to copy."""
    names = ", ".join(quoted(table.name) for table in TABLES)
    found: dict[str, list[_Found]] = {}
    query = _CATALOGUE.format(schema=quoted(schema), tables=names)
    for table, *column in _rows(cursor, query):
        found.setdefault(table, []).append(_Found(*column))
    return [
        (table, [c for c in found[table.name] if _is_wanted(table, c.name)])
        for table in TABLES
        if table.name in found
    ]


def _is_wanted(table: Table, name: str) -> bool:
    ours = {column.name for column in table.columns}
    # Another case of our name is copied too, so that the check can refuse it.
    return table.further or name.lower() in ours


def _select(table: Table, found: _Found) -> str:
    """SQL of a column, in a type that Arrow and the contract know."""
    name = identifier(found.name)
    if found.type in _AS_IT_IS:
        return name
    if found.type in _TIMES:
        low, high = (quoted(end) + f"::{found.type}" for end in _ends(found.type))
        return f"CASE WHEN {name} IS NOT NULL THEN greatest({low}, least({high}, {name})) END"
    if found.type == "numeric":
        ids = {column.name for column in table.columns if column.dtype == "id"}
        is_whole = found.modifier >= 4 and not (found.modifier - 4) & 0xFFFF
        return f"{name}::{'text' if found.name in ids and is_whole else 'float8'}"
    return f"{name}::{'text[]' if found.category == _ARRAY else 'text'}"


def _ends(type_name: str) -> Sequence[str]:
    zone = "+00" if type_name == "timestamptz" else ""
    return f"0001-01-01 00:00:00{zone}", f"9999-12-31 00:00:00{zone}"


def _batches(
    database: Database, reader: pa.RecordBatchReader
) -> Generator[pa.RecordBatch]:
    try:
        yield from reader
    except (OSError, pa.ArrowException) as error:
        raise _broken_off(database, error) from None


def _write(schema: pa.Schema, batches: Iterable[pa.RecordBatch], file: Path) -> None:
    try:
        with pq.ParquetWriter(file, schema) as writer:
            for batch in batches:
                writer.write_batch(batch)
    except OSError as error:
        raise SettingError(
            f"data: expected room for a copy of {file.stem} in {file.parent.parent}, "
            f"got {error.strerror or error}; set TMPDIR to a larger disk"
        ) from None
