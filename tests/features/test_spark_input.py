"""Spark's input: a folder or a catalog, what is refused, what is left behind."""

from __future__ import annotations

import os
from collections.abc import Callable
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from pyspark.sql import SparkSession

from features import spark_input
from features.contracts import PURCHASES, ContractError, SettingError
from features.database import Database
from features.engine import Tables
from features.spark import SparkTables

pytestmark = pytest.mark.spark

NOON = datetime(2024, 3, 1, 12)
UNTIL = datetime(2024, 4, 1)


def line(order: str = "1", **more: Any) -> dict[str, Any]:
    row = {"customer_id": "a", "product_id": "p", "order_id": order, "ts": NOON}
    return row | {"quantity": 1.0, "amount": 2.5} | more


def write(folder: Path, **tables: list[dict[str, Any]]) -> Path:
    folder.mkdir(exist_ok=True)
    for name, rows in tables.items():
        pq.write_table(pa.Table.from_pylist(rows), folder / f"{name}.parquet")
    return folder


@pytest.fixture
def open_tables(spark: SparkSession) -> Callable[[Path], SparkTables]:
    def opened(data: Path) -> SparkTables:
        frames, place = spark_input.frames(spark, data)
        return SparkTables(frames, place=place, partitions=2)

    return opened


OpenTables = Callable[[Path], SparkTables]


def test_bad_rows_are_those_of_duckdb(open_tables: OpenTables, tmp_path: Path) -> None:
    folder = write(
        tmp_path / "shop",
        purchases=[
            line("1"),
            line("2"),
            line("3", customer_id=None),
            line("4", customer_id=" a"),
            line("5", amount=float("inf")),
        ],
        browses=[
            {"customer_id": "a", "ts": NOON, "kind": "view", "dwell_seconds": -1.0},
            {"customer_id": "b", "ts": NOON, "kind": "stare", "dwell_seconds": 1.0},
        ],
        customers=[
            {"customer_id": "a", "reason": "gone", "shoe": 1.0},
            {"customer_id": "a", "reason": "here", "shoe": 2.0},
        ],
        products=[{"product_id": "p", "price": -1.0}, {"product_id": "q"}],
    )
    written: list[dict[str, Any]] = []
    with Tables(folder) as tables, open_tables(folder) as on_spark:
        assert on_spark.quarantined == tables.quarantined
        assert tables.quarantined == {
            "purchases": 3,
            "browses": 2,
            "customers": 1,
            "products": 1,
        }
        for i, opened in enumerate((tables, on_spark)):
            opened.write_quarantine(tmp_path / str(i))
            files = sorted((tmp_path / str(i)).glob("*.parquet"))
            rows = {file.name: pq.read_table(file).to_pylist() for file in files}
            written.append({n: sorted(map(repr, r)) for n, r in rows.items()})
    assert written[0] == written[1]


def test_catalog_is_read_by_its_schema(
    spark: SparkSession, open_tables: OpenTables, tmp_path: Path
) -> None:
    folder = write(tmp_path / "shop", purchases=[line("1"), line("2")])
    spark.sql("CREATE SCHEMA shop")
    try:
        frame = spark.read.parquet(str(folder / "purchases.parquet"))
        frame.write.saveAsTable("shop.purchases")
        with (
            open_tables(Path("spark:shop")) as of_catalog,
            open_tables(folder) as of_folder,
        ):
            found = of_catalog.features(UNTIL, [UNTIL]).toArrow()
            assert found.equals(of_folder.features(UNTIL, [UNTIL]).toArrow())
        frames, _ = spark_input.frames(spark, Path("spark:shop"))
        before = spark_input.digest(Path("spark:shop"), frames)
        assert before == spark_input.digest(Path("spark:shop"), frames)
        frame.limit(1).write.insertInto("shop.purchases")
        frames, _ = spark_input.frames(spark, Path("spark:shop"))
        assert before != spark_input.digest(Path("spark:shop"), frames)
    finally:
        spark.sql("DROP SCHEMA shop CASCADE")


