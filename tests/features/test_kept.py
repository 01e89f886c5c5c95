"""A few customers of what was kept, with what came later, have a build's features."""

from __future__ import annotations

from dataclasses import replace
from datetime import datetime, timedelta

import numpy as np
import pyarrow as pa
import pytest

from features.assemble import OF_EVENTS, assemble
from features.contracts import CUSTOMERS, EVENT_TABLES, PURCHASES, TABLES
from features.history import History
from features.kept import Kept
from features.kept_events import FreshEvent, narrow
from features.snapshot import to_us

EVENTS = tuple(f.name for dimension in OF_EVENTS for f in dimension.features)


def product_row(history: History):
    rows = {one: row for row, one in enumerate(history.products.ids)}
    return rows.get


def later(tables, since: datetime, until: datetime) -> dict[str, list[FreshEvent]]:
    """Rows that came to be known from one moment to before another, by customer."""
    found: dict[str, list[FreshEvent]] = {}
    for table in EVENT_TABLES:
        for row in tables[table.name].to_pylist():
            ts = row["ts"]
            known = row.get("known_at") or ts
            if since <= max(ts, known) < until:
                one = FreshEvent(table, to_us(ts), to_us(known), row)
                found.setdefault(row["customer_id"], []).append(one)
    return found


def texts(column: pa.ChunkedArray) -> pa.ChunkedArray:
    is_text = pa.types.is_dictionary(column.type)
    return column.cast(pa.string()) if is_text else column


@pytest.mark.parametrize(
    ("cutoff", "days"),
    [
        (datetime(2024, 3, 1), 1),
        (datetime(2024, 6, 7, 12), 30),
        (datetime(2024, 9, 1), 90),
    ],
)
def test_kept_and_later_events_are_a_build_of_the_later_moment(
    shop_tables, read_history, cutoff, days
):
    """One row in ten is known up to 20 days late, so lines of an order come apart."""
    until = cutoff + timedelta(days=days)
    history = read_history(shop_tables, cutoff)
    then = read_history(shop_tables, until)
    batch = assemble(then, [until])
    # Campaigns that began since are of no kind until the next build.
    kept = replace(Kept.of(history), campaigns=then.campaigns)
    fresh, old = later(shop_tables, cutoff, until), list(history.customers)
    ids = [one for one in batch["customer_id"].to_pylist() if one in old]
    assert sum(one in fresh for one in ids) > 10
    found = assemble(
        kept.history(
            ids,
            [old.index(one) for one in ids],
            [fresh.get(one, []) for one in ids],
            history.products,
            product_row(history),
            until,
        ),
        [until],
    )
    every = batch["customer_id"].to_pylist()
    batch = batch.take(pa.array([every.index(one) for one in ids]))
    for name in EVENTS:
        assert found[name].is_null().equals(batch[name].is_null()), name
        # Lines of one moment may stand in another order: sums differ in the last bit.
        np.testing.assert_allclose(
            found[name].fill_null(0).to_numpy(),
            batch[name].fill_null(0).to_numpy(),
            rtol=1e-9,
            atol=1e-9,
            err_msg=name,
        )


def test_without_later_events_it_is_the_history_to_the_bit(shop_tables, read_history):
    until = datetime(2024, 8, 1)
    history = read_history(shop_tables, until)
    batch = assemble(history, [until])
    spine = batch["customer"].to_pylist()
    rows = [spine[5], spine[2], spine[-1]]
    some = Kept.of(history).history(
        [history.customers[row] for row in rows],
        rows,
        [[]] * 3,
        history.products,
        product_row(history),
        until,
    )
    found = assemble(some, [until])
    batch = batch.take(pa.array([5, 2, len(spine) - 1]))
    for name in set(batch.column_names) - {"customer"}:
        assert texts(found[name]).equals(texts(batch[name])), name


def test_what_no_feature_reads_of_a_profile_is_not_kept(read_history):
    rows = [
        {
            "customer_id": f"c{n}",
            "segment": "ab"[n % 2],
            "email": f"c{n}@shop.example",
            "card_made_at": T,
        }
        for n in range(400)
    ]
    lines = purchases(
        ("c0", "p", T - HOUR, "o", 1.0, 1.0),
        *((f"c{n}", "p", T, f"o{n}", 1.0, 1.0) for n in range(400)),
    )
    history = read_history({"purchases": lines, "customers": rows}, T + HOUR)
    kept = Kept.of(history).profiles
    assert kept is not None and "segment" in kept.column_names
    assert not {"email", "card_made_at"} & {*kept.column_names}


