"""What is set aside, and what names and repeats do to it."""

from __future__ import annotations

from collections.abc import Callable
from datetime import datetime
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from features.assemble import assemble
from features.contracts import ContractError, SettingError
from features.engine import Tables
from features.history import History

ReadHistory = Callable[..., History]
CUTOFF = datetime(2024, 3, 1)
LATER = datetime(2024, 6, 1)
PURCHASES = [
    {
        "customer_id": customer,
        "product_id": "p",
        "ts": datetime(2024, 1, 1 + n),
        "order_id": f"{customer}{n}",
        "quantity": 1.0,
        "amount": 1.0,
    }
    for customer in "ab"
    for n in range(2)
]


def write(folder: Path, table: str, rows: list[dict[str, Any]]) -> None:
    pq.write_table(pa.Table.from_pylist(rows), folder / f"{table}.parquet")


@pytest.mark.parametrize("known", [None, datetime(2024, 2, 1)])
def test_repeated_product_that_comes_later_does_not_oust_the_known_one(
    read_history: ReadHistory, known: datetime | None
) -> None:
    # The later row would come first in the order of the columns.
    old = {"product_id": "p", "name": "milk", "launched_at": known}
    new = {"product_id": "p", "name": "bread", "launched_at": LATER}
    for rows in ([old, new], [new, old]):
        tables = {"purchases": PURCHASES, "products": rows}
        assert list(read_history(tables, CUTOFF).products.names) == ["milk"]


def test_repeated_customer_that_joins_later_does_not_oust_the_known_one(
    read_history: ReadHistory,
) -> None:
    rows = [
        {"customer_id": "a", "joined_at": LATER, "region": "north"},
        {"customer_id": "a", "joined_at": None, "region": "south"},
    ]
    history = read_history({"purchases": PURCHASES, "customers": rows}, CUTOFF)
    assert assemble(history, [CUTOFF])["region"].to_pylist() == ["south", None]


def test_repeated_campaign_that_starts_later_does_not_oust_the_known_one(
    read_history: ReadHistory,
) -> None:
    rows = [
        {"campaign_id": "k", "kind": kind, "starts_at": starts, "ends_at": LATER}
        for kind, starts in (("bundle", LATER), ("gift", datetime(2024, 2, 1)))
    ]
    history = read_history({"purchases": PURCHASES, "campaigns": rows}, CUTOFF)
    assert history.campaigns is not None
    assert history.campaigns["kind"].to_pylist() == ["gift"]


def test_bad_row_does_not_oust_the_good_one_of_its_key(tmp_path: Path) -> None:
    write(tmp_path, "purchases", PURCHASES)
    rows = [
        {"product_id": "p", "name": "a", "price": -1.0},
        {"product_id": "p", "name": "b", "price": 1.0},
    ]
    write(tmp_path, "products", rows)
    with Tables(tmp_path) as tables:
        assert tables.quarantined["products"] == 1
        assert list(tables.history(CUTOFF).products.names) == ["b"]


def test_customers_that_differ_only_in_further_columns_are_told_apart_the_same_way(
    read_history: ReadHistory,
) -> None:
    rows = [{"customer_id": "a", "diet": diet} for diet in ("vegan", "any")]
    for order in (rows, rows[::-1]):
        history = read_history({"purchases": PURCHASES, "customers": order}, CUTOFF)
        assert assemble(history, [CUTOFF])["diet"].to_pylist() == ["any", None]


def test_further_columns_may_be_called_reason_and_unreadable(tmp_path: Path) -> None:
    write(tmp_path, "purchases", PURCHASES)
    rows = [
        {"customer_id": "a", "reason": "price", "unreadable": 3.0, "Reason": "x"},
        {"customer_id": None, "reason": "taste", "unreadable": 4.0, "Reason": "y"},
    ]
    for name in ("Reason", "reason"):
        kept = [{k: v for k, v in row.items() if k != name} for row in rows]
        write(tmp_path, "customers", kept)
        with Tables(tmp_path) as tables:
            assert tables.quarantined == {"purchases": 0, "customers": 1}
            tables.write_quarantine(tmp_path / "bad")
            wide = assemble(tables.history(CUTOFF), [CUTOFF])
        assert wide["unreadable"].to_pylist() == [3.0, None]
        bad = pq.read_table(tmp_path / "bad" / "customers.parquet")
        assert bad["reason"].to_pylist() == ["customer_id: missing"]


@pytest.mark.parametrize(
    "name", ["customer", "Cutoff", "__reason", "__row", "Key", "bucket"]
)
def test_further_column_with_a_name_of_ours_is_refused_in_one_line(
    tmp_path: Path, name: str
) -> None:
    write(tmp_path, "purchases", PURCHASES)
    write(tmp_path, "customers", [{"customer_id": "a", name: "x"}])
    with pytest.raises(ContractError) as refused:
        Tables(tmp_path)
    (told,) = refused.value.lines
    assert told.startswith(f"customers.{name}: expected a name")


def test_folder_that_cannot_be_written_is_refused_in_one_line(tmp_path: Path) -> None:
    write(tmp_path, "purchases", PURCHASES)
    file = tmp_path / "file"
    file.write_text("")
    with (
        Tables(tmp_path) as tables,
        pytest.raises(SettingError, match=r"^quarantine: expected a folder"),
    ):
        tables.write_quarantine(file / "quarantine")


def test_nan_of_an_optional_number_is_null_beside_finite_ones(tmp_path: Path) -> None:
    times = [datetime(2024, 3, 1, 12, minute) for minute in range(3)]
    dwell = {"kind": ["view"] * 3, "dwell_seconds": [1.0, float("nan"), 7.0]}
    browses = pa.table({"customer_id": ["a"] * 3, "ts": times} | dwell)
    lines = {"product_id": ["p"] * 3, "order_id": ["1", "2", "3"]}
    amounts = {"quantity": [1.0] * 3, "amount": [1.0] * 3}
    purchases = pa.table({"customer_id": ["a"] * 3, "ts": times} | lines | amounts)
    pq.write_table(browses, tmp_path / "browses.parquet")
    pq.write_table(purchases, tmp_path / "purchases.parquet")
    with Tables(tmp_path) as tables:
        assert tables.quarantined == {"purchases": 0, "browses": 0}
        history = tables.history(datetime(2024, 4, 1))
    assert history.browses is not None
    found = history.browses.columns["dwell_seconds"]
    assert np.array_equal(found, [1.0, np.nan, 7.0], equal_nan=True)
