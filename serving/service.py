"""The HTTP service: decode, look up, encode; BentoML runs it.

A request costs one look-up in memory-mapped arrays, and one in what came since; events
go to the log in the state's database, in a thread. Paths and fields are in
``schema`` and, as a document, at ``/openapi.json``.
"""

from __future__ import annotations

import gc
import json
import os
import sys
from collections.abc import Callable, Mapping, Sequence
from datetime import datetime
from pathlib import Path
from typing import Protocol

import bentoml
from sqlalchemy import Engine
from starlette.types import ASGIApp

from features.config import EngineConfig, ServingConfig, StateConfig
from features.database import Database, parse_data
from features.snapshot import to_us
from serving import logs, metrics, openapi
from serving.alerts_api import Alerts
from serving.answering import Answering, utc_now
from serving.asgi import Gateway, Reply, Route, Routes
from serving.audience_api import Audiences
from serving.auth import Keyring, away
from serving.customer_api import Customers
from serving.drift_alarm import Latest
from serving.erased import Erased
from serving.events_api import Events
from serving.experiment_api import Experiments
from serving.experiments.place import Place
from serving.follow import Follower
from serving.kpis_api import KpiFigures
from serving.launch import DATA, ENGINE, SETTINGS, STATE, WORKSPACE
from serving.lists_api import Lists
from serving.live import Live
from serving.outlook import warm
from serving.outlook_api import Outlooks
from serving.published import Published
from serving.state import keys, tombstones
from serving.state.database import open_state, upgrade
from serving.state.log import EventLog

_SWITCH_SECONDS = 0.0005


class Endpoints(Protocol):
    """Paths that belong together."""

    @property
    def routes(self) -> Routes:
        """What answers each."""
        ...


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
        place: where purchases are that experiments are judged by; None: only the log.
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
        now: Callable[[], datetime] = utc_now,
        place: Place | None = None,
    ) -> None:
        self._live = live
        self._follower = follower
        self._keyring = keyring
        self.metrics = metrics.Metrics()
        self._drifted = Latest(live.workspace)
        answering = Answering(live, follower, erased, now)
        outlooks = Outlooks(answering, self.metrics)
        self._from, self._scores = answering, outlooks.scores
        self._endpoints: tuple[Endpoints, ...] = (
            Lists(answering, self.metrics),
            outlooks,
            Events(answering, log, follower, self.metrics, max_events_bytes),
            Audiences(answering, engine),
            Alerts(answering, engine),
            Customers(answering, engine),
            Experiments(answering, engine, place or Place(), max_events_bytes),
            KpiFigures(answering),
        )
        self._document = json.dumps(openapi.document()).encode()

    @property
    def routes(self) -> Routes:
        """Every path of the service."""
        found: dict[str, Mapping[str, Route]] = {}
        for endpoints in self._endpoints:
            found |= endpoints.routes
        return found | {
            "/livez": {"GET": Route(self.livez, None)},
            "/readyz": {"GET": Route(self.readyz, None)},
            # Not open to this machine without a key: a proxy on it stands for all.
            "/metrics": {"GET": Route(self.exposition, "read")},
            "/openapi.json": {"GET": Route(self.openapi, None)},
        }

    def livez(self, _: bytes) -> Reply:
        """``GET /livez``: the process runs."""
        return Reply(200, b"\n", b"text/plain")

    def readyz(self, _: bytes) -> Reply:
        """``GET /readyz``: a version is served, and keys can be checked."""
        self._from.served()
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
        self.metrics.flush()

    def exposition(self, _: bytes) -> Reply:
        """``GET /metrics``."""
        self.note()
        served = self._live.current
        age = (self._from.now() - served.cutoff).total_seconds() if served else None
        drifted = self._drifted.values(self._from.now())
        text = self.metrics.text(age, self._live.failures, drifted)
        return Reply(200, text, metrics.MEDIA)

    def openapi(self, _: bytes) -> Reply:
        """``GET /openapi.json``."""
        return Reply(200, self._document)


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
            EventLog(engine, lambda: to_us(utc_now())),
            follower,
            keyring,
            config.max_events_bytes,
            engine,
            erased,
            place=_place(),
        )
        follower.follow(config.reload_seconds, api.note)
        super().__init__(app, api.routes, api.metrics.observe, keyring, config)
        # A thread that checks events gives way to requests ten times as often as
        # Python would have it.
        sys.setswitchinterval(_SWITCH_SECONDS)
        _freeze()


def _place() -> Place:
    """Where purchases are, as the environment says."""
    limits = EngineConfig.model_validate_json(os.environ.get(ENGINE, "{}"))
    data = os.environ.get(DATA)
    found = None if data is None else parse_data(data)
    return Place(found if isinstance(found, Path | Database) else None, limits)


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
    metrics={"enabled": False},
    logging={"access": {"enabled": False}},
    # Started by hand it listens on loopback, as `repurchase serve` does.
    http={"host": "127.0.0.1"},  # pyright: ignore[reportArgumentType]
)
class Repurchase:
    """Who buys again, and what to offer them."""


# BentoML types what it calls here as if the class were its own instance.
Repurchase.add_asgi_middleware(Front)  # pyright: ignore[reportArgumentType]
