"""What is said of customers as rows of each of them, and back.

Numbers and times become arrays, which can be mapped, gathered and put one after the
other without knowing what they mean; texts, lists and flags stay columns of a table.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from features.customer_rows import CustomerRows
from features.history import Array, Ints, Longs, offsets_of
from features.kept import Kept, coded
from features.kept_events import KeptEvents
from training.generators.fitted import SOURCES
from training.predictions import OFFERS, OfCustomers

Renumber = Callable[[Ints], Ints]

OFFERED = "offers"
_CUSTOMERS, _BOUGHT, _DUE, _KEPT_PROFILES = "customers", "bought", "due", "kept"
_ONE_EACH = ("value", "churn", "uplift", "profiles")
_PLAIN_OFFERS = ("product", "is_new", "score", "probability")
_EVENTS = "events."
_COLUMN = "column."


@dataclass(frozen=True)
class Shared:
    """What is the same for all customers.

    Attributes:
        schemas: of tables by name, without codes.
        kept: without rows of customers.
        words: of the events kept, by table.
    """

    schemas: Mapping[str, pa.Schema]
    kept: Kept
    words: Mapping[str, Mapping[str, tuple[str, ...]]]


def shared_of(said: OfCustomers) -> Shared:
    """What is the same for the customers of all parts."""
    return Shared(
        {name: _plain(table).schema for name, (_, table) in _tables_of(said).items()},
        replace(
            said.kept, events={}, profiles=None, profile_offsets=np.zeros(1, np.int64)
        ),
        {name: events.words for name, events in said.kept.events.items()},
    )


def rows_of(
    said: OfCustomers, codes_of: Callable[[pa.Array], Ints]
) -> dict[str, CustomerRows]:
    """Rows of every kind by its name.

    Args:
        said: of some customers.
        codes_of: codes of the reasons of offers.
    """
    n, offers = len(said.customers), said.offers.combine_chunks()
    arrays = {name: offers[name].to_numpy() for name in _PLAIN_OFFERS}
    source, reason = (offers[name].combine_chunks() for name in ("source", "reason"))
    arrays["source"] = source.indices.to_numpy()
    arrays["reason"] = codes_of(reason.dictionary)[reason.indices.to_numpy()]
    bought = {
        "product": said.bought_products,
        "last": said.last_bought,
        "weight": said.bought_weight,
    }
    rows = {
        OFFERED: CustomerRows(offsets_of(offers["customer"].to_numpy(), n), arrays),
        _BOUGHT: CustomerRows(said.bought_offsets, bought),
    }
    for name, (offsets, table) in _tables_of(said).items():
        rows[name] = CustomerRows(offsets, *_split(_plain(table)))
    own = {"number": said.number, "curve": said.curve}
    of_customers = rows[_CUSTOMERS]
    rows[_CUSTOMERS] = replace(of_customers, arrays={**of_customers.arrays, **own})
    for name, events in said.kept.events.items():
        rows[_EVENTS + name] = _rows_of_events(events)
    return rows


def _tables_of(said: OfCustomers) -> dict[str, tuple[Longs, pa.Table]]:
    """Tables by name, with the bounds of each customer's rows."""
    n = len(said.customers)
    each, ids = np.arange(n + 1, dtype=np.int64), said.customers["customer_id"]
    due = said.replenishment
    tables = {
        _CUSTOMERS: (each, said.customers),
        _DUE: (offsets_of(_places(due["customer_id"], ids), n), due),
    }
    for name in _ONE_EACH:
        if (table := getattr(said, name)) is not None:
            tables[name] = (each, table)
    if said.kept.profiles is not None:
        tables[_KEPT_PROFILES] = (said.kept.profile_offsets, said.kept.profiles)
    return tables


def finished(
    name: str, rows: CustomerRows, customers: int, before: int, renumber: Renumber
) -> CustomerRows:
    """Rows as they are handed over, from some as they were put together.

    Args:
        name: of their kind.
        rows: of the customers who follow.
        customers: how many were before.
        before: how many rows those had.
        renumber: codes of reasons become those that are handed over.
    """
    arrays = dict(rows.arrays)
    if name == OFFERED:
        owner = np.repeat(np.arange(len(rows.offsets) - 1), np.diff(rows.offsets))
        arrays["customer"] = (owner + customers).astype(np.int32)
        arrays["reason"] = renumber(arrays["reason"])
    elif name.startswith(_EVENTS):
        known = arrays.pop("known_at")
        late = np.flatnonzero(known != arrays["ts"])
        arrays |= {"late": late + before, "known_at": known[late]}
    return replace(rows, arrays=arrays)


