"""Tables in the PostgreSQL server of the tests."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from itertools import count
from typing import Any

import adbc_driver_postgresql.dbapi as postgresql
import pyarrow as pa
import pytest

WriteTables = Callable[..., str]


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
