"""What was known before a moment, read from the engine in parts of customers.

The engine filters and hashes; rows go through a ``Spool`` per event table and
come out part by part, ordered and coded. Parts are told by the hash of the
customer's id, so their size is even and no table of events is sorted as a whole.
A large table is read in slices of time, each by a connection and thread of its own:
what the engine hands out to one of them is put into Arrow by one core.
"""

from __future__ import annotations

import hashlib
from collections import deque
from collections.abc import Callable, Generator, Mapping
from concurrent.futures import FIRST_EXCEPTION, Future, ThreadPoolExecutor, wait
from dataclasses import dataclass, replace
from datetime import datetime
from pathlib import Path

import duckdb
import numpy as np
import pyarrow as pa

from features.coding import arrays_of
from features.columns import decide_texts, sql_type
from features.connection import beside
from features.contracts import (
    BROWSES,
    CAMPAIGNS,
    CUSTOMERS,
    FEEDBACK,
    INQUIRIES,
    PRODUCTS,
    PROMOTIONS,
    PURCHASES,
    TOUCHES,
    Column,
    ContractError,
    Table,
)
from features.customers import BUYER, Customers, alike, parts_of
from features.history import History, Products, Promotions
from features.lookup import Lookup
from features.profile import is_wordy
from features.rows import Coded, Layout, called
from features.spool import Memory, Spool
from features.sql import identifier

EVENT_TABLES = (PURCHASES, BROWSES, INQUIRIES, FEEDBACK, TOUCHES)

BATCH_ROWS = 122_880

SAMPLE = 10_000
"""Times of so many rows tell where to cut; a table of fewer is read in one."""

READ_AHEAD = 2
"""Parts that are put in order before they are asked for."""

_ALWAYS = np.iinfo(np.int64).min

_TIMES = ("customer_id", "ts", "known_at")


