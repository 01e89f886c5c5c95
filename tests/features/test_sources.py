"""Columns are read in the contract's types, from files, tables and views."""

from __future__ import annotations

from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

import duckdb
import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from features.contracts import CUSTOMERS, ContractError, SettingError
from features.engine import Tables
from features.sources import reading

NOON = datetime(2024, 3, 1, 12)
HEADER = "customer_id,product_id,ts,order_id,quantity,amount\n"
ORDERS = "a,p,2024-03-01 12:00:00,1,1,2.5\na,p,2024-03-02 12:00:00,2,1,2.5\n"


def times(folder: Path) -> list[datetime]:
    with Tables(folder) as tables:
        assert tables.quarantined == {"purchases": 0}
        ts = tables.history(datetime(2024, 4, 1)).purchases.ts
    return [datetime(1970, 1, 1) + timedelta(microseconds=int(us)) for us in ts]


@pytest.mark.parametrize(
    ("written", "utc"),
    [
        ("2024-03-01T20:00:00+08:00", NOON),
        ("2024-03-01 07:00:00-05", NOON),
        ("2024-03-01T12:00:00Z", NOON),
        ("2024-03-01 12:00:00", NOON),
        ("2024-03-01", datetime(2024, 3, 1)),
        ("2024-03-01 12:00:00 UTC", NOON),
        ("2024-03-01T12:00:00.000001", NOON + timedelta(microseconds=1)),
    ],
)
def test_offset_of_a_csv_time_counts(
    tmp_path: Path, written: str, utc: datetime
) -> None:
    rows = f"a,p,{written},1,1,2.5\na,p,2024-03-20,2,1,2.5\n"
    (tmp_path / "purchases.csv").write_text(HEADER + rows)
    assert times(tmp_path) == [utc, datetime(2024, 3, 20)]


@pytest.mark.parametrize("written", ["infinity", "2024-03-01 12:00 Asia/Shanghai"])
def test_csv_time_that_is_no_moment_or_names_a_zone_is_a_bad_row(
    tmp_path: Path, written: str
) -> None:
    rows = "".join(f"a,p,2024-03-01T12:00:00,{order},1,2.5\n" for order in range(150))
    (tmp_path / "purchases.csv").write_text(f"{HEADER}a,p,{written},x,1,2.5\n{rows}")
    with Tables(tmp_path) as tables:
        assert tables.quarantined == {"purchases": 1}
        assert tables.first_and_last_purchase() == (NOON, NOON)


def test_nan_in_an_optional_number_is_null_and_in_a_required_one_a_bad_row(
    tmp_path: Path,
) -> None:
    lines: list[dict[str, Any]] = [
        {
            "customer_id": "a",
            "product_id": "p",
            "ts": NOON + timedelta(days=order),
            "order_id": str(order),
            "quantity": 1.0,
            "amount": amount,
            "list_amount": listed,
        }
        for order, (amount, listed) in enumerate(
            [(1.0, np.nan), (2.0, 3.0), (np.nan, 4.0), (5.0, np.inf)]
        )
    ]
    pq.write_table(pa.Table.from_pylist(lines), tmp_path / "purchases.parquet")
    with Tables(tmp_path) as tables:
        assert tables.quarantined == {"purchases": 2}
        purchases = tables.history(datetime(2024, 4, 1)).purchases
    listed = purchases.columns["list_amount"]
    assert np.array_equal(np.sort(listed), [3.0, np.nan], equal_nan=True)


def test_views_of_a_duckdb_file_are_tables(tmp_path: Path) -> None:
    (tmp_path / "purchases.csv").write_text(HEADER + ORDERS)
    file = tmp_path / "shop.duckdb"
    with duckdb.connect(str(file)) as db:
        db.execute(
            f"CREATE TABLE lines AS FROM read_csv('{tmp_path / 'purchases.csv'}')"
        )
        db.execute("CREATE VIEW purchases AS SELECT * FROM lines")
    assert times(file) == [NOON, NOON + timedelta(days=1)]


def test_duckdb_file_without_purchases_says_what_to_add(tmp_path: Path) -> None:
    file = tmp_path / "shop.duckdb"
    with duckdb.connect(str(file)) as db:
        db.execute("CREATE TABLE lines AS SELECT 1 AS a")
    with pytest.raises(ContractError, match="add a table or view of that name"):
        Tables(file)


