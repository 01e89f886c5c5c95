"""Reading input: what is refused, what is set aside, what is known when."""

from __future__ import annotations

from collections.abc import Callable
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

import duckdb
import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

import features
from features.contracts import PURCHASES, ContractError
from features.engine import Tables

US = timedelta(microseconds=1)
NOON = datetime(2024, 3, 1, 12)


def line(
    customer: Any = "a", order: str = "1", ts: Any = NOON, **more: Any
) -> dict[str, Any]:
    return {
        "customer_id": customer,
        "product_id": "p",
        "order_id": order,
        "ts": ts,
        "quantity": 1.0,
        "amount": 2.5,
        **more,
    }


def two_orders() -> list[dict[str, Any]]:
    return [line(order="1"), line(order="2", ts=NOON + timedelta(days=3))]


def write(folder: Path, rows: list[dict[str, Any]], table: str = "purchases") -> Path:
    folder.mkdir(parents=True, exist_ok=True)
    pq.write_table(pa.Table.from_pylist(rows), folder / f"{table}.parquet")
    return folder


def read(folder: Path, until: datetime = datetime(2024, 4, 1)) -> Any:
    with Tables(folder) as tables:
        return tables.history(until)


def test_the_package_is_this_checkout() -> None:
    root = Path(__file__).parents[2]
    assert Path(str(features.__file__)).is_relative_to(root / "features")


HEADER = "customer_id,product_id,ts,order_id,quantity,amount\n"
ROW = "a,p,2024-03-01 12:00:00,1,1,2.5\n"


def test_cutoff_before_the_first_purchase_is_refused(tmp_path: Path) -> None:
    write(tmp_path, two_orders())
    with pytest.raises(
        ContractError, match="expected a moment after the first purchase"
    ):
        read(tmp_path, NOON)


def test_return_is_no_second_order(tmp_path: Path) -> None:
    write(tmp_path, [line("a", "1"), line("a", "2", quantity=-1.0)])
    with pytest.raises(ContractError, match="at least one customer with two orders"):
        read(tmp_path)


def test_returns_alone_are_no_purchases(tmp_path: Path) -> None:
    write(tmp_path, [line("a", "1", quantity=-1.0), line("a", "2", quantity=-1.0)])
    with pytest.raises(ContractError, match=r"^purchases.quantity: .* only returns"):
        read(tmp_path)


def test_first_and_last_purchase_are_no_returns(tmp_path: Path) -> None:
    week = timedelta(days=7)
    returned = [line(order=str(n), ts=NOON + n * week, quantity=-1.0) for n in (-1, 3)]
    write(tmp_path, [*two_orders(), *returned])
    with Tables(tmp_path) as tables:
        found = tables.first_and_last_purchase()
    assert found == (NOON, NOON + timedelta(days=3))


def test_bad_rows_go_to_quarantine_with_a_reason(tmp_path: Path) -> None:
    rows = [
        *two_orders(),
        line(customer=None, order="3"),
        line(order="4", amount=float("inf")),
        line(order="5", amount=None),
    ]
    write(tmp_path, rows)
    write(
        tmp_path,
        [
            {"customer_id": "a", "ts": NOON, "kind": "view", "dwell_seconds": -1.0},
            {"customer_id": "a", "ts": NOON, "kind": "stare", "dwell_seconds": 1.0},
            {"customer_id": "a", "ts": NOON, "kind": "cart", "dwell_seconds": 1.0},
        ],
        "browses",
    )
    with Tables(tmp_path) as tables:
        tables.write_quarantine(tmp_path / "quarantine")
        history = tables.history(datetime(2024, 4, 1))
        assert tables.quarantined == {"purchases": 3, "browses": 2}
    assert len(history.purchases) == 2
    assert history.browses is not None and len(history.browses) == 1
    reasons = pq.read_table(tmp_path / "quarantine" / "purchases.parquet")["reason"]
    assert sorted(reasons.to_pylist()) == [
        "amount: missing",
        "amount: not a finite number",
        "customer_id: missing",
    ]
    browses = pq.read_table(tmp_path / "quarantine" / "browses.parquet")["reason"]
    assert sorted(browses.to_pylist()) == [
        "dwell_seconds: below 0",
        "kind: not one of view, search, cart, favourite",
    ]


