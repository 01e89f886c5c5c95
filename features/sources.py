"""Finds input tables, and says in one line what cannot be read of them."""

from __future__ import annotations

import hashlib
import os
import re
import stat
import tempfile
from collections.abc import Generator, Iterable, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path

import duckdb

from features import csv_file
from features.columns import is_accepted
from features.contracts import TABLES, ContractError, SettingError, Table
from features.sql import path, quoted

# These would say that our own SQL is wrong, not what it reads.
_FAULTS_OF_THE_CALLER = (
    duckdb.BinderException,
    duckdb.CatalogException,
    duckdb.ParserException,
    duckdb.SyntaxException,
)

_SUFFIXES = (".parquet", ".csv")

_UNWRITTEN = re.compile(r'Could not write [^"]*"([^"]*)": ([^\n]*)')


@dataclass(frozen=True)
class Source:
    """One table that is there.

    Attributes:
        sql: what to select from.
        name: file, or file and table, for messages.
        is_csv: every column is read as text.
        is_stored: its rows lie there as they are; else they are made each time that
            some are read, as those of a view.
    """

    table: Table
    sql: str
    name: str
    is_csv: bool = False
    is_stored: bool = True


@dataclass(frozen=True)
class Copied:
    """The copy of a database: a folder of Parquet files, and the database's name."""

    folder: Path
    name: str

    def __str__(self) -> str:
        return self.name


def sources(
    db: duckdb.DuckDBPyConnection, data: Path | Copied
) -> list[Source | ContractError]:
    """Every table that is there, in a folder, a DuckDB file or a copied database.

    Returns:
        In the order of the contract; instead of a table whose file cannot be read,
        the error that says so.

    Raises:
        ContractError: nothing is there, or no DuckDB file that can be read.
    """
    if isinstance(data, Copied):
        copies = (data.folder / f"{table.name}.parquet" for table in TABLES)
        return [
            Source(table, f"read_parquet({path(file)})", f"{data.name}:{table.name}")
            for table, file in zip(TABLES, copies, strict=True)
            if file.exists()
        ]
    try:
        is_folder = stat.S_ISDIR(data.stat().st_mode)
        if is_folder:
            _ = next(data.iterdir(), None)
    except FileNotFoundError:
        raise ContractError(
            f"data: expected a folder or a DuckDB file, found nothing at {data}; check --data"
        ) from None
    except OSError as error:
        raise ContractError(
            f"data: expected a folder or a DuckDB file that can be read, got "
            f"{error.strerror} at {data}; check links and permissions"
        ) from None
    if not is_folder:
        return list(_in_database(db, data))
    return [source for table in TABLES if (source := _in_folder(table, data))]


def _in_database(db: duckdb.DuckDBPyConnection, data: Path) -> Iterable[Source]:
    try:
        db.execute(f"ATTACH {quoted(str(data))} AS input (READ_ONLY)")
    except duckdb.Error as error:
        raise ContractError(
            "data: expected a folder, or a DuckDB file that this version can read and "
            f"nobody writes to, got {data.name} ({_first_line(error)}); check --data"
        ) from None
    kinds = dict(
        db.execute(
            "SELECT table_name, table_type FROM information_schema.tables "
            "WHERE table_catalog = 'input' AND table_schema = 'main'"
        ).fetchall()
    )
    for table in TABLES:
        if table.name in kinds:
            yield Source(
                table,
                f"input.main.{table.name}",
                f"{data.name}:{table.name}",
                is_stored=kinds[table.name] == "BASE TABLE",
            )


def _in_folder(table: Table, data: Path) -> Source | ContractError | None:
    files = [data / (table.name + suffix) for suffix in _SUFFIXES]
    # A link that leads nowhere is there too, and a fault.
    there = [file for file in files if os.path.lexists(file)]
    if len(there) > 1:
        names = " and ".join(file.name for file in there)
        return ContractError(
            f"{table.name}: expected one file, got {names}; remove one"
        )
    try:
        return _of_file(table, there[0]) if there else None
    except ContractError as error:
        return error
    except OSError as error:
        return ContractError(
            f"{table.name}: expected a file that can be read, got {error.strerror} in "
            f"{there[0].name}; check links and permissions"
        )


def _of_file(table: Table, file: Path) -> Source:
    """The table in a file, or in a folder of Parquet files as Spark writes it.

    Raises:
        ContractError: nothing is in it, or CSV without a header that fits.
        OSError: it cannot be opened.
    """
    is_csv = file.suffix == ".csv"
    first = file
    if file.is_dir() and not is_csv:
        first = next(iter(sorted(file.glob("*.parquet"))), file)
    if first.is_dir():
        raise ContractError(
            f"{table.name}: expected a file, got a folder without Parquet files in "
            f"{file.name}; export it again"
        )
    with first.open("rb") as opened:
        if not opened.read(1):
            raise ContractError(
                f"{table.name}: expected rows, got an empty file in {file.name}; "
                "export it again"
            )
    if is_csv:
        ours = [column.name for column in table.columns]
        sql = csv_file.reader(file, table.name, ours)
    elif file.is_dir():
        # Files of a folder need not have the same optional columns.
        sql = f"read_parquet({path(file)}, union_by_name = true)"
    else:
        sql = f"read_parquet({path(file)})"
    return Source(table, sql, file.name, is_csv, is_stored=not is_csv)


