from __future__ import annotations

from collections.abc import Callable
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

import duckdb
import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pytest

from features.assemble import FEATURES, assemble, dimensions
from features.engine import Tables
from features.history import History

ReadHistory = Callable[..., History]
CUTOFFS = tuple(datetime(2024, 3, 1) + timedelta(days=45 * i) for i in range(6))

# Features by their definition in SQL; {cutoff} and {known} are filled in.
ORDERS = "SELECT customer_id, order_id, min(ts) AS ts FROM {known} WHERE quantity >= 0 GROUP BY ALL"
DAYS = "SELECT customer_id, min(ts) AS ts FROM {known} WHERE quantity >= 0 GROUP BY customer_id, ts::DATE"
ORACLE = {
    "orders_count": f"SELECT customer_id, count(*) FROM ({ORDERS}) GROUP BY ALL",
    "orders_count_30d": f"SELECT customer_id, count(*) FILTER (ts >= {{cutoff}} - INTERVAL 30 DAY) FROM ({ORDERS}) GROUP BY ALL",
    "spend_sum_90d": "SELECT customer_id, coalesce(sum(amount) FILTER (ts >= {cutoff} - INTERVAL 90 DAY), 0) FROM {known} GROUP BY ALL",
    "days_since_last_order": "SELECT customer_id, epoch({cutoff} - max(ts)) / 86400 FROM {known} WHERE quantity >= 0 GROUP BY ALL",
    "line_amount_spread": "SELECT customer_id, stddev_samp(amount) FROM {known} WHERE quantity >= 0 GROUP BY ALL",
    "products_distinct_90d": "SELECT customer_id, count(DISTINCT product_id) FILTER (ts >= {cutoff} - INTERVAL 90 DAY) FROM {known} WHERE quantity >= 0 GROUP BY ALL",
    "days_gap_median": f"SELECT customer_id, median(gap) FROM (SELECT customer_id, epoch(ts - lag(ts) OVER (PARTITION BY customer_id ORDER BY ts)) / 86400 AS gap FROM ({DAYS})) GROUP BY ALL",
    "days_gap_max_90d": f"SELECT customer_id, max(gap) FROM (SELECT customer_id, epoch(ts - lag(ts) OVER (PARTITION BY customer_id ORDER BY ts)) / 86400 AS gap FROM ({DAYS}) WHERE ts >= {{cutoff}} - INTERVAL 90 DAY) GROUP BY ALL",
    "orders_decay_h21d": f"SELECT customer_id, sum(0.5 ** (epoch({{cutoff}} - ts) / 86400 / 21)) FROM ({ORDERS}) GROUP BY ALL",
    "category_top_share": "SELECT customer_id, max(n) / sum(n) FROM (SELECT customer_id, category, count(*) AS n FROM {known} JOIN master USING (product_id) WHERE quantity >= 0 GROUP BY ALL) GROUP BY ALL",
    "discount_share": "SELECT customer_id, 1 - sum(amount) FILTER (list_amount IS NOT NULL) / sum(list_amount) FROM {known} GROUP BY ALL",
    "views_count_30d": "SELECT customer_id, count(*) FILTER (ts >= {cutoff} - INTERVAL 30 DAY) FROM {known_browses} WHERE kind = 'view' GROUP BY ALL",
}


@pytest.fixture(scope="module")
def oracle(shop_tables: dict[str, pa.Table]) -> duckdb.DuckDBPyConnection:
    db = duckdb.connect(config={"threads": 1})
    for name in ("purchases", "browses", "products"):
        db.register(name, shop_tables[name])
    # One product is there twice: the row that was known first counts.
    db.execute("CREATE TEMP VIEW master AS FROM products WHERE launched_at IS NULL")
    return db


@pytest.fixture(scope="module")
def shop(shop_dir: Path) -> History:
    with Tables(shop_dir) as tables:
        return tables.history(datetime(2025, 1, 1))


@pytest.fixture(scope="module")
def wide(shop: History) -> pa.Table:
    return assemble(shop, CUTOFFS)


