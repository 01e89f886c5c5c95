"""What customers did since the served cutoff, held in memory by customer.

The event log feeds it in its order. It holds so many events at most, as texts of some
hundred bytes, and knows nothing of versions: whoever asks picks what their version has
not seen.
"""

from __future__ import annotations

import threading
from collections import OrderedDict
from collections.abc import Iterable

from pydantic_core import from_json, to_json

from serving.state.log import LogRow

MAX_EVENTS = 300_000
"""Held at once. Those of the customers quiet for longest go first."""

MAX_PER_CUSTOMER = 500
"""The latest of one customer."""


class Recent:
    """Rows of the log by customer; written by one thread at a time, read by any.

    Attributes:
        sequence: of the last row taken; rows up to it are not taken again.
        events: held now.
        dropped: rows that found no room, so far.
    """

    def __init__(
        self,
        sequence: int = 0,
        max_events: int = MAX_EVENTS,
        max_per_customer: int = MAX_PER_CUSTOMER,
    ) -> None:
        self.sequence = sequence
        self.events = self.dropped = 0
        self._max, self._max_each = max_events, max_per_customer
        # A reader copies one customer's list, which no writer can interrupt.
        self._of: OrderedDict[str, list[bytes]] = OrderedDict()
        self._writing = threading.Lock()

    def add(self, rows: Iterable[LogRow]) -> None:
        """Takes rows of the log, in its order."""
        with self._writing:
            for row in rows:
                if row.sequence > self.sequence:
                    self.sequence = row.sequence
                    self._put(row.customer_id, to_json(row))

    def of(self, customer_id: str) -> list[LogRow] | None:
        """A customer's rows, in the order of the log; None: there are none."""
        held = self._of.get(customer_id)
        if held is None:
            return None
        return [LogRow(*from_json(row)) for row in held.copy()]

    def drop_before(self, moment_us: int) -> None:
        """Drops rows that a version of this cutoff has seen; see ``is_fresh``."""
        with self._writing:
            left: OrderedDict[str, list[bytes]] = OrderedDict()
            for customer_id, held in self._of.items():
                rows = [row for row in held if _is_fresh(row, moment_us)]
                if rows:
                    left[customer_id] = rows
            self._of, self.events = left, sum(map(len, left.values()))

    def _put(self, customer_id: str, row: bytes) -> None:
        held = self._of.setdefault(customer_id, [])
        held.append(row)
        self._of.move_to_end(customer_id)
        self.events += 1
        if len(held) > self._max_each:
            del held[0]
            self.events -= 1
            self.dropped += 1
        while self.events > self._max:
            _, oldest = self._of.popitem(last=False)
            self.events -= len(oldest)
            self.dropped += len(oldest)


def is_fresh(row: LogRow, cutoff_us: int) -> bool:
    """Whether a version of this cutoff has not seen the row.

    It knew what had happened and been received by then.
    """
    return row.ts_us >= cutoff_us or row.received_us >= cutoff_us


def _is_fresh(row: bytes, cutoff_us: int) -> bool:
    return is_fresh(LogRow(*from_json(row)), cutoff_us)
