"""Rows of customers who were erased are not read, from whatever source."""

from __future__ import annotations

import hashlib
from datetime import datetime
from pathlib import Path

import duckdb
import pytest

from features.contracts import CUSTOMERS, PICKS, PURCHASES
from features.engine import Tables
from features.erased import NOBODY, Erased

SALT = b"\x00'\xff salt"
UNTIL = datetime(2024, 3, 1)


def erased(*ids: str) -> Erased:
    return Erased(
        SALT, frozenset(hashlib.sha256(SALT + one.encode()).digest() for one in ids)
    )


PURCHASE = "TIMESTAMP '2024-01-01' + i * INTERVAL 1 DAY AS ts, 'o' || i AS order_id"
SQL = {
    "purchases": (
        "SELECT ['ann', 'é1', ' ann', '7'][1 + i % 4] AS customer_id, 'p' AS product_id, "
        f"{PURCHASE}, 1.0 AS quantity, 2.0 AS amount FROM range(16) t(i)"
    ),
    "customers": "SELECT unnest(['ann', 'é1', '7']) AS customer_id, 'x' AS segment",
    "picks": (
        "SELECT 'june' AS list, 'p' AS product_id, 1 AS rank, "
        "unnest(['ann', NULL]) AS customer_id"
    ),
}


@pytest.fixture(params=["parquet", "csv", "duckdb"])
def data(request: pytest.FixtureRequest, tmp_path: Path) -> Path:
    """The same shop as files and as a database; ' ann' makes a bad row."""
    place = tmp_path / "shop.duckdb" if request.param == "duckdb" else tmp_path
    with duckdb.connect(str(place) if request.param == "duckdb" else ":memory:") as db:
        for name, sql in SQL.items():
            if request.param == "duckdb":
                db.execute(f"CREATE TABLE {name} AS {sql}")
            else:
                file = tmp_path / f"{name}.{request.param}"
                db.execute(f"COPY ({sql}) TO '{file}'")
    return place


def who(data: Path, gone: Erased) -> dict[str, set[str | None]]:
    with Tables(data, erased=gone) as tables:
        found = {
            table.name: set(rows.column("customer_id").to_pylist())
            for table in (PURCHASES, CUSTOMERS, PICKS)
            if (rows := tables.table(table)) is not None
        }
        found["history"] = set(tables.history(UNTIL).customers.tolist())
        found["bad"] = {str(tables.quarantined["purchases"])}
    return found


def test_everybody_is_read_where_nobody_was_erased(data: Path) -> None:
    found = who(data, NOBODY)
    assert found["customers"] == found["history"] == {"ann", "é1", "7"}
    assert found["picks"] == {"ann", None}
    assert who(data, erased("nobody")) == found


def test_rows_of_the_erased_are_in_no_table_and_no_quarantine(data: Path) -> None:
    found = who(data, erased("ann", "nobody"))
    for name in ("purchases", "customers", "history"):
        assert found[name] == {"é1", "7"}
    # For everyone is for everyone still.
    assert found["picks"] == {None}
    assert found["bad"] == {"0"}
    assert who(data, erased("é1"))["history"] == {"ann", "7"}


def test_ids_that_are_numbers_are_hashed_as_texts(tmp_path: Path) -> None:
    sql = SQL["purchases"].replace("['ann', 'é1', ' ann', '7']", "[7, 8, 9, 10]")
    duckdb.sql(f"COPY ({sql}) TO '{tmp_path}/purchases.parquet'")
    with Tables(tmp_path, erased=erased("8", "10")) as tables:
        assert tables.history(UNTIL).customers.tolist() == ["7", "9"]


def test_each_erasure_makes_other_digests(data: Path) -> None:
    def digests(gone: Erased) -> tuple[str, str]:
        with Tables(data, erased=gone) as tables:
            return tables.digest(), tables.history(UNTIL).fingerprint

    plain, ann, both = map(digests, (NOBODY, erased("ann"), erased("7", "ann")))
    assert digests(erased("ann")) == ann and digests(Erased(SALT)) == plain
    assert len({plain[0], ann[0], both[0]}) == len({plain[1], ann[1], both[1]}) == 3
