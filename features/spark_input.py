"""Opens Spark, and the input tables in it: a folder of files, or a catalog's schema."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Generator, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, TypeGuard

import pyarrow as pa
import pyarrow.parquet as pq

from features.contracts import TABLES, ContractError, SettingError
from features.database import Database
from features.erased import CUSTOMER_ID, Erased
from features.scratch import scratch
from features.sources import digest_of, files_of, must_be_unchanged

if TYPE_CHECKING:
    from pyspark.sql import DataFrame, SparkSession

CATALOG = "spark:"
"""Before the name of a schema of Spark's catalog, where a path would stand."""


@contextmanager
def session(threads: int = 2) -> Generator[SparkSession]:
    """The session of the process; one that was not there is made, and stopped after.

    Spark's own settings hold, such as ``spark-defaults.conf`` and what
    ``spark-submit`` gives; without a master, ``threads`` of this machine are used.

    Raises:
        SettingError: Spark is not installed, or finds no Java.
    """
    try:
        from pyspark import SparkConf
        from pyspark.errors import PySparkRuntimeError
        from pyspark.sql import SparkSession
    except ImportError:
        raise SettingError(
            "engine.name: expected the package's extra spark for Spark, got an "
            "installation without; pip install 'repurchase[spark]'"
        ) from None
    there = SparkSession.getActiveSession()
    if there is not None:
        yield there
        return
    try:
        master = SparkConf().get("spark.master", f"local[{threads}]")
        builder = SparkSession.builder.appName("repurchase").master(str(master))
        opened = builder.config("spark.sql.session.timeZone", "UTC").getOrCreate()
    except (PySparkRuntimeError, OSError) as error:
        reason = " ".join(str(error).split())
        raise SettingError(
            f"engine.name: expected Java 17 for Spark, got none that starts ({reason}); "
            "install it and set JAVA_HOME"
        ) from None
    try:
        yield opened
    finally:
        opened.stop()


def frames(
    session: SparkSession, data: Path | Database
) -> tuple[dict[str, DataFrame], str]:
    """Every input table that is there, by name; and where they are, for messages.

    Args:
        session: Spark.
        data: folder of Parquet files (or folders of them) named after the tables,
            or ``spark:SCHEMA`` of the catalog.

    Raises:
        ContractError: there is no such folder or schema, or a table is CSV or
            cannot be read; one line per problem.
        SettingError: the input is a PostgreSQL database or a DuckDB file.
    """
    if isinstance(data, Database) or data.is_file():
        raise SettingError(
            f"engine.name: expected duckdb to read {data}, got spark; Spark reads a "
            "folder of Parquet files or spark:SCHEMA of its catalog"
        )
    if str(data).startswith(CATALOG):
        schema = str(data).removeprefix(CATALOG)
        return _of_catalog(session, schema), schema
    if not data.is_dir():
        raise ContractError(
            f"data: expected a folder, found nothing at {data}; check --data"
        )
    return _of_folder(session, data), data.name


@contextmanager
def reading(table: str, place: str) -> Generator[None]:
    """What Spark says when it cannot read a table, or many, as one line.

    Raises:
        ContractError: it cannot.
    """
    from py4j.protocol import Py4JJavaError
    from pyspark.errors import PySparkException

    try:
        yield
    except (PySparkException, Py4JJavaError) as error:
        raise ContractError(
            f"{table}: expected rows that Spark can read, got {_first_cause(error)} in "
            f"{place}; export it again, or see Spark's log"
        ) from None


@contextmanager
def unchanged(data: Path | Database) -> Generator[Callable[[], None]]:
    """Gives a check that the input's files are still those of the beginning.

    It is called at the end too, and after an error, whose cause it may be. Of a
    catalog's tables nothing is checked: how they change is the catalog's matter.

    Raises:
        ContractError: a file is another or gone.
    """
    seen = files_of(data) if _is_of_files(data) else {}

    def check() -> None:
        if _is_of_files(data):
            must_be_unchanged(data, seen, str(data))

    try:
        yield check
    except (ContractError, OSError):
        check()
        raise
    check()


def _is_of_files(data: Path | Database) -> TypeGuard[Path]:
    return isinstance(data, Path) and not str(data).startswith(CATALOG)


