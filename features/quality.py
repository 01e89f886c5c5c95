"""Checks input tables against the contract; bad rows go to quarantine.

A table that breaks the contract as a whole stops the run (``ContractError``).
A single bad row is set aside with a reason, and the run goes on.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import duckdb

from features.contracts import PURCHASES, ContractError, SettingError, Table
from features.sources import (
    CALLED,
    Copied,
    Source,
    columns_of,
    identifier,
    is_accepted,
    is_unreadable,
    quoted,
    read,
    read_further,
    reading,
    sources,
    sql_type,
)

MAX_UNREADABLE_SHARE = 0.01
"""Above this share of unreadable values a CSV column is mistyped, not dirty."""

REASON = "__reason"
"""Column of ``judged_TABLE``: why the row is bad, or null."""

ROW = "__row"
"""Column of ``judged_TABLE`` without a key: equal for rows equal in every column."""

REPEATED = "repeated"
"""The reason of a row whose key a good row has already, after the key."""

_UNREADABLE = "__unreadable"
_OURS = (_UNREADABLE, REASON, ROW, "customer", "cutoff")


@dataclass(frozen=True)
class Checked:
    """One table after its check.

    Attributes:
        name: of the table.
        file: where it was read from.
        rows: of the input.
        bad_rows: how many of them were set aside.
        columns: contract columns that the input has.
    """

    name: str
    file: str
    rows: int
    bad_rows: int
    columns: tuple[str, ...]


def register(db: duckdb.DuckDBPyConnection, data: Path | Copied) -> dict[str, Checked]:
    """Create a view of good rows per table, and ``bad_TABLE`` of bad ones.

    Args:
        db: connection that will hold the views; its time zone is UTC.
        data: folder of Parquet or CSV files, or a DuckDB file with tables or
            views; or the copy of a database.

    Returns:
        By table name, only tables that are there.

    Raises:
        ContractError: one line per problem, over all tables.
    """
    problems: list[str] = []
    checked: dict[str, Checked] = {}
    for source in sources(db, data):
        try:
            checked[source.table.name] = _register_table(db, source)
        except ContractError as error:
            problems.extend(error.lines)
    if PURCHASES.name not in checked and not problems:
        add = (
            "add purchases.parquet or purchases.csv"
            if isinstance(data, Path) and data.is_dir()
            else "add a table or view of that name"
        )
        problems.append(f"purchases: expected a table, found none in {data}; {add}")
    if problems:
        raise ContractError(*problems)
    return checked


def write_bad_rows(db: duckdb.DuckDBPyConnection, checked: Checked, path: Path) -> None:
    """Write the bad rows of a table, ``reason`` first; remove a stale file.

    A column of the input that is called ``reason`` is written as ``reason_1``.

    Raises:
        SettingError: the folder cannot be written.
    """
    try:
        path.unlink(missing_ok=True)
        if checked.bad_rows:
            path.parent.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise SettingError(
            f"quarantine: expected a folder that can be written, got {path.parent} "
            f"({error.strerror}); choose another one"
        ) from None
    if checked.bad_rows:
        db.execute(
            f"COPY (SELECT {REASON} AS reason, * EXCLUDE ({REASON}) "
            f"FROM bad_{checked.name} ORDER BY ALL) TO {quoted(str(path))} (FORMAT parquet)"
        )


def _register_table(db: duckdb.DuckDBPyConnection, source: Source) -> Checked:
    table = source.table
    found = columns_of(db, source)
    _reject_columns(source, found)
    if source.is_csv:
        _reject_unreadable(db, source, found)
    further = read_further(db, source, found) if table.further else {}
    _create_views(db, source, found, further)
    with reading(table.name, source.name):
        rows, bad = db.execute(
            f"SELECT count(*), count({REASON}) FROM judged_{table.name}"
        ).fetchall()[0]
    if table.required and rows == bad:
        got = "none" if not rows else f"{bad} bad rows of {rows}"
        raise ContractError(
            f"{table.name}: expected at least one good row, got {got} in {source.name}; check the export"
        )
    ours = REASON if table.key else f"{REASON}, {ROW}"
    good = f"SELECT * EXCLUDE ({ours}) FROM judged_{table.name}" + (
        f" WHERE {REASON} IS NULL" if bad else ""
    )
    db.execute(f"CREATE TEMP VIEW {table.name} AS {good}")
    db.execute(
        f"CREATE TEMP VIEW bad_{table.name} AS SELECT {REASON}, * EXCLUDE ({ours}) "
        f"FROM judged_{table.name} WHERE {REASON} IS NOT NULL"
    )
    columns = tuple(c.name for c in table.columns if c.name in found)
    return Checked(table.name, source.name, rows, bad, columns)


def _create_views(
    db: duckdb.DuckDBPyConnection,
    source: Source,
    found: Mapping[str, str],
    further: Mapping[str, str],
) -> None:
    """``judged_TABLE``: every row in the contract's types, with its reason."""
    table = source.table
    fields = {
        c.name: read(c, found.get(c.name), is_csv=source.is_csv) for c in table.columns
    }
    fields |= further
    fields[_UNREADABLE] = _unreadable_reason(source, found)
    if not table.key:
        fields[ROW] = "hash(input)"
    named = ", ".join(f"{sql} AS {identifier(name)}" for name, sql in fields.items())
    db.execute(
        f"CREATE TEMP VIEW read_{table.name} AS SELECT {named} FROM {source.sql} AS input"
    )
    judged = f"SELECT * EXCLUDE ({_UNREADABLE}), {_reason(table)} AS {REASON} FROM read_{table.name}"
    if table.key:
        repeated = _repeated(table, tuple(further))
        judged = f"SELECT * REPLACE ({repeated} AS {REASON}) FROM ({judged})"
    db.execute(f"CREATE TEMP VIEW judged_{table.name} AS {judged}")


