"""Reads each column of a table in its contract type, as SQL.

Whether a value is good is judged in ``rules``.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import duckdb

from features.contracts import Column, Dtype, Table
from features.sql import identifier

CALLED: Mapping[Dtype, str] = {
    "id": "text or integer",
    "text": "text",
    "number": "number",
    "flag": "true or false",
    "time": "timestamp",
}
"""What a type is called in a message."""

_TYPES: Mapping[Dtype, str] = {
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
    "UHUGEINT",
)
_ACCEPTED: Mapping[Dtype, tuple[str, ...]] = {
    "id": ("VARCHAR", "ENUM", "UUID", *_INTEGERS),
    "text": ("VARCHAR", "ENUM", "BOOLEAN", *_INTEGERS),
    "number": ("DOUBLE", "FLOAT", "DECIMAL", *_INTEGERS),
    "flag": ("BOOLEAN",),
    "time": ("TIMESTAMP", "DATE"),
}
_UNDECIDED = "undecided"
"""Variable of a connection: the columns of CSV whose types are still to be decided."""


def sql_type(column: Column) -> str:
    """The engine's type of a contract column."""
    return _TYPES[column.dtype]


def is_accepted(sql_type: str, dtype: Dtype) -> bool:
    """Whether a column of the engine's type can be read as the contract's."""
    return not sql_type.endswith("]") and sql_type.startswith(_ACCEPTED[dtype])


def read(column: Column, found: str | None, *, is_csv: bool) -> str:
    """SQL that reads a contract column in its type; null where CSV is unreadable.

    Times are naive UTC. NaN in an optional number means null, and so does an empty
    text in an optional id.

    Args:
        column: the contract's column.
        found: the engine's type of it, None where the table has no such column.
        is_csv: the column holds text.
    """
    if found is None:
        return f"NULL::{sql_type(column)}"
    if is_csv:
        sql = _read_text(text_of(column.name), column.dtype)
    elif found == "TIMESTAMP WITH TIME ZONE":
        sql = f"timezone('UTC', {column.name})"
    else:
        sql = f"{column.name}::{sql_type(column)}"
    if column.dtype == "number" and not column.required:
        # By no comparison: DuckDB would decide it by Parquet's statistics, and these
        # leave NaN out.
        return f"CASE WHEN NOT isnan({sql}) THEN {sql} END"
    if column.dtype == "id" and not (column.required or is_csv):
        return f"nullif({sql}, '')"
    return sql


def is_unreadable(column: Column) -> str:
    """SQL: a CSV value is there and cannot be read in the column's type.

    An id that reads as ``17.0`` went through a number on its way, and would be
    another one than ``17`` elsewhere.
    """
    text = text_of(column.name)
    if column.dtype == "id":
        return f"coalesce(regexp_matches({text}, '^-?[0-9]+\\.0+$'), false)"
    return f"({text} IS NOT NULL AND {_read_text(text, column.dtype)} IS NULL)"


def text_of(name: str) -> str:
    """SQL: a CSV value without blanks around it, null where nothing is left."""
    return f"nullif(trim({identifier(name)}), '')"


def _read_text(text: str, dtype: Dtype) -> str:
    if dtype == "time":
        # A plain TIMESTAMP would drop the offset; the session's zone is UTC. A
        # named zone is unreadable: DuckDB would read the rows after it in it.
        moment = f"try_cast(regexp_replace({text}, ' ?UTC$', 'Z') AS TIMESTAMPTZ)"
        named = f"regexp_matches({text}, '[A-Za-z]{{2}}') AND {text} NOT LIKE '%UTC'"
        return f"CASE WHEN NOT ({named}) THEN timezone('UTC', {moment}) END"
    return f"try_cast({text} AS {_TYPES[dtype]})"


def read_further(
    db: duckdb.DuckDBPyConnection,
    table: Table,
    found: Mapping[str, str],
    *,
    is_csv: bool,
) -> dict[str, str]:
    """SQL of every column that the contract does not name, by name.

    Numbers of any type become finite doubles, null otherwise. A CSV column stays
    text until it is known which rows count; see ``decide_texts``.
    """
    ours = {column.name for column in table.columns}
    names = [name for name in found if name not in ours]
    if is_csv:
        db.execute(f"SET VARIABLE {_UNDECIDED} = $1", [names])
        return {name: text_of(name) for name in names}
    fields = {n: identifier(n) for n in names}
    for name in names:
        if found[name].startswith("ENUM"):
            fields[name] += "::VARCHAR"
        elif is_accepted(found[name], "number"):
            fields[name] = _finite(f"{fields[name]}::DOUBLE")
    return fields


def decide_texts(db: duckdb.DuckDBPyConnection, rows: str) -> None:
    """Give columns of CSV that the contract does not name the types of their texts.

    A column is of numbers, flags or times if every text of the rows can be read so,
    and stays text if not; a number with a leading zero, such as a postal code, is
    text. By no other rows, so that later ones decide nothing.

    Args:
        db: connection for which ``read_further`` was called.
        rows: a table with those columns.
    """
    ((names,),) = db.execute(f"SELECT getvariable('{_UNDECIDED}')").fetchall()
    for name, dtype in _dtypes_of_texts(db, rows, names or ()).items():
        sql = _read_text(identifier(name), dtype)
        db.execute(
            f"ALTER TABLE {rows} ALTER {identifier(name)} TYPE {_TYPES[dtype]} "
            f"USING {_finite(sql) if dtype == 'number' else sql}"
        )


def _finite(number: str) -> str:
    return f"CASE WHEN isfinite({number}) THEN {number} END"


def _dtypes_of_texts(
    db: duckdb.DuckDBPyConnection, rows: str, names: Sequence[str]
) -> dict[str, Dtype]:
    """The types of the columns whose texts can all be read in one; the first fits."""
    kinds: tuple[Dtype, ...] = ("number", "flag", "time")
    counts: list[str] = []
    for name in names:
        text = identifier(name)
        counts.append(f"count({text})")
        for kind in kinds:
            is_one = f"{_read_text(text, kind)} IS NOT NULL"
            if kind == "number":
                is_one += f" AND NOT regexp_matches({text}, '^[+-]?0[0-9]')"
            counts.append(f"count(*) FILTER (WHERE {is_one})")
    if not names:
        return {}
    row = db.execute(f"SELECT {', '.join(counts)} FROM {rows}").fetchall()[0]
    dtypes: dict[str, Dtype] = {}
    for i, name in enumerate(names):
        filled, *readable = row[4 * i : 4 * i + 4]
        fits = [n == filled > 0 for n in readable]
        if any(fits):
            dtypes[name] = kinds[fits.index(True)]
    return dtypes
