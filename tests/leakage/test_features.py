"""What came, or came to be known, at or after a cutoff changes no bit.

Every test reads a history that goes on after the cutoff, so that the filter of
the fold is on trial and not the reader's.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import replace
from datetime import datetime, timedelta
from itertools import count
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from features import engine
from features.assemble import FEATURES, OF_EVENTS, assemble, assemble_parts
from features.dimension import Stream
from features.history import Events, History

Rows = list[dict[str, Any]]
Tables = Mapping[str, pa.Table]
ReadHistory = Callable[[Mapping[str, Any], datetime], History]

CUTOFF = datetime(2024, 7, 1)
CUTOFFS = (datetime(2024, 4, 1), datetime(2024, 6, 3, 12), CUTOFF)
LATER = CUTOFF + timedelta(days=60)
US = timedelta(microseconds=1)

TABLE_OF = {
    "purchase": "purchases",
    "browse": "browses",
    "inquiry": "inquiries",
    "feedback": "feedback",
    "campaign": "touches",
    "profile": "customers",
}
DIMENSIONS = pytest.mark.parametrize("dimension", TABLE_OF)


def bits(table: pa.Table) -> dict[str, tuple[Any, ...]]:
    """Every column bit by bit, with texts for codes and without the codes."""
    found: dict[str, tuple[Any, ...]] = {}
    for name in table.column_names:
        column = table.column(name).combine_chunks()
        if pa.types.is_floating(column.type):
            values = column.fill_null(0.0).to_numpy().tobytes()
            found[name] = (values, tuple(column.is_null().to_pylist()))
        elif name != "customer":
            found[name] = tuple(column.to_pylist())
    return found


def is_future(row: Mapping[str, Any]) -> bool:
    """The row came, or was known, at or after the cutoff."""
    if "valid_from" in row:
        moments = (row["valid_from"], row["joined_at"])
    else:
        moments = (row["ts"], row["known_at"])
    return any(moment is not None and moment >= CUTOFF for moment in moments)


def deleted(rows: Rows) -> Rows:
    return [row for row in rows if not is_future(row)]


def altered(rows: Rows) -> Rows:
    """Future rows get the other columns of another future row."""
    future = [row for row in rows if is_future(row)]
    order = np.random.default_rng(1).permutation(len(future))
    keys = ("customer_id", "ts", "known_at", "valid_from", "joined_at")
    changed = [
        {**future[other], **{k: row[k] for k in keys if k in row}}
        for row, other in zip(future, order, strict=True)
    ]
    return deleted(rows) + changed


def appended(rows: Rows) -> Rows:
    """Copies of known rows at the cutoff, after it, and known only then."""
    known = deleted(rows)[::3]
    if "valid_from" in known[0]:
        at = [{"valid_from": CUTOFF + i * US, "joined_at": None} for i in range(2)]
        at.append({"valid_from": CUTOFF - timedelta(days=40), "joined_at": CUTOFF})
        changes = {"member_tier": "platinum", "points_balance": 1e6}
        new = [{**r, **changes, **a} for r in known[::3] for a in at]
        # One row per customer and valid_from, as the contract wants it.
        kept = {(r["customer_id"], r["valid_from"]): r for r in new}
        held = {(r["customer_id"], r["valid_from"]) for r in rows}
        return rows + [row for key, row in kept.items() if key not in held]
    at = [
        {"ts": CUTOFF, "known_at": None},
        {"ts": CUTOFF + timedelta(days=3), "known_at": None},
        {"ts": CUTOFF + timedelta(days=3), "known_at": CUTOFF - US},
        {"known_at": CUTOFF},
        {"known_at": CUTOFF + timedelta(days=2)},
    ]
    return rows + [{**row, **at[i % len(at)]} for i, row in enumerate(known)]


def kept(rows: Rows) -> Rows:
    return rows


CHANGES = pytest.mark.parametrize("change", [kept, altered, appended])


def with_rows(tables: Tables, name: str, rows: Rows) -> dict[str, pa.Table]:
    table = pa.Table.from_pylist(rows, schema=tables[name].schema)
    return {**tables, name: table}


@pytest.fixture
def known_tables(shop_tables: Tables) -> Tables:
    """The shop with every future row of the six dimensions deleted."""
    tables = dict(shop_tables)
    for name in TABLE_OF.values():
        tables = with_rows(tables, name, deleted(tables[name].to_pylist()))
    return tables


@pytest.fixture
def expected(known_tables: Tables, read_history: ReadHistory) -> dict[str, Any]:
    """The features when the input ends at the cutoff."""
    return bits(assemble(read_history(known_tables, CUTOFF), CUTOFFS))


@DIMENSIONS
@CHANGES
def test_future_rows_of_a_dimension_change_no_bit(
    dimension: str,
    change: Callable[[Rows], Rows],
    shop_tables: Tables,
    known_tables: Tables,
    read_history: ReadHistory,
    expected: dict[str, Any],
) -> None:
    name = TABLE_OF[dimension]
    rows = change(shop_tables[name].to_pylist())
    assert any(is_future(row) for row in rows)
    tables = with_rows(known_tables, name, rows)
    assert bits(assemble(read_history(tables, LATER), CUTOFFS)) == expected


def test_future_rows_of_all_dimensions_together_change_no_bit(
    shop_tables: Tables, read_history: ReadHistory, expected: dict[str, Any]
) -> None:
    found = assemble(read_history(shop_tables, LATER), CUTOFFS)
    assert bits(found) == expected


@pytest.fixture
def write_tables(tmp_path: Path) -> Callable[[Tables], Path]:
    """Write tables as Parquet, each call to a folder of its own."""
    folders = count()

    def write(tables: Tables) -> Path:
        folder = tmp_path / f"parts{next(folders)}"
        folder.mkdir()
        for name, table in tables.items():
            pq.write_table(table, folder / f"{name}.parquet")
        return folder

    return write


def in_parts(folder: Path, until: datetime) -> dict[str, Any]:
    """The features as a build makes them: part by part, on two threads."""
    with engine.Tables(folder) as opened:
        parts = assemble_parts(opened.parts(until, customers_per_part=25), CUTOFFS)
        table = pa.concat_tables(list(parts)).unify_dictionaries()
    order = [("cutoff", "ascending"), ("customer_id", "ascending")]
    return bits(table.sort_by(order))


@CHANGES
def test_future_rows_change_no_bit_of_a_build_in_parts(
    change: Callable[[Rows], Rows],
    shop_tables: Tables,
    write_tables: Callable[[Tables], Path],
    expected: dict[str, Any],
) -> None:
    tables = dict(shop_tables)
    for name in TABLE_OF.values():
        tables = with_rows(tables, name, change(tables[name].to_pylist()))
    folder = write_tables(tables)
    assert in_parts(folder, CUTOFF) == expected
    assert in_parts(folder, LATER) == expected


def test_late_rows_change_no_bit_of_a_build_in_parts(
    shop_tables: Tables, write_tables: Callable[[Tables], Path]
) -> None:
    tables = dict(shop_tables)
    for name in (d.table.name for d in OF_EVENTS):
        tables = with_rows(tables, name, late(tables[name].to_pylist()))
    known = dict(tables)
    unknown = 0
    for name in (d.table.name for d in OF_EVENTS):
        rows = tables[name].to_pylist()
        known = with_rows(known, name, deleted(rows))
        unknown += sum(row["ts"] < CUTOFF <= row["known_at"] for row in rows)
    assert unknown > 1000
    found = in_parts(write_tables(tables), LATER)
    assert found == in_parts(write_tables(known), CUTOFF)


def test_the_reader_alone_leaves_future_rows_out(
    shop_tables: Tables, read_history: ReadHistory, expected: dict[str, Any]
) -> None:
    found = assemble(read_history(shop_tables, CUTOFF), CUTOFFS)
    assert bits(found) == expected


def test_customers_who_first_buy_after_the_cutoff_have_no_row(
    shop_tables: Tables, read_history: ReadHistory
) -> None:
    rows = shop_tables["purchases"].to_pylist()
    rows = [r for r in rows if r["customer_id"] < "c040" or r["ts"] >= CUTOFF]
    tables = with_rows(shop_tables, "purchases", rows)
    found = assemble(read_history(tables, LATER), CUTOFFS)
    assert max(found.column("customer_id").to_pylist()) == "c039"


@pytest.mark.parametrize("dimension", [d for d in TABLE_OF if d != "purchase"])
def test_a_dimension_that_begins_after_the_cutoff_is_as_if_missing(
    dimension: str, known_tables: Tables, shop_tables: Tables, read_history: ReadHistory
) -> None:
    name = TABLE_OF[dimension]
    rows = shop_tables[name].to_pylist()
    if name == "customers":
        rows = [{**r, "joined_at": CUTOFF} for r in rows if r["valid_from"] is None]
    else:
        rows = [row for row in rows if row["ts"] >= CUTOFF]
    found = assemble(read_history(with_rows(known_tables, name, rows), LATER), CUTOFFS)
    without = {n: table for n, table in known_tables.items() if n != name}
    assert bits(found) == bits(assemble(read_history(without, CUTOFF), CUTOFFS))


def test_every_dimension_of_events_has_values_in_the_trial(
    shop_tables: Tables, read_history: ReadHistory
) -> None:
    table = assemble(read_history(shop_tables, CUTOFF), CUTOFFS)
    empty = {f.name for f in FEATURES if table[f.name].null_count == len(table)}
    assert not empty
    assert {f.dimension for f in FEATURES} == {*TABLE_OF}
    assert {d.name for d in OF_EVENTS} == {*TABLE_OF} - {"profile"}


def late(rows: Rows) -> Rows:
    """Every row reached the system up to five months after it happened."""
    return [
        {**row, "known_at": row["ts"] + timedelta(days=7 * i % 151)}
        for i, row in enumerate(rows)
    ]


def test_without_the_filter_every_column_of_events_would_tell_the_future(
    shop_tables: Tables, read_history: ReadHistory, monkeypatch: pytest.MonkeyPatch
) -> None:
    tables = dict(shop_tables)
    for name in (d.table.name for d in OF_EVENTS):
        tables = with_rows(tables, name, late(tables[name].to_pylist()))
    history = read_history(tables, LATER)
    expected = bits(assemble(history, CUTOFFS))
    read = Stream.read

    def known_at_once(stream: Stream, history: History) -> Events | None:
        events = read(stream, history)
        return events and replace(events, known_at=events.ts)

    monkeypatch.setattr(Stream, "read", known_at_once)
    found = bits(assemble(history, CUTOFFS))
    names = {f.name for d in OF_EVENTS for f in d.features}
    assert sorted(name for name in names if found[name] == expected[name]) == []