def test_repeated_product_is_set_aside_and_a_stale_quarantine_removed(
    tmp_path: Path,
) -> None:
    write(tmp_path, two_orders())
    write(
        tmp_path,
        [{"product_id": "p", "name": "one"}, {"product_id": "p", "name": "two"}],
        "products",
    )
    with Tables(tmp_path) as tables:
        tables.write_quarantine(tmp_path / "quarantine")
        assert list(tables.history(datetime(2024, 4, 1)).products.names) == ["one"]
    assert (tmp_path / "quarantine" / "products.parquet").exists()
    write(tmp_path, [{"product_id": "p", "name": "one"}], "products")
    with Tables(tmp_path) as tables:
        tables.write_quarantine(tmp_path / "quarantine")
    assert not (tmp_path / "quarantine" / "products.parquet").exists()


def test_one_unreadable_value_in_a_long_csv_is_a_bad_row(tmp_path: Path) -> None:
    good = "".join(f"a,p,2024-03-01 12:00:00,{i},1,2.5\n" for i in range(150))
    (tmp_path / "purchases.csv").write_text(HEADER + good + ROW.replace("2.5", "cheap"))
    with Tables(tmp_path) as tables:
        assert tables.quarantined == {"purchases": 1}


def test_integer_ids_and_text_ids_are_the_same(tmp_path: Path) -> None:
    as_text = read(write(tmp_path / "text", [line("7", "1"), line("7", "2")]))
    as_number = read(write(tmp_path / "number", [line(7, "1"), line(7, "2")]))
    assert list(as_text.customers) == list(as_number.customers) == ["7"]


def test_csv_keeps_leading_zeros_of_ids(tmp_path: Path) -> None:
    rows = "007,p,2024-03-01 12:00:00,1,1,2.5\n007,p,2024-03-02 12:00:00,2,1,2.5\n"
    (tmp_path / "purchases.csv").write_text(HEADER + rows)
    assert list(read(tmp_path).customers) == ["007"]


def test_zoned_times_become_utc(tmp_path: Path) -> None:
    zoned = pa.array(
        [NOON, NOON + timedelta(days=1)], pa.timestamp("us", "America/New_York")
    )
    table = pa.Table.from_pylist([line(order="1"), line(order="2")])
    pq.write_table(table.set_column(3, "ts", zoned), tmp_path / "purchases.parquet")
    first = int(read(tmp_path).purchases.ts[0])
    assert first == int((NOON - datetime(1970, 1, 1)) / US)  # Arrow holds UTC


def test_duckdb_file_reads_like_a_folder(tmp_path: Path) -> None:
    folder = write(tmp_path / "folder", two_orders())
    file = tmp_path / "shop.duckdb"
    with duckdb.connect(str(file)) as db:
        db.execute(
            f"CREATE TABLE purchases AS FROM read_parquet('{folder}/purchases.parquet')"
        )
    assert read(file).fingerprint == read(folder).fingerprint


@pytest.mark.parametrize(
    ("ts", "known_at", "seen"),
    [
        (NOON - US, None, True),
        (NOON, None, False),
        (NOON - timedelta(days=9), NOON - US, True),
        (NOON - timedelta(days=9), NOON, False),
    ],
)
def test_only_rows_that_happened_and_were_known_before_the_cutoff_are_read(
    tmp_path: Path, ts: datetime, known_at: datetime | None, *, seen: bool
) -> None:
    early = [line("a", "1", NOON - timedelta(days=30), known_at=None)]
    early += [line("a", "2", NOON - timedelta(days=20), known_at=None)]
    write(tmp_path, [*early, line("b", "3", ts, known_at=known_at)])
    assert list(read(tmp_path, NOON).customers) == (["a", "b"] if seen else ["a"])


