"""Reads tables, on DuckDB: the only place where input enters the system.

Sorting, filtering and joining happen in the engine; what leaves it is a
``History``: ordered arrays of what was known before a moment.
"""

from __future__ import annotations

from contextlib import ExitStack
from datetime import datetime
from pathlib import Path
from tempfile import TemporaryDirectory
from types import TracebackType
from typing import Any

import duckdb
import pyarrow as pa

from features import quality, scores
from features.coding import arrays_of
from features.columns import sql_type
from features.contracts import (
    BROWSES,
    CAMPAIGNS,
    CUSTOMERS,
    FEEDBACK,
    INQUIRIES,
    PRODUCTS,
    PROMOTIONS,
    PURCHASES,
    TABLES,
    TOUCHES,
    ContractError,
    SettingError,
    Table,
)
from features.database import Database
from features.history import (
    Array,
    Events,
    History,
    Products,
    Promotions,
    offsets_of,
    with_fingerprint,
)
from features.postgres import local
from features.snapshot import from_us, to_us
from features.sql import quoted

_BOUGHT = "quantity >= 0"
"""SQL of ``Events.bought``."""


def connect(memory_limit: str = "1GB", threads: int = 2) -> duckdb.DuckDBPyConnection:
    """A DuckDB connection in UTC with bounded memory; it spills to disk.

    Raises:
        SettingError: DuckDB does not understand the memory limit.
    """
    try:
        db = duckdb.connect(config={"memory_limit": memory_limit, "threads": threads})
    except duckdb.ParserException:
        raise SettingError(
            f"engine.memory_limit: expected a size such as 1GB, got {memory_limit!r}; "
            "give a number and KB, MB, GB or TB"
        ) from None
    # Only after the connection: the time zones come in an extension.
    db.execute("SET TimeZone = 'UTC'")
    # It would be drawn into whatever is printed, on a terminal or not.
    db.execute("SET enable_progress_bar = false")
    return db


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
        self, data: Path | Database, *, memory_limit: str = "1GB", threads: int = 2
    ) -> None:
        self.data = data
        self._open = ExitStack()
        try:
            # Of its own: DuckDB would share one with every process of this folder.
            spilled = TemporaryDirectory(prefix="repurchase-")
            folder = self._open.enter_context(spilled)
            self._db = self._open.enter_context(connect(memory_limit, threads))
            self._db.execute(f"SET temp_directory = {quoted(folder)}")
            place = self._open.enter_context(local(data))
            self._checked = quality.register(self._db, place)
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

    def first_and_last_purchase(self) -> tuple[datetime, datetime]:
        """Times of the first and the last purchase in the table; returns are none.

        Raises:
            ContractError: every order line is a return.
        """
        low, high = self._row(
            "SELECT epoch_us(min(ts)), epoch_us(max(ts)) FROM purchases "
            f"WHERE {_BOUGHT}"
        )
        if low is None:
            raise ContractError(
                "purchases.quantity: expected at least one purchase, got only returns "
                f"(negative quantities) in {self._checked['purchases'].file}; "
                "check the sign in the export"
            )
        return from_us(low), from_us(high)

    def history(self, until: datetime) -> History:
        """Everything known before ``until``, ordered and coded.

        Raises:
            ContractError: no purchase was known before ``until``, or no
                customer had ordered twice.
        """
        for table in (t for t in TABLES if self.has(t)):
            self._db.execute(
                f"CREATE OR REPLACE TEMP VIEW known_{table.name} AS "
                f"SELECT * FROM {table.name} WHERE {_known_before(table, until)}"
            )
        self._reject_empty(until)
        # A table whose rows all come later must look as if it was not there.
        known = {t for t in TABLES if self.has(t) and self._any_known(t)}
        self._code(
            "customer_codes",
            f"SELECT customer_id AS id FROM known_purchases WHERE {_BOUGHT}",
        )
        products = "SELECT product_id AS id FROM known_purchases"
        if PRODUCTS in known:
            products += " UNION ALL SELECT product_id FROM known_products"
        self._code("product_codes", products)
        customers = self._ids("customer_codes")
        optional = {
            table.name: self._events(table, len(customers)) if table in known else None
            for table in (BROWSES, INQUIRIES, FEEDBACK, TOUCHES)
        }
        history = History(
            until=until,
            customers=customers,
            products=self._products(master=PRODUCTS in known),
            purchases=self._events(PURCHASES, len(customers)),
            profiles=self._profiles() if CUSTOMERS in known else None,
            campaigns=self._known(CAMPAIGNS) if CAMPAIGNS in known else None,
            promotions=self._promotions() if PROMOTIONS in known else None,
            fingerprint="",
            **optional,
        )
        return with_fingerprint(history)

    def purchases_between(self, start: datetime, end: datetime) -> pa.Table:
        """Purchases with ``start <= ts < end``, whenever they became known.

        For labels only. Returns lines (a negative quantity) are left out.

        Returns:
            ``customer_id``, ``product_id``, ``order_id``, ``ts``, ``quantity``,
            ``amount``; ordered by all of them.
        """
        return self._db.execute(
            "SELECT customer_id, product_id, order_id, ts, quantity, amount "
            f"FROM purchases WHERE ts >= ? AND ts < ? AND {_BOUGHT} ORDER BY ALL",
            [start, end],
        ).to_arrow_table()

    def table(self, table: Table) -> pa.Table | None:
        """All good rows of a table, ordered by every column; None if missing."""
        if not self.has(table):
            return None
        return self._db.execute(
            f"SELECT * FROM {table.name} ORDER BY ALL"
        ).to_arrow_table()

    # -- coding and reading ---------------------------------------------------

    def _row(self, query: str) -> tuple[Any, ...]:
        return self._db.execute(query).fetchall()[0]

    def _reject_empty(self, until: datetime) -> None:
        known, twice = self._row(
            "SELECT coalesce(sum(orders), 0), count(*) FILTER (WHERE orders > 1) FROM "
            "(SELECT count(DISTINCT order_id) AS orders FROM known_purchases "
            f"WHERE {_BOUGHT} GROUP BY customer_id)"
        )
        if not known:
            first, _ = self.first_and_last_purchase()
            raise ContractError(
                f"cutoff: expected a moment after the first purchase ({first:%Y-%m-%d}), "
                f"got {until:%Y-%m-%d}; choose a later cutoff"
            )
        if not twice:
            raise ContractError(
                "purchases.order_id: expected at least one customer with two orders "
                f"before {until:%Y-%m-%d}, got none in {self._checked['purchases'].file}; "
                "check that order_id tells orders apart and customer_id is stable"
            )

    def _code(self, name: str, ids: str) -> None:
        self._db.execute(
            f"CREATE OR REPLACE TEMP TABLE {name} AS SELECT id, "
            f"(row_number() OVER (ORDER BY id) - 1)::INTEGER AS code "
            f"FROM (SELECT DISTINCT id FROM ({ids}) WHERE id IS NOT NULL)"
        )

    def _ids(self, name: str) -> Array:
        rows = self._db.execute(f"SELECT id FROM {name} ORDER BY code").to_arrow_table()
        return rows.column("id").to_numpy().astype(object)

    def _events(self, table: Table, n_customers: int) -> Events:
        source = f"known_{table.name}"
        fields: dict[str, str] = {}
        joins = "JOIN customer_codes c ON c.id = e.customer_id"
        for column in table.columns:
            if column.name == "product_id":
                fields["product"] = "coalesce(p.code, -1)"
                joins += " LEFT JOIN product_codes p ON p.id = e.product_id"
            elif column.name == "order_id":
                self._code("order_codes", f"SELECT order_id AS id FROM {source}")
                fields["order"] = "o.code"
                joins += " JOIN order_codes o ON o.id = e.order_id"
            elif column.dtype in ("number", "flag"):
                fields[column.name] = (
                    f"coalesce(e.{column.name}::DOUBLE, 'nan'::DOUBLE)"
                )
            elif column.name not in ("customer_id", "ts", "known_at"):
                fields[column.name] = f"e.{column.name}"
        named = ", ".join(f'{sql} AS "{name}"' for name, sql in fields.items())
        rows = self._db.execute(
            f"SELECT c.code AS customer, epoch_us(e.ts) AS ts, "
            f"epoch_us(coalesce(e.known_at, e.ts)) AS known_at, {named} "
            f"FROM {source} e {joins} ORDER BY ALL"
        ).to_arrow_table()
        arrays, words = arrays_of(
            rows, {c.name: c.kinds for c in table.columns if c.kinds}
        )
        customer = arrays.pop("customer")
        return Events(
            customer=customer,
            ts=arrays.pop("ts"),
            known_at=arrays.pop("known_at"),
            columns=arrays,
            words=words,
            offsets=offsets_of(customer, n_customers),
        )

    def _any_known(self, table: Table) -> bool:
        return bool(self._db.execute(f"FROM known_{table.name} LIMIT 1").fetchall())

    def _products(self, *, master: bool) -> Products:
        if master:
            rows = "SELECT * FROM known_products"
        else:
            nothing = ", ".join(
                f"NULL::{sql_type(c)} AS {c.name}" for c in PRODUCTS.columns
            )
            rows = f"SELECT {nothing} WHERE false"
        arrays, words = arrays_of(
            self._db.execute(
                "SELECT p.id, coalesce(m.name, p.id) AS name, m.category, m.subcategory, "
                "m.brand, m.price::DOUBLE AS price, m.margin_rate::DOUBLE AS margin_rate, "
                "m.service_life_days::DOUBLE AS service_life_days, "
                "coalesce(m.available, true) AS available "
                f"FROM product_codes p LEFT JOIN ({rows}) m ON m.product_id = p.id "
                "ORDER BY p.code"
            ).to_arrow_table(),
            as_text=("id", "name"),
        )
        return Products(
            ids=arrays.pop("id"), names=arrays.pop("name"), words=words, **arrays
        )

    def _known(self, table: Table) -> pa.Table:
        return self._db.execute(
            f"SELECT * FROM known_{table.name} ORDER BY ALL"
        ).to_arrow_table()

    def _profiles(self) -> pa.Table:
        return self._db.execute(
            "SELECT c.code AS customer, t.valid_from, t.* EXCLUDE (customer_id, valid_from) "
            "FROM known_customers t JOIN customer_codes c ON c.id = t.customer_id "
            "ORDER BY ALL NULLS FIRST"
        ).to_arrow_table()

    def _promotions(self) -> Promotions:
        arrays, words = arrays_of(
            self._db.execute(
                "SELECT p.code AS product, epoch_us(t.starts_at) AS starts, "
                "epoch_us(t.ends_at) AS ends, "
                "epoch_us(coalesce(t.known_at, t.starts_at)) AS known_at, t.kind, "
                "t.price::DOUBLE AS price, t.reach::DOUBLE AS reach FROM known_promotions t "
                "JOIN product_codes p ON p.id = t.product_id ORDER BY ALL"
            ).to_arrow_table(),
            {"kind": PROMOTIONS.column("kind").kinds},
        )
        return Promotions(words=words["kind"], **arrays)


def _known_before(table: Table, until: datetime) -> str:
    """SQL: the row had happened and was known before ``until``."""
    moment = f"make_timestamp({to_us(until)})"
    conditions = [f"coalesce({table.known} < {moment}, true)"] if table.known else []
    if table.happened:
        conditions.append(f"{table.happened} < {moment}")
    return " AND ".join(conditions) or "true"