def purchases(*rows: tuple) -> list[dict]:
    names = ("customer_id", "product_id", "ts", "order_id", "quantity", "amount")
    return [dict(zip(names, row, strict=True)) for row in rows]


T = datetime(2024, 5, 1)
HOUR = timedelta(hours=1)


@pytest.fixture
def small(read_history) -> History:
    tables = {
        "purchases": purchases(
            ("a", "p1", T - HOUR, "o1", 1, 2.0),
            ("a", "p2", T - HOUR, "o1", 2, 0.1),
            ("b", "p1", T - 9 * HOUR, "o2", 1, 3.5),
            ("c", "p1", T - 9 * HOUR, "o4", 1, 1.0),
            ("c", "p1", T - 8 * HOUR, "o5", 1, 1.0),
        )
    }
    return read_history(tables, T)


def bought(product: str, order: str, ts: datetime, quantity: float = 1) -> FreshEvent:
    values = {"product_id": product, "order_id": order, "quantity": quantity}
    return FreshEvent(PURCHASES, to_us(ts), to_us(T + HOUR), {**values, "amount": 1.0})


def features(history: History, rows, fresh) -> dict[str, list]:
    until = T + 2 * HOUR
    some = Kept.of(history).history(
        [f"c{n}" for n in range(len(rows))],
        rows,
        fresh,
        history.products,
        product_row(history),
        until,
    )
    return assemble(some, [until]).to_pydict()


def test_a_line_of_the_same_moment_is_of_the_same_order(small):
    found = features(
        small,
        [0, 0, 1],
        [
            [bought("p9", "o1", T - HOUR)],
            [bought("p9", "o3", T), bought("p1", "o3", T)],
            [],
        ],
    )
    assert found["orders_count"] == [1, 2, 1]
    assert found["lines_count"] == [3, 4, 1]


def test_products_that_nobody_knew_are_products_all_the_same(small):
    events = [
        bought("new", "o3", T),
        bought("newer", "o4", T),
        bought("new", "o5", T + HOUR),
    ]
    found = features(small, [0, None], [events, events])
    assert found["products_distinct"] == [4, 2]
    assert found["orders_count"] == [4, 3]
    assert found["spend_sum"] == [2.1 + 3.0, 3.0]
    assert found["repeats_count"] == [1, 1]


def test_a_table_without_a_row_begins_with_the_first_event(small):
    browses = next(t for t in TABLES if t.name == "browses")
    look = FreshEvent(browses, to_us(T), to_us(T), {"kind": "view", "product_id": "p1"})
    found = features(small, [0, 1], [[look, look], []])
    assert found["views_count_7d"] == [2, 0]
    assert features(small, [1], [[]])["views_count_7d"] == [None]
    assert CUSTOMERS.name not in Kept.of(small).since


@pytest.mark.parametrize(
    ("values", "dtype"),
    [
        ([1.0, np.nan, 3.0], np.float16),
        ([2049.0], np.float32),
        ([0.1], np.float64),
        ([70000.5], np.float32),
        ([], np.float16),
    ],
)
def test_numbers_take_the_least_room_that_holds_them_exactly(values, dtype):
    kept = narrow(np.array(values, np.float64))
    assert kept.dtype == dtype
    np.testing.assert_array_equal(kept.astype(np.float64), values)


@pytest.mark.parametrize(
    ("values", "dtype"),
    [([-1, 127], np.int8), ([128], np.int16), ([-1, 32768], np.int32), ([], np.int8)],
)
def test_codes_take_the_least_room(values, dtype):
    kept = narrow(np.array(values, np.int32))
    assert kept.dtype == dtype and kept.tolist() == values


def test_what_an_engine_left_under_a_null_is_not_kept(
    shop_tables, read_history
) -> None:
    history = read_history(shop_tables, datetime(2024, 6, 1))
    campaigns = history.campaigns
    assert campaigns is not None
    size = len(campaigns)
    kept: list[bytes] = []
    for left in (0.0, 7.5):
        nothing = pa.array(np.full(size, left), mask=np.ones(size, np.bool_))
        place = campaigns.column_names.index("cost")
        odd = replace(history, campaigns=campaigns.set_column(place, "cost", nothing))
        table = Kept.of(odd).campaigns
        assert table is not None
        sink = pa.BufferOutputStream()
        with pa.ipc.new_file(sink, table.schema) as file:
            file.write_table(table)
        kept.append(sink.getvalue().to_pybytes())
    assert kept[0] == kept[1]
