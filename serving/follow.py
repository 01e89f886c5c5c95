"""Each worker follows the log of events, so that answers know what came since."""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable
from datetime import timedelta

from sqlalchemy import Engine

from serving.events import AHEAD
from serving.live import Live
from serving.published import Published
from serving.recent import MAX_EVENTS, Recent, is_fresh
from serving.rounds import in_rounds
from serving.state.database import StateAwayError
from serving.state.log import LogRow, events_since, last_sequence

_AHEAD_US = AHEAD // timedelta(microseconds=1)
_ROWS_AT_ONCE = 2_000

logger = logging.getLogger("repurchase.serving")


class Follower:
    """Holds what happened since the cutoff of the version in force.

    Other workers' events arrive within a round, a worker's own ones before they are
    acknowledged. While the database is away, what was read before stays.

    Attributes:
        unknown: events read of a product that the version in force lacks, so far.
        failures: rounds in which the log could not be read, so far.

    Args:
        engine: an upgraded database.
        live: says which version answers.
        clock: seconds, for ``lag_seconds``.
        max_events: see ``Recent``.
    """

    def __init__(
        self,
        engine: Engine,
        live: Live,
        clock: Callable[[], float] = time.monotonic,
        max_events: int = MAX_EVENTS,
    ) -> None:
        self.unknown = self.failures = 0
        self._engine, self._live, self._clock = engine, live, clock
        self._max_events = max_events
        self._recent = Recent(max_events=max_events)
        self._cutoff_us: int | None = None
        self._read_at: float | None = None
        self._reading = threading.Lock()

    @property
    def events(self) -> int:
        """Events held now."""
        return self._recent.events

    @property
    def dropped(self) -> int:
        """Events held no longer, for lack of room."""
        return self._recent.dropped

    @property
    def lag_seconds(self) -> float | None:
        """Since the log was last read to its end; None: never yet."""
        return None if self._read_at is None else self._clock() - self._read_at

    def of(self, customer_id: str) -> list[LogRow] | None:
        """A customer's events since about the cutoff; None: there are none.

        Costs one look-up for a customer without events. A version may have seen some
        of them, see ``is_fresh``.
        """
        return self._recent.of(customer_id)

    def catch_up(self) -> bool:
        """Reads what is new in the log; False: the database is away."""
        with self._reading:
            published = self._live.current
            if published is None:
                return True
            # Taken first: what comes while this reads may be missed.
            moment = self._clock()
            try:
                self._catch_up(published)
            except StateAwayError as error:
                self.failures += 1
                logger.error("event log: not read, %s", error)
                return False
            self._read_at = moment
            return True

    def follow(
        self, every_seconds: float, after: Callable[[], None]
    ) -> Callable[[], None]:
        """Reads the log now, and from now on in a thread; returns what ends that.

        Args:
            every_seconds: between rounds.
            after: called after each round.
        """

        def work() -> None:
            self.catch_up()
            after()

        return in_rounds(work, every_seconds, "event log")

    def _catch_up(self, published: Published) -> None:
        cutoff = published.cutoff_us
        if self._cutoff_us is None or cutoff < self._cutoff_us:
            # The first version, or a rollback: the log is read from its cutoff on.
            # Clocks of callers may be ahead, so events of later days may stand
            # before what was received at the cutoff.
            start = last_sequence(self._engine, before_us=cutoff - _AHEAD_US)
            recent = Recent(start, self._max_events)
            self._read(recent, published)
            self._recent = recent
        else:
            if cutoff > self._cutoff_us:
                self._recent.drop_before(cutoff)
            self._read(self._recent, published)
        self._cutoff_us = cutoff

    def _read(self, recent: Recent, published: Published) -> None:
        known = published.catalogue.ids
        while rows := events_since(self._engine, recent.sequence, _ROWS_AT_ONCE):
            recent.add(row for row in rows if is_fresh(row, published.cutoff_us))
            recent.sequence = rows[-1].sequence
            named = (row.product_id for row in rows)
            self.unknown += sum(
                product is not None and known.row(product) is None for product in named
            )
            if len(rows) < _ROWS_AT_ONCE:
                return
