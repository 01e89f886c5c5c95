"""What Spark's Python workers do with the rows of whole customers.

A worker gets Arrow batches ordered by customer, cuts them into slices of whole
customers, and hands each slice to a DuckDB of its own, where it is judged, put
in order and folded by the code that reads every other source.
"""

from __future__ import annotations

from collections.abc import Generator, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from datetime import datetime

import duckdb
import pyarrow as pa
import pyarrow.compute as pc

from features import quality
from features.assemble import assemble
from features.connection import connect
from features.contracts import (
    BROWSES,
    CAMPAIGNS,
    CUSTOMERS,
    FEEDBACK,
    INQUIRIES,
    PRODUCTS,
    PURCHASES,
    TOUCHES,
    Table,
)
from features.customers import BOUGHT
from features.dimension import Dimension
from features.engine import HELD_BYTES, TWO_ORDERS, make_known, make_known_ids
from features.history import ALWAYS, History
from features.parts import Reader
from features.profile import MAX_WORDS
from features.quality import REASON, Checked
from features.scratch import scratch
from features.sources import Source
from features.spool import Memory
from features.sql import identifier, quoted

OF_CUSTOMERS = (PURCHASES, BROWSES, INQUIRIES, FEEDBACK, TOUCHES, CUSTOMERS)
"""Tables that are distributed by customer; the others are small."""

KEY, NAME = "key", "name"
"""Columns of the union beside one struct per table: the customer, the table."""

FACT = pa.schema(
    [
        ("what", pa.string()),
        ("name", pa.string()),
        ("word", pa.string()),
        ("number", pa.int64()),
    ]
)
"""Facts about a slice. ``what`` says how those of all slices are put together:
those of ``LEAST`` by the minimum, ``product`` and ``word`` as a set, all else by the
sum. ``name`` is a table or a column."""

LEAST = ("since", "first", "first_known")
"""Moments in microseconds; the sum of many would be too large for an integer."""


@dataclass(frozen=True)
class Slicing:
    """How a worker takes its rows.

    Attributes:
        tables: names of those in the union.
        most_rows: a slice has at most so many, but for its last customer.
        memory_limit: of DuckDB, per worker.
    """

    tables: tuple[str, ...]
    most_rows: int
    memory_limit: str

    def slices(self, batches: Iterable[pa.RecordBatch]) -> Iterator[pa.Table]:
        """Tables of whole customers, of batches ordered by ``key``."""
        held: list[pa.RecordBatch] = []
        n_held = 0
        for batch in batches:
            cut = _first_of_another(held, batch) if n_held >= self.most_rows else None
            if cut is not None:
                yield pa.Table.from_batches([*held, batch.slice(0, cut)])
                held, n_held, batch = [], 0, batch.slice(cut)
            if batch.num_rows:
                held.append(batch)
                n_held += batch.num_rows
        if held:
            yield pa.Table.from_batches(held)

    @contextmanager
    def judged(
        self, rows: pa.Table
    ) -> Generator[tuple[duckdb.DuckDBPyConnection, dict[str, Checked]]]:
        """A connection with the views of ``quality`` over the tables of a slice."""
        with (
            scratch() as folder,
            connect(self.memory_limit, threads=1) as db,
        ):
            db.execute(f"SET temp_directory = {quoted(str(folder))}")
            checked: dict[str, Checked] = {}
            for table in (t for t in OF_CUSTOMERS if t.name in self.tables):
                db.register(f"slice_{table.name}", _rows_of(rows, table.name))
                source = Source(table, f"slice_{table.name}", table.name)
                checked[table.name] = quality.judge(db, source)
            yield db, checked


@dataclass(frozen=True)
class CountFacts:
    """Rows of ``FACT`` of every slice.

    Attributes:
        until: what was known before is looked at; None: rows are only counted.
    """

    slicing: Slicing
    until: datetime | None

    def __call__(self, batches: Iterable[pa.RecordBatch]) -> Iterator[pa.RecordBatch]:
        """Facts of a partition, one batch per slice."""
        for rows in self.slicing.slices(batches):
            with self.slicing.judged(rows) as (db, checked):
                facts = list(_counts(db, checked))
                if self.until is not None:
                    facts += _facts(db, _tables(checked), self.until)
            columns = zip(*facts, strict=True)
            yield pa.record_batch(
                [
                    pa.array(list(column), field.type)
                    for column, field in zip(columns, FACT, strict=True)
                ],
                schema=FACT,
            )


