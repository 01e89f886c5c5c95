"""What was known before a moment: events in order, ids as dense codes.

All arrays of a ``History`` share its codes: ``customer`` indexes
``History.customers`` and ``product`` indexes ``History.products``. Codes are
given in the order of the ids, among rows known before ``until`` only, so a row
that came later cannot move a code, a tie or a random draw.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from features.contracts import Table

Ints = npt.NDArray[np.int32]
Longs = npt.NDArray[np.int64]
Floats = npt.NDArray[np.float64]
Bools = npt.NDArray[np.bool_]
Array = npt.NDArray[Any]

ALWAYS = int(np.iinfo(np.int64).min)
"""A moment before all others, where a table says that nothing began."""


@dataclass(frozen=True)
class Events:
    """One event table, ordered by customer, then time, then all else.

    Attributes:
        customer: int32 codes, ascending, shape ``[row]``.
        ts: microseconds since 1970-01-01, shape ``[row]``.
        known_at: when the row reached the system, same unit and shape.
        columns: by name, shape ``[row]``: float64 for numbers and flags
            (NaN: null), int32 codes for ids and texts (-1: null).
        words: for each int32 column but ``product`` and ``order``, the text
            of each code, in ascending order.
        offsets: rows of customer ``c`` are ``offsets[c]:offsets[c + 1]``,
            shape ``[customer + 1]``.
    """

    customer: Ints
    ts: Longs
    known_at: Longs
    columns: Mapping[str, Array]
    words: Mapping[str, tuple[str, ...]]
    offsets: Longs

    def __len__(self) -> int:
        return len(self.ts)

    def before(self, cutoff_us: int) -> Bools:
        """Which rows had happened and were known before the cutoff, ``[row]``."""
        return (self.ts < cutoff_us) & (self.known_at < cutoff_us)

    @property
    def bought(self) -> Bools:
        """Which order lines are purchases and no returns, ``[row]``.

        For ``purchases`` only. A negative quantity is a return.

        Raises:
            KeyError: these events have no quantity.
        """
        return self.columns["quantity"] >= 0

    def take(self, keep: Bools) -> Events:
        """The same events, only the rows to keep."""
        customer = self.customer[keep]
        n_customers = len(self.offsets) - 1
        return Events(
            customer=customer,
            ts=self.ts[keep],
            known_at=self.known_at[keep],
            columns={name: array[keep] for name, array in self.columns.items()},
            words=self.words,
            offsets=offsets_of(customer, n_customers),
        )


def fixed(array: Array) -> Array:
    """A read-only view: whoever made the array, the kernel compiles only once."""
    view = np.ascontiguousarray(array).view()
    view.flags.writeable = False
    return view


def offsets_of(customer: Ints, n_customers: int) -> Longs:
    """Where each customer's rows start, and where the last ones end."""
    return np.searchsorted(customer, np.arange(n_customers + 1)).astype(np.int64)


def owners_of(offsets: Longs) -> Ints:
    """Customer code of every row, ``[row]``: the inverse of ``offsets_of``."""
    sizes = np.diff(offsets)
    return np.repeat(np.arange(len(sizes), dtype=np.int32), sizes)


@dataclass(frozen=True)
class Products:
    """Every product of ``products`` or of a purchase, ordered by id.

    Attributes:
        ids: product ids, shape ``[product]``.
        names: display names, the id where unknown.
        category, subcategory, brand: int32 codes, -1: unknown.
        price, margin_rate, service_life_days: NaN: unknown.
        available: may be offered; true where the table does not say.
        launched: moment, microseconds; the smallest integer where unknown.
        words: texts of the codes of category, subcategory and brand.
    """

    ids: Array
    names: Array
    category: Ints
    subcategory: Ints
    brand: Ints
    price: Floats
    margin_rate: Floats
    service_life_days: Floats
    available: Bools
    launched: Longs
    words: Mapping[str, tuple[str, ...]]

    def __len__(self) -> int:
        return len(self.ids)


@dataclass(frozen=True)
class Promotions:
    """Plans known before ``until``; they may speak of days after it.

    Arrays of shape ``[plan]``: ``product`` code, ``starts``, ``ends`` and
    ``known_at`` in microseconds, ``kind`` code into ``words``, ``price`` and
    ``reach`` (NaN: unknown).
    """

    product: Ints
    starts: Longs
    ends: Longs
    known_at: Longs
    kind: Ints
    price: Floats
    reach: Floats
    words: tuple[str, ...]


@dataclass(frozen=True)
class History:
    """All input known before ``until``.

    Attributes:
        customers: ids of everyone with a purchase known before ``until``; who
            only returned is none of them.
        purchases: columns ``product``, ``order`` (int32), ``quantity``,
            ``amount``, ``list_amount`` (float64), ``channel``, ``campaign_id``.
        browses, inquiries, feedback, touches: None where the table is missing.
        profiles: rows of ``customers`` with a ``customer`` code (int32),
            ordered by customer and ``valid_from``; None where missing.
        campaigns: rows of ``campaigns``, ordered by id; None where missing.
        promotions: None where the table is missing.
        since: by event table and ``customers``, the moment from which a row of it was known,
            microseconds; a table without is not named.
        wordy: texts of ``profiles`` with too many words; see ``profile``.
        fingerprint: hash of every row read.
    """

    until: datetime
    customers: Array
    products: Products
    purchases: Events
    browses: Events | None
    inquiries: Events | None
    feedback: Events | None
    touches: Events | None
    profiles: pa.Table | None
    campaigns: pa.Table | None
    promotions: Promotions | None
    since: Mapping[str, int]
    wordy: tuple[str, ...]
    fingerprint: str

    def events(self, table: Table) -> Events | None:
        """The events of a table; None where it is missing."""
        return getattr(self, table.name)
