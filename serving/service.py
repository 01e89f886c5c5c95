"""The HTTP service: decode, look up, encode; BentoML runs it.

A request costs one look-up in memory-mapped arrays, and one in what came since; events
go to the log in the state's database, in a thread. Paths and fields are in
``schema`` and, as a document, at ``/openapi.json``.
"""

from __future__ import annotations

import gc
import json
import logging
import os
import sys
from collections.abc import Callable, Sequence
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import bentoml
from pydantic_core import to_json
from sqlalchemy import Engine
from starlette.types import ASGIApp

from features.config import ServingConfig, StateConfig
from features.snapshot import to_us
from serving import events, logs, metrics, openapi, schema
from serving.asgi import ApiError, Gateway, Later, Reply, Route, Routes
from serving.audience_api import Audiences
from serving.auth import Keyring, away
from serving.customer_api import Customers
from serving.drift import Answers
from serving.erased import Erased
from serving.follow import Follower
from serving.fresh import lately_of, view_of
from serving.launch import SETTINGS, STATE, WORKSPACE
from serving.live import Live
from serving.outlook import (
    Outlook,
    Told,
    live_outlooks,
    published_outlook,
    told,
    warm,
)
from serving.published import Published
from serving.recommend import listed, written
from serving.rules import RuleError, Rules
from serving.state import keys, tombstones
from serving.state.database import StateAwayError, open_state, upgrade
from serving.state.log import EventLog, LogRow
from serving.wishes import Wishes, wishes

_DAY = 86_400.0
_SWITCH_SECONDS = 0.0005
_PLAIN = {"customer_ids", "n", "list_", "available_only"}
"""Fields of a request for lists without filters and rules."""

_HEAD_HOLDS = timedelta(milliseconds=40)

logger = logging.getLogger("repurchase.serving")


def _now() -> datetime:
    return datetime.now(UTC).replace(tzinfo=None)


