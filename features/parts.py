"""What was known before a moment, read from the engine in parts of customers.

The engine filters and hashes; rows go through a ``Spool`` per event table and
come out part by part, ordered and coded. Parts are told by the hash of the
customer's id, so their size is even and no table of events is sorted as a whole.
"""

from __future__ import annotations

import hashlib
from collections import deque
from collections.abc import Generator, Mapping
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass, replace
from datetime import datetime
from pathlib import Path

import duckdb
import numpy as np
import pyarrow as pa

from features.columns import decide_texts
from features.contracts import (
    CAMPAIGNS,
    CUSTOMERS,
    EVENT_TABLES,
    PRODUCTS,
    PROMOTIONS,
    PURCHASES,
    Column,
    ContractError,
    Table,
)
from features.customers import BOUGHT, Customers, alike, parts_of
from features.history import ALWAYS, History
from features.lookup import Lookup
from features.profile import is_wordy
from features.rows import Coded, Layout, called
from features.slices import edges_of, in_slices
from features.small import campaigns_of, products_of, promotions_of
from features.spool import Memory, Spool
from features.sql import identifier, quoted

BATCH_ROWS = 122_880

READ_AHEAD = 2
"""Parts that are put in order before they are asked for."""

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
        # Its ids are in the engine now.
        del customers
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
                    f"SELECT hash(unnest([{', '.join(map(quoted, words[name]))}]::VARCHAR[]))",
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
                    bought = batch.column("bought").to_numpy(zero_copy_only=False)
                    customers.meet(keys, batch.column("customer_id"), bought)
                spool.add(layout.pack(batch, lookups))

        one = self.slices == 1 or table in self.undivided
        edges = [] if one else edges_of(self.db, table, self.slices)
        in_slices(self.db, edges, fill)
        return Coded(spool, layout, words)

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
                f"SELECT min(coalesce(epoch_us({CUSTOMERS.known}), {ALWAYS})) FROM profiles"
            ).fetchall()
            # None where all rows are of people who never bought.
            since |= {} if first is None else {CUSTOMERS.name: first}
        return History(
            until=self.until,
            customers=np.empty(0, object),
            products=products_of(self.db, is_there=PRODUCTS in self.known),
            purchases=coded[PURCHASES.name].events(
                Lookup.of(np.empty(0, np.int64)), (0, 0)
            ),
            browses=None,
            inquiries=None,
            feedback=None,
            touches=None,
            profiles=None,
            campaigns=campaigns_of(self.db) if CAMPAIGNS in self.known else None,
            promotions=promotions_of(self.db) if PROMOTIONS in self.known else None,
            since=since,
            wordy=wordy,
            fingerprint=self._fingerprint(coded),
        )

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
                row = "* EXCLUDE (bucket)" if view == "profiles" else "*"
                said += self.db.execute(f"DESCRIBE {view}").fetchall()
                # A column may be called as any alias of the whole row.
                said += self.db.execute(
                    "SELECT count(*), sum(hash::HUGEINT), bit_xor(hash) "
                    f"FROM (SELECT hash(*COLUMNS({row})) AS hash FROM {view})"
                ).fetchall()
        return hashlib.sha256(repr(said).encode()).hexdigest()


def _rows_sql(table: Table, columns: tuple[Column, ...]) -> str:
    """SQL of the rows of a table as ``Layout.pack`` takes them."""
    fields = ["hash(customer_id) AS key", "ts", "coalesce(known_at, ts) AS known"]
    fields += ["customer_id", f"{BOUGHT} AS bought"] if table == PURCHASES else []
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