def test_further_columns_of_a_csv_are_numbers_flags_times_or_text(
    tmp_path: Path,
) -> None:
    (tmp_path / "purchases.csv").write_text(
        HEADER + ORDERS + ORDERS.replace("a,", "b,") + ORDERS.replace("a,", "c,")
    )
    (tmp_path / "customers.csv").write_text(
        'customer_id,"Income, USD",vegan,postcode,seen,diet,ratio,nothing,it\'s\n'
        "a, 52000 ,true,01234,2024-01-05,any,nan,,1\n"
        "b,1.5e3,false,20095,2024-01-06,7,0.5,,2\n"
        "c,,,,,,,,\n"
    )
    with Tables(tmp_path) as tables:
        profiles = tables.history(datetime(2024, 4, 1)).profiles
    assert profiles is not None
    found = {
        name: profiles[name].to_pylist()
        for name in profiles.column_names
        if name not in {"customer", *(column.name for column in CUSTOMERS.columns)}
    }
    assert found == {
        "Income, USD": [52000.0, 1500.0, None],
        "vegan": [True, False, None],
        "postcode": ["01234", "20095", None],
        "seen": [datetime(2024, 1, 5), datetime(2024, 1, 6), None],
        "diet": ["any", "7", None],
        "ratio": [None, 0.5, None],
        "nothing": [None, None, None],
        "it's": [1.0, 2.0, None],
    }


def damaged(folder: Path) -> Path:
    """A column that no rule looks at is damaged, behind a good footer."""
    rows = [
        {
            "customer_id": "a",
            "product_id": "p",
            "ts": NOON,
            "order_id": str(n),
            "quantity": 1.0,
            "amount": 1.0,
            "channel": f"web {n * 7919}",
        }
        for n in range(3000)
    ]
    file = folder / "purchases.parquet"
    pq.write_table(pa.Table.from_pylist(rows), file)
    group = pq.ParquetFile(file).metadata.row_group(0)
    (column,) = (
        column
        for column in map(group.column, range(group.num_columns))
        if column.path_in_schema == "channel"
    )
    start, content = column.dictionary_page_offset, bytearray(file.read_bytes())
    for at in range(start, start + column.total_compressed_size, 3):
        content[at] ^= 0xFF
    file.write_bytes(content)
    return folder


def test_damage_that_shows_only_while_a_column_is_read_is_one_line(
    tmp_path: Path,
) -> None:
    with Tables(damaged(tmp_path)) as tables, pytest.raises(ContractError) as refused:
        tables.scores()
    (told,) = refused.value.lines
    assert told.startswith(
        "purchases: expected a readable file, got an empty or damaged one in "
        "purchases.parquet ("
    )
    assert told.endswith("); export it again")
    with Tables(tmp_path) as tables, pytest.raises(ContractError) as refused:
        tables.history(datetime(2024, 4, 1))
    (told,) = refused.value.lines
    assert told.startswith(
        "the tables: expected a readable file, got an empty or damaged one in "
        f"{tmp_path} ("
    )
    with Tables(tmp_path) as tables, pytest.raises(ContractError):
        list(tables.parts(datetime(2024, 4, 1)))


def test_memory_that_runs_out_while_rows_are_read_is_a_setting() -> None:
    with (
        duckdb.connect(config={"memory_limit": "10MB", "threads": 1}) as db,
        pytest.raises(SettingError) as refused,
        reading("browses", "browses.parquet"),
    ):
        db.execute("SET max_temp_directory_size = '0KB'")
        db.execute(
            "SELECT count(DISTINCT md5(range::VARCHAR)) FROM range(3000000)"
        ).fetchall()
    told = str(refused.value)
    assert told.startswith(
        "engine.memory_limit: expected enough to read browses in browses.parquet, got "
        "too little ("
    )
    assert told.endswith("); raise it")
    assert "\n" not in told


@pytest.mark.parametrize("why", ["No space left on device", "File too large"])
def test_disk_that_is_full_while_rows_are_sorted_is_no_damaged_file(why: str) -> None:
    with pytest.raises(SettingError) as refused, reading("browses", "b.parquet"):
        raise duckdb.IOException(
            f'IO Error: Could not write file "/spill/a.tmp": {why}'
        )
    assert str(refused.value) == (
        f"TMPDIR: expected room to sort browses of b.parquet in /spill, got {why.lower()}; "
        "free some, name a folder on a larger disk, or raise engine.memory_limit"
    )


def test_fault_of_our_own_sql_keeps_its_traceback() -> None:
    with (
        duckdb.connect() as db,
        pytest.raises(duckdb.BinderException),
        reading("browses", "b.parquet"),
    ):
        db.execute("SELECT nothing")
