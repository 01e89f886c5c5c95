"""``POST /v1/events``: what is accepted is on disk before the reply."""

from __future__ import annotations

import logging

from pydantic_core import to_json

from serving import events
from serving.answering import Answering
from serving.asgi import Reply, Route, Routes
from serving.auth import away
from serving.follow import Follower
from serving.metrics import Metrics
from serving.state.database import StateAwayError
from serving.state.log import EventLog

logger = logging.getLogger("repurchase.serving")


class Events:
    """The endpoint.

    Args:
        answering: only its clock is asked.
        log: where events go.
        follower: reads them at once, so that the next answer knows them.
        metrics: told what became of them.
        max_bytes: of a batch.
    """

    def __init__(
        self,
        answering: Answering,
        log: EventLog,
        follower: Follower,
        metrics: Metrics,
        max_bytes: int,
    ) -> None:
        self._from = answering
        self._log = log
        self._follower = follower
        self._metrics = metrics
        self._max_bytes = max_bytes

    @property
    def routes(self) -> Routes:
        """The path."""
        route = Route(
            self.events, "write", in_thread=True, max_body_bytes=self._max_bytes
        )
        return {"/v1/events": {"POST": route}}

    def events(self, body: bytes) -> Reply:
        """``POST /v1/events``: what is accepted is on disk."""
        asked = events.check(events.read(body), self._from.now())
        try:
            appended = self._log.append(asked.events)
        except StateAwayError as error:
            logger.error("events: %s", error)
            raise away() from None
        # What a shop has told, its next question is answered with.
        self._follower.catch_up()
        ids = (event["event_id"] for event in asked.events)
        late = [
            events.Refused(asked.places[i], event_id, appended.refused[i])
            for i, event_id in enumerate(ids)
            if i in appended.refused
        ]
        refused = sorted([*asked.refused, *late], key=lambda one: one.index)
        counts = {
            "accepted": appended.accepted,
            "duplicate": appended.duplicates,
            "rejected": len(refused),
        }
        self._metrics.events(**counts)
        return Reply(200, to_json({**counts, "rejections": refused}))