def test_files_of_a_folder_may_differ_in_optional_columns(
    open_tables: OpenTables, tmp_path: Path
) -> None:
    """Such as ``events.parquet``, beside a table that knows no ``known_at``."""
    data = write(tmp_path / "shop")
    (data / "purchases.parquet").mkdir()
    rows = [
        [line("1"), line("2")],
        [line("3", customer_id="b", known_at=UNTIL - timedelta(days=1))],
        [line("4", customer_id="c", known_at=UNTIL)],
    ]
    for i, some in enumerate(rows):
        file = data / "purchases.parquet" / f"{i}.parquet"
        pq.write_table(pa.Table.from_pylist(some), file)
    with Tables(data) as tables, open_tables(data) as on_spark:
        there = sorted(tables.history(UNTIL).customers)
        found = on_spark.features(UNTIL, [UNTIL]).select("customer_id").collect()
    assert there == sorted(row[0] for row in found) == ["a", "b"]


def test_digest_of_a_folder_is_that_of_duckdb(
    spark: SparkSession, tmp_path: Path
) -> None:
    folder = write(tmp_path / "shop", purchases=[line("1"), line("2")])
    frames, _ = spark_input.frames(spark, folder)
    with Tables(folder) as tables:
        assert spark_input.digest(folder, frames) == tables.digest()


def test_column_without_a_value_has_no_type(
    open_tables: OpenTables, tmp_path: Path
) -> None:
    rows = [line("1"), line("2")]
    table = pa.Table.from_pylist(rows).append_column(
        "channel", pa.nulls(2, pa.date32())
    )
    folder = write(tmp_path / "shop")
    pq.write_table(table, folder / "purchases.parquet")
    with open_tables(folder) as tables:
        assert tables.quarantined == {"purchases": 0}


def said(error: pytest.ExceptionInfo[Exception]) -> list[str]:
    return [str(argument) for argument in error.value.args]


def refused(
    open_tables: OpenTables, data: Path, until: datetime = UNTIL
) -> tuple[list[str], list[str]]:
    """What Spark says, and what DuckDB says, about the same folder."""
    told: list[list[str]] = []
    for opened in (open_tables, Tables):
        with pytest.raises(ContractError) as error, opened(data) as tables:
            tables.first_purchase(until)
            if isinstance(tables, Tables):
                tables.history(until)
        told.append(said(error))
    return told[0], told[1]


@pytest.mark.parametrize(
    "rows",
    [
        [line("1"), line("1")],
        [line("1", ts=UNTIL), line("2", ts=UNTIL)],
        [line("1", quantity=-1.0), line("2", quantity=-1.0)],
        [
            line("1", amount=None),
            line("2", amount=None),
            line("3", ts=None, amount=1.0),
        ],
        [line("1", amount="dear"), line("2", amount="cheap")],
    ],
)
def test_refused_in_the_words_of_duckdb(
    open_tables: OpenTables, tmp_path: Path, rows: list[dict[str, Any]]
) -> None:
    folder = write(tmp_path / "shop", purchases=rows)
    on_spark, on_duckdb = refused(open_tables, folder)
    assert [
        text.replace("shop:purchases", "purchases.parquet") for text in on_spark
    ] == (on_duckdb)


def test_all_broken_tables_are_told_at_once(
    open_tables: OpenTables, tmp_path: Path
) -> None:
    folder = write(
        tmp_path / "shop",
        browses=[{"customer_id": "a", "kind": "view"}],
        products=[{"name": "x"}],
    )
    with pytest.raises(ContractError) as error:
        open_tables(folder)
    assert said(error) == [
        "browses.ts: expected a column of timestamp, got none in shop:browses; add it to "
        "the export",
        "products.product_id: expected a column of text or integer, got none in "
        "shop:products; add it to the export",
        "purchases: expected a table, found none in shop; add a table or view of that name",
    ]


