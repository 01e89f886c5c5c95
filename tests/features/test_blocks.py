"""Rows and usual values by blocks of days: gaps, changed units, lost lines."""

from __future__ import annotations

from dataclasses import replace
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from features.blocks import Block, blocks, changed_units, gaps, missing
from features.engine import Tables

UNTIL = datetime(2024, 7, 1)
US = timedelta(microseconds=1)


def line(ts: datetime, amount: float = 2.0, **more: Any) -> dict[str, Any]:
    order = {"customer_id": "a", "product_id": "p", "order_id": str(ts), "ts": ts}
    order["known_at"] = None
    return order | {"quantity": 1.0, "amount": amount, **more}


def read(folder: Path, rows: list[dict[str, Any]], days: int = 7) -> tuple[Block, ...]:
    pq.write_table(pa.Table.from_pylist(rows), folder / "purchases.parquet")
    with Tables(folder) as tables:
        return blocks(tables, UNTIL, days)


def test_blocks_are_half_open_and_read_only_what_was_known(tmp_path: Path) -> None:
    begin = UNTIL - timedelta(days=14)
    late = {"known_at": UNTIL}
    rows = [
        line(UNTIL - timedelta(days=20)),  # before the first whole block
        line(begin - US),
        line(begin),
        line(UNTIL - timedelta(days=7) - US, 8.0),
        line(UNTIL - timedelta(days=7), -1.0),
        line(UNTIL - US, 50.0, **late),
        line(UNTIL),
    ]
    first, second = read(tmp_path, rows)
    assert (first.start, second.start) == (begin, UNTIL - timedelta(days=7))
    assert (first.rows, second.rows) == (2, 1)
    # The geometric mean of 2 and 8; the returned one is not positive.
    assert first.usual["amount"] == pytest.approx(4.0)
    assert "amount" not in second.usual
    assert first.numbers["amount"] == 2
    assert Block.from_json(first.to_json()) == first


def drawn(rows: list[int], amounts: list[float] | None = None) -> list[Block]:
    sizes = amounts or [2.0] * len(rows)
    return [
        Block(
            "purchases",
            UNTIL - timedelta(days=28 * (len(rows) - n)),
            count,
            {"amount": count},
            {"amount": size},
        )
        for n, (count, size) in enumerate(zip(rows, sizes, strict=True))
    ]


@pytest.mark.parametrize(
    ("rows", "gaps_from"),
    [
        ([100, 110, 90, 100], []),
        ([100, 110, 90, 60], []),  # 60 of 100 are just enough
        ([100, 110, 90, 59], ["2024-06-03"]),
        # Half is missing since spring: every such block tells it.
        ([100, 100, 100, 50, 50, 50], ["2024-04-08", "2024-05-06", "2024-06-03"]),
        ([50], []),
        ([10, 0, 0], ["2024-05-06", "2024-06-03"]),
        ([], []),
    ],
)
def test_too_few_lines_are_told_by_block(rows: list[int], gaps_from: list[str]) -> None:
    said = gaps(drawn(rows), 0.6)
    assert [one.split("before ")[1][:10] for one in said] == gaps_from


def of(table: str, rows: list[int]) -> list[Block]:
    return [replace(one, table=table) for one in drawn(rows)]


@pytest.mark.parametrize(
    ("rows", "count"),
    [
        ([100, 100, 100, 6], 0),  # a tenth of the share that purchases need
        ([100, 100, 100, 5], 1),
        ([49, 49, 49, 0], 0),  # too few to tell
        ([0, 0, 0, 200], 0),
    ],
)
def test_another_table_has_a_gap_when_hardly_a_line_is_left(
    rows: list[int], count: int
) -> None:
    whole = drawn([100] * 4)
    assert len(gaps([*whole, *of("browses", rows)], 0.6)) == count


def test_an_empty_table_that_the_champion_read_is_told() -> None:
    whole, views = drawn([100, 100]), of("browses", [500, 400])
    said = missing([*whole, *views], [*whole, *of("browses", [500, 0])], 0.9)
    assert said == [
        "browses: expected the 400 lines from 2024-06-03 on that the champion read, "
        "got 0; check the export"
    ]
    # The table is no longer there at all.
    assert len(missing([*whole, *views], whole, 0.9)) == 2
    # Of few lines one person may be most: they are counted together.
    few = of("feedback", [30, 30])
    assert missing(few, of("feedback", [30, 24]), 0.9) == []
    (one,) = missing(few, of("feedback", [30, 23]), 0.9)
    assert one.startswith("feedback: expected the 60 lines from 2024-05-06 on")


def test_a_column_that_changed_its_unit_is_told_once() -> None:
    said = changed_units(drawn([100] * 4, [2.0, 2.2, 220.0, 210.0]), 5.0)
    assert said == [
        "purchases.amount: expected values of one size, got 2.2 before and 220 from "
        "2024-05-06 on (usual value of a block); has its unit changed?"
    ]
    assert changed_units(drawn([100] * 3, [2.0, 9.9, 2.0]), 5.0) == []
    # Of a handful of lines one dear product moves the usual value.
    assert changed_units(drawn([100, 10, 100], [2.0, 90.0, 2.0]), 5.0) == []


def test_lines_that_were_read_before_and_are_gone_are_told() -> None:
    before, half = drawn([100, 100]), drawn([100, 89])
    assert missing(before, before, 0.9) == []
    assert missing(before, half, 0.9) == [
        "purchases: expected the 100 lines from 2024-06-03 on that the champion read, "
        "got 89; check the export"
    ]
    assert len(missing(before, [], 0.9)) == 2
