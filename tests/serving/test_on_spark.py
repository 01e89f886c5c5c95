"""The stage ``features`` on Spark writes what it writes on DuckDB."""

from __future__ import annotations

import shutil
from datetime import datetime
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from pyspark.sql import SparkSession
from sqlalchemy import update

from features import store
from features.config import Config, EngineConfig
from features.contracts import ContractError
from features.profile import UNDATED
from serving import stages
from serving.state import database, tombstones
from serving.state.tables import SALTS

pytestmark = pytest.mark.spark


def settings(data: Path, workspace: Path, engine: Any, **more: Any) -> Config:
    return Config(
        data=data,
        workspace=workspace,
        cutoff=datetime(2024, 12, 1),
        engine=EngineConfig(name=engine),
        **more,
    )


def test_table_and_stamp_are_those_of_duckdb(
    spark: SparkSession, shop_dir: Path, tmp_path: Path
) -> None:
    on_duckdb = stages.features(settings(shop_dir, tmp_path / "a", "duckdb"))
    on_spark = stages.features(settings(shop_dir, tmp_path / "b", "spark"))
    assert store.read(on_spark).equals(store.read(on_duckdb))
    assert store.stamp_of(on_spark) == store.stamp_of(on_duckdb)
    assert pq.read_table(on_spark).num_rows > 500
    bad = [
        {f.name: pq.read_table(f) for f in (tmp_path / place / "quarantine").glob("*")}
        for place in ("a", "b")
    ]
    assert list(bad[0]) and bad[0] == bad[1]
    # A table of the same stamp stays, whoever made it.
    told: list[str] = []
    before = on_spark.stat().st_mtime_ns
    stages.features(settings(shop_dir, tmp_path / "b", "duckdb"), told.append)
    stages.features(settings(shop_dir, tmp_path / "b", "spark"), told.append)
    assert [text[:19] for text in told if text.startswith("features:")] == (
        ["features: unchanged"] * 2
    )
    assert on_spark.stat().st_mtime_ns == before


def test_who_was_erased_is_left_out_as_on_duckdb(
    spark: SparkSession, shop_tables: dict[str, pa.Table], tmp_path: Path
) -> None:
    data = tmp_path / "data"
    data.mkdir()
    for name in ("purchases", "customers"):
        pq.write_table(shop_tables[name], data / f"{name}.parquet")
    (gone, *_) = shop_tables["purchases"]["customer_id"].to_pylist()
    made = []
    for engine in ("duckdb", "spark"):
        config = settings(data, tmp_path / engine, engine)
        state = database.ready(config.workspace, config.state)
        with database.writing(state) as connection:
            # Elsewhere each workspace has its own.
            connection.execute(update(SALTS).values(salt=b"salt"))
        tombstones.erase(state, gone, 1)
        database.close(state)
        made.append(stages.features(config))
    rows, others = map(store.read, made)
    assert rows.equals(others)
    assert store.stamp_of(made[0]) == store.stamp_of(made[1])
    assert gone not in rows["customer_id"].to_pylist() and rows.num_rows > 500


@pytest.mark.parametrize("dated", [True, False])
def test_what_has_no_data_and_what_is_left_out_is_said_as_on_duckdb(
    spark: SparkSession,
    shop_tables: dict[str, pa.Table],
    tmp_path: Path,
    *,
    dated: bool,
) -> None:
    tables = {
        name: shop_tables[name].slice(0, 1500) for name in ("purchases", "touches")
    }
    customers = shop_tables["customers"].slice(0, 40)
    if not dated:
        customers = customers.drop_columns("valid_from")
    words = pa.array([f"{n} Main Road" for n in range(len(customers))])
    times = pa.array([datetime(2024, 1, 1)] * len(customers), pa.timestamp("us"))
    tables["customers"] = customers.append_column("street", words).append_column(
        "card_made_at", times
    )
    (tmp_path / "data").mkdir()
    for name, table in tables.items():
        pq.write_table(table, tmp_path / "data" / f"{name}.parquet")
    told: dict[str, list[str]] = {"duckdb": [], "spark": []}
    for engine, lines in told.items():
        stages.features(
            settings(tmp_path / "data", tmp_path / engine, engine),
            lambda line, engine=engine, lines=lines: lines.append(
                line.replace(f"{tmp_path / engine}", "WORKSPACE")
            ),
        )
    assert told["spark"] == told["duckdb"]
    assert told["spark"][-3 + dated :] == [
        "history of: purchase, campaign, profile; no data, so null: browse, inquiry, "
        "feedback",
        "left out (too many different words, or no number, flag or text): street, "
        "card_made_at",
        *([] if dated else [UNDATED]),
    ]


def test_file_replaced_during_a_build_leaves_no_table_of_mixed_moments(
    spark: SparkSession, shop_dir: Path, tmp_path: Path
) -> None:
    folder = tmp_path / "data"
    shutil.copytree(shop_dir, folder)
    file = folder / "browses.parquet"

    def replace(step: str) -> None:
        # After the input's hash, before its rows.
        if step == "features":
            pq.write_table(pq.read_table(file).slice(0, 100), tmp_path / "new")
            (tmp_path / "new").replace(file)

    with pytest.raises(ContractError) as told:
        stages.features(settings(folder, tmp_path, "spark"), replace)
    assert told.value.lines == (
        "data: expected files that stay as they are while they are read, got another "
        f"browses.parquet in {folder}; run again once it is written",
    )
    assert not list((tmp_path / "features").iterdir())