@dataclass(frozen=True)
class BadRows:
    """The bad rows of one table, with their reason.

    Attributes:
        table: its name.
    """

    slicing: Slicing
    table: str

    def __call__(self, batches: Iterable[pa.RecordBatch]) -> Iterator[pa.RecordBatch]:
        """Bad rows of a partition."""
        for rows in self.slicing.slices(batches):
            yield from self.of_slice(rows).to_batches()

    def of_slice(self, rows: pa.Table) -> pa.Table:
        """Bad rows of a slice, ``reason`` first."""
        with self.slicing.judged(rows) as (db, _):
            bad = db.execute(
                f"SELECT {REASON}, * EXCLUDE ({REASON}) FROM bad_{self.table}"
            ).to_arrow_table()
        _, *names = bad.column_names
        own = ["reason_1" if name == "reason" else name for name in names]
        return bad.rename_columns(["reason", *own])


@dataclass(frozen=True)
class Whole:
    """What a slice cannot know of the whole input before ``until``.

    Attributes:
        known: names of the tables with a row known.
        since, wordy: see ``History``.
        products: contract columns of every product of the table or of a purchase.
        campaigns: good rows known; None where the table is missing.
    """

    until: datetime
    known: frozenset[str]
    since: Mapping[str, int]
    wordy: tuple[str, ...]
    products: pa.Table
    campaigns: pa.Table | None


@dataclass(frozen=True)
class MakeFeatures:
    """Rows of ``assemble``, texts as strings, without the code of the customer."""

    slicing: Slicing
    whole: Whole
    cutoffs: tuple[datetime, ...]
    dimensions: tuple[Dimension, ...]
    columns: Mapping[str, set[str]] | None

    def __call__(self, batches: Iterable[pa.RecordBatch]) -> Iterator[pa.RecordBatch]:
        """Feature rows of a partition."""
        for rows in self.slicing.slices(batches):
            made = self.of_slice(rows)
            if made.num_rows:
                yield from made.to_batches()

    def of_slice(self, rows: pa.Table) -> pa.Table:
        """Feature rows of a slice; an empty one has the columns."""
        made = assemble(self.history(rows), self.cutoffs, self.dimensions)
        made = made.drop_columns("customer")
        texts = [
            pa.field(f.name, pa.string()) if pa.types.is_dictionary(f.type) else f
            for f in made.schema
        ]
        return made.cast(pa.schema(texts)).combine_chunks()

    def history(self, rows: pa.Table) -> History:
        """What was known of the customers of a slice; ``since`` is of the whole."""
        with self.slicing.judged(rows) as (db, checked):
            return self._history(db, _tables(checked))

    def _history(
        self, db: duckdb.DuckDBPyConnection, tables: Sequence[Table]
    ) -> History:
        whole = self.whole
        make_known(db, tables, whole.until)
        named = " UNION ".join(
            f"SELECT product_id FROM known_{table.name}"
            for table in tables
            if any(column.name == "product_id" for column in table.columns)
        )
        db.register("all_products", whole.products)
        db.execute(
            f"CREATE TEMP TABLE known_{PRODUCTS.name} AS SELECT * FROM all_products "
            f"WHERE product_id IN ({named})"
        )
        if whole.campaigns is not None:
            db.register(f"known_{CAMPAIGNS.name}", whole.campaigns)
        known = {table for table in tables if table.name in whole.known} | {PRODUCTS}
        known |= {CAMPAIGNS} if whole.campaigns is not None else set()
        with scratch() as folder:
            memory = Memory(HELD_BYTES)
            reader = Reader(db, whole.until, frozenset(known), folder, memory)
            (history,) = reader.parts(self.columns)
        return replace(history, since=whole.since, wordy=whole.wordy)