def test_plan_for_days_after_the_cutoff_is_read_once_it_is_known(
    tmp_path: Path,
) -> None:
    write(tmp_path, two_orders())
    later = NOON + timedelta(days=40)
    plans = [
        {
            "product_id": "p",
            "starts_at": later,
            "ends_at": later,
            "kind": "mailer",
            "known_at": known,
        }
        for known in (NOON - US, NOON + timedelta(days=8))
    ]
    write(tmp_path, plans, "promotions")
    promotions = read(tmp_path, NOON + timedelta(days=7)).promotions
    assert len(promotions.product) == 1
    assert promotions.known_at[0] < promotions.starts[0]


def test_row_order_does_not_matter(shop_dir: Path, tmp_path: Path) -> None:
    random = np.random.default_rng(0)
    for file in shop_dir.glob("*.parquet"):
        table = pq.read_table(file)
        pq.write_table(table.take(random.permutation(len(table))), tmp_path / file.name)
    until = datetime(2024, 10, 1)
    assert read(tmp_path, until).fingerprint == read(shop_dir, until).fingerprint


def test_rows_at_or_after_the_cutoff_change_no_bit_of_the_history(
    shop_dir: Path, tmp_path: Path
) -> None:
    until = datetime(2024, 10, 1)
    with duckdb.connect() as db:
        for file in shop_dir.glob("*.parquet"):
            time = {
                "customers": "greatest(valid_from, joined_at)",
                "products": "launched_at",
                "campaigns": "starts_at",
                "promotions": "coalesce(known_at, starts_at)",
                "picks": "chosen_at",
            }.get(file.stem, "ts")
            db.execute(
                f"COPY (SELECT * FROM read_parquet('{file}') WHERE coalesce({time} < ?, true)) "
                f"TO '{tmp_path / file.name}'",
                [until],
            )
    full, cut = read(shop_dir, until), read(tmp_path, until)
    assert len(pq.read_table(tmp_path / "purchases.parquet")) < len(
        pq.read_table(shop_dir / "purchases.parquet")
    )
    assert full.fingerprint == cut.fingerprint


APRIL = datetime(2024, 4, 1)


@pytest.mark.parametrize(
    "read_rows",
    [
        lambda tables: tables.history(APRIL),
        lambda tables: list(tables.parts(APRIL)),
        lambda tables: tables.first_purchase(APRIL),
        lambda tables: tables.first_and_last_purchase(),
        lambda tables: tables.purchases_between(NOON, APRIL),
        lambda tables: tables.table(PURCHASES),
        lambda tables: tables.digest(),
    ],
    ids=["history", "parts", "first", "first and last", "between", "table", "digest"],
)
@pytest.mark.parametrize(
    "change", ["truncated", "another schema", "other rows", "gone"]
)
def test_file_that_changes_between_check_and_read_is_one_line(
    tmp_path: Path, change: str, read_rows: Callable[[Tables], Any]
) -> None:
    file = write(tmp_path, two_orders() * 3) / "purchases.parquet"
    with Tables(tmp_path) as tables:
        if change == "truncated":
            file.write_bytes(file.read_bytes()[: file.stat().st_size // 2])
        elif change == "another schema":
            pq.write_table(pa.table({"something": ["else"]}), file)
        elif change == "other rows":
            write(tmp_path, two_orders())
        else:
            file.unlink()
        with pytest.raises(ContractError) as told:
            read_rows(tables)
    assert told.value.lines == (
        "data: expected files that stay as they are while they are read, got another "
        f"purchases.parquet in {tmp_path}; run again once it is written",
    )


def test_file_that_changes_after_the_first_part_is_told_at_the_end(
    tmp_path: Path,
) -> None:
    write(tmp_path, [*two_orders(), line("b", "3")])
    with Tables(tmp_path) as tables:
        parts = tables.parts(APRIL, customers_per_part=1)
        next(parts)
        write(tmp_path, two_orders())
        with pytest.raises(ContractError, match=r"got another purchases\.parquet"):
            list(parts)
