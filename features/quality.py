"""Checks input tables against the contract; bad rows go to quarantine.

A table that breaks the contract as a whole stops the run (``ContractError``).
A single bad row is set aside with a reason, and the run goes on.
"""

from __future__ import annotations

import errno
from collections.abc import Generator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import duckdb

from features.columns import CALLED, is_accepted, is_unreadable, read, read_further
from features.contracts import PURCHASES, ContractError, SettingError, Table
from features.erased import NOBODY, Erased, without
from features.rules import UNREADABLE, reason, unreadable_reason
from features.scratch import unfinished, whole
from features.sources import Copied, Source, columns_of, reading, sources
from features.sql import identifier, quoted

MAX_UNREADABLE_SHARE = 0.01
"""Above this share of unreadable values a CSV column is mistyped, not dirty."""

REASON = "__reason"
"""Column of ``judged_TABLE``: why the row is bad, or null."""

ROW = "__row"
"""Column of ``judged_TABLE`` without a key: equal for rows equal in every column."""

REPEATED = "repeated"
"""The reason of a row whose key a good row has already, after the key."""

_OURS = (UNREADABLE, REASON, ROW, "customer", "cutoff", "key", "bucket")
"""Names of columns that stand beside those of the input, here or in the reader."""


@dataclass(frozen=True)
class Checked:
    """One table after its check.

    Attributes:
        name: of the table.
        file: where it was read from.
        rows: of the input.
        bad_rows: how many of them were set aside.
        columns: contract columns that the input has.
        is_stored: see ``Source``.
    """

    name: str
    file: str
    rows: int
    bad_rows: int
    columns: tuple[str, ...]
    is_stored: bool = True


def register(
    db: duckdb.DuckDBPyConnection, data: Path | Copied, erased: Erased = NOBODY
) -> dict[str, Checked]:
    """Create a view of good rows per table, and ``bad_TABLE`` of bad ones.

    Args:
        db: connection that will hold the views; its time zone is UTC.
        data: folder of Parquet or CSV files, or a DuckDB file with tables or
            views; or the copy of a database.
        erased: customers whose rows are not read.

    Returns:
        By table name, only tables that are there.

    Raises:
        ContractError: one line per problem, over all tables.
    """
    problems: list[str] = []
    checked: dict[str, Checked] = {}
    for source in sources(db, data):
        if isinstance(source, ContractError):
            problems.extend(source.lines)
            continue
        try:
            checked[source.table.name] = _register_table(db, source, erased)
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
        unfinished(path).unlink(missing_ok=True)
        if not checked.bad_rows:
            path.unlink(missing_ok=True)
            return
        path.parent.mkdir(parents=True, exist_ok=True)
        with whole(path) as place, reading(checked.name, checked.file), _writing(place):
            db.execute(
                f"COPY (SELECT {REASON} AS reason, * EXCLUDE ({REASON}) "
                f"FROM bad_{checked.name} ORDER BY ALL) TO {quoted(str(place))} "
                "(FORMAT parquet)"
            )
    except OSError as error:
        raise SettingError(
            f"quarantine: expected a folder that can be written, got {path.parent} "
            f"({error.strerror}); free some room, or choose another one"
        ) from None


@contextmanager
def _writing(file: Path) -> Generator[None]:
    """What DuckDB says when it cannot write the file, as the system would."""
    try:
        yield
    except duckdb.IOException as error:
        said = str(error).partition("\n")[0]
        if str(file) not in said:
            raise
        raise OSError(errno.EIO, said.rpartition(": ")[2]) from None


def _register_table(
    db: duckdb.DuckDBPyConnection, source: Source, erased: Erased
) -> Checked:
    checked = judge(db, source, erased)
    if source.table.required and checked.rows == checked.bad_rows:
        raise no_good_row(checked, _usual(db, source.table) if checked.rows else "")
    return checked


def no_good_row(checked: Checked, usual: str) -> ContractError:
    """A table that must be there is empty, or has bad rows only.

    Args:
        checked: the table.
        usual: the reason of most bad rows.
    """
    bad = f"{checked.bad_rows} bad rows of {checked.rows} ({usual})"
    return ContractError(
        f"{checked.name}: expected at least one good row, "
        f"got {bad if checked.rows else 'none'} in {checked.file}; check the export"
    )


