"""Features of input tables on Spark: it distributes, our definitions run in it.

Tables of events and of customers become one, cut and ordered by customer; Spark's
Python workers read and fold it as ``spark_worker`` says. Small tables are judged
where the driver runs.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from contextlib import ExitStack
from datetime import datetime
from pathlib import Path
from types import TracebackType
from typing import TYPE_CHECKING

import pyarrow as pa

from features import quality
from features.assemble import OF_EVENTS
from features.columns import read
from features.connection import connect
from features.contracts import (
    CAMPAIGNS,
    PRODUCTS,
    PURCHASES,
    TABLES,
    ContractError,
    Table,
)
from features.dimension import Dimension, columns_read
from features.engine import make_known, no_two_orders, only_returns, too_early
from features.history import History
from features.quality import Checked
from features.scratch import scratch
from features.snapshot import from_us
from features.sources import Source
from features.spark_facts import Facts, facts_of
from features.spark_rows import checked_columns, reject_names, union
from features.spark_worker import (
    FACT,
    OF_CUSTOMERS,
    BadRows,
    CountFacts,
    MakeFeatures,
    Slicing,
    Whole,
)
from features.sql import quoted

if TYPE_CHECKING:
    from pyspark.sql import DataFrame

ROWS_PER_SLICE = 500_000
"""Rows that a worker holds at once, but for those of its last customer."""


class SparkTables:
    """Input tables in Spark, checked against the contract.

    Use as a context manager; rows cut by customer are kept on the executors' disks
    until it is left.

    Attributes:
        quarantined: by table, how many rows are bad; asks Spark.

    Raises:
        ContractError: no ``purchases``, or a table breaks the contract; one line
            per problem.
        ValueError: a name of no input table.
    """

    def __init__(
        self,
        tables: Mapping[str, DataFrame],
        *,
        place: str = "spark",
        partitions: int | None = None,
        rows_per_slice: int = ROWS_PER_SLICE,
        memory_limit: str = "1GB",
    ) -> None:
        """Check the columns of all tables, and collect the small ones.

        Args:
            tables: by name; others than the contract's are an error.
            place: where they are from, for messages.
            partitions: of customers; None: Spark's number of shuffle partitions.
            rows_per_slice: about how many rows a worker holds at once.
            memory_limit: of DuckDB, per worker.
        """
        self._place = place
        self._facts: Facts | None = None
        self._open = ExitStack()
        self._db = self._open.enter_context(connect(memory_limit))
        try:
            reject_names(tables)
            self._small, large = self._check(tables)
            names = tuple(t.name for t in OF_CUSTOMERS if t.name in large)
            self._slicing = Slicing(names, rows_per_slice, memory_limit)
            self._rows = union(large, partitions)
            self._open.callback(self._rows.unpersist)
        except BaseException:
            self._open.close()
            raise

    def __enter__(self) -> SparkTables:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._open.close()

    @property
    def quarantined(self) -> dict[str, int]:
        """By table, how many rows are bad."""
        facts = self._facts or self._count(None)
        bad = {name: checked.bad_rows for name, checked in self._small.items()}
        return {
            table.name: bad.get(table.name, facts.bad(table.name))
            for table in TABLES
            if table.name in bad or table.name in self._slicing.tables
        }

    def facts(self, until: datetime) -> Facts:
        """Facts of the whole known before a moment.

        Raises:
            ContractError: no purchase was, or nobody had ordered twice.
        """
        facts = self._count(until)
        name = f"{self._place}:{PURCHASES.name}"
        if facts.first is None:
            raise only_returns(name)
        if not facts.customers:
            raise too_early(from_us(facts.first), until)
        if not facts.twice:
            raise no_two_orders(until, name)
        return facts

    def first_purchase(self, until: datetime) -> datetime:
        """Time of the first purchase known before a moment.

        Raises:
            ContractError: as of ``features``.
        """
        return from_us(self.facts(until).first_known)

    def features(
        self,
        until: datetime,
        cutoffs: Sequence[datetime],
        dimensions: Sequence[Dimension] = OF_EVENTS,
    ) -> DataFrame:
        """Rows of ``assemble``, in no order; texts are strings.

        Args:
            until: only rows known before count.
            cutoffs: strictly ascending, none after ``until``.
            dimensions: those made of events; profile features always follow.

        Returns:
            ``customer_id``, ``cutoff`` (without a zone: UTC), and the columns of
            ``assemble`` after them.

        Raises:
            ContractError: no purchase was known before ``until``, or no customer
                had ordered twice; or as of ``assemble``.
            ValueError: as of ``assemble``.
        """
        from pyspark.sql.pandas.types import from_arrow_schema

        make = self._make(until, cutoffs, dimensions)
        schema = make.of_slice(self._empty()).schema
        return self._rows.mapInArrow(make, from_arrow_schema(schema, True))

    def history_of_nobody(self, until: datetime) -> History:
        """What was known before a moment of the whole, without any customer.

        Which tables have data and since when, the columns of profiles, and which of
        them are no features.

        Raises:
            ContractError: as of ``features``.
        """
        return self._make(until, [until], OF_EVENTS).history(self._empty())

    def bad_rows(self, table: Table) -> DataFrame:
        """Bad rows of a table of events or customers, ``reason`` first.

        A column of the input that is called ``reason`` is ``reason_1`` here.

        Raises:
            ValueError: no such table is there.
        """
        from pyspark.sql.pandas.types import from_arrow_schema

        if table.name not in self._slicing.tables:
            raise ValueError(
                f"table: expected one of {self._slicing.tables}, got {table.name}"
            )
        bad = BadRows(self._slicing, table.name)
        schema = bad.of_slice(self._empty()).schema
        return self._rows.mapInArrow(bad, from_arrow_schema(schema, True))

    def write_quarantine(self, folder: Path) -> None:
        """Write bad rows with their ``reason`` to ``folder/TABLE.parquet``.

        Those of Spark go through the folder for temporary files, which executors
        must see.

        Raises:
            SettingError: the folder cannot be written.
        """
        checked = dict(self._small)
        quarantined = self.quarantined
        with scratch() as temporary:
            for table in (t for t in OF_CUSTOMERS if t.name in self._slicing.tables):
                bad, place = quarantined[table.name], temporary / table.name
                if bad:
                    self.bad_rows(table).write.parquet(str(place))
                    self._db.execute(
                        f"CREATE OR REPLACE TEMP VIEW bad_{table.name} AS SELECT reason "
                        f"AS {quality.REASON}, * EXCLUDE (reason) FROM "
                        f"read_parquet({quoted(str(place / '*.parquet'))})"
                    )
                name = f"{self._place}:{table.name}"
                checked[table.name] = Checked(table.name, name, bad, bad, ())
            for table_name, one in checked.items():
                quality.write_bad_rows(self._db, one, folder / f"{table_name}.parquet")

    # -- checks on the driver ---------------------------------------------------

    def _check(
        self, tables: Mapping[str, DataFrame]
    ) -> tuple[dict[str, Checked], dict[str, DataFrame]]:
        """Small tables judged; and the others with the columns that are read."""
        problems: list[str] = []
        small: dict[str, Checked] = {}
        large: dict[str, DataFrame] = {}
        for table in (t for t in TABLES if t.name in tables):
            frame, name = tables[table.name], f"{self._place}:{table.name}"
            try:
                if table in OF_CUSTOMERS:
                    large[table.name] = checked_columns(frame, table, name)
                else:
                    self._db.register(f"in_{table.name}", frame.toArrow())
                    source = Source(table, f"in_{table.name}", name)
                    small[table.name] = quality.judge(self._db, source)
            except ContractError as error:
                problems.extend(error.lines)
        if PURCHASES.name not in tables:
            problems.append(
                f"purchases: expected a table, found none in {self._place}; "
                "add a table or view of that name"
            )
        if problems:
            raise ContractError(*problems)
        return small, large

    # -- facts of the whole -------------------------------------------------------

    def _count(self, until: datetime | None) -> Facts:
        """Facts of the whole, counted once per moment.

        Raises:
            ContractError: there is no good purchase.
        """
        if self._facts is None or self._facts.until != until:
            from pyspark.sql.pandas.types import from_arrow_schema

            counted = self._rows.mapInArrow(
                CountFacts(self._slicing, until), from_arrow_schema(FACT)
            )
            self._facts = facts_of(counted, until)
            facts = self._facts
            rows, bad = facts.rows(PURCHASES.name), facts.bad(PURCHASES.name)
            if rows == bad:
                name = f"{self._place}:{PURCHASES.name}"
                checked = Checked(PURCHASES.name, name, rows, bad, ())
                raise quality.no_good_row(checked, facts.usual(PURCHASES.name))
        return self._facts

    def _whole(self, facts: Facts, until: datetime) -> Whole:
        """What a slice cannot know, from the facts and the small tables."""
        has = {n for n, c in self._small.items() if c.rows > c.bad_rows}
        small = [t for t in (PRODUCTS, CAMPAIGNS) if t.name in has]
        make_known(self._db, small, until)
        campaigns = None
        if CAMPAIGNS in small:
            sql = f"SELECT * FROM known_{CAMPAIGNS.name} ORDER BY ALL"
            campaigns = self._db.execute(sql).to_arrow_table()
        return Whole(
            until=until,
            known=facts.known,
            since=facts.since,
            wordy=facts.wordy,
            products=self._products(facts, is_there=PRODUCTS in small),
            campaigns=campaigns if campaigns and campaigns.num_rows else None,
        )

    def _make(
        self,
        until: datetime,
        cutoffs: Sequence[datetime],
        dimensions: Sequence[Dimension],
    ) -> MakeFeatures:
        return MakeFeatures(
            self._slicing,
            self._whole(self.facts(until), until),
            tuple(cutoffs),
            tuple(dimensions),
            columns_read(dimensions),
        )

    def _products(self, facts: Facts, *, is_there: bool) -> pa.Table:
        """Every product that is known or was bought, in the contract's columns."""
        self._db.register("bought_products", pa.table({"product_id": facts.products}))
        others = [c for c in PRODUCTS.columns if c.name != "product_id"]
        if not is_there:
            nulls = ", ".join(
                f"{read(c, None, is_csv=False)} AS {c.name}" for c in others
            )
            sql = f"SELECT product_id, {nulls} FROM bought_products"
        else:
            names = ", ".join(c.name for c in others)
            sql = (
                f"SELECT product_id, {names} FROM bought_products "
                f"FULL JOIN known_{PRODUCTS.name} USING (product_id)"
            )
        return self._db.execute(f"{sql} ORDER BY product_id").to_arrow_table()

    def _empty(self) -> pa.Table:
        from pyspark.sql.pandas.types import to_arrow_schema

        return to_arrow_schema(self._rows.schema).empty_table()
