"""The real data set in our contract: every trap of its files, on all its rows."""

from __future__ import annotations

from datetime import datetime
from pathlib import Path

import duckdb
import pytest

from features.complete_journey import write_tables
from features.engine import Tables


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    out = tmp_path_factory.mktemp("complete_journey")
    write_tables(out)
    return out


@pytest.fixture(scope="module")
def db(folder: Path) -> duckdb.DuckDBPyConnection:
    db = duckdb.connect()
    for file in folder.glob("*.parquet"):
        db.execute(f"CREATE VIEW {file.stem} AS FROM read_parquet('{file}')")
    return db


def one(db: duckdb.DuckDBPyConnection, query: str) -> tuple[object, ...]:
    return db.execute(query).fetchall()[0]


def test_every_line_household_and_basket_is_there(
    db: duckdb.DuckDBPyConnection,
) -> None:
    counts = "count(*), count(DISTINCT customer_id), count(DISTINCT order_id)"
    assert one(db, f"SELECT {counts} FROM purchases") == (1_469_307, 2_469, 155_848)


def test_times_are_local_and_lie_in_2017(db: duckdb.DuckDBPyConnection) -> None:
    low, high = one(db, "SELECT min(ts), max(ts) FROM purchases")
    assert low == datetime(2017, 1, 1, 6, 53, 26)
    assert high == datetime(2017, 12, 31, 23, 1, 20)


def test_fuel_is_counted_in_pieces(db: duckdb.DuckDBPyConnection) -> None:
    (most,) = one(db, "SELECT max(quantity) FROM purchases")
    assert most == 144  # cans of corn
    fuel = (
        "SELECT max(quantity), count(*) FROM purchases JOIN products USING (product_id) "
        "WHERE subcategory LIKE 'GASOLINE%' AND amount > 0"
    )
    assert one(db, fuel)[0] == 1


def test_list_price_is_never_below_what_was_paid(db: duckdb.DuckDBPyConnection) -> None:
    query = "SELECT count(*) FROM purchases WHERE list_amount < amount - 0.005"
    assert one(db, query) == (0,)


def test_products_without_a_master_row_are_still_sold(
    db: duckdb.DuckDBPyConnection, folder: Path
) -> None:
    query = "FROM purchases ANTI JOIN products USING (product_id)"
    assert one(db, f"SELECT count(*), count(DISTINCT product_id) {query}") == (4836, 17)
    with Tables(folder) as tables:
        products = tables.history(datetime(2018, 1, 1)).products
    assert len(products) == 92_331 + 17


def test_product_is_picked_once_per_campaign_and_ranked(
    db: duckdb.DuckDBPyConnection,
) -> None:
    repeated = "SELECT count(*) - count(DISTINCT (list, product_id)) FROM picks"
    assert one(db, repeated) == (0,)
    ranks = (
        "SELECT bool_and(low = 1 AND high = n) FROM (SELECT min(rank) AS low, "
        "max(rank) AS high, count(*) AS n FROM picks GROUP BY list)"
    )
    assert one(db, ranks) == (True,)


def test_rank_of_a_pick_uses_sales_before_the_campaign_only(
    db: duckdb.DuckDBPyConnection,
) -> None:
    query = """
        WITH sold AS (
            SELECT p.list, p.product_id, p.rank, count(s.ts) AS n
            FROM picks p LEFT JOIN purchases s ON s.product_id = p.product_id
             AND s.ts < p.chosen_at AND s.ts >= p.chosen_at - INTERVAL 84 DAY
            WHERE p.list = 'campaign 16' GROUP BY ALL)
        SELECT count(*) FROM sold a JOIN sold b ON a.rank < b.rank AND a.n < b.n"""
    assert one(db, query) == (0,)


def test_mailer_is_known_a_week_before_and_a_display_when_it_starts(
    db: duckdb.DuckDBPyConnection,
) -> None:
    query = (
        "SELECT DISTINCT kind, (starts_at - known_at)::VARCHAR FROM promotions "
        "WHERE starts_at > TIMESTAMP '2017-01-01' ORDER BY kind"
    )
    assert db.execute(query).fetchall() == [
        ("display", "00:00:00"),
        ("mailer", "7 days"),
    ]
    weeks = "SELECT DISTINCT dayofweek(starts_at) FROM promotions WHERE starts_at > TIMESTAMP '2017-01-01'"
    assert one(db, weeks) == (1,)  # Monday
    assert one(db, "SELECT min(reach) > 0, max(reach) <= 1 FROM promotions") == (
        True,
        True,
    )


def test_no_row_of_the_real_data_is_bad(folder: Path) -> None:
    with Tables(folder) as tables:
        assert sum(tables.quarantined.values()) == 0
