"""Requests in, replies out: keys, limits, routing and the one form of errors."""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Callable, Generator, Mapping
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any, Protocol, TypeAlias
from urllib.parse import unquote

from pydantic import ValidationError
from starlette.applications import Starlette
from starlette.types import ASGIApp, Receive, Scope, Send

from features.config import ServingConfig
from serving.bodies import Bodies
from serving.notable import Notable
from serving.replies import ApiError, Headers, Reply, error_reply, invalid
from serving.state.keys import Scope as KeyScope
from serving.streams import stream

_START = {"type": "http.response.start"}

SAFETY = (
    (b"x-content-type-options", b"nosniff"),
    (b"cache-control", b"no-store"),
    (b"content-security-policy", b"default-src 'none'; frame-ancestors 'none'"),
    (b"x-frame-options", b"DENY"),
    (b"referrer-policy", b"no-referrer"),
)
"""Headers of every reply: no browser guesses its type, keeps, runs or frames it."""

_THREADS = 8
_MOST_IN_THREADS = 32
_MOST_STREAMS = 8
"""Requests at work or waiting for a thread; their bodies are in memory."""

logger = logging.getLogger("repurchase.serving")


@dataclass(frozen=True)
class Call:
    """A request as a handler sees it that needs more than the body.

    Attributes:
        who: the one who asks, as ``Admission`` names them.
        parameter: what stands in the place of ``{…}`` in the path; empty: nothing.
        query: of the address, as it came.
    """

    body: bytes
    who: str
    parameter: str
    query: bytes


Later: TypeAlias = Callable[[], Reply]
"""Work that takes too long between other requests; see ``Handler``."""

Handler = Callable[[Any], Reply | Later]
"""Body (or ``Call``) in, reply out; raises ``ApiError`` or ``ValidationError``.

A reply that takes milliseconds is made later, in a thread.
"""


@dataclass(frozen=True)
class Route:
    """What answers a path.

    Attributes:
        handler: see ``Handler``.
        scope: that a key must have; None: open to everyone.
        in_thread: the handler waits for something, so it runs beside the others
            and not between them.
        max_body_bytes: None: the service's limit.
        with_call: the handler takes a ``Call``.
    """

    handler: Handler
    scope: KeyScope | None
    in_thread: bool = False
    max_body_bytes: int | None = None
    with_call: bool = False


Routes = Mapping[str, Mapping[str, Route]]
"""Path, then method. The last part of a path, or the one before it, may be a parameter
such as ``{id}``."""


class Admission(Protocol):
    """Decides who may ask."""

    def __call__(self, request: Scope, needed: KeyScope) -> str:
        """Lets a request in, and says whose it is.

        Raises:
            ApiError: 401, 403, 429 or 503, why not.
        """
        ...


class Observer(Protocol):
    """Told of every reply."""

    def __call__(self, path: str, reply: Reply, seconds: float) -> None:
        """Path as routed (``other``: unknown), the reply, and its duration."""
        ...