def test_csv_and_damaged_files_are_refused(spark: SparkSession, tmp_path: Path) -> None:
    (tmp_path / "purchases.csv").write_text("customer_id\n")
    (tmp_path / "products.parquet").write_text("no Parquet")
    with pytest.raises(ContractError) as error:
        spark_input.frames(spark, tmp_path)
    csv, damaged = said(error)
    assert "is not a Parquet file" in damaged
    assert csv == (
        "purchases: expected Parquet for Spark, got purchases.csv; convert it, or set "
        "engine.name to duckdb"
    )
    assert damaged.startswith("products: expected rows that Spark can read, got ")
    assert "\n" not in damaged


def test_places_that_spark_does_not_read(spark: SparkSession, tmp_path: Path) -> None:
    with pytest.raises(SettingError, match="Spark reads a folder of Parquet files or"):
        spark_input.frames(spark, Database.parse("postgresql://me@127.0.0.1:1/shop"))
    with pytest.raises(
        ContractError, match=r"found nothing at .*nowhere; check --data"
    ):
        spark_input.frames(spark, tmp_path / "nowhere")
    with pytest.raises(
        ContractError, match=r"expected a schema .* got none of the name"
    ):
        spark_input.frames(spark, Path("spark:nowhere"))


def test_name_of_no_input_table_is_a_fault_of_the_caller(spark: SparkSession) -> None:
    with pytest.raises(ValueError, match=r"expected names out of .* got \['orders'\]"):
        SparkTables({"orders": spark.range(1)})
    with (
        SparkTables({"purchases": spark.createDataFrame([line()])}) as tables,
        pytest.raises(ValueError, match=r"expected one of .* got picks"),
    ):
        tables.bad_rows(type(PURCHASES)("picks", "", ()))


def test_late_rows_move_no_fact(open_tables: OpenTables, tmp_path: Path) -> None:
    """Words, products and first moments of rows known at the cutoff are not read."""
    known = [line("1"), line("2", ts=NOON + timedelta(days=1))]
    late = [
        line("3", product_id="late", ts=NOON - timedelta(days=9), known_at=UNTIL),
        line("4", product_id="late", ts=UNTIL, known_at=UNTIL),
    ]
    browses = [{"customer_id": "a", "ts": NOON, "kind": "view", "product_id": "late"}]
    found: list[pa.Table] = []
    for i, rows in enumerate((known, known + late)):
        rows = [{"known_at": None, **row} for row in rows]
        folder = write(tmp_path / str(i), browses=browses)
        table = pa.Table.from_pylist(rows)
        at = table.column_names.index("known_at")
        times = table.column("known_at").cast(pa.timestamp("us"))
        table = table.set_column(at, "known_at", times)
        pq.write_table(table, folder / "purchases.parquet")
        with open_tables(folder) as tables:
            assert tables.first_purchase(UNTIL) == NOON
            found.append(tables.features(UNTIL, [UNTIL]).toArrow())
    assert found[0].equals(found[1])
    assert found[0]["browsed_products_distinct_30d"].to_pylist() == [0.0]


def test_java_that_does_not_start_is_told(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    import subprocess
    import sys

    program = (
        "from features import spark_input\n"
        "from features.contracts import SettingError\n"
        "try:\n    spark_input.session().__enter__()\n"
        "except SettingError as error:\n    print(error)\n"
    )
    environment = {**os.environ, "JAVA_HOME": str(tmp_path), "PATH": "/nowhere"}
    done = subprocess.run(
        [sys.executable, "-c", program], env=environment, capture_output=True, text=True
    )
    (told,) = done.stdout.splitlines()
    assert told.startswith("engine.name: expected Java 17 for Spark, got none that st")
    assert told.endswith("install it and set JAVA_HOME")