class Api:
    """The endpoints over the version in force.

    Args:
        live: what answers.
        log: where events go.
        follower: what came since.
        keyring: only whether it can be relied on is asked here.
        max_events_bytes: limit of a batch of events.
        engine: where lists that are pulled, and erasures, go on record.
        erased: who is in no answer.
        now: naive UTC; the age of the snapshot depends on it, and how long ago events
            were.
    """

    def __init__(
        self,
        live: Live,
        log: EventLog,
        follower: Follower,
        keyring: Keyring,
        max_events_bytes: int,
        engine: Engine,
        erased: Erased,
        now: Callable[[], datetime] = _now,
    ) -> None:
        self._live = live
        self._log = log
        self._follower = follower
        self._keyring = keyring
        self._max_events_bytes = max_events_bytes
        self._now = now
        self.metrics = metrics.Metrics()
        self._scores = Answers()
        self._erased = erased

        def now_us() -> int:
            return to_us(now())

        self._asked: tuple[Published | None, dict[tuple[int, str, bool], Wishes]]
        self._asked = (None, {})
        self._said: tuple[Published | None, datetime, bytes] = (None, datetime.min, b"")
        self._more: Routes = {
            **Audiences(self._served, self._head, engine, now_us).routes,
            **Customers(
                self._served, lambda: live.current, self._head, engine, erased, now_us
            ).routes,
        }
        self._document = json.dumps(openapi.document()).encode()

    @property
    def routes(self) -> Routes:
        """Every path of the service."""
        return {
            "/v1/recommendations": {"POST": Route(self.recommendations, "read")},
            "/v1/propensity": {"POST": Route(self.propensity, "read")},
            "/v1/events": {
                "POST": Route(
                    self.events,
                    "write",
                    in_thread=True,
                    max_body_bytes=self._max_events_bytes,
                )
            },
            **self._more,
            "/livez": {"GET": Route(self.livez, None)},
            "/readyz": {"GET": Route(self.readyz, None)},
            # Not open to this machine without a key: a proxy on it stands for all.
            "/metrics": {"GET": Route(self.exposition, "read")},
            "/openapi.json": {"GET": Route(self.openapi, None)},
        }

    def recommendations(self, body: bytes) -> Reply:
        """``POST /v1/recommendations``."""
        asked = schema.RecommendationsRequest.model_validate_json(body)
        published = self._served()
        ask = self._wishes(published, asked)
        lists: list[bytes] = []
        cold = 0
        for customer_id in asked.customer_ids:
            items = self._items(published, customer_id, ask)
            is_cold = items is None
            cold += is_cold
            lists.append(
                b'{"customer_id":%b,"cold_start":%b,"items":%b}'
                % (
                    to_json(customer_id),
                    b"true" if is_cold else b"false",
                    to_json(listed(None, ask)) if items is None else items,
                )
            )
        self.metrics.customers("/v1/recommendations", len(lists) - cold, cold)
        return Reply(
            200,
            b'%b,"list":"%b","recommendations":[%b]}'
            % (
                self._opening(published),
                asked.list_.encode(),
                b",".join(lists),
            ),
        )

    def propensity(self, body: bytes) -> Reply | Later:
        """``POST /v1/propensity``; what has to be computed is, in a thread."""
        asked = schema.PropensityRequest.model_validate_json(body)
        published = self._served()
        changed = self._changed(published, asked.customer_ids)
        if changed:
            now_us = to_us(self._now())
            return lambda: self._outlooks(
                published, asked, live_outlooks(published, changed, now_us), changed
            )
        return self._outlooks(published, asked, [], [])

    def _changed(self, published: Published, customer_ids: list[str]) -> list[Told]:
        """Customers whose outlook is no longer the published one."""
        found: dict[str, Told] = {}
        for customer_id in customer_ids:
            rows = self._since(customer_id)
            one = None if rows is None else told(published, customer_id, rows)
            if one is not None:
                found[customer_id] = one
        return list(found.values())

    def _outlooks(
        self,
        published: Published,
        asked: schema.PropensityRequest,
        live: Sequence[Outlook | None],
        changed: Sequence[Told],
    ) -> Reply:
        horizon = asked.horizon_days or published.horizon_days
        fresh = {one.customer_id: new for one, new in zip(changed, live, strict=True)}
        outlooks: list[dict[str, Any]] = []
        chances: list[float] = []
        at = published.horizon_days - 1
        for customer_id in asked.customer_ids:
            outlook = fresh.get(customer_id)
            if outlook is None:
                row = published.customers.row(customer_id)
                outlook = None if row is None else published_outlook(published, row)
            if outlook is None:
                outlooks.append(_cold(customer_id))
                continue
            outlooks.append(outlook.answer(published, customer_id, horizon))
            chances.append(float(outlook.curve[at]))
        self._scores.add(published.version, published.curve[:, at], chances)
        known = len(chances)
        self.metrics.customers("/v1/propensity", known, len(outlooks) - known)
        return Reply(
            200,
            b'%b,"horizon_days":%d,"tag_horizon_days":%d,"propensities":%b}'
            % (
                self._opening(published),
                horizon,
                published.horizon_days,
                to_json(outlooks),
            ),
        )

    def events(self, body: bytes) -> Reply:
        """``POST /v1/events``: what is accepted is on disk."""
        asked = events.check(events.read(body), self._now())
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
        self.metrics.events(**counts)
        return Reply(200, to_json({**counts, "rejections": refused}))

    def livez(self, _: bytes) -> Reply:
        """``GET /livez``: the process runs."""
        return Reply(200, b"\n", b"text/plain")

    def readyz(self, _: bytes) -> Reply:
        """``GET /readyz``: a version is served, and keys can be checked."""
        self._served()
        if not self._keyring.is_current:
            raise away()
        return Reply(200, b"\n", b"text/plain")

    def note(self) -> None:
        """What is done every second, whether or not anybody asks.

        A new version is looked for, and the metrics are told how far the log was read
        and which scores were answered.
        """
        self._live.poll()
        log = self._follower
        self.metrics.followed(
            log.lag_seconds, log.events, log.dropped, log.unknown, log.failures
        )
        self.metrics.scores(*self._scores.take())

    def exposition(self, _: bytes) -> Reply:
        """``GET /metrics``."""
        self.note()
        served = self._live.current
        age = (self._now() - served.cutoff).total_seconds() if served else None
        text = self.metrics.text(age, self._live.failures)
        return Reply(200, text, metrics.MEDIA)

    def openapi(self, _: bytes) -> Reply:
        """``GET /openapi.json``."""
        return Reply(200, self._document)

    def _served(self) -> Published:
        self._live.poll()
        published = self._live.current
        if published is None:
            said = self._live.problem or "nothing is published"
            raise ApiError(503, "not_ready", said)
        return self._erased.seen(published)

    def _wishes(
        self, published: Published, asked: schema.RecommendationsRequest
    ) -> Wishes:
        """What is asked for; requests without filters and rules share theirs."""
        if not asked.model_fields_set <= _PLAIN:
            return _wishes(published, asked)
        if self._asked[0] is not published:
            self._asked = (published, {})
        kept = self._asked[1]
        key = (asked.n, asked.list_, asked.available_only)
        if key not in kept:
            kept[key] = _wishes(published, asked)
        return kept[key]

    def _items(
        self, published: Published, customer_id: str, ask: Wishes
    ) -> bytes | None:
        """The list of a customer as JSON; None: nothing is known of them."""
        row, lately = published.customers.row(customer_id), None
        rows = self._since(customer_id)
        if rows is not None:
            lately = lately_of(published, rows, to_us(self._now()))
        elif row is not None:
            items = written(published, row, ask)
            if items is not None:
                return items
        view = view_of(published, row, lately)
        return None if view is None else to_json(listed(view, ask))

    def _since(self, customer_id: str) -> list[LogRow] | None:
        """What a customer did since about the cutoff; None: nothing, or erased."""
        rows = self._follower.of(customer_id)
        # Held events outlive the erasure in memory: nobody may be told of them.
        return None if rows is None or self._erased.has(customer_id) else rows

    def _head(self, published: Published) -> dict[str, Any]:
        age = (self._now() - published.cutoff).total_seconds() / _DAY
        return {
            "model_version": published.model_version,
            "snapshot": {
                "version": published.version,
                "cutoff": f"{published.cutoff.isoformat()}Z",
                "age_days": round(age, 6),
            },
        }

    def _opening(self, published: Published) -> bytes:
        """The head as the beginning of a JSON object.

        Kept for so long as the age in it, which has six digits of a day, stays true.
        """
        now, (of, since, said) = self._now(), self._said
        if of is not published or not timedelta() <= now - since < _HEAD_HOLDS:
            said = to_json(self._head(published))[:-1]
            self._said = (published, now, said)
        return said


