"""The catalogue of features, for a reader or for a program."""

from __future__ import annotations

import csv
import json
import sys
from collections.abc import Sequence
from typing import Literal

from rich.console import Console
from rich.table import Table

from features.assemble import FEATURES
from features.contracts import SettingError
from features.feature import Feature

Format = Literal["table", "csv", "json"]
FURTHER = (
    "Further columns of customers (numbers, flags, texts of few words) "
    "follow under their own names."
)
COLUMNS = ("name", "dimension", "window", "unit", "null", "meaning")


def chosen(dimension: str | None) -> tuple[Feature, ...]:
    """The declared features of one dimension, or of all six.

    Raises:
        SettingError: there is no such dimension.
    """
    names = tuple(dict.fromkeys(feature.dimension for feature in FEATURES))
    if dimension is not None and dimension not in names:
        raise SettingError(
            f"--dimension: expected one of {', '.join(names)}, got {dimension!r}"
        )
    return tuple(f for f in FEATURES if dimension in (None, f.dimension))


def show(console: Console, features: Sequence[Feature], form: Format) -> None:
    """Print the catalogue: a table with one heading a dimension, CSV or JSON."""
    rows = [_row(feature) for feature in features]
    if form == "csv":
        writer = csv.writer(sys.stdout, lineterminator="\n")
        writer.writerow(COLUMNS)
        writer.writerows(row.values() for row in rows)
    elif form == "json":
        print(json.dumps(rows, indent=2))  # noqa: T201
    else:
        _tables(console, rows)


def _row(feature: Feature) -> dict[str, str | int | None]:
    """``window`` is in days; null: all history, or no matter of events."""
    values = (
        feature.name,
        feature.dimension,
        feature.window_days,
        feature.unit,
        feature.null,
        feature.meaning,
    )
    return dict(zip(COLUMNS, values, strict=True))


def _tables(console: Console, rows: Sequence[dict[str, str | int | None]]) -> None:
    """One table a dimension; what a null means stands once, below it."""
    for dimension in dict.fromkeys(row["dimension"] for row in rows):
        mine = [row for row in rows if row["dimension"] == dimension]
        console.print(f"\n{dimension}: {len(mine)} features", style="bold")
        nulls = list(dict.fromkeys(str(row["null"]) for row in mine))
        table = Table("name", "window", "unit", "meaning", "null")
        table.columns[1].justify = "right"
        for row in mine:
            days = row["window"]
            table.add_row(
                str(row["name"]),
                "" if days is None else f"{days} d",
                str(row["unit"]),
                str(row["meaning"]),
                f"({nulls.index(str(row['null'])) + 1})",
            )
        console.print(table, highlight=False)
        for number, meaning in enumerate(nulls, start=1):
            console.print(f"null ({number}): {meaning}", highlight=False)
    if any(row["dimension"] == "profile" for row in rows):
        console.print(FURTHER, highlight=False, soft_wrap=True)
