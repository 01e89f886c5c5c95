"""Reads tables, on DuckDB: the only place where input enters the system.

Sorting, filtering and joining happen in the engine; what leaves it is a
``History``: ordered arrays of what was known before a moment.
"""

from __future__ import annotations

from collections.abc import Generator, Iterable, Mapping
from contextlib import ExitStack, closing, contextmanager
from datetime import datetime
from pathlib import Path
from types import TracebackType
from typing import Any

import duckdb
import pyarrow as pa

from features import quality, scores
from features.connection import connect
from features.contracts import (
    CUSTOMERS,
    EVENT_TABLES,
    PURCHASES,
    TABLES,
    ContractError,
    Table,
)
from features.customers import BOUGHT
from features.database import Database
from features.erased import NOBODY, Erased
from features.history import History
from features.parts import Reader
from features.postgres import local
from features.scratch import scratch
from features.snapshot import from_us, to_us
from features.sources import digest_of, files_of, must_be_unchanged, reading
from features.spool import Memory
from features.sql import quoted

CUSTOMERS_PER_PART = 8192
"""Rows and features of so many customers are in memory per worker at once."""

MOST_SLICES = 8
"""Of a table that are read at once: each holds rows of its own on the way."""

HELD_BYTES = 1_500_000_000
"""Rows on their way to the kernel that stay in memory; the others go to disk."""

TWO_ORDERS = "min(order_id) <> max(order_id)"
"""SQL: the purchases of a customer are of more than one order."""


