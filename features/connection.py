"""Connections to DuckDB, all with the same settings."""

from __future__ import annotations

from contextlib import suppress

import duckdb

from features.contracts import SettingError


def connect(memory_limit: str = "1GB", threads: int = 2) -> duckdb.DuckDBPyConnection:
    """A DuckDB connection in UTC with bounded memory; it spills to disk.

    Raises:
        SettingError: DuckDB does not understand the memory limit.
    """
    try:
        db = duckdb.connect(config={"memory_limit": memory_limit, "threads": threads})
    except duckdb.ParserException:
        raise SettingError(
            f"engine.memory_limit: expected a size such as 1GB, got {memory_limit!r}; "
            "give a number and KB, MB, GB or TB"
        ) from None
    # Rows are put in order by what they say, so the engine need not keep it.
    db.execute("SET preserve_insertion_order = false")
    return _settled(db)


def beside(db: duckdb.DuckDBPyConnection) -> duckdb.DuckDBPyConnection:
    """Another connection to the same tables and views, for another thread.

    What is temporary in one is not seen by the other.
    """
    return _settled(db.cursor())


def _settled(db: duckdb.DuckDBPyConnection) -> duckdb.DuckDBPyConnection:
    # Only after the connection: the time zones come in an extension.
    db.execute("SET TimeZone = 'UTC'")
    # It would be drawn into whatever is printed, on a terminal or not.
    # A notebook without ipywidgets has none, and refuses to be told so.
    with suppress(duckdb.InvalidInputException):
        db.execute("SET enable_progress_bar = false")
    # So that it reads on while we count.
    db.execute("SET streaming_buffer_size = '64MB'")
    return db
