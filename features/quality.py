"""Checks input tables against the contract; bad rows go to quarantine.

A table that breaks the contract as a whole stops the run (``ContractError``).
A single bad row is set aside with a reason, and the run goes on.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

import duckdb

from features.contracts import PURCHASES, TABLES, Column, ContractError, Table

MAX_UNREADABLE_SHARE = 0.01
"""Above this share of unreadable values a CSV column is mistyped, not dirty."""

_SUFFIXES = (".parquet", ".csv")
_TYPES = {
    "id": "VARCHAR",
    "text": "VARCHAR",
    "number": "DOUBLE",
    "flag": "BOOLEAN",
    "time": "TIMESTAMP",
}
_INTEGERS = (
    "TINYINT",
    "SMALLINT",
    "INTEGER",
    "BIGINT",
    "HUGEINT",
    "UTINYINT",
    "USMALLINT",
    "UINTEGER",
    "UBIGINT",
)
_ACCEPTED = {
    "id": ("VARCHAR", *_INTEGERS),
    "text": ("VARCHAR", "BOOLEAN", *_INTEGERS),
    "number": ("DOUBLE", "FLOAT", "DECIMAL", *_INTEGERS),
    "flag": ("BOOLEAN",),
    "time": ("TIMESTAMP", "DATE"),
}
_CALLED = {
    "id": "text or integer",
    "text": "text",
    "number": "number",
    "flag": "true or false",
    "time": "timestamp",
}


@dataclass(frozen=True)
class Checked:
    """One table after its check: name, file, and how many rows were bad."""

    name: str
    file: str
    rows: int
    bad_rows: int


def sql_type(column: Column) -> str:
    """The engine's type of a contract column."""
    return _TYPES[column.dtype]


def register(db: duckdb.DuckDBPyConnection, data: Path) -> dict[str, Checked]:
    """Create a view of good rows per table, and ``bad_TABLE`` of bad ones.

    Args:
        db: connection that will hold the views.
        data: folder of Parquet or CSV files, or a DuckDB file.

    Returns:
        By table name, only tables that are there.

    Raises:
        ContractError: one line per problem, over all tables.
    """
    if not data.exists():
        raise ContractError(
            f"data: expected a folder or a DuckDB file, found nothing at {data}; check --data"
        )
    problems: list[str] = []
    checked: dict[str, Checked] = {}
    for table, source, file in _sources(db, data):
        try:
            checked[table.name] = _register_table(db, table, source, file)
        except ContractError as error:
            problems.extend(error.lines)
    if PURCHASES.name not in checked and not problems:
        problems.append(
            f"purchases: expected a table, found none in {data}; "
            "add purchases.parquet or purchases.csv"
        )
    if problems:
        raise ContractError(*problems)
    return checked


def write_bad_rows(db: duckdb.DuckDBPyConnection, checked: Checked, path: Path) -> None:
    """Write the bad rows of a table with their reason; remove a stale file."""
    path.unlink(missing_ok=True)
    if checked.bad_rows:
        path.parent.mkdir(parents=True, exist_ok=True)
        db.execute(
            f"COPY (SELECT * FROM bad_{checked.name} ORDER BY ALL) TO {_quoted(str(path))} (FORMAT parquet)"
        )


def _sources(
    db: duckdb.DuckDBPyConnection, data: Path
) -> Iterable[tuple[Table, str, str]]:
    """Every table that is there, as (contract, SQL source, name for messages)."""
    if data.is_file():
        try:
            db.execute(f"ATTACH {_quoted(str(data))} AS input (READ_ONLY)")
        except duckdb.Error:
            raise ContractError(
                f"data: expected a folder or a DuckDB file, got {data.name}; check --data"
            ) from None
        names = {
            row[0]
            for row in db.execute(
                "SELECT table_name FROM duckdb_tables() WHERE database_name = 'input'"
            ).fetchall()
        }
        for table in TABLES:
            if table.name in names:
                yield table, f"input.{table.name}", f"{data.name}:{table.name}"
        return
    for table in TABLES:
        files = [data / (table.name + suffix) for suffix in _SUFFIXES]
        there = [file for file in files if file.exists()]
        if len(there) > 1:
            raise ContractError(
                f"{table.name}: expected one file, got {' and '.join(f.name for f in there)}; remove one"
            )
        for file in there:
            if not file.stat().st_size:
                raise ContractError(
                    f"{table.name}: expected rows, got an empty file in {file.name}; "
                    "export it again"
                )
            reader = (
                "read_parquet({})"
                if file.suffix == ".parquet"
                else "read_csv({}, all_varchar = true, header = true)"
            )
            yield table, reader.format(_quoted(str(file))), file.name


