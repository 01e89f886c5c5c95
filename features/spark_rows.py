"""The rows of input tables in Spark: checked by their columns, cut by customer."""

from __future__ import annotations

from collections.abc import Mapping
from functools import reduce
from typing import TYPE_CHECKING

import duckdb

from features import quality
from features.columns import is_accepted
from features.contracts import TABLES, Table
from features.sources import Source
from features.spark_worker import KEY, NAME

if TYPE_CHECKING:
    from pyspark.sql import DataFrame


def checked_columns(frame: DataFrame, table: Table, name: str) -> DataFrame:
    """The columns that are read, checked by their types.

    Raises:
        ContractError: one line per problem.
    """
    from pyspark.sql.pandas.types import to_arrow_schema

    empty = to_arrow_schema(frame.schema).empty_table()
    with duckdb.connect() as db:
        db.register("columns_of_table", empty)
        rows = db.execute("DESCRIBE columns_of_table").fetchall()
    found = {row[0]: str(row[1]) for row in rows}
    # As ``sources.columns_of`` does: without any value, a type says nothing.
    odd = [
        column.name
        for column in table.columns
        if not column.required
        and column.name in found
        and not is_accepted(found[column.name], column.dtype)
    ]
    if odd:
        counts = frame.selectExpr(*(f"count({_quoted(n)})" for n in odd)).toArrow()
        for n, count in zip(odd, counts.columns, strict=True):
            if not count[0].as_py():
                del found[n]
    quality.reject_columns(Source(table, "", name), found)
    ours = {column.name for column in table.columns}
    return frame.selectExpr(*(_quoted(n) for n in found if table.further or n in ours))


def reject_names(tables: Mapping[str, DataFrame]) -> None:
    """Refuse names of no input table.

    Raises:
        ValueError: there is one.
    """
    names = [table.name for table in TABLES]
    if odd := [name for name in tables if name not in names]:
        raise ValueError(f"tables: expected names out of {names}, got {odd}")


def _quoted(name: str) -> str:
    """Any column name, as Spark's SQL."""
    return "`" + name.replace("`", "``") + "`"


def union(tables: Mapping[str, DataFrame], partitions: int | None) -> DataFrame:
    """All rows, cut and ordered by customer: one column per table, a struct."""
    from pyspark import StorageLevel

    def as_struct(name: str) -> DataFrame:
        own = ", ".join(_quoted(column) for column in tables[name].columns)
        return tables[name].selectExpr(
            f"coalesce(cast(customer_id AS string), '') AS {KEY}",
            f"'{name}' AS {NAME}",
            f"struct({own}) AS {name}",
        )

    rows = reduce(
        lambda one, other: one.unionByName(other, allowMissingColumns=True),
        (as_struct(name) for name in tables),
    )
    cut = (
        rows.repartition(KEY)
        if partitions is None
        else rows.repartition(partitions, KEY)
    )
    return cut.sortWithinPartitions(KEY).persist(StorageLevel.DISK_ONLY)
