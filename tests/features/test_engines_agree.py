"""DuckDB on a folder, a real PostgreSQL and Spark give the same features, bit by bit.

Two hundred small data sets, each a whole of its own on every engine: facts about the
whole, such as when a table begins or which text has too many words, are drawn too,
so sets must not share a job. Jobs of a few rows are made cheap instead: two at a
time, and Spark does not compile what runs once. Even so Spark takes
nearly all of the time: it computes three of ten sets, and with ``make thorough`` all.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from pyspark.sql import SparkSession

from features import contracts
from features.assemble import assemble
from features.contracts import TABLES, ContractError, Dtype, Table
from features.database import Database
from features.engine import Tables
from features.spark import SparkTables

pytestmark = [pytest.mark.spark, pytest.mark.slow]

WriteTables = Callable[..., str]
Drawn = dict[str, pa.Table]

START = datetime(2024, 1, 1)
US = timedelta(microseconds=1)
SETS, AT_ONCE = 200, 20
ON_SPARK = 10 if os.environ.get("THOROUGH") else 3
"""Sets of each ten that Spark computes, too."""

OPTIONAL = tuple(t.name for t in TABLES if t.name not in ("purchases", "customers"))
ROWS = {"purchases": 60, "browses": 40, "touches": 30, "customers": 14}
OF_TYPE: Mapping[Dtype, pa.DataType] = {
    "id": pa.string(),
    "text": pa.string(),
    "number": pa.float64(),
    "flag": pa.bool_(),
    "time": pa.timestamp("us"),
}


@dataclass(frozen=True)
class Shop:
    """One data set and the cutoffs it is read at."""

    tables: Drawn
    until: datetime
    cutoffs: tuple[datetime, ...]


def draw(seed: int) -> Shop:
    rng = np.random.default_rng(seed)
    days = int(rng.choice([20, 120, 500]))
    # Few moments, so that many rows tie; the cutoffs and their neighbours are some.
    moments = [START + timedelta(hours=int(h)) for h in rng.integers(0, days * 24, 40)]
    cutoffs = sorted({START + timedelta(days=days * k // 4) for k in (2, 3, 4)})
    moments += [cutoff + k * US for cutoff in cutoffs for k in (-1, 0, 1)]
    missing = 0.3 if rng.random() < 0.5 else 0.0
    tables = {
        table.name: _draw(rng, table, moments)
        for table in TABLES
        if table.required or rng.random() >= missing
    }
    return Shop(tables, cutoffs[-1], tuple(cutoffs))


def _draw(rng: np.random.Generator, table: Table, moments: list[datetime]) -> pa.Table:
    n = int(rng.integers(1, ROWS.get(table.name, 12) + 1))
    columns: dict[str, pa.Array] = {}
    for column in table.columns:
        # A column that is not required may be missing.
        if not column.required and rng.random() < 0.15:
            continue
        values = [_value(rng, column, moments) for _ in range(n)]
        columns[column.name] = pa.array(values, OF_TYPE[column.dtype])
    if table.further:
        columns["children"] = pa.array(rng.integers(0, 4, n), pa.int64())
        columns["vegan"] = pa.array(rng.random(n) < 0.5)
        few, many = rng.integers(0, 12, n), rng.integers(0, 40, n)
        columns["diet"] = pa.array([None if d == 11 else f"d{d}" for d in few])
        columns["street"] = pa.array([f"street {s}" for s in many])
    return pa.table(columns)


def _value(
    rng: np.random.Generator, column: contracts.Column, moments: list[datetime]
) -> Any:
    draw = rng.random()
    # Now and then a bad row: null where a value must be, or one that may not be.
    if draw < (0.01 if column.required else 0.25):
        return None
    is_bad = draw > 0.995
    if column.dtype == "time":
        late = timedelta(days=int(rng.integers(0, 30)))
        years = timedelta(days=365 * int(rng.integers(20, 60)))
        moment = moments[rng.integers(len(moments))]
        if column.name == "birthday":
            return moment - years
        if column.name in ("known_at", "ends_at"):
            return moment + late
        return datetime(1850, 1, 1) if is_bad else moment
    if column.dtype == "flag":
        return bool(rng.random() < 0.5)
    if column.kinds:
        return "other?" if is_bad else str(rng.choice(column.kinds))
    if column.dtype == "number":
        return _number(rng, column.name, is_bad=is_bad)
    if column.name == "customer_id":
        # The last ones never buy: see ``_buyers``.
        return " c1" if is_bad else f"c{int(rng.integers(9))}"
    return f"{column.name[0]}{int(rng.integers(6))}"


def _number(rng: np.random.Generator, name: str, *, is_bad: bool) -> float:
    if is_bad:
        return float(rng.choice([-1.0, np.inf, np.nan]))
    if name == "quantity":
        return float(rng.choice([-1, 0, 1, 2, 3]))
    if name in ("margin_rate", "reach"):
        return float(rng.random())
    return round(float(rng.exponential(10)), 2)


# -- the three engines ----------------------------------------------------------

Answer = tuple[dict[str, int], pa.Table] | str


def by_row(features: pa.Table) -> pa.Table:
    """Rows by cutoff and customer, texts as strings."""
    names = [name for name in features.column_names if name != "customer"]
    texts = [
        pa.field(f.name, pa.string()) if pa.types.is_dictionary(f.type) else f
        for f in features.select(names).schema
    ]
    cast = features.select(names).cast(pa.schema(texts))
    return cast.sort_by([("cutoff", "ascending"), ("customer_id", "ascending")])


def _said(error: ContractError, *places: str) -> str:
    told = "\n".join(error.lines)
    for place in places:
        told = told.replace(place, "PLACE")
    return told


def on_duckdb(shop: Shop, data: Path | Database) -> Answer:
    try:
        with Tables(data, threads=1) as tables:
            features = assemble(tables.history(shop.until), shop.cutoffs)
            return tables.quarantined, by_row(features)
    except ContractError as error:
        if isinstance(data, Path):
            return _said(error, "purchases.parquet")
        return _said(error, f"{data.name}:purchases")


def on_spark(
    shop: Shop, session: SparkSession, partitions: int, rows_per_slice: int
) -> Answer:
    frames = {name: session.createDataFrame(t) for name, t in shop.tables.items()}
    try:
        with SparkTables(
            frames, partitions=partitions, rows_per_slice=rows_per_slice
        ) as tables:
            features = tables.features(shop.until, shop.cutoffs).toArrow()
            return tables.quarantined, by_row(features)
    except ContractError as error:
        return _said(error, "spark:purchases")


def differences(one: Answer, other: Answer) -> list[Any]:
    """What differs: messages, bad rows, or the columns with another bit."""
    if isinstance(one, str) or isinstance(other, str):
        return [] if one == other else [one, other]
    (bad, left), (other_bad, right) = one, other
    if bad != other_bad or left.column_names != right.column_names:
        return [bad, other_bad, left.column_names, right.column_names]
    return [
        name
        for name in left.column_names
        if not left.column(name)
        .cast(right.column(name).type)
        .equals(right.column(name))
    ]


@pytest.mark.parametrize("first", range(0, SETS, AT_ONCE))
def test_three_engines_agree_bit_by_bit(
    spark: SparkSession, write_postgres: WriteTables, tmp_path: Path, first: int
) -> None:
    shops = {seed: draw(seed) for seed in range(first, first + AT_ONCE)}
    for seed, shop in shops.items():
        (tmp_path / str(seed)).mkdir()
        for name, table in shop.tables.items():
            pq.write_table(table, tmp_path / str(seed) / f"{name}.parquet")
    urls = {seed: write_postgres(shop.tables) for seed, shop in shops.items()}

    def differing(seed: int) -> list[Any]:
        shop = shops[seed]
        expected = on_duckdb(shop, tmp_path / str(seed))
        # A slice takes longer than its rows: most sets are one, and every fourth is of
        # one to three partitions in slices of a few customers.
        partitions, rows = (1, 1_000) if seed % 4 else (1 + seed % 3, 60)
        others = [on_duckdb(shop, Database.parse(urls[seed]))]
        if seed % 10 < ON_SPARK:
            others.append(on_spark(shop, spark, partitions, rows))
        return [d for other in others if (d := differences(expected, other))]

    with ThreadPoolExecutor(2) as pool:
        found = dict(zip(shops, pool.map(differing, shops), strict=True))
    assert {seed: d for seed, d in found.items() if d} == {}