def _register_table(
    db: duckdb.DuckDBPyConnection, table: Table, source: str, file: str
) -> Checked:
    try:
        found = {
            row[0]: str(row[1])
            for row in db.execute(f"DESCRIBE SELECT * FROM {source}").fetchall()
        }
    except duckdb.Error as error:
        reason = str(error).splitlines()[0]
        raise ContractError(
            f"{table.name}: expected a readable file, got an empty or damaged one in {file} ({reason}); export it again"
        ) from None
    is_csv = file.endswith(".csv")
    if not is_csv:
        _forget_empty_columns(db, table, source, found)
    _reject_columns(table, found, file, is_csv=is_csv)
    further = (
        [name for name in found if name not in {c.name for c in table.columns}]
        if table.further
        else []
    )
    fields = [
        f"{_read(c, found.get(c.name), is_csv=is_csv)} AS {c.name}"
        for c in table.columns
    ]
    fields += [f'"{name}"' for name in further]
    if is_csv:
        _reject_unreadable(db, table, source, file, found)
    unreadable = _unreadable_reason(table, found) if is_csv else "NULL"
    db.execute(
        f"CREATE TEMP VIEW read_{table.name} AS SELECT {', '.join(fields)}, {unreadable} AS unreadable FROM {source}"
    )
    db.execute(
        f"CREATE TEMP VIEW judged_{table.name} AS SELECT * EXCLUDE (unreadable), {_reason(table)} AS reason FROM read_{table.name}"
    )
    try:
        rows, bad = db.execute(
            f"SELECT count(*), count(reason) FROM judged_{table.name}"
        ).fetchone() or (0, 0)
    except duckdb.Error as error:
        reason = str(error).splitlines()[0]
        raise ContractError(
            f"{table.name}: expected a readable file, got a damaged one in {file} ({reason}); export it again"
        ) from None
    if table.required and rows == bad:
        got = "none" if not rows else f"{bad} bad rows of {rows}"
        raise ContractError(
            f"{table.name}: expected at least one good row, got {got} in {file}; check the export"
        )
    good = f"SELECT * EXCLUDE (reason) FROM judged_{table.name}" + (
        " WHERE reason IS NULL" if bad else ""
    )
    db.execute(f"CREATE TEMP VIEW {table.name} AS {good}")
    db.execute(
        f"CREATE TEMP VIEW bad_{table.name} AS SELECT * FROM judged_{table.name} WHERE reason IS NOT NULL"
    )
    return Checked(table.name, file, rows, bad)


def _forget_empty_columns(
    db: duckdb.DuckDBPyConnection, table: Table, source: str, found: dict[str, str]
) -> None:
    """An optional column without a value has no type of its own: it is missing."""
    odd = [
        column.name
        for column in table.columns
        if not column.required
        and column.name in found
        and not found[column.name].startswith(_ACCEPTED[column.dtype])
    ]
    if odd:
        counts = ", ".join(f"count({name})" for name in odd)
        values = db.execute(f"SELECT {counts} FROM {source}").fetchall()[0]
        for name, count in zip(odd, values, strict=True):
            if not count:
                del found[name]