def files_of(data: Path | Copied) -> dict[Path, tuple[int, int, int]]:
    """Every file that tables are read from, in order; what changes if one does."""
    place = data.folder if isinstance(data, Copied) else data
    names = sorted(table.name + suffix for table in TABLES for suffix in _SUFFIXES)
    # Of os.path: what may not be looked at is told by ``sources``.
    files = [place / name for name in names] if os.path.isdir(place) else [place]  # noqa: PTH112
    seen: dict[Path, tuple[int, int, int]] = {}
    for file in files:
        inner = sorted(file.glob("*.parquet")) if os.path.isdir(file) else [file]  # noqa: PTH112
        for one in inner:
            with suppress(OSError):
                stat_of = one.stat()
                seen[one] = (stat_of.st_ino, stat_of.st_size, stat_of.st_mtime_ns)
    return seen


def must_be_unchanged(
    data: Path | Copied, seen: Mapping[Path, tuple[int, int, int]], place: str
) -> None:
    """Refuse files that have changed while they were read.

    Args:
        data: what is read.
        seen: as of ``files_of`` before; files that came later are not read.
        place: where they are, for the message.

    Raises:
        ContractError: a file is another or gone.
    """
    now = files_of(data)
    for file, was in seen.items():
        if now.get(file) != was:
            raise ContractError(
                f"data: expected files that stay as they are while they are read, "
                f"got another {file.name} in {place}; run again once it is written"
            )


def digest_of(data: Path | Copied, files: Iterable[Path]) -> str:
    """Hash of the files, byte by byte, and of their names below the input.

    Raises:
        OSError: one cannot be read.
    """
    place = data.folder if isinstance(data, Copied) else data
    digest = hashlib.sha256()
    for file in files:
        digest.update(os.path.relpath(file, place).encode())
        with file.open("rb") as opened:
            digest.update(hashlib.file_digest(opened, "sha256").digest())
    return digest.hexdigest()


def columns_of(db: duckdb.DuckDBPyConnection, source: Source) -> dict[str, str]:
    """The engine's type by column.

    A column of the wrong type without any value is left out: an optional
    column that is null throughout has no type of its own.

    Raises:
        ContractError: the file cannot be read.
        SettingError: the memory limit is too low to read it.
    """
    try:
        rows = db.execute(f"DESCRIBE SELECT * FROM {source.sql}").fetchall()
    except duckdb.Error as error:
        # Whatever it is: a view of theirs may be as wrong as a file.
        raise _told(source.table.name, source.name, error) from None
    found = {row[0]: str(row[1]) for row in rows}
    odd = [
        column.name
        for column in source.table.columns
        if not (column.required or source.is_csv)
        and column.name in found
        and not is_accepted(found[column.name], column.dtype)
    ]
    if odd:
        counts = ", ".join(f"count({name})" for name in odd)
        values = db.execute(f"SELECT {counts} FROM {source.sql}").fetchall()[0]
        for name, count in zip(odd, values, strict=True):
            if not count:
                del found[name]
    return found


@contextmanager
def reading(table: str, file: str) -> Generator[None]:
    """What DuckDB says when it cannot read a table, as one line of ours.

    Args:
        table: name of the table, or of several.
        file: where it is read from.

    Raises:
        ContractError: the file is damaged or not what its name says.
        SettingError: the memory limit is too low.
    """
    try:
        yield
    except _FAULTS_OF_THE_CALLER:
        raise
    except duckdb.Error as error:
        raise _told(table, file, error) from None


def _told(table: str, file: str, error: duckdb.Error) -> ContractError | SettingError:
    reason = _first_line(error)
    if isinstance(error, duckdb.OutOfMemoryException):
        return SettingError(
            f"engine.memory_limit: expected enough to read {table} in {file}, got too "
            f"little ({reason}); raise it"
        )
    full = _no_room(error)
    if full:
        folder, why = full
        return SettingError(
            f"TMPDIR: expected room to sort {table} of {file} in {folder}, got {why}; "
            "free some, name a folder on a larger disk, or raise engine.memory_limit"
        )
    return ContractError(
        csv_file.explain(table, file, str(error))
        or f"{table}: expected a readable file, got an empty or damaged one in {file} "
        f"({reason}); export it again"
    )


def _no_room(error: duckdb.Error) -> tuple[Path, str] | None:
    """The folder in which DuckDB could not write, and why; None: it was not that."""
    found = _UNWRITTEN.search(str(error))
    if found:
        return Path(found[1]).parent, found[2].lower()
    if "No space left on device" in str(error):
        return Path(tempfile.gettempdir()), "no space left on device"
    return None


def _first_line(error: Exception) -> str:
    return str(error).partition("\n")[0].strip()
