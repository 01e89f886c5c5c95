"""Spark gives the features of every other source."""

from __future__ import annotations

from datetime import datetime
from pathlib import Path

import pyarrow as pa
import pytest
from pyspark.sql import SparkSession

from features.assemble import assemble
from features.engine import Tables
from features.spark import SparkTables

pytestmark = pytest.mark.spark

CUTOFFS = (datetime(2024, 4, 1), datetime(2024, 7, 1), datetime(2024, 10, 5, 12))


def of_folder(folder: Path, cutoffs: tuple[datetime, ...] = CUTOFFS) -> pa.Table:
    with Tables(folder) as tables:
        return comparable(assemble(tables.history(cutoffs[-1]), cutoffs))


def comparable(features: pa.Table) -> pa.Table:
    """Rows by cutoff and customer, texts as strings."""
    names = [name for name in features.column_names if name != "customer"]
    texts = [
        pa.field(f.name, pa.string()) if pa.types.is_dictionary(f.type) else f
        for f in features.select(names).schema
    ]
    cast = features.select(names).cast(pa.schema(texts))
    return cast.sort_by([("cutoff", "ascending"), ("customer_id", "ascending")])


def test_shop_has_the_same_features(
    spark: SparkSession, shop_dir: Path, shop_tables: dict[str, pa.Table]
) -> None:
    frames = {
        name: spark.read.parquet(str(shop_dir / f"{name}.parquet"))
        for name in shop_tables
    }
    with SparkTables(frames, partitions=3, rows_per_slice=500) as tables:
        found = tables.features(CUTOFFS[-1], CUTOFFS).toArrow()
    expected = of_folder(shop_dir)
    assert comparable(found.cast(expected.schema)).equals(expected)
