"""Replies, and the one form of errors."""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import dataclass
from typing import TypeAlias

from pydantic import ValidationError

JSON = b"application/json"

Headers: TypeAlias = tuple[tuple[bytes, bytes], ...]


@dataclass(frozen=True)
class Reply:
    """What goes back.

    Attributes:
        code: the error code, None when all is well.
        chunks: what follows ``body``, made in a thread while it is sent; None: the
            body is all.
    """

    status: int
    body: bytes
    media: bytes = JSON
    headers: Headers = ()
    code: str | None = None
    chunks: Iterator[bytes] | None = None


class ApiError(Exception):
    """A request that cannot be answered.

    Attributes:
        status: HTTP status.
        code: one stable word for programs.
        message: one line for people.
        field: the field of the body that it is about, dotted; None: no field.
        headers: of the reply, beside the usual ones.
    """

    def __init__(
        self,
        status: int,
        code: str,
        message: str,
        field: str | None = None,
        headers: Headers = (),
    ) -> None:
        super().__init__(message)
        self.status = status
        self.code = code
        self.message = message
        self.field = field
        self.headers = headers


def error_reply(error: ApiError) -> Reply:
    """The one form of errors: ``{"error": {"code", "message", "field"}}``."""
    content = {"code": error.code, "message": error.message, "field": error.field}
    body = json.dumps({"error": content}).encode()
    return Reply(error.status, body, headers=error.headers, code=error.code)


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