@dataclass(frozen=True)
class Reader:
    """Reads views ``known_TABLE``: contract columns of rows known before ``until``.

    Attributes:
        db: connection with the views.
        known: tables with such a row.
        folder: for spools.
        memory: of spools.
        customers_per_part: about how many; None: all in one part.
        slices: in how many a large table is read at once; with more than one, no view
            may be temporary.
        undivided: tables that are read in one, whatever their size.
    """

    db: duckdb.DuckDBPyConnection
    until: datetime
    known: frozenset[Table]
    folder: Path
    memory: Memory
    customers_per_part: int | None = None
    slices: int = 1
    undivided: frozenset[Table] = frozenset()

    def parts(
        self, columns: Mapping[str, set[str]] | None = None
    ) -> Generator[History]:
        """One history per part; customers ordered by id within each.

        Args:
            columns: by table name, the columns of ``Events`` to read; tables
                not named are left out. None: all.
        """
        self._code("product_codes", self._product_ids(columns))
        customers = Customers()
        coded = {
            table.name: self._spool(
                table, None if columns is None else columns[table.name], customers
            )
            for table in EVENT_TABLES
            if table in self.known
        }
        parts = parts_of(customers.write(self.db), self.customers_per_part)
        shared, has_profiles = self._shared(coded), CUSTOMERS in self.known

        def read(
            part: tuple[int, int], ids: pa.Table, profiles: pa.Table | None
        ) -> History:
            keys = _keys_of(ids)
            events = {name: table.events(keys, part) for name, table in coded.items()}
            return replace(
                shared,
                customers=ids.column("id").to_numpy().astype(object),
                profiles=profiles,
                **events,
            )

        # Rows of the next parts are put in order while this one is used.
        with ThreadPoolExecutor(READ_AHEAD) as pool:
            waiting: deque[Future[History]] = deque()
            for part in parts:
                ids = self._customers(part)
                rows = self._profiles(part, _keys_of(ids)) if has_profiles else None
                waiting.append(pool.submit(read, part, ids, rows))
                if len(waiting) > READ_AHEAD:
                    yield waiting.popleft().result()
            while waiting:
                yield waiting.popleft().result()

    def _code(self, name: str, ids: str) -> None:
        self.db.execute(
            f"CREATE OR REPLACE TEMP TABLE {name} AS SELECT id, hash(id) AS key, "
            f"(row_number() OVER (ORDER BY id) - 1)::INTEGER AS code "
            f"FROM (SELECT DISTINCT id FROM ({ids}) WHERE id IS NOT NULL)"
        )

    def _product_ids(self, columns: Mapping[str, set[str]] | None) -> str:
        """SQL of every product that an event read names, or ``products``.

        Those that nobody has bought yet too: else it would depend on later
        purchases whether an earlier event has a product.
        """
        tables = [
            table
            for table in EVENT_TABLES
            if table in self.known
            and any(column.name == "product_id" for column in table.columns)
            and (columns is None or "product" in columns[table.name])
        ]
        if not tables:
            return f"SELECT product_id AS id FROM known_{PURCHASES.name} LIMIT 0"
        tables += [PRODUCTS] if PRODUCTS in self.known else []
        return " UNION ALL ".join(
            f"SELECT DISTINCT product_id AS id FROM known_{t.name}" for t in tables
        )

    def _keys(self, sql: str, what: str) -> Lookup:
        """Hashes in the order of the query, as codes."""
        keys = self.db.execute(sql).to_arrow_table().column(0).to_numpy()
        try:
            return Lookup.of(keys.view(np.int64))
        except ValueError:
            raise ContractError(alike(what)) from None

    def _customers(self, part: tuple[int, int]) -> pa.Table:
        """``id`` and ``key`` of the customers of a part, by id."""
        return self.db.execute(
            "SELECT id, key FROM customer_keys WHERE bucket >= ? AND bucket < ? "
            "ORDER BY id",
            part,
        ).to_arrow_table()

    def _spool(
        self, table: Table, wanted: set[str] | None, customers: Customers
    ) -> Coded:
        columns = tuple(
            column
            for column in table.columns
            if column.name not in _TIMES
            and (wanted is None or called(column) in wanted)
        )
        words: dict[str, tuple[str, ...]] = {}
        lookups: dict[str, Lookup] = {}
        for column in columns:
            name = column.name
            if name == "product_id":
                lookups[name] = self._keys(
                    "SELECT key FROM product_codes ORDER BY code", "products.product_id"
                )
            elif column.dtype in ("id", "text") and name != "order_id":
                words[name] = column.kinds or self._words(table, name)
                lookups[name] = self._keys(
                    f"SELECT hash(unnest({list(words[name])}::VARCHAR[]))",
                    f"{table.name}.{name}",
                )
        layout = Layout.of(columns, {n: t.size for n, t in lookups.items()})
        spool = Spool(self.folder / table.name, layout.n_words, self.memory)
        sql = _rows_sql(table, columns)

        def fill(db: duckdb.DuckDBPyConnection, when: str) -> None:
            rows = db.execute(f"{sql} WHERE {when}").to_arrow_reader(BATCH_ROWS)
            for batch in rows:
                if table == PURCHASES:
                    keys = batch.column("key").to_numpy().view(np.int64)
                    customers.meet(keys, batch.column("buyer"))
                spool.add(layout.pack(batch, lookups))

        self._in_slices(table, fill)
        return Coded(spool, layout, words)

    def _in_slices(
        self, table: Table, fill: Callable[[duckdb.DuckDBPyConnection, str], None]
    ) -> None:
        """Call with a connection and the SQL of a slice of time, on a thread each.

        Times and not rows, since every source has them, and an export is most often
        in their order: then no slice reads what is another's.
        """
        edges = self.edges(table)
        if not edges:
            fill(self.db, "true")
            return
        moments = [f"make_timestamp({edge})" for edge in edges]
        below = [f"ts < {moment}" for moment in moments]
        above = [f"ts >= {moment}" for moment in moments]
        whens = [
            " AND ".join(pair)
            for pair in zip(["true", *above], [*below, "true"], strict=True)
        ]
        connections = [beside(self.db) for _ in whens]
        with ThreadPoolExecutor(len(whens)) as pool:
            filled = [
                pool.submit(fill, *of) for of in zip(connections, whens, strict=True)
            ]
            try:
                wait(filled, return_when=FIRST_EXCEPTION)
                failed = [one for one in filled if one.done() and one.exception()]
                for one in failed or filled:
                    one.result()
            except BaseException:
                for connection in connections:
                    connection.interrupt()
                raise
            finally:
                wait(filled)
                for connection in connections:
                    connection.close()

    def edges(self, table: Table) -> list[int]:
        """Moments, microseconds, that cut the rows of a large table evenly; or none."""
        if self.slices == 1 or table in self.undivided:
            return []
        shares = [n / self.slices for n in range(1, self.slices)]
        sample = f"SELECT epoch_us(ts) AS us FROM known_{table.name} USING SAMPLE {SAMPLE} ROWS"
        rows, edges = self.db.execute(
            f"SELECT count(*), quantile_disc(us, {shares}) FROM ({sample})"
        ).fetchall()[0]
        return sorted(set(edges)) if rows == SAMPLE else []

    def _words(self, table: Table, name: str) -> tuple[str, ...]:
        rows = self.db.execute(
            f"SELECT DISTINCT {name} FROM known_{table.name} "
            f"WHERE {name} IS NOT NULL ORDER BY 1"
        ).fetchall()
        return tuple(row[0] for row in rows)

    def _shared(self, coded: Mapping[str, Coded]) -> History:
        """What all parts have in common."""
        wordy = self._make_profiles()
        since = {name: table.spool.known for name, table in coded.items()}
        if CUSTOMERS in self.known:
            ((first,),) = self.db.execute(
                f"SELECT min(coalesce(epoch_us({CUSTOMERS.known}), {_ALWAYS})) FROM profiles"
            ).fetchall()
            # None where all rows are of people who never bought.
            since |= {} if first is None else {CUSTOMERS.name: first}
        return History(
            until=self.until,
            customers=np.empty(0, object),
            products=self._products(),
            purchases=coded[PURCHASES.name].events(
                Lookup.of(np.empty(0, np.int64)), (0, 0)
            ),
            browses=None,
            inquiries=None,
            feedback=None,
            touches=None,
            profiles=None,
            campaigns=self._whole(CAMPAIGNS),
            promotions=self._promotions(),
            since=since,
            wordy=wordy,
            fingerprint=self._fingerprint(coded),
        )

    def _products(self) -> Products:
        if PRODUCTS in self.known:
            rows = "SELECT * FROM known_products"
        else:
            nothing = ", ".join(
                f"NULL::{sql_type(c)} AS {c.name}" for c in PRODUCTS.columns
            )
            rows = f"SELECT {nothing} WHERE false"
        arrays, words = arrays_of(
            self.db.execute(
                "SELECT p.id, coalesce(m.name, p.id) AS name, m.category, m.subcategory, "
                "m.brand, m.price::DOUBLE AS price, m.margin_rate::DOUBLE AS margin_rate, "
                "m.service_life_days::DOUBLE AS service_life_days, "
                "coalesce(m.available, true) AS available, "
                f"coalesce(epoch_us(m.launched_at), {_ALWAYS}) AS launched "
                f"FROM product_codes p LEFT JOIN ({rows}) m ON m.product_id = p.id "
                "ORDER BY p.code"
            ).to_arrow_table(),
            as_text=("id", "name"),
        )
        return Products(
            ids=arrays.pop("id"), names=arrays.pop("name"), words=words, **arrays
        )

    def _whole(self, table: Table) -> pa.Table | None:
        if table not in self.known:
            return None
        return self.db.execute(
            f"SELECT * FROM known_{table.name} ORDER BY ALL"
        ).to_arrow_table()

    def _promotions(self) -> Promotions | None:
        if PROMOTIONS not in self.known:
            return None
        arrays, words = arrays_of(
            self.db.execute(
                "SELECT p.code AS product, epoch_us(t.starts_at) AS starts, "
                "epoch_us(t.ends_at) AS ends, "
                "epoch_us(coalesce(t.known_at, t.starts_at)) AS known_at, t.kind, "
                "t.price::DOUBLE AS price, t.reach::DOUBLE AS reach FROM known_promotions t "
                "JOIN product_codes p ON p.id = t.product_id ORDER BY ALL"
            ).to_arrow_table(),
            {"kind": PROMOTIONS.column("kind").kinds},
        )
        return Promotions(words=words["kind"], **arrays)

    def _make_profiles(self) -> tuple[str, ...]:
        """The table ``profiles``, by part; and what of it is no feature."""
        if CUSTOMERS not in self.known:
            return ()
        self.db.execute(
            "CREATE OR REPLACE TEMP TABLE profiles AS SELECT c.bucket, c.key, t.* "
            "FROM known_customers t JOIN customer_keys c ON c.id = t.customer_id "
            "ORDER BY bucket"
        )
        decide_texts(self.db, "profiles")
        return _wordy(self.db)

    def _profiles(self, part: tuple[int, int], keys: Lookup) -> pa.Table:
        """The rows of ``profiles`` of a part, by customer and ``valid_from``."""
        rows = self.db.execute(
            "SELECT customer_id, valid_from, * EXCLUDE (bucket, customer_id, valid_from) "
            "FROM profiles WHERE bucket >= ? AND bucket < ? ORDER BY ALL NULLS FIRST",
            part,
        ).to_arrow_table()
        customer = keys.find(rows.column("key").to_numpy().view(np.int64))
        return rows.set_column(0, "customer", pa.array(customer)).drop_columns("key")

    def _fingerprint(self, coded: Mapping[str, Coded]) -> str:
        """Hash of all rows read, whatever their order and the number of parts."""
        said: list[object] = [self.until.isoformat()]
        for name, table in coded.items():
            said += [
                name,
                table.layout,
                table.words,
                table.spool.rows,
                table.spool.digest,
            ]
        others = {"profiles": CUSTOMERS, "product_codes": PURCHASES}
        others |= {f"known_{t.name}": t for t in (PRODUCTS, CAMPAIGNS, PROMOTIONS)}
        for view, table in others.items():
            if table in self.known:
                rows = "* EXCLUDE (bucket)" if view == "profiles" else "*"
                said += self.db.execute(
                    "SELECT count(*), sum(hash(t)::HUGEINT), bit_xor(hash(t)) "
                    f"FROM (SELECT {rows} FROM {view}) t"
                ).fetchall()
        return hashlib.sha256(repr(said).encode()).hexdigest()


