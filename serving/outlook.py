"""When a customer buys again: as published, or as of now from what they did since.

Pure: a published version, customers and their events in, outlooks out. A customer with
events since the cutoff gets the features, the model and the words of a build at this
moment; ``assemble`` sees their old events and the new ones.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt

from features.assemble import assemble
from features.contracts import PURCHASES
from features.history import History
from features.kept_events import FreshEvent
from features.snapshot import from_us
from serving.published import Published
from serving.recent import is_fresh
from serving.state.log import LogRow
from serving.state.tables import EVENT_TABLES
from training import explain
from training.propensity import next_dates

_MEDIAN = 0.5


@dataclass(frozen=True)
class Outlook:
    """What is expected of one customer.

    Attributes:
        curve: P(a purchase within 1, 2, … 180 days), float32.
        expected_next: datetime64; NaT: not within 180 days.
        reasons: strongest first.
    """

    curve: npt.NDArray[np.float32]
    expected_next: np.datetime64
    reasons: list[str]

    def answer(
        self, published: Published, customer_id: str, horizon: int
    ) -> dict[str, Any]:
        """The answer of the API; the tag is of the published horizon."""
        # Compared as float32, the type in which the curve was cut.
        threshold = np.float32(published.tag_threshold)
        likely = self.curve[published.horizon_days - 1] >= threshold
        expected = self.expected_next
        return {
            "customer_id": customer_id,
            "cold_start": False,
            "probability": float(self.curve[horizon - 1]),
            "tag": "likely" if likely else "not_likely",
            "expected_next_at": None if np.isnat(expected) else f"{expected}Z",
            "reasons": self.reasons,
        }


class Told(NamedTuple):
    """A customer with what the log has of them.

    Attributes:
        row: of the version; None: it does not know them.
        events: that the version has not seen; at least one, or a ``row``.
    """

    customer_id: str
    row: int | None
    events: list[LogRow]


def told(published: Published, customer_id: str, rows: Sequence[LogRow]) -> Told | None:
    """A customer whose outlook has changed; None: the published one holds.

    One without a purchase has none, whatever else they did. Of a customer whom the
    version does not know, only what came since is.
    """
    row = published.customers.row(customer_id)
    events = [one for one in rows if is_fresh(one, published.cutoff_us)]
    if not events or (row is None and not any(map(_is_purchase, events))):
        return None
    return Told(customer_id, row, events)


def published_outlook(published: Published, customer: int) -> Outlook:
    """As of the cutoff; nothing is computed."""
    return Outlook(
        published.curve[customer],
        published.expected_next[customer],
        published.reasons[customer].as_py() or [],
    )


def live_outlooks(
    published: Published, customers: Sequence[Told], now_us: int
) -> list[Outlook | None]:
    """As of now; None: no purchase of the customer has happened yet.

    Args:
        published: its model answers.
        customers: at least one, each once.
        now_us: microseconds since 1970-01-01. What was acknowledged counts, even by a
            clock that is ahead of this one.
    """
    history = live_history(published, customers, now_us)
    rows = assemble(history, [history.until])
    if not rows.num_rows:
        return [None] * len(customers)
    model = published.propensity
    matrix = model.encoding.matrix(rows)
    curves = model.curve_of(matrix)
    dates = np.asarray(next_dates(curves, history.until, _MEDIAN))
    said = explain.reasons(model, rows, matrix)
    found: list[Outlook | None] = [None] * len(customers)
    places: list[int] = rows.column("customer").to_pylist()
    for at, place in enumerate(places):
        found[place] = Outlook(curves[at], dates[at], said[at])
    return found


def warm(published: Published) -> None:
    """Reads the model and compiles the kernels, so that no request waits for it."""
    if len(published.customers):
        first = Told(published.customers[0], 0, [])
        live_outlooks(published, [first], published.cutoff_us)


def live_history(
    published: Published, customers: Sequence[Told], now_us: int
) -> History:
    """The customers' events, old and new, as known at this moment."""
    received = (row.received_us for one in customers for row in one.events)
    moment = max(now_us, max(received, default=-1) + 1)
    return published.kept.history(
        [one.customer_id for one in customers],
        [one.row for one in customers],
        [[_event(row) for row in one.events] for one in customers],
        published.range_,
        published.catalogue.ids.row,
        from_us(moment),
    )


def _event(row: LogRow) -> FreshEvent:
    values = row._asdict()
    # Of touches the kind is the action.
    values["action"] = row.kind
    return FreshEvent(EVENT_TABLES[row.table], row.ts_us, row.received_us, values)


def _is_purchase(row: LogRow) -> bool:
    return row.table == PURCHASES.name and (row.quantity or 0.0) >= 0
