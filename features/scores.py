"""Data quality in figures: five parts per table, each a share that shows itself.

Everything is counted in the engine over the rows as ``quality`` judged them.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

import duckdb

from features.contracts import (
    CAMPAIGNS,
    CUSTOMERS,
    PRODUCTS,
    PURCHASES,
    TABLES,
    Column,
    Table,
)
from features.quality import REASON, REPEATED, ROW, Checked
from features.snapshot import from_us, to_us
from features.sources import reading

ALLOWED_GAPS = 3
"""The newest row may be this many typical gaps old before a table is stale."""

EXPECTED: Mapping[str, str] = {
    "purchases.campaign_id": "false",
    "browses.product_id": "kind <> 'search'",
    "inquiries.product_id": "false",
    "feedback.product_id": "kind IN ('rating', 'return')",
    "feedback.score": "kind IN ('nps', 'csat', 'ces', 'rating')",
    "picks.campaign_id": "false",
    "picks.customer_id": "false",
}
"""SQL: the rows in which a column should have a value; else a null says something.

A column whose unit names the meaning of null (``null: …``) is never expected.
"""

REFERENCES: Mapping[str, tuple[Table, ...]] = {
    "customer_id": (CUSTOMERS, PURCHASES),
    "product_id": (PRODUCTS,),
    "campaign_id": (CAMPAIGNS,),
}
"""Where an id is looked up: among the good rows of any of these tables."""


@dataclass(frozen=True)
class Share:
    """``numerator`` of ``denominator``; ``value`` is null where nothing counts."""

    numerator: float
    denominator: float

    @property
    def value(self) -> float | None:
        """In [0, 1], or None without a denominator."""
        return self.numerator / self.denominator if self.denominator else None


@dataclass(frozen=True)
class TableScore:
    """The quality of one table.

    Attributes:
        table: its name.
        file: where it was read from.
        rows: of the input, bad ones too.
        completeness: values that are there, of those expected in the contract
            columns that the table has; see ``EXPECTED``.
        validity: rows that keep the contract by themselves.
        uniqueness: rows that are no repeat: of the key, or in every column of the
            input where the contract has no key.
        freshness: days that the newest row known before the moment may be old
            (``ALLOWED_GAPS`` times the median gap between days with rows, at
            least one day), over days that it is old, at most 1. Without a
            moment, or with fewer than two days with rows, it does not apply.
        integrity: ids that lead to a good row, of the ids that are there.
        correct: rows that are valid, no repeat, and whose ids all lead somewhere.
        columns: filled values by column that is there, where they are expected.
        references: resolved ids by ``column -> tables``.
        reasons: bad rows by reason, most first; repeats are none of them.
        absent: optional contract columns that the table does not have.
        newest: time of the newest row that counts for freshness.
        early: events that were known before they happened; these rows are read.
    """

    table: str
    file: str
    rows: int
    completeness: Share
    validity: Share
    uniqueness: Share
    freshness: Share
    integrity: Share
    correct: Share
    columns: Mapping[str, Share]
    references: Mapping[str, Share]
    reasons: Mapping[str, int]
    absent: tuple[str, ...]
    newest: datetime | None
    early: int

    @property
    def parts(self) -> dict[str, Share]:
        """The five parts of the score, by name."""
        names = ("completeness", "validity", "uniqueness", "freshness", "integrity")
        return {name: getattr(self, name) for name in names}

    @property
    def score(self) -> float | None:
        """Mean of the parts that apply; None for a table without rows."""
        values = [s.value for s in self.parts.values() if s.value is not None]
        return sum(values) / len(values) if values else None


def measure(
    db: duckdb.DuckDBPyConnection,
    checked: Mapping[str, Checked],
    moment: datetime | None,
) -> tuple[TableScore, ...]:
    """The quality of every table that is there, in the order of the contract.

    Args:
        db: connection with the views of ``quality.register``.
        checked: what it returned.
        moment: of the build; rows known at or after it do not count for
            freshness, and for nothing else does it matter.

    Raises:
        ContractError: a file turned out to be damaged.
        SettingError: the memory limit is too low.
    """
    there = {table for table in TABLES if table.name in checked}
    _make_ids(db, there)
    return tuple(
        _measure(db, table, checked[table.name], there, moment)
        for table in TABLES
        if table in there
    )


def _make_ids(db: duckdb.DuckDBPyConnection, there: set[Table]) -> None:
    """``ids_COLUMN``: the distinct ids to which that column may refer."""
    for column, targets in REFERENCES.items():
        ids = [f"SELECT {column} FROM {t.name}" for t in targets if t in there]
        if ids:
            with reading(_named(column, there), f"the files of {column}"):
                db.execute(
                    f"CREATE OR REPLACE TEMP TABLE ids_{column} AS {' UNION '.join(ids)}"
                )


def _measure(
    db: duckdb.DuckDBPyConnection,
    table: Table,
    checked: Checked,
    there: set[Table],
    moment: datetime | None,
) -> TableScore:
    columns = [c for c in table.columns if c.name in checked.columns]
    refers = _references(table, columns, there)
    _make_resolved(db, table, refers)
    with reading(table.name, checked.file):
        counted = _count_rows(db, table, columns, refers)
        groups, correct = _count_groups(db, table, refers)
        reasons = _reasons(db, checked)
        freshness, newest = _freshness(db, table, moment)
    rows = checked.rows
    repeats = reasons.pop(REPEATED, 0) if table.key else rows - groups
    filled = {
        c.name: Share(counted[f"filled {c.name}"], counted[f"expected {c.name}"])
        for c in columns
    }
    resolved = {
        f"{name} -> {_named(name, there)}": Share(
            counted[f"resolved {name}"], counted[f"given {name}"]
        )
        for name in refers
    }
    return TableScore(
        table=table.name,
        file=checked.file,
        rows=rows,
        completeness=_sum(filled),
        validity=Share(rows - sum(reasons.values()), rows),
        uniqueness=Share(rows - repeats, rows),
        freshness=freshness,
        integrity=_sum(resolved),
        correct=Share(correct, rows),
        columns=filled,
        references=resolved,
        reasons=reasons,
        absent=tuple(c.name for c in table.columns if c not in columns),
        newest=newest,
        early=counted["early"],
    )


def _sum(shares: Mapping[str, Share]) -> Share:
    return Share(
        sum(s.numerator for s in shares.values()),
        sum(s.denominator for s in shares.values()),
    )


def _references(
    table: Table, columns: list[Column], there: set[Table]
) -> tuple[str, ...]:
    """Columns of this table that refer to another one that is there."""
    return tuple(
        column.name
        for column in columns
        if table not in (targets := REFERENCES.get(column.name, ()))
        and there & set(targets)
    )


def _named(column: str, there: set[Table]) -> str:
    return " or ".join(t.name for t in REFERENCES[column] if t in there)


def _expected(table: Table, column: Column) -> str:
    never = "false" if "null:" in column.unit else "true"
    return EXPECTED.get(f"{table.name}.{column.name}", never)


def _make_resolved(
    db: duckdb.DuckDBPyConnection, table: Table, refers: tuple[str, ...]
) -> None:
    """``resolved_TABLE``: every row, and by reference whether its id is known."""
    marks = "".join(
        f", {name} IN (SELECT {name} FROM ids_{name}) AS __{name}" for name in refers
    )
    db.execute(
        f"CREATE OR REPLACE TEMP VIEW resolved_{table.name} AS "
        f"SELECT *{marks} FROM judged_{table.name}"
    )


def _count_rows(
    db: duckdb.DuckDBPyConnection,
    table: Table,
    columns: list[Column],
    refers: tuple[str, ...],
) -> dict[str, int]:
    """Counts by row, in one pass."""
    counts: dict[str, str] = {}
    for column in columns:
        expected = _expected(table, column)
        there = f"{column.name} IS NOT NULL"
        counts[f"expected {column.name}"] = _count_where(expected)
        counts[f"filled {column.name}"] = _count_where(f"{expected} AND {there}")
    for name in refers:
        counts[f"given {name}"] = f"count({name})"
        counts[f"resolved {name}"] = _count_where(f"__{name}")
    is_early = "known_at < ts" if table.happened else "false"
    counts["early"] = _count_where(is_early)
    row = db.execute(
        f"SELECT {', '.join(counts.values())} FROM resolved_{table.name}"
    ).fetchall()[0]
    return dict(zip(counts, row, strict=True))


def _count_where(condition: str) -> str:
    # Not count_if: it is null, not 0, over no rows.
    return f"count(*) FILTER (WHERE {condition})"


def _count_groups(
    db: duckdb.DuckDBPyConnection, table: Table, refers: tuple[str, ...]
) -> tuple[int, int]:
    """Different rows, and how many of them are correct."""
    correct = " AND ".join(
        [f"{REASON} IS NULL", *(f"coalesce(__{name}, true)" for name in refers)]
    )
    rows = f"SELECT {correct} AS correct FROM resolved_{table.name}"
    if not table.key:
        # Rows that are equal in every column are equally correct.
        rows = (
            f"SELECT any_value({correct}) AS correct "
            f"FROM resolved_{table.name} GROUP BY {ROW}"
        )
    groups, good = db.execute(
        f"SELECT count(*), {_count_where('correct')} FROM ({rows})"
    ).fetchall()[0]
    return groups, good


def _reasons(db: duckdb.DuckDBPyConnection, checked: Checked) -> dict[str, int]:
    if not checked.bad_rows:
        return {}
    rows = db.execute(
        f"SELECT CASE WHEN {REASON} LIKE '%: repeated' THEN '{REPEATED}' ELSE {REASON} END "
        f"AS reason, count(*) AS n FROM bad_{checked.name} GROUP BY reason "
        "ORDER BY n DESC, reason"
    ).fetchall()
    return dict(rows)


def _freshness(
    db: duckdb.DuckDBPyConnection, table: Table, moment: datetime | None
) -> tuple[Share, datetime | None]:
    if moment is None or table.known is None:
        return Share(0, 0), None
    days, gap, newest = db.execute(
        "SELECT count(*), median(gap), max(newest) FROM (SELECT newest, "
        "date_diff('day', lag(day) OVER (ORDER BY day), day) AS gap FROM "
        f"(SELECT date_trunc('day', {table.known}) AS day, "
        f"max(epoch_us({table.known})) AS newest FROM {table.name} "
        f"WHERE {table.known} < make_timestamp({to_us(moment)}) GROUP BY day))"
    ).fetchall()[0]
    if days < 2:
        return Share(0, 0), None
    return _fresh(moment, from_us(newest), gap), from_us(newest)


def _fresh(moment: datetime, newest: datetime, gap: float) -> Share:
    allowed = max(1.0, ALLOWED_GAPS * gap)
    age: Any = (moment - newest) / timedelta(days=1)
    return Share(allowed, max(allowed, round(age, 2)))