def _rows_sql(table: Table, columns: tuple[Column, ...]) -> str:
    """SQL of the rows of a table as ``Layout.pack`` takes them."""
    fields = ["hash(customer_id) AS key", "ts", "coalesce(known_at, ts) AS known"]
    fields += [f"{BUYER} AS buyer"] if table == PURCHASES else []
    for column in columns:
        sql = f"hash({column.name})"
        if column.dtype in ("number", "flag"):
            sql = f"coalesce({column.name}::DOUBLE, 'nan'::DOUBLE)"
        fields.append(f"{sql} AS {column.name}")
    return f"SELECT {', '.join(fields)} FROM known_{table.name}"


def _wordy(db: duckdb.DuckDBPyConnection) -> tuple[str, ...]:
    """Texts of ``profiles`` with too many words."""
    described = db.execute("DESCRIBE profiles").fetchall()
    texts = [
        row[0] for row in described if row[1] == "VARCHAR" and row[0] != "customer_id"
    ]
    counts = ", ".join(
        f"count(DISTINCT {identifier(n)}), "
        f"count(DISTINCT key) FILTER ({identifier(n)} IS NOT NULL)"
        for n in texts
    )
    row = db.execute(f"SELECT {counts or 0} FROM profiles").fetchall()[0]
    return tuple(
        name
        for i, name in enumerate(texts)
        if is_wordy(words=row[2 * i], customers=row[2 * i + 1])
    )


def _keys_of(ids: pa.Table) -> Lookup:
    return Lookup.of(ids.column("key").to_numpy().view(np.int64))
