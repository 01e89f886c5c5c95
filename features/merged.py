"""Kept rows of some customers and later ones, in the order and codes of a history."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import replace
from typing import Any

import numpy as np

from features.contracts import Column, Table
from features.history import Array, Events, Longs, Products, offsets_of
from features.kept_events import READ, FreshEvent, KeptEvents
from features.rows import called

_PRODUCT, _ORDER = "product", "order"


class ProductCodes:
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


class SomeEvents:
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
            if called(column) in READ[table.name]
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

    def events(self, codes: ProductCodes) -> Events | None:
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
