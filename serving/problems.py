"""What is to be mended in the input, out of the figures of its quality."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime

from features.scores import Share, TableScore


@dataclass(frozen=True)
class Problem:
    """Something to mend.

    Attributes:
        count: rows (or days, where a table is stale) that are concerned.
        of: out of so many.
    """

    table: str
    what: str
    count: float
    of: float
    do: str

    @property
    def share(self) -> float:
        """Of the table that is concerned, in [0, 1]."""
        return self.count / self.of


def problems(table: TableScore, moment: datetime | None) -> list[Problem]:
    """Everything that keeps a table from a full score, in no order.

    Args:
        table: its figures.
        moment: for which they were measured; None: nothing is stale.
    """
    found = [*_of_rows(table), *_of_values(table)]
    if moment and table.newest:
        found.append(_stale(table, table.newest, moment))
    return [problem for problem in found if problem.count > 0]


def _missing(table: TableScore, what: str, share: Share, do: str) -> Problem:
    count = share.denominator - share.numerator
    return Problem(table.table, what, count, share.denominator, do)


def _of_rows(table: TableScore) -> Iterator[Problem]:
    name = table.table
    for reason, count in table.reasons.items():
        yield Problem(
            name,
            f"bad rows, {reason}",
            count,
            table.rows,
            f"mend them in the export; they are set aside in quarantine/{name}.parquet",
        )
    yield _missing(
        table,
        "rows that repeat another one",
        table.uniqueness,
        "look for an export that was loaded twice; where repeats are real, keep a "
        "column that tells them apart",
    )
    yield Problem(
        name,
        "known before they happened",
        table.early,
        table.rows,
        "they are read; check the clock that writes known_at",
    )


def _of_values(table: TableScore) -> Iterator[Problem]:
    for reference, share in table.references.items():
        yield _missing(
            table,
            f"{reference}: id leads nowhere",
            share,
            "add the missing rows, or mend the id",
        )
    for column, share in table.columns.items():
        # A required column that is empty is a bad row already.
        if f"{column}: missing" not in table.reasons:
            yield _missing(
                table,
                f"{column}: empty",
                share,
                "fill it, or leave the column out where nobody keeps it",
            )


def _stale(table: TableScore, newest: datetime, moment: datetime) -> Problem:
    allowed, age = table.freshness.numerator, table.freshness.denominator
    return _missing(
        table,
        f"stale: newest row of {newest:%Y-%m-%d}, {age:.0f} days before {moment:%Y-%m-%d}",
        table.freshness,
        f"export anew; up to {allowed:.0f} days would be usual",
    )
