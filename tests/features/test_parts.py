"""Histories in parts of customers say what the whole one says."""

from __future__ import annotations

from collections.abc import Callable, Generator
from dataclasses import fields, replace
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from features import engine, parts, slices
from features.assemble import FEATURES, OF_EVENTS, assemble, assemble_parts
from features.contracts import BROWSES, EVENT_TABLES, SettingError
from features.dimension import columns_read
from features.engine import Tables
from features.history import Events, History, Longs
from features.spool import Spool

UNTIL = datetime(2024, 9, 1)
ReadHistory = Callable[..., History]

CUTOFFS = [UNTIL - timedelta(days=days) for days in (90, 30, 1, 0)]
NAMES = [table.name for table in EVENT_TABLES]


@pytest.fixture(scope="module")
def tables(shop_dir: Path) -> Generator[Tables]:
    with Tables(shop_dir) as opened:
        yield opened


@pytest.fixture(scope="module")
def whole(tables: Tables) -> History:
    return tables.history(UNTIL)


def rows_of(events: Events | None, code: int) -> dict[str, bytes]:
    """Every column of one customer, bit by bit."""
    if events is None:
        return {}
    rows = slice(events.offsets[code], events.offsets[code + 1])
    assert (events.customer[rows] == code).all()
    arrays = {"ts": events.ts, "known_at": events.known_at, **events.columns}
    return {name: array[rows].tobytes() for name, array in sorted(arrays.items())}


def by_customer(parts: list[History]) -> dict[str, dict[str, dict[str, bytes]]]:
    """All events by customer and table; each customer in one part only."""
    found: dict[str, dict[str, dict[str, bytes]]] = {}
    for part in parts:
        assert list(part.customers) == sorted(part.customers)
        for code, customer in enumerate(part.customers):
            assert customer not in found
            found[customer] = {
                name: rows_of(getattr(part, name), code) for name in NAMES
            }
    return found


def profiles_of(parts: list[History]) -> list[dict[str, Any]]:
    rows: list[dict[str, Any]] = []
    for part in parts:
        assert part.profiles is not None
        rows += [
            {**row, "customer": part.customers[row["customer"]]}
            for row in part.profiles.to_pylist()
        ]
    return sorted(rows, key=lambda r: (r["customer"], str(r["valid_from"] or "")))


def plain(table: pa.Table) -> dict[str, Any]:
    """Feature rows by cutoff and customer, bit by bit."""
    rows = table.drop_columns("customer")
    rows = rows.sort_by([("cutoff", "ascending"), ("customer_id", "ascending")])
    found: dict[str, Any] = {}
    for name in rows.column_names:
        column = rows.column(name)
        if pa.types.is_floating(column.type):
            filled = column.combine_chunks().fill_null(0.0).to_numpy()
            found[name] = (filled.tobytes(), column.is_null().to_pylist())
        else:
            found[name] = column.to_pylist()
    return found


def features_of(histories: list[History]) -> dict[str, Any]:
    return plain(pa.concat_tables(list(assemble_parts(histories, CUTOFFS))))


