"""What features read of customers, kept small, so that it can be read again any time.

A build keeps it, a service maps it: a few customers of it with what they did since are
a ``History`` like any other, of which ``assemble`` makes the same features.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from typing import Any, NamedTuple

import numpy as np
import pyarrow as pa

from features.assemble import OF_EVENTS
from features.contracts import (
    BROWSES,
    CAMPAIGNS,
    FEEDBACK,
    INQUIRIES,
    PURCHASES,
    TOUCHES,
    Column,
    Table,
)
from features.dimension import columns_read
from features.history import Array, Events, History, Longs, Products, offsets_of
from features.rows import called

EVENT_TABLES = (PURCHASES, BROWSES, INQUIRIES, FEEDBACK, TOUCHES)

_READ = columns_read(OF_EVENTS)
_PRODUCT, _ORDER = "product", "order"
_FLOATS = (np.float16, np.float32)
_INTEGERS = (np.int8, np.int16)


class FreshEvent(NamedTuple):
    """A row of an event table that came later.

    Attributes:
        ts, known_at: microseconds since 1970-01-01.
        values: by column of the contract; None: null.
    """

    table: Table
    ts: int
    known_at: int
    values: Mapping[str, Any]


@dataclass(frozen=True)
class KeptEvents:
    """Rows of one event table in the order of ``Events``, in the smallest types.

    Attributes:
        offsets: rows of customer ``c`` are ``offsets[c]:offsets[c + 1]``.
        ts: microseconds, ``[row]``.
        late: rows that were known later than they happened, ascending.
        known_at: of these, microseconds.
        columns: those that features read, by name.
        words: of each column of texts.
    """

    offsets: Longs
    ts: Longs
    late: Longs
    known_at: Longs
    columns: Mapping[str, Array]
    words: Mapping[str, tuple[str, ...]]

    def of(self, customers: Sequence[int | None]) -> tuple[Array, Array, Array, Array]:
        """Place in ``customers``, ``ts``, ``known_at`` and place of each of their rows."""
        bounds = [
            (0, 0) if c is None else self.offsets[c : c + 2].tolist() for c in customers
        ]
        owner = np.repeat(
            np.arange(len(bounds), dtype=np.int32), [high - low for low, high in bounds]
        )
        rows = np.concatenate([np.arange(low, high) for low, high in bounds])
        ts = self.ts[rows]
        known = ts
        if len(self.late):
            place = np.minimum(np.searchsorted(self.late, rows), len(self.late) - 1)
            known = np.where(self.late[place] == rows, self.known_at[place], ts)
        return owner, ts, known, rows


@dataclass(frozen=True)
class Kept:
    """Customers' histories; a customer's row indexes tables and profiles.

    Attributes:
        events: by name of the table; tables without a row have none.
        profiles: rows of ``History.profiles`` without ``customer``, texts coded.
        profile_offsets: of each customer, ``[customer + 1]``.
        campaigns, since, wordy: as in ``History``.
    """

    events: Mapping[str, KeptEvents]
    profiles: pa.Table | None
    profile_offsets: Longs
    campaigns: pa.Table | None
    since: Mapping[str, int]
    wordy: tuple[str, ...]

    @classmethod
    def of(cls, history: History) -> Kept:
        """Keeps all customers of a history."""
        n, profiles = len(history.customers), history.profiles
        bounds = np.zeros(n + 1, np.int64)
        if profiles is not None:
            customer = profiles.column("customer").to_numpy().astype(np.int32)
            bounds = offsets_of(customer, n)
            profiles = _coded(profiles.drop_columns(["customer"]))
        events = {
            table.name: _kept(found, _READ[table.name])
            for table in EVENT_TABLES
            if (found := history.events(table)) is not None and table.name in _READ
        }
        campaigns = history.campaigns
        if campaigns is not None:
            names = [column.name for column in CAMPAIGNS.columns]
            campaigns = campaigns.select(
                [name for name in names if name in campaigns.column_names]
            )
        return cls(events, profiles, bounds, campaigns, history.since, history.wordy)

    def history(
        self,
        ids: Sequence[str],
        rows: Sequence[int | None],
        fresh: Sequence[Sequence[FreshEvent]],
        products: Products,
        product_row: Callable[[str], int | None],
        until: datetime,
    ) -> History:
        """Some customers with what they did since.

        Args:
            ids: of the customers.
            rows: of the customers; None: nothing of them is kept.
            fresh: later events of each, not among those kept.
            products: those that the kept events name by code.
            product_row: the code of a product id; None: it has none.
            until: the moment of the history.
        """
        later = [(at, event) for at, events in enumerate(fresh) for event in events]
        tables = {
            table.name: _Some(
                table,
                self.events.get(table.name),
                rows,
                [(at, event) for at, event in later if event.table == table],
            )
            for table in EVENT_TABLES
            if table.name in _READ
        }
        codes = _ProductCodes(
            products, product_row, (some.products() for some in tables.values())
        )
        events = {name: some.events(codes) for name, some in tables.items()}
        since = dict(self.since)
        for _, event in later:
            first = max(event.ts, event.known_at)
            if event.table.name not in self.since:
                since[event.table.name] = min(since.get(event.table.name, first), first)
        purchases = events.pop(PURCHASES.name)
        if purchases is None:
            raise ValueError("customers: expected purchases of each, got none at all")
        return History(
            until=until,
            customers=np.array(ids, dtype=object),
            products=codes.products,
            purchases=purchases,
            browses=events.get(BROWSES.name),
            inquiries=events.get(INQUIRIES.name),
            feedback=events.get(FEEDBACK.name),
            touches=events.get(TOUCHES.name),
            profiles=self._profiles(rows),
            campaigns=self._campaigns(events.get(TOUCHES.name)),
            promotions=None,
            since=since,
            wordy=self.wordy,
            fingerprint="",
        )

    def _profiles(self, rows: Sequence[int | None]) -> pa.Table | None:
        if self.profiles is None:
            return None
        places: list[int] = []
        owner: list[int] = []
        for at, row in enumerate(rows):
            if row is not None:
                low, high = self.profile_offsets[row : row + 2].tolist()
                places += range(low, high)
                owner += [at] * (high - low)
        # A slice of a mapped table costs less than rows taken from it.
        first = min(places, default=0)
        near = self.profiles.slice(first, max(places, default=-1) + 1 - first)
        found = near.take(pa.array([p - first for p in places], pa.int64()))
        texts = [
            column.cast(pa.string()) if pa.types.is_dictionary(column.type) else column
            for column in found.columns
        ]
        return pa.table(
            [pa.array(owner, pa.int32()), *texts],
            names=["customer", *found.column_names],
        )

    def _campaigns(self, touches: Events | None) -> pa.Table | None:
        if self.campaigns is None or touches is None:
            return self.campaigns
        names = set(touches.words["campaign_id"])
        met = [one in names for one in self.campaigns["campaign_id"].to_pylist()]
        return self.campaigns.filter(pa.array(met, pa.bool_()))


class _ProductCodes:
    """Codes of the products that some customers met, in the order of their ids."""

    def __init__(
        self,
        products: Products,
        row_of: Callable[[str], int | None],
        named: Iterable[tuple[Array, list[str]]],
    ) -> None:
        rows: set[int] = set()
        strange: set[str] = set()
        for known, texts in named:
            rows.update(known.tolist())
            for text in texts:
                row = row_of(text)
                if row is None:
                    strange.add(text)
                else:
                    rows.add(row)
        rows.discard(-1)
        self._row_of = row_of
        # In the order of ids, those that the version lacks behind the others.
        self._rows = np.array(sorted(rows), np.int64)
        self._strange = {text: len(rows) + n for n, text in enumerate(sorted(strange))}
        self.products = _taken(products, self._rows, list(self._strange))

    def of_rows(self, rows: Array) -> Array:
        """Codes of product rows; -1 stays."""
        return np.where(rows < 0, -1, np.searchsorted(self._rows, rows))

    def of_text(self, text: str | None) -> int:
        """The code of a product id; None: -1."""
        if text is None:
            return -1
        row = self._row_of(text)
        if row is None:
            return self._strange[text]
        return int(np.searchsorted(self._rows, row))


class _Some:
    """One table of some customers: rows kept, and rows that came later."""

    def __init__(
        self,
        table: Table,
        kept: KeptEvents | None,
        rows: Sequence[int | None],
        later: Sequence[tuple[int, FreshEvent]],
    ) -> None:
        self._kept, self._later, self._n = kept, later, len(rows)
        self._contract = {
            called(column): column
            for column in table.columns
            if called(column) in _READ[table.name]
        }
        nothing = np.empty(0, np.int64)
        found = (nothing.astype(np.int32), nothing, nothing, nothing)
        self._owner, self._ts, self._known, self._rows = (
            found if kept is None else kept.of(rows)
        )

    def products(self) -> tuple[Array, list[str]]:
        """Rows and ids of the products that are named."""
        if _PRODUCT not in self._contract:
            return np.empty(0, np.int64), []
        ids = [event.values.get("product_id") for _, event in self._later]
        return np.unique(self._old(_PRODUCT)), [one for one in ids if one is not None]

    def events(self, codes: _ProductCodes) -> Events | None:
        """The events in order; None: the table is missing."""
        if self._kept is None and not self._later:
            return None
        columns: dict[str, Array] = {}
        words: dict[str, tuple[str, ...]] = {}
        for name, column in self._contract.items():
            if name == _PRODUCT:
                old = codes.of_rows(self._old(name))
                new = [codes.of_text(value) for value in self._new(column)]
                columns[name] = np.append(old, new).astype(np.int32)
            elif name == _ORDER:
                columns[name] = self._orders(column)
            elif column.dtype in ("id", "text"):
                columns[name], words[name] = self._texts(name, column)
            else:
                new = [np.nan if v is None else float(v) for v in self._new(column)]
                columns[name] = np.append(self._old(name), new).astype(np.float64)
        owner = np.append(self._owner, [at for at, _ in self._later]).astype(np.int32)
        ts = np.append(self._ts, [event.ts for _, event in self._later])
        known = np.append(self._known, [event.known_at for _, event in self._later])
        events = Events(
            customer=owner,
            ts=ts.astype(np.int64),
            known_at=known.astype(np.int64),
            columns=columns,
            words=words,
            offsets=offsets_of(np.sort(owner), self._n),
        )
        return self._in_order(events) if self._later else events

    def _old(self, name: str) -> Array:
        if self._kept is None:
            return np.empty(0, np.int64)
        return self._kept.columns[name][self._rows]

    def _new(self, column: Column) -> list[Any]:
        return [event.values.get(column.name) for _, event in self._later]

    def _orders(self, column: Column) -> Array:
        """Codes within each customer.

        The ids of kept orders are gone: a later line is of a kept order if it happened
        at the same moment, as lines of an order do of which some were known late.
        """
        old = self._old(_ORDER).astype(np.int64)
        free = np.zeros(self._n, np.int64)
        np.maximum.at(free, self._owner, old + 1)
        orders = self._new(column)
        keys = [(at, one) for (at, _), one in zip(self._later, orders, strict=True)]
        near = np.flatnonzero(np.isin(self._ts, [event.ts for _, event in self._later]))
        owner, ts = self._owner[near].tolist(), self._ts[near].tolist()
        kept = dict(zip(zip(owner, ts, strict=True), old[near].tolist(), strict=True))
        code: dict[tuple[int, Any], int] = {}
        for key, (at, event) in zip(keys, self._later, strict=True):
            if (at, event.ts) in kept:
                code[key] = kept[at, event.ts]
        for at, order in sorted(set(keys) - code.keys()):
            code[at, order] = int(free[at])
            free[at] += 1
        return np.append(old, [code[key] for key in keys]).astype(np.int32)

    def _texts(self, name: str, column: Column) -> tuple[Array, tuple[str, ...]]:
        """Codes, and the words of these customers in ascending order."""
        old, new = self._old(name).astype(np.int64), self._new(column)
        known: tuple[str, ...] = () if self._kept is None else self._kept.words[name]
        met: list[int] = np.unique(old[old >= 0]).tolist()
        used: set[str] = {known[code] for code in met}
        used |= {word for word in new if word is not None}
        words = column.kinds or tuple(sorted(used))
        place = {word: code for code, word in enumerate(words)}
        # The last entry is met by -1, an unknown word.
        moved = np.full(len(known) + 1, -1, np.int32)
        moved[met] = [place[known[code]] for code in met]
        fresh = [-1 if word is None else place[word] for word in new]
        return np.append(moved[old], fresh).astype(np.int32), words

    def _in_order(self, events: Events) -> Events:
        """By customer, time and all else, as ``rows`` and ``ordered`` have it."""
        plain = [
            name
            for name, column in self._contract.items()
            if name == _ORDER or column.dtype in ("number", "flag")
        ]
        packed = [name for name in self._contract if name not in plain]
        # The last key counts first.
        keys = [events.columns[name] for name in (*packed, *reversed(plain))]
        by = np.lexsort((*keys, events.known_at, events.ts, events.customer))
        return replace(
            events,
            customer=events.customer[by],
            ts=events.ts[by],
            known_at=events.known_at[by],
            columns={name: column[by] for name, column in events.columns.items()},
        )


def _taken(products: Products, rows: Longs, strange: list[str]) -> Products:
    """Some products, and behind them others of which nothing is known."""

    def codes(name: str) -> Array:
        unknown = np.full(len(strange), -1, np.int32)
        return np.concatenate([getattr(products, name)[rows], unknown])

    def numbers(name: str) -> Array:
        unknown = np.full(len(strange), np.nan)
        return np.concatenate([getattr(products, name)[rows], unknown])

    names = np.array(strange, dtype=object)
    always = np.full(len(strange), np.iinfo(np.int64).min)
    return Products(
        ids=np.concatenate([products.ids[rows], names]),
        names=np.concatenate([products.names[rows], names]),
        category=codes("category"),
        subcategory=codes("subcategory"),
        brand=codes("brand"),
        price=numbers("price"),
        margin_rate=numbers("margin_rate"),
        service_life_days=numbers("service_life_days"),
        available=np.append(products.available[rows], np.ones(len(strange), np.bool_)),
        launched=np.append(products.launched[rows], always),
        words=products.words,
    )


def _kept(events: Events, wanted: set[str]) -> KeptEvents:
    late = np.flatnonzero(events.known_at != events.ts)
    return KeptEvents(
        offsets=events.offsets,
        ts=events.ts,
        late=late,
        known_at=events.known_at[late],
        columns={
            name: _narrow(column)
            for name, column in events.columns.items()
            if name in wanted
        },
        words={name: w for name, w in events.words.items() if name in wanted},
    )


def _narrow(values: Array) -> Array:
    """The same values in the smallest type that holds each of them exactly."""
    if np.issubdtype(values.dtype, np.floating):
        for dtype in _FLOATS:
            with np.errstate(over="ignore"):
                small = values.astype(dtype)
            if np.array_equal(small.astype(np.float64), values, equal_nan=True):
                return small
        return values
    low, high = int(values.min(initial=0)), int(values.max(initial=0))
    for dtype in _INTEGERS:
        if np.iinfo(dtype).min <= low and high <= np.iinfo(dtype).max:
            return values.astype(dtype)
    return values.astype(np.int32)


def _coded(profiles: pa.Table) -> pa.Table:
    """Texts as codes of words, which take less room."""
    for place, field in enumerate(profiles.schema):
        if pa.types.is_string(field.type):
            coded = profiles.column(place).combine_chunks().dictionary_encode()
            profiles = profiles.set_column(place, field.name, coded)
    return profiles.combine_chunks()