class Gateway:
    """The ASGI app of the API.

    It stands in front of BentoML's own routes, because those cannot speak our
    error form; what it does not route is 404. Only the lifespan passes through.
    """

    def __init__(
        self,
        app: ASGIApp,
        routes: Routes,
        observe: Observer,
        admit: Admission,
        config: ServingConfig,
    ) -> None:
        self._app = app
        self._routes = routes
        self._by_head: dict[bytes, str] = {}
        self._by_ends: dict[tuple[bytes, bytes], str] = {}
        for path in routes:
            head, _, tail = path.encode().rpartition(b"/")
            if tail.endswith(b"}"):
                self._by_head[head] = path
            elif head.endswith(b"}"):
                self._by_ends[head.rpartition(b"/")[0], tail] = path
        self._observe = observe
        self._admit = admit
        self._threads = ThreadPoolExecutor(_THREADS, "repurchase")
        self._in_threads = 0
        self._streams = 0
        self._notable = Notable(config.slow_seconds)
        self._limit = config.max_body_bytes
        self._bodies = Bodies(config.body_timeout_seconds)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """One request, answered whatever happens."""
        if scope["type"] != "http":
            if scope["type"] == "lifespan" and "app" in scope:
                self._come_first(scope["app"])
            await self._app(scope, receive, send)
            return
        started = time.perf_counter()
        path, parameter = self._place(scope)
        methods = self._routes.get(path)
        place = path if methods else "other"
        try:
            route = _route(path, methods, scope["method"])
            who = self._admit(scope, route.scope) if route.scope is not None else ""
            if route.in_thread:
                reply = await self._beside(route, scope, who, parameter, receive)
            else:
                limit = route.max_body_bytes or self._limit
                body = await self._bodies.read(receive, limit)
                answer = route.handler(_asked(route, scope, who, parameter, body))
                if not isinstance(answer, Reply):
                    answer = await self._later(answer)
                reply = answer
        except ValidationError as error:
            reply = error_reply(invalid(error))
        except ApiError as error:
            reply = error_reply(error)
        except Exception as error:  # noqa: BLE001 - whatever it is, the caller is told
            self._notable.fault(place, error)
            fault = ApiError(500, "internal", "the service failed; see its log")
            reply = error_reply(fault)
        if reply.status != 500:
            made = time.perf_counter() - started
            self._notable.request(place, reply.status, reply.code, made)
        try:
            await self._reply(place, reply, receive, send)
        finally:
            self._observe(place, reply, time.perf_counter() - started)

    def _come_first(self, app: Starlette) -> None:
        """From now on requests reach the gateway before BentoML's middleware.

        That sets a timer for each request and never takes it back: at ten thousand a
        second, half of the time goes to a hundred thousand timers. Bodies, threads and
        streams have limits of their own here.
        """
        stack = app.middleware_stack

        async def first(scope: Scope, receive: Receive, send: Send) -> None:
            handler = self if scope["type"] == "http" else stack or self._app
            await handler(scope, receive, send)

        app.middleware_stack = first

    async def _reply(
        self, path: str, reply: Reply, receive: Receive, send: Send
    ) -> None:
        if reply.chunks is None:
            await _send(reply, send)
            return
        # Counted apart: whoever reads slowly must not keep others from being answered.
        if self._streams >= _MOST_STREAMS:
            said = (
                f"request: expected at most {_MOST_STREAMS} streams at a time, got more"
            )
            await _send(error_reply(ApiError(503, "busy", f"{said}; try later")), send)
            return
        headers = [(b"content-type", reply.media), *_safe(reply.headers)]
        start = {**_START, "status": reply.status, "headers": headers}
        self._streams += 1
        try:
            await stream(start, reply.body, reply.chunks, self._threads, receive, send)
        except TimeoutError:
            logger.warning("a client stopped to read", extra={"path": path})
            raise
        except Exception as error:
            self._notable.fault(path, error)
            raise
        finally:
            self._streams -= 1

    def _place(self, scope: Scope) -> tuple[str, str]:
        """The path as routed, and its parameter."""
        path: str = scope["path"]
        if path in self._routes and "{" not in path:
            return path, ""
        # As it was sent: a slash of an id comes as %2F.
        raw: bytes = scope.get("raw_path") or path.encode()
        head, _, tail = raw.partition(b"?")[0].rpartition(b"/")
        first, _, middle = head.rpartition(b"/")
        if middle and (place := self._by_ends.get((first, tail))):
            return place, unquote(middle.decode("latin-1"))
        place = self._by_head.get(head)
        if place is None or not tail:
            return path, ""
        return place, unquote(tail.decode("latin-1"))

    async def _beside(
        self, route: Route, scope: Scope, who: str, parameter: str, receive: Receive
    ) -> Reply:
        """The reply of a handler that runs in a thread."""
        with self._seat():
            body = await self._bodies.read(receive, route.max_body_bytes or self._limit)
            asked = _asked(route, scope, who, parameter, body)

            def answer() -> Reply:
                found = route.handler(asked)
                return found if isinstance(found, Reply) else found()

            return await self._in_thread(answer)

    async def _later(self, work: Later) -> Reply:
        """The reply that is made in a thread."""
        with self._seat():
            return await self._in_thread(work)

    async def _in_thread(self, work: Later) -> Reply:
        loop = asyncio.get_running_loop()
        return await loop.run_in_executor(self._threads, work)

    @contextmanager
    def _seat(self) -> Generator[None]:
        """One of the places of requests that run in threads.

        Raises:
            ApiError: 503, all are taken.
        """
        if self._in_threads >= _MOST_IN_THREADS:
            raise ApiError(
                503,
                "busy",
                f"request: expected at most {_MOST_IN_THREADS} of this kind at a "
                "time, got more; try again",
                headers=((b"retry-after", b"1"),),
            )
        self._in_threads += 1
        try:
            yield
        finally:
            self._in_threads -= 1


def _asked(
    route: Route, scope: Scope, who: str, parameter: str, body: bytes
) -> bytes | Call:
    if not route.with_call:
        return body
    return Call(body, who, parameter, scope.get("query_string", b""))


def _route(path: str, methods: Mapping[str, Route] | None, method: str) -> Route:
    if methods is None:
        raise ApiError(404, "not_found", f"path: {path!r:.200} is not of this API")
    # A server sends no body after HEAD, so the reply to GET serves.
    route = methods.get("GET" if method == "HEAD" else method)
    if route is None:
        known = sorted({*methods, "HEAD"} if "GET" in methods else methods)
        message = f"method: expected {' or '.join(known)} for {path}, got {method:.20}"
        allow = ((b"allow", ", ".join(known).encode()),)
        raise ApiError(405, "method_not_allowed", message, headers=allow)
    return route


def _safe(own: Headers) -> Headers:
    """The headers of every reply; a page says itself what it may show."""
    if not own:
        return SAFETY
    named = {name for name, _ in own}
    return (*(pair for pair in SAFETY if pair[0] not in named), *own)


async def _send(reply: Reply, send: Send) -> None:
    length = str(len(reply.body)).encode()
    headers = [
        (b"content-type", reply.media),
        (b"content-length", length),
        *_safe(reply.headers),
    ]
    await send({**_START, "status": reply.status, "headers": headers})
    await send({"type": "http.response.body", "body": reply.body})
