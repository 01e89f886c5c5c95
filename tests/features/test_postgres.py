"""A PostgreSQL database reads like a folder, on a real server."""

from __future__ import annotations

import sys
import tempfile
from collections.abc import Callable
from datetime import date, datetime, timedelta
from pathlib import Path
from typing import Any
from uuid import UUID

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from features import postgres as module
from features.contracts import CUSTOMERS, ContractError, SettingError
from features.database import Database
from features.engine import Tables

US = timedelta(microseconds=1)
NOON = datetime(2024, 3, 1, 12)
UNTIL = datetime(2024, 4, 1)
WriteTables = Callable[..., str]
Execute = Callable[..., None]


def order(n: int, **more: Any) -> dict[str, Any]:
    row = {"customer_id": "7", "product_id": "p", "order_id": str(n)}
    row |= {"ts": NOON + timedelta(days=n), "quantity": 1.0, "amount": 2.25}
    return row | more


def fingerprint(data: Path | str, until: datetime = UNTIL) -> str:
    with Tables(data if isinstance(data, Path) else Database.parse(data)) as tables:
        return tables.history(until).fingerprint


def write(folder: Path, **tables: Any) -> Path:
    folder.mkdir(parents=True, exist_ok=True)
    for name, rows in tables.items():
        table = rows if isinstance(rows, pa.Table) else pa.Table.from_pylist(rows)
        pq.write_table(table, folder / f"{name}.parquet")
    return folder


def refused(url: str) -> tuple[str, ...]:
    with pytest.raises((ContractError, SettingError)) as error:
        Tables(Database.parse(url))
    return tuple(str(argument) for argument in error.value.args)


def test_shop_has_the_same_fingerprint_from_postgresql_and_from_files(
    shop_tables: dict[str, pa.Table], shop_dir: Path, write_postgres: WriteTables
) -> None:
    url = write_postgres(shop_tables)
    for until in (datetime(2024, 7, 1), datetime(2025, 2, 1)):
        assert fingerprint(url, until) == fingerprint(shop_dir, until)


@pytest.mark.parametrize("seed", range(6))
def test_drawn_shops_have_the_same_fingerprint_and_bad_rows(
    shop_tables: dict[str, pa.Table],
    write_postgres: WriteTables,
    tmp_path: Path,
    seed: int,
) -> None:
    random = np.random.default_rng(seed)
    drawn: dict[str, pa.Table] = {}
    for name, table in shop_tables.items():
        if name != "purchases" and random.random() < 0.3:
            continue
        share = random.random() if name != "purchases" else 0.5
        kept = table.filter(pa.array(random.random(len(table)) < share))
        # Nulls, in required columns too: those rows are bad in both.
        for i, column in enumerate(kept.column_names):
            blank = pa.array(random.random(len(kept)) < random.choice([0, 0.02]))
            nulls = pa.nulls(len(kept), kept.column(i).type)
            column_of = pa.compute.if_else(blank, nulls, kept.column(i))
            kept = kept.set_column(i, column, column_of)
        drawn[name] = kept.take(random.permutation(len(kept)))
    folder = write(tmp_path / "shop", **drawn)
    until = datetime(2024, 1, 1) + timedelta(hours=int(random.integers(2000, 9000)))
    found: list[Any] = []
    for data in (folder, Database.parse(write_postgres(drawn))):
        with Tables(data) as tables:
            found.append((tables.quarantined, tables.history(until).fingerprint))
    assert found[0] == found[1]


def test_types_of_postgresql_are_those_of_the_contract(
    write_postgres: WriteTables, execute: Execute, postgres: str, tmp_path: Path
) -> None:
    name = str(UUID(int=5))
    rows = [
        order(n, product_id=name, known_at=NOON + timedelta(days=n)) for n in range(3)
    ]
    customer = {
        "customer_id": "7",
        "birthday": datetime(1970, 5, 1),
        "consent": True,
        "member_tier": "gold",
        "children": 2.0,
        "income": 1234.5,
        "vegan": False,
    }
    folder = write(tmp_path / "shop", purchases=rows, customers=[customer])
    execute(
        "CREATE TYPE tier AS ENUM ('gold', 'basic')",
        "CREATE DOMAIN money_paid AS numeric",
    )
    url = write_postgres(
        {"purchases": rows, "customers": [customer]},
        {
            "purchases.customer_id": "numeric(10,0)",
            "purchases.product_id": "uuid",
            "purchases.order_id": "bigint",
            "purchases.amount": "numeric(12,2)",
            "purchases.quantity": "smallint",
            "purchases.known_at": "timestamptz",
            "customers.customer_id": "char(5)",
            "customers.birthday": "date",
            "customers.member_tier": "tier",
            "customers.children": "real",
            "customers.income": "money_paid",
        },
    )
    # The server's zone must not matter.
    assert fingerprint(f"{url}&options=-c%20TimeZone%3DAsia/Tokyo") == fingerprint(
        folder
    )


