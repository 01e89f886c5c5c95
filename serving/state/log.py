"""The log of events: what was acknowledged, in the order in which it came.

An event is acknowledged once the transaction that holds it is on disk. Its id
counts once: the same event again is a duplicate, another one of its id is refused.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import Future
from dataclasses import dataclass, field
from typing import Any, NamedTuple, TypeAlias

from sqlalchemy import Connection, Engine, func, insert, select

from serving.state.database import reading, writing
from serving.state.tables import CONTENT, EVENTS
from serving.state.tombstones import erased_among

Event: TypeAlias = Mapping[str, Any]
"""``event_id`` and every column of ``CONTENT``; null where its table has none."""

_IDS_AT_ONCE = 500
"""In one query; databases limit their parameters."""

_IN_LOG = "event_id: expected one of its own, got that of another event in the log"
_ERASED = "customer_id: expected a customer who was not erased, got one who was"
_IN_BATCH = (
    "event_id: expected one of its own, got that of another event of this request"
)


@dataclass
class Appended:
    """What became of a batch.

    Attributes:
        accepted: events that are on disk now and were not before.
        duplicates: events that were there already, or stand twice in the batch.
        refused: by place in the batch, why an event is not in the log.
    """

    accepted: int = 0
    duplicates: int = 0
    refused: dict[int, str] = field(default_factory=dict[int, str])


class LogRow(NamedTuple):
    """An event, as whoever follows the log reads it.

    Attributes:
        sequence: place in the log; later events have higher ones, with gaps.
        table: purchases, browses, inquiries, feedback or touches.
        product_id: None: not about a product.
        kind: the kind, of touches the action; None for purchases.
        ts_us: microseconds since 1970-01-01 UTC.
        quantity: negative: a return; None for all but purchases.
        amount: as ``quantity``.
        received_us: when it was acknowledged, as ``ts_us``.
        order_id, list_amount, channel, campaign_id, dwell_seconds,
        response_seconds, resolved, score: of the event contract; None where the
            table has none, or the event does not say.
    """

    sequence: int
    table: str
    customer_id: str
    product_id: str | None
    kind: str | None
    ts_us: int
    quantity: float | None
    amount: float | None
    received_us: int
    order_id: str | None
    list_amount: float | None
    channel: str | None
    campaign_id: str | None
    dwell_seconds: float | None
    response_seconds: float | None
    resolved: bool | None
    score: float | None


_ROW = (
    EVENTS.c.sequence,
    EVENTS.c.table,
    EVENTS.c.customer_id,
    EVENTS.c.product_id,
    func.coalesce(EVENTS.c.kind, EVENTS.c.action),
    EVENTS.c.ts,
    EVENTS.c.quantity,
    EVENTS.c.amount,
    EVENTS.c.received_at,
    *(EVENTS.c[name] for name in LogRow._fields[9:]),
)


class EventLog:
    """Writes the log; safe to call from many threads.

    Batches that come while another is written share the next transaction, so a
    wait for the disk is paid once for all of them.

    Args:
        engine: an upgraded database.
        now_us: microseconds since 1970-01-01 UTC.
    """

    def __init__(self, engine: Engine, now_us: Callable[[], int]) -> None:
        self._engine = engine
        self._now_us = now_us
        self._waiting: list[tuple[Sequence[Event], Future[Appended]]] = []
        self._queue = threading.Lock()
        self._turn = threading.Lock()

    def append(self, events: Sequence[Event]) -> Appended:
        """Puts a batch on disk.

        Raises:
            StateAwayError: it may not be there; the same batch can be sent again.
        """
        if not events:
            return Appended()
        result: Future[Appended] = Future()
        with self._queue:
            self._waiting.append((events, result))
        with self._turn:
            # Whoever had the turn before may have written this batch too.
            if not result.done():
                self._write()
        return result.result()

    def _write(self) -> None:
        with self._queue:
            batches, self._waiting = self._waiting, []
        try:
            with writing(self._engine) as connection:
                found = _append(connection, [b for b, _ in batches], self._now_us())
        except Exception as error:  # noqa: BLE001 - goes to every caller
            for _, result in batches:
                result.set_exception(error)
            return
        for (_, result), appended in zip(batches, found, strict=True):
            result.set_result(appended)


def _append(
    connection: Connection, batches: Sequence[Sequence[Event]], now_us: int
) -> list[Appended]:
    """Inserts what is new of each batch; earlier batches come first."""
    ids = {event["event_id"] for batch in batches for event in batch}
    known = _contents(connection, sorted(ids))
    customers = {event["customer_id"] for batch in batches for event in batch}
    erased = erased_among(connection, customers)
    found: list[Appended] = []
    rows: list[dict[str, Any]] = []
    for batch in batches:
        appended, own = Appended(), set[str]()
        for place, event in enumerate(batch):
            event_id, content = event["event_id"], _content(event)
            if event["customer_id"] in erased:
                appended.refused[place] = _ERASED
            elif event_id not in known:
                known[event_id] = content
                own.add(event_id)
                appended.accepted += 1
                rows.append({**event, "received_at": now_us})
            elif known[event_id] == content:
                appended.duplicates += 1
            else:
                appended.refused[place] = _IN_BATCH if event_id in own else _IN_LOG
        found.append(appended)
    if rows:
        connection.execute(insert(EVENTS), rows)
    return found


def _content(event: Event) -> tuple[Any, ...]:
    return tuple(event[name] for name in CONTENT)


def _contents(connection: Connection, ids: Sequence[str]) -> dict[str, tuple[Any, ...]]:
    """What the log has of these ids."""
    columns = [EVENTS.c[name] for name in ("event_id", *CONTENT)]
    found: dict[str, tuple[Any, ...]] = {}
    for start in range(0, len(ids), _IDS_AT_ONCE):
        some = ids[start : start + _IDS_AT_ONCE]
        query = select(*columns).where(EVENTS.c.event_id.in_(some))
        for event_id, *content in connection.execute(query):
            found[event_id] = tuple(content)
    return found


def events_since(engine: Engine, sequence: int, limit: int = 10_000) -> list[LogRow]:
    """What came after a place in the log, in its order.

    Nothing is passed over: who has read up to a sequence number has read every
    event below it, whoever wrote it (see ``database.writing``).

    Args:
        engine: an upgraded database.
        sequence: of the last row read; 0: from the beginning.
        limit: rows at most.

    Raises:
        StateAwayError: the database cannot be reached.
    """
    query = (
        select(*_ROW)
        .where(EVENTS.c.sequence > sequence)
        .order_by(EVENTS.c.sequence)
        .limit(limit)
    )
    with reading(engine) as connection:
        return [LogRow(*row) for row in connection.execute(query)]


def last_sequence(engine: Engine, before_us: int | None = None) -> int:
    """The last place in the log; 0: it is empty.

    Args:
        engine: an upgraded database.
        before_us: only what was received before this moment. From there on, a
            follower finds all that a build at that cutoff did not know, as far as
            the replicas' clocks agree.

    Raises:
        StateAwayError: the database cannot be reached.
    """
    query = select(func.max(EVENTS.c.sequence))
    if before_us is not None:
        query = query.where(EVENTS.c.received_at < before_us)
    with reading(engine) as connection:
        return connection.execute(query).scalar_one() or 0
