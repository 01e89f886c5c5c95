"""What every reply says to a browser: nothing to guess, keep, run or frame."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

SAFE = {
    "x-content-type-options": "nosniff",
    "cache-control": "no-store",
    "content-security-policy": "default-src 'none'; frame-ancestors 'none'",
    "x-frame-options": "DENY",
    "referrer-policy": "no-referrer",
}
IDS = {"customer_ids": ["anna"]}


@pytest.mark.parametrize(
    ("method", "path", "body", "status"),
    [
        ("POST", "/v1/recommendations", IDS, 200),
        ("POST", "/v1/propensity", IDS, 200),
        ("GET", "/v1/customers/anna", None, 200),
        ("GET", "/v1/alerts", None, 200),
        ("GET", "/metrics", None, 200),
        ("GET", "/livez", None, 200),
        ("GET", "/openapi.json", None, 200),
        # In parts.
        ("POST", "/v1/audiences", {"goal": "value", "format": "csv"}, 200),
        ("POST", "/v1/recommendations", {}, 422),
        ("GET", "/v1/customers/nobody", None, 404),
        ("GET", "/elsewhere", None, 404),
        ("DELETE", "/metrics", None, 405),
    ],
)
def test_every_reply_is_safe_to_show(
    workspace: Any, new_client: Any, method: str, path: str, body: Any, status: int
) -> None:
    answer = new_client(workspace)(method, path, json=body)
    assert answer.status_code == status
    for name, value in SAFE.items():
        assert answer.headers.get_list(name) == [value]
    assert "server" not in answer.headers


def test_a_fault_of_ours_is_safe_to_show(workspace: Any, new_client: Any) -> None:
    client = new_client(workspace)
    client.live.current = object()
    answer = client("GET", "/v1/customers/anna")
    assert answer.status_code == 500
    assert SAFE.items() <= answer.headers.items()


@pytest.mark.parametrize(
    ("path", "allowed"),
    [
        ("/livez", "GET, HEAD"),
        ("/v1/events", "POST"),
        ("/v1/customers/anna", "DELETE, GET, HEAD"),
    ],
)
def test_a_wrong_method_is_told_the_right_ones(
    workspace: Any, new_client: Any, path: str, allowed: str
) -> None:
    client = new_client(workspace)
    for method in ("OPTIONS", "TRACE", "PATCH"):
        answer = client(method, path)
        assert (answer.status_code, answer.headers["allow"]) == (405, allowed)
        assert SAFE.items() <= answer.headers.items()


def test_head_is_answered_as_get(workspace: Any, new_client: Any) -> None:
    """The server drops the body, and its length stays."""
    client = new_client(workspace)
    for path in ("/livez", "/openapi.json", "/v1/customers/anna", "/v1/customers/x"):
        get, head = client("GET", path), client("HEAD", path)
        assert (get.status_code, get.headers) == (head.status_code, head.headers)


def test_a_method_of_any_length_is_one_short_line(
    workspace: Any, new_client: Any
) -> None:
    sent: list[Any] = []

    async def send(message: Any) -> None:
        sent.append(message)

    async def receive() -> Any:
        raise AssertionError("no body is read")

    scope = {"type": "http", "path": "/livez", "method": "X" * 9000, "headers": []}
    asyncio.run(new_client(workspace).app(scope, receive, send))
    assert sent[0]["status"] == 405 and len(sent[1]["body"]) < 300