def _wishes(published: Published, asked: schema.RecommendationsRequest) -> Wishes:
    try:
        return wishes(
            published,
            asked.n,
            asked.list_,
            asked.categories,
            (*asked.exclude_product_ids, *asked.in_cart_product_ids),
            available_only=asked.available_only,
            rules=Rules(
                asked.max_per_category,
                asked.diversity,
                asked.weight_by,
                asked.min_new_arrivals,
                asked.new_arrival_days,
                asked.new_share,
            ),
        )
    except RuleError as error:
        raise ApiError(422, "invalid", str(error), error.field) from None


def _cold(customer_id: str) -> dict[str, Any]:
    """The outlook of a customer without a purchase."""
    return {
        "customer_id": customer_id,
        "cold_start": True,
        "probability": None,
        "tag": None,
        "expected_next_at": None,
        "reasons": [],
    }


class Front(Gateway):
    """The gateway as BentoML builds it: what it needs is in the environment."""

    def __init__(self, app: ASGIApp) -> None:
        config = ServingConfig.model_validate_json(os.environ.get(SETTINGS, "{}"))
        state = StateConfig.model_validate_json(os.environ.get(STATE, "{}"))
        workspace = Path(os.environ[WORKSPACE])
        engine = open_state(workspace, state)
        keyring = Keyring(_keys_of(engine), config.requests_per_second)
        keyring.follow(config.reload_seconds)
        live = Live(workspace, config.reload_seconds, taken_up=_readying())
        follower = Follower(engine, live)
        erased = Erased(lambda last: tombstones.since(engine, last))
        erased.follow(lambda: live.current, config.reload_seconds)
        api = Api(
            live,
            EventLog(engine, lambda: to_us(_now())),
            follower,
            keyring,
            config.max_events_bytes,
            engine,
            erased,
        )
        follower.follow(config.reload_seconds, api.note)
        super().__init__(app, api.routes, api.metrics.observe, keyring, config)
        # A thread that checks events gives way to requests ten times as often as
        # Python would have it.
        sys.setswitchinterval(_SWITCH_SECONDS)
        _freeze()


def _readying() -> Callable[[Published], None]:
    """Makes versions ready; kernels that the first one brings along stay, too."""
    is_first = True

    def make_ready(published: Published) -> None:
        nonlocal is_first
        warm(published)
        if is_first:
            is_first = False
            _freeze()

    return make_ready


def _freeze() -> None:
    # What stands now stays: the collector need not walk it again and again.
    gc.collect()
    gc.freeze()


def _keys_of(engine: Engine) -> Callable[[], Sequence[keys.Key]]:
    """Reads the keys; a database that was away at the start is brought up to date."""
    is_new = True

    def load() -> Sequence[keys.Key]:
        nonlocal is_new
        if is_new:
            upgrade(engine)
            is_new = False
        return keys.every(engine)

    return load


if WORKSPACE in os.environ:
    # Here, because the server has set up its own logging, in each of its processes,
    # just before it imports this.
    logs.set_up(
        ServingConfig.model_validate_json(os.environ.get(SETTINGS, "{}")).log_format
    )


@bentoml.service(
    name="repurchase",
    workers=ServingConfig.model_validate_json(os.environ.get(SETTINGS, "{}")).workers,
    # Not reached: bodies have their own limit, answers take microseconds. Short,
    # because BentoML keeps 5 kB of every request for so long.
    traffic={"timeout": 10},
    metrics={"enabled": False},
    logging={"access": {"enabled": False}},
    tracing={"excluded_urls": ".*"},
    # Started by hand it listens on loopback, as `repurchase serve` does.
    http={"host": "127.0.0.1"},  # pyright: ignore[reportArgumentType]
)
class Repurchase:
    """Who buys again, and what to offer them."""


# BentoML types what it calls here as if the class were its own instance.
Repurchase.add_asgi_middleware(Front)  # pyright: ignore[reportArgumentType]