def of_rows(
    rows: Mapping[str, CustomerRows], reasons: pa.Array, shared: Shared
) -> OfCustomers:
    """The inverse of ``rows_of``, of ``finished`` rows.

    Args:
        rows: by name of their kind; may be mapped, and are not copied then.
        reasons: text of each code.
        shared: of ``shared_of``.
    """
    tables = {
        name: _table(rows[name], schema) for name, schema in shared.schemas.items()
    }
    customers, bought = rows[_CUSTOMERS], rows[_BOUGHT]
    return OfCustomers(
        number=customers.arrays["number"],
        customers=tables[_CUSTOMERS],
        curve=customers.arrays["curve"],
        offers=_offers(rows[OFFERED].arrays, reasons),
        bought_offsets=bought.offsets,
        bought_products=bought.arrays["product"],
        last_bought=bought.arrays["last"],
        bought_weight=bought.arrays["weight"],
        replenishment=tables[_DUE],
        kept=_kept(rows, tables.get(_KEPT_PROFILES), shared),
        **{name: tables.get(name) for name in _ONE_EACH},
    )


def _offers(arrays: Mapping[str, Array], reasons: pa.Array) -> pa.Table:
    coded = {"source": pa.array(SOURCES), "reason": reasons}
    columns = [
        pa.DictionaryArray.from_arrays(pa.array(arrays[name]), coded[name])
        if name in coded
        else pa.array(arrays[name])
        for name in OFFERS.names
    ]
    return pa.table(columns, schema=OFFERS)


def _rows_of_events(events: KeptEvents) -> CustomerRows:
    known = events.ts.copy()
    known[events.late] = events.known_at
    columns = {_COLUMN + name: column for name, column in events.columns.items()}
    return CustomerRows(events.offsets, {"ts": events.ts, "known_at": known, **columns})


def _kept(
    rows: Mapping[str, CustomerRows], profiles: pa.Table | None, shared: Shared
) -> Kept:
    events: dict[str, KeptEvents] = {}
    for name, words in shared.words.items():
        found = rows[_EVENTS + name]
        events[name] = KeptEvents(
            offsets=found.offsets,
            ts=found.arrays["ts"],
            late=found.arrays["late"],
            known_at=found.arrays["known_at"],
            columns={
                one.removeprefix(_COLUMN): column
                for one, column in found.arrays.items()
                if one.startswith(_COLUMN)
            },
            words=words,
        )
    offsets = np.zeros(len(rows[_CUSTOMERS].offsets), np.int64)
    if profiles is not None:
        offsets, profiles = rows[_KEPT_PROFILES].offsets, coded(profiles)
    return replace(
        shared.kept, events=events, profiles=profiles, profile_offsets=offsets
    )


def _places(texts: pa.ChunkedArray, words: pa.ChunkedArray) -> Ints:
    """The place of each text among distinct words."""
    plain = texts.cast(pa.string()).combine_chunks()
    options = pc.SetLookupOptions(words.combine_chunks())
    found = pc.call_function("index_in", [plain], options)
    return np.asarray(found)


def _plain(table: pa.Table) -> pa.Table:
    """The same without codes, names and remarks on columns."""
    fields = [
        pa.field(
            f.name, f.type.value_type if pa.types.is_dictionary(f.type) else f.type
        )
        for f in table.schema
    ]
    return table.cast(pa.schema(fields))


def _split(table: pa.Table) -> tuple[dict[str, Array], pa.Table | None]:
    """Numbers and times as arrays, with what lies under nulls; the other columns."""
    arrays: dict[str, Array] = {}
    others: list[str] = []
    for place, field in enumerate(table.schema):
        dtype = _integer_of(field.type)
        if dtype is None:
            others.append(field.name)
            continue
        column = table.column(place).combine_chunks()
        content = column.buffers()[1]
        values = np.frombuffer(content or b"", dtype)
        arrays[f"{place}.values"] = values[column.offset : column.offset + len(column)]
        arrays[f"{place}.is_known"] = np.asarray(column.is_valid())
    return arrays, table.select(others) if others else None


def _table(rows: CustomerRows, schema: pa.Schema) -> pa.Table:
    """The inverse of ``_split``."""
    columns: list[Any] = []
    for place, field in enumerate(schema):
        if _integer_of(field.type) is None and rows.table is not None:
            columns.append(rows.table[field.name])
            continue
        known = rows.arrays[f"{place}.is_known"]
        values = rows.arrays[f"{place}.values"]
        is_whole = bool(known.all())
        bits = None if is_whole else pa.py_buffer(np.packbits(known, bitorder="little"))
        content = pa.py_buffer(values)
        columns.append(pa.Array.from_buffers(field.type, len(known), [bits, content]))
    return pa.table(columns, schema=schema)


def _integer_of(dtype: pa.DataType) -> np.dtype[Any] | None:
    """Of the width of a number or time; None: it is neither."""
    types = pa.types
    if not (
        types.is_integer(dtype) or types.is_floating(dtype) or types.is_temporal(dtype)
    ):
        return None
    return np.dtype(f"i{dtype.bit_width // 8}") if dtype.bit_width <= 64 else None