class Tables:
    """Input tables behind one DuckDB connection, checked against the contract.

    Use as a context manager. Good rows are in views named after the table; bad
    rows are counted in ``quarantined`` and written by ``write_quarantine``.

    Raises:
        ContractError: ``data`` is missing, has no ``purchases``, or a table
            breaks the contract; one line per problem.
        SettingError: ``memory_limit`` is no size, or too low to read a table; or
            a database cannot be read.
    """

    def __init__(
        self,
        data: Path | Database,
        *,
        memory_limit: str = "1GB",
        threads: int = 2,
        erased: Erased = NOBODY,
    ) -> None:
        self.data = data
        self._erased = erased
        self._threads = threads
        self._reader = 0
        self._open = ExitStack()
        try:
            # Of its own: DuckDB would share one with every process of this folder.
            folder = self._open.enter_context(scratch())
            self._db = self._open.enter_context(connect(memory_limit, threads))
            self._db.execute(f"SET temp_directory = {quoted(str(folder))}")
            self._place = self._open.enter_context(local(data))
            self._files = files_of(self._place)
            self._checked = quality.register(self._db, self._place, erased)
        except BaseException:
            self._open.close()
            raise
        self.quarantined = {
            name: checked.bad_rows for name, checked in self._checked.items()
        }

    def __enter__(self) -> Tables:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._open.close()

    @property
    def connection(self) -> duckdb.DuckDBPyConnection:
        """Where the views of good rows are, for questions of one's own."""
        return self._db

    def has(self, table: Table) -> bool:
        """Whether the table is there with at least one good row."""
        checked = self._checked.get(table.name)
        return checked is not None and checked.rows > checked.bad_rows

    def scores(self, moment: datetime | None = None) -> tuple[scores.TableScore, ...]:
        """Data quality of every table that is there; see ``scores.measure``."""
        return scores.measure(self._db, self._checked, moment)

    def write_quarantine(self, folder: Path) -> None:
        """Write bad rows with their ``reason`` to ``folder/TABLE.parquet``.

        Raises:
            SettingError: the folder cannot be written.
        """
        for name, checked in self._checked.items():
            quality.write_bad_rows(self._db, checked, folder / f"{name}.parquet")

    def digest(self) -> str:
        """Hash of the input, byte by byte; other bytes of equal rows differ too.

        With every customer who is erased it is another one.

        Raises:
            ContractError: a file changed since the input was opened.
        """
        with self._read("the tables"):
            return self._erased.mark(digest_of(self._place, self._files))

    def first_purchase(self, until: datetime) -> datetime:
        """Time of the first purchase known before a moment.

        Raises:
            ContractError: there is none.
        """
        with self._read(PURCHASES.name):
            (first,) = self._row(
                "SELECT epoch_us(min(ts)) FROM purchases "
                f"WHERE {BOUGHT} AND {known_before(PURCHASES, until)}"
            )
        if first is None:
            raise self._no_purchase(until)
        return from_us(first)

    def count_customers(self, until: datetime) -> int:
        """Customers with a purchase known before a moment."""
        with self._read(PURCHASES.name):
            (count,) = self._row(
                "SELECT count(DISTINCT customer_id) FROM purchases "
                f"WHERE {BOUGHT} AND {known_before(PURCHASES, until)}"
            )
        return int(count)

    def first_and_last_purchase(self) -> tuple[datetime, datetime]:
        """Times of the first and the last purchase in the table; returns are none.

        Raises:
            ContractError: every order line is a return.
        """
        with self._read(PURCHASES.name):
            low, high = self._row(
                "SELECT epoch_us(min(ts)), epoch_us(max(ts)) FROM purchases "
                f"WHERE {BOUGHT}"
            )
        if low is None:
            raise only_returns(self._checked["purchases"].file)
        return from_us(low), from_us(high)

    def history(self, until: datetime) -> History:
        """Everything known before ``until``, ordered and coded.

        Raises:
            ContractError: no purchase was known before ``until``, no customer had
                ordered twice, or a file turned out to be damaged or changed.
            SettingError: the memory limit is too low.
        """
        parts = self._parts(until, None, None)
        with self._read("the tables"), closing(parts):
            return next(parts)

    def parts(
        self,
        until: datetime,
        columns: Mapping[str, set[str]] | None = None,
        customers_per_part: int = CUSTOMERS_PER_PART,
    ) -> Generator[History]:
        """The same in parts of customers, in bounded memory.

        Args:
            until: as of ``history``.
            columns: by table name, the columns of ``Events`` to read, of
                ``customers`` any; tables not named are left out. None: all.
            customers_per_part: about how many.

        Raises:
            ContractError, SettingError: as of ``history``.
        """
        with self._read("the tables"):
            yield from self._parts(until, columns, customers_per_part)

    def _parts(
        self,
        until: datetime,
        columns: Mapping[str, set[str]] | None,
        customers_per_part: int | None,
    ) -> Generator[History]:
        # The views of a reader bear the same names for every moment.
        self._reader += 1
        reader_id = self._reader
        make_known(self._db, (t for t in TABLES if self.has(t)), until)
        self._must_have_orders(until)
        named = {t for t in TABLES if columns is None or t.name in columns}
        # A table whose rows all come later must look as if it was not there.
        known = frozenset(
            table
            for table in TABLES
            if (table in named or table not in (CUSTOMERS, *EVENT_TABLES))
            and self.has(table)
            and self._any_known(table)
        )
        with scratch() as folder:
            reader = Reader(
                self._db,
                until,
                known,
                folder,
                Memory(HELD_BYTES),
                customers_per_part,
                slices=min(self._threads, MOST_SLICES),
                # Each slice would parse or make all of it.
                undivided=frozenset(
                    t for t in known if not self._checked[t.name].is_stored
                ),
            )
            for part in reader.parts(columns):
                # Before the first part is out, all has been read.
                self._must_be_unchanged()
                yield part
                if self._reader != reader_id:
                    raise ValueError(
                        "parts: expected to be read to the end before another history "
                        "of the same Tables, got one in between; open the input twice"
                    )

    def purchases_between(
        self, start: datetime, end: datetime, *, returns: bool = False
    ) -> pa.Table:
        """Purchases with ``start <= ts < end``, whenever they became known.

        For labels only.

        Args:
            start: of the window.
            end: of it; rows at this moment are not in it.
            returns: whether lines with a negative quantity are among them.

        Returns:
            ``customer_id``, ``product_id``, ``order_id``, ``ts``, ``quantity``,
            ``amount``; ordered by all of them.
        """
        with self._read(PURCHASES.name):
            return self._db.execute(
                "SELECT customer_id, product_id, order_id, ts, quantity, amount "
                "FROM purchases WHERE ts >= ? AND ts < ? "
                f"AND ({BOUGHT} OR {returns}) ORDER BY ALL",
                [start, end],
            ).to_arrow_table()

    def table(self, table: Table) -> pa.Table | None:
        """All good rows of a table, ordered by every column; None if missing."""
        if not self.has(table):
            return None
        with self._read(table.name):
            return self._db.execute(
                f"SELECT * FROM {table.name} ORDER BY ALL"
            ).to_arrow_table()

    # -- coding and reading ---------------------------------------------------

    @contextmanager
    def _read(self, table: str) -> Generator[None]:
        """What goes wrong while a table is read, as one line.

        Raises:
            ContractError, SettingError: as of ``reading``; or a file changed since
                the input was opened, so that not all of it is of one moment.
        """
        checked = self._checked.get(table)
        try:
            with reading(table, checked.file if checked else str(self.data)):
                yield
        except (duckdb.Error, ContractError, OSError):
            # Whatever it looked like, this is why.
            self._must_be_unchanged()
            raise
        self._must_be_unchanged()

    def _must_be_unchanged(self) -> None:
        must_be_unchanged(self._place, self._files, str(self.data))

    def _row(self, query: str) -> tuple[Any, ...]:
        return self._db.execute(query).fetchall()[0]

    def _must_have_orders(self, until: datetime) -> None:
        """Refuse a history without a purchase, or where nobody ordered twice."""
        if not self._db.execute(
            f"FROM known_purchases WHERE {BOUGHT} LIMIT 1"
        ).fetchall():
            raise self._no_purchase(until)
        # The first rows settle it almost always, and spare a pass over all.
        if not any(
            self._row(
                "SELECT count(*) > 0 FROM (SELECT customer_id FROM "
                f"(SELECT * FROM known_purchases WHERE {BOUGHT} {limit}) "
                f"GROUP BY ALL HAVING {TWO_ORDERS})"
            )[0]
            for limit in ("LIMIT 200000", "")
        ):
            raise no_two_orders(until, self._checked["purchases"].file)

    def _no_purchase(self, until: datetime) -> ContractError:
        return too_early(self.first_and_last_purchase()[0], until)

    def _any_known(self, table: Table) -> bool:
        return bool(self._db.execute(f"FROM known_{table.name} LIMIT 1").fetchall())