@pytest.mark.parametrize("held", [0, 100_000, 10**9])
@pytest.mark.parametrize("customers_per_part", [1, 30, 1000])
def test_parts_of_any_size_in_memory_and_on_disk_are_the_whole_history(
    tables: Tables,
    whole: History,
    monkeypatch: pytest.MonkeyPatch,
    customers_per_part: int,
    held: int,
) -> None:
    monkeypatch.setattr(engine, "HELD_BYTES", held)
    parts = list(tables.parts(UNTIL, customers_per_part=customers_per_part))
    assert len(parts) == -(-len(whole.customers) // customers_per_part)
    assert by_customer(parts) == by_customer([whole])
    assert profiles_of(parts) == profiles_of([whole])
    for part in parts:
        assert (part.until, part.since, part.wordy) == (
            whole.until,
            whole.since,
            whole.wordy,
        )
        assert part.fingerprint == whole.fingerprint
        assert part.campaigns == whole.campaigns
        for name in NAMES:
            assert getattr(part, name).words == getattr(whole, name).words
        for shared in ("products", "promotions"):
            mine, theirs = getattr(part, shared), getattr(whole, shared)
            for field in fields(mine):
                one, other = getattr(mine, field.name), getattr(theirs, field.name)
                np.testing.assert_array_equal(one, other)
    assert features_of(parts) == plain(assemble(whole, CUTOFFS))


def test_a_part_may_have_no_customer(tables: Tables) -> None:
    empty = [
        part
        for part in tables.parts(UNTIL, customers_per_part=1)
        if not len(part.customers)
    ]
    assert empty
    table = assemble(empty[0], CUTOFFS)
    assert table.num_rows == 0
    assert table.column_names[3 : 3 + len(FEATURES)] == [f.name for f in FEATURES]


def test_parts_are_told_by_the_customer_not_by_its_rows(
    shop_dir: Path, tmp_path: Path, tables: Tables
) -> None:
    for file in shop_dir.glob("*.parquet"):
        rows = pq.read_table(file)
        order = np.random.default_rng(3).permutation(len(rows))
        pq.write_table(rows.take(pa.array(order)), tmp_path / file.name)
    expected = tables.parts(UNTIL, customers_per_part=20)
    with Tables(tmp_path, threads=1) as shuffled:
        found = shuffled.parts(UNTIL, customers_per_part=20)
        for part, other in zip(found, expected, strict=True):
            assert list(part.customers) == list(other.customers)
            assert by_customer([part]) == by_customer([other])
            assert part.fingerprint == other.fingerprint


@pytest.mark.parametrize("threads", [2, 5])
def test_slices_of_time_are_the_whole_history(
    shop_dir: Path, whole: History, monkeypatch: pytest.MonkeyPatch, threads: int
) -> None:
    edges: list[list[int]] = []

    def noted(*of: Any) -> list[int]:
        edges.append(slices.edges_of(*of))
        return edges[-1]

    monkeypatch.setattr(slices, "SAMPLE", 50)
    monkeypatch.setattr(parts, "edges_of", noted)
    with Tables(shop_dir, threads=threads) as tables:
        found = list(tables.parts(UNTIL, customers_per_part=30))
    assert len(edges) == len(EVENT_TABLES)
    assert max(map(len, edges)) == threads - 1
    assert by_customer(found) == by_customer([whole])
    assert {part.fingerprint for part in found} == {whole.fingerprint}


def test_a_slice_that_fails_is_told_and_the_tables_stay_usable(
    shop_dir: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    added: list[int] = []

    def add(spool: Spool, words: Longs) -> None:
        added.append(len(words))
        if len(added) == 2:
            raise SettingError("TMPDIR: expected room, got none; free some")

    monkeypatch.setattr(slices, "SAMPLE", 50)
    monkeypatch.setattr(Spool, "add", add)
    with Tables(shop_dir, threads=2) as tables:
        with pytest.raises(SettingError, match="expected room, got none"):
            list(tables.parts(UNTIL))
        # The connection is as good as before.
        assert tables.first_purchase(UNTIL) < UNTIL


def purchase(customer: str, order: int) -> dict[str, Any]:
    return {
        "customer_id": customer,
        "product_id": f"p{order % 2}",
        "order_id": f"{customer}{order}",
        "ts": datetime(2024, 8, 1 + order),
        "quantity": 1.0,
        "amount": 2.5,
    }


@pytest.fixture
def small(tmp_path: Path) -> Path:
    """Three customers; only ``b`` browses, and a fourth who never bought."""
    rows = [purchase(customer, n) for customer in "abc" for n in range(3)]
    browses = [
        {"customer_id": who, "ts": datetime(2024, 8, 9), "kind": "view"} for who in "bd"
    ]
    pq.write_table(pa.Table.from_pylist(rows), tmp_path / "purchases.parquet")
    pq.write_table(pa.Table.from_pylist(browses), tmp_path / "browses.parquet")
    return tmp_path


@pytest.mark.parametrize("customers_per_part", [1, 2, 3])
def test_customers_without_rows_in_a_table_have_none_in_their_part(
    small: Path, customers_per_part: int
) -> None:
    views: dict[str, int] = {}
    features: dict[str, Any] = {}
    with Tables(small) as opened:
        for part in opened.parts(UNTIL, customers_per_part=customers_per_part):
            assert part.browses is not None
            assert part.inquiries is None
            counts = np.diff(part.browses.offsets).tolist()
            views |= dict(zip(part.customers, counts, strict=True))
            table = assemble(part, [UNTIL])
            for row in table.select(["customer_id", "views_count_30d"]).to_pylist():
                features[row["customer_id"]] = row["views_count_30d"]
    assert views == {"a": 0, "b": 1, "c": 0}
    # No null: the dimension has data, of others if not of them.
    assert features == {"a": 0.0, "b": 1.0, "c": 0.0}


def test_a_missing_table_is_none_in_every_part(small: Path) -> None:
    (small / "browses.parquet").unlink()
    with Tables(small) as opened:
        parts = list(opened.parts(UNTIL, customers_per_part=1))
    assert [part.browses for part in parts] == [None] * 3
    assert BROWSES.name not in parts[0].since


def test_only_named_tables_and_columns_are_read(tables: Tables) -> None:
    wanted = {"purchases": {"quantity"}, "browses": {"kind", "product"}}
    for part in tables.parts(UNTIL, wanted, customers_per_part=30):
        assert part.browses is not None
        assert set(part.purchases.columns) == {"quantity"}
        assert set(part.browses.columns) == {"kind", "product"}
        assert set(part.browses.words) == {"kind"}
        assert (part.inquiries, part.touches, part.profiles) == (None, None, None)


def test_features_need_the_columns_they_name_and_no_other(
    tables: Tables, whole: History
) -> None:
    read = columns_read(OF_EVENTS)
    # Of customers the columns are not named, only the table.
    named = read | {"customers": set[str]()}
    parts = list(tables.parts(UNTIL, named, customers_per_part=20))
    for name, columns in read.items():
        assert set(getattr(parts[0], name).columns) == columns
    assert features_of(parts) == plain(assemble(whole, CUTOFFS))


@pytest.mark.parametrize(
    ("table", "column"),
    sorted((t, c) for t, columns in columns_read(OF_EVENTS).items() for c in columns),
)
def test_every_column_that_is_named_is_read(
    whole: History, table: str, column: str
) -> None:
    events = getattr(whole, table)
    kept = {name: c for name, c in events.columns.items() if name != column}
    without = replace(whole, **{table: replace(events, columns=kept)})
    with pytest.raises((KeyError, ValueError), match=column):
        assemble(without, [UNTIL])


def every_seventh(names: list[str]) -> list[str]:
    return names[::7]


@pytest.mark.parametrize(
    "chosen", [every_seventh, lambda names: [names[-1]], lambda names: names]
)
@pytest.mark.parametrize("dimension", OF_EVENTS, ids=lambda d: d.name)
def test_some_features_of_a_dimension_are_those_of_all(
    tables: Tables, whole: History, dimension: Any, chosen: Callable[..., list[str]]
) -> None:
    names = chosen([feature.name for feature in dimension.features])
    some = dimension.only(names)
    parts = tables.parts(UNTIL, columns_read([some]), customers_per_part=40)
    found = plain(pa.concat_tables(list(assemble_parts(parts, CUTOFFS, [some]))))
    expected = plain(assemble(whole, CUTOFFS))
    assert set(names) <= set(found)
    for name in (feature.name for feature in some.features):
        assert found[name] == expected[name], name


def test_words_may_hold_quotes_of_any_kind(small: Path) -> None:
    channels = ["Bob's", 'a "b"', "both ' and \"", "back\\slash"]
    rows = pq.read_table(small / "purchases.parquet").to_pylist()
    told = [{**row, "channel": channels[i % 4]} for i, row in enumerate(rows)]
    pq.write_table(pa.Table.from_pylist(told), small / "purchases.parquet")
    with Tables(small) as opened:
        events = opened.history(UNTIL).purchases
    assert events.words["channel"] == tuple(sorted(channels))
    assert (events.columns["channel"] >= 0).all()


def test_fingerprint_is_of_all_columns_whatever_they_are_called(
    shop_tables: dict[str, pa.Table], read_history: ReadHistory
) -> None:
    customers = shop_tables["customers"]
    n = customers.num_rows
    prints = {
        read_history(
            {
                "purchases": shop_tables["purchases"],
                "customers": customers.append_column("t", pa.array(np.ones(n)))
                .append_column("hash", pa.array(np.full(n, value)))
                .append_column("row", pa.array(np.ones(n))),
            },
            UNTIL,
        ).fingerprint
        for value in (1.0, 2.0)
    }
    assert len(prints) == 2