@pytest.mark.parametrize("feature", ORACLE)
def test_feature_equals_sql_at_every_cutoff(
    feature: str, wide: pa.Table, oracle: duckdb.DuckDBPyConnection
) -> None:
    for cutoff in CUTOFFS:
        at = f"TIMESTAMP '{cutoff}'"
        before = f"ts < {at} AND coalesce(known_at, ts) < {at}"
        query = ORACLE[feature].format(
            cutoff=at,
            known=f"(SELECT * FROM purchases WHERE {before})",
            known_browses=f"(SELECT * FROM browses WHERE {before})",
        )
        expected = dict(oracle.execute(query).fetchall())
        rows = wide.filter(pc.equal(wide["cutoff"], pa.scalar(cutoff)))
        found = dict(
            zip(rows["customer_id"].to_pylist(), rows[feature].to_pylist(), strict=True)
        )
        assert len(found) > 50
        for customer, value in found.items():
            default = 0 if "count" in feature or "distinct" in feature else None
            wanted = expected.get(customer, default)
            assert value == (wanted if wanted is None else pytest.approx(wanted)), (
                customer
            )


def test_one_row_per_customer_and_cutoff_with_a_known_purchase(
    wide: pa.Table, oracle: duckdb.DuckDBPyConnection
) -> None:
    expected = []
    for cutoff in CUTOFFS:
        query = (
            "SELECT DISTINCT customer_id FROM purchases WHERE ts < ? AND "
            "coalesce(known_at, ts) < ? ORDER BY customer_id"
        )
        ids = oracle.execute(query, [cutoff, cutoff]).fetchall()
        expected += [(cutoff, customer) for (customer,) in ids]
    found = zip(
        wide["cutoff"].to_pylist(), wide["customer_id"].to_pylist(), strict=True
    )
    assert list(found) == expected


def test_columns_are_the_declared_ones_and_then_further_ones(wide: pa.Table) -> None:
    names = ["customer", "customer_id", "cutoff", *(f.name for f in FEATURES)]
    assert wide.column_names == [*names, "household_size", "diet"]
    texts = {"segment", "region", "member_tier", "preferred_channel", "diet"}
    for name in wide.column_names[3:]:
        wanted = pa.dictionary(pa.int32(), pa.string())
        assert wide.schema.field(name).type == (
            wanted if name in texts else pa.float64()
        )


def test_no_feature_is_infinite(wide: pa.Table) -> None:
    for name in wide.column_names[3:]:
        if wide.schema.field(name).type == pa.float64():
            values = wide[name].drop_null().to_numpy()
            assert np.isfinite(values).all(), name


def test_the_order_of_the_rows_does_not_matter(
    shop_tables: dict[str, pa.Table], wide: pa.Table, read_history: ReadHistory
) -> None:
    rng = np.random.default_rng(5)
    shuffled = {
        name: table.take(pa.array(rng.permutation(len(table))))
        for name, table in shop_tables.items()
    }
    history = read_history(shuffled, datetime(2025, 1, 1))
    assert assemble(history, CUTOFFS).equals(wide)


def test_the_same_history_gives_the_same_bits_twice(
    shop: History, wide: pa.Table
) -> None:
    assert assemble(shop, CUTOFFS).equals(wide)


PURCHASES: list[dict[str, Any]] = [
    {
        "customer_id": "a",
        "product_id": "p",
        "ts": datetime(2024, 1, 1 + n),
        "order_id": str(n),
        "quantity": 1.0,
        "amount": 1.0,
    }
    for n in range(2)
]


def test_purchases_alone_are_enough(read_history: ReadHistory) -> None:
    history = read_history({"purchases": PURCHASES}, datetime(2024, 2, 1))
    table = assemble(history, [datetime(2024, 2, 1)])
    has = dimensions(history)
    assert has.pop("purchase")
    assert not any(has.values())
    for feature in FEATURES:
        empty = table[feature.name].null_count == len(table)
        if feature.dimension != "purchase":
            assert empty, feature.name
    assert table["orders_count"].to_pylist() == [2.0]
    # One gap has no spread, and nothing is listed.
    assert table["days_gap_spread"].to_pylist() == [None]
    assert table["discount_share"].to_pylist() == [None]


def test_all_dimensions_of_the_shop_have_data(shop: History) -> None:
    assert list(dimensions(shop)) == [
        "purchase",
        "browse",
        "inquiry",
        "feedback",
        "campaign",
        "profile",
    ]
    assert all(dimensions(shop).values())


def test_a_cutoff_after_the_history_is_an_error(shop: History) -> None:
    with pytest.raises(ValueError, match="expected none after the end of the history"):
        assemble(shop, [datetime(2025, 1, 1, 0, 0, 1)])


def test_cutoffs_out_of_order_are_an_error(shop: History) -> None:
    with pytest.raises(ValueError, match="strictly ascending"):
        assemble(shop, [CUTOFFS[1], CUTOFFS[0]])
    with pytest.raises(ValueError, match="at least one"):
        assemble(shop, [])