def _first_cause(error: Exception) -> str:
    """The first line of what lies at the bottom of it."""
    cause = getattr(error, "java_exception", None)
    while cause is not None and cause.getCause() is not None:
        cause = cause.getCause()
    said = str(error if cause is None else cause.getMessage())
    return " ".join(said.strip().partition("\n")[0].split()) or type(error).__name__


def without(frames: Mapping[str, DataFrame], erased: Erased) -> dict[str, DataFrame]:
    """The tables without rows of customers who were erased; see ``features.erased``."""
    if not erased.hashes:
        return dict(frames)
    from pyspark.sql import functions as F  # noqa: N812

    hashes = [one.hex() for one in sorted(erased.hashes)]
    text = F.trim(F.col(CUSTOMER_ID).cast("string")).cast("binary")
    salted = F.concat(F.lit(bytearray(erased.salt)), text)
    is_erased = F.coalesce(F.sha2(salted, 256).isin(hashes), F.lit(False))
    return {
        name: frame.where(~is_erased) if CUSTOMER_ID in frame.columns else frame
        for name, frame in frames.items()
    }


def digest(data: Path | Database, tables: Mapping[str, DataFrame]) -> str:
    """Hash of the input.

    Of a folder that of ``Tables.digest``, byte by byte; of a catalog's tables one of
    all rows, in any order.
    """
    if _is_of_files(data):
        return digest_of(data, files_of(data))
    said: list[object] = []
    for name, table in tables.items():
        # As decimals, whose sum does not overflow.
        row = "cast(xxhash64(*) AS decimal(38, 0))"
        sums = table.selectExpr("count(*)", f"sum({row})", f"sum({row} % 1000003)")
        said += [name, table.dtypes, [str(value) for value in sums.collect()[0]]]
    return hashlib.sha256(repr(said).encode()).hexdigest()


def parts(features: DataFrame) -> Iterator[pa.Table]:
    """Rows of ``SparkTables.features`` in parts, as ``assemble`` gives them.

    They go through Parquet files in the folder for temporary files, so the memory
    of the driver holds a part; executors must see that folder.
    """
    with scratch() as folder:
        place = folder / "features"
        features.write.parquet(str(place))
        for file in sorted(place.glob("*.parquet")):
            opened = pq.ParquetFile(file)
            for i in range(opened.num_row_groups):
                yield _coded(opened.read_row_group(i))


def _coded(part: pa.Table) -> pa.Table:
    """Texts as codes, and a code for each customer of the part."""
    rows = part.sort_by([("cutoff", "ascending"), ("customer_id", "ascending")])
    columns: dict[str, pa.Array] = {}
    for name in rows.column_names:
        column = rows.column(name).combine_chunks()
        if name == "customer_id":
            columns["customer"] = column.dictionary_encode().indices
        elif pa.types.is_string(column.type):
            column = column.dictionary_encode()
        columns[name] = column
    return pa.table(columns)


def _of_catalog(session: SparkSession, schema: str) -> dict[str, DataFrame]:
    quoted = "`" + schema.replace("`", "``").replace(".", "`.`") + "`"
    if not session.catalog.databaseExists(schema):
        raise ContractError(
            f"data: expected a schema of the catalog, got none of the name {schema}; "
            "give spark:SCHEMA"
        )
    names = [
        table.name
        for table in TABLES
        if session.catalog.tableExists(f"{quoted}.{table.name}")
    ]
    return {name: session.table(f"{quoted}.{name}") for name in names}


def _of_folder(session: SparkSession, folder: Path) -> dict[str, DataFrame]:
    found: dict[str, DataFrame] = {}
    problems: list[str] = []
    for table in TABLES:
        file = folder / f"{table.name}.parquet"
        if (folder / f"{table.name}.csv").exists():
            problems.append(
                f"{table.name}: expected Parquet for Spark, got {table.name}.csv; "
                "convert it, or set engine.name to duckdb"
            )
        elif file.exists():
            try:
                # Files of a folder need not have the same optional columns; Spark
                # would take those of one of them, and drop the others' known_at.
                reader = session.read.option("mergeSchema", file.is_dir())
                with reading(table.name, file.name):
                    found[table.name] = reader.parquet(str(file.absolute()))
            except ContractError as error:
                problems.extend(error.lines)
    if problems:
        raise ContractError(*problems)
    return found