def judge(
    db: duckdb.DuckDBPyConnection, source: Source, erased: Erased = NOBODY
) -> Checked:
    """Create the views of one table, or of a slice of one; it may be empty.

    Raises:
        ContractError: one line per problem.
    """
    table = source.table
    found = columns_of(db, source)
    reject_columns(source, found)
    source = without(db, source, found, erased)
    if source.is_csv:
        _reject_unreadable(db, source, found)
    further = (
        read_further(db, table, found, is_csv=source.is_csv) if table.further else {}
    )
    _create_views(db, source, found, further)
    with reading(table.name, source.name):
        rows, bad = db.execute(
            f"SELECT count(*), count({REASON}) FROM judged_{table.name}"
        ).fetchall()[0]
    ours = REASON if table.key else f"{REASON}, {ROW}"
    good = f"SELECT * EXCLUDE ({ours}) FROM judged_{table.name}" + (
        f" WHERE {REASON} IS NULL" if bad else ""
    )
    db.execute(f"CREATE VIEW {table.name} AS {good}")
    db.execute(
        f"CREATE VIEW bad_{table.name} AS SELECT {REASON}, * EXCLUDE ({ours}) "
        f"FROM judged_{table.name} WHERE {REASON} IS NOT NULL"
    )
    columns = tuple(c.name for c in table.columns if c.name in found)
    return Checked(table.name, source.name, rows, bad, columns, source.is_stored)


def _usual(db: duckdb.DuckDBPyConnection, table: Table) -> str:
    """The reason of most bad rows; of equally frequent ones the first."""
    row = db.execute(
        f"SELECT {REASON} FROM judged_{table.name} GROUP BY {REASON} "
        f"ORDER BY count(*) DESC, {REASON} LIMIT 1"
    ).fetchall()[0]
    return str(row[0])


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
    fields[UNREADABLE] = unreadable_reason(source, found)
    if not table.key:
        fields[ROW] = "hash(input)"
    named = ", ".join(f"{sql} AS {identifier(name)}" for name, sql in fields.items())
    db.execute(
        f"CREATE VIEW read_{table.name} AS SELECT {named} FROM {source.sql} AS input"
    )
    judged = f"SELECT * EXCLUDE ({UNREADABLE}), {reason(source, found)} AS {REASON} FROM read_{table.name}"
    if table.key:
        repeated = _repeated(table, tuple(further))
        judged = f"SELECT * REPLACE ({repeated} AS {REASON}) FROM ({judged})"
    db.execute(f"CREATE VIEW judged_{table.name} AS {judged}")


def reject_columns(source: Source, found: Mapping[str, str]) -> None:
    """Missing and mistyped columns, and names that are nearly ours or taken.

    Raises:
        ContractError: one line per problem.
    """
    table, file = source.table, source.name
    ours = {column.name for column in table.columns}
    nearly = {name.lower(): name for name in found if name not in ours}
    problems: list[str] = []
    for column in table.columns:
        got, place = found.get(column.name), f"{table.name}.{column.name}"
        if column.name in nearly:
            problems.append(
                f"{place}: expected a column of that name and none in other letters, "
                f"got {nearly[column.name]!r} in {file}; rename it in the export"
            )
        elif got is None and column.required:
            problems.append(
                f"{place}: expected a column of {CALLED[column.dtype]}, got none in {file}; add it to the export"
            )
        elif (
            got is not None and not source.is_csv and not is_accepted(got, column.dtype)
        ):
            problems.append(
                f"{place}: expected {CALLED[column.dtype]}, "
                f"got {got.lower().replace('varchar', 'text')} in {file}; cast it in the export"
            )
    if table.further:
        problems += [
            f"{table.name}.{name}: expected a name that no column of ours has in any "
            f"case, got {name!r} in {file}; rename the column in the export"
            for lower, name in nearly.items()
            if lower in _OURS
        ]
    if problems:
        raise ContractError(*problems)


def _reject_unreadable(
    db: duckdb.DuckDBPyConnection, source: Source, found: Mapping[str, str]
) -> None:
    """CSV holds text only: a column with many unreadable values is mistyped."""
    table = source.table
    there = [c for c in table.columns if c.name in found and c.dtype != "text"]
    counts = ", ".join(
        f"count(*) FILTER (WHERE {is_unreadable(c)}), min({c.name}) FILTER (WHERE {is_unreadable(c)})"
        for c in there
    )
    with reading(table.name, source.name):
        row = db.execute(f"SELECT count(*), {counts} FROM {source.sql}").fetchall()[0]
    problems: list[str] = []
    for i, column in enumerate(there):
        bad, sample = row[1 + 2 * i : 3 + 2 * i]
        if bad > MAX_UNREADABLE_SHARE * row[0]:
            # Of an id nothing is shown: it may be a person's.
            got = (
                "numbers with a decimal point"
                if column.dtype == "id"
                else f"text (such as {str(sample)[:20]!r})"
            )
            problems.append(
                f"{table.name}.{column.name}: expected {CALLED[column.dtype]}, got {got} "
                f"in {bad} of {row[0]} rows in {source.name}; cast it in the export"
            )
    if problems:
        raise ContractError(*problems)


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