def make_known(
    db: duckdb.DuckDBPyConnection, tables: Iterable[Table], until: datetime
) -> None:
    """A view ``known_TABLE`` of the good rows of each that were known before."""
    for table in tables:
        db.execute(
            f"CREATE OR REPLACE VIEW known_{table.name} AS "
            f"SELECT * FROM {table.name} WHERE {known_before(table, until)}"
        )


def make_known_ids(db: duckdb.DuckDBPyConnection) -> int:
    """The table ``known_ids`` of everyone with a purchase known; how many they are."""
    db.execute(
        "CREATE OR REPLACE TEMP TABLE known_ids AS SELECT customer_id AS id, "
        f"hash(customer_id) AS key FROM known_purchases WHERE {BOUGHT} "
        "GROUP BY customer_id"
    )
    return db.execute("SELECT count(*) FROM known_ids").fetchall()[0][0]


def only_returns(file: str) -> ContractError:
    """Every order line is a return."""
    return ContractError(
        "purchases.quantity: expected at least one purchase, got only returns "
        f"(negative quantities) in {file}; check the sign in the export"
    )


def too_early(first: datetime, until: datetime) -> ContractError:
    """No purchase was known before ``until``; the first one was ``first``."""
    return ContractError(
        f"cutoff: expected a moment after the first purchase ({first:%Y-%m-%d}), "
        f"got {until:%Y-%m-%d}; choose a later cutoff"
    )


def no_two_orders(until: datetime, file: str) -> ContractError:
    """No customer had ordered twice before ``until``."""
    return ContractError(
        "purchases.order_id: expected at least one customer with two orders "
        f"before {until:%Y-%m-%d}, got none in {file}; "
        "check that order_id tells orders apart and customer_id is stable"
    )


def known_before(table: Table, until: datetime) -> str:
    """SQL: the row had happened and was known before ``until``."""
    moment = f"make_timestamp({to_us(until)})"
    conditions = [f"coalesce({table.known} < {moment}, true)"] if table.known else []
    if table.happened:
        conditions.append(f"{table.happened} < {moment}")
    return " AND ".join(conditions) or "true"