def _first_of_another(
    held: Sequence[pa.RecordBatch], batch: pa.RecordBatch
) -> int | None:
    """The first row of a batch that is of another customer than the rows held."""
    last = held[-1].column(KEY)[-1]
    others = pc.index(
        pc.call_function("not_equal", [batch.column(KEY), last]), pa.scalar(True)
    )
    return None if others.as_py() < 0 else others.as_py()


def _rows_of(rows: pa.Table, name: str) -> pa.Table:
    """The rows of one table, with its own columns."""
    own = rows.filter(pc.field(NAME) == name)
    return pa.Table.from_struct_array(own.column(name).combine_chunks())


def _tables(checked: Mapping[str, Checked]) -> list[Table]:
    return [table for table in OF_CUSTOMERS if table.name in checked]


_Fact = tuple[str, str | None, str | None, int | None]


def _counts(
    db: duckdb.DuckDBPyConnection, checked: Mapping[str, Checked]
) -> Iterator[_Fact]:
    for name, table in checked.items():
        yield "rows", name, None, table.rows
        if table.bad_rows:
            bad = f"SELECT {REASON}, count(*) FROM bad_{name} GROUP BY ALL"
            for reason, n in db.execute(bad).fetchall():
                yield "reason", name, reason, n


def _facts(
    db: duckdb.DuckDBPyConnection, tables: Sequence[Table], until: datetime
) -> Iterator[_Fact]:
    """Facts of what was known."""
    make_known(db, tables, until)
    yield "customers", None, None, make_known_ids(db)
    for table in tables:
        name = table.name
        if table != CUSTOMERS:
            sql = f"min(greatest(epoch_us(ts), epoch_us({table.known}))) FROM known_{name}"
            yield "since", name, None, _value(db, sql)
            yield "known", name, None, _value(db, f"count(*) FROM known_{name}")
    first = f"min(epoch_us(ts)) FROM {{}} WHERE {BOUGHT}"
    yield "first", None, None, _value(db, first.format("purchases"))
    yield "first_known", None, None, _value(db, first.format("known_purchases"))
    twice = (
        f"count(*) FROM (SELECT customer_id FROM known_purchases WHERE {BOUGHT} "
        f"GROUP BY ALL HAVING {TWO_ORDERS})"
    )
    yield "twice", None, None, _value(db, twice)
    ids = "SELECT DISTINCT product_id FROM known_purchases"
    for (product,) in db.execute(ids).fetchall():
        yield "product", None, product, None
    if CUSTOMERS in tables:
        yield from _facts_of_profiles(db)


def _facts_of_profiles(db: duckdb.DuckDBPyConnection) -> Iterator[_Fact]:
    name = f"known_{CUSTOMERS.name}"
    yield "known", CUSTOMERS.name, None, _value(db, f"count(*) FROM {name}")
    # Of customers with a purchase, as the reader has them.
    rows = f"FROM {name} WHERE customer_id IN (SELECT id FROM known_ids)"
    since = f"min(coalesce(epoch_us({CUSTOMERS.known}), {ALWAYS})) {rows}"
    yield "since", CUSTOMERS.name, None, _value(db, since)
    yield "dated", CUSTOMERS.name, None, _value(db, f"count(valid_from) {rows}")
    for column, kind, *_ in db.execute(f"DESCRIBE {name}").fetchall():
        if kind != "VARCHAR" or column == "customer_id":
            continue
        word = identifier(column)
        said = f"{rows} AND {word} IS NOT NULL"
        of = _value(db, f"count(DISTINCT customer_id) {said}")
        yield "speaking", column, None, of
        # So many are too many, whatever the other slices say.
        words = f"SELECT DISTINCT {word} {said} LIMIT {MAX_WORDS + 1}"
        for (text,) in db.execute(words).fetchall():
            yield "word", column, text, None


def _value(db: duckdb.DuckDBPyConnection, sql: str) -> int | None:
    return db.execute(f"SELECT {sql}").fetchall()[0][0]
