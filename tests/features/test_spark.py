"""Spark gives the features of every other source."""

from __future__ import annotations

from datetime import datetime, timedelta
from pathlib import Path

import numpy as np
import pyarrow as pa
import pytest
from pyspark.sql import SparkSession

from features.assemble import assemble
from features.engine import Tables
from features.simulate import simulate
from features.spark import SparkTables
from features.spark_facts import facts_of
from features.spark_worker import FACT, KEY, NAME, Slicing

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


@pytest.mark.slow
def test_simulated_shop_in_parts_and_slices(
    spark: SparkSession, tmp_path: Path
) -> None:
    simulate(tmp_path / "shop", 300, seed=5)
    frames = {
        file.stem: spark.read.parquet(str(file))
        for file in (tmp_path / "shop").glob("*.parquet")
    }
    with Tables(tmp_path / "shop") as tables:
        _, last = tables.first_and_last_purchase()
    cutoffs = tuple(last - timedelta(days=days) for days in (120, 30, 0))
    with SparkTables(frames, partitions=4, rows_per_slice=2_000) as tables:
        found = tables.features(cutoffs[-1], cutoffs).toArrow()
    expected = of_folder(tmp_path / "shop", cutoffs)
    assert comparable(found.cast(expected.schema)).equals(expected)


def test_facts_of_many_slices_are_put_together(spark: SparkSession) -> None:
    always = int(np.iinfo(np.int64).min)
    facts: list[tuple[str, str | None, str | None, int | None]] = [
        *([("since", "customers", None, always)] * 2),
        ("since", "touches", None, None),
        *(("since", "purchases", None, us) for us in (2**62, 2**62 + 1)),
        *(("rows", "customers", None, n) for n in (3, 4)),
        *(("word", "diet", word, None) for word in ("vegan", "any", "vegan")),
        *([("reason", "customers", "late", 2)] * 2),
    ]
    columns = zip(*facts, strict=True)
    counted = pa.table(
        [pa.array(list(c), f.type) for c, f in zip(columns, FACT, strict=True)],
        schema=FACT,
    )
    found = facts_of(spark.createDataFrame(counted), None)
    assert found.since == {"customers": always, "purchases": 2**62}
    assert found.sums == {("rows", "customers"): 7}
    assert found.words == {("word", "diet"): ("any", "vegan")}
    assert found.reasons == {"customers": {"late": 4}}


def union(*customers: str) -> list[pa.RecordBatch]:
    """One batch per word; each letter is a row of that customer."""
    return [pa.record_batch({KEY: list(word), NAME: list(word)}) for word in customers]


@pytest.mark.parametrize(
    ("batches", "most_rows", "slices"),
    [
        (("aab", "bbc", "cd"), 3, ["aabbb", "ccd"]),
        (("aab", "bbc", "cd"), 6, ["aabbb" + "c" * 2, "d"]),
        (("aab", "bbc", "cd"), 9, ["aabbbccd"]),
        (("aaa", "aaa", "aab"), 1, ["aaaaaaaa", "b"]),
        (("aa", "", "bb"), 2, ["aa", "bb"]),
        ((), 2, []),
    ],
)
def test_slice_holds_whole_customers(
    batches: tuple[str, ...], most_rows: int, slices: list[str]
) -> None:
    slicing = Slicing((), most_rows, "1GB")
    found = ["".join(s[KEY].to_pylist()) for s in slicing.slices(union(*batches))]
    assert found == slices
