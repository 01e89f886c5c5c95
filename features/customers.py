"""Everyone with a purchase, met while the purchases are read."""

from __future__ import annotations

from itertools import pairwise

import duckdb
import numpy as np
import pyarrow as pa

from features.contracts import ContractError
from features.history import Array, Longs
from features.lookup import Met
from features.spool import BUCKET_SHIFT, BUCKETS

BOUGHT = "quantity >= 0"
"""SQL of ``Events.bought``."""


class Customers:
    """The ids of all buyers; several threads may add to them."""

    def __init__(self) -> None:
        self._met = Met()
        self._ids: list[pa.StringArray] = []

    def meet(self, keys: Longs, ids: pa.StringArray, bought: Array) -> None:
        """Take in the customers of some purchases.

        Args:
            keys: the hash of each row's customer.
            ids: the customers.
            bought: ``BOUGHT`` of each row: a return makes nobody a buyer.

        Raises:
            ContractError: two ids have the same hash.
        """
        try:
            rows = self._met.first(keys, ids, bought)
        except ValueError:
            raise ContractError(alike("purchases.customer_id")) from None
        if len(rows):
            self._ids.append(ids.take(pa.array(rows)))

    def write(self, db: duckdb.DuckDBPyConnection) -> int:
        """Make the table ``customer_keys``: ``id``, ``key``, ``bucket``.

        Returns:
            How many they are.
        """
        ids = pa.chunked_array(self._ids, pa.string())
        db.register("met", pa.table({"id": ids}))
        db.execute(
            "CREATE OR REPLACE TEMP TABLE customer_keys AS SELECT id, hash(id) AS key, "
            f"((hash(id) >> {BUCKET_SHIFT}) % {BUCKETS})::INTEGER AS bucket FROM met "
            "ORDER BY bucket"
        )
        db.unregister("met")
        return len(ids)


def alike(what: str) -> str:
    """Two ids of one hash, as a line."""
    return (
        f"{what}: expected ids of different hashes, got two of one hash; "
        "rename one of them (chances are one in a million at ten million ids)"
    )


def parts_of(n_customers: int, customers_per_part: int | None) -> list[tuple[int, int]]:
    """Buckets of each part: the first, and the one after the last.

    Args:
        n_customers: in all.
        customers_per_part: about how many; None: all in one part. A part is of one
            bucket at least, so that of very many customers it has more.
    """
    wanted = -(-n_customers // customers_per_part) if customers_per_part else 1
    edges = np.linspace(0, BUCKETS, min(wanted, BUCKETS) + 1).astype(int).tolist()
    return list(pairwise(edges))
