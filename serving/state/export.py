"""Events as input tables for the next build.

The log is written as plain files of the contract, so builds read them like any
other input, on every engine, and what a build read can be looked at and kept. It is
not read by builds behind the scenes: a shop whose own export has the same purchases
would count them twice, so a person chooses the folder.
"""

from __future__ import annotations

from collections.abc import Generator
from contextlib import suppress
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
from sqlalchemy import Engine, select

from features import contracts
from features.config import Config
from features.contracts import Dtype, SettingError
from serving.state.database import reading
from serving.state.log import last_sequence
from serving.state.tables import EVENT_TABLES, EVENTS, KNOWN_AT, event_columns
from serving.turns import one_at_a_time

_MARK = b"repurchase.events"
"""Key of a Parquet file's metadata: the file is ours to replace."""

_ROWS_AT_ONCE = 50_000

_TYPES: dict[Dtype, pa.DataType] = {
    "id": pa.string(),
    "text": pa.string(),
    "number": pa.float64(),
    "flag": pa.bool_(),
    "time": pa.timestamp("us"),
}


@one_at_a_time
def export(
    config: Config,  # noqa: ARG001 - whose workspace is taken
    engine: Engine,
    out: Path,
) -> dict[Path, int]:
    """Writes ``TABLE.parquet`` for every table with events; rows by file.

    ``known_at`` is the moment of receipt, so that a build knows of an event what
    the system knew. All files are of one moment, and the same log gives the same
    bytes. Memory does not grow with it.

    Args:
        config: its workspace takes one build or export at a time.
        engine: an upgraded database.
        out: folder of input tables, made if it is not there. Where ``TABLE.parquet``
            is a folder itself, ``events.parquet`` in it is written.

    Raises:
        SettingError: there is a file that is not of an export, or nothing can be
            written; no file has been changed then.
        StateAwayError: the database cannot be reached.
    """
    places = {table: _place(out, table) for table in EVENT_TABLES}
    last = last_sequence(engine)
    written: dict[Path, int] = {}
    try:
        out.mkdir(parents=True, exist_ok=True)
        for name, table in EVENT_TABLES.items():
            rows = _write(engine, table, last, places[name])
            if rows:
                written[places[name]] = rows
    except OSError as error:
        raise SettingError(
            f"--out: expected a folder that can be written, got {out} "
            f"({error.strerror or error}); free some room, or choose another one"
        ) from None
    return written


def _place(out: Path, table: str) -> Path:
    """The file to write.

    Raises:
        SettingError: it is somebody else's.
    """
    file = out / f"{table}.parquet"
    csv = out / f"{table}.csv"
    if csv.exists():
        raise SettingError(
            f"--out: expected no other {table}, got {csv}; choose another folder, or "
            f"make {file.name} a folder with that table as Parquet in it"
        )
    if file.is_dir():
        file /= "events.parquet"
    if file.exists() and not _is_ours(file):
        raise SettingError(
            f"--out: expected no other {table}, got {file}; choose another folder, or "
            f"make {file.name} a folder with that file in it"
        )
    return file


def _is_ours(file: Path) -> bool:
    try:
        return _MARK in (pq.read_schema(file).metadata or {})
    except (OSError, pa.ArrowException):
        return False


def _write(engine: Engine, table: contracts.Table, last: int, file: Path) -> int:
    """Events of a table, whole or not at all; a file without any is removed."""
    # Readers of a folder take every file whose name ends in .parquet.
    unfinished = file.with_name(f".{file.name}.unfinished")
    rows = 0
    try:
        with pq.ParquetWriter(unfinished, _schema(table)) as writer:
            for batch in _batches(engine, table, last):
                writer.write_batch(batch)
                rows += batch.num_rows
        if rows:
            unfinished.replace(file)
        else:
            file.unlink(missing_ok=True)
    finally:
        with suppress(OSError):
            unfinished.unlink()
    return rows


def _schema(table: contracts.Table) -> pa.Schema:
    columns = [(c.name, _TYPES[c.dtype]) for c in event_columns(table)]
    schema = pa.schema([*columns, (KNOWN_AT, pa.timestamp("us"))])
    return schema.with_metadata({_MARK: b"1"})


def _batches(
    engine: Engine, table: contracts.Table, last: int
) -> Generator[pa.RecordBatch]:
    """Events of a table up to a place in the log, in its order."""
    schema = _schema(table)
    columns = [EVENTS.c[column.name] for column in event_columns(table)]
    query = (
        select(EVENTS.c.sequence, *columns, EVENTS.c.received_at)
        .where(EVENTS.c.table == table.name, EVENTS.c.sequence <= last)
        .order_by(EVENTS.c.sequence)
        .limit(_ROWS_AT_ONCE)
    )
    done = 0
    while True:
        with reading(engine) as connection:
            found = connection.execute(query.where(EVENTS.c.sequence > done)).all()
        if not found:
            return
        done = found[-1][0]
        values: list[tuple[Any, ...]] = list(zip(*found, strict=True))[1:]
        arrays = [
            pa.array(column, field.type)
            for column, field in zip(values, schema, strict=True)
        ]
        yield pa.record_batch(arrays, schema=schema)