def _reject_columns(source: Source, found: Mapping[str, str]) -> None:
    """Missing and mistyped columns, and further ones with a name that is taken."""
    table, file = source.table, source.name
    problems: list[str] = []
    for column in table.columns:
        got = found.get(column.name)
        if got is None and column.required:
            problems.append(
                f"{table.name}.{column.name}: expected a column of {CALLED[column.dtype]}, got none in {file}; add it to the export"
            )
        elif (
            got is not None and not source.is_csv and not is_accepted(got, column.dtype)
        ):
            problems.append(
                f"{table.name}.{column.name}: expected {CALLED[column.dtype]}, "
                f"got {got.lower().replace('varchar', 'text')} in {file}; cast it in the export"
            )
    if table.further:
        ours = {column.name for column in table.columns}
        problems += [
            f"{table.name}.{name}: expected a name that no column of ours has in any "
            f"case, got {name!r} in {file}; rename the column in the export"
            for name in found
            if name not in ours and name.lower() in ours | {*_OURS}
        ]
    if problems:
        raise ContractError(*problems)


def _reject_unreadable(
    db: duckdb.DuckDBPyConnection, source: Source, found: Mapping[str, str]
) -> None:
    """CSV holds text only: a column with many unreadable values is mistyped."""
    table = source.table
    typed = [c for c in table.columns if c.name in found and sql_type(c) != "VARCHAR"]
    if not typed:
        return
    counts = ", ".join(
        f"count(*) FILTER (WHERE {is_unreadable(c)}), any_value({c.name}) FILTER (WHERE {is_unreadable(c)})"
        for c in typed
    )
    row = db.execute(f"SELECT count(*), {counts} FROM {source.sql}").fetchall()[0]
    problems = [
        f"{table.name}.{column.name}: expected {CALLED[column.dtype]}, got text "
        f"in {row[1 + 2 * i]} of {row[0]} rows (such as {str(row[2 + 2 * i])[:20]!r}) in {source.name}; cast it in the export"
        for i, column in enumerate(typed)
        if row[1 + 2 * i] > MAX_UNREADABLE_SHARE * row[0]
    ]
    if problems:
        raise ContractError(*problems)


def _unreadable_reason(source: Source, found: Mapping[str, str]) -> str:
    cases = " ".join(
        f"WHEN {is_unreadable(c)} THEN '{c.name}: expected {CALLED[c.dtype]}, got text'"
        for c in source.table.columns
        if source.is_csv and c.name in found and sql_type(c) != "VARCHAR"
    )
    return f"CASE {cases} END" if cases else "NULL::VARCHAR"


def _reason(table: Table) -> str:
    """SQL: why a row is bad by itself, or null."""
    cases = [f"WHEN {_UNREADABLE} IS NOT NULL THEN {_UNREADABLE}"]
    for column in table.columns:
        name = column.name
        if column.required:
            cases.append(f"WHEN {name} IS NULL THEN '{name}: missing'")
        if column.kinds:
            kinds = ", ".join(f"'{kind}'" for kind in column.kinds)
            cases.append(
                f"WHEN {name} NOT IN ({kinds}) THEN '{name}: not one of {', '.join(column.kinds)}'"
            )
        if column.dtype in ("number", "time"):
            what = CALLED[column.dtype]
            cases.append(
                f"WHEN NOT isfinite({name}) THEN '{name}: not a finite {what}'"
            )
        if column.low is not None:
            cases.append(
                f"WHEN {name} < {column.low} THEN '{name}: below {column.low:g}'"
            )
        if column.high is not None:
            cases.append(
                f"WHEN {name} > {column.high} THEN '{name}: above {column.high:g}'"
            )
    return f"CASE {' '.join(cases)} END"


def _repeated(table: Table, further: tuple[str, ...]) -> str:
    """SQL: the reason of a row, also where a good row of its key came before.

    The row that was known first stays, so that a later one cannot take its
    place; among those known at once, the columns decide.
    """
    key = ", ".join(table.key)
    columns = ", ".join(
        identifier(n) for n in (*(c.name for c in table.columns), *further)
    )
    place = (
        f"row_number() OVER (PARTITION BY {key}, {REASON} IS NULL "
        f"ORDER BY {table.known or 'NULL'} NULLS FIRST, {columns})"
    )
    return (
        f"CASE WHEN {REASON} IS NULL AND {place} > 1 THEN '{key}: {REPEATED}' "
        f"ELSE {REASON} END"
    )
