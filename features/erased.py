"""Customers who were erased: no build reads a row of theirs.

What is known of them is a salted hash, so every id that the input has is hashed
once; where none is among the erased ones, nothing else is done.
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass, replace

import duckdb

from features.columns import read
from features.sources import Source, reading
from features.sql import quoted

CUSTOMER_ID = "customer_id"


@dataclass(frozen=True)
class Erased:
    """Who was erased.

    Attributes:
        salt: goes before an id.
        hashes: SHA-256 of salt and id as UTF-8, of each of them.
    """

    salt: bytes = b""
    hashes: frozenset[bytes] = frozenset()

    def mark(self, digest: str) -> str:
        """A digest of the input that is another one for each set of the erased."""
        if not self.hashes:
            return digest
        parts = [digest.encode(), *sorted(self.hashes)]
        return hashlib.sha256(b"".join(parts)).hexdigest()


NOBODY = Erased()


def without(
    db: duckdb.DuckDBPyConnection,
    source: Source,
    found: Mapping[str, str],
    erased: Erased,
) -> Source:
    """The source without rows of the erased; itself where it has none.

    Rows without a customer stay. Blanks around an id, which make a row a bad one, do
    not hide it.

    Args:
        db: connection that reads it.
        source: a table.
        found: the engine's type by column.
        erased: who.
    """
    columns = [c for c in source.table.columns if c.name == CUSTOMER_ID]
    if not erased.hashes or not columns or CUSTOMER_ID not in found:
        return source
    name = f"erased_{source.table.name}"
    customer = f"trim({read(columns[0], found[CUSTOMER_ID], is_csv=source.is_csv)})"
    salt = "".join(f"\\x{byte:02X}" for byte in erased.salt)
    hashes = ", ".join(quoted(one.hex()) for one in sorted(erased.hashes))
    with reading(source.table.name, source.name):
        db.execute(
            f"CREATE OR REPLACE TEMP TABLE {name} AS SELECT id FROM "
            f"(SELECT DISTINCT {customer} AS id FROM {source.sql} AS input) "
            f"WHERE sha256('{salt}'::BLOB || encode(id)) IN ({hashes})"
        )
    if not db.execute(f"FROM {name} LIMIT 1").fetchall():
        return source
    kept = f"coalesce({customer} NOT IN (FROM {name}), true)"
    return replace(source, sql=f"(SELECT * FROM {source.sql} AS input WHERE {kept})")
