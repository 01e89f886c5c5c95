"""Input by blocks of days before a moment: how many rows, and how large their numbers.

What a broken export does shows here before any model is trained: rows that are missing,
and a column that changed its unit.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from datetime import datetime, timedelta
from itertools import pairwise
from statistics import median
from typing import Any

from features.contracts import EVENT_TABLES, PURCHASES, Table
from features.engine import Tables, known_before
from features.snapshot import DAY_US, to_us
from features.sources import reading

LOOKED_AT = 13
"""Blocks before the moment; four weeks each are a year."""

COMPARED = 6
"""Blocks that are held to those before them, and how many of those."""

ENOUGH = 50
"""Numbers in a block; what is usual of fewer is mostly chance."""

LOST = 0.1
"""Tables other than purchases are held to this part of the share that is asked for:
campaigns and surveys come and go, an export that stops leaves hardly a line."""


@dataclass(frozen=True)
class Block:
    """The good rows of one event table in one block, known before the moment.

    Attributes:
        table: its name.
        start: of the block; the next one begins where it ends.
        rows: how many.
        numbers: by column: how many positive numbers.
        usual: by column: their geometric mean, in the column's unit; a column without
            a positive number is not among them.
    """

    table: str
    start: datetime
    rows: int
    numbers: dict[str, int]
    usual: dict[str, float]

    def to_json(self) -> dict[str, Any]:
        """Plain values."""
        return asdict(self) | {"start": self.start.isoformat()}

    @classmethod
    def from_json(cls, values: dict[str, Any]) -> Block:
        """What ``to_json`` gave."""
        plain = dict[str, Any](values)
        plain["start"] = datetime.fromisoformat(values["start"])
        return cls(**plain)


def blocks(tables: Tables, until: datetime, days: int) -> tuple[Block, ...]:
    """The blocks of every event table that is there, by table, then ascending.

    From the first block on in which a purchase falls, and ``LOOKED_AT`` at most. A
    block without rows has 0.

    Args:
        tables: all input; rows at or after ``until`` do not count.
        until: where the last block ends.
        days: of each block.
    """
    first = tables.first_purchase(until)
    there = (until - first) // timedelta(days=days)
    # A block in which the shop has only just begun would look like one with gaps.
    count = min(there, LOOKED_AT)
    return tuple(
        block
        for table in EVENT_TABLES
        if tables.has(table)
        for block in _of(tables, table, until, days, count)
    )


def _of(
    tables: Tables, table: Table, until: datetime, days: int, count: int
) -> list[Block]:
    names = [column.name for column in table.columns if column.dtype == "number"]
    sums = "".join(
        f", count(*) FILTER ({name} > 0), exp(avg(CASE WHEN {name} > 0 THEN ln({name}) END))"
        for name in names
    )
    width = days * DAY_US
    age = f"({to_us(until)} - 1 - epoch_us(ts)) // {width}"
    with reading(table.name, str(tables.data)):
        found = {
            int(row[0]): row[1:]
            for row in tables.connection.execute(
                f"SELECT {age} AS age, count(*){sums} FROM {table.name} WHERE "
                f"{known_before(table, until)} AND {age} < {count} GROUP BY 1"
            ).fetchall()
        }
    nothing = (0, *(0, None) * len(names))
    made: list[Block] = []
    for age_of in reversed(range(count)):
        rows, *rest = found.get(age_of, nothing)
        numbers = dict(zip(names, map(int, rest[::2]), strict=True))
        usual = dict(zip(names, rest[1::2], strict=True))
        made.append(
            Block(
                table.name,
                until - timedelta(days=days * (age_of + 1)),
                int(rows),
                numbers,
                {name: float(v) for name, v in usual.items() if v is not None},
            )
        )
    return made


def gaps(found: Sequence[Block], least: float) -> list[str]:
    """Blocks of a table with fewer lines than usual before them, one line each.

    Args:
        found: of ``blocks``.
        least: share of the median of the ``COMPARED`` blocks before that is enough, of
            purchases; of other tables with ``ENOUGH`` lines usually it is a tenth of
            it, see ``LOST``.
    """
    said: list[str] = []
    for table in dict.fromkeys(one.table for one in found):
        lines = [one for one in found if one.table == table]
        share = least if table == PURCHASES.name else least * LOST
        for place in range(max(1, len(lines) - COMPARED), len(lines)):
            before = [one.rows for one in lines[max(0, place - COMPARED) : place]]
            usual, block = median(before), lines[place]
            if table != PURCHASES.name and usual < ENOUGH:
                continue
            if block.rows < share * usual:
                said.append(
                    f"{table}: expected {share:.0%} or more of the {usual:,.0f} lines "
                    f"usual before {block.start:%Y-%m-%d}, got {block.rows:,} in the "
                    "block from that day; check the export"
                )
    return said


def changed_units(found: Sequence[Block], factor: float) -> list[str]:
    """Columns whose usual value moved by a factor between neighbours, one line each.

    Args:
        found: of ``blocks``.
        factor: from which on, up or down.
    """
    said: list[str] = []
    for table in dict.fromkeys(one.table for one in found):
        mine = [one for one in found if one.table == table]
        for name in mine[0].numbers:
            known = [one for one in mine if one.numbers[name] >= ENOUGH]
            for before, after in pairwise(known):
                moved = after.usual[name] / before.usual[name]
                if not 1 / factor < moved < factor:
                    said.append(
                        f"{table}.{name}: expected values of one size, got "
                        f"{before.usual[name]:,.3g} before and {after.usual[name]:,.3g} "
                        f"from {after.start:%Y-%m-%d} on (usual value of a block); has "
                        "its unit changed?"
                    )
    return said


def missing(before: Sequence[Block], now: Sequence[Block], least: float) -> list[str]:
    """Blocks of a table of which an earlier reading had more, one line each.

    Of tables other than purchases blocks of fewer than ``ENOUGH`` lines are looked at
    together: one person who was erased may be most of such a block.

    Args:
        before: what was read then.
        now: the same blocks of the present input.
        least: share of the lines that must still be there.
    """
    present = {(one.table, one.start): one.rows for one in now}
    said: list[str] = []
    few: dict[str, list[Block]] = {}
    for one in before:
        if one.table != PURCHASES.name and one.rows < ENOUGH:
            few.setdefault(one.table, []).append(one)
        elif (rows := present.get((one.table, one.start), 0)) < least * one.rows:
            said.append(_gone(one.table, one.rows, one.start, rows))
    for table, blocks_of in few.items():
        was = sum(one.rows for one in blocks_of)
        rows = sum(present.get((table, one.start), 0) for one in blocks_of)
        if was >= ENOUGH and rows < least * was:
            said.append(_gone(table, was, blocks_of[0].start, rows))
    return said


def _gone(table: str, was: int, start: datetime, rows: int) -> str:
    return (
        f"{table}: expected the {was:,} lines from {start:%Y-%m-%d} on that the champion "
        f"read, got {rows:,}; check the export"
    )