@pytest.mark.parametrize("zone", ["Asia/Tokyo", "America/New_York"])
def test_time_with_a_zone_becomes_utc(
    write_postgres: WriteTables, execute: Execute, zone: str
) -> None:
    url = write_postgres({"purchases": [order(0), order(1)]})
    schema = Database.parse(url).schema
    execute(
        f"ALTER TABLE {schema}.purchases ALTER ts TYPE timestamptz "
        f"USING ts AT TIME ZONE '{zone}'"
    )
    hours = 9 if zone == "Asia/Tokyo" else -5
    with Tables(Database.parse(url)) as tables:
        first, _ = tables.first_and_last_purchase()
    assert first == NOON - timedelta(hours=hours)


def test_infinite_time_is_never(write_postgres: WriteTables, execute: Execute) -> None:
    rows = [order(n, known_at=None) for n in range(3)]
    table = pa.Table.from_pylist(rows)
    never = pa.nulls(3, pa.timestamp("us"))
    url = write_postgres({"purchases": table.set_column(6, "known_at", never)})
    schema = Database.parse(url).schema
    execute(
        f"UPDATE {schema}.purchases SET known_at = 'infinity' WHERE order_id = '2'",
        f"UPDATE {schema}.purchases SET known_at = '-infinity' WHERE order_id = '1'",
    )
    with Tables(Database.parse(url)) as tables:
        assert tables.quarantined == {"purchases": 0}
        purchases = tables.history(datetime(2200, 1, 1)).purchases
    assert len(purchases) == 2


def test_only_columns_that_are_read_are_copied(
    write_postgres: WriteTables, tmp_path: Path
) -> None:
    customers = [{"customer_id": "7", "diet": "any", "scan": b"x" * 9}]
    rows = [order(n, secret="x") for n in range(2)]
    url = write_postgres({"purchases": rows, "customers": customers, "other": rows})
    module.copy(Database.parse(url), tmp_path)
    files = {file.name: pq.read_schema(file).names for file in tmp_path.iterdir()}
    assert files == {
        "purchases.parquet": [*order(0)],
        "customers.parquet": ["customer_id", "diet", "scan"],
    }


def test_views_partitions_and_strange_names_are_read(
    write_postgres: WriteTables, execute: Execute
) -> None:
    customers = [{"customer_id": "7", 'In "come", USD': 5.0}]
    url = write_postgres(
        {"lines": [order(n) for n in range(2)], "customers": customers}
    )
    schema = Database.parse(url).schema
    execute(f"CREATE VIEW {schema}.purchases AS SELECT * FROM {schema}.lines")
    execute(
        f"CREATE TABLE {schema}.products (product_id text) PARTITION BY LIST (product_id)",
        f"CREATE TABLE {schema}.one PARTITION OF {schema}.products DEFAULT",
        f"INSERT INTO {schema}.products VALUES ('p')",
    )
    with Tables(Database.parse(url)) as tables:
        assert tables.quarantined == {"purchases": 0, "customers": 0, "products": 0}
        table = tables.table(CUSTOMERS)
    assert table is not None
    assert table['In "come", USD'].to_pylist() == [5.0]


def test_all_tables_are_of_one_moment(
    write_postgres: WriteTables, execute: Execute, monkeypatch: pytest.MonkeyPatch
) -> None:
    tables = {"purchases": [order(0), order(1)], "products": [{"product_id": "p"}]}
    url = write_postgres(tables)
    schema, write_file = Database.parse(url).schema, module._write

    def write_and_add(*arguments: Any) -> None:
        write_file(*arguments)
        execute(f"INSERT INTO {schema}.products VALUES ('late{arguments[-1].stem}')")

    monkeypatch.setattr(module, "_write", write_and_add)
    with Tables(Database.parse(url)) as opened:
        assert opened.scores()[1].rows == 1
    with Tables(Database.parse(url)) as opened:
        assert opened.scores()[1].rows == 3