def _reject_columns(
    table: Table, found: dict[str, str], file: str, *, is_csv: bool
) -> None:
    problems: list[str] = []
    for column in table.columns:
        got = found.get(column.name)
        if got is None and column.required:
            problems.append(
                f"{table.name}.{column.name}: expected a column of {_CALLED[column.dtype]}, got none in {file}; add it to the export"
            )
        elif (
            got is not None
            and not is_csv
            and not got.startswith(_ACCEPTED[column.dtype])
        ):
            problems.append(
                f"{table.name}.{column.name}: expected {_CALLED[column.dtype]}, "
                f"got {got.lower().replace('varchar', 'text')} in {file}; cast it in the export"
            )
    if problems:
        raise ContractError(*problems)


def _reject_unreadable(
    db: duckdb.DuckDBPyConnection,
    table: Table,
    source: str,
    file: str,
    found: dict[str, str],
) -> None:
    """CSV holds text only: a column with many unreadable values is mistyped."""
    typed = [c for c in table.columns if c.name in found and sql_type(c) != "VARCHAR"]
    if not typed:
        return
    counts = ", ".join(
        f"count(*) FILTER (WHERE {_is_unreadable(c)}), any_value({c.name}) FILTER (WHERE {_is_unreadable(c)})"
        for c in typed
    )
    row = db.execute(f"SELECT count(*), {counts} FROM {source}").fetchone() or (0,)
    problems = [
        f"{table.name}.{column.name}: expected {_CALLED[column.dtype]}, got text "
        f"in {row[1 + 2 * i]} of {row[0]} rows (such as {str(row[2 + 2 * i])[:20]!r}) in {file}; cast it in the export"
        for i, column in enumerate(typed)
        if row[1 + 2 * i] > MAX_UNREADABLE_SHARE * row[0]
    ]
    if problems:
        raise ContractError(*problems)


def _is_unreadable(column: Column) -> str:
    value = f"nullif(trim({column.name}), '')"
    return f"({value} IS NOT NULL AND try_cast({value} AS {sql_type(column)}) IS NULL)"


def _unreadable_reason(table: Table, found: dict[str, str]) -> str:
    cases = " ".join(
        f"WHEN {_is_unreadable(c)} THEN '{c.name}: expected {_CALLED[c.dtype]}, got text'"
        for c in table.columns
        if c.name in found and sql_type(c) != "VARCHAR"
    )
    return f"CASE {cases} END" if cases else "NULL"


def _read(column: Column, found: str | None, *, is_csv: bool) -> str:
    """SQL that reads a column in its contract type."""
    if found is None:
        return f"NULL::{sql_type(column)}"
    if is_csv:
        return f"try_cast(nullif(trim({column.name}), '') AS {sql_type(column)})"
    if found == "TIMESTAMP WITH TIME ZONE":
        return f"timezone('UTC', {column.name})"
    return f"{column.name}::{sql_type(column)}"


def _reason(table: Table) -> str:
    """SQL: why a row is bad, or null."""
    cases = ["WHEN unreadable IS NOT NULL THEN unreadable"]
    for column in table.columns:
        name = column.name
        if column.required:
            cases.append(f"WHEN {name} IS NULL THEN '{name}: missing'")
        if column.kinds:
            kinds = ", ".join(f"'{kind}'" for kind in column.kinds)
            cases.append(
                f"WHEN {name} NOT IN ({kinds}) THEN '{name}: not one of {', '.join(column.kinds)}'"
            )
        if column.dtype == "number":
            cases.append(
                f"WHEN NOT isfinite({name}) THEN '{name}: not a finite number'"
            )
        if column.low is not None:
            cases.append(
                f"WHEN {name} < {column.low} THEN '{name}: below {column.low:g}'"
            )
        if column.high is not None:
            cases.append(
                f"WHEN {name} > {column.high} THEN '{name}: above {column.high:g}'"
            )
    if table.key:
        key = ", ".join(table.key)
        order = ", ".join(c.name for c in table.columns)
        cases.append(
            f"WHEN row_number() OVER (PARTITION BY {key} ORDER BY {order}) > 1 THEN '{key}: repeated'"
        )
    return f"CASE {' '.join(cases)} END"


def _quoted(text: str) -> str:
    return "'" + text.replace("'", "''") + "'"
