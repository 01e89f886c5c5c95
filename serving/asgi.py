"""Requests in, replies out: limits, routing and the one form of errors."""

from __future__ import annotations

import asyncio
import json
import logging
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Protocol

from pydantic import ValidationError
from starlette.types import ASGIApp, Receive, Scope, Send

from features.config import ServingConfig

JSON = b"application/json"

_PATIENCE = 64
"""Times the body limit that is read before the connection is given up."""

logger = logging.getLogger("repurchase.serving")


@dataclass(frozen=True)
class Reply:
    """What goes back; ``code`` is the error code, None when all is well."""

    status: int
    body: bytes
    media: bytes = JSON
    headers: tuple[tuple[bytes, bytes], ...] = ()
    code: str | None = None


class ApiError(Exception):
    """A request that cannot be answered.

    Attributes:
        status: HTTP status.
        code: one stable word for programs.
        message: one line for people.
        field: the field of the body that it is about, dotted; None: no field.
    """

    def __init__(
        self, status: int, code: str, message: str, field: str | None = None
    ) -> None:
        super().__init__(message)
        self.status = status
        self.code = code
        self.message = message
        self.field = field


Handler = Callable[[bytes], Reply]
"""Body in, reply out; raises ``ApiError`` or pydantic's ``ValidationError``."""

Routes = Mapping[str, Mapping[str, Handler]]
"""Path, then method."""


class Observer(Protocol):
    """Told of every reply."""

    def __call__(self, path: str, reply: Reply, seconds: float) -> None:
        """Path as routed (``other``: unknown), the reply, and its duration."""
        ...


def error_reply(error: ApiError, *headers: tuple[bytes, bytes]) -> Reply:
    """The one form of errors: ``{"error": {"code", "message", "field"}}``."""
    content = {"code": error.code, "message": error.message, "field": error.field}
    body = json.dumps({"error": content}).encode()
    return Reply(error.status, body, headers=headers, code=error.code)


def invalid(error: ValidationError) -> ApiError:
    """The first fault of a body: 400 if it is no JSON, 422 if it does not fit."""
    first = error.errors(include_url=False, include_context=False)[0]
    said = first["msg"][:1].lower() + first["msg"][1:]
    if first["type"] == "json_invalid":
        return ApiError(400, "bad_json", f"body: expected a JSON object, {said}")
    field = ".".join(str(part) for part in first["loc"]) or None
    got = ""
    if isinstance(first["input"], str | int | float):
        got = f", got {first['input']!r:.80}"
    return ApiError(422, "invalid", f"{field or 'body'}: {said}{got}", field)


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
        config: ServingConfig,
    ) -> None:
        self._app = app
        self._routes = routes
        self._observe = observe
        self._limit = config.max_body_bytes
        self._timeout = config.body_timeout_seconds

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """One request, answered whatever happens."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        started = time.perf_counter()
        path: str = scope["path"]
        methods = self._routes.get(path)
        try:
            handler = _route(path, methods, scope["method"])
            reply = handler(await self._body(receive))
        except ValidationError as error:
            reply = error_reply(invalid(error))
        except ApiError as error:
            allow = ", ".join(sorted(methods or ())).encode()
            headers = ((b"allow", allow),) if error.status == 405 else ()
            reply = error_reply(error, *headers)
        except Exception:
            logger.exception("%s failed", path if methods else "request")
            fault = ApiError(500, "internal", "the service failed; see its log")
            reply = error_reply(fault)
        await _send(reply, send)
        spent = time.perf_counter() - started
        self._observe(path if methods else "other", reply, spent)

    async def _body(self, receive: Receive) -> bytes:
        """The body; of one that is too large, no more than the limit is kept."""
        chunks: list[bytes] = []
        size, more = 0, True
        try:
            async with asyncio.timeout(self._timeout):
                # What is too much is read and dropped for a while: a client that
                # still sends when the connection closes never sees its 413.
                while more and size <= self._limit * _PATIENCE:
                    message = await receive()
                    if message["type"] == "http.disconnect":
                        raise ApiError(400, "bad_json", "body: the client went away")
                    chunk: bytes = message.get("body", b"")
                    size += len(chunk)
                    more = message.get("more_body", False)
                    if size <= self._limit:
                        chunks.append(chunk)
        except TimeoutError:
            raise ApiError(
                408, "timeout", f"body: expected within {self._timeout:g} seconds"
            ) from None
        if size > self._limit:
            raise ApiError(
                413,
                "too_large",
                f"body: expected at most {self._limit} bytes, got more; "
                "send fewer ids at a time",
            )
        return chunks[0] if len(chunks) == 1 else b"".join(chunks)


def _route(path: str, methods: Mapping[str, Handler] | None, method: str) -> Handler:
    if methods is None:
        raise ApiError(404, "not_found", f"path: {path!r:.200} is not of this API")
    # A server sends no body after HEAD, so the reply to GET serves.
    handler = methods.get("GET" if method == "HEAD" else method)
    if handler is None:
        allowed = " or ".join(sorted(methods))
        message = f"method: expected {allowed} for {path}, got {method}"
        raise ApiError(405, "method_not_allowed", message)
    return handler


async def _send(reply: Reply, send: Send) -> None:
    length = str(len(reply.body)).encode()
    headers = [
        (b"content-type", reply.media),
        (b"content-length", length),
        *reply.headers,
    ]
    start = {"type": "http.response.start", "status": reply.status, "headers": headers}
    await send(start)
    await send({"type": "http.response.body", "body": reply.body})
