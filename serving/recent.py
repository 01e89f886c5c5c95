"""What customers did since the served cutoff, held in memory by customer.

The event log feeds it in its order; it holds a few bytes per event, so many events
at most, and nothing that is older than the version that answers.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Iterable
from struct import Struct
from typing import NamedTuple

import numpy as np

from serving.published import Published
from training.since import BOUGHT, KINDS, RETURNED, Fresh

MAX_EVENTS = 500_000
"""Held at once: 20 MB with ten of a customer, 125 MB with one each. Those of the
customers quiet for longest go first."""

MAX_PER_CUSTOMER = 500
"""The latest of one customer."""

_RECORD = np.dtype(
    [("ts", "<i8"), ("product", "<i4"), ("quantity", "<f4"), ("kind", "i1")]
)

_PACKED = Struct("<qifb")


class Row(NamedTuple):
    """An event as the log holds it.

    Attributes:
        sequence: place in the log, ascending.
        table: of the event contract.
        product_id: None: of no product.
        kind: of browses and inquiries; None: the table has none.
        ts_us: microseconds since 1970-01-01.
        quantity: pieces of a purchase, negative: returned; None: one.
    """

    sequence: int
    table: str
    customer_id: str
    product_id: str | None
    kind: str | None
    ts_us: int
    quantity: float | None


class Recent:
    """Fresh events by customer; for one thread.

    Attributes:
        sequence: of the last row taken; rows up to it are not taken again.
        events: held now.
        unknown: rows whose product the version does not know, so far.
        dropped: rows that found no room, so far.
    """

    def __init__(
        self,
        published: Published,
        max_events: int = MAX_EVENTS,
        max_per_customer: int = MAX_PER_CUSTOMER,
    ) -> None:
        self.sequence = -1
        self.events = self.unknown = self.dropped = 0
        self._published = published
        self._max, self._max_each = max_events, max_per_customer
        self._of: OrderedDict[str, bytearray] = OrderedDict()

    def add(self, rows: Iterable[Row]) -> None:
        """Takes rows of the log; those of no interest to offers are passed over."""
        for row in rows:
            if row.sequence <= self.sequence:
                continue
            self.sequence = row.sequence
            kind = _kind(row)
            if (
                kind is None
                or row.product_id is None
                or row.ts_us < self._published.cutoff_us
            ):
                continue
            product = self._published.catalogue.ids.row(row.product_id)
            if product is None:
                self.unknown += 1
                continue
            pieces = 1.0 if row.quantity is None else abs(row.quantity)
            self._put(row.customer_id, _PACKED.pack(row.ts_us, product, pieces, kind))

    def of(self, customer_id: str) -> Fresh | None:
        """A customer's events; None: there are none."""
        held = self._of.get(customer_id)
        if held is None:
            return None
        records = np.frombuffer(bytes(held), dtype=_RECORD)
        # Columns of their own: records are not aligned.
        return Fresh(
            kind=np.ascontiguousarray(records["kind"]),
            product=np.ascontiguousarray(records["product"]),
            ts=np.ascontiguousarray(records["ts"]),
            quantity=np.ascontiguousarray(records["quantity"]),
        )

    def take_up(self, published: Published) -> None:
        """Goes over to another version: what it has seen already is dropped.

        Events of products that it lacks are dropped, too. After a rollback to an
        earlier cutoff the log must be read again, by a new ``Recent``.
        """
        names = self._published.catalogue.names
        customers, held = list(self._of), list(self._of.values())
        sizes = [len(one) // _RECORD.itemsize for one in held]
        owner = np.repeat(np.arange(len(held)), sizes)
        records = np.frombuffer(b"".join(held), dtype=_RECORD).copy()
        old, place = np.unique(records["product"], return_inverse=True)
        rows = [published.catalogue.ids.row(names[product]) for product in old.tolist()]
        mapped = np.array([-1 if row is None else row for row in rows], dtype=np.int32)
        records["product"] = mapped[place]
        keep = (records["ts"] >= published.cutoff_us) & (records["product"] >= 0)
        left = records[keep].tobytes()
        count = np.bincount(owner[keep], minlength=len(held))
        ends = np.cumsum(count) * _RECORD.itemsize
        starts = ends - count * _RECORD.itemsize
        self._of = OrderedDict(
            (customers[one], bytearray(left[starts[one] : ends[one]]))
            for one in np.flatnonzero(count).tolist()
        )
        self.events, self._published = int(keep.sum()), published

    def forget(self, customer_id: str) -> None:
        """Drops all events of a customer."""
        held = self._of.pop(customer_id, None)
        self.events -= 0 if held is None else len(held) // _RECORD.itemsize

    def _put(self, customer_id: str, record: bytes) -> None:
        held = self._of.setdefault(customer_id, bytearray())
        held += record
        self._of.move_to_end(customer_id)
        self.events += 1
        if len(held) > self._max_each * _RECORD.itemsize:
            del held[: _RECORD.itemsize]
            self.events -= 1
            self.dropped += 1
        while self.events > self._max:
            _, oldest = self._of.popitem(last=False)
            self.events -= len(oldest) // _RECORD.itemsize
            self.dropped += len(oldest) // _RECORD.itemsize


def _kind(row: Row) -> int | None:
    """Kind of a fresh event; None: offers do not depend on it."""
    if row.table == "purchases":
        returned = row.quantity is not None and row.quantity < 0
        return RETURNED if returned else BOUGHT
    return KINDS.get(row.table, {}).get(row.kind or "")