def test_copy_is_removed_at_the_end_and_after_an_error(
    write_postgres: WriteTables, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    good = write_postgres({"purchases": [order(0), order(1)]})
    with Tables(Database.parse(good)):
        (file,) = tmp_path.rglob("purchases.parquet")
        # Nobody else may read it.
        assert file.parent.parent.stat().st_mode & 0o077 == 0
    refused(write_postgres({"purchases": [order(0, amount="dear")]}))
    assert list(tmp_path.iterdir()) == []


# -- what is refused, each in one line ------------------------------------------


def test_server_that_does_not_answer(postgres: str) -> None:
    assert refused("postgresql://me:s3cret@127.0.0.1:1/shop?schema=s") == (
        "data: expected a PostgreSQL database at "
        "postgresql://me:***@127.0.0.1:1/shop?schema=s, got connection to server at "
        '"127.0.0.1", port 1 failed: Connection refused; check server, name, user and '
        "password",
    )


def test_no_such_database(postgres: str) -> None:
    (told,) = refused(postgres.replace("/postgres?", "/nowhere?"))
    assert 'FATAL: database "nowhere" does not exist; check server, name' in told


def test_no_such_user(postgres: str) -> None:
    (told,) = refused(postgres.replace("postgres:@", "nobody:s3cret@"))
    assert 'FATAL: role "nobody" does not exist; check server' in told
    assert "s3cret" not in told


def test_no_such_option(postgres: str) -> None:
    (told,) = refused(f"{postgres}&colour=red")
    assert 'got invalid URI query parameter: "colour"; check server' in told


def test_no_such_schema(postgres: str) -> None:
    assert refused(f"{postgres}&schema=nowhere") == (
        "data: expected a schema with the tables in postgres.nowhere, got none of that "
        "name; name it with ?schema=NAME, and GRANT USAGE to the user",
    )


def test_no_purchases(write_postgres: WriteTables) -> None:
    url = write_postgres({"products": [{"product_id": "p"}]})
    name = Database.parse(url).name
    assert refused(url) == (
        f"purchases: expected a table, found none in {name}; "
        "add a table or view of that name",
    )


def test_permission_denied_names_tables_and_columns(
    write_postgres: WriteTables, execute: Execute, postgres: str
) -> None:
    tables = {"purchases": [order(0), order(1)], "products": [{"product_id": "p"}]}
    url = write_postgres(tables)
    name = Database.parse(url).name
    schema = Database.parse(url).schema
    user = f"reader_{schema}"
    execute(f"CREATE ROLE {user} LOGIN")
    as_user = url.replace("postgres:@", f"{user}:s3cret@")
    assert refused(as_user) == (
        f"data: expected a schema with the tables in {name}, got permission denied; "
        "name it with ?schema=NAME, and GRANT USAGE to the user",
    )
    execute(
        f"GRANT USAGE ON SCHEMA {schema} TO {user}",
        f"GRANT SELECT (customer_id, product_id, order_id, ts, quantity) "
        f"ON {schema}.purchases TO {user}",
    )
    assert refused(as_user) == (
        "purchases: expected the right to read, got permission denied for amount in "
        f"{name}; GRANT SELECT to the user",
        "products: expected the right to read, got permission denied for product_id in "
        f"{name}; GRANT SELECT to the user",
    )
    execute(f"GRANT SELECT ON ALL TABLES IN SCHEMA {schema} TO {user}")
    assert fingerprint(as_user) == fingerprint(url)


def test_mistyped_columns_are_told_at_once(write_postgres: WriteTables) -> None:
    rows = [order(n, amount="2.50", customer_id=[1, 2]) for n in range(2)]
    url = write_postgres({"purchases": rows}, {"purchases.ts": "text"})
    file = f"{Database.parse(url).name}:purchases"
    assert refused(url) == (
        f"purchases.customer_id: expected text or integer, got text[] in {file}; cast it "
        "in the export",
        f"purchases.ts: expected timestamp, got text in {file}; cast it in the export",
        f"purchases.amount: expected number, got text in {file}; cast it in the export",
    )


def test_view_that_fails_while_it_is_read(
    write_postgres: WriteTables, execute: Execute
) -> None:
    url = write_postgres({"lines": [order(n) for n in range(2)]})
    schema = Database.parse(url).schema
    execute(
        f"CREATE VIEW {schema}.purchases AS SELECT customer_id, product_id, order_id, "
        f"ts, quantity / (quantity - 1) AS quantity, amount FROM {schema}.lines"
    )
    (told,) = refused(url)
    assert told.startswith("data: expected to read postgresql://")
    assert "division by zero" in told and told.endswith("mend it there and run again")


def test_installation_without_the_driver(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "adbc_driver_postgresql.dbapi", None)
    assert refused("postgresql://me@127.0.0.1:1/shop") == (
        "data: expected the package's extra postgres for a PostgreSQL source, got an "
        "installation without; pip install 'repurchase[postgres]'",
    )


def test_disk_that_is_full(
    write_postgres: WriteTables, monkeypatch: pytest.MonkeyPatch
) -> None:
    class Full:
        def __init__(self, *arguments: Any) -> None:
            raise OSError(28, "No space left on device")

    url = write_postgres({"purchases": [order(0), order(1)]})
    monkeypatch.setattr(module.pq, "ParquetWriter", Full)
    (told,) = refused(url)
    assert told.startswith("data: expected room for a copy of purchases in ")
    assert told.endswith("got No space left on device; set TMPDIR to a larger disk")


def test_date_beyond_all_calendars_is_a_far_one(
    write_postgres: WriteTables, execute: Execute
) -> None:
    customers = [{"customer_id": "7", "valid_from": date(2024, 1, 1)}]
    url = write_postgres({"purchases": [order(0), order(1)], "customers": customers})
    schema = Database.parse(url).schema
    execute(f"UPDATE {schema}.customers SET valid_from = '5000000-01-01'")
    with Tables(Database.parse(url)) as tables:
        table = tables.table(CUSTOMERS)
    assert table is not None
    assert table["valid_from"].to_pylist() == [datetime(9999, 12, 31)]
